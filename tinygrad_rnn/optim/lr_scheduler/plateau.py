"""A schedule that reduces the learning rate when a metric has stopped improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...scalars import check_count, check_non_negative, to_python
from ..optimizer import Optimizer
from .scheduler import LRScheduler, per_group


class ReduceLROnPlateau(LRScheduler):
    """Reduce the learning rate when a metric has stopped improving.

    `step(metric)` multiplies the learning rates by `factor` after more than `patience` consecutive
    steps without improvement.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.
    mode : {"min", "max"}, default "min"
        "min" if lower metrics are better, "max" if higher metrics are better.
    factor : float, default 0.1
        Factor of the learning rates, below 1.
    patience : int, default 10
        Number of steps without improvement before a reduction.
    threshold : float, default 1e-4
        Smallest change that counts as an improvement.
    threshold_mode : {"rel", "abs"}, default "rel"
        "rel" if `threshold` is a fraction of the best metric, "abs" if it is a difference.
    cooldown : int, default 0
        Number of steps after a reduction that do not count as steps without improvement.
    min_lr : float or sequence of float, default 0.0
        Minimum learning rate: one value, or one per parameter group.
    eps : float, default 1e-8
        Smallest reduction that is applied.

    Raises
    ------
    ValueError
        If an option is out of range.
    """

    state_names = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter")
    option_names = (
        *("sign", "reduction", "patience", "threshold", "relative", "cooldown"),
        *("min_lrs", "eps"),
    )

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        factor = check_non_negative("factor", factor)
        if not factor < 1:
            raise ValueError(f"Factor should be < 1.0, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! Expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! Expected 'rel' or 'abs'")
        self.sign = 1 if mode == "min" else -1
        self.reduction, self.eps = factor, check_non_negative("eps", eps)
        self.patience = check_count("patience", patience, 0)
        self.cooldown = check_count("cooldown", cooldown, 0)
        self.threshold = check_non_negative("threshold", threshold)
        self.relative = threshold_mode == "rel"
        self.min_lrs = [
            check_non_negative("min_lr", rate) for rate in per_group("min_lr", min_lr, optimizer)
        ]
        self.best = self.sign * math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def _apply(self) -> None:
        """Do nothing: the optimizer's parameter groups hold the rates and save them."""

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Record a metric, and reduce the learning rates if it has stopped improving.

        Parameters
        ----------
        metrics : float or Tensor
            The metric: a number, or a tensor of one element.
        """
        self.last_epoch += 1
        metric = float(metrics)
        margin = self.sign * self.threshold
        bound = self.best * (1 - margin) if self.relative else self.best - margin
        if self.sign * metric < self.sign * bound:
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, min_lr in self._zip_groups(self.min_lrs):
                current = to_python(group["lr"])
                rate = max(current * self.reduction, min_lr)
                if current - rate > self.eps:
                    group["lr"] = rate
