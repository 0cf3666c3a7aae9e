"""Schedules that multiply the initial learning rate by a function of the number of steps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ...scalars import check_non_negative, to_python
from ..optimizer import Optimizer
from .scheduler import LRScheduler, per_group, positive_integer, positive_number


class ExponentialLR(LRScheduler):
    """Multiply the learning rate by `gamma` at every step.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.
    gamma : float
        Factor of the learning rate.
    """

    option_names = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = positive_number("gamma", gamma)
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma**steps)


class StepLR(LRScheduler):
    """Multiply the learning rate by `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.
    step_size : int
        Number of steps between two reductions.
    gamma : float, default 0.1
        Factor of the learning rate.
    """

    option_names = ("step_size", "gamma")

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = (
            positive_integer("step_size", step_size),
            positive_number("gamma", gamma),
        )
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma ** (steps // self.step_size))


class MultiStepLR(LRScheduler):
    """Multiply the learning rate by `gamma` at each milestone.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.
    milestones : sequence of int
        Step numbers at which the learning rate changes.
    gamma : float, default 0.1
        Factor of the learning rate.
    """

    option_names = ("milestones", "gamma")

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(
            check_non_negative("milestones", step) for step in to_python(milestones)
        )
        self.gamma = positive_number("gamma", gamma)
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma ** bisect_right(self.milestones, steps))


class LambdaLR(LRScheduler):
    """Multiply the initial learning rate by a function of the number of steps.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.
    lr_lambda : callable or sequence of callables
        Maps the number of steps to a factor: one function, or one per parameter group.

    Examples
    --------
    >>> from tinygrad_rnn import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 3).parameters(), lr=0.5)
    >>> schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda steps: 1 / (1 + steps))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        self.lr_lambdas = per_group("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer)

    def rates(self, steps: int) -> list[float]:
        lambdas = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * float(lr_lambda(steps)) for base, lr_lambda in lambdas]


class CosineAnnealingLR(LRScheduler):
    """Anneal the learning rate along a cosine, without restarts.

    The learning rate falls from its initial value to `eta_min` at step `T_max`, and rises again
    after that.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.
    T_max : int
        Number of steps to the minimum.
    eta_min : float, default 0.0
        Minimum learning rate.

    References
    ----------
    Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5.
    """

    option_names = ("T_max", "eta_min")

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = (
            positive_integer("T_max", T_max),
            check_non_negative("eta_min", eta_min),
        )
        super().__init__(optimizer)

    def rates(self, steps: int) -> list[float]:
        return [cosine(base, self.eta_min, steps / self.T_max) for base in self.base_lrs]


def cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * fraction))
