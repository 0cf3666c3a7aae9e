"""Recurrent cells: one step in time, written as the textbook writes it.

A cell has `initial_state(batch)`, `step(state, x) -> (state, y)` and, if it can, `precompute(xs)`:
what does not depend on the state, for all time steps at once. `step` then gets one time step of
that as its x. Cells are pure functions of state, input and parameters; everything over time is done
by `Recurrent`.
"""

from __future__ import annotations

import math
from typing import Any

from autograd import Tensor, linear, sigmoid, split, tanh, tree_map, zeros

from . import init
from .module import Module, Parameter, parameter


class Cell(Module):
    """What every cell shares: being called as PyTorch's cells are, `cell(x, state)`."""

    input_size: int

    def initial_state(self, batch: int) -> Any:
        """The state before the first step, for so many sequences."""
        raise NotImplementedError

    def precompute(self, xs: Any) -> Any:
        """What does not depend on the state; xs (..., input_size)."""
        return xs

    def step(self, state: Any, x: Any) -> tuple[Any, Tensor]:
        """One step: the new state and the output (B, hidden)."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """One step from input (B, I), or (I) without a batch; returns the new state."""
        if x.ndim == 1:
            state = None if state is None else tree_map(lambda leaf: leaf.reshape(1, -1), state)
            return tree_map(lambda leaf: leaf[0], self.forward(x.reshape(1, -1), state))
        check_input(x, self.input_size)
        state = self.initial_state(x.shape[0]) if state is None else state
        return self.step(state, self.precompute(x))[0]


def check_input(x: Tensor, input_size: int) -> None:
    """Raise ValueError, in the words that users know, if the last axis is not `input_size`."""
    if x.shape[-1] != input_size:
        raise ValueError(
            f"input.size(-1) must be equal to input_size. Expected {input_size}, got {x.shape[-1]}"
        )


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al.
    2000):

        i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)        c' = f * c + i * g
        f = sigmoid(W_if x + b_if + W_hf h + b_hf)        h' = o * tanh(c')
        g =    tanh(W_ig x + b_ig + W_hg h + b_hg)
        o = sigmoid(W_io x + b_io + W_ho h + b_ho)

    State (h, c), each (B, H); output h'. weight_ih (4H, I), weight_hh (4H, H), bias_ih and bias_hh
    (4H) stack the gates in the order i, f, g, o and start from U(-1/sqrt(H), 1/sqrt(H)).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size

        def make(*shape: int) -> Parameter:
            bound = 1 / math.sqrt(hidden_size) if hidden_size else 0.0
            made = parameter(*shape, device=device, dtype=dtype)
            init.uniform_(made, -bound, bound)
            return made

        self.weight_ih = make(4 * hidden_size, input_size)
        self.weight_hh = make(4 * hidden_size, hidden_size)
        self.bias_ih = make(4 * hidden_size) if bias else None
        self.bias_hh = make(4 * hidden_size) if bias else None

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        like = self.weight_hh
        state = zeros((batch, self.hidden_size), like.dtype, like.device)
        return state, state

    def precompute(self, xs: Tensor) -> Tensor:
        gates: Tensor = linear(xs, self.weight_ih)
        if self.bias_ih is None or self.bias_hh is None:
            return gates
        return gates + (self.bias_ih + self.bias_hh)

    def step(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        h, c = state
        i, f, g, o = split(x + linear(h, self.weight_hh), 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h, c), h

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + (
            "" if self.bias_ih is not None else ", bias=False"
        )
