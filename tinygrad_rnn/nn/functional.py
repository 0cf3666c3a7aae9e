"""Functions of networks that hold no parameters: W x + b, nonlinearities, dropout, layer
normalisation, losses.

Losses have PyTorch's names and defaults. Of their options, `reduction` is "mean", "sum" or "none"
(one value for each position), and targets and weights may be arrays or Tensors; arrays go beside
the input. What PyTorch has behind its deprecated `size_average` and `reduce` is given by name here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import autograd
from autograd import (
    Tensor,
    absolute,
    backend,
    expand_dims,
    log,
    maximum,
    mean,
    moveaxis,
    primitive,
    random,
    softplus,
    sqrt,
    square,
    squeeze,
    sum,
    take,
    take_along_axis,
    tensor,
    var,
    where,
    zeros_like,
)
from autograd import relu as relu
from autograd import sigmoid as sigmoid
from autograd import tanh as tanh
from autograd.ops.reduction import with_half_upcast

from ..scalars import check_probability, to_python
from .losses.ctc import ctc_losses
from .losses.log_softmax_at import log_softmax_at


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """W x + b over the last axis, for W (out, in); without a bias W x."""
    return autograd.linear(input, weight, bias)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element is 0 with probability p, the others grow by 1 / (1 - p) (Srivastava et al.
    2014).

    The mask comes from the default random stream, the same on every device.
    """
    p = check_probability("dropout", p)
    if not training or p == 0:
        return input
    if p == 1:
        return where(zeros_like(input, bool), input, 0)  # type: ignore[no-any-return]
    keep = random.default_generator.mask(input.shape, 1 - p, input.device)
    return where(keep, input * (1 / (1 - p)), 0)  # type: ignore[no-any-return]


def apply_mask(input: Tensor, mask: Tensor) -> Tensor:
    """Return `input` times a dropout mask, and 0 where the mask is 0, whatever the input is."""
    return where(mask != 0, input, 0) * mask  # type: ignore[no-any-return]


