"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, tensor

from .optimizer import Group, Optimizer, State


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    The momentum buffer `b` starts as the first gradient. Each step computes

        b = momentum b + (1 - dampening) g
        p = p - lr b

    Without momentum, `b` is the gradient `g`. With `nesterov`, the step uses `g + momentum b`.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups `{"params": [...], "lr": ..., ...}`.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0.0
        Factor of the momentum buffer.
    dampening : float, default 0.0
        Fraction of each gradient, except the first, that is left out of the buffer.
    weight_decay : float, default 0.0
        L2 penalty: `weight_decay * p` is added to the gradient.
    nesterov : bool, default False
        Use Nesterov momentum.
    maximize : bool, default False
        Maximize the objective instead of minimizing it.

    Raises
    ------
    ValueError
        If an option is out of range, or if `nesterov` is used without momentum or with dampening.

    References
    ----------
    Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".

    Examples
    --------
    >>> from tinygrad_rnn import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 3).parameters(), lr=0.1, momentum=0.9)
    """

    state_arrays: Mapping[str, str | None] = {"momentum_buffer": "momentum"}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _check_group(self, group: Group) -> None:
        super()._check_group(group)
        if group["nesterov"] and (group["dampening"] or not group["momentum"]):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening, got "
                f"momentum={group['momentum']} and dampening={group['dampening']}"
            )

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        if momentum := group["momentum"]:
            if "momentum_buffer" in state:
                b = state["momentum_buffer"]
                b *= momentum
                b += (1 - group["dampening"]) * g
            else:
                b = state["momentum_buffer"] = tensor(g)
            g = g + momentum * b if group["nesterov"] else b
        p -= group["lr"] * g
