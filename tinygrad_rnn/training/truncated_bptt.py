"""Truncated backpropagation through time (TBPTT) for streams.

The gradient of the outputs of each `k1` steps reaches back `k2` steps.

References
----------
Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent
network trajectories". Sutskever 2013, "Training recurrent neural networks", section 2.8.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import autograd as ag
from autograd import Tensor
from autograd.runtime.deprecation import RenamedAttribute

from ..nn.module import to_model_device
from ..scalars import to_python

Model = Callable[[Any, Any], tuple[Any, Any]]


class TruncatedBPTT:
    """Truncated backpropagation through time over a stream that is read in chunks.

    Each call continues the stream: the model starts in the state in which the previous call ended.
    Gradients reach back `k2` steps.

    Parameters
    ----------
    k1 : int
        Maximum number of steps of a chunk.
    k2 : int, optional
        Number of steps that gradients reach back, at least `k1`. The default is `k1`, the usual
        case, which requires no recomputation.
    batch_first : bool, default False
        True if inputs and outputs are (B, T, ...) instead of (T, B, ...).

    Raises
    ------
    ValueError
        If `1 <= k1 <= k2` does not hold.

    Notes
    -----
    `model(inputs, state)` returns `(outputs, state)` and accepts None as the initial state, like a
    recurrent layer or a language model.

    With `k2 > k1` the `k2 - k1` steps before a chunk are recomputed with the current weights.
    Memory is bounded by `k2`. If the weights are constant and `k2` is at least the length of the
    stream, the gradients of all chunks add up to the gradient of the whole stream. Gradients with
    respect to the inputs are computed for the newest chunk only, so an embedding must be part of
    the model.

    The argument `detach_every` of recurrent layers is an alternative for sequences that fit into
    memory: one pass and one loss of all outputs, with gradients that stop at every multiple of
    `detach_every` steps.

    Examples
    --------
    >>> bptt = TruncatedBPTT(k1=16, k2=64)
    >>> for inputs, targets in chunks:  # consecutive chunks of 16 steps
    ...     loss = cross_entropy(bptt(model, inputs), targets)
    ...     loss.backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    """

    def __init__(self, k1: int, k2: int | None = None, batch_first: bool = False) -> None:
        k1, k2 = to_python((k1, k1 if k2 is None else k2))
        if not (isinstance(k1, int) and isinstance(k2, int) and 1 <= k1 <= k2):
            raise ValueError(f"truncated BPTT needs integers 1 <= k1 <= k2, got k1={k1}, k2={k2}")
        self.k1, self.k2, self.axis = k1, k2, int(batch_first)
        self.reset()

    def reset(self) -> None:
        """Start a new stream: the next chunk starts from the initial state of the model."""
        self._window: Tensor | None = None  # inputs of the last call, with recomputed steps
        self._state: Any = None  # state at the start of the window
        self._next_state: Any = None  # state at the start of the next window, if it is shorter

    def __call__(self, model: Model, inputs: Any) -> Tensor:
        """Return the outputs of the model for the next chunk of the stream.

        Parameters
        ----------
        model : callable
            Function `(inputs, state) -> (outputs, state)`.
        inputs : Tensor or array_like, shape (T, B, ...)
            The chunk, with 1 to `k1` steps.

        Returns
        -------
        Tensor, shape (T, B, ...)
            Outputs of the chunk.

        Raises
        ------
        ValueError
            If the chunk has no steps or more than `k1`, or its shape differs from the previous
            chunk in an axis other than time.
        """
        inputs = to_model_device(model, inputs)
        new_steps = inputs.shape[self.axis]
        if not 1 <= new_steps <= self.k1:
            raise ValueError(
                f"a chunk must have 1 to k1={self.k1} steps, got {new_steps} on axis {self.axis} "
                f"of inputs of shape {inputs.shape}; chunks() splits a whole sequence"
            )
        if self._window is not None:
            past_steps = self._window.shape[self.axis]
            if self._shape_without_time(inputs) != self._shape_without_time(self._window):
                raise ValueError(
                    f"a chunk of shape {inputs.shape} cannot continue a stream of chunks of shape "
                    f"{self._window.shape}: all axes but {self.axis} must agree; drop a smaller "
                    "last batch (drop_last=True) or start a new stream with reset()"
                )
            if past_steps + new_steps > self.k2:
                self._state = self._next_state
                window_start = self._next_start(past_steps)
                self._window = self._slice(self._window, window_start, past_steps)
            inputs = ag.concatenate((self._window, inputs), self.axis)
        steps = inputs.shape[self.axis]
        boundary, state, segments = self._next_start(steps), self._state, []
        for start, end in ((0, boundary), (boundary, steps)):
            if start < end:
                outputs, state = model(self._slice(inputs, start, end), state)
                segments.append(outputs)
            if end == boundary:
                self._next_state = ag.tree_map(_detach, state)  # gradients stop here
        self._window = inputs.detach()
        outputs = segments[0] if len(segments) == 1 else ag.concatenate(segments, self.axis)
        newest: Tensor = self._slice(outputs, steps - new_steps, steps)
        return newest

    def _next_start(self, steps: int) -> int:
        """Return where, in a window of `steps` steps, the window of the next full chunk starts."""
        return max(steps + self.k1 - self.k2, 0)

    def chunks(self, model: Model, inputs: Any, targets: Any) -> Iterator[tuple[Tensor, Any]]:
        """Start a new stream and read a whole sequence in chunks of `k1` steps.

        Parameters
        ----------
        model : callable
            Function `(inputs, state) -> (outputs, state)`.
        inputs : Tensor or array_like, shape (T, B, ...)
            The sequence.
        targets : Tensor or ndarray, shape (T, ...)
            The targets.

        Yields
        ------
        outputs : Tensor, shape (k1, B, ...)
            Outputs of a chunk. The last chunk may be shorter.
        targets : Tensor or ndarray, shape (k1, ...)
            Targets of the same steps.

        Raises
        ------
        ValueError
            If the numbers of steps of inputs and targets differ.
        """
        self.reset()
        inputs = to_model_device(model, inputs)
        steps = inputs.shape[self.axis]
        if targets.shape[self.axis] != steps:
            raise ValueError(
                f"targets must have {steps} steps like the inputs, got shape {targets.shape}"
            )
        for start in range(0, steps, self.k1):
            end = min(start + self.k1, steps)
            outputs = self(model, self._slice(inputs, start, end))
            yield outputs, self._slice(targets, start, end)

    def for_evaluation(self) -> TruncatedBPTT:
        """Return a copy at the start of a stream, for evaluation without gradients.

        Returns
        -------
        TruncatedBPTT
            The copy. It recomputes nothing.
        """
        return TruncatedBPTT(self.k1, batch_first=bool(self.axis))

    windows = RenamedAttribute("chunks")
    reader = RenamedAttribute("for_evaluation")

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the stream.

        Returns
        -------
        dict
            Options, and host copies of inputs and model states.
        """
        # The keys are part of the file format: "read" is the window, "later" the next state.
        values = {"read": self._window, "state": self._state, "later": self._next_state}
        arrays = {name: ag.tree_map(_to_host, value) for name, value in values.items()}
        return arrays | {"options": self._options()}

    def _options(self) -> dict[str, Any]:
        return {"k1": self.k1, "k2": self.k2, "batch_first": bool(self.axis)}

    def load_state_dict(self, saved: dict[str, Any], model: Any) -> None:
        """Restore a state of the stream.

        Parameters
        ----------
        saved : dict
            State that `state_dict` returned. Lists are converted to tuples, since files store
            tuples as lists.
        model : nn.Module
            Model on whose device the state is restored.

        Raises
        ------
        ValueError
            If the state was saved with other options.
        """
        current = self._options()
        if (options := saved.get("options", current)) != current:
            raise ValueError(f"the stream was saved with {options}, but this one has {current}")

        def restore(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return tuple(map(restore, value))
            return None if value is None else to_model_device(model, value)

        self._window = restore(saved["read"])
        self._state, self._next_state = restore(saved["state"]), restore(saved["later"])

    def _shape_without_time(self, values: Tensor) -> tuple[int, ...]:
        return values.shape[: self.axis] + values.shape[self.axis + 1 :]

    def _slice(self, values: Any, start: int, end: int) -> Any:
        """Return the steps from `start` to `end`; the same object if these are all steps."""
        if (start, end) == (0, values.shape[self.axis]):
            return values
        return values[(slice(None),) * self.axis + (slice(start, end),)]


def _detach(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def _to_host(leaf: Any) -> Any:
    return leaf.numpy() if isinstance(leaf, Tensor) else leaf
