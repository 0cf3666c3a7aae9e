"""Truncated back-propagation through time, for streams too long to be differentiated as a whole.

Every k1 steps the gradient of the newest k1 outputs is taken, and it reaches back k2 steps
(Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent
network trajectories"; Sutskever 2013, "Training recurrent neural networks", section 2.8.6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import autograd as ag
from autograd import Tensor

from .. import nn
from ..scalars import to_python

Model = Callable[[Any, Any], tuple[Any, Any]]


def to_model_device(model: Any, values: Any) -> Tensor:
    """Values as a Tensor; arrays come to the device where the model's weights are."""
    if isinstance(values, Tensor):
        return values
    weights = model.parameters() if isinstance(model, nn.Module) else iter(())
    return ag.tensor(values, device=next((weight.device for weight in weights), None))


class TruncatedBPTT:
    """Reads a stream piece by piece: it carries the model's state along, and gradients reach back
    so far and no further.

        bptt = TruncatedBPTT(k1=16, k2=64)
        for inputs, targets in pieces:              # of 16 steps each, one following the other
            loss = cross_entropy(bptt(model, inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    k1: steps of a piece, at most. k2 >= k1: how many steps gradients reach back (default: k1, the
        usual case, in which nothing is computed twice).
    batch_first: the time is the second axis of inputs and outputs, not the first.

    With k2 > k1 the state from k2 steps back is kept, and the steps since are computed again with
    the present weights. So memory is bounded by k2, not by the stream; with weights held fixed and
    k2 no shorter than the stream, the gradients of its pieces sum to that of the whole. Before a
    piece of fewer than k1 steps at a long stream's end, k2 - k1 steps are computed again as well.

    `model(inputs, state)` returns `(outputs, state)` and takes None for the state in which a stream
    begins: any recurrent layer, a language model, a module of one's own. Gradients reach what
    `inputs` were computed from for the newest piece only, so an embedding belongs into the model.
    A relative in one pass is `detach_every` of the recurrent layers: there the loss is of all
    outputs, and gradients reach back to the last multiple of so many steps.
    """

    def __init__(self, k1: int, k2: int | None = None, batch_first: bool = False) -> None:
        k1, k2 = to_python((k1, k1 if k2 is None else k2))
        if not (isinstance(k1, int) and isinstance(k2, int) and 1 <= k1 <= k2):
            raise ValueError(f"truncated BPTT needs 1 <= k1 <= k2 steps, not k1={k1}, k2={k2}")
        self.k1, self.k2, self.axis = k1, k2, int(batch_first)
        self.reset()

    def reset(self) -> None:
        """A new stream begins: the next piece starts from the model's initial state."""
        self._read: Tensor | None = None  # the inputs of the last window,
        self._state: Any = None  # the state in which it began,
        self._later: Any = None  # and the one from which the next begins, if it cannot hold both

    def __call__(self, model: Model, inputs: Any) -> Tensor:
        """The outputs for the next piece of the stream, (T, B, ...) with T from 1 to k1.

        ValueError for a piece of no steps or of too many.
        """
        inputs = to_model_device(model, inputs)
        new = inputs.shape[self.axis]
        if not 1 <= new <= self.k1:
            raise ValueError(
                f"a piece has from 1 to k1={self.k1} steps, but axis {self.axis} of inputs of "
                f"shape {inputs.shape} has {new}; windows() cuts a whole sequence into pieces"
            )
        if self._read is not None:
            past = self._read.shape[self.axis]
            if self._others(inputs) != self._others(self._read):
                raise ValueError(
                    f"a piece of shape {inputs.shape} does not go on with a stream of pieces of "
                    f"shape {self._read.shape}: in all axes but {self.axis} they are alike; leave "
                    "out a smaller last batch (drop_last=True), or begin a new stream (reset())"
                )
            if past + new > self.k2:
                self._state = self._later
                self._read = self._slice(self._read, self._cut(past), past)
            inputs = ag.concatenate((self._read, inputs), self.axis)
        steps = inputs.shape[self.axis]
        cut, state, parts = self._cut(steps), self._state, []
        for start, end in ((0, cut), (cut, steps)):
            if start < end:
                outputs, state = model(self._slice(inputs, start, end), state)
                parts.append(outputs)
            if end == cut:
                self._later = ag.tree_map(_detached, state)
        self._read = inputs.detach()
        outputs = parts[0] if len(parts) == 1 else ag.concatenate(parts, self.axis)
        newest: Tensor = self._slice(outputs, steps - new, steps)
        return newest

    def _cut(self, steps: int) -> int:
        """Where in a window of so many steps the next one begins, which k1 more will complete."""
        return max(steps + self.k1 - self.k2, 0)

    def windows(self, model: Model, inputs: Any, targets: Any) -> Iterator[tuple[Tensor, Any]]:
        """Read a whole stream, (T, B, ...), in pieces of k1 steps: the outputs of each, with the
        targets of the same steps. The stream begins anew, whatever was read before.
        """
        self.reset()
        inputs = to_model_device(model, inputs)
        steps = inputs.shape[self.axis]
        if targets.shape[self.axis] != steps:
            raise ValueError(f"inputs of {steps} steps need as many targets, not {targets.shape}")
        for start in range(0, steps, self.k1):
            end = min(start + self.k1, steps)
            outputs = self(model, self._slice(inputs, start, end))
            yield outputs, self._slice(targets, start, end)

    def reader(self) -> TruncatedBPTT:
        """Another one, at a stream's beginning, for when there are no gradients."""
        return TruncatedBPTT(self.k1, batch_first=bool(self.axis))

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is: copies of states and inputs on the host."""
        values = {"read": self._read, "state": self._state, "later": self._later}
        arrays = {name: ag.tree_map(_on_host, value) for name, value in values.items()}
        return arrays | {"options": self._options()}

    def _options(self) -> dict[str, Any]:
        return {"k1": self.k1, "k2": self.k2, "batch_first": bool(self.axis)}

    def load_state_dict(self, saved: dict[str, Any], model: Any) -> None:
        """Go back to where `state_dict` was taken, on the device of the model's weights. The lists
        that tuples become in a file are tuples again. ValueError if the options were others, for
        which the saved states belong to other steps of the stream.
        """
        own = self._options()
        if (options := saved.get("options", own)) != own:
            raise ValueError(f"the stream was saved with {options}, but this one has {own}")

        def restored(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return tuple(map(restored, value))
            return None if value is None else to_model_device(model, value)

        self._read = restored(saved["read"])
        self._state, self._later = restored(saved["state"]), restored(saved["later"])

    def _others(self, values: Tensor) -> tuple[int, ...]:
        """The shape but for the time."""
        return values.shape[: self.axis] + values.shape[self.axis + 1 :]

    def _slice(self, values: Any, start: int, end: int) -> Any:
        """Some steps; the very same values if these are all."""
        if (start, end) == (0, values.shape[self.axis]):
            return values
        return values[(slice(None),) * self.axis + (slice(start, end),)]


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def _on_host(leaf: Any) -> Any:
    return leaf.numpy() if isinstance(leaf, Tensor) else leaf
