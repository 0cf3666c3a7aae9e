"""Adam (Kingma & Ba 2015, algorithm 1), AMSGrad (Reddi et al. 2018) and AdamW (Loshchilov & Hutter
2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, maximum, sqrt

from .optimizer import Group, Optimizer, State


class Adam(Optimizer):
    """m and v are running means of the gradient and its square; a step is lr m^ / (sqrt(v^) + eps),
    bias removed:

        m = beta1 m + (1 - beta1) g            m^ = m / (1 - beta1^t)
        v = beta2 v + (1 - beta2) g^2          v^ = v / (1 - beta2^t)

    With `amsgrad`, the greatest v so far takes the place of v in the step.
    """

    counters = ("step",)
    arrays: Mapping[str, str | None] = {
        "exp_avg": None,
        "exp_avg_sq": None,
        "max_exp_avg_sq": "amsgrad",
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        self._add_missing(p, state, group)
        m, v = state["exp_avg"], state["exp_avg_sq"]
        beta1, beta2 = group["betas"]
        t = state["step"] = state["step"] + 1
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (g * g)
        if group["amsgrad"]:
            v = state["max_exp_avg_sq"] = maximum(state["max_exp_avg_sq"], v)
        root = sqrt(v) / math.sqrt(1 - beta2**t)
        p -= group["lr"] / (1 - beta1**t) * m / (root + group["eps"])


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights by the factor 1 - lr weight_decay at each step,
    and stays out of m and v.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
