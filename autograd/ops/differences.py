"""Evenly spaced samples, and differences and derivatives of sampled values."""

from __future__ import annotations

import math
from typing import Any

from .. import backend
from ..backend import get_default_dtype
from ..core.tensor import Axis, Tensor, unwrap
from .arguments import as_operand, as_operands, check_integer, normalize_axis
from .creation import astype
from .elementwise import add, floor, multiply, subtract
from .indexing import getitem
from .joining import concatenate
from .logic import not_equal
from .reduction import as_floating, stop_gradient, upcast_half
from .selection import promote, where
from .shape import array_and_axes, broadcast_to, moveaxis, reshape

__all__ = ["diff", "gradient", "linspace"]


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
    """Return evenly spaced numbers over an interval.

    Parameters
    ----------
    start, stop : number or array_like
        The ends of the interval. Arrays broadcast.
    num : int, default 50
        The number of samples.
    endpoint : bool, default True
        If False, `stop` is not among the samples.
    dtype : dtype, optional
        By default the default dtype for numbers, and the dtype of the ends for arrays. For an
        integer dtype, samples are rounded down.
    device : str, optional
        The device of the result. Arrays must be on it.
    retstep : bool, default False
        Also return the distance between samples.
    axis : int, default 0
        The axis of the samples in the result.

    Returns
    -------
    samples : Tensor or array
        Samples along a new axis of length `num`; a Tensor if the ends are numbers.
    step : Tensor or array
        Distance between samples; returned only if `retstep` is True.

    Raises
    ------
    ValueError
        If `num` is negative.
    DeviceError
        If the ends are not on `device`.

    Notes
    -----
    Differentiable with respect to `start` and `stop`.
    """
    num = check_integer("num", num)
    if num < 0:
        raise ValueError(f"linspace: num must not be negative, got {num}")
    if not {type(start), type(stop)} <= {bool, int, float}:
        start, stop, _ = promote(*as_operands(start, stop, name="linspace"), 1.0)
    else:
        dtype = dtype or get_default_dtype()
        start, stop = (Tensor(backend.get(device).asarray(float(end))) for end in (start, stop))
    array_backend, result_dtype = backend.of_array(unwrap(start)), start.dtype
    start, stop = upcast_half(start), upcast_half(stop)
    length = subtract(stop, start)
    if device is not None and backend.get(device) is not array_backend:
        raise backend.DeviceError(
            f"linspace: start and stop must be on {device}, got {array_backend.device}"
        )
    intervals = num - bool(endpoint)
    k = array_backend.xp.arange(num).astype(length.dtype).reshape((num, *(1,) * length.ndim))
    step = length / intervals if intervals > 0 else math.nan
    factor = step if intervals > 0 else length
    product = multiply(factor, array_backend.xp.maximum(k, 1))
    samples = add(start, where(k == 0, stop_gradient(factor) * 0, product))
    if endpoint and num > 1:
        samples = where(k == intervals, stop, samples)
    samples = astype(samples, result_dtype)
    if dtype is not None:
        is_integer = array_backend.asarray(0, dtype).dtype.kind in "iu"
        samples = astype(floor(samples) if is_integer else samples, dtype)
    samples = moveaxis(samples, 0, axis)
    return (samples, astype(step, result_dtype)) if retstep else samples


