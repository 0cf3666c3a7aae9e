"""Operations that only move elements: flip, roll, tile, pad, diag, ...

They are one primitive. The array function itself is the forward rule; applied to the elements' own
numbers instead of their values, it says where each came from, and the gradient is added up there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from .. import backend
from ..backend import get_default_dtype
from ..backend.base import AxisError
from ..core.operands import as_operand, as_operand_list, as_operands
from ..core.primitive import primitive
from ..core.pytree import flatten
from ..core.tensor import Axis, Tensor, unwrap
from .arguments import as_integer, check_integer, freeze, normalize_axis
from .creation import astype
from .elementwise import add, floor, multiply, subtract
from .indexing import _scatter, getitem
from .logic import not_equal
from .reduction import floating, sum, wide, without_history
from .selection import promote, where
from .shape import broadcast_to, concatenate, moveaxis, over, reshape, split

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
    "linspace",
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
    xp = backend.of_array(unwrap(g)).xp
    numbers = move(xp, xp.arange(1, math.prod(x_shape) + 1).reshape(x_shape))
    total = _scatter(g, index=numbers, shape=(math.prod(x_shape) + 1,))
    return reshape(getitem(total, slice(1, None)), x_shape)


@primitive(x=_moved_back)
def _moved(xp: Any, x: Any, *, move: Move) -> Any:
    return move(xp, x).copy()


def _move(x: Any, name: str, *arguments: Any) -> Any:
    """Apply the array function `name`; the caller may change the arguments before backward."""
    function, fixed = attrgetter(name), freeze(arguments)
    return _moved(x, move=lambda xp, a: function(xp)(a, *fixed))


def flip(x: Any, axis: Axis = None) -> Any:
    """Reversed along `axis` (None: along all)."""
    x, axes = over(x, axis)
    return getitem(x, tuple(slice(None, None, -1 if a in axes else None) for a in range(x.ndim)))


def flipud(x: Any) -> Any:
    """Reversed along the first axis."""
    return flip(x, 0)


def fliplr(x: Any) -> Any:
    """Reversed along the second axis."""
    return flip(x, 1)


def roll(x: Any, shift: int | tuple[int, ...], axis: Axis = None) -> Any:
    """Shifted along `axis`, what falls off coming in again (None: the flat array)."""
    return _move(x, "roll", shift, axis)


def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Turned k times by 90 degrees in the plane of `axes`."""
    return _move(x, "rot90", k, axes)


def tile(x: Any, reps: int | tuple[int, ...]) -> Any:
    """The array repeated as a whole, `reps` times along each axis."""
    return _move(x, "tile", reps)


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element repeated, `repeats` times (an integer, or one for each place of `axis`)."""
    return _move(x, "repeat", repeats, axis)


@primitive(
    x=lambda g, x_shape, width, mode: _moved_back(
        g, x_shape, lambda xp, a: xp.pad(a, width, mode=mode)
    )
)
def _pad(xp: Any, x: Any, *, width: Any, mode: str, options: dict[str, Any]) -> Any:
    return xp.pad(x, width, mode=mode, **options)


def pad(x: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Any:
    """Add elements before and after each axis.

    Parameters
    ----------
    x : array_like
        The array of `n` axes to extend.
    pad_width : int, (int, int), or a sequence of `n` such pairs
        The number of elements before and after all axes, or each axis.
    mode : {"constant", "edge", "reflect", "symmetric", "wrap"}
        The modes of `numpy.pad` that copy elements.
    constant_values : number, (number, number), or a sequence of `n` such pairs, default 0
        For mode "constant": the values before and after all axes, or each axis.
    reflect_type : {"even"}
        For modes "reflect" and "symmetric".

    Raises
    ------
    ValueError
        For another mode, or an option that the mode does not have.
    TypeError
        If `constant_values` requires a gradient.
    """
    known = {"constant": ("constant_values", None), "edge": (), "wrap": ()}
    known |= {"reflect": ("reflect_type", "even"), "symmetric": ("reflect_type", "even")}
    if mode not in known:
        raise ValueError(f"pad: mode must be one of {', '.join(known)}, got {mode!r}")
    for name, value in options.items():
        if name not in known[mode] or known[mode][1] not in (None, value):
            raise ValueError(f"pad: {name}={value!r} is not supported for mode {mode!r}")
        if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in flatten(value)):
            raise TypeError(f"pad: {name} has no gradient; detach() it or use concatenate")
    options = {name: freeze(value) for name, value in options.items()}
    return _pad(x, width=freeze(pad_width), mode=mode, options=options)


def tril(x: Any, k: int = 0) -> Any:
    """The lower triangle, up to the k-th diagonal; zeros elsewhere."""
    return _move(x, "tril", k)


def triu(x: Any, k: int = 0) -> Any:
    """The upper triangle, from the k-th diagonal on; zeros elsewhere."""
    return _move(x, "triu", k)


def diag(x: Any, k: int = 0) -> Any:
    """A matrix with `x` on its k-th diagonal; of a matrix, that diagonal."""
    return _move(x, "diag", k)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the matrices that stand in two axes, as a new last axis."""
    return _move(x, "diagonal", offset, axis1, axis2)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dtype: Any = None) -> Any:
    """The sum of a diagonal."""
    return sum(diagonal(x, offset, axis1, axis2), -1, dtype=dtype)


