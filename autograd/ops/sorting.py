"""Sorting, partitioning, the largest elements, and the median.

The gradient of each follows the permutation: it goes to the elements that were selected.
"""

from __future__ import annotations

from typing import Any

from ..core.tensor import Axis
from .arguments import as_operand, check_integer, normalize_axis
from .declaration import primitive
from .indexing import gather, getitem
from .logic import isnan
from .movement import flip
from .reduction import element_count, mean
from .selection import where
from .shape import array_and_axes, array_and_axis, reduced_shape, reshape

__all__ = ["argpartition", "argsort", "median", "partition", "sort", "top_k"]


@primitive()
def _argsort(xp: Any, x: Any, *, axis: int) -> Any:
    return xp.argsort(x, axis, kind="stable")


@primitive()
def _argpartition(xp: Any, x: Any, *, kth: Any, axis: int) -> Any:
    return xp.argpartition(x, kth, axis)


def argsort(x: Any, axis: int | None = -1) -> Any:
    """Return the indices that sort an array along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or None, default -1
        None sorts the flattened array.

    Returns
    -------
    Tensor or array of int
        Sorting indices. Equal elements keep their order (the sort is stable), and nan comes last.
        The result has no gradient.
    """
    x, axis = array_and_axis(x, axis, allow_scalar=True)
    return _argsort(x, axis=axis)


def sort(x: Any, axis: int | None = -1) -> Any:
    """Return a sorted copy of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or None, default -1
        None sorts the flattened array.

    Returns
    -------
    Tensor or array
        Elements in ascending order along `axis`; nan comes last.

    Notes
    -----
    The sort is stable, and the gradient follows the permutation.
    """
    x, axis = array_and_axis(x, axis)
    return gather(x, _argsort(x, axis=axis), axis)


def argpartition(x: Any, kth: Any, axis: int | None = -1) -> Any:
    """Return the indices that partition an array along an axis; see `partition`.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    kth : int or sequence of int
        The sorted position of the element that separates smaller elements from larger ones.
    axis : int or None, default -1
        None partitions the flattened array.

    Returns
    -------
    Tensor or array of int
        Partitioning indices. The result has no gradient.
    """
    x, axis = array_and_axis(x, axis, allow_scalar=True)
    return _argpartition(x, kth=kth, axis=axis)


def partition(x: Any, kth: Any, axis: int | None = -1) -> Any:
    """Return a partitioned copy of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    kth : int or sequence of int
        The sorted position of the element that separates smaller elements from larger ones.
    axis : int or None, default -1
        None partitions the flattened array.

    Returns
    -------
    Tensor or array
        The element at `kth` is in its sorted position; smaller elements precede it and larger ones
        follow it, in any order.

    Notes
    -----
    The gradient follows the permutation.
    """
    x, axis = array_and_axis(x, axis)
    return gather(x, _argpartition(x, kth=kth, axis=axis), axis)


def top_k(x: Any, k: int, axis: int = -1) -> Any:
    """Return the k largest elements along an axis and their indices.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    k : int
        Number of elements, from 0 to the length of the axis.
    axis : int, default -1
        Axis along which elements are compared.

    Returns
    -------
    values : Tensor or array
        Largest elements in descending order; nan counts as the largest.
    indices : Tensor or array of int
        Indices of the values. Equal elements keep their order.

    Raises
    ------
    ValueError
        If `k` is out of range.

    Notes
    -----
    The gradient goes to the selected elements.
    """
    x, k = as_operand(x), check_integer("k", k)
    axis = normalize_axis(axis, x.ndim)
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise ValueError(f"top_k: k must be between 0 and {n}, the length of axis {axis}, got {k}")
    # Both flips together keep equal elements in order; -x would overflow for some integers.
    order = n - 1 - flip(_argsort(flip(x, axis), axis=axis), axis)
    indices = getitem(order, (slice(None),) * axis + (slice(None, k),))
    return gather(x, indices, axis), indices


def median(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the median over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.

    Returns
    -------
    Tensor or array
        Middle element in sorted order, or mean of the middle two; nan if an element is nan, or if
        the array is empty.

    Notes
    -----
    The gradient goes to the middle element, or half each to the middle two.
    """
    x, axes = array_and_axes(x, axis, keepdims)
    other_axes = tuple(a for a in range(x.ndim) if a not in axes)
    shape = tuple(x.shape[a] for a in other_axes)
    n = element_count(x, axes)
    rows = reshape(x.transpose(*other_axes, *axes) if x.ndim else x, (*shape, n))
    if not n:
        return mean(x, axis, keepdims)
    ordered = sort(rows)
    middle = mean(getitem(ordered, (..., slice((n - 1) // 2, n // 2 + 1))), -1)
    if x.dtype.kind == "f":
        last = getitem(ordered, (..., -1))
        middle = where(isnan(last), last, middle)
    return reshape(middle, reduced_shape(x.shape, axes, keepdims))
