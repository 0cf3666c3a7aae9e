"""The encoder-decoder model, for translation and other sequence-to-sequence tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autograd import Tensor, concatenate, flatten, tree_map

from .. import nn
from .decoder import Decoder


class EncoderDecoder(Decoder):
    """Encoder-decoder (sequence-to-sequence) model, optionally with attention.

    A recurrent encoder reads the source. The decoder starts from the encoder's last state, and with
    attention each step attends to all encoder outputs; `Decoder` lists the equations. The last
    states of a bidirectional encoder are mapped to the size of one direction.

    To generate, call `state = model.encode(source, lengths)` and then `models.sample` or
    `models.beam_search` with `model.step`.

    Parameters
    ----------
    source_symbols : int
        Size of the source vocabulary.
    target_symbols : int
        Size V of the target vocabulary.
    encoder : nn.Recurrent
        Any recurrent layer. Its input size is the embedding dimension. The decoder has the same
        number of layers of the same cell, the same `batch_first`, and the same checkpointing and
        detaching options.
    attention : callable, optional
        A class, such as `nn.AdditiveAttention`; `attention(query_size, memory_size)` creates the
        attention.
    dropout : float, default 0.0
        Dropout probability after the embeddings, between the decoder's cells and before the output
        layer.

    References
    ----------
    Sutskever et al. 2014, "Sequence to sequence learning with neural networks".

    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation".

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn import models, nn
    >>> model = models.EncoderDecoder(10, 12, nn.GRU(4, 8), nn.AdditiveAttention)
    >>> source, target = np.ones((5, 2), int), np.ones((3, 2), int)
    >>> model(source, [5, 4], target).shape
    (3, 2, 12)
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
        """Compute the logits of target sequences by teacher forcing.

        The logits do not depend on later target symbols, so padding in the target requires no mask.
        Exclude its logits from the loss.

        Parameters
        ----------
        source : array_like of int, shape (T, B)
            The source sequences; (B, T) with `batch_first`.
        source_lengths : array_like of int, shape (B,), or None
            The lengths of the source sequences; None means T.
        target : array_like of int, shape (T', B)
            The target sequences, which begin with a start symbol.

        Returns
        -------
        Tensor, shape (T', B, V)
            The logits of the symbol after each target symbol.
        """
        return self.decode(self.encode(source, source_lengths), target)[0]

    def alignment(self, source: Any, source_lengths: Any, target: Any) -> Tensor:
        """Return the attention weights.

        Parameters
        ----------
        source : array_like of int, shape (T, B)
            The source sequences; (B, T) with `batch_first`.
        source_lengths : array_like of int, shape (B,), or None
            The lengths of the source sequences; None means T.
        target : array_like of int, shape (T', B)
            The target sequences, which begin with a start symbol.

        Returns
        -------
        Tensor, shape (B, T', T)
            The weights on each source symbol when the symbol after each target symbol is predicted.
        """
        return self.attention_weights(self.encode(source, source_lengths), target)

    def encode(self, source: Any, source_lengths: Any = None) -> Any:
        """Encode source sequences.

        Parameters
        ----------
        source : array_like of int, shape (T, B)
            The source sequences; (B, T) with `batch_first`.
        source_lengths : array_like of int, shape (B,), optional
            The lengths of the source sequences; T by default.

        Returns
        -------
        tuple
            The initial state of the decoder. The batch is the first axis of every leaf.
        """
        embedded = self.dropout(self.source_embedding(source))
        h, last = self.encoder(embedded, lengths=source_lengths)
        return self.initial_state(self._bridge(last), self.swap_batch_axis(h), source_lengths)

    def _bridge(self, last: Any) -> list[Any]:
        """Map the encoder's last state to s_0 of each cell of the decoder."""
        if self.encoder.bidirectional:
            bridges = iter(self.bridges)
            last = tree_map(
                lambda leaf: next(bridges)(concatenate([leaf[0::2], leaf[1::2]], axis=-1)), last
            )
        return [tree_map(lambda leaf, k=k: leaf[k], last) for k in range(self.encoder.num_layers)]
