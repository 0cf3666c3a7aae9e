"""Maxima and minima over axes, and their indices."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Axis
from .creation import astype
from .declaration import primitive
from .elementwise import maximum, minimum
from .indexing import gather
from .reduction import (
    _sum,
    apply_mask,
    element_count,
    initial_value,
    upcast_half,
)
from .selection import where
from .shape import array_and_axes, array_and_axis, expand_dims, reduced_shape, reshape

__all__ = ["argmax", "argmin", "max", "max_with_indices", "min", "min_with_indices"]


def _split_among_ties(g: Any, x: Any, y: Any, axes: tuple[int, ...]) -> Any:
    """Split the gradient evenly among the elements that equal the extreme; none equals nan."""
    shape = reduced_shape(x.shape, axes, True)
    is_extreme, g = x == reshape(y, shape), upcast_half(reshape(g, shape))
    count = maximum(_sum(is_extreme, axes=axes, keepdims=True), 1)
    return where(is_extreme, g / astype(count, g.dtype), 0)


@primitive(x=_split_among_ties)
def _max(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.max(x, axes, keepdims=keepdims)


@primitive(x=_split_among_ties)
def _min(xp: Any, x: Any, *, axes: tuple[int, ...], keepdims: bool) -> Any:
    return xp.min(x, axes, keepdims=keepdims)


def _reduce(
    reduction: Any, combine: Any, x: Any, axis: Axis, keepdims: bool, initial: Any, mask: Any
) -> Any:
    x, axes = array_and_axes(x, axis, keepdims, allow_scalar=True)
    mask = None if mask is True else mask
    if initial is None:
        if mask is not None:
            raise ValueError(
                f"{reduction.__name__}: where requires initial, the result if nothing is selected"
            )
        return reduction(x, axes=axes, keepdims=keepdims)
    initial = initial_value(initial, x)
    x = x if mask is None else apply_mask(x, mask, initial)
    if not element_count(x, axes):
        return astype(_sum(x, axes=axes, keepdims=keepdims) + initial, x.dtype)
    return combine(reduction(x, axes=axes, keepdims=keepdims), initial)


def max(
    x: Any, axis: Axis = None, keepdims: bool = False, *, initial: Any = None, where: Any = None
) -> Any:
    """Return the maximum over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    initial : number, optional
        A lower bound of the result, and the maximum of an empty selection.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.
        Requires `initial`.

    Returns
    -------
    Tensor or array
        Maximum over the axes; nan if an element is nan.

    Raises
    ------
    ValueError
        If `x` is empty and `initial` is not given, or if `where` is given without `initial`.

    Notes
    -----
    Equal maxima share the gradient evenly.
    """
    return _reduce(_max, maximum, x, axis, keepdims, initial, where)


def min(
    x: Any, axis: Axis = None, keepdims: bool = False, *, initial: Any = None, where: Any = None
) -> Any:
    """Return the minimum over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    initial : number, optional
        An upper bound of the result, and the minimum of an empty selection.
    where : Tensor or array_like of bool, optional
        A mask that broadcasts to the shape of `x`. Elements where it is False are left out.
        Requires `initial`.

    Returns
    -------
    Tensor or array
        Minimum over the axes; nan if an element is nan.

    Raises
    ------
    ValueError
        If `x` is empty and `initial` is not given, or if `where` is given without `initial`.

    Notes
    -----
    Equal minima share the gradient evenly.
    """
    return _reduce(_min, minimum, x, axis, keepdims, initial, where)


# --- indices --------------------------------------------------------------------------------------


@primitive()
def _argmax(xp: Any, x: Any, *, axis: int | None) -> Any:
    return xp.argmax(x, axis)


@primitive()
def _argmin(xp: Any, x: Any, *, axis: int | None) -> Any:
    return xp.argmin(x, axis)


def _index_of_extreme(operation: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    x, axes = array_and_axes(x, axis, keepdims, allow_scalar=True)
    if isinstance(axis, (tuple, list)):
        raise TypeError(f"{operation.__name__}: axis must be an integer or None, got {axis}")
    indices = operation(x, axis=axes[0] if axis is not None and axes else None)
    return reshape(indices, reduced_shape(x.shape, axes, True)) if keepdims else indices


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Return the index of the maximum along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int, optional
        By default the index refers to the flattened array.
    keepdims : bool, default False
        Keep the reduced axes with length 1.

    Returns
    -------
    Tensor or array of int
        Index of the first maximum. The result has no gradient.

    Raises
    ------
    TypeError
        If `axis` is a tuple.
    ValueError
        If `x` is empty.
    """
    return _index_of_extreme(_argmax, x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Return the index of the minimum along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int, optional
        By default the index refers to the flattened array.
    keepdims : bool, default False
        Keep the reduced axes with length 1.

    Returns
    -------
    Tensor or array of int
        Index of the first minimum. The result has no gradient.

    Raises
    ------
    TypeError
        If `axis` is a tuple.
    ValueError
        If `x` is empty.
    """
    return _index_of_extreme(_argmin, x, axis, keepdims)


def _with_indices(operation: Any, x: Any, axis: int | None, keepdims: bool) -> tuple[Any, Any]:
    x, axes = array_and_axes(x, axis, keepdims, allow_scalar=True)
    shape = reduced_shape(x.shape, axes, keepdims)
    x, axis = array_and_axis(x, axis, allow_scalar=True)
    indices = expand_dims(operation(x, axis), axis)
    return reshape(gather(x, indices, axis), shape), reshape(indices, shape)


def max_with_indices(x: Any, axis: int | None = None, keepdims: bool = False) -> tuple[Any, Any]:
    """Return the maximum along an axis and its index, as PyTorch's ``x.max(axis)``.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int, optional
        By default the flattened array is reduced.
    keepdims : bool, default False
        Keep the reduced axes with length 1.

    Returns
    -------
    values : Tensor or array
        Maximum along the axis.
    indices : Tensor or array of int
        Index of the first maximum.

    Notes
    -----
    The gradient goes to the element at the returned index only, while `max` splits it among ties.
    """
    return _with_indices(argmax, x, axis, keepdims)


def min_with_indices(x: Any, axis: int | None = None, keepdims: bool = False) -> tuple[Any, Any]:
    """Return the minimum along an axis and its index, as PyTorch's ``x.min(axis)``.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int, optional
        By default the flattened array is reduced.
    keepdims : bool, default False
        Keep the reduced axes with length 1.

    Returns
    -------
    values : Tensor or array
        Minimum along the axis.
    indices : Tensor or array of int
        Index of the first minimum.

    Notes
    -----
    The gradient goes to the element at the returned index only, while `min` splits it among ties.
    """
    return _with_indices(argmin, x, axis, keepdims)
