"""Conversion and validation of scalar options.

Options may be given as NumPy scalars, arrays or Tensors. The library stores them as Python numbers,
which do not change the dtype of arrays they are multiplied with and can be saved as JSON.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any


def to_python(value: Any) -> Any:
    """Convert an option to Python numbers.

    A NumPy scalar, an array or Tensor of shape () and any other real number becomes a bool, int or
    float. A longer array or Tensor becomes a list. Lists and tuples are converted element by
    element. Other values are returned unchanged.
    """
    if isinstance(value, (list, tuple)):
        items = [to_python(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Real) and not isinstance(value, (int, float)):
        return float(value)
    return value


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int. Raise ValueError if it is not an integer of at least `least`."""
    count = to_python(value)
    if not isinstance(count, int) or count < least:
        bounds = {0: "a non-negative integer", 1: "a positive integer"}
        expected = bounds.get(least, f"an integer of at least {least}")
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    return count


def check_non_negative(name: str, value: Any) -> float:
    """Return `value` as a float. Raise ValueError if it is negative or not finite."""
    number = to_python(value)
    if not isinstance(number, (int, float)) or not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return number


def check_probability(name: str, value: Any) -> float:
    """Return `value` as a float. Raise ValueError if it is not between 0 and 1."""
    number = to_python(value)
    if not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise ValueError(f"{name} probability has to be between 0 and 1, but got {value}")
    return number


def warn_changed_options(
    kind: str, saved: Mapping[str, Any] | None, current: Mapping[str, Any]
) -> None:
    """Warn about options whose current value, which is used, differs from the saved value."""
    for name, value in current.items():
        saved_value = (saved or {}).get(name, value)
        if to_python(saved_value) != to_python(value):
            warnings.warn(
                f"{kind} was saved with {name}={saved_value!r}, but now has {name}={value!r}, "
                f"which applies from here on; pass {name}={saved_value!r} to continue unchanged",
                stacklevel=3,
            )
