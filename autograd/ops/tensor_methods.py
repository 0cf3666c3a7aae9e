"""The operators and methods of arrays and Tensors: each is an operation of this package.

`Tensor` gets the attributes of `TensorMethods` from `core.install`; type checkers see them as a
base class. The tracer arrays of the compiler inherit from `ArrayMethods`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Number
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from ..core.operands import as_operand
from . import (
    creation,
    cumulative,
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
    sorting,
)

if TYPE_CHECKING:
    from ..core.tensor import Tensor

P = ParamSpec("P")
Method = Callable[Concatenate[Any, P], "Tensor"]
Binary = Callable[[Any, Any], "Tensor"]


def method(operation: Callable[Concatenate[Any, P], Any]) -> Method[P]:
    """Return an operation itself, typed as a method that returns a Tensor."""
    return operation


def binary(operation: Any) -> Binary:
    """Return an operation itself, typed as a binary operator."""
    return operation  # type: ignore[no-any-return]


def reflected(operation: Any) -> Binary:
    """Return the binary operator for an array on the right, as in `2 - x`."""
    return lambda self, other: operation(other, self)


def attribute(operation: Any) -> Any:
    """Return a property that applies an operation."""
    return property(operation)


def comparison(operation: Any) -> Any:
    """Return `==` or `!=`, which compares with numbers, arrays and sequences of numbers only.

    Python compares everything else (None, strings, sequences of these, other objects).
    """

    def compare(self: Any, other: Any) -> Any:
        if isinstance(other, (list, tuple, range)):
            try:
                other = as_operand(other, self)
            except TypeError:  # a sequence of strings, for example
                return NotImplemented
        kind = getattr(getattr(other, "dtype", None), "kind", "V")
        is_numeric = isinstance(other, Number) or kind not in "USMmV"
        return operation(self, other) if is_numeric else NotImplemented

    return compare


class ArrayMethods:
    """Operators and methods that work on Tensors, arrays and tracer arrays."""

    __slots__ = ()

    __add__ = binary(elementwise.add)
    __radd__ = reflected(elementwise.add)
    __sub__ = binary(elementwise.subtract)
    __rsub__ = reflected(elementwise.subtract)
    __mul__ = binary(elementwise.multiply)
    __rmul__ = reflected(elementwise.multiply)
    __truediv__ = binary(elementwise.divide)
    __rtruediv__ = reflected(elementwise.divide)
    __floordiv__ = binary(elementwise.floor_divide)
    __rfloordiv__ = reflected(elementwise.floor_divide)
    __mod__ = binary(elementwise.remainder)
    __rmod__ = reflected(elementwise.remainder)
    __pow__ = binary(elementwise.power)
    __rpow__ = reflected(elementwise.power)
    __matmul__ = binary(matmul.matmul)
    __rmatmul__ = reflected(matmul.matmul)
    __and__ = binary(logic.bitwise_and)
    __rand__ = reflected(logic.bitwise_and)
    __or__ = binary(logic.bitwise_or)
    __ror__ = reflected(logic.bitwise_or)
    __xor__ = binary(logic.bitwise_xor)
    __rxor__ = reflected(logic.bitwise_xor)
    __neg__ = method(elementwise.negative)
    __pos__ = method(lambda self: self)
    __abs__ = method(elementwise.absolute)
    __invert__ = method(logic.invert)
    __eq__ = comparison(logic.equal)
    __ne__ = comparison(logic.not_equal)
    __lt__ = binary(logic.less)
    __le__ = binary(logic.less_equal)
    __gt__ = binary(logic.greater)
    __ge__ = binary(logic.greater_equal)
    __hash__ = object.__hash__

    __getitem__ = method(indexing.getitem)

    def __iter__(self: Any) -> Iterator[Tensor]:
        return iter(joining.unstack(self)) if len(self) else iter(())

    T: Tensor = attribute(shape.reversed_axes)
    mT: Tensor = attribute(lambda self: shape.swapaxes(self, -1, -2))

    all = method(reduction.all)
    any = method(reduction.any)
    argmax = method(extremes.argmax)
    argmin = method(extremes.argmin)
    argsort = method(sorting.argsort)
    astype = method(creation.astype)
    clip = method(selection.clip)
    cumprod = method(cumulative.cumprod)
    cumsum = method(cumulative.cumsum)
    diagonal = method(movement.diagonal)
    dot = method(einsum.dot)
    flatten = method(shape.ravel)
    max = method(extremes.max)
    mean = method(reduction.mean)
    min = method(extremes.min)
    prod = method(cumulative.prod)
    ravel = method(shape.ravel)
    repeat = method(movement.repeat)
    reshape = method(shape.reshape)
    round = method(elementwise.round)
    squeeze = method(shape.squeeze)
    std = method(reduction.std)
    sum = method(reduction.sum)
    swapaxes = method(shape.swapaxes)
    trace = method(movement.trace)
    transpose = method(shape.transpose)
    var = method(reduction.var)


class TensorMethods(ArrayMethods):
    """All operators and array methods of a Tensor."""

    __slots__ = ()

    __iadd__ = inplace.in_place_operator(elementwise.add)
    __isub__ = inplace.in_place_operator(elementwise.subtract)
    __imul__ = inplace.in_place_operator(elementwise.multiply)
    __itruediv__ = inplace.in_place_operator(elementwise.divide)
    __setitem__ = inplace.setitem

    _to_device = method(creation.to_device)
