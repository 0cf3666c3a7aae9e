"""One sequence read, another written: translation, transcription, anything of that form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd import Tensor, concatenate, flatten, tree_map

from .. import nn
from .decoder import Decoder


class EncoderDecoder(Decoder):
    """Reads a sequence of symbols with one recurrent network and writes with another, which starts
    from the state that the first has ended in (Sutskever et al. 2014; Cho et al. 2014). Each symbol
    may look back at the memory of the first, all its outputs h_1 ... h_T: the equations are those
    of `Decoder`.

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
        self.source_embedding = nn.Embedding(source_symbols, encoder.input_size)
        self.encoder = encoder
        widths = [leaf.shape[-1] for leaf in flatten(cell.initial_state(1))]
        self.bridges = nn.ModuleList(nn.Linear(2 * n, n) for n in widths * encoder.bidirectional)
        super().__init__(
            target_symbols, cell, encoder.num_layers, encoder.output_size, attention, dropout
        )
        self.batch_first, self.scan_options = encoder.batch_first, encoder.scan_options

    def forward(self, source: Any, source_lengths: Any, target: Any) -> Tensor:
        """Scores (T', B, V) of what follows each symbol of `target` (T', B), a start symbol and
        then what should be written: teacher forcing.

        `source` (T, B) has `source_lengths` (B) symbols in each sequence (None: all). No score
        depends on a later symbol of the target, so padding there only has to be left out of the
        loss.
        """
        return self.written(self.encode(source, source_lengths), target)[0]

    def alignment(self, source: Any, source_lengths: Any, target: Any) -> Tensor:
        """The weights of the attention (B, T', T): how much the symbol that follows each one of the
        target looks at each one of the source. Arguments as in `forward`."""
        return self.look(self.encode(source, source_lengths), target)

    def encode(self, source: Any, source_lengths: Any = None) -> Any:
        """The state from which to write: the memory, and (s_0, z_0). Every leaf of it has the batch
        first. `source` and `source_lengths` as in `forward`.
        """
        embedded = self.dropout(self.source_embedding(source))
        h, last = self.encoder(embedded, lengths=source_lengths)
        return self.begin(self._bridge(last), self.turned(h), source_lengths)

    def _bridge(self, last: Any) -> list[Any]:
        """s_0 for each cell: the encoder's last state in its layer, both directions' mapped to the
        size of one."""
        if self.encoder.bidirectional:
            bridges = iter(self.bridges)
            last = tree_map(
                lambda leaf: next(bridges)(concatenate([leaf[0::2], leaf[1::2]], axis=-1)), last
            )
        return [tree_map(lambda leaf, k=k: leaf[k], last) for k in range(self.encoder.num_layers)]
