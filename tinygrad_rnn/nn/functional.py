"""Functions of networks that hold no parameters."""

from __future__ import annotations

from typing import Any

from autograd import Tensor, backend, log_softmax, random, reshape, sum, take_along_axis, where


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element is 0 with probability p, the others grow by 1 / (1 - p) (Srivastava et al.
    2014).

    The mask comes from the default random stream, the same on every device.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability must lie between 0 and 1, not {p}")
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    keep = random.default.mask(x.shape, 1 - p, x.device)
    scale = keep.astype(x.dtype) / (1 - p)
    return x * scale


def cross_entropy(
    input: Tensor, target: Any, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """-log softmax(input)[target], in nats: `input` (..., C) are scores, `target` (...) integers
    from 0 to C - 1.

    Positions whose target is `ignore_index` count nothing; "mean" divides by the number of the
    others, "sum" adds up, "none" returns one value for each position. Raises ValueError for
    shapes that do not fit and for targets that are no class.
    """
    if input.shape[:-1] != target.shape:
        raise ValueError(
            f"cross_entropy: scores of shape {input.shape} need targets {input.shape[:-1]}, "
            f"got {target.shape}"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction must be "mean", "sum" or "none", not {reduction!r}')
    target = backend.of(input.data).asarray(target.data if isinstance(target, Tensor) else target)
    counted = target != ignore_index
    wrong = counted & ((target < 0) | (target >= input.shape[-1]))
    if wrong.any():
        raise ValueError(
            f"cross_entropy: targets are classes from 0 to {input.shape[-1] - 1}, "
            f"or {ignore_index} to be ignored, not {int(target[wrong][0])}"
        )
    indices = reshape(where(counted, target, 0), (*target.shape, 1))
    losses = -reshape(take_along_axis(log_softmax(input, -1), indices, -1), target.shape)
    losses = where(counted, losses, 0)
    if reduction == "none":
        return losses  # type: ignore[no-any-return]
    total = sum(losses)
    if reduction == "mean":
        total = (total / sum(counted)).astype(losses.dtype)
    return total  # type: ignore[no-any-return]
