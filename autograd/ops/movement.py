"""Operations that only move elements: flip, roll, tile, pad, diag, ...

They are one primitive. The array function itself is the forward rule; applied to the elements' own
numbers instead of their values, it says where each came from, and the gradient is added up there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import backend
from .._primitive import primitive
from .._tensor import Axis, _arrays
from .indexing import _scatter, getitem
from .reduction import floating, sum
from .shape import axes_of, concatenate, moveaxis, ravel, reshape, split

__all__ = [
    "append",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "column_stack",
    "diag",
    "diagonal",
    "diff",
    "dsplit",
    "dstack",
    "flip",
    "fliplr",
    "flipud",
    "gradient",
    "hsplit",
    "hstack",
    "pad",
    "repeat",
    "roll",
    "rollaxis",
    "rot90",
    "sliding_window_view",
    "tile",
    "trace",
    "tril",
    "triu",
    "vsplit",
    "vstack",
]

Move = Callable[[Any, Any], Any]


def _moved_back(g: Any, x_shape: tuple[int, ...], move: Move) -> Any:
    """Add each element of `g` where it came from; places that `move` filled up have number 0."""
    xp = backend.of(_arrays(g)).xp
    numbers = move(xp, xp.arange(1, math.prod(x_shape) + 1).reshape(x_shape))
    total = _scatter(g, index=numbers, shape=(math.prod(x_shape) + 1,))
    return reshape(getitem(total, slice(1, None)), x_shape)


@primitive(x=_moved_back)
def _moved(xp: Any, x: Any, *, move: Move) -> Any:
    return move(xp, x).copy()


def flip(x: Any, axis: Axis = None) -> Any:
    """Reversed along `axis` (None: along all)."""
    axes = axes_of(axis, x.ndim)
    return getitem(x, tuple(slice(None, None, -1 if a in axes else None) for a in range(x.ndim)))


def flipud(x: Any) -> Any:
    """Reversed along the first axis."""
    return flip(x, 0)


def fliplr(x: Any) -> Any:
    """Reversed along the second axis."""
    return flip(x, 1)


def roll(x: Any, shift: int | tuple[int, ...], axis: Axis = None) -> Any:
    """Shifted along `axis`, what falls off coming in again (None: the flat array)."""
    return _moved(x, move=lambda xp, a: xp.roll(a, shift, axis))


def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Turned k times by 90 degrees in the plane of `axes`."""
    return _moved(x, move=lambda xp, a: xp.rot90(a, k, axes))


def tile(x: Any, reps: int | tuple[int, ...]) -> Any:
    """The array repeated as a whole, `reps` times along each axis."""
    return _moved(x, move=lambda xp, a: xp.tile(a, reps))


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element repeated, `repeats` times (an integer, or one for each place of `axis`)."""
    repeats = _arrays(repeats)
    repeats = repeats.tolist() if hasattr(repeats, "tolist") else repeats  # CuPy takes no array
    return _moved(x, move=lambda xp, a: xp.repeat(a, repeats, axis))


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Any:
    """With `pad_width` further elements before and after each axis; modes as in NumPy that copy
    elements ("constant", "edge", "reflect", "symmetric", "wrap").
    """
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"pad: mode {mode!r} is not one that only copies elements")
    padded = _moved(x, move=lambda xp, a: xp.pad(a, pad_width, mode=mode))
    if mode != "constant" or constant_values == 0:
        return padded
    xp = backend.of(_arrays(x)).xp
    inside = xp.pad(xp.ones(x.shape, bool), pad_width)
    return padded + (~inside * constant_values).astype(x.dtype)


def tril(x: Any, k: int = 0) -> Any:
    """The lower triangle, up to the k-th diagonal; zeros elsewhere."""
    return _moved(x, move=lambda xp, a: xp.tril(a, k))


def triu(x: Any, k: int = 0) -> Any:
    """The upper triangle, from the k-th diagonal on; zeros elsewhere."""
    return _moved(x, move=lambda xp, a: xp.triu(a, k))


def diag(x: Any, k: int = 0) -> Any:
    """A matrix with `x` on its k-th diagonal; of a matrix, that diagonal."""
    return _moved(x, move=lambda xp, a: xp.diag(a, k))


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the matrices that stand in two axes, as a new last axis."""
    return _moved(x, move=lambda xp, a: xp.diagonal(a, offset, axis1, axis2))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


