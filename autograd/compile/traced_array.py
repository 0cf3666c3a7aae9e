"""The arrays of a step that is being traced: real arrays whose operations are logged.

A `TracedArray` is a real array with a number in the `OperationLog` of `tracing`. What the log
cannot represent, such as reading a value on the host, closes the log with a reason
(`OperationLog.flag`) and then happens as usual. On a closed log, traced arrays are ordinary arrays
in a wrapper, which operations remove.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..backend.errors import operation_error
from ..backend.tracer import TracerArray
from ..core.primitive import Primitive
from ..core.pytree import flatten
from ..core.tensor import Tensor
from ..ops.creation import astype
from ..ops.tensor_methods import ArrayMethods
from .ir import NUMBERS

if TYPE_CHECKING:
    from .tracing import OperationLog

HOST_READ = "it reads a value on the host that differs from step to step"


def _while_open(operation: Any, otherwise: Any) -> Any:
    """Compare arrays while the log is open, and identities (as in dicts) after that."""
    return lambda a, b: operation(a, b) if a.log.is_open else otherwise(a, b)


class TracedArray(TracerArray, ArrayMethods):
    """An array of a step that is being traced.

    Attributes
    ----------
    value : array
        The real array.
    log : OperationLog
        The log of the step.
    number : int
        The number of the value in the log.
    """

    __slots__ = ("dtype", "log", "number", "shape", "value")
    __array_ufunc__ = None  # `array + traced` is left to the traced array
    __eq__ = _while_open(ArrayMethods.__eq__, object.__eq__)
    __ne__ = _while_open(ArrayMethods.__ne__, object.__ne__)
    __hash__ = object.__hash__

    def __init__(self, value: Any, log: OperationLog, number: int) -> None:
        self.value, self.log, self.number = value, log, number
        self.shape, self.dtype = value.shape, value.dtype

    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    nbytes = property(lambda self: self.value.nbytes)
    device = property(lambda self: self.backend.device)

    def __len__(self) -> int:
        return len(self.value)

    def copy(self) -> TracedArray:
        """Return the same value of the step in new memory."""
        return type(self)(self.value.copy(), self.log, self.number)

    def constant(self, array: Any) -> Any:
        """Return an array of the caller, which a compiled scan copies when it binds it."""
        if not self.log.is_open:
            return array.copy()
        self.log.changeable.add(id(array))
        return array

    def observe(self, tensor: Any, reason: str) -> None:
        """Close the log, and turn the Tensor of this array into an ordinary one."""
        self.log.flag(reason)
        tensor._data = self.value
        tensor._node = self.log.ordinary_node(tensor._node)

    def is_recorded(self, node: Any) -> bool:
        """True if a Tensor of this array with a node would have one without a tracer, too."""
        return self.log.is_recorded(node)

    def on_host(self) -> Any:
        """Return the real array, whose values the step reads."""
        self.log.flag(HOST_READ)
        return self.value

    def _for_kernel(self) -> Any:
        """Return the real array; on an open log, raise TypeError: `fallback` calls `apply`."""
        if self.log.is_open:
            raise TypeError("an operation on a traced array must be logged")
        return self.value

    def __array__(self, *args: Any, **options: Any) -> Any:
        return self._for_kernel().__array__(*args, **options)

    def __bool__(self) -> bool:
        return bool(self.on_host())

    def __float__(self) -> float:
        return float(self.on_host())

    def __int__(self) -> int:
        return int(self.on_host())

    def __index__(self) -> int:
        return self._for_kernel().__index__()  # type: ignore[no-any-return]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.log.flag("it writes into an array in place")
        self.value[to_arrays(index)] = to_arrays(value)

    def item(self) -> Any:
        return self.on_host().item()

    def tolist(self) -> Any:
        return self.on_host().tolist()

    def __repr__(self) -> str:
        return repr(self.on_host())

    @staticmethod
    def apply(primitive: Primitive, *arrays: Any, **static: Any) -> Any:
        """Compute an operation on traced arrays, and log it if their log is open."""
        for value in arrays if not static else flatten((arrays, static)):
            if isinstance(value, TracedArray) and value.log.is_open:
                return value.log.record(primitive, arrays, static)
        return compute(primitive, to_arrays(arrays), to_arrays(static))


def without_log(leaf: Tensor) -> Tensor:
    """Return a Tensor that a traced step has stored elsewhere as an ordinary Tensor."""
    array = leaf._data
    if isinstance(array, TracedArray) and not array.log.is_open:
        return Tensor(array.value, leaf._node)
    return leaf


def to_arrays(value: Any) -> Any:
    """Return a value in which the real arrays replace traced arrays, also in nested collections."""
    if isinstance(value, TracedArray):
        return value.value
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([to_arrays(item) for item in value])
    if kind is dict:
        return {key: to_arrays(item) for key, item in value.items()}
    return value


def compute(primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Any:
    kind: type = float
    for x in arrays:
        if type(x) not in NUMBERS:
            kind = type(x)
            break
    try:
        return primitive.kernels[kind](*arrays, **static)
    except Exception as error:
        named = operation_error(primitive.name, error, arrays)
        raise named from (error.__cause__ if named is error else error)


class _Module:
    """An array module for rules that call it with traced arrays."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._xp, name)
        if isinstance(attribute, type) or not callable(attribute):
            return attribute

        def function(*args: Any, **options: Any) -> Any:
            for value in flatten((args, options)):
                if isinstance(value, TracedArray):
                    value.on_host()
            return attribute(*to_arrays(args), **to_arrays(options))

        return function

    def zeros_like(self, like: Any, dtype: Any = None) -> Any:
        return self._xp.zeros(like.shape, dtype or like.dtype)

    def ones_like(self, like: Any, dtype: Any = None) -> Any:
        return self._xp.ones(like.shape, dtype or like.dtype)

    def empty_like(self, like: Any, dtype: Any = None) -> Any:
        return self._xp.empty(like.shape, dtype or like.dtype)


class _TracedBackend:
    """The backend of traced arrays: the backend of the real arrays."""

    def __init__(self, real: backend.Backend) -> None:
        self.real, self.xp = real, _Module(real.xp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def asarray(self, data: Any, dtype: Any = None) -> Any:
        if not isinstance(data, TracedArray):
            return self.real.asarray(data, dtype)
        return data if dtype is None else astype(data, np.dtype(dtype))

    def to_host(self, array: Any) -> Any:
        return self.real.to_host(array.on_host() if isinstance(array, TracedArray) else array)


@functools.cache
def traced_type(array_backend: backend.Backend) -> type[TracedArray]:
    """Return the class of the traced arrays of a backend."""
    attributes = {"__slots__": (), "backend": _TracedBackend(array_backend)}
    return type("TracedArray", (TracedArray,), attributes)
