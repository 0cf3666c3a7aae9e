"""Operations that read and write elements by index.

The gradient of reading is a scatter-add, so the gradients of repeated indices accumulate.
"""

from __future__ import annotations

import builtins
from typing import Any

from .. import backend
from ..backend.tracer import TracerArray
from ..core import graph
from ..core.tensor import unwrap
from .arguments import as_operand
from .creation import as_indices
from .declaration import primitive
from .shape import array_and_axis

__all__ = ["index_update", "take", "take_along_axis"]


def _may_repeat(index: Any) -> bool:
    """True if an index can select an element twice, which only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(
        isinstance(part, list) or (getattr(part, "ndim", 0) > 0 and part.dtype.kind in "iu")
        for part in parts
    )


def _check_index(x: Any, index: Any) -> Any:
    """Return `index`; raise IndexError if one of its integers is out of range for `x`.

    NumPy raises the error itself. CuPy wraps around instead, so integer arrays are checked here,
    which waits for the device.
    """
    if type(index) is int or not _may_repeat(index):
        return index
    array_backend = backend.of_array(unwrap(x))
    if not array_backend.wraps_indices:
        return index
    parts = [
        array_backend.asarray(part, "int64") if isinstance(part, list) else part
        for part in (index if isinstance(index, tuple) else (index,))
    ]
    widths = [_axes_indexed(part) for part in parts]
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


def _axes_indexed(part: Any) -> int:
    """Return how many axes of the array a part of an index other than ... applies to."""
    if part is None or part is ...:
        return 0
    return getattr(part, "ndim", 1) if _kind(part) == "b" else 1


def _kind(part: Any) -> str:
    """Return the kind of the dtype of an index array, or "-" for any other index."""
    kind: str = part.dtype.kind if hasattr(part, "dtype") else "-"
    return kind


def _untraced(value: Any) -> Any:
    """Return an index or array; raise TypeError if it contains a tracer.

    The tracer then applies the operation. Otherwise the array module would convert it.
    """
    parts = value if type(value) is tuple else (value,)
    if any(isinstance(part, TracerArray) for part in parts):
        raise TypeError("an argument is traced")
    return value


@primitive(x=lambda g, x_shape, index: _scatter(g, index=index, shape=x_shape))
def _getitem(xp: Any, x: Any, *, index: Any) -> Any:
    return x[_untraced(index)]


def getitem(x: Any, index: Any) -> Any:
    """Return `x[index]` for every index that the array module supports, Tensors included."""
    return _getitem(x, index=_check_index(x, unwrap(index)))


@primitive(values=lambda g, index: _getitem(g, index=index))
def _scatter(xp: Any, values: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    """Return zeros of `shape` with `values` added at `index`: the transpose of `_getitem`."""
    target = xp.zeros(shape, values.dtype)
    if not _may_repeat(_untraced(index)):
        target[index] = values
        return target
    is_half = values.dtype == "float16"  # a sum of many elements loses precision in float16
    target, values = (x.astype("float32") if is_half else x for x in (target, values))
    backend.of_array(values).scatter_add(target, index, values)
    return target.astype("float16") if is_half else target


@primitive(
    x=lambda g, x_shape, indices, axis: _scatter(
        g, index=_index_along_axis(indices, axis), shape=x_shape
    )
)
def _take(xp: Any, x: Any, *, indices: Any, axis: int) -> Any:
    return xp.take(x, _untraced(indices), axis)


for _operation in (_getitem, _take):
    _operation.primitive.fresh_gradients = True  # a scatter-add returns a new array


def _as_index_array(x: Any, indices: Any) -> Any:
    """Return indices as an array of integers on the device of `x`."""
    indices = unwrap(indices)
    if getattr(indices, "dtype", None) is not None and indices.dtype.kind == "f":
        raise TypeError(f"indices must be integers, got {indices.dtype}")
    if isinstance(indices, TracerArray):
        return indices
    return as_indices(backend.of_array(unwrap(x)).asarray(indices))


def _index_along_axis(indices: Any, axis: int) -> Any:
    """Return the index that selects `indices` along an axis."""
    return (slice(None),) * axis + (indices,) if axis else indices


def take(x: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    """Select slices of an array by their indices.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    indices : Tensor or array_like of int
        Indices of any shape.
    axis : int, optional
        The axis to select along. By default elements of the flattened array are selected.
    mode : {"raise", "wrap", "clip"}
        For indices out of range: raise an error, count modulo the length, or use the nearest valid
        index.

    Returns
    -------
    Tensor or array
        Selected slices, of the shape of `x` with `axis` replaced by the shape of `indices`.

    Raises
    ------
    IndexError
        If an index is out of range and `mode` is "raise".
    TypeError
        If `indices` are not integers.
    ValueError
        If `mode` is unknown.

    Notes
    -----
    The gradients of repeated indices are summed.
    """
    x, axis = array_and_axis(x, axis, allow_scalar=True)
    indices, n = _as_index_array(x, indices), x.shape[axis]
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f'take: mode must be "raise", "wrap" or "clip", got {mode!r}')
    if mode != "raise" and n:
        indices = indices % n if mode == "wrap" else indices.clip(0, n - 1)
    _check_index(x, _index_along_axis(indices, axis))
    return _take(x, indices=indices, axis=axis)


def _open_grid(xp: Any, indices: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """Return the index that selects `indices` along `axis`, at equal positions on other axes."""
    grid = [
        xp.arange(n).reshape(tuple(-1 if b == a else 1 for b in range(len(shape))))
        for a, n in enumerate(shape)
    ]
    grid[axis] = indices
    return tuple(grid)


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """Select one element along an axis for each entry of `indices`.

    The result is ``y[i, j, ...] = x[i, indices[i, j, ...], ...]`` for axis 1.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    indices : Tensor or array_like of int
        Indices along `axis`, with as many axes as `x`.
    axis : int or None, default -1
        None selects from the flattened array.

    Returns
    -------
    Tensor or array
        Selected elements, of the shape of `indices`, whose other axes broadcast with `x`.

    Raises
    ------
    ValueError
        If `indices` and `x` differ in their number of axes.
    IndexError
        If an index is out of range or not an integer.
    TypeError
        If `indices` are floats.
    """
    x, axis = array_and_axis(x, axis)
    indices = _as_index_array(x, indices)
    if indices.ndim != x.ndim:
        raise ValueError(
            "take_along_axis: indices must have as many axes as x, "
            f"got shapes {indices.shape} and {x.shape}"
        )
    if indices.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis: indices must be integers, got {indices.dtype}")
    _check_index(x, _index_along_axis(indices, axis))
    return gather(x, indices, axis)


def gather(x: Any, indices: Any, axis: int) -> Any:
    """Return `take_along_axis` for indices that are known to be in range."""
    xp = backend.of_array(unwrap(x)).xp
    return _getitem(x, index=_open_grid(xp, unwrap(indices), x.shape, axis))


@primitive(
    x=lambda g, index: _index_update(g, 0.0, index=index),
    value=lambda g, index: _getitem(g, index=index),
)
def _index_update(xp: Any, x: Any, value: Any, *, index: Any) -> Any:
    y = xp.array(x)  # a copy, and an array even if `x` is a scalar
    y[_untraced(index)] = _untraced(value)
    return y


def index_update(x: Any, index: Any, value: Any) -> Any:
    """Return a copy of an array in which some elements are replaced.

    This is the differentiable form of ``x[index] = value``.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    index : int, slice, None, Ellipsis, array_like of int or bool, or a tuple of them
        Any index that the array module supports.
    value : Tensor or array_like
        The new elements, which broadcast to the shape of ``x[index]``.

    Returns
    -------
    Tensor or array
        Updated copy of the shape of `x`.

    Raises
    ------
    IndexError
        If an index is out of range.
    TypeError
        If `value` requires a gradient and `x` is an array of integers or booleans, which cannot
        carry it.

    Notes
    -----
    If an index is repeated, it is undefined which of its values is stored.
    """
    x = as_operand(x)
    if x.dtype.kind != "f" and graph.recording.get() and getattr(value, "requires_grad", False):
        raise TypeError(
            f"index_update of a {x.dtype} tensor would lose the gradient of a {value.dtype} value; "
            "convert the tensor with .astype(...), or pass value.detach()"
        )
    return _index_update(x, value, index=_check_index(x, unwrap(index)))
