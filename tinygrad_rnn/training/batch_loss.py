"""Mean losses over several batches, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import autograd as ag
from autograd.runtime.context import Undo

from .. import nn, optim

Loss = Callable[[Any, Any], Any]
"""Function of a model and a batch that returns the mean loss, or `(mean loss, sample count)`."""

ignore_float_errors = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""Context manager and decorator without NumPy's warnings: training checks the loss instead."""


def evaluation_mode(model: nn.Module) -> Undo[nn.Module]:
    """Return a context manager that sets a model to evaluation mode and restores all modes."""
    modes = [(module, module.training) for module in model.modules()]

    def restore() -> None:
        for module, mode in modes:
            module.training = mode

    return Undo(model.eval, restore)


def weighted_loss(loss: Any) -> tuple[ag.Tensor, float]:
    """Return the loss of a batch and its sample count, 1 by default, as a Python number."""
    loss, count = loss if isinstance(loss, tuple) and len(loss) == 2 else (loss, 1)
    count = count.item() if hasattr(count, "item") else count
    is_count = isinstance(count, (int, float)) and 0 < count < math.inf
    if not (isinstance(loss, ag.Tensor) and is_count):
        raise ValueError(
            "loss(model, batch) must return the mean loss, a Tensor, or a pair of the mean loss "
            f"and the sample count, a positive finite number; got the loss {loss!r} and the sample "
            f"count {count!r}"
        )
    return loss, count


def mean_loss(loss: Loss, model: Any, batches: Iterable[Any]) -> float:
    """Return the mean loss of several batches, weighted by their sample counts."""
    total = weight = 0.0
    for batch in batches:
        value, count = weighted_loss(loss(model, batch))
        total, weight = total + value.item() * count, weight + count
    return total / weight


def compute_gradient(
    loss: Loss,
    model: Any,
    batches: list[Any],
    optimizer: optim.Optimizer,
    *,
    accumulate: bool,
    clip: float | None,
) -> tuple[float, float, float]:
    """Store the gradient of the mean loss in the `grad` of the optimizer's parameters.

    Parameters
    ----------
    loss, model
        The loss function and its first argument.
    batches
        Batches over which the loss is averaged; one batch unless `accumulate` is true.
    optimizer
        Optimizer of the parameters.
    accumulate
        True if gradients of several batches are accumulated.
    clip
        Maximum norm of the gradient (None: no limit).

    Returns
    -------
    tuple of float
        The mean loss, the sample count, and the norm of the gradient before clipping.
    """
    optimizer.zero_grad()
    total, weight = 0.0, 0.0
    for batch in batches:
        value, count = weighted_loss(loss(model, batch))
        (value * count if accumulate else value).backward()
        total, weight = total + value.item() * count, weight + count
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if all(parameter.grad is None for parameter in parameters):
        raise ValueError(
            "the loss depends on no parameter of the optimizer; create the optimizer with the "
            "parameters of the model that is trained"
        )
    if accumulate:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = parameter.grad / weight
    norm = nn.utils.clip_grad_norm_(parameters, math.inf if clip is None else clip)
    return total / weight, weight, norm
