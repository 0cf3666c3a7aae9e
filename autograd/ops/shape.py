"""Operations that change the shape of an array or the order of its axes."""

from __future__ import annotations

from typing import Any

from ..backend.base import AxisError
from ..core.tensor import Axis
from .arguments import (
    as_integer,
    as_operand,
    check_flag,
    check_integer,
    is_scalar_axis,
    normalize_axes,
    normalize_axis,
)
from .declaration import primitive

__all__ = [
    "broadcast_to",
    "expand_dims",
    "moveaxis",
    "ravel",
    "reshape",
    "rollaxis",
    "squeeze",
    "swapaxes",
    "transpose",
]


def array_and_axis(x: Any, axis: int | None, allow_scalar: bool = False) -> tuple[Any, int]:
    """Return an array and one of its axes, or the flat array and 0 for None.

    If `allow_scalar`, axis 0 and -1 of an array without axes denote its flat array, too.
    """
    x = as_operand(x)
    if axis is None or (allow_scalar and is_scalar_axis(axis, x.ndim)):
        return ravel(x), 0
    return x, normalize_axis(axis, x.ndim)


def array_and_axes(
    x: Any, axis: Axis, keepdims: bool = False, allow_scalar: bool = False
) -> tuple[Any, tuple[int, ...]]:
    """Return an array and some of its axes, all of them for None, and check `keepdims`.

    If `allow_scalar`, axis 0 and -1 of an array without axes are valid.
    """
    x = as_operand(x)
    if type(keepdims) is not bool:
        check_flag("keepdims", keepdims)
    ndim = x.ndim
    if axis is None:
        return x, tuple(range(ndim))
    if type(axis) is int and -ndim <= axis < ndim:
        return x, (axis % ndim,)
    return x, () if allow_scalar and is_scalar_axis(axis, ndim) else normalize_axes(axis, ndim)


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """Return the shape after a reduction over `axes`."""
    if keepdims:
        return tuple([1 if a in axes else n for a, n in enumerate(shape)])
    return tuple([n for a, n in enumerate(shape) if a not in axes])


@primitive(x=lambda g, x_shape: reshape(g, x_shape))
def _reshape(xp: Any, x: Any, *, shape: Any) -> Any:
    return xp.reshape(x, shape)


def reshape(x: Any, *shape: Any) -> Any:
    """Return an array in another shape.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    *shape : int or tuple of int
        The new shape: a tuple, or several integers. One length may be -1, which stands for the
        length that keeps the number of elements.

    Returns
    -------
    Tensor or array
        Array of the new shape.

    Raises
    ------
    ValueError
        If the number of elements would change.

    Examples
    --------
    >>> import autograd as ag
    >>> ag.reshape(ag.arange(4), 2, -1)
    tensor([[0, 1],
            [2, 3]])
    """
    return _reshape(x, shape=shape[0] if len(shape) == 1 else shape)


def ravel(x: Any) -> Any:
    """Return an array with all of its axes flattened into one.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.

    Returns
    -------
    Tensor or array, shape (x.size,)
        Flattened array.
    """
    return _reshape(x, shape=-1)


def _transpose_vjp(g: Any, axes: tuple[int, ...]) -> Any:
    return _transpose(g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__)))


