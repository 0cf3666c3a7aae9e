"""Losses of each element: squared, absolute, Huber and binary cross-entropy."""

from __future__ import annotations

from typing import Any

from autograd import Tensor, absolute, log, maximum, primitive, softplus, square, where

from ...scalars import to_python
from .reduction import as_operand, as_target, reduce_losses


def mse_loss(input: Tensor, target: Any, *, reduction: str = "mean") -> Tensor:
    """Squared error (input - target)^2.

    Parameters
    ----------
    input : Tensor
        Predictions.
    target : Tensor or array_like
        Targets of the same shape.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.

    Returns
    -------
    Tensor
        Shape (), or the shape of the input with reduction "none".

    Raises
    ------
    ValueError
        If the shapes differ, or `reduction` is invalid.
    """
    return reduce_losses(square(input - as_target(input, target)), reduction)


def l1_loss(input: Tensor, target: Any, *, reduction: str = "mean") -> Tensor:
    """Absolute error abs(input - target). Its derivative at 0 is 0.

    Parameters
    ----------
    input : Tensor
        Predictions.
    target : Tensor or array_like
        Targets of the same shape.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.

    Returns
    -------
    Tensor
        Shape (), or the shape of the input with reduction "none".

    Raises
    ------
    ValueError
        If the shapes differ, or `reduction` is invalid.
    """
    return reduce_losses(absolute(input - as_target(input, target)), reduction)


def huber_loss(input: Tensor, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Huber loss: quadratic for small errors, linear for large ones.

    For d = abs(input - target) the loss is d^2 / 2 if d < delta, else delta (d - delta / 2).

    Parameters
    ----------
    input : Tensor
        Predictions.
    target : Tensor or array_like
        Targets of the same shape.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    delta : float, default 1.0
        Error at which the loss becomes linear.

    Returns
    -------
    Tensor
        Shape (), or the shape of the input with reduction "none".

    Raises
    ------
    ValueError
        If `delta` is not positive, or the shapes differ.

    References
    ----------
    Huber 1964, "Robust estimation of a location parameter".
    """
    delta = to_python(delta)
    if not delta > 0:
        raise ValueError(f"huber_loss does not support non-positive values for delta: got {delta}")
    distance = absolute(input - as_target(input, target))
    is_small = distance < delta
    finite = where(is_small, distance, 0)  # the gradient of the square of infinity is not finite
    losses = where(is_small, 0.5 * square(finite), delta * (distance - 0.5 * delta))
    return reduce_losses(losses, reduction)


def smooth_l1_loss(
    input: Tensor, target: Any, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Smooth L1 loss: the Huber loss divided by its threshold.

    For d = abs(input - target) the loss is d^2 / (2 beta) if d < beta, and d - beta / 2 otherwise.

    Parameters
    ----------
    input : Tensor
        Predictions.
    target : Tensor or array_like
        Targets of the same shape.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    beta : float, default 1.0
        Error at which the loss becomes linear. 0 gives `l1_loss`.

    Returns
    -------
    Tensor
        Shape (), or the shape of the input with reduction "none".

    Raises
    ------
    ValueError
        If `beta` is negative, or the shapes differ.

    References
    ----------
    Girshick 2015, "Fast R-CNN", eq. 3.
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss does not support negative values for beta: got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction, beta) / beta


def _clamped_log(x: Any) -> Any:
    """max(log(x), -100)."""
    is_positive = x > 0
    return maximum(where(is_positive, log(where(is_positive, x, 1)), -100), -100)


# A primitive, because its derivative at p = 0 and 1 is limited to 1e12, as in PyTorch.
@primitive(
    p=lambda g, p, q: g * (p - q) / maximum(p * (1 - p), 1e-12),
    q=lambda g, p: g * (_clamped_log(1 - p) - _clamped_log(p)),
)
def _binary_cross_entropy(xp: Any, p: Any, q: Any) -> Any:
    """-(q log p + (1 - q) log(1 - p))."""
    return -(q * _clamped_log(p) + (1 - q) * _clamped_log(1 - p))


def binary_cross_entropy(
    input: Tensor, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Tensor:
    """Binary cross-entropy -(q log p + (1 - q) log(1 - p)) of probabilities.

    Logarithms are limited to at least -100, as in PyTorch.

    Parameters
    ----------
    input : Tensor
        Probabilities p.
    target : Tensor or array_like
        Targets q between 0 and 1, of the same shape.
    weight : Tensor or array_like, optional
        Factor of each loss, which is broadcast.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.

    Returns
    -------
    Tensor
        Shape (), or the shape of the input with reduction "none".

    Raises
    ------
    ValueError
        If the input is not between 0 and 1, or the shapes differ.
    """
    target = as_target(input, target)
    if not ((input.data >= 0) & (input.data <= 1)).all():  # also false for nan
        raise ValueError(
            "all elements of input should be between 0 and 1; "
            "use binary_cross_entropy_with_logits for scores"
        )
    losses = _binary_cross_entropy(input, target)
    return reduce_losses(
        losses if weight is None else losses * as_operand(input, weight), reduction
    )


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Any,
    weight: Any = None,
    *,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """Binary cross-entropy of sigmoid(input), accurate for scores of any size.

    Parameters
    ----------
    input : Tensor
        Scores (logits).
    target : Tensor or array_like
        Targets q between 0 and 1, of the same shape.
    weight : Tensor or array_like, optional
        Factor of each loss, which is broadcast.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over all elements.
    pos_weight : Tensor or array_like, optional
        Factor of the term q log p, which is broadcast.

    Returns
    -------
    Tensor
        Shape (), or the shape of the input with reduction "none".

    Raises
    ------
    ValueError
        If the shapes differ, or `reduction` is invalid.
    """
    target = as_target(input, target)
    factor = 1 if pos_weight is None else 1 + (as_operand(input, pos_weight) - 1) * target
    losses = (1 - target) * input + factor * softplus(-input)
    return reduce_losses(
        losses if weight is None else losses * as_operand(input, weight), reduction
    )
