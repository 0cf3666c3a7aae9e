"""Strict fake of CuPy: an array module that computes on the CPU with its own array class.

`pytest --device strict` runs the tests with it, to detect without a GPU where device data is passed
to NumPy. Like CuPy, it raises TypeError for

- implicit conversion of its arrays to NumPy arrays,
- NumPy functions of its arrays,
- operations that mix its arrays with NumPy arrays.

Results without axes are arrays, and index arrays out of range wrap around, as in CuPy. Functions,
methods and attributes exist only if they are listed here. Where it differs from CuPy it supports
less.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import host_kernels
import numpy as np

from autograd import backend
from autograd.backend.numpy import NumpyBackend

_names = str.split

ELEMENTWISE = _names("""
    absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_or
    bitwise_xor cbrt ceil copysign cos cosh divide equal exp exp2 expm1 fabs floor floor_divide fmax
    fmin fmod greater greater_equal hypot invert isfinite isinf isnan less less_equal log log10
    log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor maximum minimum
    multiply negative not_equal power reciprocal remainder rint sign signbit sin sinh sqrt square
    subtract tan tanh trunc
""")
FUNCTIONS = _names("""
    all any argmax argmin argpartition argsort argwhere array_repr array_str ascontiguousarray
    broadcast_to can_cast clip concatenate copyto cumsum diag diagonal dot einsum full_like isclose
    iscomplexobj isneginf isposinf isrealobj matmul max min moveaxis ndim nonzero ones_like pad
    repeat reshape result_type roll rot90 round searchsorted shape size split stack sum tile
    transpose tril triu where zeros_like
