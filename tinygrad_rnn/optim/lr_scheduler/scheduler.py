"""The base class of the schedules, and checks of their options."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from autograd.runtime.deprecation import (
    RenamedAttribute,
    renamed_class_attributes,
)

from ...compatibility import renamed_state
from ...scalars import check_count, to_python, warn_changed_options
from ..optimizer import Group, Optimizer


class LRScheduler:
    """Base class of the schedules.

    A subclass defines `factor`, by which the initial learning rates are multiplied, or more
    generally `rates`.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose learning rates are scheduled.

    Attributes
    ----------
    base_lrs : list of float
        The initial learning rate of each parameter group.
    last_epoch : int
        Number of calls of `step`.
    """

    state_names: tuple[str, ...] = ("base_lrs", "last_epoch")
    """Names of the attributes that change and are saved."""
    option_names: tuple[str, ...] = ()
    """Names of the attributes that the constructor sets; they are saved for comparison."""

    kept = RenamedAttribute("state_names")
    options = RenamedAttribute("option_names")
    __init_subclass__ = renamed_class_attributes(kept="state_names", options="option_names")
    __setstate__ = renamed_state(_set="_applied_rates")

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [to_python(group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    def factor(self, steps: int) -> float:
        """Return the factor of the initial learning rates.

        Parameters
        ----------
        steps : int
            Number of steps taken.

        Returns
        -------
        float
            The factor.
        """
        raise NotImplementedError

    def rates(self, steps: int) -> list[float]:
        """Return the learning rate of each parameter group.

        Parameters
        ----------
        steps : int
            Number of steps taken.

        Returns
        -------
        list of float
            The learning rates.
        """
        return [base * self.factor(steps) for base in self.base_lrs]

    def step(self) -> None:
        """Set the next learning rates.

        Raises
        ------
        ValueError
            If other code has changed the learning rates, since that change would be lost.
        """
        if self.get_last_lr()[: len(self._applied_rates)] != self._applied_rates:
            raise ValueError(
                f"the learning rates are {self.get_last_lr()}, but this schedule set them to "
                f"{self._applied_rates} and would overwrite them: combine two schedules into one "
                "(LambdaLR takes any product of factors), change base_lrs instead of the rates, "
                "and restore the schedule's state together with the optimizer's"
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
        self._applied_rates = rates
        for group, rate in self._zip_groups(rates):
            group["lr"] = rate

    def _zip_groups(self, values: list[Any]) -> Iterator[tuple[Group, Any]]:
        """Return pairs of a parameter group and its value."""
        groups = self.optimizer.param_groups
        if len(groups) != len(values):
            raise ValueError(
                f"this schedule was created for {len(values)} parameter groups, but the optimizer "
                f"has {len(groups)}: create the schedule after the last add_param_group"
            )
        return zip(groups, values, strict=True)

    def get_last_lr(self) -> list[float]:
        """Return the current learning rate of each parameter group.

        Returns
        -------
        list of float
            The learning rates.
        """
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule.

        Returns
        -------
        dict
            The class name, the options and the attributes that change, as JSON values.
        """
        values = {name: to_python(getattr(self, name)) for name in self.state_names}
        return {"schedule": type(self).__name__, "options": self._options(), **values}

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.option_names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned.

        A warning names the options that differ from the saved options.

        Parameters
        ----------
        state : dict
            The state.

        Raises
        ------
        ValueError
            If the state belongs to another class of schedule or to another number of parameter
            groups, or if it is malformed. The schedule is unchanged in this case.
        """
        kind = type(self).__name__
        if not isinstance(state, dict):
            raise ValueError(
                f"the saved state of {kind} is malformed: expected a dict, got {state!r}"
            )
        if state.get("schedule", kind) != kind:
            raise ValueError(f"the saved schedule is {state['schedule']}, but this one is {kind}")
        if missing := [name for name in self.state_names if name not in state]:
            raise ValueError(f"the saved state does not belong to {kind}: it lacks {missing[0]!r}")
        snapshot = {name: getattr(self, name) for name in self.state_names}
        try:
            warn_changed_options(f"the schedule {kind}", state.get("options"), self._options())
            vars(self).update(
                {name: self._checked(name, to_python(state[name])) for name in self.state_names}
            )
            self._apply()
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            vars(self).update(snapshot)
            raise ValueError(f"the saved state of {kind} is malformed: {error}") from error

    def _checked(self, name: str, value: Any) -> Any:
        """Return a saved attribute; raise ValueError or TypeError if it is invalid."""
        current = getattr(self, name)
        if isinstance(current, list):
            if not all(0 <= rate < math.inf for _, rate in self._zip_groups(value)):
                raise ValueError(f"{name} must be finite numbers of at least 0, got {value}")
        elif isinstance(current, int):
            check_count(name, value, 0)
        elif not isinstance(value, (int, float)) or math.isnan(value):
            raise ValueError(f"{name} must be a number, got {value!r}")
        return value


def positive_number(name: str, value: Any) -> float:
    number = to_python(value)
    if not (isinstance(number, (int, float)) and 0 < number < math.inf):
        raise ValueError(f"{name} must be a finite positive number, got {value}")
    return number


def positive_integer(name: str, value: Any) -> int:
    count = to_python(value)
    if not (isinstance(count, int) and count > 0):
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return count


def per_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """Return one value per parameter group; a single value applies to all groups."""
    groups, value = len(optimizer.param_groups), to_python(value)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {groups}."
        )
    return list(value)
