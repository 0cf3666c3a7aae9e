"""What optimisers share: parameter groups, and a state for every parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from autograd import Tensor, no_grad


class Optimizer:
    """Takes parameters, or groups `{"params": [...], "lr": ..., ...}` whose options override the
    defaults.

    `param_groups` holds the groups; `state` maps each parameter to what the optimiser keeps of it.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        given = _listed(params)
        if not given:
            raise ValueError("an optimiser needs at least one parameter")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        self.param_groups = [
            {**defaults, **group, "params": _listed(group["params"])} for group in groups
        ]
        self.state: dict[Tensor, dict[str, Any]] = {}
        for group in self.param_groups:
            if strange := set(group) - {*defaults, "params"}:
                there_are = ", ".join(defaults)
                raise ValueError(f"unknown option {min(strange)!r}; there are {there_are}")
        everyone = self._parameters()
        for i, one in enumerate(everyone):
            if not (isinstance(one, Tensor) and one.requires_grad and one.is_leaf):
                raise TypeError(f"parameter {i} is no leaf tensor that wants a gradient: {one!r}")
        if len(set(everyone)) != len(everyone):
            raise ValueError("some parameter appears twice among the groups")

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(
                        parameter, parameter.grad, self.state.setdefault(parameter, {}), group
                    )

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Write the new value of parameter `p` with gradient `g` in place."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        for parameter in self._parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Copies on the host: {"state": {parameter number: {...}}, "param_groups": [...]}."""
        numbers = {parameter: i for i, parameter in enumerate(self._parameters())}
        return {
            "state": {
                numbers[parameter]: {
                    k: v.numpy() if isinstance(v, Tensor) else v for k, v in state.items()
                }
                for parameter, state in self.state.items()
            },
            "param_groups": [
                {**group, "params": [numbers[parameter] for parameter in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go back to a state of `state_dict`. Raises ValueError if it is of other parameters."""
        everyone = self._parameters()
        sizes = [len(group["params"]) for group in saved["param_groups"]]
        if sizes != [len(group["params"]) for group in self.param_groups]:
            raise ValueError(
                f"the saved optimiser has parameter groups of sizes {sizes}, this one has not"
            )
        restored = {
            everyone[int(i)]: {k: _restored(everyone[int(i)], v) for k, v in state.items()}
            for i, state in saved["state"].items()
        }
        for group, old in zip(self.param_groups, saved["param_groups"], strict=True):
            group.update({key: value for key, value in old.items() if key != "params"})
        self.state = restored


def _listed(params: Any) -> list[Any]:
    """One parameter or several, as a list. (A list of a Tensor would be its rows.)"""
    return [params] if isinstance(params, Tensor) else list(params)


def _restored(parameter: Tensor, value: Any) -> Any:
    """An array of the saved state as a tensor beside its parameter; numbers as they are."""
    if not isinstance(value, np.ndarray):
        return value
    if value.shape != parameter.shape:
        raise ValueError(f"a saved array has shape {value.shape}, its parameter {parameter.shape}")
    return Tensor(value.copy()).to(parameter.device)
