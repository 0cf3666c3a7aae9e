"""Products of matrices."""

from __future__ import annotations

from math import prod
from typing import Any

from .._primitive import primitive
from .shape import expand_dims, reshape, squeeze

__all__ = ["linear", "matmul"]


@primitive(
    a=lambda g, b: _matmul(g, b.swapaxes(-1, -2)),
    b=lambda g, a: _matmul(a.swapaxes(-1, -2), g),
)
def _matmul(xp: Any, a: Any, b: Any) -> Any:
    return a.dot(b) if a.ndim == b.ndim == 2 else xp.matmul(a, b)  # dot is faster where it can be


def matmul(a: Any, b: Any) -> Any:
    """The matrix product, as NumPy has it: the last two axes are matrices, the others broadcast,
    vectors allowed.
    """
    a_ndim, b_ndim = getattr(a, "ndim", 0), getattr(b, "ndim", 0)
    if a_ndim > 1 and b_ndim > 1:
        return _matmul(a, b)
    if not a_ndim or not b_ndim:
        raise ValueError("matmul: both arguments need at least one dimension; use * for scalars")
    product = _matmul(
        a if a_ndim > 1 else expand_dims(a, 0), b if b_ndim > 1 else expand_dims(b, 1)
    )
    axes = tuple(axis for axis, ndim in ((-2, a_ndim), (-1, b_ndim)) if ndim == 1)
    return squeeze(product, axes)


def _rows(x: Any) -> Any:
    """All leading axes as one."""
    return x if x.ndim == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


@primitive(
    x=lambda g, weight: matmul(g, weight),
    weight=lambda g, x: _matmul(_rows(g).T, _rows(x)),
)
def linear(xp: Any, x: Any, weight: Any) -> Any:
    """`x @ weight.T` for x (..., I) and weight (O, I): what a layer with PyTorch's weight layout
    computes.

    A primitive for speed: its weight's gradient is one product over all leading axes, in the
    weight's own layout.
    """
    return x.dot(weight.T) if x.ndim == 2 else xp.matmul(x, weight.T)