def sliding_window_view(x: Any, window_shape: Any, axis: Axis = None) -> Any:
    """All windows of `window_shape` along `axis`, as new last axes."""

    def move(xp: Any, a: Any) -> Any:
        return xp.lib.stride_tricks.sliding_window_view(a, window_shape, axis)

    return _moved(x, move=move)


# --- joining and parting by NumPy's further names -------------------------------------------------


def atleast_1d(x: Any) -> Any:
    """With at least one axis."""
    return x if x.ndim else reshape(x, (1,))


def atleast_2d(x: Any) -> Any:
    """With at least two axes, new ones in front."""
    return x if x.ndim > 1 else reshape(x, (1, x.size))


def atleast_3d(x: Any) -> Any:
    """With at least three axes; the last is new for a matrix, first and last for a vector."""
    if x.ndim > 2:
        return x
    return reshape(x, (*x.shape, 1) if x.ndim == 2 else (1, x.size, 1))


def vstack(arrays: Any) -> Any:
    """Joined along the first axis, vectors as rows."""
    return concatenate([atleast_2d(x) for x in arrays], 0)


def hstack(arrays: Any) -> Any:
    """Joined along the second axis, vectors along their only one."""
    arrays = [atleast_1d(x) for x in arrays]
    return concatenate(arrays, 0 if arrays[0].ndim == 1 else 1)


def dstack(arrays: Any) -> Any:
    """Joined along the third axis."""
    return concatenate([atleast_3d(x) for x in arrays], 2)


def column_stack(arrays: Any) -> Any:
    """Joined along the second axis, vectors as columns."""
    return concatenate([reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in arrays], 1)


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """`values` behind `x` along `axis` (None: both as flat arrays)."""
    return concatenate([ravel(x), ravel(values)] if axis is None else [x, values], axis or 0)


def array_split(x: Any, sections: Any, axis: int = 0) -> Any:
    """Like `split`, but the parts may differ in length by one."""
    if not isinstance(sections, int):
        return split(x, sections, axis)
    if sections < 1:
        raise ValueError(f"array_split: the number of sections must be positive, not {sections}")
    each, longer = divmod(x.shape[axis], sections)
    ends = [each * i + min(i, longer) for i in range(1, sections)]
    return split(x, tuple(ends), axis)


def hsplit(x: Any, sections: Any) -> Any:
    """Parts along the second axis (of a vector: along its only one)."""
    return split(x, sections, 1 if x.ndim > 1 else 0)


def vsplit(x: Any, sections: Any) -> Any:
    """Parts along the first axis."""
    return split(x, sections, 0)


def dsplit(x: Any, sections: Any) -> Any:
    """Parts along the third axis."""
    return split(x, sections, 2)


def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """The axis moved to stand before `start`."""
    (a,) = axes_of(axis, x.ndim)
    start += x.ndim * (start < 0)
    return moveaxis(x, a, start - (a < start))


# --- differences ----------------------------------------------------------------------------------


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, (slice(None),) * axis + (slice(start, stop),))


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """The n-th differences of neighbours along `axis`."""
    (a,) = axes_of(axis, x.ndim)
    for _ in range(n):
        x = _part(x, a, 1, None) - _part(x, a, None, -1)
    return x


def gradient(x: Any, spacing: float = 1.0, axis: Axis = None) -> Any:
    """The slope of sampled values along `axis`: central differences inside, one-sided at the ends.

    As `numpy.gradient`: one array for one axis, a list for several (None: all).
    """
    axes, x = axes_of(axis, x.ndim), floating(x)
    slopes = []
    for a in axes:
        if x.shape[a] < 2:
            raise ValueError(f"gradient: axis {a} of shape {x.shape} has fewer than 2 samples")
        inside = (_part(x, a, 2, None) - _part(x, a, None, -2)) / (2 * spacing)
        first = (_part(x, a, 1, 2) - _part(x, a, 0, 1)) / spacing
        last = (_part(x, a, -1, None) - _part(x, a, -2, -1)) / spacing
        slopes.append(concatenate([first, inside, last], a))
    return slopes[0] if len(slopes) == 1 else slopes
