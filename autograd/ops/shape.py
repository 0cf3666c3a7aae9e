"""Operations that arrange elements: reshape, transpose, broadcast, join, part."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from .._primitive import _recorded, primitive
from .._tensor import Axis
from .creation import zeros_beside

__all__ = [
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "moveaxis",
    "ravel",
    "reshape",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
    "unstack",
]


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """An `axis` argument as a tuple of non-negative axes (None: all of them)."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, int) and -ndim <= axis < ndim:
        return (axis % ndim,)
    axes = axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        if not -ndim <= a < ndim:
            raise ValueError(f"axis {a} is out of range for an array of {ndim} dimension(s)")
    positive = tuple(a % ndim for a in axes)
    if len(positive) > 1 and len(set(positive)) < len(positive):
        raise ValueError(f"repeated axis in {axis}")
    return positive


def along(x: Any, axis: int | None) -> tuple[Any, int]:
    """The array and its axis, or the flat array for None."""
    return (ravel(x), 0) if axis is None else (x, axes_of(axis, x.ndim)[0])


@primitive(x=lambda g, x_shape: reshape(g, x_shape))
def _reshape(xp: Any, x: Any, *, shape: Any) -> Any:
    return xp.reshape(x, shape)


def reshape(x: Any, *shape: Any) -> Any:
    """`x` in another shape; one length may be -1. `reshape(x, 2, 3)` and `reshape(x, (2, 3))` are
    the same.
    """
    return _reshape(x, shape=shape[0] if len(shape) == 1 else shape)


def ravel(x: Any) -> Any:
    """All elements in one row."""
    return _reshape(x, shape=-1)


def _transpose_back(g: Any, axes: tuple[int, ...]) -> Any:
    return _transpose(g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__)))


