"""Conversion of arguments: axes, integers and flags, and numbers and nested lists as arrays.

NumPy's integers count as Python integers, and lists of axes as tuples.
"""

from __future__ import annotations

import operator
from numbers import Integral
from typing import Any

from .. import backend
from ..backend.base import AxisError
from ..backend.errors import prefix_error
from ..core.install import operations
from ..core.pytree import flatten
from ..core.tensor import Tensor, unwrap


def as_integer(value: Any) -> int | None:
    """Return an integer of Python or NumPy as an int, anything else (also a bool) as None."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def check_integer(name: str, value: Any) -> int:
    """Return the argument `name` as an int; raise TypeError if it is not an integer."""
    number = as_integer(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return number


def check_flag(name: str, value: Any) -> None:
    """Raise TypeError if the argument `name` is neither a bool nor an integer."""
    if not isinstance(value, Integral):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def normalize_axis(axis: Any, ndim: int) -> int:
    """Return an axis of an array with `ndim` axes as a non-negative integer."""
    number = axis if type(axis) is int else check_integer("axis", axis)
    if not -ndim <= number < ndim:
        raise AxisError(f"axis {number} is out of range for an array of {ndim} dimension(s)")
    return number % ndim


def is_scalar_axis(axis: Any, ndim: int) -> bool:
    """True for axis 0 or -1 of a 0-d array, which some of NumPy's functions accept."""
    return ndim == 0 and as_integer(axis) in (0, -1)


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return an `axis` argument as a tuple of non-negative integers (None: all axes)."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (normalize_axis(axis, ndim),)
    axes = tuple([normalize_axis(a, ndim) for a in axis])
    if len(set(axes)) < len(axes):
        raise ValueError(f"repeated axis in {axis}")
    return axes


def freeze(value: Any) -> Any:
    """Return a static argument with its lists and arrays as tuples, which cannot change."""
    value = unwrap(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(freeze, value)) if isinstance(value, (tuple, list)) else value


def as_operand(value: Any, like: Any = None) -> Any:
    """Return an array or Tensor unchanged, and a number or nested list as an array.

    Lists that contain Tensors are stacked, so they stay differentiable. A Python float becomes an
    array of the floating dtype of `like`, the other operand (float64 if that holds integers), as in
    NumPy's arithmetic. Without `like`, a number becomes float64 and a list the default dtype.
    """
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        return value
    tensors = [leaf for leaf in flatten(value) if isinstance(leaf, Tensor)]
    if tensors:
        return operations.stack([as_operand(item, tensors[0]) for item in value])
    if not hasattr(like, "dtype"):
        return backend.asarray(value, "float64" if isinstance(value, float) else None)
    dtype = backend.weak_dtype(value, like.dtype)
    return backend.asarray(value, dtype, backend.of_array(unwrap(like)).device)


def as_operands(*values: Any, name: str = "") -> list[Any]:
    """Convert all arguments of one operation by `as_operand`; errors begin with `name`."""
    if set(map(type, values)) == {Tensor}:
        return list(values)
    like = next((value for value in values if hasattr(value, "dtype")), None)
    try:
        return [as_operand(value, like) for value in values]
    except (TypeError, ValueError) as error:
        raise prefix_error(name, error) if name else error from error


def as_operand_list(name: str, arrays: Any) -> list[Any]:
    """Convert the items of a list, tuple or array by `as_operand`."""
    if not hasattr(arrays, "__iter__"):
        raise TypeError(f"{name} needs a sequence of arrays, got {arrays!r}")
    return as_operands(*arrays, name=name)