def _slice_axis(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, (slice(None),) * axis + (slice(start, stop),))


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Return the n-th differences of adjacent elements along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    n : int, default 1
        Number of times that differences are computed.
    axis : int, default -1
        Axis of the differences.
    prepend, append : number or array_like, optional
        Values to join to `x` along `axis` before computing differences. A number is one element.

    Returns
    -------
    Tensor or array
        Differences; `axis` is shorter by `n`.

    Raises
    ------
    ValueError
        If `n` is negative.
    """
    x, n = as_operand(x), check_integer("n", n)
    a = normalize_axis(axis, x.ndim)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    if n and not (prepend is None and append is None):
        slice_shape = (*x.shape[:a], 1, *x.shape[a + 1 :])
        parts = [as_operand(v, x) for v in (prepend, x, append) if v is not None]
        x = concatenate([v if v.ndim else broadcast_to(v, slice_shape) for v in parts], a)
    difference = not_equal if x.dtype.kind == "b" else subtract
    for _ in range(n):
        x = difference(_slice_axis(x, a, 1, None), _slice_axis(x, a, None, -1))
    return x


def gradient(
    x: Any, *distances: Any, spacing: float = 1.0, axis: Axis = None, edge_order: int = 1
) -> Any:
    """Estimate the derivatives of sampled values by finite differences, as `numpy.gradient`.

    Parameters
    ----------
    x : Tensor or array_like
        The values, at least ``edge_order + 1`` along each axis.
    *distances : number or array_like of one axis
        The distance between samples for all axes (a number), or for each axis the distance or the
        coordinates of the samples.
    spacing : number, default 1
        The distance between samples for all axes, if there are no `distances`.
    axis : int or tuple of int, optional
        The axes along which derivatives are taken. The default is all axes.
    edge_order : {1, 2}
        The order of the one-sided differences at the ends. Central differences are used inside.

    Returns
    -------
    Tensor or array, or a tuple of them
        The derivative along one axis, or a tuple for several.

    Raises
    ------
    ValueError
        If an axis has too few samples, coordinates do not match, or `edge_order` is not 1 or 2.
    TypeError
        If `x` is boolean, or the number of `distances` is neither 1 nor the number of axes.

    Notes
    -----
    Differentiable with respect to the values and the distances.
    """
    x, axes = array_and_axes(x, axis)
    if x.dtype.kind == "b":
        raise TypeError("gradient: x must not be boolean")
    x, steps = as_floating(x), [as_operand(d, x) for d in distances or (spacing,)]
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    if len(steps) == 1 and steps[0].ndim == 0:
        steps *= len(axes)
    if len(steps) != len(axes):
        raise TypeError(
            f"gradient: need 1 or {len(axes)} distances for {len(axes)} axes, got {len(steps)}"
        )
    results = [
        _derivative(x, as_floating(h), a, edge_order) for a, h in zip(axes, steps, strict=True)
    ]
    return results[0] if len(results) == 1 else tuple(results)


def _derivative(x: Any, h: Any, axis: int, edge_order: int) -> Any:
    """Return the derivative along an axis; `h` is the distance or the coordinates of samples."""
    length = x.shape[axis]
    if length <= edge_order:
        raise ValueError(
            f"gradient: need at least {edge_order + 1} samples, got shape {x.shape}, axis {axis}"
        )
    if h.ndim and h.shape != (length,):
        raise ValueError(f"gradient: need {length} coordinates, got shape {h.shape}")
    is_uniform = not h.ndim
    h = h if is_uniform else reshape(diff(h), (-1, *(1,) * (x.ndim - axis - 1)))
    quotients = diff(x, axis=axis) / h
    if is_uniform:
        central = (_slice_axis(x, axis, 2, None) - _slice_axis(x, axis, None, -2)) / (2 * h)
        first_weight = last_weight = 0.5
    else:
        h_left, h_right = getitem(h, slice(None, -1)), getitem(h, slice(1, None))
        left_weight, right_weight = h_right / (h_right + h_left), h_left / (h_right + h_left)
        central = left_weight * _slice_axis(quotients, axis, None, -1)
        central = central + right_weight * _slice_axis(quotients, axis, 1, None)
        first_weight = getitem(right_weight, slice(0, 1))
        last_weight = getitem(left_weight, slice(-1, None))
    first, last = _slice_axis(quotients, axis, 0, 1), _slice_axis(quotients, axis, -1, None)
    if edge_order == 2:
        first = first + (first - _slice_axis(quotients, axis, 1, 2)) * first_weight
        last = last + (last - _slice_axis(quotients, axis, -2, -1)) * last_weight
    return astype(concatenate([first, central, last], axis), x.dtype)
