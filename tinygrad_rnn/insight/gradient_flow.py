"""Gradient flow through time, memory of the state, and saliency of inputs.

The Jacobian d s_T / d s_t of a recurrent network is a product of T - t Jacobians, whose norm
shrinks or grows exponentially with T - t.

References
----------
Hochreiter 1991, "Untersuchungen zu dynamischen neuronalen Netzen". Bengio, Simard & Frasconi 1994,
"Learning long-term dependencies with gradient descent is difficult".
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
    """Gradient of a loss with respect to the state of one cell at each time step.

    Attributes
    ----------
    gradients : dict of ndarray, shape (T, B, H)
        Gradients in float64, by the name of the part of the state ("h", "c").
    """

    gradients: dict[str, np.ndarray]

    __repr__ = summary_repr

    def per_sequence(self, *names: str) -> np.ndarray:
        """Return the norm of the gradient for each sequence.

        Parameters
        ----------
        *names : str
            Parts of the state (default: all parts).

        Returns
        -------
        ndarray, shape (T, B)
            Norms over all parts.
        """
        parts = [self.gradients[name] for name in names or self.gradients]
        return _norms(np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], -1))

    def norms(self, *names: str) -> np.ndarray:
        """Return the norm of the gradient of the whole batch.

        If the loss is the mean over B sequences, the gradients scale with 1 / B.

        Parameters
        ----------
        *names : str
            Parts of the state (default: all parts).

        Returns
        -------
        ndarray, shape (T,)
            Norms over all parts and sequences.
        """
        return _norms(self.per_sequence(*names))


def gradient_flow(
    model: nn.Module, *args: Any, loss: Callable[[Any], Tensor], **options: Any
) -> dict[str, Flow]:
    """Compute the gradient of a loss with respect to the state at each time step.

    The gradients are total derivatives: dE/dc_t includes the path through h_t. They are 0 in the
    padding. The `grad` attributes and the random state do not change.

    Parameters
    ----------
    model : nn.Module
        Model with recurrent layers.
    *args, **options
        Arguments of the model.
    loss : callable
        Function of the model's output that returns a Tensor with one element.

    Returns
    -------
    dict of Flow
        The flow of each cell, by the name of its trace (see `LayerTrace`): `{"l0": Flow}` for one
        layer.

    Raises
    ------
    ValueError
        If no recurrent layer runs.
    RuntimeError
        If the loss does not depend on the model or has more than one element.

    Examples
    --------
    >>> flows = gradient_flow(nn.LSTM(3, 8), x, loss=lambda returned: returned[0][-1].sum())
    >>> flows["l0"].norms()  # (T,)
    """
    traces, error = _run_captured(model, lambda: loss(model(*args, **options)))
    parts = [
        (trace, name)
        for trace in traces
        for name in trace.state_names
        if _is_float(trace.per_step(name)[0])
    ]
    states = [state for trace, name in parts for state in trace.per_step(name)]
    gradients = iter(gradients_or_zeros(error, states))
    flows = {trace.name: Flow({}) for trace in traces}
    for trace, name in parts:
        array = stack([next(gradients) for _ in trace.steps]).numpy()
        flows[trace.name].gradients[name] = array.astype(np.float64)
    return flows


@renamed_parameters(of="score")
def saliency(
    model: nn.Module,
    *args: Any,
    score: Callable[[Any], Tensor],
    times_input: bool = False,
    **options: Any,
) -> np.ndarray:
    """Compute how much an output depends on the input of each time step.

    The input is the input of the first recurrent layer that runs: after an embedding, the embedded
    symbol. The random state does not change.

    Parameters
    ----------
    model : nn.Module
        Model with recurrent layers.
    *args, **options
        Arguments of the model.
    score : callable
        Function of the model's output that returns a number per sequence or a single number, such
        as the score of a class.
    times_input : bool, default False
        If False, return the norm of the gradient (Simonyan et al. 2014; Li et al. 2016). If True,
        return the signed product of gradient and input (Shrikumar et al. 2016).

    Returns
    -------
    ndarray, shape (T, B)
        Saliency of each time step.

    Raises
    ------
    ValueError
        If no recurrent layer runs.

    References
    ----------
    Simonyan, Vedaldi & Zisserman 2014, "Deep inside convolutional networks", section 3.

    Li et al. 2016, "Visualizing and understanding neural models in NLP".

    Shrikumar et al. 2016, "Not just a black box: learning important features through propagating
    activation differences".
    """
    traces, output = _run_captured(model, lambda: score(model(*args, **options)).sum())
    inputs = traces[0].inputs
    gradient = gradients_or_zeros(output, [inputs])[0].numpy().astype(np.float64)
    values: np.ndarray = (gradient * inputs.numpy()).sum(-1) if times_input else _norms(gradient)
    return values


@renamed_parameters(run="trace", of="end", by="start")
def jacobian(trace: LayerTrace, end: str | None = None, start: str | None = None) -> np.ndarray:
    """Compute the Jacobian of the last state with respect to earlier states, d s_end / d s_start.

    s_end is the state after the last step of each sequence, and s_start the state `lag` steps
    before. The Jacobian is the product of the Jacobians of the steps in between, with constant
    inputs. If s_start is c, h at the same step is constant.

    Parameters
    ----------
    trace : LayerTrace
        Trace of a cell.
    end, start : str, optional
        Parts of the state ("h", "c"). Default: all parts, concatenated.

    Returns
    -------
    ndarray, shape (T + 1, B, N, M)
        Jacobians in float64 by lag, for N entries of s_end and M of s_start. The last lag of a
        sequence, its length, belongs to the initial state. Longer lags are 0.

    Raises
    ------
    ValueError
        If the state has no such part.

    Notes
    -----
    The computation takes N backward passes over all time steps.
    """
    end_states = [trace.final_state[i] for i in _part_indices(trace, end)]
    start_indices = _part_indices(trace, start)
    start_states = [parts[i] for parts in trace.carried_states for i in start_indices]
    n = len(start_indices)
    rows = []
    for state in end_states:
        for unit in np.ndindex(state.shape[1:]):
            weight = zeros_like(state.detach())
            weight[(slice(None), *unit)] = 1
            gradients = gradients_or_zeros(state, start_states, weight)
            flat = [g.numpy().reshape(len(g), -1) for g in gradients]
            rows.append([np.concatenate(flat[t : t + n], -1) for t in range(0, len(flat), n)])
    executed = np.stack([np.asarray(row, np.float64) for row in rows], axis=2)  # (T + 1, B, N, M)
    by_lag = np.zeros_like(executed)
    for b, length in enumerate(trace.lengths):
        last = len(trace.steps) if trace.reverse else length  # padding comes first in reverse
        by_lag[:length, b] = executed[last - length + 1 : last + 1, b][::-1]
        by_lag[length, b] = executed[0, b]
    return by_lag


@renamed_parameters(run="trace", of="end", by="start")
def memory(trace: LayerTrace, end: str | None = None, start: str | None = None) -> np.ndarray:
    """Compute how strongly the last state depends on earlier states.

    The measure is the largest singular value of the Jacobian: the maximum factor by which a change
    of the state grows until the end.

    Parameters
    ----------
    trace : LayerTrace
        Trace of a cell.
    end, start : str, optional
        Parts of the state ("h", "c"). Default: all parts, concatenated.

    Returns
    -------
    ndarray, shape (T + 1, B)
        Largest singular value by lag; see `jacobian`.

    Raises
    ------
    ValueError
        If the state has no such part.
    """
    norms: np.ndarray = np.linalg.norm(jacobian(trace, end, start), 2, axis=(-2, -1))
    return norms


def _run_captured(model: nn.Module, function: Callable[[], T]) -> tuple[list[LayerTrace], T]:
    """Call a function that runs the model, and return the traces and the result.

    Gradients are recorded, and the random state is restored.
    """
    with random.replay(random.get_state()), enable_grad(), capture(model) as traces:
        result = function()
    if not traces:
        raise ValueError(f"{type(model).__name__} did not run any of its recurrent layers")
    return traces, result


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


def _part_indices(trace: LayerTrace, name: str | None) -> list[int]:
    """Return the index of a part of the state, or the indices of all differentiable parts."""
    if name is None:
        return [i for i, part in enumerate(trace.final_state) if _is_float(part)]
    if name not in trace.state_names:
        raise ValueError(
            f"the state of {trace.name} has no part {name!r}; its parts are {trace.state_names}"
        )
    return [trace.state_names.index(name)]
