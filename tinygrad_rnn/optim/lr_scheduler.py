"""Learning-rate schedules: call `step()` after the optimiser's, and every group's "lr" follows.

Rates are functions of the number of steps, not of the rates before, so that a schedule restored
from a saved state gives the same numbers to the last bit. A restored schedule keeps the options of
its constructor; a warning names the options that differ from the saved ones.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..scalars import check_count, check_non_negative, to_python, warn_changed_options
from .optimizer import Group, Optimizer


class LRScheduler:
    """A schedule says by what `factor` the initial rates are multiplied after so many steps, or
    more generally what the `rates` of the groups are then.
    """

    kept: tuple[str, ...] = ("base_lrs", "last_epoch")
    """The attributes that change, and are saved."""
    options: tuple[str, ...] = ()
    """The attributes that the constructor sets, which are saved to be compared."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [to_python(group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    def factor(self, steps: int) -> float:
        raise NotImplementedError

    def rates(self, steps: int) -> list[float]:
        return [base * self.factor(steps) for base in self.base_lrs]

    def step(self) -> None:
        """Go on to the next rates. ValueError if something else has changed the present ones, which
        would be lost.
        """
        if self.get_last_lr()[: len(self._set)] != self._set:
            raise ValueError(
                f"the learning rates are {self.get_last_lr()}, but this schedule left them at "
                f"{self._set} and would undo that: make one of two schedules (LambdaLR takes any "
                "product of factors), change base_lrs by hand, and beside an optimizer's saved "
                "state load the schedule's"
            )
        self.last_epoch += 1
        self._apply()

    def _apply(self) -> None:
        rates = to_python(self.rates(self.last_epoch))
        if not all(isinstance(rate, (int, float)) and 0 <= rate < math.inf for rate in rates):
            raise ValueError(
                f"learning rates must be finite numbers of at least 0, but {type(self).__name__} "
                f"gives {rates} after {self.last_epoch} steps"
            )
        self._set = rates
        for group, rate in self._groups(self._set):
            group["lr"] = rate

    def _groups(self, values: list[Any]) -> Iterator[tuple[Group, Any]]:
        """Each parameter group with its value."""
        groups = self.optimizer.param_groups
        if len(groups) != len(values):
            raise ValueError(
                f"this schedule was made for {len(values)} parameter groups, but the optimiser has "
                f"{len(groups)}: make it after the last add_param_group"
            )
        return zip(groups, values, strict=True)

    def get_last_lr(self) -> list[float]:
        """The present rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers that change, as JSON values, and the schedule's name and options."""
        values = {name: to_python(getattr(self, name)) for name in self.kept}
        return {"schedule": type(self).__name__, "options": self._options(), **values}

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.options}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state of `state_dict`. A warning names options that differ from the saved ones.

        Raises
        ------
        ValueError
            If the state belongs to another kind of schedule or to another number of parameter
            groups, or if it is malformed. The schedule is then unchanged.
        """
        kind = type(self).__name__
        if not isinstance(state, dict):
            raise ValueError(f"the saved state of {kind} is malformed: it is {state!r}")
        if state.get("schedule", kind) != kind:
            raise ValueError(f"the saved schedule is {state['schedule']}, but this one is {kind}")
        if missing := [name for name in self.kept if name not in state]:
            raise ValueError(f"the saved state does not belong to {kind}: it has no {missing[0]!r}")
        before = {name: getattr(self, name) for name in self.kept}
        try:
            warn_changed_options(f"the schedule {kind}", state.get("options"), self._options())
            vars(self).update(
                {name: self._checked(name, to_python(state[name])) for name in self.kept}
            )
            self._apply()
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            vars(self).update(before)
            raise ValueError(f"the saved state of {kind} is malformed: {error}") from error

    def _checked(self, name: str, value: Any) -> Any:
        """Return a saved attribute; ValueError or TypeError if it cannot be this attribute."""
        present = getattr(self, name)
        if isinstance(present, list):
            if not all(0 <= rate < math.inf for _, rate in self._groups(value)):
                raise ValueError(f"{name} must be finite numbers of at least 0, not {value}")
        elif isinstance(present, int):
            check_count(name, value, 0)
        elif not isinstance(value, (int, float)) or math.isnan(value):
            raise ValueError(f"{name} must be a number, not {value!r}")
        return value


class ExponentialLR(LRScheduler):
    """The rate is multiplied by `gamma` at every step."""

    options = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = _positive("gamma", gamma)
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma**steps)


class StepLR(LRScheduler):
    """The rate is multiplied by `gamma` at every `step_size`-th step."""

    options = ("step_size", "gamma")

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _whole("step_size", step_size), _positive("gamma", gamma)
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma ** (steps // self.step_size))


class MultiStepLR(LRScheduler):
    """The rate is multiplied by `gamma` at each of the steps in `milestones`."""

    options = ("milestones", "gamma")

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(
            check_non_negative("milestones", step) for step in to_python(milestones)
        )
        self.gamma = _positive("gamma", gamma)
        super().__init__(optimizer)

    def factor(self, steps: int) -> float:
        return float(self.gamma ** bisect_right(self.milestones, steps))


class LambdaLR(LRScheduler):
    """The initial rate times `lr_lambda(steps)`: one function, or one for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        self.lr_lambdas = _each("lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer)

    def rates(self, steps: int) -> list[float]:
        lambdas = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * float(lr_lambda(steps)) for base, lr_lambda in lambdas]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine wave from the initial rate down to `eta_min` at step `T_max`, and up again
    (Loshchilov & Hutter 2017, equation 5, without restarts).
    """

    options = ("T_max", "eta_min")

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = _whole("T_max", T_max), check_non_negative("eta_min", eta_min)
        super().__init__(optimizer)

    def rates(self, steps: int) -> list[float]:
        return [_cosine(base, self.eta_min, steps / self.T_max) for base in self.base_lrs]


class OneCycleLR(LRScheduler):
    """One cycle of `total_steps`, or `epochs` times `steps_per_epoch` (Smith & Topin 2019).

    For the part `pct_start` of them the rate rises from max_lr / div_factor to `max_lr`, then it
    falls to max_lr / div_factor / final_div_factor; with `three_phase` it first falls as it rose.
    With `cycle_momentum`, the optimiser's momentum (or beta1) goes the other way, from
    `max_momentum` to `base_momentum` and back. `anneal_strategy` is "cos" or "linear".
    """

    options = ("total_steps", "anneal_strategy", "phase_ends", "phase_rates", "phase_momenta")

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "You must define either total_steps OR (epochs AND steps_per_epoch)"
                )
            total_steps = _whole("epochs", epochs) * _whole("steps_per_epoch", steps_per_epoch)
        self.total_steps = _whole("total_steps", total_steps)
        div_factor = _positive("div_factor", div_factor)
        final_div_factor = _positive("final_div_factor", final_div_factor)
        pct_start = check_non_negative("pct_start", pct_start)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self.anneal_strategy = anneal_strategy
        if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
            )

        rise = pct_start * self.total_steps
        middle = [2 * rise - 2] if three_phase else []
        self.phase_ends = [rise - 1, *middle, self.total_steps - 1]
        self.phase_rates: list[list[float]] = []
        self.phase_momenta: list[list[float]] = []
        for top in _each("max_lr", max_lr, optimizer):
            low = check_non_negative("max_lr", top) / div_factor
            rates = [low, top, *([low] if three_phase else []), low / final_div_factor]
            self.phase_rates.append(rates)
        if cycle_momentum:
            highs = _each("max_momentum", max_momentum, optimizer)
            lows = _each("base_momentum", base_momentum, optimizer)
            for low, high in zip(lows, highs, strict=True):
                if (
                    not 0
                    <= check_non_negative("base_momentum", low)
                    < 1
                    > check_non_negative("max", high)
                ):
                    raise ValueError(f"momenta must lie in [0, 1), not {low} and {high}")
                self.phase_momenta.append([high, low, high, high])
        super().__init__(optimizer)

    def _along(self, knots: list[float], steps: int) -> float:
        """The value between knots, of which there is one at the end of each phase."""
        ends = self.phase_ends
        phase = next((k for k, end in enumerate(ends) if steps <= end), len(ends) - 1)
        start, end = ([0.0, *ends])[phase], ends[phase]
        part = (steps - start) / (end - start) if end != start else 1.0
        between = _cosine if self.anneal_strategy == "cos" else _line
        return between(knots[phase], knots[phase + 1], part)

    def rates(self, steps: int) -> list[float]:
        if steps > self.total_steps:
            raise ValueError(
                f"Tried to step {steps} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        return [self._along(knots, steps) for knots in self.phase_rates]

    def _apply(self) -> None:
        super()._apply()
        for group, knots in self._groups(self.phase_momenta) if self.phase_momenta else ():
            momentum = self._along(knots, self.last_epoch)
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class ReduceLROnPlateau(LRScheduler):
    """`step(metric)` multiplies the rates by `factor` when the metric has been no better than the
    best for more than `patience` steps in a row.

    Better is lower by more than the `threshold` ("rel": this part of the best; "abs": this much),
    or higher with mode "max". After a reduction, `cooldown` steps do not count. Rates do not fall
    below `min_lr`, nor by less than `eps`.
    """

    kept = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter")
    options = (
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
            raise ValueError(f"Factor should be < 1.0, not {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! It is 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! It is 'rel' or 'abs'")
        self.sign = 1 if mode == "min" else -1
        self.reduction, self.eps = factor, check_non_negative("eps", eps)
        self.patience = check_count("patience", patience, 0)
        self.cooldown = check_count("cooldown", cooldown, 0)
        self.threshold, self.relative = (
            check_non_negative("threshold", threshold),
            threshold_mode == "rel",
        )
        least = _each("min_lr", min_lr, optimizer)
        self.min_lrs = [check_non_negative("min_lr", rate) for rate in least]
        self.best = self.sign * math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def _apply(self) -> None:
        """Nothing: the rates stand in the optimiser's groups, and are saved with it."""

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Take notice of a metric: a number, or a Tensor of one element."""
        self.last_epoch += 1
        metric = float(metrics)
        margin = self.sign * self.threshold
        bar = self.best * (1 - margin) if self.relative else self.best - margin
        if self.sign * metric < self.sign * bar:
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, least in self._groups(self.min_lrs):
                present = to_python(group["lr"])
                rate = max(present * self.reduction, least)
                if present - rate > self.eps:
                    group["lr"] = rate


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


def _line(start: float, end: float, part: float) -> float:
    return start + (end - start) * part


def _positive(name: str, value: Any) -> float:
    number = to_python(value)
    if not (isinstance(number, (int, float)) and 0 < number < math.inf):
        raise ValueError(f"{name} must be positive, not {value}")
    return number


def _whole(name: str, value: Any) -> int:
    count = to_python(value)
    if not (isinstance(count, int) and count > 0):
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return count


def _each(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for each group of the optimiser, or the same for all."""
    groups, value = len(optimizer.param_groups), to_python(value)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {groups}."
        )
    return list(value)
