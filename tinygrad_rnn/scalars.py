"""Options that are given as NumPy scalars, arrays or Tensors, as Python numbers.

Options are multiplied with arrays, whose dtype they must not change, and are saved as JSON.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any


def to_python(value: Any) -> Any:
    """Return an option as Python's own numbers.

    A NumPy scalar, an array or Tensor of shape () and every other real number becomes a bool, int
    or float, a longer array or Tensor a list of them. Lists and tuples are converted element by
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
    """Return a whole number of at least `least`; ValueError, with the option's name, otherwise."""
    count = to_python(value)
    if not isinstance(count, int) or count < least:
        raise ValueError(f"{name} must be a whole number from {least} on, not {value!r}")
    return count


def check_non_negative(name: str, value: Any) -> float:
    """Return a finite number of at least 0; ValueError, with the option's name, otherwise."""
    number = to_python(value)
    if not isinstance(number, (int, float)) or not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}")
    return number


def check_probability(name: str, value: Any) -> float:
    """Return a probability; ValueError, with the option's name, for other values."""
    number = to_python(value)
    if not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise ValueError(f"{name} probability must lie between 0 and 1, not {value}")
    return number


def warn_changed_options(
    kind: str, saved: Mapping[str, Any] | None, present: Mapping[str, Any]
) -> None:
    """Warn of options that differ from those that were saved. The present ones apply."""
    for name, value in present.items():
        before = (saved or {}).get(name, value)
        if to_python(before) != to_python(value):
            warnings.warn(
                f"{kind} was saved with {name}={before!r}, but now has {name}={value!r}, which "
                "applies from here on; give it the saved value to continue unchanged",
                stacklevel=3,
            )
