"""The half of a model that writes: symbol by symbol, from a state that something else has made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from autograd import Tensor, concatenate, flatten, scan, swapaxes, tanh, zeros

from .. import nn


class Decoder(nn.Module):
    """Derive from this to write sequences about something: say what it is read with, and in
    `encode` from which state to `begin`.

    Each symbol may look at a memory h_1 ... h_T of what was read (Bahdanau et al. 2015), as follows
    (Luong et al. 2015, eqs. 5 and 6, section 3.3):

        s_t = cells(s_{t-1}, [y_{t-1}; z_{t-1}])        y: the embedded symbol
        c_t = attention(s_t, h)                         z_0 = 0
        z_t = tanh(W_c [c_t; s_t])                      without attention z_t = s_t, not fed back
        p(y_t | y_1 ... y_{t-1}, what was read) = softmax(W_s z_t)

    Symbols are embedded in vectors of the input_size of `cell`, and `num_layers` cells like it
    write. `attention`, where wanted, is a class: `attention(query_size, memory_size)` makes it.
    `dropout` acts on the embedded symbols, between the cells and before the scores.
    """

    batch_first = False
    """Whether symbols, scores and memory come with the batch first."""
    scan_options: Mapping[str, Any] = MappingProxyType({})
    """With which the cells run over time."""

    def __init__(
        self,
        symbols: int,
        cell: nn.Cell,
        num_layers: int,
        memory_size: int,
        attention: Callable[[int, int], nn.Attention] | None,
        dropout: float,
    ) -> None:
        E, H = cell.input_size, cell.output_size
        self.dropout = nn.Dropout(dropout)
        self.target_embedding = nn.Embedding(symbols, E)
        self.attention = None if attention is None else attention(H, memory_size)
        sizes = [E if attention is None else E + H] + [H] * (num_layers - 1)
        self.cells = nn.ModuleList(map(cell.like, sizes))
        self.combine: Any = None if attention is None else nn.Linear(memory_size + H, H)
        self.readout = nn.Linear(H, symbols)

    def begin(self, states: list[Any], memory: Any, lengths: Any = None) -> Any:
        """The state from which to write, from s_0 of each cell and the memory (T, B, C) with its
        `lengths`: the memory as attention wants it, and (s_0, z_0). Every leaf has the batch first.
        """
        if self.attention is None:
            return None, (states, None)
        s = flatten(states)[0]
        z = zeros((len(s), self.readout.in_features), s.dtype, s.device)
        return self.attention.prepare(memory, lengths), (states, z)

    def written(self, state: Any, target: Any) -> tuple[Tensor, Any]:
        """From `begin`: scores (T', B, V) of what follows each symbol of `target` (T', B), and the
        weights of the attention (B, T', T): teacher forcing.
        """
        memory, carry = state
        ys = self.turned(self.dropout(self.target_embedding(target)))
        _, (zs, weights) = scan(partial(self._step, memory), carry, ys, **self.scan_options)
        scores: Tensor = self.readout(self.dropout(zs))
        return self.turned(scores), None if weights is None else swapaxes(weights, 0, 1)

    def look(self, state: Any, target: Any) -> Tensor:
        """The weights of `written`; ValueError without attention."""
        if self.attention is None:
            raise ValueError("this model has no attention whose weights could be shown")
        return self.written(state, target)[1]  # type: ignore[no-any-return]

    def turned(self, x: Tensor) -> Tensor:
        """From the order of the axes outside to time first, or back."""
        return swapaxes(x, 0, 1) if self.batch_first else x

    def _step(self, memory: Any, carry: Any, y: Tensor) -> tuple[Any, Any]:
        """From (s_{t-1}, z_{t-1}) and y_{t-1} (B, E) to those of t; the output is z_t and the
        weights."""
        states, z = carry
        x = y if z is None else concatenate([y, z], axis=-1)
        new = []
        cell: Any
        for k, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
            state, x = cell.step(state, cell.precompute(self.dropout(x) if k else x))
            new.append(state)
        s = x
        if self.attention is None:
            return (new, None), (s, None)
        c, weights = self.attention(s, memory)
        z = tanh(self.combine(concatenate([c, s], axis=-1)))
        return (new, z), (z, weights)

    def step(self, state: Any, tokens: Any) -> tuple[Any, Tensor]:
        """The new state, and scores (B, V) of what follows the `tokens` (B)."""
        memory, carry = state
        y = self.dropout(self.target_embedding(tokens))
        carry, (z, _) = self._step(memory, carry, y)
        return (memory, carry), self.readout(self.dropout(z))
