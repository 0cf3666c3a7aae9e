"""Losses of class scores: cross-entropy and negative log-likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd import (
    Tensor,
    backend,
    expand_dims,
    log_softmax,
    mean,
    moveaxis,
    squeeze,
    sum,
    take,
    take_along_axis,
    where,
)

from ...scalars import to_python
from .log_softmax_at import log_softmax_at
from .reduction import as_operand, is_float, reduce_losses


def cross_entropy(
    input: Tensor,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of softmax(input), in nats.

    The loss of a position is -log softmax(input)[target] for a class index, and
    -sum_c q_c log softmax(input)_c for probabilities q.

    Parameters
    ----------
    input : Tensor, shape (N, C), (N, C, d1, ...) or (C,)
        Scores of C classes.
    target : Tensor or array_like
        Class indices from 0 to C - 1 in the shape of the input without the axis of classes, or
        probabilities in the shape of the input.
    weight : Tensor or array_like, shape (C,), optional
        Factor of the terms of each class.
    ignore_index : int, default -100
        Class index of positions without loss.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over positions. The mean divides by the sum of the weights of the targets; for
        probabilities, by the number of positions.
    label_smoothing : float, default 0.0
        Smoothing factor a from 0 to 1: targets q become (1 - a) q + a / C.

    Returns
    -------
    Tensor
        Shape (), or one loss per position with reduction "none".

    Raises
    ------
    ValueError
        If shapes do not match, targets are not class indices, or an option is invalid.

    References
    ----------
    Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", section 7
    (label smoothing).

    Examples
    --------
    >>> round(nn.functional.cross_entropy(ag.tensor([[0.0, 0.0, 0.0]]), [1]).item(), 3)
    1.099
    """
    label_smoothing = to_python(label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    input = input if is_float(input) else input.astype("float64")
    if is_float(target) and target.shape == input.shape:
        losses = _losses_of_probabilities(input, target, weight, label_smoothing)
        return reduce_losses(losses, reduction)
    if label_smoothing:
        losses, weights = _smoothed_losses(input, target, weight, ignore_index, label_smoothing)
    else:
        losses, weights, _ = _losses_at_targets(
            _log_softmax_at_classes, input, target, weight, ignore_index
        )
    return reduce_losses(losses, reduction, weights)


def nll_loss(
    input: Tensor,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood -input[target].

    Parameters
    ----------
    input : Tensor, shape (N, C), (N, C, d1, ...) or (C,)
        Log-probabilities of C classes.
    target : Tensor or array_like of int
        Class indices from 0 to C - 1 in the shape of the input without the axis of classes.
    weight : Tensor or array_like, shape (C,), optional
        Factor of each class.
    ignore_index : int, default -100
        Class index of positions without loss.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over positions. The mean divides by the sum of the weights of the targets.

    Returns
    -------
    Tensor
        Shape (), or one loss per position with reduction "none".

    Raises
    ------
    ValueError
        If shapes do not match, targets are not class indices, or `reduction` is invalid.
    """
    losses, weights, _ = _losses_at_targets(
        _entries_at_classes, input, target, weight, ignore_index
    )
    return reduce_losses(losses, reduction, weights)


def _losses_of_probabilities(input: Tensor, target: Any, weight: Any, smoothing: float) -> Any:
    """Return the cross-entropy of each position for targets that are probabilities."""
    axis = _class_axis(input)
    q = (1 - smoothing) * as_operand(input, target) + smoothing / input.shape[axis]
    return -sum(q * _weighted(log_softmax(input, axis), weight, axis), axis)


def _smoothed_losses(
    input: Tensor, target: Any, weight: Any, ignore_index: int, smoothing: float
) -> tuple[Any, Any]:
    """Return the loss of each position with label smoothing, and the weights of the targets."""
    axis = _class_axis(input)
    log_p = log_softmax(input, axis)
    losses, weights, included = _losses_at_targets(
        _entries_at_classes, log_p, target, weight, ignore_index
    )
    uniform = where(included, -mean(_weighted(log_p, weight, axis), axis), 0)
    return (1 - smoothing) * losses + smoothing * uniform, weights


def _losses_at_targets(
    log_probability: Callable[..., Any], input: Tensor, target: Any, weight: Any, ignore_index: int
) -> tuple[Any, Any, Any]:
    """Return the loss and the weight of each position, 0 if ignored, and a mask of the rest.

    `log_probability(input, classes, axis)` returns the log-probability of one class per position.
    """
    axis = _class_axis(input)
    classes = input.shape[axis]
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    target = backend.of_array(input.data).asarray(
        target.data if isinstance(target, Tensor) else target
    )
    if target.shape != expected or is_float(target):
        has_classes_last = input.ndim > 2 and target.shape == input.shape[:-1]
        raise ValueError(
            f"scores of shape {input.shape} require integer targets of shape {expected}, or "
            f"probabilities of shape {input.shape}, got {target.shape} {target.dtype}"
            + (
                "; classes are on axis 1: reshape scores to (-1, C), targets to (-1)"
                * has_classes_last
            )
        )
    included = target != ignore_index
    invalid = included & ((target < 0) | (target >= classes))
    if invalid.any():
        raise ValueError(
            f"Target {int(target[invalid][0])} is out of bounds: targets must be class indices "
            f"from 0 to {classes - 1}, or ignore_index={ignore_index}"
        )
    indices = where(included, target, 0)
    if not included.all():  # ignored scores have no influence, even if they are nan
        input = where(expand_dims(included, axis), input, 0)
    losses = -where(included, log_probability(input, indices, axis), 0)
    if weight is None:
        return losses, included.astype(input.dtype), included
    weights = where(included, take(_class_weights(input, weight, classes), indices, 0), 0)
    return losses * weights, weights, included


def _entries_at_classes(log_p: Tensor, classes: Any, axis: int) -> Any:
    """Return the entry of one class per position."""
    return squeeze(take_along_axis(log_p, expand_dims(classes, axis), axis), axis)


def _log_softmax_at_classes(input: Tensor, classes: Any, axis: int) -> Any:
    """Return log_softmax(input) of one class per position."""
    scores = input.astype("float32") if input.dtype == "float16" else input
    rows = moveaxis(scores, axis, -1).reshape(classes.size, input.shape[axis])
    row_indices = backend.of_array(classes).xp.arange(classes.size)
    entries, _ = log_softmax_at(rows, target=(row_indices, classes.reshape(-1)))
    return entries.reshape(classes.shape).astype(input.dtype)


def _class_axis(input: Tensor) -> int:
    if not input.ndim:
        raise ValueError("scores must have an axis of classes, got shape ()")
    return 1 if input.ndim > 1 else 0


def _class_weights(input: Tensor, weight: Any, classes: int) -> Tensor:
    weights = as_operand(input, weight)
    if weights.shape != (classes,):
        raise ValueError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {weights.shape}"
        )
    return weights


def _weighted(log_p: Tensor, weight: Any, axis: int) -> Tensor:
    """Multiply the log-probabilities of each class by its weight."""
    if weight is None:
        return log_p
    classes = log_p.shape[axis]
    shape = (classes,) + (1,) * (log_p.ndim - axis - 1)
    return log_p * _class_weights(log_p, weight, classes).reshape(shape)
