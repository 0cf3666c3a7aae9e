"""Products of matrices."""

from __future__ import annotations

from math import prod
from typing import Any

from .._primitive import primitive
from .shape import expand_dims, reshape, squeeze, swapaxes

__all__ = ["linear", "matmul"]


def _matmul_left(g: Any, b: Any) -> Any:
    return _matmul(g, swapaxes(b, -1, -2))


def _matmul_right(g: Any, a: Any) -> Any:
    return _matmul(swapaxes(a, -1, -2), g)


@primitive(a=_matmul_left, b=_matmul_right)
def _matmul(xp: Any, a: Any, b: Any) -> Any:
    return xp.matmul(a, b)


def matmul(a: Any, b: Any) -> Any:
    """The matrix product, as NumPy has it: the last two axes are matrices, the others broadcast,
    vectors allowed.
    """
    if getattr(a, "ndim", 0) > 1 and getattr(b, "ndim", 0) > 1:
        return _matmul(a, b)
    if not getattr(a, "ndim", 0) or not getattr(b, "ndim", 0):
        raise ValueError("matmul: both arguments need at least one dimension; use * for scalars")
    product = _matmul(
        a if a.ndim > 1 else expand_dims(a, 0), b if b.ndim > 1 else expand_dims(b, 1)
    )
    axes = tuple(axis for axis, operand in ((-2, a), (-1, b)) if operand.ndim == 1)
    return squeeze(product, axes)


def _rows(x: Any) -> Any:
    """All leading axes as one."""
    return x if x.ndim == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


@primitive(
    x=lambda g, weight: matmul(g, weight),
    weight=lambda g, x: _matmul(swapaxes(_rows(g), 0, 1), _rows(x)),
)
def linear(xp: Any, x: Any, weight: Any) -> Any:
    """`x @ weight.T` for x (..., I) and weight (O, I): what a layer with PyTorch's weight layout
    computes.

    A primitive for speed: its weight's gradient is one product over all leading axes, in the
    weight's own layout.
    """
    return xp.matmul(x, weight.T)
