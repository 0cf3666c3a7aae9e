"""Backends: the array module of each device, and conversion of Python data to arrays.

A device name such as "cpu" or "cuda:1" is resolved to a backend here only. `register` adds another
array module; devices of its name then work like the built-in ones.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..runtime.context import Block, ContextVariable, run_locked
from ..runtime.deprecation import moved_names
from .base import Array, Backend, DeviceError
from .numpy import NumpyBackend
from .tracer import TracerArray

__all__ = [
    "Array",
    "Backend",
    "DeviceError",
    "asarray",
    "current",
    "default_device",
    "get",
    "get_default_dtype",
    "of_array",
    "register",
    "set_default_device",
    "set_default_dtype",
]


def _cupy(index: int) -> Backend:
    from .cupy import CupyBackend

    return CupyBackend(index)


_factories: dict[str, Callable[[int], Backend]] = {
    "cpu": lambda index: NumpyBackend(),
    "cuda": _cupy,
}
_backends: dict[str, Backend] = {}
_lock = threading.Lock()


def register(name: str, factory: Callable[[int], Backend]) -> None:
    """Add an array module.

    Parameters
    ----------
    name : str
        Name of its devices: `name`, `name:0`, `name:1` and so on.
    factory : callable
        Function of the index of a device that returns its backend.
    """
    _factories[name] = factory


def get(device: str | Backend | None = None) -> Backend:
    """Return the backend of a device.

    Parameters
    ----------
    device : str or Backend, optional
        Name such as "cpu", "cuda" or "cuda:1"; by default the default device. A backend is returned
        unchanged.

    Returns
    -------
    Backend
        Backend of the device.

    Raises
    ------
    DeviceError
        If the device is unknown or not available; the message says what to install.
    """
    if isinstance(device, Backend):
        return device
    if device is None:
        return current()
    if device not in _backends:
        name, _, index = str(device).partition(":")
        if name not in _factories or not (index or "0").isdecimal():
            raise DeviceError(
                f"device must be one of {', '.join(_factories)} (or 'cuda:1', ...), got {device!r}"
            )
        run_locked(_lock, partial(_create, device, name, int(index or 0)))
    return _backends[device]


def _create(device: str, name: str, index: int) -> None:
    global _backends
    new = _factories[name](index)
    backend = _backends.get(new.device, new)
    # A new dict: other threads may be iterating over the current one.
    _backends = _backends | {new.device: backend, device: backend}


_cpu = get("cpu")


def of_array(array: Array) -> Backend:
    """Return the backend of an array.

    Parameters
    ----------
    array : array or scalar
        Array of any backend; host data and scalars belong to NumPy.

    Returns
    -------
    Backend
        Backend of the array's device.
    """
    backend = of_type(type(array))
    if backend is _cpu:
        return backend
    device = array.device  # CuPy: several devices share one array type
    return get(f"cuda:{device.id}") if hasattr(device, "id") else backend


def of_type(array_type: type) -> Backend:
    """Return the backend of an array type, and the NumPy backend for unknown types."""
    if array_type is np.ndarray:
        return _cpu
    for backend in _backends.values():
        if issubclass(array_type, backend.array_type):
            return backend
    if issubclass(array_type, TracerArray):
        return array_type.backend  # type: ignore[no-any-return]
    # CuPy arrays may exist before the device "cuda" is used.
    is_cupy = array_type.__module__.partition(".")[0] == "cupy"
    return get("cuda") if is_cupy else _cpu


_default: ContextVariable[str | None] = ContextVariable("default_device", default=None)
_process_default = os.environ.get("AUTOGRAD_DEVICE", "cpu")


def current() -> Backend:
    """Return the backend of the default device.

    Returns
    -------
    Backend
        Backend of the innermost `default_device` context, else of the device set by
        `set_default_device`, else of the environment variable AUTOGRAD_DEVICE, else of "cpu".
    """
    return get(_default.get() or _process_default)


def set_default_device(device: str) -> None:
    """Set the device of new tensors in every thread.

    Parameters
    ----------
    device : str
        Name such as "cpu", "cuda" or "cuda:1".

    Raises
    ------
    DeviceError
        If the device is unknown or not available.
    """
    global _process_default
    get(device)
    _process_default = device


class default_device(Block[str | None]):
    """Context manager that sets the device of new tensors in this thread or async task.

    Parameters
    ----------
    device : str
        Name such as "cpu", "cuda" or "cuda:1".

    Raises
    ------
    DeviceError
        If the device is unknown or not available.

    Examples
    --------
    >>> with ag.default_device("cpu"):
    ...     x = ag.zeros(3)
    """

    def __init__(self, device: str) -> None:
        get(device)
        super().__init__(_default, device)


# --- Python numbers and lists as arrays -----------------------------------------------------------

_default_dtype: Any = np.dtype(np.float32)


def set_default_dtype(dtype: Any) -> None:
    """Set the default dtype, to which functions such as `tensor` convert Python floats.

    Parameters
    ----------
    dtype : dtype_like
        Floating dtype. The initial default is float32.

    Raises
    ------
    TypeError
        If the dtype is not floating.
    """
    global _default_dtype
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"the default dtype must be floating, got {np.dtype(dtype)}")
    _default_dtype = np.dtype(dtype)


def get_default_dtype() -> Any:
    """Return the default dtype, to which Python floats are converted.

    Returns
    -------
    numpy.dtype
        Default dtype.
    """
    return _default_dtype


def asarray(data: Any, dtype: Any = None, device: str | None = None) -> Array:
    """Convert data to an array of a backend, without a copy where possible.

    Parameters
    ----------
    data : array_like
        Numbers, nested lists or an array of any backend.
    dtype : dtype_like, optional
        By default arrays keep their dtype, and Python floats become the default dtype.
    device : str, optional
        By default device arrays stay on their device, and other data goes to the default device.

    Returns
    -------
    array
        Array of the device's backend.

    Raises
    ------
    TypeError
        If the data is not real numbers or booleans, or is a list of Tensors.
    """
    if isinstance(data, TracerArray):
        data = data.on_host()
    source = of_array(data)
    target = source if device is None and source.device != "cpu" else get(device)
    if target is not source:
        data = source.to_host(data) if isinstance(data, source.array_type) else data
    if dtype is None and not hasattr(data, "dtype"):
        if isinstance(data, (list, tuple)) and any(hasattr(item, "backward") for item in data):
            raise TypeError(
                "tensor() of a list of Tensors would lose their history: use ag.stack(...)"
            )
        data = np.asarray(data)
        dtype = _default_dtype if data.dtype.kind == "f" else None
        if data.dtype.kind not in "biuf":
            raise TypeError(f"a tensor must hold real numbers or booleans, got {data.dtype} data")
    return target.asarray(data, dtype)


def weak_dtype(value: Any, dtype: Any) -> Any:
    """Return the dtype of a Python number or nested list in an operation with an array.

    Numbers and lists of floats adapt to the `dtype` of the array, as in NumPy (NEP 50). Other lists
    keep their own dtype; the result is None.
    """
    is_floating = isinstance(value, float) or np.asarray(value).dtype.kind == "f"
    number = 0.0 if is_floating else value if isinstance(value, int) else None
    return None if number is None else np.result_type(dtype, number)


def is_dtype_name(name: str) -> bool:
    """True if NumPy has a dtype of this name."""
    return name in np.sctypeDict


def format_array(array: np.ndarray, prefix: str) -> str:
    """Return the elements of an array as text, with lines indented to follow `prefix`."""
    return np.array2string(array, separator=", ", prefix=prefix)


__getattr__ = moved_names(__name__, {"of": f"{__name__}.of_array"})
