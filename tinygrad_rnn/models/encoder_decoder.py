"""One sequence read, another written: translation, transcription, anything of that form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from autograd import Tensor, concatenate, flatten, scan, swapaxes, tanh, tree_map, zeros

from .. import nn


class EncoderDecoder(nn.Module):
    """Reads a sequence of symbols with one recurrent network and writes with another, which starts
    from the state that the first has ended in (Sutskever et al. 2014; Cho et al. 2014). Each symbol
    may look back at the memory of the first, all its outputs h_1 ... h_T (Bahdanau et al. 2015), as
    follows (Luong et al. 2015, eqs. 5 and 6, section 3.3):

        s_t = cells(s_{t-1}, [y_{t-1}; z_{t-1}])        y: the embedded symbol
        c_t = attention(s_t, h)                         z_0 = 0
        z_t = tanh(W_c [c_t; s_t])                      without attention z_t = s_t, not fed back
        p(y_t | y_1 ... y_{t-1}, source) = softmax(W_s z_t)

    `encoder` is any recurrent layer. It says what the rest is like: embeddings are of its
    input_size, the cells that write are like its own, as many as it has layers, and run with its
    checkpoint, memory_budget and detach_every; symbols are batch first if it is. `attention`, where
    wanted, is a class: `attention(query_size, memory_size)` makes it. A bidirectional encoder's
    last states are mapped to the size of one direction. `dropout` acts on the embedded symbols,
    between the cells and before the scores.

    To write: `state = model.encode(source, lengths)`, and then `sample` or `beam_search` (in
    `models`) with `model.step`.
    """

    def __init__(
        self,
        source_symbols: int,
        target_symbols: int,
        encoder: nn.Recurrent,
        attention: Callable[[int, int], nn.Attention] | None = None,
        dropout: float = 0.0,
    ) -> None:
        cell: Any = encoder.cells[0]
        E, H = encoder.input_size, cell.output_size
        self.dropout = nn.Dropout(dropout)
        self.source_embedding = nn.Embedding(source_symbols, E)
        self.target_embedding = nn.Embedding(target_symbols, E)
        self.encoder = encoder
        widths = [leaf.shape[-1] for leaf in flatten(cell.initial_state(1))]
        self.bridges = nn.ModuleList(nn.Linear(2 * n, n) for n in widths * encoder.bidirectional)
        self.attention = None if attention is None else attention(H, encoder.output_size)
        sizes = [E if attention is None else E + H] + [H] * (encoder.num_layers - 1)
        self.cells = nn.ModuleList(map(cell.like, sizes))
        self.combine: Any = None if attention is None else nn.Linear(encoder.output_size + H, H)
        self.readout = nn.Linear(H, target_symbols)

    def forward(self, source: Any, source_lengths: Any, target: Any) -> Tensor:
        """Scores (T', B, V) of what follows each symbol of `target` (T', B), a start symbol and
        then what should be written: teacher forcing.

        `source` (T, B) has `source_lengths` (B) symbols in each sequence (None: all). No score
        depends on a later symbol of the target, so padding there only has to be left out of the
        loss.
        """
        zs, _ = self._run(source, source_lengths, target)
        scores: Tensor = self.readout(self.dropout(zs))
        return self._turned(scores)

    def alignment(self, source: Any, source_lengths: Any, target: Any) -> Tensor:
        """The weights of the attention (B, T', T): how much the symbol that follows each one of the
        target looks at each one of the source. Arguments as in `forward`."""
        if self.attention is None:
            raise ValueError("this model has no attention whose weights could be shown")
        _, weights = self._run(source, source_lengths, target)
        return swapaxes(weights, 0, 1)  # type: ignore[no-any-return]

    def _run(self, source: Any, source_lengths: Any, target: Any) -> tuple[Tensor, Any]:
        """z (T', B, H) and the weights (T', B, T)."""
        memory, carry = self.encode(source, source_lengths)
        ys = self._turned(self.dropout(self.target_embedding(target)))
        step, options = partial(self._step, memory), self.encoder.scan_options
        _, (zs, weights) = scan(step, carry, ys, **options)
        return zs, weights

    def _turned(self, x: Tensor) -> Tensor:
        """From the encoder's order of the axes to time first, or back."""
        return swapaxes(x, 0, 1) if self.encoder.batch_first else x

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

    def encode(self, source: Any, source_lengths: Any = None) -> Any:
        """The state from which to write: the memory, and (s_0, z_0). Every leaf of it has the batch
        first. `source` and `source_lengths` as in `forward`.
        """
        embedded = self.dropout(self.source_embedding(source))
        h, last = self.encoder(embedded, lengths=source_lengths)
        states = self._bridge(last)
        if self.attention is None:
            return None, (states, None)
        z = zeros((flatten(states)[0].shape[0], self.readout.in_features), h.dtype, h.device)
        return self.attention.prepare(self._turned(h), source_lengths), (states, z)

    def _bridge(self, last: Any) -> list[Any]:
        """s_0 for each cell: the encoder's last state in its layer, both directions' mapped to the
        size of one."""
        if self.encoder.bidirectional:
            bridges = iter(self.bridges)
            last = tree_map(
                lambda leaf: next(bridges)(concatenate([leaf[0::2], leaf[1::2]], axis=-1)), last
            )
        return [tree_map(lambda leaf, k=k: leaf[k], last) for k in range(self.encoder.num_layers)]

    def step(self, state: Any, tokens: Any) -> tuple[Any, Tensor]:
        """The new state, and scores (B, V) of what follows the `tokens` (B)."""
        memory, carry = state
        y = self.dropout(self.target_embedding(tokens))
        carry, (z, _) = self._step(memory, carry, y)
        return (memory, carry), self.readout(self.dropout(z))
