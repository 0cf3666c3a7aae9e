"""Primitives for the gates of a cell: several sigmoids and tanh side by side in one array.

sigmoid(x) = (1 + tanh(x / 2)) / 2, so both are tanh with a factor f per section of the last axis:

    f tanh(x) + 1 - f        sigmoid(2 x) for f = 1/2, tanh(x) for f = 1
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.primitive import Primitive

Sections = tuple[tuple[float, int], ...]
"""The factor and the length of each section of an axis."""


def section_factors(sections: Sections, axis: int, dtype: Any) -> np.ndarray[Any, Any]:
    """Return the factor of each entry along an axis, which is counted from the last (-1)."""
    factors = np.repeat([f for f, _ in sections], [length for _, length in sections])
    return factors.astype(dtype).reshape(-1, *(1,) * (-1 - axis))


def _scale_sections(xp: Any, x: Any, *, sections: Sections, axis: int) -> Any:
    return x * xp.asarray(section_factors(sections, axis, x.dtype))


def _activate_gates(xp: Any, x: Any, *, sections: Sections) -> Any:
    factors = xp.asarray(section_factors(sections, -1, x.dtype))
    return xp.tanh(x) * factors + (1 - factors)


SCALE_SECTIONS = Primitive("scale_sections", _scale_sections, ["x"], {})
"""x times the factors of the sections of an axis."""
ACTIVATE_GATES = Primitive("activate_gates", _activate_gates, ["x"], {})
"""sigmoid(2 x) in sections with the factor 1/2, tanh(x) in sections with the factor 1."""
for _primitive in (SCALE_SECTIONS, ACTIVATE_GATES):
    _primitive.pointwise = True
