"""Operations that arrange elements: reshape, transpose, broadcast, join, part."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from ..core.operands import as_operand, as_operand_list
from ..core.primitive import primitive, record_operation
from ..core.tensor import Axis
from .arguments import as_integer, check_flag, is_scalar_axis, normalize_axes, normalize_axis
from .creation import zeros_on_device_of

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


def along(x: Any, axis: int | None, numbers: bool = False) -> tuple[Any, int]:
    """Return the array and its axis, or the flat array for None.

    If `numbers`, an array without axes counts as one of a single element along axis 0 or -1.
    """
    x = as_operand(x)
    if axis is None or (numbers and is_scalar_axis(axis, x.ndim)):
        return ravel(x), 0
    return x, normalize_axis(axis, x.ndim)


def over(
    x: Any, axis: Axis, keepdims: bool = False, numbers: bool = False
) -> tuple[Any, tuple[int, ...]]:
    """Return the array and its axes, all of them for None; check `keepdims`.

    If `numbers`, axis 0 or -1 is allowed for an array without axes.
    """
    x = as_operand(x)
    if type(keepdims) is not bool:
        check_flag("keepdims", keepdims)
    ndim = x.ndim
    if type(axis) is int and -ndim <= axis < ndim:
        return x, (axis % ndim,)
    return x, () if numbers and is_scalar_axis(axis, ndim) else normalize_axes(axis, ndim)


def reduced(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """The shape after a reduction over `axes`."""
    one = (1,) * bool(keepdims)
    return tuple([m for a, n in enumerate(shape) for m in (one if a in axes else (n,))])


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
    order = axes[0] if len(axes) == 1 and as_integer(axes[0]) is None else axes or None
    x, axes = over(x, order)
    return _transpose(x, axes=axes[::-1] if order is None else axes)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    x = as_operand(x)
    i, j, axes = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim), list(range(x.ndim))
    axes[i], axes[j] = axes[j], axes[i]
    return _transpose(x, axes=tuple(axes))


def moveaxis(x: Any, source: Axis, destination: Axis) -> Any:
    """One axis, or several, moved to other positions; the others keep their order."""
    x = as_operand(x)
    sources, destinations = (
        normalize_axes(axis if isinstance(axis, (tuple, list)) else (axis,), x.ndim)
        for axis in (source, destination)
    )
    if len(sources) != len(destinations):
        raise ValueError(f"moveaxis: {source} and {destination} must have the same number of axes")
    axes = [a for a in range(x.ndim) if a not in sources]
    for position, axis in sorted(zip(destinations, sources, strict=True)):
        axes.insert(position, axis)
    return _transpose(x, axes=tuple(axes))


def squeeze(x: Any, axis: Axis = None) -> Any:
    """Without axes of length 1: all of them, or those of `axis`."""
    x, axes = over(x, axis, numbers=True)
    if axis is not None and any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} is not of length 1")
    return _reshape(x, shape=tuple(n for a, n in enumerate(x.shape) if not (a in axes and n == 1)))


def expand_dims(x: Any, axis: Axis) -> Any:
    """With new axes of length 1 at the places `axis` of the result."""
    x, places = as_operand(x), [*axis] if isinstance(axis, (tuple, list)) else [axis]
    ndim = x.ndim + len(places)
    new, lengths = normalize_axes(places, ndim), iter(x.shape)
    return _reshape(x, shape=tuple(1 if a in new else next(lengths) for a in range(ndim)))


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


def concatenate(arrays: Any, axis: int | None = 0) -> Any:
    """Arrays joined along an axis that they have (None: the flat arrays)."""
    arrays = as_operand_list("concatenate", arrays)
    if not arrays:
        raise ValueError("concatenate: need at least one array")
    if axis is None:
        return _concatenate(*map(ravel, arrays), axis=0)
    if not arrays[0].ndim:
        raise ValueError("concatenate: arrays without axes cannot be joined; use stack")
    return _concatenate(*arrays, axis=normalize_axis(axis, arrays[0].ndim))


def concatenated(tensors: Any, whole: Any) -> Any:
    """The same of tensors that are views of an array `whole`, side by side along its first axis:
    there is nothing to compute.
    """
    parents, arrays = tuple([t._node for t in tensors]), tuple([t._data for t in tensors])
    return record_operation(_concatenate.primitive, parents, arrays, whole, {"axis": 0})


def _with_zeros(g: tuple[Any, ...], shapes: Iterable[tuple[int, ...]]) -> list[Any]:
    """The gradients of all parts of an array; zeros for the parts that have none."""
    like = next(one for one in g if one is not None)
    return [
        zeros_on_device_of(like, shape, like.dtype) if one is None else one
        for one, shape in zip(g, shapes, strict=True)
    ]


@primitive(lambda g, axis: unstack(g, axis))
def _stack(xp: Any, *arrays: Any, axis: int) -> Any:
    return xp.stack(arrays, axis)


def stack(arrays: Any, axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis."""
    arrays = as_operand_list("stack", arrays)
    if not arrays:
        raise ValueError("stack: need at least one array")
    return _stack(*arrays, axis=normalize_axis(axis, arrays[0].ndim + 1))


def _split_back(g: Any, x_shape: tuple[int, ...], indices: tuple[int, ...], axis: int) -> Any:
    ends = pairwise((0, *indices, x_shape[axis]))
    shapes = [(*x_shape[:axis], end - start, *x_shape[axis + 1 :]) for start, end in ends]
    return _concatenate(*_with_zeros(g, shapes), axis=axis)


@primitive(x=_split_back)
def _split(xp: Any, x: Any, *, indices: tuple[int, ...], axis: int) -> Any:
    before = (slice(None),) * axis
    return tuple([x[(*before, slice(*ends))] for ends in pairwise((0, *indices, x.shape[axis]))])


def split(x: Any, sections: Any, axis: int = 0) -> Any:
    """A tuple of parts along `axis`: `sections` equal ones, or cut at the given indices."""
    x = as_operand(x)
    axis = normalize_axis(axis, x.ndim)
    length, parts = x.shape[axis], as_integer(sections)
    if parts is not None:
        if parts < 1 or length % parts:
            raise ValueError(
                f"split: axis {axis} of shape {x.shape} does not divide into {parts} equal parts"
            )
        step = length // parts
        cuts = tuple(range(step, length, step)) if step else (0,) * (parts - 1)
    elif isinstance(sections, (int, float)):
        raise TypeError(f"split: sections must be an integer or indices, got {sections!r}")
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
    x = as_operand(x)
    axis = normalize_axis(axis, x.ndim)
    return _unstack(x, axis=axis) if x.shape[axis] else ()
