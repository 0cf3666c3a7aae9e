"""Array modules by device name: the one place where "cpu" or "cuda:1" becomes code, and where
Python's numbers become arrays.

`register` adds a further array module, and devices of its name are then as good as the built-in
ones.
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
_making = threading.Lock()


def register(name: str, factory: Callable[[int], Backend]) -> None:
    """Make devices `name`, `name:0`, `name:1`, ... known; `factory(index)` returns the backend."""
    _factories[name] = factory


def get(device: str | Backend | None = None) -> Backend:
    """The backend of a device such as "cpu", "cuda" or "cuda:1" (None: the default device).

    Raises DeviceError, with what to install, if the device is not there.
    """
    if isinstance(device, Backend):
        return device
    if device is None:
        return current()
    if device not in _backends:
        name, _, index = str(device).partition(":")
        if name not in _factories or not (index or "0").isdecimal():
            raise DeviceError(
                f"unknown device {device!r}; there are {', '.join(_factories)} (and 'cuda:1', ...)"
            )
        run_locked(_making, partial(_make, device, name, int(index or 0)))
    return _backends[device]


def _make(device: str, name: str, index: int) -> None:
    global _backends
    made = _factories[name](index)
    backend = _backends.get(made.device, made)
    # A new dict: other threads may be iterating over this one.
    _backends = _backends | {made.device: backend, device: backend}


_cpu = get("cpu")


def of_array(array: Array) -> Backend:
    """The backend that an array belongs to (host data and scalars: NumPy's)."""
    backend = of_type(type(array))
    if backend is _cpu:
        return backend
    where = array.device  # CuPy: several devices share one array type
    return get(f"cuda:{where.id}") if hasattr(where, "id") else backend


def of_type(array_type: type) -> Backend:
    """The backend whose arrays are of this type (anything else: NumPy's)."""
    for backend in _backends.values():
        if issubclass(array_type, backend.array_type):
            return backend
    if (home := getattr(array_type, "backend", None)) is not None:
        return home  # type: ignore[no-any-return]
    is_cupy = array_type.__module__.partition(".")[0] == "cupy"  # made before "cuda" was asked for
    return get("cuda") if is_cupy else _cpu


_default: ContextVariable[str | None] = ContextVariable("default_device", default=None)
_process_default = os.environ.get("AUTOGRAD_DEVICE", "cpu")


def current() -> Backend:
    """The backend of the default device: `default_device`, `set_default_device`, AUTOGRAD_DEVICE,
    or "cpu".
    """
    return get(_default.get() or _process_default)


def set_default_device(device: str) -> None:
    """New tensors live on this device, in every thread, unless they are told otherwise."""
    global _process_default
    get(device)
    _process_default = device


class default_device(Block[str | None]):
    """`with default_device("cuda"):` new tensors of this thread or task live there."""

    def __init__(self, device: str) -> None:
        get(device)
        super().__init__(_default, device)


# --- Python's numbers and lists as arrays ---------------------------------------------------------

_default_dtype: Any = np.dtype(np.float32)


def set_default_dtype(dtype: Any) -> None:
    """The dtype that Python floats become in `tensor`, `zeros`, ... (at first float32)."""
    global _default_dtype
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"the default dtype must be a floating one, not {np.dtype(dtype)}")
    _default_dtype = np.dtype(dtype)


def get_default_dtype() -> Any:
    """The dtype that Python floats become."""
    return _default_dtype


def asarray(data: Any, dtype: Any = None, device: str | None = None) -> Array:
    """`data` as an array of a backend: arrays keep theirs, Python floats take the default dtype."""
    owner = of_array(data)
    home = owner if device is None and owner.device != "cpu" else get(device)
    if home is not owner:
        data = owner.to_host(data) if isinstance(data, owner.array_type) else data
    if dtype is None and not hasattr(data, "dtype"):
        if isinstance(data, (list, tuple)) and any(hasattr(item, "backward") for item in data):
            raise TypeError(
                "tensor() of a list of Tensors would lose their history: use ag.stack(...)"
            )
        data = np.asarray(data)
        dtype = _default_dtype if data.dtype.kind == "f" else None
        if data.dtype.kind not in "biuf":
            raise TypeError(
                f"cannot make a tensor of {data.dtype} data; numbers and booleans are supported"
            )
    return home.asarray(data, dtype)


__getattr__ = moved_names(__name__, {"of": f"{__name__}.of_array"})
