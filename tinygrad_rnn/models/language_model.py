"""A language model: the next symbol, given those before."""

from __future__ import annotations

from typing import Any

from autograd import Tensor, no_grad, swapaxes, tree_map

from .. import nn

RECURRENT_LAYERS = {"lstm": nn.LSTM}
"""The recurrent layers that a language model can be built on, by name."""


class LanguageModel(nn.Module):
    """Embedding, recurrent layers, and a linear map to a score for each symbol (Mikolov et al.
    2010).

    Dropout acts on the embedded symbols, between the layers and before the scores (Zaremba et al.
    2014): on everything but the recurrent connections.
    """

    def __init__(
        self,
        vocabulary_size: int,
        cell: str = "lstm",
        embed: int = 64,
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        if cell not in RECURRENT_LAYERS:
            raise ValueError(
                f"there is no cell {cell!r}; choose from {', '.join(RECURRENT_LAYERS)}"
            )
        between = dropout if layers > 1 else 0.0
        self.embedding = nn.Embedding(vocabulary_size, embed)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = RECURRENT_LAYERS[cell](embed, hidden, num_layers=layers, dropout=between)
        self.readout = nn.Linear(hidden, vocabulary_size)

    def forward(self, tokens: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Scores (T, B, V) of what follows each of the `tokens` (T, B), and the state to carry on
        with.
        """
        hidden, state = self.recurrent(self.dropout(self.embedding(tokens)), state)
        return self.readout(self.dropout(hidden)), state

    def encode(self, tokens: Any) -> Any:
        """The state in which `step` goes on after the `tokens` (T, B), None if T is 0. Nothing is
        recorded.
        """
        with no_grad():
            return batch_first(self(tokens)[1]) if len(tokens) else None

    def step(self, state: Any, tokens: Any) -> tuple[Any, Tensor]:
        """The new state, and scores (B, V) of what follows the `tokens` (B), as `decoding` wants
        them: the state's leaves have the batch first here, not the layers.
        """
        scores, state = self(tokens[None], batch_first(state))
        return batch_first(state), scores[0]


def batch_first(state: Any) -> Any:
    """A state of recurrent layers with the batch before the layers; and the other way round."""
    return tree_map(lambda leaf: swapaxes(leaf, 0, 1), state)
