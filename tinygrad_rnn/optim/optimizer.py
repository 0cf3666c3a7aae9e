"""What optimisers share: parameter groups, and a state for every parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import numpy as np

from autograd import Tensor, enable_grad, no_grad, tree_map, zeros_like

Group = dict[str, Any]
State = dict[str, Any]
Closure = Callable[[], Any]

_NAMES = {"lr": "learning rate", "eps": "epsilon value"}  # as PyTorch calls them in its messages


class Optimizer:
    """Takes parameters, or groups `{"params": [...], "lr": ..., ...}` whose options override the
    defaults.

    `param_groups` holds the groups; `state` maps each parameter to what the optimiser keeps of it.
    """

    decoupled = False
    """Whether weight decay shrinks the weights themselves, and not by way of the gradient."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, State] = {}
        given = _listed(params)
        if not given:
            raise ValueError(
                "optimizer got an empty parameter list; it needs at least one parameter"
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Optimise further parameters, with options of their own or the defaults.

        Raises TypeError for what is no group of leaf tensors that want a gradient, ValueError for
        parameters that are there already and for options that do not exist or make no sense.
        """
        if not (isinstance(param_group, dict) and "params" in param_group):
            raise TypeError(
                f'a parameter group must be a dict with "params" in it, but got {param_group!r}'
            )
        group = {**self.defaults, **param_group, "params": _listed(param_group["params"])}
        if strange := set(group) - {*self.defaults, "params"}:
            there_are = ", ".join(self.defaults)
            raise ValueError(f"unknown option {min(strange)!r}; there are {there_are}")
        for i, one in enumerate(group["params"]):
            if not (isinstance(one, Tensor) and one.requires_grad and one.is_leaf):
                raise TypeError(
                    f"can't optimize a non-leaf Tensor: parameter {i} is no leaf that wants a "
                    f"gradient, but {one!r}"
                )
        everyone = self._parameters() + group["params"]
        if len(set(everyone)) != len(everyone):
            raise ValueError("some parameters appear in more than one parameter group, or twice")
        self.check(group)
        self.param_groups.append(group)

    def __repr__(self) -> str:
        groups = (
            [f"parameters: {len(group['params'])}", *(f"{k}={group[k]}" for k in self.defaults)]
            for group in self.param_groups
        )
        return f"{type(self).__name__}({'; '.join(map(', '.join, groups))})"

    def check(self, group: Group) -> None:
        """Raise ValueError for options that make no sense, TypeError for a rate of no number."""
        if not isinstance(group["lr"], Real):
            raise TypeError(f"the learning rate must be a number, not {group['lr']!r}")
        if len(group.get("betas", (0, 0))) != 2:
            raise ValueError(f"betas must be two numbers, not {group['betas']}")
        for i, beta in enumerate(group.get("betas", ())):
            if not 0 <= beta < 1:
                raise ValueError(
                    f"Invalid beta parameter at index {i}: {beta}; it must lie in [0, 1)"
                )
        for name, value in group.items():
            if isinstance(value, (int, float)) and not value >= 0:
                raise ValueError(
                    f"Invalid {_NAMES.get(name, f'{name} value')}: {value}; it must not be negative"
                )
        for dtype in {parameter.dtype for parameter in group["params"]}:
            if group.get("eps") and dtype.type(group["eps"]) == 0:
                raise ValueError(
                    f"eps={group['eps']} is 0 in {dtype}, so that a gradient of 0 would give nan: "
                    "choose a larger eps, or keep the parameters in float32"
                )

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Move every parameter that has a gradient.

        A `closure` computes the loss and its gradients before that; the loss is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            decay = group.get("weight_decay")
            for p in group["params"]:
                g = p.grad
                if g is None:
                    continue
                if group.get("maximize"):
                    g = -g
                if decay and self.decoupled:
                    p *= 1 - group["lr"] * decay
                elif decay:
                    g = g + decay * p
                self.update(p, g, self.state.setdefault(p, {}), group)
        return loss

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        """Write the new value of parameter `p` in place; `g` is the slope to go down."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or, without `set_to_none`, make those that there are zeros."""
        for p in self._parameters():
            p.grad = None if set_to_none or p.grad is None else zeros_like(p)

    def state_dict(self) -> dict[str, Any]:
        """Copies on the host: {"state": {parameter number: {...}}, "param_groups": [...]}."""
        numbers = {parameter: i for i, parameter in enumerate(self._parameters())}
        return {
            "state": {
                numbers[parameter]: tree_map(_on_host, state)
                for parameter, state in self.state.items()
            },
            "param_groups": [
                {**group, "params": [numbers[parameter] for parameter in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go back to a state of `state_dict`, or to PyTorch's with its tensors as NumPy arrays (but
        that of LBFGS). Raises ValueError if it is of other parameters or another kind of optimiser.
        """
        everyone = self._parameters()
        sizes = [len(group["params"]) for group in saved["param_groups"]]
        if sizes != [len(group["params"]) for group in self.param_groups]:
            raise ValueError(
                f"the saved optimiser has parameter groups of sizes {sizes}, this one has not"
            )
        for old in saved["param_groups"]:
            if missing := self.defaults.keys() - old.keys():
                raise ValueError(
                    f"the saved optimiser is no {type(self).__name__}: it has no {min(missing)}"
                )
        restored = {}
        for number, state in saved["state"].items():
            p = everyone[int(number)]
            restored[p] = tree_map(lambda value, p=p: self._restored(p, value), state)
        for group, old in zip(self.param_groups, saved["param_groups"], strict=True):
            group.update({option: old[option] for option in self.defaults})
        self.state = restored

    def _state_shape(self, p: Tensor) -> tuple[int, ...]:
        """The shape of the arrays in the state of `p`."""
        return p.shape

    def _restored(self, p: Tensor, value: Any) -> Any:
        """An array of the saved state as a tensor beside its parameter; numbers as they are."""
        if not isinstance(value, np.ndarray):
            return value
        if value.shape == () != self._state_shape(p):  # PyTorch's number of steps
            return value.item()
        if value.shape != self._state_shape(p):
            raise ValueError(
                f"a saved array has shape {value.shape}, its parameter {self._state_shape(p)}"
            )
        return Tensor(value.copy()).to(p.device)


def _listed(params: Any) -> list[Any]:
    """One parameter or several, as a list. (A list of a Tensor would be its rows.)"""
    return [params] if isinstance(params, Tensor) else list(params)


def _on_host(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value
