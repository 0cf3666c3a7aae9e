"""Operations that select elements: by condition, by limits, and where values are not finite."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..core.operands import as_operand
from ..core.primitive import elementwise, primitive
from ..core.tensor import unwrap
from .creation import astype
from .logic import greater_equal, isnan, isneginf, isposinf, less_equal

__all__ = ["clip", "nan_to_num", "select", "where"]

# Rules select instead of multiplying by 0, since the gradient may be infinite. A selection is the
# outermost operation of its rule: by that the scan compiler knows it (`compile.trace`).
product_or_zero = elementwise(
    "product_or_zero",
    lambda g, b: product_or_zero(g, b),
    lambda g, a: g * a,
    forward=lambda xp, a, b: xp.where(b != 0, a, 0) * b,
    doc="a b, and 0 where b is 0, even if a is infinite or nan.",
)


@primitive(
    a=lambda g, condition: where(condition, g, 0), b=lambda g, condition: where(condition, 0, g)
)
def where(xp: Any, condition: Any, a: Any, b: Any) -> Any:
    """`a` where `condition` holds, else `b`, with broadcasting. The branch not taken gets the
    gradient 0, never nan.
    """
    return backend.of_array(condition).where(condition, a, b)


SELECTIONS = frozenset((where.primitive, product_or_zero.primitive))
"""The primitives that select: elements that are not selected are 0 whatever the factor is."""


def _inside(g: Any, x: Any, low: Any, high: Any) -> Any:
    if low is None:
        return g if high is None else where(x <= high, g, 0)
    return where(x >= low if high is None else (x >= low) & (x <= high), g, 0)


@primitive(x=_inside)
def _clip(xp: Any, x: Any, *, low: Any, high: Any) -> Any:
    return xp.clip(x, low, high)


def promote(*values: Any) -> list[Any]:
    """Cast arrays to the dtype to which NumPy promotes all values; Python numbers stay numbers."""
    beside = next((value for value in values if hasattr(value, "dtype")), None)
    numbers = (bool, int, float)
    values = tuple([v if type(v) in numbers else as_operand(v, beside) for v in values])
    dtypes = [getattr(value, "dtype", value) for value in values]
    dtype = backend.of_array(unwrap(beside)).xp.result_type(*dtypes)
    return [v if type(v) in numbers else astype(v, dtype) for v in values]


def select(conditions: Any, choices: Any, default: Any = 0) -> Any:
    """For each element the choice of the first condition that holds, else `default`."""
    if not len(conditions):
        raise ValueError("select: at least one condition is needed")
    if len(conditions) != len(choices):
        raise ValueError(f"select: {len(conditions)} conditions for {len(choices)} choices")
    *choices, result = promote(*choices, default)
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        if as_operand(condition).dtype.kind != "b":
            raise TypeError(
                f"select: conditions must be boolean, got {as_operand(condition).dtype}"
            )
        result = where(condition, choice, result)
    return result


def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """nan and infinities replaced by numbers (the largest there are, unless given); the gradient
    there is 0.
    """
    x = as_operand(x)
    if (dtype := x.dtype).kind != "f":
        return x
    largest = float(backend.of_array(unwrap(x)).xp.finfo(dtype).max)
    x = where(isnan(x), nan, x)
    x = where(isposinf(x), largest if posinf is None else posinf, x)
    return astype(where(isneginf(x), -largest if neginf is None else neginf, x), dtype)


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """`x` limited to [a_min, a_max], or [min, max], which are numbers or arrays.

    The gradient of `x` is 1 inside, the limits included. Outside it is 0, and an array of limits
    has the gradient.
    """
    if not (a_min is None and a_max is None) and not (min is None and max is None):
        raise ValueError("clip: give a_min and a_max, or min and max, not both")
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    if all(limit is None or type(limit) in (bool, int, float) for limit in (low, high)):
        return _clip(x, low=low, high=high)
    x, *limits = promote(as_operand(x), *[limit for limit in (low, high) if limit is not None])
    low, high = limits[0] if low is not None else None, limits[-1] if high is not None else None
    if low is not None:
        x = where(greater_equal(x, low) | isnan(x), x, low)
    return x if high is None else where(less_equal(x, high) | isnan(x), x, high)
