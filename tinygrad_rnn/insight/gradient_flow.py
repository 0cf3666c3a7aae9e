"""How gradients flow through time, what a state remembers, and what an output looked at.

Hochreiter (1991), and Bengio, Simard & Frasconi (1994, "Learning long-term dependencies with
gradient descent is difficult"): d s_T / d s_t is a product of T - t Jacobians, and shrinks or grows
like a power of T - t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from autograd import Tensor, enable_grad, random, stack, zeros_like
from autograd.runtime.deprecation import renamed_parameters

from .. import nn
from ..summary import summary_repr
from .capture import LayerTrace, capture, gradients_or_zeros

T = TypeVar("T")


@dataclass(eq=False)
class Flow:
    """The gradient of a loss with respect to the state of one cell at each time."""

    gradients: dict[str, np.ndarray]
    """By the name of the part of the state, "h" or "c": (T, B, H), in double precision."""

    __repr__ = summary_repr

    def per_sequence(self, *names: str) -> np.ndarray:
        """Its norm for each sequence (T, B), with respect to all parts of the state together, or to
        those named.
        """
        parts = [self.gradients[name] for name in names or self.gradients]
        return _norms(np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], -1))

    def norms(self, *names: str) -> np.ndarray:
        """Its norm at each time (T), that of the gradients of all sequences as one vector: the root
        of the sum over the batch of the squares. (A loss that is the mean over a batch of B has
        gradients of 1/B.)
        """
        return _norms(self.per_sequence(*names))


def gradient_flow(
    model: nn.Module, *args: Any, loss: Callable[[Any], Tensor], **options: Any
) -> dict[str, Flow]:
    """The gradient of `loss(model(*args, **options))`, one number, with respect to the state at
    each time, for each cell of the model's recurrent layers: {"l0": Flow} for one layer.

    dE/dh_t and dE/dc_t are whole derivatives: the second contains what c_t does by way of h_t. At
    times beyond a sequence's end they are 0. Cells have the names of their traces (see
    `LayerTrace`). No `.grad` is written, and the random state is restored.

    Raises ValueError if no recurrent layer runs, RuntimeError if the loss does not come from what
    was computed, or is not one number.
    """
    runs, error = _watched(model, lambda: loss(model(*args, **options)))
    wanted = [
        (run, name) for run in runs for name in run.state_names if _is_float(run.per_step(name)[0])
    ]
    found = iter(gradients_or_zeros(error, [t for run, name in wanted for t in run.per_step(name)]))
    flows = {run.name: Flow({}) for run in runs}
    for run, name in wanted:
        array = stack([next(found) for _ in run.steps]).numpy()
        flows[run.name].gradients[name] = array.astype(np.float64)
    return flows


@renamed_parameters(of="score")
def saliency(
    model: nn.Module,
    *args: Any,
    score: Callable[[Any], Tensor],
    times_input: bool = False,
    **options: Any,
) -> np.ndarray:
    """How much `score(model(*args, **options))` depends on what was read at each time: (T, B).

    `score` picks one number for each sequence (or one in all) from what the model returns: that
    of a class, say. What was read is what the first recurrent layer that runs gets at each step:
    after an embedding, the vector of the symbol. The result is the norm of the gradient with
    respect to it (Simonyan et al. 2014, "Deep inside convolutional networks", section 3), or, with
    `times_input`, the product of the two, which has a sign (Li et al. 2016, "Visualizing and
    understanding neural models in NLP", for language). The stream of random numbers is put back.

    Raises ValueError if no recurrent layer runs.
    """
    runs, output = _watched(model, lambda: score(model(*args, **options)).sum())
    xs = runs[0].inputs
    gradient = gradients_or_zeros(output, [xs])[0].numpy().astype(np.float64)
    result: np.ndarray = (gradient * xs.numpy()).sum(-1) if times_input else _norms(gradient)
    return result


@renamed_parameters(run="trace", of="end", by="start")
def jacobian(trace: LayerTrace, end: str | None = None, start: str | None = None) -> np.ndarray:
    """d s_end / d s_start by the lag between the two: (T + 1, B, n, m), in double precision.

    s_end is the state after a sequence's own last step, s_start the one so many steps before, and
    that before the first step at the lag that is the sequence's length; beyond, there are zeros. It
    is the product of the Jacobians of the steps in between, whose inputs stay: with respect to c, h
    at the same step stays too. `end` and `start` name a part of the state ("h", "c") for each of
    the two; None: all, side by side.

    It takes a sweep through all steps for each of the n entries of s_end.
    """
    ends = [trace.final_state[i] for i in _parts(trace, end)]
    columns = _parts(trace, start)
    starts = [parts[i] for parts in trace.carried_states for i in columns]
    rows = []
    for state in ends:
        for unit in np.ndindex(state.shape[1:]):
            weight = zeros_like(state.detach())
            weight[(slice(None), *unit)] = 1
            found = gradients_or_zeros(state, starts, weight)
            joined = [g.numpy().reshape(len(g), -1) for g in found]
            n = len(columns)
            rows.append([np.concatenate(joined[t : t + n], -1) for t in range(0, len(joined), n)])
    executed = np.stack([np.asarray(row, np.float64) for row in rows], axis=2)  # (T + 1, B, n, m)
    by_lag = np.zeros_like(executed)
    for b, length in enumerate(trace.lengths):
        last = len(trace.steps) if trace.reverse else length  # the backward direction starts late
        by_lag[:length, b] = executed[last - length + 1 : last + 1, b][::-1]
        by_lag[length, b] = executed[0, b]
    return by_lag


@renamed_parameters(run="trace", of="end", by="start")
def memory(trace: LayerTrace, end: str | None = None, start: str | None = None) -> np.ndarray:
    """How much of the past is still felt: the largest singular value of the Jacobian at each lag,
    (T + 1, B). A change of the state that long ago has at most so many times its size
    now.
    """
    norms: np.ndarray = np.linalg.norm(jacobian(trace, end, start), 2, axis=(-2, -1))
    return norms


def _watched(model: nn.Module, function: Callable[[], T]) -> tuple[list[LayerTrace], T]:
    """Run a function that calls the model; return traces and result. All is recorded, and
    the random stream does not move. ValueError if no recurrent layer runs.
    """
    with random.replay(random.get_state()), enable_grad(), capture(model) as runs:
        result = function()
    if not runs:
        raise ValueError(f"{type(model).__name__} has run none of its recurrent layers")
    return runs, result


def _norms(vectors: np.ndarray) -> np.ndarray:
    """Return the Euclidean norms along the last axis.

    Each vector is divided by its largest element first: gradients that vanish or explode through
    time have squares that underflow or overflow.
    """
    largest = np.abs(vectors).max(-1, keepdims=True, initial=0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    norms: np.ndarray = np.linalg.norm(vectors / scale, axis=-1) * scale[..., 0]
    return norms


def _is_float(value: Tensor) -> bool:
    return value.dtype.kind == "f"


def _parts(run: LayerTrace, name: str | None) -> list[int]:
    """The places of a part of the state, or of all that can be differentiated."""
    if name is None:
        return [i for i, part in enumerate(run.final_state) if _is_float(part)]
    if name not in run.state_names:
        raise ValueError(f"the state of {run.name} has no part {name!r}, but {run.state_names}")
    return [run.state_names.index(name)]
