"""Axes, integers and flags as users write them: NumPy's integers count as Python integers, and
lists of axes as tuples.
"""

from __future__ import annotations

import operator
from numbers import Integral
from typing import Any

from ..backend.base import AxisError
from ..core.tensor import unwrap


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
    """Return a static argument with its lists and arrays converted to tuples, so that it cannot
    change before the backward pass.
    """
    value = unwrap(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(map(freeze, value)) if isinstance(value, (tuple, list)) else value