""")
ARRAY_RESULTS = _names("allclose array_equal count_nonzero")  # NumPy returns Python objects
CREATION = _names("arange array asarray empty eye full ones zeros")

ATTRIBUTES = _names("T dtype itemsize mT nbytes ndim shape size strides")
METHODS = _names(
    "all any astype copy dot fill item max min ravel reshape sum swapaxes tolist transpose view"
)
OPERATORS = _names("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift")
COMPARISONS = _names("eq ne lt le gt ge")
UNARY_OPERATORS = _names("neg pos abs invert")

_SCALARS = (bool, int, float, np.generic)


class Array:
    """Array of the fake CuPy; `base` is the array whose memory it shares, or None."""

    __slots__ = ("__weakref__", "_host", "base")

    __array_ufunc__ = None  # NumPy's operators defer to this class
    __hash__ = None  # type: ignore[assignment]
    device = "strict:0"
    bytes_written = 0
    """Bytes that operations on all arrays have written: a measure of work without timing."""

    def __init__(self, host: np.ndarray, base: Array | None = None) -> None:
        self._host = host
        self.base = base
        if base is None:
            Array.bytes_written += host.nbytes

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("implicit conversion of a device array to a NumPy array")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if any(kind is not Array for kind in types):
            return NotImplemented  # defer to the other type, such as Tensor
        raise TypeError(f"np.{function.__name__} of a device array")

    def __getitem__(self, index: Any) -> Any:
        index = _index(index, self._host.shape)
        result = self._host[index]
        if not isinstance(result, np.ndarray):  # a view, as in CuPy
            result = self._host[(*_as_tuple(index), ...)]
        return _wrap(result, [self])

    def __setitem__(self, index: Any, value: Any) -> None:
        index = _index(index, self._host.shape)
        self._host[index] = _operand(value)
        Array.bytes_written += self._host[index].nbytes

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __repr__(self) -> str:
        return f"strict {self._host!r}"

    def __reduce__(self) -> Any:
        return Array, (self._host.copy(),)

    def __deepcopy__(self, memo: Any) -> Array:
        return Array(self._host.copy())


# --- conversion -----------------------------------------------------------------------------------


def _operand(value: Any) -> Any:
    """Return the NumPy array of a fake array, or a scalar; other types raise TypeError."""
    if isinstance(value, Array):
        return value._host
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _argument(value: Any) -> Any:
    """Convert an argument that may be an operand, a list of operands or any other object."""
    if hasattr(type(value), "__array_ufunc__") and not isinstance(value, (Array, np.generic)):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_argument, value))
    return value._host if isinstance(value, Array) else value


def _index(index: Any, shape: tuple[int, ...]) -> Any:
    """Return an index for NumPy.

    It may contain fake arrays and, as in CuPy, NumPy arrays. Index arrays out of range wrap around.
    """
    parts = [p._host if isinstance(p, Array) else p for p in _as_tuple(index)]
    kinds = [p.dtype.kind if isinstance(p, np.ndarray) else "-" for p in parts]
    widths = [
        0 if p is None or p is ... else p.ndim if kind == "b" else 1
        for p, kind in zip(parts, kinds, strict=True)
    ]
    axis = 0
    for i, (part, kind) in enumerate(zip(parts, kinds, strict=True)):
        if kind in "iu" and axis < len(shape) and shape[axis]:
            parts[i] = part.astype(np.int64) % shape[axis]
        axis += len(shape) - sum(widths) if part is ... else widths[i]
    return tuple(parts) if isinstance(index, tuple) else parts[0]


def _as_tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _wrap(result: Any, sources: Any) -> Any:
    """Convert results of NumPy to fake arrays, which may be views of a source."""
    if isinstance(result, (tuple, list)):
        return type(result)(_wrap(item, sources) for item in result)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    host = np.asarray(result)
    for source in sources:
        if isinstance(source, Array):
            if source._host is host:
                Array.bytes_written += host.nbytes
                return source
            if host.base is not None and (not host.size or np.may_share_memory(host, source._host)):
                return Array(host, source if source.base is None else source.base)
    return Array(host)


def _function(call: Any, convert: Any) -> Any:
    def function(*args: Any, **options: Any) -> Any:
        hosts = map(convert, args)
        with np.errstate(over="ignore"):  # CuPy does not warn
            result = call(*hosts, **{k: _argument(v) for k, v in options.items()})
        return _wrap(result, args)

    return function


def _array_result(call: Any) -> Any:
    return lambda *args, **options: np.asarray(call(*args, **options))


def _method(name: str) -> Any:
    def method(self: Array, *args: Any, **options: Any) -> Any:
        args = tuple(map(_argument, args))
        return _wrap(getattr(self._host, name)(*args, **options), [self])

    return method


def _operator(call: Any, reflected: bool) -> Any:
    def method(self: Array, other: Any) -> Any:
        if getattr(other, "__array_ufunc__", self) is None and not isinstance(other, Array):
            return NotImplemented
        other = _operand(other)
        return Array(np.asarray(call(other, self._host) if reflected else call(self._host, other)))

    return method


def _unary_operator(call: Any) -> Any:
    return lambda self: Array(np.asarray(call(self._host)))


def _inplace(call: Any) -> Any:
    def method(self: Array, other: Any) -> Array:
        self._host = call(self._host, _operand(other))
        Array.bytes_written += self._host.nbytes
        return self

    return method


for _name in ATTRIBUTES:
    setattr(
        Array, _name, property(lambda self, name=_name: _wrap(getattr(self._host, name), [self]))
    )
for _name in METHODS:
    setattr(Array, _name, _method(_name))
for _name in OPERATORS:
    _call = getattr(operator, {"and": "and_", "or": "or_"}.get(_name, _name))
    setattr(Array, f"__{_name}__", _operator(_call, False))
    setattr(Array, f"__r{_name}__", _operator(_call, True))
    if _name != "matmul":
        setattr(Array, f"__i{_name}__", _inplace(getattr(operator, f"i{_name}")))
for _name in COMPARISONS:
    setattr(Array, f"__{_name}__", _operator(getattr(operator, _name), False))
for _name in UNARY_OPERATORS:
    setattr(Array, f"__{_name}__", _unary_operator(getattr(operator, _name)))

xp = SimpleNamespace(
    finfo=np.finfo,
    lib=SimpleNamespace(
        stride_tricks=SimpleNamespace(
            sliding_window_view=_function(np.lib.stride_tricks.sliding_window_view, _argument)
        )
    ),
    **{name: _function(getattr(np, name), _operand) for name in ELEMENTWISE},
    **{name: _function(getattr(np, name), _argument) for name in [*FUNCTIONS, *CREATION]},
    take=_function(lambda x, indices, axis: np.take(x, indices, axis, mode="wrap"), _argument),
    **{name: _function(_array_result(getattr(np, name)), _argument) for name in ARRAY_RESULTS},
)


# --- the backend ----------------------------------------------------------------------------------


class StrictBackend(backend.Backend):
    """Backend of the device "strict": the interface of CuPy's backend, on the CPU."""

    device = "strict:0"
    xp = xp
    array_type = Array
    wraps_indices = True
    supports_kernels = host_kernels.COMPILER is not None
    _cpu = NumpyBackend()

    def __init__(self, index: int) -> None:
        if index:
            raise backend.DeviceError(f"device 'strict:{index}' does not exist: there is only one")

    def asarray(self, data: Any, dtype: Any = None) -> Array:
        if isinstance(data, Array):
            return data if dtype in (None, data.dtype) else data.astype(dtype)
        return Array(np.array(data, dtype))

    def to_host(self, array: Array) -> np.ndarray:
        return np.array(array._host) if isinstance(array, Array) else np.asarray(array)

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        if target.dtype not in map(np.dtype, ("e", "f", "d", "i4", "u4", "u8")):
            raise TypeError(f"CuPy does not support scatter_add of {target.dtype}")
        np.add.at(target._host, _index(index, target.shape), _operand(values))

    def random_words(self, key: int, block: int, count: int) -> Array:
        return Array(self._cpu.random_words(key, block, count))

    def elementwise_kernel(
        self, inputs: str, outputs: str, operation: str, name: str
    ) -> Callable[..., None]:
        kernel = host_kernels.Kernel(inputs, outputs, operation, name)
        return lambda *arrays: kernel(*map(_operand, arrays))

    def synchronize(self) -> None:
        pass

    def memory(self) -> int:
        return self._cpu.memory()

    def describe(self) -> str:
        return f"strict fake of CuPy on NumPy {np.__version__}"


backend.register("strict", StrictBackend)
backend.get("strict")  # so that the backend of its arrays is known
