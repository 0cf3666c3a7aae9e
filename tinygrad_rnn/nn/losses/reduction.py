"""Conversion of targets, and reduction of losses to their mean or sum."""

from __future__ import annotations

from typing import Any

from autograd import Tensor, mean, sum, tensor
from autograd.ops.reduction import with_half_upcast


def is_float(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"


def as_operand(input: Tensor, value: Any) -> Tensor:
    """Return `value` as a Tensor with the dtype of `input`, on its device if it is an array."""
    operand = value if isinstance(value, Tensor) else tensor(value, device=input.device)
    return operand.astype(input.dtype)


def as_target(input: Tensor, target: Any) -> Tensor:
    """Return `target` as an operand of `input`; raise ValueError if the shapes differ."""
    operand = as_operand(input, target)
    if operand.shape != input.shape:
        raise ValueError(
            f"Using a target size ({operand.shape}) that is different to the input size "
            f"({input.shape}): they must be equal"
        )
    return operand


@with_half_upcast
def _weighted_mean(losses: Tensor, weights: Tensor) -> Any:
    return mean(losses) / mean(weights.astype(losses.dtype))


def reduce_losses(losses: Any, reduction: str, weights: Any = None) -> Tensor:
    """Return the losses ("none"), their sum or their mean.

    If the losses are multiplied by `weights`, the mean is sum(losses) / sum(weights).
    """
    if reduction == "none":
        return losses  # type: ignore[no-any-return]
    if reduction == "sum":
        return sum(losses)  # type: ignore[no-any-return]
    if reduction == "mean":
        return mean(losses) if weights is None else _weighted_mean(losses, weights)  # type: ignore[no-any-return]
    raise ValueError(
        f'{reduction} is not a valid value for reduction: expected "mean", "sum" or "none"'
    )
