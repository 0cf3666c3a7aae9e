"""Products over axes, and cumulative sums and products along an axis."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..core.tensor import Axis, unwrap
from .creation import astype
from .declaration import primitive
from .indexing import getitem
from .joining import concatenate
from .movement import flip
from .reduction import apply_mask, element_count, initial_value, with_half_upcast
from .shape import array_and_axes, array_and_axis, moveaxis, reduced_shape, reshape

__all__ = ["cumprod", "cumsum", "prod"]


@primitive(x=lambda g, axis: flip(_cumsum(flip(g, axis), axis=axis), axis))
def _cumsum(xp: Any, x: Any, *, axis: int) -> Any:
    if x.dtype != "float16":
        return xp.cumsum(x, axis)
    return xp.cumsum(x, axis, "float32").astype("float16")


def cumsum(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """Return the cumulative sum along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int, optional
        By default the flattened array is summed.
    dtype : dtype, optional
        The dtype of the sum and of the result.

    Returns
    -------
    Tensor or array
        Cumulative sums of the shape of `x`, or (x.size,) if `axis` is None.

    Notes
    -----
    float16 is summed in float32.
    """
    x, axis = array_and_axis(x, axis, allow_scalar=True)
    y = _cumsum(x if dtype is None else astype(x, dtype), axis=axis)
    return y if dtype is None else astype(y, dtype)


def _upcast_integers(x: Any) -> Any:
    """Return integers in 64 bits, in which NumPy multiplies and adds them."""
    dtype = {"b": "int64", "i": "int64", "u": "uint64"}.get(x.dtype.kind)
    return astype(x, dtype) if dtype else x


@with_half_upcast
def cumprod(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """Return the cumulative product along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int, optional
        By default the flattened array is multiplied.
    dtype : dtype, optional
        The dtype of the product and of the result. By default integers are multiplied in 64 bits,
        and float16 in float32.

    Returns
    -------
    Tensor or array
        Cumulative products of the shape of `x`, or (x.size,) if `axis` is None.

    Notes
    -----
    Computed as a parallel prefix product [1]_: after k rounds each element is the product of up
    to 2^k elements. Without a division, derivatives of any order are correct at zeros.

    References
    ----------
    .. [1] W. D. Hillis and G. L. Steele, "Data parallel algorithms", Communications of the ACM
       29(12), 1986.
    """
    x, axis = array_and_axis(x, axis, allow_scalar=True)
    x = moveaxis(_upcast_integers(x) if dtype is None else astype(x, dtype), axis, 0)
    distance = 1
    while distance < x.shape[0]:
        products = getitem(x, slice(distance, None)) * getitem(x, slice(None, -distance))
        x = concatenate([getitem(x, slice(None, distance)), products])
        distance *= 2
    return moveaxis(x, 0, axis)


@with_half_upcast
def prod(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Multiply elements over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    dtype : dtype, optional
        The dtype of the product and of the result. By default integers are multiplied in 64 bits,
        and float16 in float32.
    initial : number, optional
        A number by which each product is multiplied.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.

    Returns
    -------
    Tensor or array
        Products over the axes; 1 for a product of no elements.

    Notes
    -----
    The first half of the elements is multiplied by the second half until one element is left.
    Without a division, derivatives of any order are correct at zeros.
    """
    x, axes = array_and_axes(x, axis, keepdims, allow_scalar=True)
    x = _upcast_integers(x) if dtype is None else astype(x, dtype)
    x = x if where is None else apply_mask(x, where, 1)
    shape = reduced_shape(x.shape, axes, False)
    result_shape = reduced_shape(x.shape, axes, keepdims)
    order = [*axes, *(a for a in range(x.ndim) if a not in axes)]
    length = element_count(x, axes)
    x = reshape(x.transpose(*order) if x.ndim else x, (length, *shape))
    if length == 0:
        xp = backend.of_array(unwrap(x)).xp
        x = reshape(x.sum(0) + xp.ones(shape, x.dtype), (1, *shape))
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        odd_element = getitem(x, slice(2 * half, None))
        x = getitem(x, slice(None, half)) * getitem(x, slice(half, 2 * half))
        x = concatenate([x, odd_element]) if odd_element.shape[0] else x
    x = reshape(x, result_shape)
    return x if initial is None else x * initial_value(initial, x)
