"""Compare NumPy's functions on Tensors with the same calls on arrays.

A call has one of two acceptable outcomes: the result of NumPy (`SAME`; an exception where NumPy
raises one), or a clear error (`UNSUPPORTED`). Everything else is a difference, described in words.
"""

import linecache
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag
from autograd.numpy_protocol import _ARRAY_FUNCTIONS, _OPERATIONS

SAME, UNSUPPORTED = "same", "unsupported"

ENGINE = str(Path(ag.__file__).parent)
OPERATIONS = {*ag.__all__, *dir(ag)}
TOLERANCES = {np.float16: 4e-3, np.float32: 1e-5, np.float64: 1e-9}


def name_of(function: Any) -> str:
    """Return the name of a NumPy function below `np`, such as "linalg.norm"."""
    exported: Any = getattr(np, function.__name__, None)
    module = (function.__module__ or "numpy").removeprefix("numpy").removeprefix(".")
    return (
        function.__name__ if exported is function or not module else f"{module}.{function.__name__}"
    )


PROTOCOL = {name_of(function): function for function in (*_OPERATIONS, *_ARRAY_FUNCTIONS)}
PROTOCOL["angle"] = np.angle


def outcome(call: Callable[[], Any]) -> Any:
    """Return the result of a call, or the exception that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            return error


def verdict(expected: Any, actual: Any, plain: bool = False) -> str:
    """Return SAME, UNSUPPORTED, or a description of the difference between two outcomes.

    If `plain`, results may be arrays, and the call may be any code instead of one function.
    """
    if isinstance(actual, Exception):
        if isinstance(expected, Exception) and not _accidental(actual, expected):
            return SAME
        return (
            UNSUPPORTED
            if is_clear_error(actual, plain)
            else f"{_described(expected)}, but {_described(actual)}"
        )
    if isinstance(expected, Exception):
        return f"{_described(expected)}, but {_described(actual)}"
    a, b = ag.flatten(expected), ag.flatten(actual)
    if len(a) != len(b):
        return f"{len(a)} results, but {len(b)}"
    return next((d for pair in zip(a, b, strict=True) if (d := _difference(*pair, plain))), SAME)


def is_clear_error(error: Exception, plain: bool) -> bool:
    """True if an exception states clearly that a call is not supported.

    This is a TypeError, ValueError, IndexError or NotImplementedError from a `raise` statement of
    the engine, whose message names an operation. If `plain`, errors for attributes and arguments of
    methods that only arrays have count too; Python raises them in the caller's line.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    in_engine = last.filename.startswith(ENGINE)
    message = str(error)
    if not in_engine:
        missing = ("'Tensor' object has no attribute", "got an unexpected keyword argument")
        return plain and any(part in message for part in missing)
    if not isinstance(error, (TypeError, ValueError, IndexError, NotImplementedError)):
        return False
    raised = "raise " in linecache.getline(last.filename, last.lineno or 0)
    start = message.removeprefix("np.").partition("(")[0].partition(":")[0].partition(" ")[0]
    named = start in PROTOCOL or start in OPERATIONS or "np." in message
    return raised and named


def _accidental(actual: Exception, expected: Exception) -> bool:
    """True if the exception indicates a programming error rather than a wrong argument."""
    deliberate = (TypeError, ValueError, IndexError, NotImplementedError, OverflowError)
    return not isinstance(actual, (*deliberate, type(expected)))


def _difference(expected: Any, actual: Any, plain: bool) -> str:
    """Describe the difference between two leaves of the results; "" if they agree."""
    if not isinstance(expected, (np.ndarray, np.generic, bool, int, float)):
        comparable = type(expected).__eq__ is not object.__eq__
        same = type(expected) is type(actual) and (not comparable or expected == actual)
        return "" if same else f"{expected!r}, but {actual!r}"
    if isinstance(expected, np.ndarray) and not plain and not isinstance(actual, ag.Tensor):
        return f"an array, but a {type(actual).__name__}"
    a = np.asarray(expected)
    b = actual.numpy() if isinstance(actual, ag.Tensor) else np.asarray(actual)
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{a.shape} {a.dtype}, but {b.shape} {b.dtype}"
    return "" if _close(a, b) else f"{a.tolist()}, but {b.tolist()}"


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    """True if the values agree up to rounding; nan and infinities must be in the same places."""
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    tolerance = TOLERANCES.get(a.dtype.type, 1e-9)
    size = np.max(np.abs(a[np.isfinite(a)]), initial=1)
    return np.allclose(a, b, rtol=tolerance, atol=tolerance * size, equal_nan=True)


def _described(result: Any) -> str:
    if isinstance(result, Exception):
        last = traceback.extract_tb(result.__traceback__)[-1]
        location = f"{Path(last.filename).name}:{last.lineno}"
        return f"{type(result).__name__} at {location}: {str(result)[:150]}"
    return repr(result)[:150]
