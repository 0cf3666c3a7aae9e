"""Arguments as users write them: NumPy's integers count as Python's, lists of axes as tuples, and
numbers and nested lists, of Tensors too, as arrays.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .. import backend
from ..backend.base import AxisError
from . import graph
from .pytree import flatten
from .tensor import Tensor, unwrap


def as_integer(value: Any) -> int | None:
    """`value` as an int if it is an integer, Python's or NumPy's; else None, for a bool too."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def check_integer(name: str, value: Any) -> int:
    """The argument `name`, which must be an integer."""
    number = as_integer(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return number


def check_flag(name: str, value: Any) -> None:
    """Raise TypeError if the argument `name` is not a bool or an integer."""
    if not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def normalize_axis(axis: Any, ndim: int) -> int:
    """An `axis` argument that names one axis, as a non-negative integer."""
    number = axis if type(axis) is int else check_integer("axis", axis)
    if not -ndim <= number < ndim:
        raise AxisError(f"axis {number} is out of range for an array of {ndim} dimension(s)")
    return number % ndim


def is_scalar_axis(axis: Any, ndim: int) -> bool:
    """True for axis 0 or -1 of an array without axes, which some of NumPy's functions allow."""
    return ndim == 0 and as_integer(axis) in (0, -1)


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """An `axis` argument as a tuple of non-negative axes (None: all of them)."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (normalize_axis(axis, ndim),)
    axes = tuple([normalize_axis(a, ndim) for a in axis])
    if len(set(axes)) < len(axes):
        raise ValueError(f"repeated axis in {axis}")
    return axes


def freeze(value: Any) -> Any:
    """A static argument, with its lists and arrays as tuples that cannot change until backward."""
    value = unwrap(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(freeze, value)) if isinstance(value, (tuple, list)) else value


def as_operand(value: Any, beside: Any = None) -> Any:
    """An array or Tensor: `value` itself, or a number or nested list as one.

    Lists that contain Tensors are stacked, so they stay differentiable. Python floats take the
    floating dtype of the array `beside` them (float64 beside integers), as they do in arithmetic,
    and without one: a number float64, a list the default dtype.
    """
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        return value
    tensors = [leaf for leaf in flatten(value) if isinstance(leaf, Tensor)]
    if tensors:
        return graph.stack([as_operand(item, tensors[0]) for item in value])
    if not hasattr(beside, "dtype"):
        return backend.asarray(value, "float64" if isinstance(value, float) else None)
    is_floating = isinstance(value, float) or np.asarray(value).dtype.kind == "f"
    weak = 0.0 if is_floating else value if isinstance(value, int) else None
    dtype = None if weak is None else np.result_type(beside.dtype, weak)
    return backend.asarray(value, dtype, backend.of_array(_arrays(beside)).device)


def as_operands(*values: Any, name: str = "") -> list[Any]:
    """The arguments of one operation as arrays or Tensors; see `operand`. Errors begin with `name`,
    if it is given.
    """
    if set(map(type, values)) == {Tensor}:
        return list(values)
    beside = next((value for value in values if hasattr(value, "dtype")), None)
    try:
        return [as_operand(value, beside) for value in values]
    except (TypeError, ValueError) as error:
        raise prefix_error(name, error) if name else error from error


def as_operand_list(name: str, arrays: Any) -> list[Any]:
    """The arrays in a list, tuple or array as arrays or Tensors; see `operand`."""
    if not hasattr(arrays, "__iter__"):
        raise TypeError(f"{name}: a sequence of arrays is needed, got {arrays!r}")
    return as_operands(*arrays, name=name)


_REBUILT = (ValueError, TypeError, IndexError, OverflowError, FloatingPointError, AxisError)


def prefix_error(text: str, error: BaseException) -> BaseException:
    """Return `error` with `text` before its message. An exception whose type has a constructor of
    its own (as NumPy's `_UFuncNoLoopError`) is the same object, with a note.
    """
    if type(error) in _REBUILT:
        return type(error)(f"{text}: {error}")
    if isinstance(error, Exception):
        error.add_note(f"in {text}")
    return error
