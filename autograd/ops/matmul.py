"""Matrix products."""

from __future__ import annotations

from math import prod
from typing import Any

from .. import backend
from ..core.primitive import record_operation
from ..core.tensor import Tensor, unwrap
from .arguments import as_operands
from .declaration import primitive
from .elementwise import add
from .shape import expand_dims, moveaxis, reshape, squeeze

__all__ = ["linear", "matmul"]


def _flatten_rows(x: Any) -> Any:
    """Merge all axes but the last: (..., M, N) to (... * M, N)."""
    return x if x.ndim == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _flatten_columns(x: Any) -> Any:
    """Merge all axes but the last but one: (..., M, N) to (M, ... * N)."""
    return reshape(moveaxis(x, -2, 0), (x.shape[-2], prod(x.shape[:-2]) * x.shape[-1]))


def _matmul_vjp_a(g: Any, b: Any, a_shape: tuple[int, ...]) -> Any:
    """Return g b'. If the batch shares one matrix a, a single product also sums over the batch."""
    if len(a_shape) == 2 < b.ndim:
        return _matmul(_flatten_columns(g), _flatten_columns(b).T)
    return _matmul(g, b.swapaxes(-1, -2))


def _matmul_vjp_b(g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    """Return a' g. If the batch shares one matrix b, a single product also sums over the batch."""
    if len(b_shape) == 2 < a.ndim:
        return _matmul(_flatten_rows(a).T, _flatten_rows(g))
    return _matmul(a.swapaxes(-1, -2), g)


@primitive(a=_matmul_vjp_a, b=_matmul_vjp_b)
def _matmul(xp: Any, a: Any, b: Any) -> Any:
    """Multiply the matrices in the last two axes.

    If b is a single matrix, all rows of a are multiplied in one product; NumPy computes one small
    product per batch entry.
    """
    return _multiply_rows(a, b) if b.ndim == 2 else xp.matmul(a, b)


def _multiply_rows(x: Any, matrix: Any) -> Any:
    """Multiply an array (..., K) by a matrix (K, N) in one product."""
    if x.ndim == 2:
        return x.dot(matrix)
    rows = x.reshape(prod(x.shape[:-1]), x.shape[-1])
    return rows.dot(matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def matmul(a: Any, b: Any) -> Any:
    """Multiply matrices.

    Parameters
    ----------
    a : Tensor or array_like, shape (..., M, K) or (K,)
        Matrices, or a vector.
    b : Tensor or array_like, shape (..., K, N) or (K,)
        Matrices, or a vector. The leading axes of `a` and `b` are batch axes, which broadcast.

    Returns
    -------
    Tensor or array, shape (..., M, N)
        Matrix products. The axis M or N is missing if `a` or `b` is a vector.

    Raises
    ------
    ValueError
        If an argument has no axes, or the shapes do not match.

    Notes
    -----
    The gradients are ``g @ b.mT`` and ``a.mT @ g``, summed over axes along which an argument was
    broadcast.
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
    weight=lambda g, x: _matmul(_flatten_rows(g).T, _flatten_rows(x)),
)
def _linear(xp: Any, x: Any, weight: Any) -> Any:
    """Return x weight'. As a primitive, its gradient has the memory layout of the weight."""
    if weight.ndim != 2:
        raise ValueError(f"weight must have shape (O, I), got {weight.shape}")
    return _multiply_rows(x, weight.T)


for _operation in (_matmul, _linear):
    _operation.primitive.fresh_gradients = True


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``x @ weight.T + bias``, a fully connected layer with the weight layout of PyTorch.

    Parameters
    ----------
    x : Tensor or array_like, shape (..., I)
        Input features.
    weight : Tensor or array_like, shape (O, I)
        Weight matrix.
    bias : Tensor or array_like, shape (O,), optional
        Bias, by default none.

    Returns
    -------
    Tensor or array, shape (..., O)
        Output features.

    Raises
    ------
    ValueError
        If `weight` does not have two axes, or its second axis does not match the last axis of `x`.
    """
    y = _linear(x, weight)
    return y if bias is None else _add_bias(y, bias)


def _add_bias(y: Any, bias: Any) -> Any:
    """Return y + bias, computed in the memory of `y` if possible.

    That is safe for a new product: no other reference to it exists, and no VJP rule reads it.
    """
    out, b = unwrap(y), unwrap(bias)
    array_backend = backend.of_array(out)
    array_type = array_backend.array_type
    is_plain = isinstance(out, array_type) and isinstance(b, array_type)
    if not (is_plain and b.dtype == out.dtype and b.shape == out.shape[-1:]):
        return y + bias
    rows = _flatten_rows(out)  # a view
    array_backend.for_rows(
        lambda part: array_backend.xp.add(rows[part], b, rows[part]), *rows.shape
    )
    parents = tuple([x._node if isinstance(x, Tensor) else None for x in (y, bias)])
    is_tensor = isinstance(y, Tensor) or isinstance(bias, Tensor)
    return record_operation(add.primitive, parents, (out, b), out, {}) if is_tensor else out
