"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, maximum, sqrt

from .optimizer import Group, Optimizer, State


class RMSprop(Optimizer):
    """Gradients divided by the root of their running mean square (Tieleman & Hinton 2012):

        v = alpha v + (1 - alpha) g^2               p = p - lr g / (sqrt(v) + eps)

    With `centered` (Graves 2013), the variance v - m^2 takes the place of v, where m is the running
    mean of g. With `momentum`, p moves by lr b, where b = momentum b + g / (sqrt(v) + eps).
    """

    arrays: Mapping[str, str | None] = {
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
            v = maximum(v - m * m, 0)  # below 0 it is by rounding alone
        step = g / (sqrt(v) + group["eps"])
        if group["momentum"]:
            b = state["momentum_buffer"]
            b *= group["momentum"]
            b += step
            step = b
        p -= group["lr"] * step
