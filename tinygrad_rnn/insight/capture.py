"""Recurrent layers watched while they run.

A cell's equations stand in its `step`, and its local variables have the names that the equations
give things: i, f, g, o, c, h. So what a cell computes at a step is what these variables hold when
`step` returns, and no cell, one of the user's own either, has to do anything to be watched.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FrameType
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
from autograd.compile import eager_execution
from autograd.runtime.context import Undo, context
from autograd.runtime.deprecation import RenamedAttribute

from .. import nn
from ..nn.module import join_names
from ..nn.recurrent.layer import scan_interceptor


@dataclass(eq=False)
class LayerTrace:
    """What one cell of a layer, in one direction, computed in one call: `run["f"]` (T, B, H).

    Times are those of the input, in the backward direction too. Everything is recorded, so that
    gradients with respect to anything can be had.
    """

    name: str
    """The layer's own name in the model, and "l0", "l0_reverse", "l1", ... for the cell in it; what
    runs again is "l0 (2)"."""
    inputs: Tensor
    """What the cell read (T, B, I)."""
    outputs: Tensor
    """(T, B, ...), 0 beyond a sequence's end."""
    steps: list[dict[str, Tensor]]
    """For each time the variables of the cell's `step` when it returned, by name: all Tensors whose
    first axis is the batch. Those of a cell inside the cell are called "inside.f"."""
    state_names: tuple[str, ...]
    """The names of the parts of the state. One that no variable holds is called "state", or
    "state_0", "state_1", ... where there are several."""
    carried_states: list[list[Tensor]]
    """The parts of the state in the order of execution, from the initial state on, as each step
    hands them to the next: T + 1 times tensors on which nothing else at the same step depends."""
    final_state: list[Tensor]
    """The parts of the state after each sequence's own last step."""
    lengths: np.ndarray
    """The number of steps of each sequence (B)."""
    reverse: bool
    """Whether it ran backward in time."""

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
        """What there is at every step."""
        return [name for name in self.steps[0] if all(name in step for step in self.steps)]

    def __getitem__(self, name: str) -> Tensor:
        """The values of a variable at all times (T, B, ...), 0 beyond a sequence's end; KeyError
        that lists the names if there is none of this name.
        """
        return self._over_time(self.per_step(name))

    def per_step(self, name: str) -> list[Tensor]:
        """The same as a list of T tensors (B, ...): the very ones that were computed, to ask for
        gradients with respect to them.
        """
        if name not in self.names:
            raise KeyError(f"{self.name} has no {name!r} at every step; it has {self.names}")
        return [step[name] for step in self.steps]

    def gradient(self, output: Tensor, name: str) -> Tensor:
        """The gradient of a number with respect to a variable at each time (T, B, ...).

        It is the whole derivative: that with respect to c_t contains what c_t does by way of h_t.
        """
        return self._over_time(gradients_or_zeros(output, self.per_step(name)))

    def _over_time(self, values: list[Tensor]) -> Tensor:
        joined: Tensor = stack(values)
        T, B = joined.shape[:2]
        if (self.lengths == T).all():
            return joined
        running = (np.arange(T)[:, None] < self.lengths).reshape(T, B, *[1] * (joined.ndim - 2))
        return where(tensor(running, device=joined.device), joined, 0)  # type: ignore[no-any-return]


def gradients_or_zeros(
    output: Tensor, inputs: list[Tensor], weight: Tensor | None = None
) -> list[Tensor]:
    """The gradient of a number, or of a tensor with weights, with respect to each of some tensors;
    0 where it does not depend on one. The graph stays.
    """
    found = gradients(output, inputs, weight, retain_graph=True, allow_unused=True)
    return [zeros_like(x.detach()) if g is None else g for x, g in zip(inputs, found, strict=True)]


