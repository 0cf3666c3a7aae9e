"""Operations along an axis in which the order matters: running sums and products, sorting."""

from __future__ import annotations

from math import prod as prod_of
from typing import Any

from .. import backend
from ..core.operands import as_operand
from ..core.primitive import primitive
from ..core.tensor import Axis, unwrap
from .arguments import check_integer, normalize_axis
from .creation import astype
from .indexing import getitem, pick
from .logic import isnan
from .movement import flip
from .reduction import argmax, argmin, computed_wide, masked, mean, started
from .selection import where
from .shape import along, concatenate, expand_dims, moveaxis, over, reduced, reshape

__all__ = [
    "argpartition",
    "argsort",
    "cumprod",
    "cumsum",
    "max_with_indices",
    "median",
    "min_with_indices",
    "partition",
    "prod",
    "sort",
    "top_k",
]


@primitive(x=lambda g, axis: flip(_cumsum(flip(g, axis), axis=axis), axis))
def _cumsum(xp: Any, x: Any, *, axis: int) -> Any:
    if x.dtype != "float16":
        return xp.cumsum(x, axis)
    return xp.cumsum(x, axis, "float32").astype("float16")


def cumsum(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """The sum of all elements up to each, along `axis` (None: of the flat array)."""
    x, axis = along(x, axis, numbers=True)
    y = _cumsum(x if dtype is None else astype(x, dtype), axis=axis)
    return y if dtype is None else astype(y, dtype)


def _wide(x: Any) -> Any:
    """Integers in 64 bits, as NumPy multiplies and adds them up."""
    wide = {"b": "int64", "i": "int64", "u": "uint64"}.get(x.dtype.kind)
    return astype(x, wide) if wide else x


@computed_wide
def cumprod(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """The product of all elements up to each, along `axis` (None: of the flat array).

    By doubling (Hillis & Steele 1986): after k rounds each element is the product of the last 2^k.
    There is no division, so zeros are no exception, in derivatives of any order.
    """
    x, axis = along(x, axis, numbers=True)
    x = moveaxis(_wide(x) if dtype is None else astype(x, dtype), axis, 0)
    reach = 1
    while reach < x.shape[0]:
        grown = getitem(x, slice(reach, None)) * getitem(x, slice(None, -reach))
        x = concatenate([getitem(x, slice(None, reach)), grown])
        reach *= 2
    return moveaxis(x, 0, axis)


@computed_wide
def prod(
    x: Any,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The product over `axis`, taken half by half; zeros are treated as in `cumprod`.

    `dtype`, `initial` and `where` as in `sum`.
    """
    x, axes = over(x, axis, keepdims, numbers=True)
    x = _wide(x) if dtype is None else astype(x, dtype)
    x = x if where is None else masked(x, where, 1)
    shape, kept = reduced(x.shape, axes, False), reduced(x.shape, axes, keepdims)
    order = [*axes, *(a for a in range(x.ndim) if a not in axes)]
    length = prod_of(x.shape[a] for a in axes)
    x = reshape(x.transpose(*order) if x.ndim else x, (length, *shape))
    if length == 0:
        xp = backend.of_array(unwrap(x)).xp
        x = reshape(x.sum(0) + xp.ones(shape, x.dtype), (1, *shape))
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        rest = getitem(x, slice(2 * half, None))
        x = getitem(x, slice(None, half)) * getitem(x, slice(half, 2 * half))
        x = concatenate([x, rest]) if rest.shape[0] else x
    x = reshape(x, kept)
    return x if initial is None else x * started(initial, x)


# --- sorting: the gradient follows the permutation ------------------------------------------------


@primitive()
def _argsort(xp: Any, x: Any, *, axis: int) -> Any:
    return xp.argsort(x, axis, kind="stable")


@primitive()
def _argpartition(xp: Any, x: Any, *, kth: Any, axis: int) -> Any:
    return xp.argpartition(x, kth, axis)


def argsort(x: Any, axis: int | None = -1) -> Any:
    """The indices that sort along `axis` (None: the flat array); equals keep their order."""
    x, axis = along(x, axis, numbers=True)
    return _argsort(x, axis=axis)


def sort(x: Any, axis: int | None = -1) -> Any:
    """Sorted along `axis` (None: the flat array); the gradient follows the permutation."""
    x, axis = along(x, axis)
    return pick(x, _argsort(x, axis=axis), axis)


def argpartition(x: Any, kth: Any, axis: int | None = -1) -> Any:
    """The indices that bring the kth smallest to its place, smaller before it, larger behind it."""
    x, axis = along(x, axis, numbers=True)
    return _argpartition(x, kth=kth, axis=axis)


def partition(x: Any, kth: Any, axis: int | None = -1) -> Any:
    """With the kth smallest in its place, smaller before it; the gradient follows the elements."""
    x, axis = along(x, axis)
    return pick(x, _argpartition(x, kth=kth, axis=axis), axis)


def top_k(x: Any, k: int, axis: int = -1) -> Any:
    """The k greatest along `axis`, descending, and their indices; nan counts as greatest, and of
    equals the first comes first.
    """
    x, k = as_operand(x), check_integer("k", k)
    axis = normalize_axis(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"top_k: k={k} of the {x.shape[axis]} elements of axis {axis}")
    # Both flips together keep equals in order; -x would wrap around for some integers.
    order = x.shape[axis] - 1 - flip(_argsort(flip(x, axis), axis=axis), axis)
    chosen = getitem(order, (slice(None),) * axis + (slice(None, k),))
    return pick(x, chosen, axis), chosen


def _with_indices(places: Any, x: Any, axis: int | None, keepdims: bool) -> tuple[Any, Any]:
    x, axes = over(x, axis, keepdims, numbers=True)
    shape = reduced(x.shape, axes, keepdims)
    x, axis = along(x, axis, numbers=True)
    indices = expand_dims(places(x, axis), axis)
    return reshape(pick(x, indices, axis), shape), reshape(indices, shape)


def max_with_indices(x: Any, axis: int | None = None, keepdims: bool = False) -> tuple[Any, Any]:
    """The greatest elements along `axis` (None: of all), and their indices, as PyTorch's
    `x.max(axis)`. The gradient goes to the elements at these indices, the first of equal ones.
    """
    return _with_indices(argmax, x, axis, keepdims)


def min_with_indices(x: Any, axis: int | None = None, keepdims: bool = False) -> tuple[Any, Any]:
    """The least elements along `axis` (None: of all), and their indices; see `max_with_indices`."""
    return _with_indices(argmin, x, axis, keepdims)


def median(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The middle of the sorted elements over `axis`, or the mean of the middle two; nan where one
    of them is nan, or where there are none.
    """
    x, axes = over(x, axis, keepdims)
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    shape = tuple(x.shape[a] for a in rest)
    n = prod_of(x.shape[a] for a in axes)
    rows = reshape(x.transpose(*rest, *axes) if x.ndim else x, (*shape, n))
    if not n:
        return mean(x, axis, keepdims)
    ordered = sort(rows)
    middle = mean(getitem(ordered, (..., slice((n - 1) // 2, n // 2 + 1))), -1)
    if x.dtype.kind == "f":
        greatest = getitem(ordered, (..., -1))
        middle = where(isnan(greatest), greatest, middle)
    return reshape(middle, reduced(x.shape, axes, keepdims))
