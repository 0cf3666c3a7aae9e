"""What optimisers share: parameter groups, and a state for every parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from autograd import Tensor, enable_grad, no_grad, tree_map, zeros_like

from ..scalars import check_count, to_python

Group = dict[str, Any]
State = dict[str, Any]
Closure = Callable[[], Any]

_LABELS = {"lr": "learning rate", "eps": "epsilon value"}  # as PyTorch calls them in its messages
_NUMBERS = {
    *("lr", "momentum", "dampening", "weight_decay", "alpha", "eps", "lr_decay"),
    *("initial_accumulator_value", "tolerance_grad", "tolerance_change"),
    *("max_iter", "max_eval", "history_size"),
}
_FLAGS = {"amsgrad", "centered", "maximize", "nesterov"}


class Optimizer:
    """Takes parameters, or groups `{"params": [...], "lr": ..., ...}` whose options override the
    defaults.

    `param_groups` holds the groups; `state` maps each parameter to what the optimiser keeps of it.
    """

    decoupled = False
    """Whether weight decay shrinks the weights themselves, and not by way of the gradient."""

    counters: tuple[str, ...] = ()
    """The numbers of steps in the state of a parameter."""

    arrays: Mapping[str, str | None] = {}
    """The arrays in the state of a parameter, each with the option that requires it (None: always).
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = self._plain(defaults)
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
        params = _listed(param_group["params"])
        group = {**self.defaults, **self._plain(param_group), "params": params}
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

    @staticmethod
    def _plain(options: Group) -> Group:
        """Return options as Python numbers, betas as a tuple; parameters are left out."""
        found = {name: to_python(value) for name, value in options.items() if name != "params"}
        if isinstance(found.get("betas"), list):
            found["betas"] = tuple(found["betas"])
        return found

    def __repr__(self) -> str:
        groups = (
            [f"parameters: {len(group['params'])}", *(f"{k}={group[k]}" for k in self.defaults)]
            for group in self.param_groups
        )
        return f"{type(self).__name__}({'; '.join(map(', '.join, groups))})"

    def check(self, group: Group) -> None:
        """Raise ValueError for options that make no sense, TypeError for a wrong type."""
        betas = group.get("betas", ())
        if "betas" in group and len(betas) != 2:
            raise ValueError(f"betas must be two numbers, not {betas}")
        for i, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(
                    f"Invalid beta parameter at index {i}: {beta}; it must lie in [0, 1)"
                )
        for name in (name for name in group if name in _NUMBERS):
            label, value = _LABELS.get(name, name), group[name]
            if not isinstance(value, (int, float)):
                raise TypeError(f"the {label} must be a number, not {value!r}")
            if not 0 <= value < math.inf:
                raise ValueError(
                    f"Invalid {label if name in _LABELS else f'{name} value'}: {value}; it must be "
                    "finite and must not be negative"
                )
        for name in (name for name in group if name in _FLAGS):
            if group[name] not in (True, False):
                raise TypeError(f"{name} must be True or False, not {group[name]!r}")
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

    def _add_missing(self, p: Tensor, state: State, group: Group) -> None:
        """Add the entries that a parameter's state lacks: all before the first step, an array when
        an option that requires it was set later.
        """
        for name in self.counters:
            state.setdefault(name, 0)
        for name in self._arrays_of(group):
            if name not in state:
                state[name] = zeros_like(p)

    def _arrays_of(self, group: Group) -> list[str]:
        """Return the names of the arrays that the options of a group require."""
        return [name for name, option in self.arrays.items() if not option or group[option]]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy on the host, with the optimizer's name: `{"state": {parameter number:
        {...}}, "param_groups": [...], "optimizer": "Adam"}`.
        """
        numbers = {parameter: i for i, parameter in enumerate(self._parameters())}
        return {
            "optimizer": type(self).__name__,
            "state": {
                numbers[parameter]: tree_map(_on_host, state)
                for parameter, state in self.state.items()
            },
            "param_groups": [
                {name: to_python(group[name]) for name in self.defaults}
                | {"params": [numbers[parameter] for parameter in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore a state of `state_dict`, or of PyTorch's optimizer of the same name with its
        tensors as NumPy arrays.

        Raises
        ------
        ValueError
            If the state belongs to another kind of optimizer or to other parameters, or if it is
            malformed: an option that the constructor refuses, an entry that is missing, an array of
            another shape. The optimizer is then unchanged.
        """
        kind = type(self).__name__
        try:
            if saved.get("optimizer", kind) != kind:
                raise ValueError(
                    f"the saved optimizer is {saved['optimizer']}, but this one is {kind}"
                )
            options, state = self._restored(saved["param_groups"], saved["state"])
        except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"the saved state of {kind} is malformed: {error!r}") from error
        for group, values in zip(self.param_groups, options, strict=True):
            group.update(values)
        self.state = state

    def _restored(
        self, saved_groups: list[Group], saved_states: dict[Any, State]
    ) -> tuple[list[Group], dict[Tensor, State]]:
        """Return the options of each group and the state of each parameter, checked."""
        sizes = [len(group["params"]) for group in saved_groups]
        own_sizes = [len(group["params"]) for group in self.param_groups]
        if sizes != own_sizes:
            raise ValueError(
                f"the saved optimizer has parameter groups of sizes {sizes}, but this one has "
                f"groups of sizes {own_sizes}"
            )
        options, owners = [], {}
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            options.append(self._restored_options(group, saved))
            for number, p in zip(saved["params"], group["params"], strict=True):
                owners[int(number)] = p, group | options[-1]
        if len(owners) != sum(sizes):
            raise ValueError("the saved parameter groups have a parameter in common")
        state = {}
        for number, entries in saved_states.items():
            p, group = owners[int(number)]
            state[p] = self._restored_state(p, group, entries)
        return options, state

    def _restored_options(self, group: Group, saved: Group) -> Group:
        kind = type(self).__name__
        if missing := self.defaults.keys() - saved.keys():
            raise ValueError(
                f"the saved state does not belong to {kind}: it has no option {min(missing)!r}"
            )
        if saved.get("decoupled_weight_decay", self.decoupled) != self.decoupled:  # PyTorch's
            other = "Adam" if self.decoupled else "AdamW"
            raise ValueError(f"the saved optimizer is {other}, but this one is {kind}")
        options = self._plain({name: saved[name] for name in self.defaults})
        self.check(options | {"params": group["params"]})
        return options

    def _restored_state(self, p: Tensor, group: Group, saved: State) -> State:
        """Return the saved state of a parameter, with arrays as Tensors on its device."""
        state = {
            name: check_count(name, _whole(value), 0)
            if name in self.counters
            else tree_map(lambda leaf, name=name: self._restored_leaf(p, name, leaf), value)
            for name, value in saved.items()
            if value is not None
        }
        required = [*self.counters, *self._arrays_of(group)] if state else []
        if missing := [name for name in required if name not in state]:
            raise ValueError(f"the saved state of a parameter has no {missing[0]!r}")
        if wrong := [n for n in self.arrays if not isinstance(state.get(n, p), Tensor)]:
            raise ValueError(f"the saved {wrong[0]!r} of a parameter is not an array")
        return state

    def _state_shape(self, p: Tensor) -> tuple[int, ...]:
        """The shape of the arrays in the state of `p`."""
        return p.shape

    def _restored_leaf(self, p: Tensor, name: str, value: Any) -> Any:
        """Return an array of the saved state as a Tensor, a number as it is."""
        shape = self._state_shape(p)
        if name not in self.arrays and np.shape(value) != shape:
            value = to_python(value)
        if name not in self.arrays and isinstance(value, (int, float, str)):
            return value
        array = np.asarray(value)
        if array.shape != shape:
            raise ValueError(
                f"the saved array {name!r} has shape {array.shape}, its parameter {shape}"
            )
        if array.dtype.kind not in "fiu":
            raise ValueError(f"the saved array {name!r} holds {array.dtype}, not numbers")
        return Tensor(array.astype(p.dtype)).to(p.device)


def _listed(params: Any) -> list[Any]:
    """One parameter or several, as a list. (A list of a Tensor would be its rows.)"""
    return [params] if isinstance(params, Tensor) else list(params)


def _on_host(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def _whole(count: Any) -> Any:
    """Return a number of steps, which PyTorch saves as a float, as an int if it is whole."""
    count = to_python(count)
    return int(count) if isinstance(count, float) and count.is_integer() else count
