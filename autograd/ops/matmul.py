"""Products of matrices."""

from __future__ import annotations

from math import prod
from typing import Any

from .. import backend
from ..core.operands import as_operands
from ..core.primitive import primitive, record_operation
from ..core.tensor import Tensor, unwrap
from .elementwise import add
from .shape import expand_dims, moveaxis, reshape, squeeze

__all__ = ["linear", "matmul"]


def _rows(x: Any) -> Any:
    """Flatten all leading axes: (..., M, N) to (... M, N)."""
    return x if x.ndim == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _columns(x: Any) -> Any:
    """Flatten all axes but the last but one: (..., M, N) to (M, ... N)."""
    return reshape(moveaxis(x, -2, 0), (x.shape[-2], prod(x.shape[:-2]) * x.shape[-1]))


def _left_gradient(g: Any, b: Any, a_shape: tuple[int, ...]) -> Any:
    """g b', summed over the batch axes in the product itself if all share the matrix `a`."""
    if len(a_shape) == 2 < b.ndim:
        return _matmul(_columns(g), _columns(b).T)
    return _matmul(g, b.swapaxes(-1, -2))


def _right_gradient(g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    """a' g, summed over the batch axes in the product itself if all share the matrix `b`."""
    if len(b_shape) == 2 < a.ndim:
        return _matmul(_rows(a).T, _rows(g))
    return _matmul(a.swapaxes(-1, -2), g)


@primitive(a=_left_gradient, b=_right_gradient)
def _matmul(xp: Any, a: Any, b: Any) -> Any:
    """The product of matrices in the last two axes.

    With a single matrix on the right, all rows on the left make one product: NumPy would compute
    one small product per batch entry.
    """
    return _rows_times_matrix(a, b) if b.ndim == 2 else xp.matmul(a, b)


def _rows_times_matrix(x: Any, matrix: Any) -> Any:
    """x (..., K) times a matrix (K, N), arrays both, as one product."""
    if x.ndim == 2:
        return x.dot(matrix)
    flat = x.reshape(prod(x.shape[:-1]), x.shape[-1])
    return flat.dot(matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def matmul(a: Any, b: Any) -> Any:
    """The matrix product, as NumPy has it: the last two axes are matrices, the others broadcast,
    vectors allowed.
    """
    a_ndim, b_ndim = getattr(a, "ndim", 0), getattr(b, "ndim", 0)
    if a_ndim > 1 and b_ndim > 1:
        return _matmul(a, b)
    a, b = as_operands(a, b, name="matmul")
    a_ndim, b_ndim = a.ndim, b.ndim
    if not a_ndim or not b_ndim:
        raise ValueError("matmul: both arguments need at least one dimension; use * for scalars")
    product = _matmul(
        a if a_ndim > 1 else expand_dims(a, 0), b if b_ndim > 1 else expand_dims(b, 1)
    )
    axes = tuple(axis for axis, ndim in ((-2, a_ndim), (-1, b_ndim)) if ndim == 1)
    return squeeze(product, axes)


@primitive(
    x=lambda g, weight: matmul(g, weight),
    weight=lambda g, x: _matmul(_rows(g).T, _rows(x)),
)
def _linear(xp: Any, x: Any, weight: Any) -> Any:
    """x weight': a primitive so that the gradient of the weight has the weight's own layout."""
    if weight.ndim != 2:
        raise ValueError(f"weight must have shape (O, I), got {weight.shape}")
    return _rows_times_matrix(x, weight.T)


for _product in (_matmul, _linear):
    _product.primitive.fresh_gradients = True


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """Return `x @ weight.T + bias`, a layer whose weight has PyTorch's layout.

    Parameters
    ----------
    x : array_like, shape (..., I)
    weight : array_like, shape (O, I)
    bias : array_like, shape (O,), optional

    Returns
    -------
    Tensor or array, shape (..., O)

    Raises
    ------
    ValueError
        If `weight` does not have two axes or its second axis does not match the last one of `x`.
    """
    y = _linear(x, weight)
    return y if bias is None else _plus(y, bias)


def _plus(y: Any, bias: Any) -> Any:
    """y + bias for a new product `y`, in its own memory where that is possible: no other reference
    to `y` exists, and no rule reads it.
    """
    out, b = unwrap(y), unwrap(bias)
    home = backend.of_array(out)
    plain = isinstance(out, home.array_type) and isinstance(b, home.array_type)
    if not (plain and b.dtype == out.dtype and b.shape == out.shape[-1:]):
        return y + bias
    rows = _rows(out)  # a view
    home.for_rows(lambda part: home.xp.add(rows[part], b, rows[part]), *rows.shape)
    parents = tuple([x._node if isinstance(x, Tensor) else None for x in (y, bias)])
    is_tensor = isinstance(y, Tensor) or isinstance(bias, Tensor)
    return record_operation(add.primitive, parents, (out, b), out, {}) if is_tensor else out
