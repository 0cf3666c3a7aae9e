"""Reading and writing by index. Reading's gradient is a scatter-add, which lets repeated indices
add up.
"""

from __future__ import annotations

import builtins
from typing import Any

from .. import backend
from ..core import graph
from ..core.operands import as_operand
from ..core.primitive import primitive
from ..core.tensor import unwrap
from .creation import as_indices
from .shape import along

__all__ = ["index_update", "take", "take_along_axis"]


def _may_repeat(index: Any) -> bool:
    """Whether an index can name one element twice: only arrays of integers can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(
        isinstance(part, list) or (getattr(part, "ndim", 0) > 0 and part.dtype.kind in "iu")
        for part in parts
    )


def _checked(x: Any, index: Any) -> Any:
    """`index` itself, whose integers all lie within `x`.

    Raises IndexError otherwise. NumPy does so on its own; where CuPy would wrap around, arrays of
    integers are looked at, and those on the device make the host wait for it.
    """
    if (
        type(index) is int
        or not _may_repeat(index)
        or not (home := backend.of_array(unwrap(x))).wraps_indices
    ):
        return index
    given = index if isinstance(index, tuple) else (index,)
    parts = [home.asarray(p, "int64") if isinstance(p, list) else p for p in given]
    widths = [
        0 if p is None or p is ... else getattr(p, "ndim", 1) if _kind(p) == "b" else 1
        for p in parts
    ]
    axis = 0
    for part, width in zip(parts, widths, strict=True):
        if _kind(part) in "iu" and part.size:
            n = x.shape[axis]
            low, high = int(part.min()), int(part.max())
            if low < -n or high >= n:
                raise IndexError(
                    f"index {high if high >= n else low} is out of range for axis {axis} of shape "
                    f"{x.shape}"
                )
        axis += x.ndim - builtins.sum(widths) if part is ... else width
    return index


def _kind(part: Any) -> str:
    """The kind of an index array's dtype; "-" for any other index."""
    kind: str = part.dtype.kind if hasattr(part, "dtype") else "-"
    return kind


@primitive(x=lambda g, x_shape, index: _scatter(g, index=index, shape=x_shape))
def _getitem(xp: Any, x: Any, *, index: Any) -> Any:
    return x[index]


def getitem(x: Any, index: Any) -> Any:
    """`x[index]` with everything that the array module accepts; indices may be Tensors."""
    return _getitem(x, index=_checked(x, unwrap(index)))


@primitive(values=lambda g, index: _getitem(g, index=index))
def _scatter(xp: Any, values: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` to which `values` were added at `index`: the transpose of reading there."""
    target = xp.zeros(shape, values.dtype)
    if not _may_repeat(index):
        target[index] = values
        return target
    half = values.dtype == "float16"  # many halves do not add up in half precision
    target, values = (x.astype("float32") if half else x for x in (target, values))
    backend.of_array(values).scatter_add(target, index, values)
    return target.astype("float16") if half else target


@primitive(x=lambda g, x_shape, indices, axis: _scatter(g, index=_at(indices, axis), shape=x_shape))
def _take(xp: Any, x: Any, *, indices: Any, axis: int) -> Any:
    return xp.take(x, indices, axis)


for _reading in (_getitem, _take):
    _reading.primitive.fresh_gradients = True  # a scatter-add returns a new array


def _beside(x: Any, indices: Any) -> Any:
    """Indices as an array of integers where `x` lives."""
    indices = unwrap(indices)
    if getattr(indices, "dtype", None) is not None and indices.dtype.kind == "f":
        raise TypeError(f"indices must be integers, got {indices.dtype}")
    if hasattr(type(indices), "backend"):  # what stands for an array lives where that does
        return indices
    return as_indices(backend.of_array(unwrap(x)).asarray(indices))


def _at(indices: Any, axis: int) -> Any:
    """`take` as a plain index."""
    return (slice(None),) * axis + (indices,) if axis else indices


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    """The slices of `x` at `indices` (integers, of any shape) along `axis`; None: elements of the
    flat array. An index out of range is an error, or, by `mode`, counted modulo the length ("wrap")
    or replaced by the nearest ("clip").
    """
    x, axis = along(x, axis, numbers=True)
    indices, n = _beside(x, indices), x.shape[axis]
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f'take: mode must be "raise", "wrap" or "clip", got {mode!r}')
    if mode != "raise" and n:
        indices = indices % n if mode == "wrap" else indices.clip(0, n - 1)
    _checked(x, _at(indices, axis))
    return _take(x, indices=indices, axis=axis)


def _grid(xp: Any, indices: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """`take_along_axis` as a plain index: `indices` on its axis, every other axis running along."""
    grids = [
        xp.arange(n).reshape(tuple(-1 if b == a else 1 for b in range(len(shape))))
        for a, n in enumerate(shape)
    ]
    grids[axis] = indices
    return tuple(grids)


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """`y[i, j, ...] = x[i, indices[i, j, ...], ...]`: one pick along `axis` for each place of
    `indices` (None: from the flat array).
    """
    x, axis = along(x, axis)
    indices = _beside(x, indices)
    if indices.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices {indices.shape} for an array {x.shape}")
    if indices.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis: indices must be integers, got {indices.dtype}")
    _checked(x, _at(indices, axis))
    return pick(x, indices, axis)


def pick(x: Any, indices: Any, axis: int) -> Any:
    """`take_along_axis` for an array of indices that are known to lie within `x`."""
    xp = backend.of_array(unwrap(x)).xp
    return _getitem(x, index=_grid(xp, unwrap(indices), x.shape, axis))


def _written(g: Any, index: Any) -> Any:
    return _index_update(g, 0.0, index=index)


@primitive(x=_written, value=lambda g, index: _getitem(g, index=index))
def _index_update(xp: Any, x: Any, value: Any, *, index: Any) -> Any:
    y = xp.array(x)  # a copy, and an array even if `x` is a scalar
    y[index] = value
    return y


def index_update(x: Any, index: Any, value: Any) -> Any:
    """A copy of `x` in which `x[index]` is `value`: the differentiable form of assigning into an
    array.

    If an index is repeated, which of the values is kept is not defined. Raises TypeError for a
    value that requires a gradient and an `x` of integers or booleans, which cannot carry it.
    """
    x = as_operand(x)
    if x.dtype.kind != "f" and graph.recording.get() and getattr(value, "requires_grad", False):
        raise TypeError(
            f"index_update of a {x.dtype} tensor would lose the gradient of a {value.dtype} value; "
            "convert the tensor with .astype(...), or pass value.detach()"
        )
    return _index_update(x, value, index=_checked(x, unwrap(index)))
