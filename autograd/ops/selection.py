"""Operations that select elements: by condition, by limits, and where values are not finite."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..core.tensor import unwrap
from .arguments import as_operand
from .creation import astype
from .declaration import elementwise, primitive
from .logic import greater_equal, isnan, isneginf, isposinf, less_equal

__all__ = ["clip", "nan_to_num", "select", "where"]

# Rules select instead of multiplying by 0, because the gradient may be infinite. The selection is
# the outermost operation of its rule: the scan compiler recognizes it there (`compile.trace`).
product_or_zero = elementwise(
    "product_or_zero",
    lambda g, b: product_or_zero(g, b),
    lambda g, a: g * a,
    forward=lambda xp, a, b: xp.where(b != 0, a, 0) * b,
    summary="Product; 0 where `b` is 0, even if `a` is infinite or nan.",
    derivative=("b", "a"),
)


@primitive(
    a=lambda g, condition: where(condition, g, 0), b=lambda g, condition: where(condition, 0, g)
)
def where(xp: Any, condition: Any, a: Any, b: Any) -> Any:
    """Select elements of `a` where the condition holds, and of `b` elsewhere.

    Parameters
    ----------
    condition : Tensor or array_like of bool
        Condition; it broadcasts with `a` and `b`.
    a, b : Tensor or array_like
        Values, of shapes that broadcast together.

    Returns
    -------
    Tensor or array
        Selected values, of the broadcast shape; a Tensor if an input is one.

    Raises
    ------
    ValueError
        If the shapes do not broadcast together.

    Notes
    -----
    Elements that are not selected have the gradient 0, even where the gradient of the result is
    infinite or nan.
    """
    return backend.of_array(condition).where(condition, a, b)


SELECTIONS = frozenset((where.primitive, product_or_zero.primitive))
"""Primitives that return 0 for elements that are not selected, even if another factor is nan."""


def promote(*values: Any) -> list[Any]:
    """Cast arrays to the dtype to which NumPy promotes all values; Python numbers stay numbers."""
    array = next((value for value in values if hasattr(value, "dtype")), None)
    numbers = (bool, int, float)
    values = tuple([v if type(v) in numbers else as_operand(v, array) for v in values])
    dtypes = [getattr(value, "dtype", value) for value in values]
    dtype = backend.of_array(unwrap(array)).xp.result_type(*dtypes)
    return [v if type(v) in numbers else astype(v, dtype) for v in values]


def select(conditions: Any, choices: Any, default: Any = 0) -> Any:
    """Select for each element the choice of the first condition that holds.

    Parameters
    ----------
    conditions : sequence of array_like of bool
        Conditions, in order of priority.
    choices : sequence of (Tensor or array_like)
        Values for each condition; all shapes broadcast together.
    default : Tensor or array_like, default 0
        Values where no condition holds.

    Returns
    -------
    Tensor or array
        Selected values, of the broadcast shape; a Tensor if a choice is one.

    Raises
    ------
    ValueError
        If `conditions` is empty, or `choices` has another length.
    TypeError
        If a condition is not boolean.

    Notes
    -----
    Elements that are not selected have the gradient 0.
    """
    if not len(conditions):
        raise ValueError("select: conditions must not be empty")
    if len(conditions) != len(choices):
        raise ValueError(
            "select: there must be one choice for each condition, "
            f"got {len(conditions)} conditions and {len(choices)} choices"
        )
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
    """Replace nan and infinities by numbers.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    nan : float, default 0.0
        Replacement of nan.
    posinf, neginf : float, optional
        Replacements of the infinities; by default the largest and the smallest number of the dtype.

    Returns
    -------
    Tensor or array
        Finite values of the shape and dtype of `x`; a Tensor if `x` is one.

    Notes
    -----
    Replaced elements have the gradient 0.
    """
    x = as_operand(x)
    if (dtype := x.dtype).kind != "f":
        return x
    largest = float(backend.of_array(unwrap(x)).xp.finfo(dtype).max)
    x = where(isnan(x), nan, x)
    x = where(isposinf(x), largest if posinf is None else posinf, x)
    return astype(where(isneginf(x), -largest if neginf is None else neginf, x), dtype)


def _clip_gradient(g: Any, x: Any, low: Any, high: Any) -> Any:
    if low is None:
        return g if high is None else where(x <= high, g, 0)
    return where(x >= low if high is None else (x >= low) & (x <= high), g, 0)


@primitive(x=_clip_gradient)
def _clip(xp: Any, x: Any, *, low: Any, high: Any) -> Any:
    return xp.clip(x, low, high)


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """Limit values to an interval.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    a_min, a_max : Tensor or array_like, optional
        Lower and upper limit, numbers or arrays that broadcast with `x`; None for no limit.
    min, max : Tensor or array_like, optional
        Other names of `a_min` and `a_max`.

    Returns
    -------
    Tensor or array
        Limited values, of the broadcast shape; a Tensor if an input is one.

    Raises
    ------
    ValueError
        If limits are passed under both names.

    Notes
    -----
    The derivative by `x` is 1 inside the interval and at the limits, and 0 outside. The derivative
    by a limit that is an array is 1 where `x` is beyond it, else 0.
    """
    if not (a_min is None and a_max is None) and not (min is None and max is None):
        raise ValueError("clip: pass a_min and a_max, or min and max, but not both")
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    if all(limit is None or type(limit) in (bool, int, float) for limit in (low, high)):
        return _clip(x, low=low, high=high)
    x, *limits = promote(as_operand(x), *[limit for limit in (low, high) if limit is not None])
    low, high = limits[0] if low is not None else None, limits[-1] if high is not None else None
    if low is not None:
        x = where(greater_equal(x, low) | isnan(x), x, low)
    return x if high is None else where(less_equal(x, high) | isnan(x), x, high)
