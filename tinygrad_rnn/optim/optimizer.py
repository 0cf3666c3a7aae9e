"""The base class of the optimizers: parameter groups, states, saving and restoring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from autograd import Tensor, enable_grad, no_grad, tree_map, zeros_like
from autograd.runtime.deprecation import RenamedAttribute, renamed_class_attributes

from ..scalars import check_count, to_python

Group = dict[str, Any]
State = dict[str, Any]
Closure = Callable[[], Any]

_LABELS = {"lr": "learning rate", "eps": "epsilon value"}  # PyTorch's words in its messages
_NUMBERS = {
    *("lr", "momentum", "dampening", "weight_decay", "alpha", "eps", "lr_decay"),
    *("initial_accumulator_value", "tolerance_grad", "tolerance_change"),
    *("max_iter", "max_eval", "history_size"),
}
_FLAGS = {"amsgrad", "centered", "maximize", "nesterov"}


class Optimizer:
    """Base class of the optimizers.

    A subclass defines `update`, which changes one parameter, and declares the entries of the
    per-parameter state in `state_counters` and `state_arrays`.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups `{"params": [...], "lr": ..., ...}`. The options of a group
        override the defaults.
    defaults : dict
        The options and their default values.

    Attributes
    ----------
    param_groups : list of dict
        The parameter groups, each with all options.
    state : dict
        The state of each parameter that has taken a step.

    Raises
    ------
    ValueError
        If the parameter list is empty, or if an option is out of range.
    """

    decoupled_weight_decay = False
    """True if weight decay multiplies the parameters instead of changing the gradient."""

    state_counters: tuple[str, ...] = ()
    """Names of the step counters in the state of a parameter."""

    state_arrays: Mapping[str, str | None] = {}
    """Names of the arrays in the state of a parameter, each with the option that requires it
    (None: always required).
    """

    decoupled = RenamedAttribute("decoupled_weight_decay")
    counters = RenamedAttribute("state_counters")
    arrays = RenamedAttribute("state_arrays")
    __init_subclass__ = renamed_class_attributes(
        decoupled="decoupled_weight_decay", counters="state_counters", arrays="state_arrays"
    )

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = self._to_python(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, State] = {}
        entries = _as_list(params)
        if not entries:
            raise ValueError(
                "optimizer got an empty parameter list; it needs at least one parameter"
            )
        for group in entries if isinstance(entries[0], dict) else [{"params": entries}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            `{"params": [...]}`, and options that override the defaults.

        Raises
        ------
        TypeError
            If the group is not such a dict, or if a parameter is not a leaf tensor that requires
            grad.
        ValueError
            If a parameter is already in a group, or if an option is unknown or out of range.
        """
        if not (isinstance(param_group, dict) and "params" in param_group):
            raise TypeError(
                f'a parameter group must be a dict with a "params" entry, got {param_group!r}'
            )
        params = _as_list(param_group["params"])
        group = {**self.defaults, **self._to_python(param_group), "params": params}
        if unknown := set(group) - {*self.defaults, "params"}:
            raise ValueError(
                f"unknown option {min(unknown)!r}; the options are {', '.join(self.defaults)}"
            )
        for i, parameter in enumerate(params):
            if not (
                isinstance(parameter, Tensor) and parameter.requires_grad and parameter.is_leaf
            ):
                raise TypeError(
                    f"can't optimize a non-leaf Tensor: parameter {i} must be a leaf that requires "
                    f"grad, got {parameter!r}"
                )
        parameters = self._parameters() + params
        if len(set(parameters)) != len(parameters):
            raise ValueError("some parameters appear in more than one parameter group, or twice")
        self._check_group(group)
        self.param_groups.append(group)

    @staticmethod
    def _to_python(options: Group) -> Group:
        """Return the options, without the parameters, as Python numbers and `betas` as a tuple."""
        values = {name: to_python(value) for name, value in options.items() if name != "params"}
        if isinstance(values.get("betas"), list):
            values["betas"] = tuple(values["betas"])
        return values

    def __repr__(self) -> str:
        groups = (
            [f"parameters: {len(group['params'])}", *(f"{k}={group[k]}" for k in self.defaults)]
            for group in self.param_groups
        )
        return f"{type(self).__name__}({'; '.join(map(', '.join, groups))})"

    def _check_group(self, group: Group) -> None:
        """Raise ValueError if an option is out of range, TypeError if it has a wrong type."""
        betas = group.get("betas", ())
        if "betas" in group and len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {betas}")
        for i, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(
                    f"Invalid beta parameter at index {i}: {beta}; expected a number in [0, 1)"
                )
        for name in (name for name in group if name in _NUMBERS):
            label, value = _LABELS.get(name, name), group[name]
            if not isinstance(value, (int, float)):
                raise TypeError(f"the {label} must be a number, got {value!r}")
            if not 0 <= value < math.inf:
                raise ValueError(
                    f"Invalid {label if name in _LABELS else f'{name} value'}: {value}; expected a "
                    "finite number of at least 0"
                )
        for name in (name for name in group if name in _FLAGS):
            if group[name] not in (True, False):
                raise TypeError(f"{name} must be True or False, got {group[name]!r}")
        for dtype in {parameter.dtype for parameter in group["params"]}:
            if group.get("eps") and dtype.type(group["eps"]) == 0:
                raise ValueError(
                    f"eps={group['eps']} rounds to 0 in {dtype}, so a gradient of 0 would give "
                    "nan: choose a larger eps, or keep the parameters in float32"
                )

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Clears the gradients, computes the loss and its gradients, and returns the loss. It is
            called before the update.

        Returns
        -------
        Any
            The loss that `closure` returned; None without a closure.
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
                if decay and self.decoupled_weight_decay:
                    p *= 1 - group["lr"] * decay
                elif decay:
                    g = g + decay * p
                self.update(p, g, self.state.setdefault(p, {}), group)
        return loss

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        """Update one parameter in place.

        Parameters
        ----------
        p : Tensor
            The parameter.
        g : Tensor
            The gradient of `p`, negated with `maximize`; it includes coupled weight decay.
        state : dict
            The state of `p`, which is empty before the first step.
        group : dict
            The options of the parameter group.
        """
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool, default True
            Set the gradients to None; if False, fill the existing gradients with zeros.
        """
        for p in self._parameters():
            p.grad = None if set_to_none or p.grad is None else zeros_like(p)

    def _add_missing(self, p: Tensor, state: State, group: Group) -> None:
        """Add the entries that a parameter's state lacks.

        Before the first step, all entries are missing. Later, an array is missing if the option
        that requires it was set after the first step.
        """
        for name in self.state_counters:
            state.setdefault(name, 0)
        for name in self._arrays_of(group):
            if name not in state:
                state[name] = zeros_like(p)

    def _arrays_of(self, group: Group) -> list[str]:
        """Return the names of the arrays that the options of a group require."""
        return [name for name, option in self.state_arrays.items() if not option or group[option]]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state and the options, on the host.

        Returns
        -------
        dict
            `{"optimizer": "Adam", "state": {parameter index: {...}}, "param_groups": [...]}`.
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
        """Restore a state that `state_dict` returned.

        Parameters
        ----------
        saved : dict
            The state. The state of PyTorch's optimizer of the same name is accepted too, with its
            tensors as NumPy arrays.

        Raises
        ------
        ValueError
            If the state belongs to another class of optimizer or to other parameters, or if it is
            malformed: an invalid option, a missing entry, an array of another shape. The optimizer
            is unchanged in this case.
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
        """Return the checked options of each group and the checked state of each parameter."""
        saved_sizes = [len(group["params"]) for group in saved_groups]
        sizes = [len(group["params"]) for group in self.param_groups]
        if saved_sizes != sizes:
            raise ValueError(
                f"the saved optimizer has parameter groups of sizes {saved_sizes}, but this one "
                f"has groups of sizes {sizes}"
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
                f"the saved state does not belong to {kind}: it lacks the option {min(missing)!r}"
            )
        decoupled = self.decoupled_weight_decay
        if saved.get("decoupled_weight_decay", decoupled) != decoupled:  # PyTorch saves it
            other = "Adam" if decoupled else "AdamW"
            raise ValueError(f"the saved optimizer is {other}, but this one is {kind}")
        options = self._to_python({name: saved[name] for name in self.defaults})
        self._check_group(options | {"params": group["params"]})
        return options

    def _restored_state(self, p: Tensor, group: Group, saved: State) -> State:
        """Return the saved state of a parameter, with arrays as Tensors on its device."""
        state = {
            name: check_count(name, _as_integer(value), 0)
            if name in self.state_counters
            else tree_map(lambda leaf, name=name: self._restored_leaf(p, name, leaf), value)
            for name, value in saved.items()
            if value is not None
        }
        required = [*self.state_counters, *self._arrays_of(group)] if state else []
        if missing := [name for name in required if name not in state]:
            raise ValueError(f"the saved state of a parameter lacks {missing[0]!r}")
        for name in self.state_arrays:
            if not isinstance(state.get(name, p), Tensor):
                raise ValueError(f"the saved {name!r} of a parameter is not an array")
        return state

    def _state_shape(self, p: Tensor) -> tuple[int, ...]:
        """Return the shape of the arrays in the state of `p`."""
        return p.shape

    def _restored_leaf(self, p: Tensor, name: str, value: Any) -> Any:
        """Return an array of the saved state as a Tensor and a number unchanged."""
        shape = self._state_shape(p)
        if name not in self.state_arrays and np.shape(value) != shape:
            value = to_python(value)
        if name not in self.state_arrays and isinstance(value, (int, float, str)):
            return value
        array = np.asarray(value)
        if array.shape != shape:
            raise ValueError(f"the saved array {name!r} has shape {array.shape}, expected {shape}")
        if array.dtype.kind not in "fiu":
            raise ValueError(f"the saved array {name!r} must hold numbers, got {array.dtype}")
        return Tensor(array.astype(p.dtype)).to(p.device)


def _as_list(params: Any) -> list[Any]:
    """Return one parameter or several as a list; `list` would iterate over a Tensor's rows."""
    return [params] if isinstance(params, Tensor) else list(params)


def _on_host(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def _as_integer(count: Any) -> Any:
    """Return a step counter as an int if it is integral; PyTorch saves it as a float."""
    count = to_python(count)
    return int(count) if isinstance(count, float) and count.is_integer() else count
