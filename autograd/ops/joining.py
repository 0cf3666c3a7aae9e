"""Operations that join several arrays into one, or split one into several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from ..core.primitive import record_operation
from ..core.tensor import Tensor
from .arguments import as_integer, as_operand, as_operand_list, normalize_axis
from .creation import zeros_on_device_of
from .declaration import primitive
from .shape import ravel, reshape

__all__ = [
    "append",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "column_stack",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]

# --- joining --------------------------------------------------------------------------------------


def _boundaries(shapes: tuple[tuple[int, ...], ...], axis: int) -> tuple[int, ...]:
    """Return the positions at which each array but the first begins after concatenation."""
    positions, position = [], 0
    for shape in shapes[:-1]:
        position += shape[axis]
        positions.append(position)
    return tuple(positions)


@primitive(
    lambda g, arrays_shape, axis: _split(g, indices=_boundaries(arrays_shape, axis), axis=axis)
)
def _concatenate(xp: Any, *arrays: Any, axis: int) -> Any:
    return xp.concatenate(arrays, axis)


def concatenate(arrays: Any, axis: int | None = 0) -> Any:
    """Join arrays along an existing axis.

    Parameters
    ----------
    arrays : sequence of (Tensor or array_like)
        Arrays of equal shape, except along `axis`.
    axis : int or None, default 0
        None joins the flattened arrays.

    Returns
    -------
    Tensor or array
        Joined array.

    Raises
    ------
    ValueError
        If `arrays` is empty, an array has no axes, or the shapes do not match.
    """
    arrays = as_operand_list("concatenate", arrays)
    if not arrays:
        raise ValueError("concatenate: need at least one array")
    if axis is None:
        return _concatenate(*map(ravel, arrays), axis=0)
    if not arrays[0].ndim:
        raise ValueError("concatenate: arrays without axes cannot be joined; use stack")
    return _concatenate(*arrays, axis=normalize_axis(axis, arrays[0].ndim))


def record_concatenation(tensors: Any, result: Any) -> Any:
    """Return `result` as the concatenation of Tensors that are adjacent views of it.

    Nothing is computed: the concatenation along the first axis is recorded only.
    """
    parents, arrays = tuple([t._node for t in tensors]), tuple([t._data for t in tensors])
    return record_operation(_concatenate.primitive, parents, arrays, result, {"axis": 0})


@primitive(lambda g, axis: unstack(g, axis))
def _stack(xp: Any, *arrays: Any, axis: int) -> Any:
    return xp.stack(arrays, axis) if axis or len(arrays) > 1 else arrays[0][None].copy()


def stack(arrays: Any, axis: int = 0) -> Any:
    """Join arrays of equal shape along a new axis.

    Parameters
    ----------
    arrays : sequence of (Tensor or array_like)
        Arrays of equal shape.
    axis : int, default 0
        The position of the new axis in the result.

    Returns
    -------
    Tensor or array
        Array with one more axis than the inputs.

    Raises
    ------
    ValueError
        If `arrays` is empty, or the shapes differ.
    """
    arrays = as_operand_list("stack", arrays)
    if not arrays:
        raise ValueError("stack: need at least one array")
    return _stack(*arrays, axis=normalize_axis(axis, arrays[0].ndim + 1))


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """Join two arrays.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    values : Tensor or array_like
        The array that follows `x`.
    axis : int or None
        The axis along which they are joined. None, the default, joins the flattened arrays.

    Returns
    -------
    Tensor or array
        Joined array.
    """
    return concatenate([x, values], axis)


def vstack(arrays: Any) -> Any:
    """Join arrays along the first axis; vectors become rows.

    Parameters
    ----------
    arrays : sequence of (Tensor or array_like)
        Arrays of equal shape, except along the axis of the join.

    Returns
    -------
    Tensor or array
        Array of at least two axes.
    """
    return concatenate([atleast_2d(x) for x in as_operand_list("vstack", arrays)], 0)


def hstack(arrays: Any) -> Any:
    """Join arrays along the second axis, or vectors along their only one.

    Parameters
    ----------
    arrays : sequence of (Tensor or array_like)
        Arrays of equal shape, except along the axis of the join.

    Returns
    -------
    Tensor or array
        Array of at least one axis.
    """
    arrays = [atleast_1d(x) for x in as_operand_list("hstack", arrays)]
    return concatenate(arrays, 1 if arrays and arrays[0].ndim > 1 else 0)


def dstack(arrays: Any) -> Any:
    """Join arrays along the third axis; see `atleast_3d` for arrays with fewer axes.

    Parameters
    ----------
    arrays : sequence of (Tensor or array_like)
        Arrays of equal shape, except along the axis of the join.

    Returns
    -------
    Tensor or array
        Array of at least three axes.
    """
    return concatenate([atleast_3d(x) for x in as_operand_list("dstack", arrays)], 2)


def column_stack(arrays: Any) -> Any:
    """Join arrays along the second axis; vectors become columns.

    Parameters
    ----------
    arrays : sequence of (Tensor or array_like)
        Arrays of equal shape, except along the axis of the join.

    Returns
    -------
    Tensor or array
        Array of at least two axes.
    """
    columns = [
        reshape(x, (x.size, 1)) if x.ndim < 2 else x
        for x in as_operand_list("column_stack", arrays)
    ]
    return concatenate(columns, 1)


# --- adding axes ----------------------------------------------------------------------------------


def _reshape_each(arrays: Any, new_shape: Callable[[Any], tuple[int, ...]]) -> Any:
    """Return each array in the shape `new_shape(array)`: one result, or a tuple."""
    operands = [as_operand(x) for x in arrays]
    if any(isinstance(x, Tensor) for x in operands):
        operands = [x if isinstance(x, Tensor) else Tensor(x) for x in operands]
    results = [x if x.shape == new_shape(x) else reshape(x, new_shape(x)) for x in operands]
    return results[0] if len(results) == 1 else tuple(results)


def atleast_1d(*arrays: Any) -> Any:
    """Return arrays with at least one axis.

    Parameters
    ----------
    *arrays : Tensor or array_like
        Arrays of any shape.

    Returns
    -------
    Tensor or array, or a tuple of them
        Reshaped array; a tuple for several arrays.
    """
    return _reshape_each(arrays, lambda x: x.shape or (1,))


def atleast_2d(*arrays: Any) -> Any:
    """Return arrays with at least two axes; new axes come first.

    Parameters
    ----------
    *arrays : Tensor or array_like
        Arrays of any shape.

    Returns
    -------
    Tensor or array, or a tuple of them
        Reshaped array; a tuple for several arrays.
    """
    return _reshape_each(arrays, lambda x: x.shape if x.ndim > 1 else (1, x.size))


def atleast_3d(*arrays: Any) -> Any:
    """Return arrays with at least three axes.

    Parameters
    ----------
    *arrays : Tensor or array_like
        A vector of shape (N,) becomes (1, N, 1), a matrix of shape (M, N) becomes (M, N, 1).

    Returns
    -------
    Tensor or array, or a tuple of them
        Reshaped array; a tuple for several arrays.
    """
    return _reshape_each(
        arrays, lambda x: (x.shape if x.ndim > 1 else (1, x.size)) + (1,) * (x.ndim < 3)
    )


# --- splitting ------------------------------------------------------------------------------------


def _zeros_for_none(g: tuple[Any, ...], shapes: Iterable[tuple[int, ...]]) -> list[Any]:
    """Replace each None among the gradients of several results by zeros."""
    like = next(gradient for gradient in g if gradient is not None)
    return [
        zeros_on_device_of(like, shape, like.dtype) if gradient is None else gradient
        for gradient, shape in zip(g, shapes, strict=True)
    ]


def _split_vjp(g: Any, x_shape: tuple[int, ...], indices: tuple[int, ...], axis: int) -> Any:
    bounds = pairwise((0, *indices, x_shape[axis]))
    shapes = [(*x_shape[:axis], stop - start, *x_shape[axis + 1 :]) for start, stop in bounds]
    return _concatenate(*_zeros_for_none(g, shapes), axis=axis)


@primitive(x=_split_vjp)
def _split(xp: Any, x: Any, *, indices: tuple[int, ...], axis: int) -> Any:
    before = (slice(None),) * axis
    bounds = pairwise((0, *indices, x.shape[axis]))
    return tuple([x[(*before, slice(start, stop))] for start, stop in bounds])


def split(x: Any, sections: Any, axis: int = 0) -> Any:
    """Split an array into several along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    sections : int or sequence of int
        The number of equal parts, or the indices at which the parts after the first begin.
    axis : int, default 0
        Axis to split.

    Returns
    -------
    tuple of Tensors or arrays
        Parts of `x`, in order.

    Raises
    ------
    ValueError
        If the axis cannot be divided into equal parts, or the indices decrease.
    TypeError
        If `sections` is a float.
    """
    x = as_operand(x)
    axis = normalize_axis(axis, x.ndim)
    length, parts = x.shape[axis], as_integer(sections)
    if parts is not None:
        if parts < 1 or length % parts:
            raise ValueError(
                f"split: axis {axis} of shape {x.shape} does not divide into {parts} equal parts"
            )
        step = length // parts
        indices = tuple(range(step, length, step)) if step else (0,) * (parts - 1)
    elif isinstance(sections, (int, float)):
        raise TypeError(f"split: sections must be an integer or indices, got {sections!r}")
    else:
        indices = tuple([slice(index).indices(length)[1] for index in sections])
        if any(second < first for first, second in pairwise(indices)):
            raise ValueError(f"split: indices must not decrease, got {list(sections)}")
    return _split(x, indices=indices, axis=axis)


def array_split(x: Any, sections: Any, axis: int = 0) -> Any:
    """Split an array into parts whose lengths differ by at most one.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    sections : int or sequence of int
        The number of parts, or indices as in `split`. The longer parts come first.
    axis : int, default 0
        Axis to split.

    Returns
    -------
    tuple of Tensors or arrays
        Parts of `x`, in order.

    Raises
    ------
    ValueError
        If the number of parts is not positive.
    """
    parts = as_integer(sections)
    if parts is None:
        return split(x, sections, axis)
    if parts < 1:
        raise ValueError(f"array_split: sections must be positive, got {parts}")
    x = as_operand(x)
    length, longer_parts = divmod(x.shape[normalize_axis(axis, x.ndim)], parts)
    indices = [length * i + min(i, longer_parts) for i in range(1, parts)]
    return split(x, tuple(indices), axis)


def hsplit(x: Any, sections: Any) -> Any:
    """Split an array along the second axis, or a vector along its only one.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    sections : int or sequence of int
        As in `split`.

    Returns
    -------
    tuple of Tensors or arrays
        Parts of `x`, in order.
    """
    x = as_operand(x)
    return split(x, sections, 1 if x.ndim > 1 else 0)


def vsplit(x: Any, sections: Any) -> Any:
    """Split an array along the first axis.

    Parameters
    ----------
    x : Tensor or array_like
        An array of at least two axes.
    sections : int or sequence of int
        As in `split`.

    Returns
    -------
    tuple of Tensors or arrays
        Parts of `x`, in order.

    Raises
    ------
    ValueError
        If `x` has fewer than two axes.
    """
    x = as_operand(x)
    if x.ndim < 2:
        raise ValueError(f"vsplit: x must have at least two axes, got shape {x.shape}")
    return split(x, sections, 0)


def dsplit(x: Any, sections: Any) -> Any:
    """Split an array along the third axis.

    Parameters
    ----------
    x : Tensor or array_like
        An array of at least three axes.
    sections : int or sequence of int
        As in `split`.

    Returns
    -------
    tuple of Tensors or arrays
        Parts of `x`, in order.

    Raises
    ------
    AxisError
        If `x` has fewer than three axes.
    """
    return split(x, sections, 2)


def _unstack_vjp(g: Any, x_shape: tuple[int, ...], axis: int) -> Any:
    shape = (*x_shape[:axis], *x_shape[axis + 1 :])
    return _stack(*_zeros_for_none(g, [shape] * len(g)), axis=axis)


@primitive(x=_unstack_vjp)
def _unstack(xp: Any, x: Any, *, axis: int) -> Any:
    return tuple(xp.moveaxis(x, axis, 0))


def unstack(x: Any, axis: int = 0) -> Any:
    """Split an array into its slices along an axis, and remove the axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int, default 0
        Axis to remove.

    Returns
    -------
    tuple of Tensors or arrays
        Slices, one for each index of the axis.

    Notes
    -----
    All slices are results of one operation. Its backward pass takes linear time, while the gradient
    of each `x[t]` is an array of the shape of `x`. `scan` reads its inputs this way.
    """
    x = as_operand(x)
    axis = normalize_axis(axis, x.ndim)
    return _unstack(x, axis=axis) if x.shape[axis] else ()