@with_half_upcast
def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over the last axes, which have `normalized_shape`; then
    times `weight`, plus `bias` (Ba et al. 2016).
    """
    shape = as_shape(normalized_shape)
    if input.shape[input.ndim - len(shape) :] != shape or not shape:
        raise ValueError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"{['*', *shape]}, but got input of size {list(input.shape)}"
        )
    axes = tuple(range(-len(shape), 0))
    centred = input - mean(input, axes, keepdims=True)
    y: Tensor = centred / sqrt(var(input, axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def as_shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """A shape, of which one axis may be given as a number."""
    if isinstance(normalized_shape, Iterable):
        return tuple(normalized_shape)
    return (normalized_shape,)


def softmax(input: Any, dim: int) -> Any:
    """exp(x) / sum(exp(x)) along the axis `dim`."""
    return autograd.softmax(input, dim)


def log_softmax(input: Any, dim: int) -> Any:
    """log(softmax(x)) along the axis `dim`, exact where softmax vanishes."""
    return autograd.log_softmax(input, dim)


# --- losses: of classes ---------------------------------------------------------------------------


def cross_entropy(
    input: Tensor,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], in nats: `input` are scores (N, C), (N, C, d1, ...) or (C), and
    `target` the integers (N), (N, d1, ...) or () from 0 to C - 1.

    `target` may also be probabilities q in the shape of the input: -sum_c q_c log softmax(input)_c.
    With `label_smoothing` a, q becomes (1 - a) q + a / C. `weight` (C) multiplies the terms of each
    class. Positions whose target is `ignore_index` count nothing; "mean" divides by the weights of
    the others' targets (for probabilities: by the number of positions). Raises ValueError for
    shapes that do not fit and for targets that are no class.
    """
    label_smoothing = to_python(label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    axis = _class_axis(input)
    input = input if _is_float(input) else input.astype("float64")
    if not label_smoothing and not (_is_float(target) and target.shape == input.shape):
        losses, share, _ = _selected(_log_probability, input, target, weight, ignore_index)
        return _reduced(losses, reduction, share)
    log_p = log_softmax(input, axis)
    if _is_float(target) and target.shape == input.shape:
        q = (1 - label_smoothing) * _beside(input, target) + label_smoothing / input.shape[axis]
        return _reduced(-sum(q * _weighted(log_p, weight, axis), axis), reduction)
    losses, share, counted = _selected(_entry, log_p, target, weight, ignore_index)
    even = where(counted, -mean(_weighted(log_p, weight, axis), axis), 0)
    losses = (1 - label_smoothing) * losses + label_smoothing * even
    return _reduced(losses, reduction, share)


def nll_loss(
    input: Tensor,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-input[target] for logarithms of probabilities; shapes and options as in `cross_entropy`."""
    losses, share, _ = _selected(_entry, input, target, weight, ignore_index)
    return _reduced(losses, reduction, share)


def _selected(
    log_probability: Callable[..., Any], input: Tensor, target: Any, weight: Any, ignore_index: int
) -> tuple[Any, Any, Any]:
    """For each position: its loss, the weight of its target (0 if ignored), and False if ignored.

    `log_probability(input, classes, axis)` gives the logarithm of the probability of one class per
    position.
    """
    axis = _class_axis(input)
    classes = input.shape[axis]
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    target = backend.of_array(input.data).asarray(
        target.data if isinstance(target, Tensor) else target
    )
    if target.shape != expected or _is_float(target):
        last = input.ndim > 2 and target.shape == input.shape[:-1]
        raise ValueError(
            f"scores of shape {input.shape} need targets {expected}, integers, or probabilities "
            f"of their own shape, got {target.shape} {target.dtype}"
            + ("; classes are on axis 1: reshape scores to (-1, C), targets to (-1)" * last)
        )
    counted = target != ignore_index
    wrong = counted & ((target < 0) | (target >= classes))
    if wrong.any():
        raise ValueError(
            f"Target {int(target[wrong][0])} is out of bounds: targets are classes from 0 to "
            f"{classes - 1}, or {ignore_index} to be ignored"
        )
    indices = where(counted, target, 0)
    if not counted.all():  # scores of ignored positions have no influence, even if they are nan
        input = where(expand_dims(counted, axis), input, 0)
    losses = -where(counted, log_probability(input, indices, axis), 0)
    if weight is None:
        return losses, counted.astype(input.dtype), counted
    share = where(counted, take(_class_weights(input, weight, classes), indices, 0), 0)
    return losses * share, share, counted


def _entry(log_p: Tensor, classes: Any, axis: int) -> Any:
    """The entries of one class per position."""
    return squeeze(take_along_axis(log_p, expand_dims(classes, axis), axis), axis)


def _log_probability(input: Tensor, classes: Any, axis: int) -> Any:
    """log softmax(input) of one class per position."""
    wide = input.astype("float32") if input.dtype == "float16" else input
    rows = moveaxis(wide, axis, -1).reshape(classes.size, input.shape[axis])
    each = backend.of_array(classes).xp.arange(classes.size)
    chosen, _ = log_softmax_at(rows, target=(each, classes.reshape(-1)))
    return chosen.reshape(classes.shape).astype(input.dtype)


def _class_axis(input: Tensor) -> int:
    if not input.ndim:
        raise ValueError("scores need an axis of classes, and these have no axis at all")
    return 1 if input.ndim > 1 else 0


def _class_weights(input: Tensor, weight: Any, classes: int) -> Tensor:
    weights = _beside(input, weight)
    if weights.shape != (classes,):
        raise ValueError(
            f"weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {weights.shape}"
        )
    return weights


def _weighted(log_p: Tensor, weight: Any, axis: int) -> Tensor:
    """The logarithms, those of each class times its weight."""
    if weight is None:
        return log_p
    classes = log_p.shape[axis]
    shape = (classes,) + (1,) * (log_p.ndim - axis - 1)
    return log_p * _class_weights(log_p, weight, classes).reshape(shape)


def ctc_loss(
    log_probs: Tensor,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of the target sequences, summed over all alignments (Graves et al.
    2006).

    `log_probs` (T, N, C), or (T, C) without a batch, are logarithms of probabilities, of which the
    first `input_lengths` (N) steps count; `targets` are classes other than `blank`: (N, S) of which
    the first `target_lengths` (N) count, or one sequence after another in one axis. "mean" divides
    each loss by its target's length first. A target that is too long for its input has an infinite
    loss; with `zero_infinity` its loss and gradient are 0. Raises ValueError for lengths and
    targets that do not fit.

    The gradient is that of this function of `log_probs`. (PyTorch's is with respect to the scores
    before the softmax; after `log_softmax` the two are the same.)
    """
    losses, lengths = ctc_losses(log_probs, targets, input_lengths, target_lengths, blank)
    if zero_infinity:
        losses = where(losses.data == float("inf"), 0, losses)
    if reduction == "mean":
        losses = losses / maximum(_beside(log_probs, lengths), 1)
    return _reduced(losses if log_probs.ndim == 3 else losses[0], reduction)


# --- losses: of numbers ---------------------------------------------------------------------------


def mse_loss(input: Tensor, target: Any, *, reduction: str = "mean") -> Tensor:
    """(input - target)^2."""
    return _reduced(square(input - _like(input, target)), reduction)


def l1_loss(input: Tensor, target: Any, *, reduction: str = "mean") -> Tensor:
    """|input - target|; the derivative at 0 is 0."""
    return _reduced(absolute(input - _like(input, target)), reduction)


def huber_loss(input: Tensor, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 for distances d up to `delta`, delta (d - delta / 2) beyond (Huber 1964)."""
    delta = to_python(delta)
    if not delta > 0:
        raise ValueError(f"huber_loss does not support non-positive values for delta: {delta}")
    distance = absolute(input - _like(input, target))
    close = distance < delta
    small = where(close, distance, 0)  # the square of an infinite distance has no finite gradient
    losses = where(close, 0.5 * square(small), delta * (distance - 0.5 * delta))
    return _reduced(losses, reduction)


def smooth_l1_loss(
    input: Tensor, target: Any, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) for distances d up to `beta`, d - beta / 2 beyond (Girshick 2015)."""
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss does not support negative values for beta: {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction, beta) / beta


@primitive(
    p=lambda g, p, q: g * (p - q) / maximum(p * (1 - p), 1e-12),
    q=lambda g, p: g * (_log(1 - p) - _log(p)),
)
def _bce(xp: Any, p: Any, q: Any) -> Any:
    """A primitive for its derivative at p = 0 and 1, which is large there, not infinite or nan."""
    return -(q * _log(p) + (1 - q) * _log(1 - p))


def _log(x: Any) -> Any:
    """log(x), but at least -100."""
    positive = x > 0
    return maximum(where(positive, log(where(positive, x, 1)), -100), -100)


def binary_cross_entropy(
    input: Tensor, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Tensor:
    """-(q log p + (1 - q) log(1 - p)) for probabilities p (the input) of targets q between 0 and 1,
    times `weight`, which may be broadcast. Logarithms are at least -100, as in PyTorch.
    """
    target = _like(input, target)
    if not ((input.data >= 0) & (input.data <= 1)).all():  # nan, too
        raise ValueError(
            "all elements of input should be between 0 and 1; for scores there is "
            "binary_cross_entropy_with_logits"
        )
    losses = _bce(input, target)
    return _reduced(losses if weight is None else losses * _beside(input, weight), reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Any,
    weight: Any = None,
    *,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), exact for scores of any size; `pos_weight`, which
    may be broadcast, multiplies the terms q log p.
    """
    target = _like(input, target)
    share = 1 if pos_weight is None else 1 + (_beside(input, pos_weight) - 1) * target
    losses = (1 - target) * input + share * softplus(-input)
    return _reduced(losses if weight is None else losses * _beside(input, weight), reduction)


# --- what they share ------------------------------------------------------------------------------


def _is_float(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _beside(input: Tensor, value: Any) -> Tensor:
    """`value` as a Tensor beside the input, in its dtype."""
    made = value if isinstance(value, Tensor) else tensor(value, device=input.device)
    return made.astype(input.dtype)


def _like(input: Tensor, target: Any) -> Tensor:
    """The target beside the input; ValueError if it has not the same shape."""
    beside = _beside(input, target)
    if beside.shape != input.shape:
        raise ValueError(
            f"Using a target size ({beside.shape}) that is different to the input size "
            f"({input.shape}): they must be the same"
        )
    return beside


@with_half_upcast
def _weighted_mean(losses: Tensor, share: Tensor) -> Any:
    return mean(losses) / mean(share.astype(losses.dtype))


def _reduced(losses: Any, reduction: str, share: Any = None) -> Tensor:
    """The losses, their sum or their mean; with `share`, the mean is their sum divided by that of
    the shares.
    """
    if reduction == "none":
        return losses  # type: ignore[no-any-return]
    if reduction == "sum":
        return sum(losses)  # type: ignore[no-any-return]
    if reduction == "mean":
        return mean(losses) if share is None else _weighted_mean(losses, share)  # type: ignore[no-any-return]
    raise ValueError(
        f'{reduction} is not a valid value for reduction: it is "mean", "sum" or "none"'
    )
