"""Learning-rate schedules: call `step()` after the optimiser's, and every group's "lr" follows."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer


class LRScheduler:
    """A schedule says by what `factor` the initial rates are multiplied after so many steps."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0

    def factor(self, steps: int) -> float:
        raise NotImplementedError

    def step(self) -> None:
        self.last_epoch += 1
        self._apply()

    def _apply(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * self.factor(self.last_epoch)

    def get_last_lr(self) -> list[float]:
        """The present rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {"base_lrs": list(self.base_lrs), "last_epoch": self.last_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.base_lrs, self.last_epoch = list(state["base_lrs"]), int(state["last_epoch"])
        self._apply()


class ExponentialLR(LRScheduler):
    """The rate is multiplied by `gamma` at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        if not gamma > 0:
            raise ValueError(f"gamma must be positive, not {gamma}")
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma**steps)
