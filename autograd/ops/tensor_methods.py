"""The operators, array methods and conversions of Tensors.

Operators and array methods are operations of this package.

`Tensor` gets the attributes of `TensorMethods` from `core.install`; type checkers see them as a
base class. The tracer arrays of the compiler inherit from `ArrayMethods`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Number
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from .. import backend
from ..backend.tracer import TracerArray
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
from .arguments import as_operand

if TYPE_CHECKING:
    import numpy as np

    from ..core.graph import Node
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


def _transpose_matrices(x: Any) -> Any:
    """Return the array with its last two axes exchanged."""
    return shape.swapaxes(x, -1, -2)


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
    mT: Tensor = attribute(_transpose_matrices)

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
    """All operators, array methods and conversions of a Tensor."""

    __slots__ = ()

    if TYPE_CHECKING:
        _data: Any
        _node: Node | None

    __iadd__ = inplace.in_place_operator(elementwise.add)
    __isub__ = inplace.in_place_operator(elementwise.subtract)
    __imul__ = inplace.in_place_operator(elementwise.multiply)
    __itruediv__ = inplace.in_place_operator(elementwise.divide)
    __setitem__ = inplace.setitem

    @property
    def device(self) -> str:
        """Name of the device: "cpu", "cuda:0", ..."""
        return backend.of_array(self._data).device

    # --- conversion -------------------------------------------------------------------------------

    def to(self, target: Any) -> Tensor:
        """Convert to another device or dtype; differentiable.

        Parameters
        ----------
        target : str or dtype
            Name of a device, such as "cuda", or a dtype.

        Returns
        -------
        Tensor
            Converted tensor; this tensor itself if it has the device or dtype already.
        """
        is_device = isinstance(target, str) and not backend.is_dtype_name(target.partition(":")[0])
        tensor: Any = self
        return creation.to_device(tensor, target) if is_device else self.astype(target)

    def numpy(self) -> np.ndarray:
        """Return a copy as a NumPy array on the host.

        Returns
        -------
        numpy.ndarray
            Array of the same shape and dtype.
        """
        host: np.ndarray = backend.of_array(self._data).to_host(self._data)
        return host.copy("K")

    def item(self) -> Any:
        """Return the only element as a Python number.

        Returns
        -------
        float, int or bool
            The element.

        Raises
        ------
        ValueError
            If the tensor does not have exactly one element.
        """
        if self._data.size != 1:
            raise ValueError(f"item() needs a tensor of one element, got shape {self._data.shape}")
        return self._data.item()

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers.

        Returns
        -------
        list or number
            One level of lists for each axis.
        """
        return self.numpy().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __index__(self) -> int:
        array = self._data
        if array.dtype.kind not in "iu" or array.ndim:
            raise TypeError(
                f"an index must be an integer tensor without axes, got {array.dtype} {array.shape}"
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("a tensor without axes has no length")
        return int(self._data.shape[0])

    def __repr__(self) -> str:
        _observe(self)
        dtype, device, node = self._data.dtype, self.device, self._node
        text = backend.format_array(self.numpy(), prefix="tensor(")
        text += "" if dtype in ("float32", "int64", "bool") else f", dtype={dtype}"
        text += "" if device == "cpu" else f", device={device!r}"
        if node is not None:
            is_leaf = node.primitive is None
            text += ", requires_grad=True" if is_leaf else f", made_by={node.primitive.name}"
        return f"tensor({text})"

    def __format__(self, spec: str) -> str:
        """Format the only element: `f"{loss:.3f}"`."""
        return format(self.item(), spec) if spec else repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return a copy for `np.asarray`, which must not lose a gradient."""
        _observe(self)
        if self._node is not None:
            raise RuntimeError(
                "np.asarray() of a tensor that requires a gradient would lose it: use t.numpy(); "
                "for a list of tensors, as in np.mean([t, u]), use the functions of `autograd`, as "
                "in ag.mean([t, u]), or np.stack first"
            )
        if copy is False:
            raise ValueError("a tensor becomes a NumPy array by a copy; copy=False is not possible")
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        """Export the tensor to another library, which shares its memory.

        Memory that must not be written, such as a broadcast view, is copied, because not all
        libraries support read-only arrays.
        """
        _observe(self)
        if self._node is not None:
            raise BufferError("a tensor in a graph would lose its history: detach() it first")
        array = self._data
        if not _is_writable(array):
            if options.get("copy") is False:
                raise BufferError(
                    f"a read-only array can only be exported as a copy, got shape {array.shape}"
                )
            array = array.copy()
        return array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._data.__dlpack_device__()
        return device


def _observe(tensor: Any) -> None:
    """Tell the tracer of a scan step, if there is one, that the values of a tensor are read."""
    if isinstance(tensor._data, TracerArray):
        tensor._data.observe(tensor, "it reads a value on the host that differs from step to step")


def _is_writable(array: Any) -> bool:
    """True if an array is not read-only and its elements do not share memory."""
    strides = zip(array.shape, array.strides, strict=True)
    overlaps = any(n > 1 and step == 0 for n, step in strides)
    return not overlaps and getattr(getattr(array, "flags", None), "writeable", True)
