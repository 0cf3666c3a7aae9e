"""Adam, with the AMSGrad variant, and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from autograd import Tensor, maximum, sqrt

from .optimizer import Group, Optimizer, State


class Adam(Optimizer):
    """Adam optimizer.

    `m` and `v` are running means of the gradient and of its square; `m^` and `v^` are their
    bias-corrected values. Step number `t` computes

        m = beta1 m + (1 - beta1) g            m^ = m / (1 - beta1^t)
        v = beta2 v + (1 - beta2) g^2          v^ = v / (1 - beta2^t)
        p = p - lr m^ / (sqrt(v^) + eps)

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups `{"params": [...], "lr": ..., ...}`.
    lr : float, default 1e-3
        Learning rate.
    betas : tuple of two floats, default (0.9, 0.999)
        Decay rates of `m` and `v`, in [0, 1).
    eps : float, default 1e-8
        Term added to the denominator for numerical stability.
    weight_decay : float, default 0.0
        L2 penalty: `weight_decay * p` is added to the gradient.
    amsgrad : bool, default False
        Use the AMSGrad variant: the running maximum of `v` replaces `v` in the step.
    maximize : bool, default False
        Maximize the objective instead of minimizing it.

    References
    ----------
    Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.

    Reddi et al. 2018, "On the convergence of Adam and beyond" (`amsgrad`).

    Examples
    --------
    >>> from tinygrad_rnn import nn, optim
    >>> optimizer = optim.Adam(nn.LSTM(4, 8).parameters(), lr=1e-3)
    """

    state_counters = ("step",)
    state_arrays: Mapping[str, str | None] = {
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
    """Adam with decoupled weight decay.

    Each step multiplies the parameters by `1 - lr * weight_decay`. The decay does not enter the
    running means. In all other respects, the steps are equal to the steps of `Adam`.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups `{"params": [...], "lr": ..., ...}`.
    lr : float, default 1e-3
        Learning rate.
    betas : tuple of two floats, default (0.9, 0.999)
        Decay rates of the running means, in [0, 1).
    eps : float, default 1e-8
        Term added to the denominator for numerical stability.
    weight_decay : float, default 1e-2
        Decay rate of the parameters.
    amsgrad : bool, default False
        Use the AMSGrad variant.
    maximize : bool, default False
        Maximize the objective instead of minimizing it.

    References
    ----------
    Loshchilov & Hutter 2019, "Decoupled weight decay regularization".
    """

    decoupled_weight_decay = True

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
