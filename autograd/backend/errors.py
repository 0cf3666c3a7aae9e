"""Errors that name the operation and its arguments."""

from __future__ import annotations

from typing import Any

from . import DeviceError, of_array
from .base import AxisError

_REBUILT = (ValueError, TypeError, IndexError, OverflowError, FloatingPointError, AxisError)


def prefix_error(text: str, error: BaseException) -> BaseException:
    """Return `error` with `text` in front of its message.

    Built-in exceptions are rebuilt. An exception whose constructor may take other arguments, such
    as NumPy's `_UFuncNoLoopError`, is returned unchanged, with `text` as a note.
    """
    if type(error) in _REBUILT:
        return type(error)(f"{text}: {error}")
    if isinstance(error, Exception):
        error.add_note(f"in {text}")
    return error


def operation_error(name: str, error: BaseException, arguments: Any) -> BaseException:
    """Convert an error of a forward function to the error that the operation raises.

    The new error names the operation, its arguments and, if they differ, their devices.
    """
    arrays = [x for x in arguments if hasattr(x, "dtype")]
    real_arrays = [x for x in arrays if x.dtype.kind != "c"]
    devices = sorted({of_array(x).device for x in real_arrays})
    if len(devices) > 1:
        return DeviceError(
            f"{name}: arguments on different devices, {' and '.join(devices)}; "
            f"move one with x.to({devices[-1]!r}), or if it is a NumPy array, create it with "
            f"ag.tensor(x, device={devices[-1]!r})"
        )
    if len(real_arrays) < len(arrays):
        error = TypeError("complex arrays are not supported")
    call = f"{name}({', '.join(map(_describe, arguments))})" if arguments else name
    return prefix_error(call, error)


def _describe(value: Any) -> str:
    return f"{value.shape} {value.dtype}" if hasattr(value, "dtype") else repr(value)
