"""Operations that move elements without changing them: flip, roll, tile, pad, diag, and so on.

Most of them share one primitive, whose forward function is the function of the array module. The
VJP rule applies the same function to the positions of the elements, which yields the source of
each element of the result, and adds the gradient of each element at its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from .. import backend
from ..core.pytree import flatten
from ..core.tensor import Axis, Tensor, unwrap
from .arguments import freeze
from .declaration import primitive
from .indexing import _scatter, getitem
from .reduction import sum
from .shape import array_and_axes, reshape

__all__ = [
    "diag",
    "diagonal",
    "flip",
    "fliplr",
    "flipud",
    "pad",
    "repeat",
    "roll",
    "rot90",
    "sliding_window_view",
    "tile",
    "trace",
    "tril",
    "triu",
]

Move = Callable[[Any, Any], Any]


def _move_vjp(g: Any, x_shape: tuple[int, ...], move: Move) -> Any:
    """Add each element of `g` at the position that it comes from.

    Positions count from 1; elements that `move` has filled in come from position 0.
    """
    xp = backend.of_array(unwrap(g)).xp
    positions = move(xp, xp.arange(1, math.prod(x_shape) + 1).reshape(x_shape))
    total = _scatter(g, index=positions, shape=(math.prod(x_shape) + 1,))
    return reshape(getitem(total, slice(1, None)), x_shape)


@primitive(x=_move_vjp)
def _move(xp: Any, x: Any, *, move: Move) -> Any:
    return move(xp, x).copy()


def _apply(name: str, x: Any, *arguments: Any) -> Any:
    """Apply the array function `name` with a copy of its other arguments."""
    function, frozen = attrgetter(name), freeze(arguments)
    return _move(x, move=lambda xp, a: function(xp)(a, *frozen))


def flip(x: Any, axis: Axis = None) -> Any:
    """Reverse the order of elements along axes.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    axis : int or tuple of int, optional
        The axes to reverse. The default is all axes.

    Returns
    -------
    Tensor or array
        Array of the shape of `x`, with its elements in reverse order.
    """
    x, axes = array_and_axes(x, axis)
    return getitem(x, tuple(slice(None, None, -1 if a in axes else None) for a in range(x.ndim)))


def flipud(x: Any) -> Any:
    """Reverse the order of elements along the first axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.

    Returns
    -------
    Tensor or array
        Array of the shape of `x`, with its elements in reverse order.
    """
    return flip(x, 0)


def fliplr(x: Any) -> Any:
    """Reverse the order of elements along the second axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.

    Returns
    -------
    Tensor or array
        Array of the shape of `x`, with its elements in reverse order.
    """
    return flip(x, 1)


def roll(x: Any, shift: int | tuple[int, ...], axis: Axis = None) -> Any:
    """Shift elements cyclically along axes.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    shift : int or tuple of int
        The number of positions, one for each axis in `axis`.
    axis : int or tuple of int, optional
        By default the flattened array is shifted.

    Returns
    -------
    Tensor or array
        Shifted copy of the shape of `x`.
    """
    return _apply("roll", x, shift, axis)


def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Rotate an array by multiples of 90 degrees.

    Parameters
    ----------
    x : Tensor or array_like
        An array of at least two axes.
    k : int, default 1
        The number of rotations by 90 degrees.
    axes : (int, int), default (0, 1)
        The plane of the rotation, from the first axis toward the second axis.

    Returns
    -------
    Tensor or array
        Rotated copy.
    """
    return _apply("rot90", x, k, axes)


