"""Adam (Kingma & Ba 2015, algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from autograd import Tensor, sqrt, zeros_like

from .optimizer import Optimizer


class Adam(Optimizer):
    """m and v are running means of the gradient and its square; a step is lr m^ / (sqrt(v^) + eps),
    bias removed.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        rates_fit = all(rate >= 0 for rate in (lr, eps, weight_decay))
        if not (rates_fit and all(0 <= beta < 1 for beta in betas)):
            raise ValueError(
                "Adam needs lr, eps and weight_decay >= 0 and betas in [0, 1), "
                f"not lr={lr}, eps={eps}, weight_decay={weight_decay}, betas={betas}"
            )
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, exp_avg=zeros_like(p), exp_avg_sq=zeros_like(p))
        m, v = state["exp_avg"], state["exp_avg_sq"]
        beta1, beta2 = group["betas"]
        t = state["step"] = state["step"] + 1
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        root = sqrt(v) / math.sqrt(1 - beta2**t)
        p -= group["lr"] / (1 - beta1**t) * m / (root + group["eps"])