@primitive(x=_transpose_back)
def _transpose(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    return xp.transpose(x, axes)


@primitive(x=lambda g: g.T)
def reversed_axes(xp: Any, x: Any) -> Any:
    """`x.T`: the axes in reverse order."""
    return x.T


def transpose(x: Any, *axes: Any) -> Any:
    """The axes in another order; without `axes`, in the reverse one."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
        axes = tuple(axes[0] or ())
    return _transpose(x, axes=axes_of(axes, x.ndim) if axes else tuple(range(x.ndim))[::-1])


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    axes = list(range(x.ndim))
    (i,), (j,) = axes_of(axis1, x.ndim), axes_of(axis2, x.ndim)
    axes[i], axes[j] = axes[j], axes[i]
    return _transpose(x, axes=tuple(axes))


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """One axis moved to another place, the others in their order."""
    (i,), (j,) = axes_of(source, x.ndim), axes_of(destination, x.ndim)
    axes = [a for a in range(x.ndim) if a != i]
    axes.insert(j, i)
    return _transpose(x, axes=tuple(axes))


def squeeze(x: Any, axis: Axis = None) -> Any:
    """Without axes of length 1: all of them, or those of `axis`."""
    axes = axes_of(axis, x.ndim)
    if axis is not None and any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} is not of length 1")
    return _reshape(x, shape=tuple(n for a, n in enumerate(x.shape) if not (a in axes and n == 1)))


def expand_dims(x: Any, axis: Axis) -> Any:
    """With new axes of length 1 at the places `axis` of the result."""
    count = 1 if isinstance(axis, int) else len(axis or ())
    new = axes_of(axis if axis is not None else (), x.ndim + count)
    lengths = iter(x.shape)
    return _reshape(x, shape=tuple(1 if a in new else next(lengths) for a in range(x.ndim + count)))


@primitive(x=lambda g: g)  # the sweep un-broadcasts
def _broadcast_to(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    return xp.broadcast_to(x, shape)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` repeated to a larger shape, without a copy."""
    return _broadcast_to(x, shape=shape)


# --- several arguments, several results -----------------------------------------------------------


def _offsets(shapes: tuple[tuple[int, ...], ...], axis: int) -> tuple[int, ...]:
    """Where each but the first of these arrays begins, when they are joined along `axis`."""
    ends, end = [], 0
    for shape in shapes[:-1]:
        end += shape[axis]
        ends.append(end)
    return tuple(ends)


@primitive(lambda g, arrays_shape, axis: _split(g, indices=_offsets(arrays_shape, axis), axis=axis))
def _concatenate(xp: Any, *arrays: Any, axis: int) -> Any:
    return xp.concatenate(arrays, axis)


def concatenate(arrays: Any, axis: int = 0) -> Any:
    """Arrays joined along an axis that they have."""
    arrays = tuple(arrays)
    if not arrays:
        raise ValueError("concatenate: there must be at least one array")
    return _concatenate(*arrays, axis=axes_of(axis, getattr(arrays[0], "ndim", 1))[0])


def concatenated(tensors: Any, whole: Any) -> Any:
    """The same of tensors that are views of an array `whole`, side by side along its first axis:
    there is nothing to compute.
    """
    parents, arrays = tuple([t._node for t in tensors]), tuple([t._data for t in tensors])
    return _recorded(_concatenate.primitive, parents, arrays, whole, {"axis": 0})


def _with_zeros(g: tuple[Any, ...], shapes: Iterable[tuple[int, ...]]) -> list[Any]:
    """The gradients of all parts of an array; zeros for the parts that have none."""
    like = next(one for one in g if one is not None)
    return [
        zeros_beside(like, shape, like.dtype) if one is None else one
        for one, shape in zip(g, shapes, strict=True)
    ]


@primitive(lambda g, axis: unstack(g, axis))
def _stack(xp: Any, *arrays: Any, axis: int) -> Any:
    return xp.stack(arrays, axis)


def stack(arrays: Any, axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis."""
    return _stack(*arrays, axis=axis)


def _split_back(g: Any, x_shape: tuple[int, ...], indices: tuple[int, ...], axis: int) -> Any:
    ends = pairwise((0, *indices, x_shape[axis]))
    shapes = [(*x_shape[:axis], end - start, *x_shape[axis + 1 :]) for start, end in ends]
    return _concatenate(*_with_zeros(g, shapes), axis=axis)


@primitive(x=_split_back)
def _split(xp: Any, x: Any, *, indices: tuple[int, ...], axis: int) -> Any:
    before = (slice(None),) * axis
    return tuple([x[(*before, slice(*ends))] for ends in pairwise((0, *indices, x.shape[axis]))])


def split(x: Any, sections: int | tuple[int, ...] | list[int], axis: int = 0) -> Any:
    """A tuple of parts along `axis`: so many equal ones, or cut at the given indices."""
    (axis,) = axes_of(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(sections, int):
        if sections < 1 or length % sections:
            raise ValueError(
                f"split: axis {axis} of shape {x.shape} does not divide into {sections} equal parts"
            )
        step = length // sections
        cuts = tuple(range(step, length, step)) if step else (0,) * (sections - 1)
    else:
        cuts = tuple([slice(cut).indices(length)[1] for cut in sections])
        if any(later < earlier for earlier, later in pairwise(cuts)):
            raise ValueError(f"split: cuts must not go back, as in {list(sections)}")
    return _split(x, indices=cuts, axis=axis)


def _unstack_back(g: Any, x_shape: tuple[int, ...], axis: int) -> Any:
    shape = (*x_shape[:axis], *x_shape[axis + 1 :])
    return _stack(*_with_zeros(g, [shape] * len(g)), axis=axis)


@primitive(x=_unstack_back)
def _unstack(xp: Any, x: Any, *, axis: int) -> Any:
    return tuple(xp.moveaxis(x, axis, 0))


def unstack(x: Any, axis: int = 0) -> Any:
    """A tuple of the slices along `axis`, one node for all: a recurrence's way through time."""
    (axis,) = axes_of(axis, x.ndim)
    return _unstack(x, axis=axis) if x.shape[axis] else ()
