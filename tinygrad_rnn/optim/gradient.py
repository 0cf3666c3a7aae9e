"""Gradient descent: with momentum, and with a rate of its own for each weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, maximum, sqrt, tensor

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


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares (Duchi et al. 2011):

        s = s + g^2               p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    s starts from `initial_accumulator_value`.
    """

    counters = ("step",)
    arrays: Mapping[str, str | None] = {"sum": None}

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
