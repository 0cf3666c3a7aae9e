"""RMSprop: steps scaled by the root of the running mean square of the gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, maximum, sqrt

from .optimizer import Group, Optimizer, State


class RMSprop(Optimizer):
    """RMSprop optimizer.

    Each step computes

        v = alpha v + (1 - alpha) g^2
        p = p - lr g / (sqrt(v) + eps)

    With `centered`, the variance `v - m^2` replaces `v`, where `m` is the running mean of `g`.
    With `momentum`, `p` moves by `lr b`, where `b = momentum b + g / (sqrt(v) + eps)`.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups `{"params": [...], "lr": ..., ...}`.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        Decay rate of the running mean square.
    eps : float, default 1e-8
        Term added to the denominator for numerical stability.
    weight_decay : float, default 0.0
        L2 penalty: `weight_decay * p` is added to the gradient.
    momentum : float, default 0.0
        Factor of the momentum buffer.
    centered : bool, default False
        Normalize by the estimated standard deviation of the gradient.
    maximize : bool, default False
        Maximize the objective instead of minimizing it.

    References
    ----------
    Tieleman & Hinton 2012, "Lecture 6.5: RMSprop", Neural Networks for Machine Learning.

    Graves 2013, "Generating sequences with recurrent neural networks" (`centered`).
    """

    state_arrays: Mapping[str, str | None] = {
        "square_avg": None,
        "momentum_buffer": "momentum",
        "grad_avg": "centered",
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        self._add_missing(p, state, group)
        v, alpha = state["square_avg"], group["alpha"]
        v *= alpha
        v += (1 - alpha) * (g * g)
        if group["centered"]:
            m = state["grad_avg"]
            m *= alpha
            m += (1 - alpha) * g
            v = maximum(v - m * m, 0)  # rounding can make a variance negative
        step = g / (sqrt(v) + group["eps"])
        if group["momentum"]:
            b = state["momentum_buffer"]
            b *= group["momentum"]
            b += step
            step = b
        p -= group["lr"] * step
