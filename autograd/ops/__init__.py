"""The operations, and where they meet the Tensor: its operators and methods are these functions."""

from __future__ import annotations

from numbers import Number
from typing import Any

from ..core import graph
from ..core.install import operations
from ..core.operands import as_operand
from ..core.tensor import Tensor
from . import (
    activations,
    creation,
    cumulative,
    differences,
    einsum,
    elementwise,
    extremes,
    indexing,
    inplace,
    joining,
    logic,
    matmul,
    movement,
    reduction,
    selection,
    shape,
    softmax,
    sorting,
    trigonometric,
)

MODULES = (
    creation,
    logic,
    elementwise,
    trigonometric,
    activations,
    indexing,
    matmul,
    movement,
    sorting,
    cumulative,
    differences,
    einsum,
    reduction,
    extremes,
    softmax,
    selection,
    shape,
    joining,
)
"""The modules of public operations."""

OPERATIONS: list[str] = [name for module in MODULES for name in module.__all__]
"""The names of all public operations."""

graph.wrap = Tensor
operations.unbroadcast = reduction.unbroadcast
operations.stack = joining.stack

_OPERATORS = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.power,
    "matmul": matmul.matmul,
    "and": logic.bitwise_and,
    "or": logic.bitwise_or,
    "xor": logic.bitwise_xor,
}


def _comparison(operation: Any) -> Any:
    """Return `==` or `!=` of arrays that leaves None, strings, lists of these and other objects to
    Python.
    """

    def compare(self: Any, other: Any) -> Any:
        if isinstance(other, (list, tuple, range)):
            try:
                other = as_operand(other, self)
            except TypeError:  # of strings, for example
                return NotImplemented
        kind = getattr(getattr(other, "dtype", None), "kind", "V")
        numeric = isinstance(other, Number) or kind not in "USMmV"
        return operation(self, other) if numeric else NotImplemented

    return compare


METHODS: dict[str, Any] = {
    **{f"__{name}__": operation for name, operation in _OPERATORS.items()},
    **{
        f"__r{name}__": lambda self, other, operation=operation: operation(other, self)
        for name, operation in _OPERATORS.items()
    },
    "__neg__": elementwise.negative,
    "__pos__": lambda self: self,
    "__abs__": elementwise.absolute,
    "__eq__": _comparison(logic.equal),
    "__ne__": _comparison(logic.not_equal),
    "__lt__": logic.less,
    "__le__": logic.less_equal,
    "__gt__": logic.greater,
    "__ge__": logic.greater_equal,
    "__invert__": logic.invert,
    "__getitem__": indexing.getitem,
    "__iter__": lambda self: iter(joining.unstack(self)) if len(self) else iter(()),
    "T": property(shape.reversed_axes),
    "mT": property(lambda self: shape.swapaxes(self, -1, -2)),
    "astype": creation.astype,
    "round": elementwise.round,
    "clip": selection.clip,
    **{name: getattr(reduction, name) for name in ("all", "any", "sum", "mean", "var", "std")},
    **{name: getattr(extremes, name) for name in ("max", "min", "argmax", "argmin")},
    **{name: getattr(movement, name) for name in ("diagonal", "repeat", "trace")},
    **{name: getattr(cumulative, name) for name in ("cumprod", "cumsum", "prod")},
    "argsort": sorting.argsort,
    "dot": einsum.dot,
    "flatten": shape.ravel,
    **{
        name: getattr(shape, name)
        for name in ("reshape", "ravel", "transpose", "swapaxes", "squeeze")
    },
}
"""The operators and array methods of a Tensor by their names; they work on arrays just as well."""

for _name, _operation in METHODS.items():
    setattr(Tensor, _name, _operation)
for _name in ("add", "sub", "mul", "truediv"):
    setattr(Tensor, f"__i{_name}__", inplace.in_place_operator(_OPERATORS[_name]))
Tensor.__setitem__ = inplace.setitem  # type: ignore[method-assign]
Tensor._to_device = creation.to_device  # type: ignore[method-assign, assignment]