def tile(x: Any, reps: int | tuple[int, ...]) -> Any:
    """Repeat an array as a whole.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    reps : int or tuple of int
        The number of repetitions along each axis.

    Returns
    -------
    Tensor or array
        Array whose axes are longer by the factors `reps`.
    """
    return _apply("tile", x, reps)


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Repeat each element of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    repeats : int or array_like of int
        The number of repetitions: one for all, or one for each index of `axis`.
    axis : int, optional
        By default the elements of the flattened array are repeated.

    Returns
    -------
    Tensor or array
        Array in which `axis` is longer; a vector if `axis` is None.
    """
    return _apply("repeat", x, repeats, axis)


@primitive(
    x=lambda g, x_shape, width, mode: _move_vjp(
        g, x_shape, lambda xp, a: xp.pad(a, width, mode=mode)
    )
)
def _pad(xp: Any, x: Any, *, width: Any, mode: str, options: dict[str, Any]) -> Any:
    return xp.pad(x, width, mode=mode, **options)


def pad(x: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Any:
    """Add elements before and after each axis.

    Parameters
    ----------
    x : Tensor or array_like
        An array of n axes.
    pad_width : int, (int, int), or a sequence of n such pairs
        The number of elements before and after all axes, or each axis.
    mode : {"constant", "edge", "reflect", "symmetric", "wrap"}
        The modes of `numpy.pad` that copy elements.
    **options
        `constant_values`, for mode "constant": a number, a pair of numbers, or a sequence of n such
        pairs; the values before and after all axes, or each axis (default 0). `reflect_type`, for
        modes "reflect" and "symmetric": "even".

    Returns
    -------
    Tensor or array
        Padded copy.

    Raises
    ------
    ValueError
        If the mode is unknown, or does not have an option.
    TypeError
        If `constant_values` requires a gradient.
    """
    supported = {"constant": ("constant_values", None), "edge": (), "wrap": ()}
    supported |= {"reflect": ("reflect_type", "even"), "symmetric": ("reflect_type", "even")}
    if mode not in supported:
        raise ValueError(f"pad: mode must be one of {', '.join(supported)}, got {mode!r}")
    for name, value in options.items():
        if name not in supported[mode] or supported[mode][1] not in (None, value):
            raise ValueError(f"pad: {name}={value!r} is not supported for mode {mode!r}")
        if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in flatten(value)):
            raise TypeError(f"pad: {name} has no gradient; detach() it or use concatenate")
    options = {name: freeze(value) for name, value in options.items()}
    return _pad(x, width=freeze(pad_width), mode=mode, options=options)


def tril(x: Any, k: int = 0) -> Any:
    """Return the lower triangle of a matrix, with zeros above it.

    Parameters
    ----------
    x : Tensor or array_like, shape (..., M, N)
        Matrices.
    k : int, default 0
        The last diagonal of the triangle: 0 is the main diagonal, 1 the diagonal above it.

    Returns
    -------
    Tensor or array
        Lower triangles, of the shape of `x`.
    """
    return _apply("tril", x, k)


def triu(x: Any, k: int = 0) -> Any:
    """Return the upper triangle of a matrix, with zeros below it.

    Parameters
    ----------
    x : Tensor or array_like, shape (..., M, N)
        Matrices.
    k : int, default 0
        The first diagonal of the triangle: 0 is the main diagonal, 1 the diagonal above it.

    Returns
    -------
    Tensor or array
        Upper triangles, of the shape of `x`.
    """
    return _apply("triu", x, k)


def diag(x: Any, k: int = 0) -> Any:
    """Return a matrix with a given diagonal, or the diagonal of a matrix.

    Parameters
    ----------
    x : Tensor or array_like, shape (N,) or (M, N)
        Vector or matrix.
    k : int, default 0
        The diagonal: 0 is the main diagonal, 1 the diagonal above it.

    Returns
    -------
    Tensor or array
        For a vector, a square matrix of zeros with `x` on its k-th diagonal. For a matrix, its
        k-th diagonal as a vector.
    """
    return _apply("diag", x, k)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Return the diagonals of the matrices in two axes.

    Parameters
    ----------
    x : Tensor or array_like
        An array of at least two axes.
    offset : int, default 0
        The diagonal: 0 is the main diagonal, 1 the diagonal above it.
    axis1, axis2 : int
        The axes of the matrices, by default the first two.

    Returns
    -------
    Tensor or array
        Diagonals, along a new last axis that replaces `axis1` and `axis2`.
    """
    return _apply("diagonal", x, offset, axis1, axis2)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dtype: Any = None) -> Any:
    """Return the sums of the diagonals of the matrices in two axes.

    Parameters
    ----------
    x : Tensor or array_like
        An array of at least two axes.
    offset : int, default 0
        The diagonal: 0 is the main diagonal, 1 the diagonal above it.
    axis1, axis2 : int
        The axes of the matrices, by default the first two.
    dtype : dtype, optional
        The dtype of the sum and of the result.

    Returns
    -------
    Tensor or array
        Sums, without `axis1` and `axis2`.
    """
    return sum(diagonal(x, offset, axis1, axis2), -1, dtype=dtype)


def sliding_window_view(x: Any, window_shape: Any, axis: Axis = None) -> Any:
    """Return all windows of an array.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    window_shape : int or tuple of int
        The length of the window along each axis in `axis`.
    axis : int or tuple of int, optional
        The axes along which the window moves. The default is all axes.

    Returns
    -------
    Tensor or array
        Windows: the axes of `x` index the position, and the new last axes the elements of a window.
        Unlike the result of NumPy's function, it is a copy.
    """
    return _apply("lib.stride_tricks.sliding_window_view", x, window_shape, axis)
