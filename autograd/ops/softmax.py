"""Softmax, its logarithm, and log-sum-exp, computed without overflow."""

from __future__ import annotations

from math import inf
from typing import Any

from ..core.tensor import Axis
from .arguments import as_operand, normalize_axes, normalize_axis
from .declaration import primitive
from .elementwise import exp, log
from .extremes import _max
from .logic import isfinite
from .reduction import _sum, as_floating, element_count, stop_gradient, with_half_upcast
from .selection import where
from .shape import array_and_axes, reduced_shape, reshape

__all__ = ["log_softmax", "logsumexp", "softmax"]


@with_half_upcast
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return ``log(sum(exp(x)))`` over axes.

    Parameters
    ----------
    x : Tensor or array_like
        Integers and booleans are converted to float64.
    axis : int or tuple of int, optional
        The axes to reduce. The default is all axes.
    keepdims : bool, default False
        Keep the reduced axes with length 1.

    Returns
    -------
    Tensor or array
        Result over the axes; -inf where all elements are -inf, and for an empty array.

    Notes
    -----
    The maximum is subtracted first, so nothing overflows. The gradient is ``softmax(x)``, or 0
    where the result is -inf.

    References
    ----------
    Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions".
    """
    x, axes = array_and_axes(x, axis, keepdims)
    x, peak = as_floating(x), 0.0
    if element_count(x, axes):
        peak = _max(stop_gradient(x), axes=axes, keepdims=True)
        peak = where(isfinite(peak), peak, 0)
    total = _sum(exp(x - peak), axes=axes, keepdims=True)
    is_zero = total == 0
    result = where(is_zero, -inf, log(where(is_zero, 1, total))) + peak
    return reshape(result, reduced_shape(x.shape, axes, keepdims))


@primitive(
    x=lambda g, y, axis: g - exp(y) * _sum(g, axes=normalize_axes(axis, y.ndim), keepdims=True)
)
def _log_softmax(xp: Any, x: Any, *, axis: int) -> Any:
    if not x.size:
        return x.copy()
    shifted = x - xp.max(x, axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis, keepdims=True))


@with_half_upcast
def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return the logarithm of `softmax` along an axis, accurate even if probabilities underflow.

    Parameters
    ----------
    x : Tensor or array_like
        Unnormalized log-probabilities (logits). Integers and booleans are converted to float64.
    axis : int, default -1
        Axis of the classes.

    Returns
    -------
    Tensor or array
        Log-probabilities of the shape of `x`.

    Notes
    -----
    The gradient is ``g - softmax(x) * sum(g)``.
    """
    x = as_floating(as_operand(x))
    return _log_softmax(x, axis=normalize_axis(axis, x.ndim))


@with_half_upcast
def softmax(x: Any, axis: int = -1) -> Any:
    """Return ``exp(x) / sum(exp(x))`` along an axis.

    Parameters
    ----------
    x : Tensor or array_like
        Unnormalized log-probabilities (logits). Integers and booleans are converted to float64.
    axis : int, default -1
        Axis of the classes.

    Returns
    -------
    Tensor or array
        Probabilities of the shape of `x`, which sum to 1 along `axis`.
    """
    return exp(log_softmax(x, axis=axis))
