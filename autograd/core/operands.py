"""Conversion of the array arguments of operations: numbers and nested lists become arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from .errors import prefix_error
from .install import operations
from .pytree import flatten
from .tensor import Tensor, unwrap


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
    is_floating = isinstance(value, float) or np.asarray(value).dtype.kind == "f"
    number = 0.0 if is_floating else value if isinstance(value, int) else None
    dtype = None if number is None else np.result_type(like.dtype, number)
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