@primitive(x=_transpose_vjp)
def _transpose(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    return xp.transpose(x, axes)


@primitive(x=lambda g: g.T)
def reversed_axes(xp: Any, x: Any) -> Any:
    """Return `x.T`, an array with its axes in reverse order."""
    return x.T


def transpose(x: Any, *axes: Any) -> Any:
    """Permute the axes of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    *axes : int or tuple of int
        The axes of `x` in their new order: a tuple, or several integers. Without them, or for None,
        the order is reversed.

    Returns
    -------
    Tensor or array
        Array with permuted axes.

    Raises
    ------
    ValueError
        If `axes` is not a permutation of the axes of `x`.
    """
    order = axes[0] if len(axes) == 1 and as_integer(axes[0]) is None else axes or None
    x, axes = array_and_axes(x, order)
    return _transpose(x, axes=axes[::-1] if order is None else axes)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis1, axis2 : int
        Axes to exchange.

    Returns
    -------
    Tensor or array
        Array with exchanged axes.

    Raises
    ------
    AxisError
        If an axis is out of range.
    """
    x = as_operand(x)
    axes = list(range(x.ndim))
    i, j = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    axes[i], axes[j] = axes[j], axes[i]
    return _transpose(x, axes=tuple(axes))


def moveaxis(x: Any, source: Axis, destination: Axis) -> Any:
    """Move axes of an array to other positions; the other axes keep their order.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    source : int or tuple of int
        The axes to move.
    destination : int or tuple of int
        Their positions in the result.

    Returns
    -------
    Tensor or array
        Array with moved axes.

    Raises
    ------
    AxisError
        If an axis is out of range.
    ValueError
        If `source` and `destination` differ in length, or an axis is repeated.
    """
    x = as_operand(x)
    sources, destinations = (
        normalize_axes(axis if isinstance(axis, (tuple, list)) else (axis,), x.ndim)
        for axis in (source, destination)
    )
    if len(sources) != len(destinations):
        raise ValueError(
            "moveaxis: source and destination must have the same number of axes, "
            f"got {source} and {destination}"
        )
    axes = [a for a in range(x.ndim) if a not in sources]
    for position, axis in sorted(zip(destinations, sources, strict=True)):
        axes.insert(position, axis)
    return _transpose(x, axes=tuple(axes))


def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """Move an axis of an array before the axis `start`.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int
        The axis to move.
    start : int, default 0
        The axis before which it is moved; ``x.ndim`` moves it to the end.

    Returns
    -------
    Tensor or array
        Array with the moved axis.

    Raises
    ------
    AxisError
        If `axis` or `start` is out of range.
    """
    x = as_operand(x)
    a, position = normalize_axis(axis, x.ndim), check_integer("start", start)
    if not -x.ndim <= position <= x.ndim:
        raise AxisError(
            f"rollaxis: start must be between {-x.ndim} and {x.ndim}, the number of axes, "
            f"got {position}"
        )
    position += x.ndim * (position < 0)
    return moveaxis(x, a, position - (a < position))


def squeeze(x: Any, axis: Axis = None) -> Any:
    """Remove axes of length 1.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to remove. The default is all axes of length 1.

    Returns
    -------
    Tensor or array
        Array without the removed axes.

    Raises
    ------
    ValueError
        If an axis in `axis` does not have length 1.
    """
    x, axes = array_and_axes(x, axis, allow_scalar=True)
    if axis is not None and any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis must have length 1, got axis {axis} of shape {x.shape}")
    return _reshape(x, shape=tuple(n for a, n in enumerate(x.shape) if not (a in axes and n == 1)))


def expand_dims(x: Any, axis: Axis) -> Any:
    """Insert axes of length 1.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int
        The positions of the new axes in the result.

    Returns
    -------
    Tensor or array
        Array with the new axes.

    Raises
    ------
    AxisError
        If a position is out of range.
    ValueError
        If a position is repeated.
    """
    x, positions = as_operand(x), [*axis] if isinstance(axis, (tuple, list)) else [axis]
    ndim = x.ndim + len(positions)
    new_axes, lengths = normalize_axes(positions, ndim), iter(x.shape)
    return _reshape(x, shape=tuple(1 if a in new_axes else next(lengths) for a in range(ndim)))


@primitive(x=lambda g: g)  # the backward pass unbroadcasts all gradients
def _broadcast_to(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    return xp.broadcast_to(x, shape)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast an array to a larger shape, without copying its elements.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    shape : tuple of int
        Shape of the result.

    Returns
    -------
    Tensor or array
        Array of the given shape, which shares the memory of `x`.

    Raises
    ------
    ValueError
        If `x` does not broadcast to `shape`.

    Notes
    -----
    The gradient is summed over the broadcast axes.
    """
    return _broadcast_to(x, shape=shape)
