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

Model = Callable[[Any, Any], tuple[Any, Any]]


def beside(model: Any, values: Any) -> Tensor:
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
    k2 no shorter than the stream, the gradients of its pieces sum to that of the whole.

    `model(inputs, state)` returns `(outputs, state)` and takes None for the state in which a stream
    begins: any recurrent layer, a language model, a module of one's own. Gradients reach what
    `inputs` were computed from for the newest piece only, so an embedding belongs into the model.
    A relative in one pass is `detach_every` of the recurrent layers: there the loss is of all
    outputs, and gradients reach back to the last multiple of so many steps.
    """

    def __init__(self, k1: int, k2: int | None = None, batch_first: bool = False) -> None:
        k2 = k1 if k2 is None else k2
        if not 1 <= k1 <= k2:
            raise ValueError(f"truncated BPTT needs 1 <= k1 <= k2 steps, not k1={k1}, k2={k2}")
        self.k1, self.k2, self.axis = k1, k2, int(batch_first)
        self.reset()

    def reset(self) -> None:
        """A new stream begins: the next piece starts from the model's initial state."""
        self._state: Any = None
        self._since: Tensor | None = None  # the inputs after that state, to be read again

    def __call__(self, model: Model, inputs: Any) -> Tensor:
        """The outputs for the next piece of the stream, (T, B, ...) with T from 1 to k1.

        ValueError for a piece of no steps or of too many.
        """
        inputs = beside(model, inputs)
        new = inputs.shape[self.axis]
        if not 1 <= new <= self.k1:
            raise ValueError(
                f"a piece has from 1 to k1={self.k1} steps, but axis {self.axis} of inputs of "
                f"shape {inputs.shape} has {new}; windows() cuts a whole sequence into pieces"
            )
        if self._since is not None:
            inputs = ag.concatenate((self._since, inputs), self.axis)
        steps = inputs.shape[self.axis]
        # The next window spans k2 steps, k1 of them still to come: it begins here.
        begin = min(max(steps + self.k1 - self.k2, 0), steps)
        state, outputs, self._since = self._state, [], None
        if begin > 0:
            output, state = model(self._slice(inputs, 0, begin), state)
            outputs.append(output)
            self._state = ag.tree_map(_detached, state)
        if begin < steps:
            rest = self._slice(inputs, begin, steps)
            output, _ = model(rest, state)
            outputs.append(output)
            self._since = rest.detach()
        read = outputs[0] if len(outputs) == 1 else ag.concatenate(outputs, self.axis)
        newest: Tensor = self._slice(read, steps - new, steps)
        return newest

    def windows(self, model: Model, inputs: Any, targets: Any) -> Iterator[tuple[Tensor, Any]]:
        """Read a whole stream, (T, B, ...), in pieces of k1 steps: the outputs of each, with the
        targets of the same steps. The stream begins anew, whatever was read before.
        """
        self.reset()
        inputs = beside(model, inputs)
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
        """Where the stream is: copies on the host of the state and of the inputs since."""
        return ag.tree_map(  # type: ignore[no-any-return]
            lambda leaf: leaf.numpy() if isinstance(leaf, Tensor) else leaf,
            {"state": self._state, "since": self._since},
        )

    def load_state_dict(self, saved: dict[str, Any], model: Any) -> None:
        """Go back to where `state_dict` was taken, on the device of the model's weights. The lists
        that tuples become in a file are tuples again.
        """

        def restored(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return tuple(map(restored, value))
            return None if value is None else beside(model, value)

        self._state, self._since = restored(saved["state"]), restored(saved["since"])

    def _slice(self, values: Any, start: int, end: int) -> Any:
        """Some steps; the very same values if these are all."""
        if (start, end) == (0, values.shape[self.axis]):
            return values
        return values[(slice(None),) * self.axis + (slice(start, end),)]


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf
