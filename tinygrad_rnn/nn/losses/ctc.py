"""Connectionist temporal classification.

A target l of S labels represents all sequences of T classes that become l when repeated classes are
merged and blanks are removed. Let l' be l with a blank between all labels and at both ends, of
2S + 1 symbols. The forward variable

    alpha_t(s) = log p_t(l'_s) + log(exp alpha_{t-1}(s) + exp alpha_{t-1}(s-1)
                                    + exp alpha_{t-1}(s-2))

is the log-probability that the first t steps produce the first s symbols of l'. The last term only
applies where the blank may be skipped: between different labels. The recursion is a `scan`, so that
autodiff provides the backward recursion.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd import (
    Tensor,
    backend,
    concatenate,
    full,
    logaddexp,
    maximum,
    scan,
    take_along_axis,
    where,
)
from autograd.compile.pure_step import PureStep

from .reduction import as_operand, reduce_losses


def ctc_loss(
    log_probs: Tensor,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification loss.

    The loss of a sequence is the negative log-probability of its target, summed over all
    alignments.

    Parameters
    ----------
    log_probs : Tensor, shape (T, N, C) or (T, C)
        Log-probabilities of the classes at each step.
    targets : Tensor or array_like of int
        Labels other than the blank: shape (N, S), or all targets concatenated.
    input_lengths : Tensor or array_like of int, shape (N,)
        Number of steps of each sequence.
    target_lengths : Tensor or array_like of int, shape (N,)
        Number of labels of each target.
    blank : int, default 0
        Class of the blank.
    reduction : {"mean", "sum", "none"}, default "mean"
        Reduction over sequences. The mean divides each loss by its target length first.
    zero_infinity : bool, default False
        If True, replace infinite losses and their gradients by 0. The loss is infinite if the
        target is too long for the input.

    Returns
    -------
    Tensor
        Shape (), or (N,) with reduction "none".

    Raises
    ------
    ValueError
        If lengths, targets or the blank are out of range or shapes do not match.

    Notes
    -----
    The gradient is the derivative with respect to `log_probs`. PyTorch returns the derivative with
    respect to the scores before the softmax. After `log_softmax` the two agree.

    References
    ----------
    Graves et al. 2006, "Connectionist temporal classification: labelling unsegmented sequence data
    with recurrent neural networks".
    """
    losses, lengths = _sequence_losses(log_probs, targets, input_lengths, target_lengths, blank)
    if zero_infinity:
        losses = where(losses.data == float("inf"), 0, losses)
    if reduction == "mean":
        losses = losses / maximum(as_operand(log_probs, lengths), 1)
    return reduce_losses(losses if log_probs.ndim == 3 else losses[0], reduction)


def _sequence_losses(
    log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any, blank: int
) -> tuple[Tensor, np.ndarray]:
    """Return the loss and the target length of each sequence, both of shape (N,)."""
    if log_probs.ndim not in (2, 3):
        raise ValueError(
            f"log_probs must have shape (T, N, C), or (T, C) without a batch, got {log_probs.shape}"
        )
    if log_probs.ndim == 2:
        log_probs = log_probs.reshape(log_probs.shape[0], 1, log_probs.shape[1])
    T, N, C = log_probs.shape
    steps = _check_lengths("input_lengths", input_lengths, N)
    sizes = _check_lengths("target_lengths", target_lengths, N)
    if N and steps.max() > T:
        raise ValueError(f"Expected input_lengths to have value at most {T}, but got {steps.max()}")
    if not 0 <= blank < C:
        raise ValueError(f"blank must be in label range: from 0 to {C - 1}, got {blank}")
    labels = _padded_targets(_to_numpy(targets), sizes, N, blank)
    if (invalid := (labels < 0) | (labels >= C)).any():
        raise ValueError(
            f"targets must be labels from 0 to {C - 1} other than the blank, "
            f"got {labels[invalid][0]}"
        )
    symbols = np.full((N, 2 * labels.shape[1] + 1), blank)
    symbols[:, 1::2] = labels
    skips = np.zeros(symbols.shape, bool)
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    alpha = _forward_variable(log_probs, symbols, skips, steps)

    array_backend = backend.of_array(log_probs.data)
    last = np.stack([2 * sizes, np.maximum(2 * sizes - 1, 0)], 1)
    ends = take_along_axis(alpha, array_backend.asarray(last), 1)
    # An empty target does not end in a label.
    label_end = where(array_backend.asarray(sizes > 0), ends[:, 1], -math.inf)
    return -logaddexp(ends[:, 0], label_end), sizes


def _forward_variable(
    log_probs: Tensor, symbols: np.ndarray, skips: np.ndarray, steps: np.ndarray
) -> Tensor:
    """Return alpha (N, 2S + 1) after the last step of each sequence.

    `skips` is True for symbols that can follow the symbol two positions before.
    """
    array_backend = backend.of_array(log_probs.data)
    can_skip = Tensor(array_backend.asarray(skips))
    unreachable = full((len(symbols), 2), -math.inf, log_probs.dtype, log_probs.device)
    emissions = take_along_axis(log_probs, array_backend.asarray(symbols[None]), 2)

    def step(alpha: Tensor, log_p: Tensor) -> tuple[Tensor, None]:
        padded = concatenate([unreachable, alpha], 1)
        previous, skipped = padded[:, 1:-1], where(can_skip, padded[:, :-2], -math.inf)
        return log_p + logaddexp(logaddexp(alpha, previous), skipped), None

    start = np.full(symbols.shape, -math.inf)
    start[:, 0] = 0  # the first step can then produce the first blank or the first label
    alpha, _ = scan(
        PureStep(step, key="CTC", captures=(can_skip, unreachable)),
        Tensor(array_backend.asarray(start, log_probs.dtype)),
        emissions,
        lengths=array_backend.asarray(steps),
    )
    return alpha  # type: ignore[no-any-return]


def _to_numpy(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _check_lengths(name: str, value: Any, count: int) -> np.ndarray:
    """Return one non-negative length per sequence as a NumPy array."""
    lengths = np.atleast_1d(_to_numpy(value))
    if lengths.shape != (count,) or (count and lengths.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be one integer for each of the {count} sequences, got shape "
            f"{lengths.shape} {lengths.dtype}"
        )
    if count and lengths.min() < 0:
        raise ValueError(f"{name} must be non-negative integers, got {lengths.min()}")
    return lengths.astype(np.int64)


def _padded_targets(targets: np.ndarray, sizes: np.ndarray, count: int, blank: int) -> np.ndarray:
    """Return the targets as (N, S), padded with the blank."""
    mask = np.arange(sizes.max(initial=0)) < sizes[:, None]
    labels = np.full(mask.shape, blank, np.int64)
    if targets.ndim == 1 and len(targets) == sizes.sum():
        labels[mask] = targets
    elif targets.ndim == 2 and len(targets) == count and targets.shape[1] >= mask.shape[1]:
        labels[mask] = targets[:, : mask.shape[1]][mask]
    else:
        raise ValueError(
            f"targets must have shape (N, S), or hold all labels concatenated, for {count} "
            f"sequences of lengths {sizes.tolist()}, got shape {targets.shape}"
        )
    if (labels[mask] == blank).any():
        raise ValueError(f"targets must not contain the blank, {blank}")
    return labels
