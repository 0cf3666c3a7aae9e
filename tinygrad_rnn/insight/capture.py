"""Traces of recurrent layers: the gates, states and gradients of every time step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import (
    Tensor,
    flatten,
    gradients,
    reshape,
    scan,
    stack,
    tensor,
    tree_map,
    where,
    zeros_like,
)
from autograd.core.modes import eager_execution
from autograd.runtime.context import contextmanager
from autograd.runtime.deprecation import RenamedAttribute, renamed_parameters

from .. import nn
from ..nn.module import join_names
from ..nn.recurrent.layer import scan_interceptor
from .locals_hook import capture_locals


@dataclass(eq=False)
class LayerTrace:
    """Trace of one cell of a layer, in one direction, during one call.

    `trace["f"]` is a variable of the cell at all time steps, (T, B, H). Time steps are counted
    along the input, also for the backward direction. The graph is recorded, so gradients with
    respect to every variable can be computed.

    Attributes
    ----------
    name : str
        Path of the layer in the model and name of the cell in the layer: "l0", "l0_reverse", "l1".
        The second call of a cell is named "l0 (2)".
    inputs : Tensor, shape (T, B, I)
        Inputs of the cell.
    outputs : Tensor, shape (T, B, ...)
        Outputs of the cell, 0 in the padding.
    steps : list of dict
        Variables of each time step by name: all Tensors whose first axis is the batch. Variables of
        a nested cell are named "inner.f".
    state_names : tuple of str
        Names of the parts of the state. A part that is not a variable of the step is named "state",
        or "state_0", "state_1", ...
    carried_states : list of list of Tensor
        Parts of the state before the first step and after each step in the order of execution:
        T + 1 lists. No other value of the same step depends on these Tensors.
    final_state : list of Tensor
        Parts of the state after the last step of each sequence.
    lengths : ndarray of int, shape (B,)
        Number of time steps of each sequence.
    reverse : bool
        True for the backward direction.
    """

    name: str
    inputs: Tensor
    outputs: Tensor
    steps: list[dict[str, Tensor]]
    state_names: tuple[str, ...]
    carried_states: list[list[Tensor]]
    final_state: list[Tensor]
    lengths: np.ndarray
    reverse: bool

    state = RenamedAttribute("state_names")
    handed = RenamedAttribute("carried_states")
    last = RenamedAttribute("final_state")
    at = RenamedAttribute("per_step")

    def __repr__(self) -> str:
        steps, batch = self.outputs.shape[:2]
        return (
            f"LayerTrace({self.name!r}, steps={steps}, batch={batch}, state={self.state_names}, "
            f"variables={self.names}, reverse={self.reverse})"
        )

    @property
    def names(self) -> list[str]:
        """Names of the variables that exist at every time step."""
        return [name for name in self.steps[0] if all(name in step for step in self.steps)]

    def __getitem__(self, name: str) -> Tensor:
        """Return a variable at all time steps.

        Parameters
        ----------
        name : str
            Name of the variable.

        Returns
        -------
        Tensor, shape (T, B, ...)
            Its values, 0 in the padding.

        Raises
        ------
        KeyError
            If there is no such variable. The message lists all names.
        """
        return self._stack(self.per_step(name))

    def per_step(self, name: str) -> list[Tensor]:
        """Return the Tensors of a variable, with respect to which gradients can be computed.

        Parameters
        ----------
        name : str
            Name of the variable.

        Returns
        -------
        list of Tensor
            T Tensors of shape (B, ...).

        Raises
        ------
        KeyError
            If there is no such variable. The message lists all names.
        """
        if name not in self.names:
            raise KeyError(f"{self.name} has no {name!r} at every step; it has {self.names}")
        return [step[name] for step in self.steps]

    @renamed_parameters(of="output")
    def gradient(self, output: Tensor, name: str) -> Tensor:
        """Return the gradient of a scalar with respect to a variable at each time step.

        Gradients are total derivatives: the gradient with respect to c_t includes the path through
        h_t.

        Parameters
        ----------
        output : Tensor
            A Tensor with one element that was computed from the trace.
        name : str
            Name of the variable.

        Returns
        -------
        Tensor, shape (T, B, ...)
            The gradient.

        Raises
        ------
        KeyError
            If there is no such variable.
        """
        return self._stack(gradients_or_zeros(output, self.per_step(name)))

    def _stack(self, values: list[Tensor]) -> Tensor:
        """Stack the values of all time steps, and set the padding to 0."""
        stacked: Tensor = stack(values)
        T, B = stacked.shape[:2]
        if (self.lengths == T).all():
            return stacked
        mask = (np.arange(T)[:, None] < self.lengths).reshape(T, B, *[1] * (stacked.ndim - 2))
        return where(tensor(mask, device=stacked.device), stacked, 0)  # type: ignore[no-any-return]


def gradients_or_zeros(
    output: Tensor, inputs: list[Tensor], weight: Tensor | None = None
) -> list[Tensor]:
    """Return the gradient with respect to each input, 0 for unused inputs, and keep the graph."""
    results = gradients(output, inputs, weight, retain_graph=True, allow_unused=True)
    pairs = zip(inputs, results, strict=True)
    return [zeros_like(x.detach()) if g is None else g for x, g in pairs]


@contextmanager
def capture(model: nn.Module) -> Iterator[list[LayerTrace]]:
    """Record traces of the recurrent layers of a model inside a `with` block.

    Every step runs in eager execution: no scan is compiled, and checkpointing is ignored. Results,
    gradients and random numbers do not change. Under `no_grad` the traces contain values without
    gradients. The block affects the current thread only. If blocks for the same layer are nested,
    the innermost one records.

    Parameters
    ----------
    model : nn.Module
        A module that is or contains `nn.Recurrent` layers (`nn.LSTM`, `nn.GRU`, ...).

    Yields
    ------
    list of LayerTrace
        The list to which every call inside the block adds one trace per cell: the directions of a
        layer, then the next layer.

    Raises
    ------
    ValueError
        If the model has no recurrent layer.

    Examples
    --------
    >>> with capture(model) as traces:
    ...     outputs, state = model(x)
    >>> traces[0]["f"].shape  # forget gate, (T, B, H)
    """
    layers = {m: path for path, m in model.named_modules() if isinstance(m, nn.Recurrent)}
    if not layers:
        raise ValueError(
            f"model must contain a recurrent layer (nn.Recurrent, nn.LSTM, ...), got "
            f"{type(model).__name__}"
        )
    traces: list[LayerTrace] = []
    calls: Counter[str] = Counter()
    replacements: dict[int, tuple[Tensor, Tensor]] = {}

    def require_grad(leaf: Tensor) -> Tensor:
        """Return a Tensor that requires grad; the same Tensor for both directions."""
        if leaf.requires_grad or leaf.dtype.kind != "f":
            return leaf
        return replacements.setdefault(id(leaf), (leaf, leaf.detach().requires_grad_()))[1]

    def traced_scan(
        layer: nn.Recurrent, k: int, step: Any, state: Any, xs: Any, **options: Any
    ) -> tuple[Any, Any]:
        if layer not in layers:
            return scan(step, state, xs, **options)
        state, xs = tree_map(require_grad, state), tree_map(require_grad, xs)
        recorder = _StepRecorder(step, layer.cells[k], state)
        final_state, ys = scan(recorder, state, xs, **options)
        number, reverse = divmod(k, layer.directions)
        name = join_names(layers[layer], f"l{number}" + ("_reverse" if reverse else ""))
        calls[name] += 1
        T, B = ys.shape[:2]
        lengths = options["lengths"]
        traces.append(
            LayerTrace(
                name=name + (f" ({calls[name]})" if calls[name] > 1 else ""),
                inputs=flatten(xs)[0],
                outputs=ys,
                steps=recorder.steps[::-1] if reverse else recorder.steps,
                state_names=recorder.state_names,
                carried_states=recorder.carried_states,
                final_state=flatten(final_state),
                lengths=np.full(B, T) if lengths is None else tensor(lengths).numpy(),
                reverse=bool(reverse),
            )
        )
        return final_state, ys

    with scan_interceptor.block(traced_scan), eager_execution.block(True):
        yield traces


class _StepRecorder:
    """Step function that records the variables and states of each call in execution order."""

    def __init__(self, step: Callable[..., Any], cell: nn.Module, initial_state: Any) -> None:
        self.step = step
        self.cell_paths = {id(module): path for path, module in cell.named_modules()}
        self.steps: list[dict[str, Tensor]] = []
        self.carried_states: list[list[Tensor]] = [flatten(initial_state)]
        self.state_names: tuple[str, ...] = ()

    def __call__(self, state: Any, x: Any) -> tuple[Any, Any]:
        variables: dict[str, Any] = {}
        outermost: list[Any] = []

        def on_return(path: str, assigned: dict[str, Any], result: Any) -> None:
            variables.update({join_names(path, name): value for name, value in assigned.items()})
            outermost[:] = [result, assigned]

        with capture_locals(on_return, self.cell_paths):
            new_state, y = self.step(state, x)
        parts = flatten(new_state)
        if not self.state_names:
            self.state_names = _state_names(outermost, len(parts))
        B = len(self.carried_states[0][0])
        batched = {
            name: value
            for name, value in variables.items()
            if isinstance(value, Tensor) and value.shape[:1] == (B,)
        }
        self.steps.append(batched | dict(zip(self.state_names, parts, strict=True)))
        # a separate node for the carried state, on which nothing else at this step depends
        new_state = tree_map(lambda leaf: reshape(leaf, leaf.shape), new_state)
        self.carried_states.append(flatten(new_state))
        return new_state, y


def _state_names(outermost: list[Any], count: int) -> tuple[str, ...]:
    """Return the names of the variables that hold the parts of the state that a step returns."""
    result, variables = outermost or (((), None), {})
    parts = flatten(result[0])
    if len(parts) != count:
        parts = [None] * count
    names: list[str] = []
    for i, part in enumerate(parts):
        matches = [
            name
            for name, value in variables.items()
            if value is part and part is not None and name not in names
        ]
        default = f"state_{i}" if count > 1 else "state"
        names.append(matches[0] if matches else default)
    return tuple(names)