def sliding_window_view(x: Any, window_shape: Any, axis: Axis = None) -> Any:
    """All windows of `window_shape` along `axis`, as new last axes."""
    return _move(x, "lib.stride_tricks.sliding_window_view", window_shape, axis)


# --- joining and parting by NumPy's further names -------------------------------------------------


def _each(arrays: Any, shape: Callable[[Any], tuple[int, ...]]) -> Any:
    """Every array in a shape that depends on it: one result, or a tuple."""
    given = [as_operand(x) for x in arrays]
    if any(isinstance(x, Tensor) for x in given):
        given = [x if isinstance(x, Tensor) else Tensor(x) for x in given]
    shaped = [x if x.shape == shape(x) else reshape(x, shape(x)) for x in given]
    return shaped[0] if len(shaped) == 1 else tuple(shaped)


def atleast_1d(*arrays: Any) -> Any:
    """With at least one axis; a tuple for several arrays."""
    return _each(arrays, lambda x: x.shape or (1,))


def atleast_2d(*arrays: Any) -> Any:
    """With at least two axes, new ones in front; a tuple for several arrays."""
    return _each(arrays, lambda x: x.shape if x.ndim > 1 else (1, x.size))


def atleast_3d(*arrays: Any) -> Any:
    """With at least three axes; the last is new for a matrix, first and last for a vector. A tuple
    for several arrays.
    """
    return _each(arrays, lambda x: (x.shape if x.ndim > 1 else (1, x.size)) + (1,) * (x.ndim < 3))


def vstack(arrays: Any) -> Any:
    """Joined along the first axis, vectors as rows."""
    return concatenate([atleast_2d(x) for x in as_operand_list("vstack", arrays)], 0)


def hstack(arrays: Any) -> Any:
    """Joined along the second axis, vectors along their only one."""
    arrays = [atleast_1d(x) for x in as_operand_list("hstack", arrays)]
    return concatenate(arrays, 1 if arrays and arrays[0].ndim > 1 else 0)


def dstack(arrays: Any) -> Any:
    """Joined along the third axis."""
    return concatenate([atleast_3d(x) for x in as_operand_list("dstack", arrays)], 2)


def column_stack(arrays: Any) -> Any:
    """Joined along the second axis, vectors as columns."""
    columns = [
        reshape(x, (x.size, 1)) if x.ndim < 2 else x
        for x in as_operand_list("column_stack", arrays)
    ]
    return concatenate(columns, 1)


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """`values` behind `x` along `axis` (None: both as flat arrays)."""
    return concatenate([x, values], axis)


def array_split(x: Any, sections: Any, axis: int = 0) -> Any:
    """Like `split`, but the parts may differ in length by one."""
    parts = as_integer(sections)
    if parts is None:
        return split(x, sections, axis)
    if parts < 1:
        raise ValueError(f"array_split: the number of sections must be positive, got {parts}")
    x = as_operand(x)
    each, longer = divmod(x.shape[normalize_axis(axis, x.ndim)], parts)
    ends = [each * i + min(i, longer) for i in range(1, parts)]
    return split(x, tuple(ends), axis)


def hsplit(x: Any, sections: Any) -> Any:
    """Parts along the second axis (of a vector: along its only one)."""
    x = as_operand(x)
    return split(x, sections, 1 if x.ndim > 1 else 0)


def vsplit(x: Any, sections: Any) -> Any:
    """Parts along the first axis of an array with at least two."""
    x = as_operand(x)
    if x.ndim < 2:
        raise ValueError(f"vsplit: at least two axes are needed, got shape {x.shape}")
    return split(x, sections, 0)


def dsplit(x: Any, sections: Any) -> Any:
    """Parts along the third axis."""
    return split(x, sections, 2)


def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """The axis moved to stand before `start`."""
    x = as_operand(x)
    a, position = normalize_axis(axis, x.ndim), check_integer("start", start)
    if not -x.ndim <= position <= x.ndim:
        raise AxisError(f"start {position} is out of range for an array of {x.ndim} dimension(s)")
    position += x.ndim * (position < 0)
    return moveaxis(x, a, position - (a < position))


