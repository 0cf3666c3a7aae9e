"""Adagrad: steps scaled by the root of the sum of all squared gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, sqrt

from .optimizer import Group, Optimizer, State


class Adagrad(Optimizer):
    """Adagrad optimizer.

    Step number `t` computes

        s = s + g^2
        p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups `{"params": [...], "lr": ..., ...}`.
    lr : float, default 1e-2
        Learning rate.
    lr_decay : float, default 0.0
        Decay of the learning rate per step.
    weight_decay : float, default 0.0
        L2 penalty: `weight_decay * p` is added to the gradient.
    initial_accumulator_value : float, default 0.0
        Initial value of `s`.
    eps : float, default 1e-10
        Term added to the denominator for numerical stability.
    maximize : bool, default False
        Maximize the objective instead of minimizing it.

    References
    ----------
    Duchi et al. 2011, "Adaptive subgradient methods for online learning and stochastic
    optimization".
    """

    state_counters = ("step",)
    state_arrays: Mapping[str, str | None] = {"sum": None}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        if not state:
            self._add_missing(p, state, group)
            state["sum"] += group["initial_accumulator_value"]
        t = state["step"] = state["step"] + 1
        s = state["sum"]
        s += g * g
        p -= group["lr"] / (1 + (t - 1) * group["lr_decay"]) * g / (sqrt(s) + group["eps"])
