"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, tensor

from .optimizer import Group, Optimizer, State


class SGD(Optimizer):
    """p = p - lr b, with the gradient itself for b, or with momentum (Sutskever et al. 2013):

        b = momentum b + (1 - dampening) g          at first b = g

    With `nesterov`, g + momentum b takes the place of b in the step.
    """

    arrays: Mapping[str, str | None] = {"momentum_buffer": "momentum"}

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

    def check(self, group: Group) -> None:
        super().check(group)
        if group["nesterov"] and (group["dampening"] or not group["momentum"]):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening, not "
                f"momentum={group['momentum']}, dampening={group['dampening']}"
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