# --- samples, and their differences ---------------------------------------------------------------


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    device: str | None = None,
    *,
    retstep: bool = False,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`, which is left out without `endpoint`;
    with `retstep`, a pair of them and their distance.

    Of numbers: a Tensor, of the default dtype. Of arrays or Tensors, which may have gradients: of
    their kind and dtype, along a new axis `axis`.
    """
    num = check_integer("num", num)
    if num < 0:
        raise ValueError(f"linspace: num must not be negative, got {num}")
    if not {type(start), type(stop)} <= {bool, int, float}:
        start, stop, _ = promote(*as_operands(start, stop, name="linspace"), 1.0)
    else:
        dtype = dtype or get_default_dtype()
        start, stop = (Tensor(backend.get(device).asarray(float(end))) for end in (start, stop))
    home, ends = backend.of_array(unwrap(start)), start.dtype
    start, stop = wide(start), wide(stop)
    length = subtract(stop, start)
    if device is not None and backend.get(device) is not home:
        raise backend.DeviceError(f"linspace: the ends are on {home.device}, not on {device}")
    parts = num - bool(endpoint)
    k = home.xp.arange(num).astype(length.dtype).reshape((num, *(1,) * length.ndim))
    step = length / parts if parts > 0 else math.nan
    factor = step if parts > 0 else length
    product = multiply(factor, home.xp.maximum(k, 1))
    values = add(start, where(k == 0, without_history(factor) * 0, product))
    if endpoint and num > 1:
        values = where(k == parts, stop, values)
    values = astype(values, ends)
    if dtype is not None:
        is_whole = home.asarray(0, dtype).dtype.kind in "iu"
        values = astype(floor(values) if is_whole else values, dtype)
    values = moveaxis(values, 0, axis)
    return (values, astype(step, ends)) if retstep else values


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, (slice(None),) * axis + (slice(start, stop),))


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The n-th differences of neighbours along `axis`, after `prepend` and `append` (arrays, or
    numbers for one element) have been joined to it.
    """
    x, n = as_operand(x), check_integer("n", n)
    a = normalize_axis(axis, x.ndim)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    if n and not (prepend is None and append is None):
        one = (*x.shape[:a], 1, *x.shape[a + 1 :])
        parts = [v if v is None else as_operand(v, x) for v in (prepend, x, append)]
        x = concatenate([v if v.ndim else broadcast_to(v, one) for v in parts if v is not None], a)
    minus = not_equal if x.dtype.kind == "b" else subtract
    for _ in range(n):
        x = minus(_part(x, a, 1, None), _part(x, a, None, -1))
    return x


def gradient(
    x: Any, *distances: Any, spacing: float = 1.0, axis: Axis = None, edge_order: int = 1
) -> Any:
    """Estimate the derivatives of sampled values along `axis` (None: all axes), as
    `numpy.gradient`.

    Parameters
    ----------
    x : array_like
        The values, at least ``edge_order + 1`` along each axis.
    *distances : number or array_like of one axis
        The distance between samples for all axes (a number), or for each axis the distance or the
        coordinates of the samples. Gradients with respect to them are supported.
    spacing : number
        The distance between samples for all axes, if there are no `distances`.
    edge_order : {1, 2}
        The order of the one-sided differences at the ends. Central differences are used inside.

    Returns
    -------
    array or tuple of arrays
        An array for one axis, a tuple for several.
    """
    x, axes = over(x, axis)
    if x.dtype.kind == "b":
        raise TypeError("gradient: booleans have no differences")
    x, given = floating(x), [as_operand(d, x) for d in distances or (spacing,)]
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    if len(given) == 1 and given[0].ndim == 0:
        given *= len(axes)
    if len(given) != len(axes):
        raise TypeError(f"gradient: {len(axes)} axes need 1 or {len(axes)} distances")
    found = [_slopes(x, floating(h), a, edge_order) for a, h in zip(axes, given, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slopes(x: Any, h: Any, axis: int, edge_order: int) -> Any:
    """The derivative along an axis from three neighbours: `h` holds a distance or coordinates."""
    length = x.shape[axis]
    if length <= edge_order:
        raise ValueError(f"gradient: axis {axis} of shape {x.shape} has too few samples")
    if h.ndim and h.shape != (length,):
        raise ValueError(f"gradient: {length} coordinates are needed, got shape {h.shape}")
    even, h = not h.ndim, reshape(diff(h), (-1, *(1,) * (x.ndim - axis - 1))) if h.ndim else h
    s = diff(x, axis=axis) / h
    if even:
        near = far = 0.5
        inside = (_part(x, axis, 2, None) - _part(x, axis, None, -2)) / (2 * h)
    else:
        both = getitem(h, slice(1, None)) + getitem(h, slice(None, -1))
        near, far = getitem(h, slice(None, -1)) / both, getitem(h, slice(1, None)) / both
        inside = far * _part(s, axis, None, -1) + near * _part(s, axis, 1, None)
        near, far = getitem(near, slice(0, 1)), getitem(far, slice(-1, None))
    first, last = _part(s, axis, 0, 1), _part(s, axis, -1, None)
    if edge_order == 2:
        first = first + (first - _part(s, axis, 1, 2)) * near
        last = last + (last - _part(s, axis, -2, -1)) * far
    return astype(concatenate([first, inside, last], axis), x.dtype)