@context
def capture(model: nn.Module) -> Iterator[list[LayerTrace]]:
    """Record what the recurrent layers of a model compute inside a `with` block.

    Every step runs in eager execution: no scan is compiled, and checkpointing is ignored. Results,
    gradients and random numbers do not change. Under `no_grad` the traces contain values without
    gradients. The block affects the current thread only. If blocks for the same layer are nested,
    the innermost one records.

    Parameters
    ----------
    model
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
            f"{type(model).__name__} has no recurrent layer to watch: no nn.Recurrent, nn.LSTM, ..."
        )
    runs: list[LayerTrace] = []
    calls: Counter[str] = Counter()
    asked: dict[int, tuple[Tensor, Tensor]] = {}

    def recorded(leaf: Tensor) -> Tensor:
        """A tensor that requires its gradient, the same one for both directions."""
        if leaf.requires_grad or leaf.dtype.kind != "f":
            return leaf
        return asked.setdefault(id(leaf), (leaf, leaf.detach().requires_grad_()))[1]

    def run(
        layer: nn.Recurrent, k: int, step: Any, state: Any, xs: Any, **options: Any
    ) -> tuple[Any, Any]:
        if layer not in layers:
            return scan(step, state, xs, **options)
        state, xs = tree_map(recorded, state), tree_map(recorded, xs)
        seen = _Steps(step, layer.cells[k], state)
        last, ys = scan(seen, state, xs, **options)
        number, backward = divmod(k, layer.directions)
        name = join_names(layers[layer], f"l{number}" + ("_reverse" if backward else ""))
        calls[name] += 1
        T, B = ys.shape[:2]
        lengths = options["lengths"]
        runs.append(
            LayerTrace(
                name + (f" ({calls[name]})" if calls[name] > 1 else ""),
                flatten(xs)[0],
                ys,
                seen.steps[::-1] if backward else seen.steps,
                seen.names,
                seen.carried_states,
                flatten(last),
                np.full(B, T) if lengths is None else tensor(lengths).numpy(),
                bool(backward),
            )
        )
        return last, ys

    with scan_interceptor.block(run), eager_execution.block(True):
        yield runs


class _Steps:
    """A cell's step, that keeps what it sees of each call, in the order of execution."""

    def __init__(self, step: Callable[..., Any], cell: nn.Module, start: Any) -> None:
        self.step = step
        self.inside = {id(module): path for path, module in cell.named_modules()}
        self.steps: list[dict[str, Tensor]] = []
        self.carried_states: list[list[Tensor]] = [flatten(start)]
        self.names: tuple[str, ...] = ()

    def __call__(self, state: Any, x: Any) -> tuple[Any, Any]:
        variables: dict[str, Any] = {}
        own: list[Any] = []

        def returned(path: str, found: dict[str, Any], result: Any) -> None:
            variables.update({join_names(path, name): value for name, value in found.items()})
            own[:] = [result, found]

        with _at_returns(returned, self.inside):
            new, y = self.step(state, x)
        parts = flatten(new)
        if not self.names:
            self.names = _names(own, len(parts))
        B = len(self.carried_states[0][0])
        kept = {n: v for n, v in variables.items() if isinstance(v, Tensor) and v.shape[:1] == (B,)}
        self.steps.append(kept | dict(zip(self.names, parts, strict=True)))
        new = tree_map(lambda leaf: reshape(leaf, leaf.shape), new)  # a node for what is handed on
        self.carried_states.append(flatten(new))
        return new, y


def _names(own: list[Any], count: int) -> tuple[str, ...]:
    """What the parts of a state are called by the variables of the step that made it."""
    result, variables = own or (((), None), {})
    parts = flatten(result[0])
    if len(parts) != count:
        parts = [None] * count
    names = []
    for i, part in enumerate(parts):
        held = [name for name, value in variables.items() if value is part and part is not None]
        held = [name for name in held if name not in names]
        names.append(held[0] if held else f"state_{i}" if count > 1 else "state")
    return tuple(names)


def _at_returns(
    returned: Callable[[str, dict[str, Any], Any], None], paths: dict[int, str]
) -> Undo[None]:
    """Return a context manager in which `returned(path, variables, result)` is called whenever the
    method `step` of a cell returns, with the variables that are not as they were passed to it.
    `paths` are those of the cells inside another, by identity; whatever other cell there is, is
    that one (or a copy of it).

    Python's profiling hook is what tells of returns; who else profiles this thread goes on after.
    """
    arguments: list[dict[str, Any]] = []

    def hook(frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or code.co_name != "step" or not code.co_argcount:
            return
        variables = dict(frame.f_locals)
        cell = variables.get(code.co_varnames[0])
        if not isinstance(cell, nn.Cell):
            return
        if event == "call":
            arguments.append(variables)
            return
        if not arguments:
            return  # the call began before this block
        given = arguments.pop()
        new = {name: v for name, v in variables.items() if v is not given.get(name)}
        returned(paths.get(id(cell), ""), new, result)

    before: Any = sys.getprofile()
    # cProfile's hook is not one that setprofile takes
    undo = before.enable if hasattr(before, "enable") else partial(sys.setprofile, before)
    return Undo(partial(sys.setprofile, hook), undo)
