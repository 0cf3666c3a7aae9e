"""Connectionist temporal classification (Graves et al. 2006): the forward recursion.

A target l of S labels stands for all sequences of T classes that become l when repetitions are
merged and blanks dropped. With blanks between the labels and at both ends it is l', of 2S + 1
symbols, and

    alpha'(s) = log p_t(l'_s) + log(exp alpha(s) + exp alpha(s - 1) + exp alpha(s - 2))

is the logarithm of the probability of all beginnings that have come as far as symbol s, t steps
long, and alpha is the same one step earlier. The last term is there only where the blank between
may be left out: between different labels. The recursion is written in the engine's operations, so
the backward one need not be written.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd import Tensor, backend, concatenate, full, logaddexp, scan, take_along_axis, where


def ctc_losses(
    log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any, blank: int
) -> tuple[Tensor, np.ndarray]:
    """The loss of each sequence, (N), and the lengths of the targets. See `functional.ctc_loss`."""
    if log_probs.ndim not in (2, 3):
        raise ValueError(
            "log_probs must be of shape (T, N, C), or (T, C) without a batch, not "
            f"{log_probs.shape}"
        )
    if log_probs.ndim == 2:
        log_probs = log_probs.reshape(log_probs.shape[0], 1, log_probs.shape[1])
    T, N, C = log_probs.shape
    steps = _lengths("input_lengths", input_lengths, N)
    sizes = _lengths("target_lengths", target_lengths, N)
    if N and steps.max() > T:
        raise ValueError(f"Expected input_lengths to have value at most {T}, but got {steps.max()}")
    if not 0 <= blank < C:
        raise ValueError(f"blank must be in label range: from 0 to {C - 1}, not {blank}")
    labels = _padded(_on_host(targets), sizes, N, blank)
    if (wrong := (labels < 0) | (labels >= C)).any():
        raise ValueError(
            f"targets are labels from 0 to {C - 1} (but for the blank), not {labels[wrong][0]}"
        )
    symbols = np.full((N, 2 * labels.shape[1] + 1), blank)
    symbols[:, 1::2] = labels
    skips = np.zeros(symbols.shape, bool)
    skips[:, 3::2] = labels[:, 1:] != labels[:, :-1]

    home = backend.of_array(log_probs.data)
    may_skip = home.asarray(skips)
    nowhere = full((N, 2), -math.inf, log_probs.dtype, log_probs.device)
    emissions = take_along_axis(log_probs, home.asarray(symbols[None]), 2)

    def step(alpha: Tensor, log_p: Tensor) -> tuple[Tensor, None]:
        padded = concatenate([nowhere, alpha], 1)
        by_one, by_two = padded[:, 1:-1], where(may_skip, padded[:, :-2], -math.inf)
        return log_p + logaddexp(logaddexp(alpha, by_one), by_two), None

    start = np.full(symbols.shape, -math.inf)
    start[:, 0] = 0  # one step on, the first blank and the first label are reached from here
    alpha, _ = scan(
        step, Tensor(home.asarray(start, log_probs.dtype)), emissions, lengths=home.asarray(steps)
    )
    last = np.stack([2 * sizes, np.maximum(2 * sizes - 1, 0)], 1)
    ends = take_along_axis(alpha, home.asarray(last), 1)
    label_end = where(home.asarray(sizes > 0), ends[:, 1], -math.inf)  # nothing ends in no label
    return -logaddexp(ends[:, 0], label_end), sizes


def _on_host(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _lengths(name: str, value: Any, count: int) -> np.ndarray:
    """One length for each sequence, on the host."""
    lengths = np.atleast_1d(_on_host(value))
    if lengths.shape != (count,) or (count and lengths.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be one integer for each of the {count} sequences, not of shape "
            f"{lengths.shape} {lengths.dtype}"
        )
    if count and lengths.min() < 0:
        raise ValueError(f"{name} must not be negative: {lengths.min()}")
    return lengths.astype(np.int64)


def _padded(targets: np.ndarray, sizes: np.ndarray, count: int, blank: int) -> np.ndarray:
    """Targets as (N, S), with the blank beyond each one's size."""
    inside = np.arange(sizes.max(initial=0)) < sizes[:, None]
    labels = np.full(inside.shape, blank, np.int64)
    if targets.ndim == 1 and len(targets) == sizes.sum():
        labels[inside] = targets
    elif targets.ndim == 2 and len(targets) == count and targets.shape[1] >= inside.shape[1]:
        labels[inside] = targets[:, : inside.shape[1]][inside]
    else:
        raise ValueError(
            f"targets of shape {targets.shape} hold no {count} sequences of lengths "
            f"{sizes.tolist()}: they are (N, S), or all labels one after another"
        )
    if (labels[inside] == blank).any():
        raise ValueError(f"targets must not contain the blank, {blank}")
    return labels
