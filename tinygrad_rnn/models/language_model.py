"""The recurrent language model."""

from __future__ import annotations

from typing import Any

from autograd import Tensor, no_grad, swapaxes, tree_map

from .. import nn

RECURRENT_LAYERS = {"lstm": nn.LSTM}
"""The recurrent layers of a language model, by name."""


class LanguageModel(nn.Module):
    """Recurrent language model: embedding, recurrent layers, and an output layer.

    Dropout acts on all connections except the recurrent connections (Zaremba et al. 2014).

    Parameters
    ----------
    vocabulary_size : int
        Vocabulary size V.
    cell : {"lstm"}, default "lstm"
        Type of the recurrent layers.
    embed : int, default 64
        Embedding dimension.
    hidden : int, default 128
        Hidden size.
    layers : int, default 1
        Number of recurrent layers.
    dropout : float, default 0.0
        Dropout probability after the embedding, between the layers and before the output layer.

    Raises
    ------
    ValueError
        If `cell` is unknown.

    References
    ----------
    Mikolov et al. 2010, "Recurrent neural network based language model".

    Zaremba et al. 2014, "Recurrent neural network regularization".

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn import models
    >>> model = models.LanguageModel(vocabulary_size=50)
    >>> logits, state = model(np.zeros((35, 4), int))
    >>> logits.shape
    (35, 4, 50)
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
            raise ValueError(f"cell must be one of {', '.join(RECURRENT_LAYERS)}, got {cell!r}")
        between = dropout if layers > 1 else 0.0
        self.embedding = nn.Embedding(vocabulary_size, embed)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = RECURRENT_LAYERS[cell](embed, hidden, num_layers=layers, dropout=between)
        self.readout = nn.Linear(hidden, vocabulary_size)

    def forward(self, tokens: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Compute the logits of the next token at every position.

        Parameters
        ----------
        tokens : array_like of int, shape (T, B)
            The tokens.
        state : optional
            The initial state of the recurrent layers; zeros by default.

        Returns
        -------
        logits : Tensor, shape (T, B, V)
            The logits of the token after each position.
        state : Any
            The final state of the recurrent layers.
        """
        hidden, state = self.recurrent(self.dropout(self.embedding(tokens)), state)
        return self.readout(self.dropout(hidden)), state

    def encode(self, tokens: Any) -> Any:
        """Read a context without recording gradients.

        Parameters
        ----------
        tokens : array_like of int, shape (T, B)
            The context.

        Returns
        -------
        Any
            The state from which `step` continues; None if T is 0.
        """
        with no_grad():
            return _swap_batch_axis(self(tokens)[1]) if len(tokens) else None

    def step(self, state: Any, tokens: Any) -> tuple[Any, Tensor]:
        """Advance by one token, for `sample` and `beam_search`.

        Parameters
        ----------
        state : Any
            The previous state, whose leaves have the batch as the first axis; None at the start.
        tokens : array_like of int, shape (B,)
            The last token of each sequence.

        Returns
        -------
        state : Any
            The new state.
        logits : Tensor, shape (B, V)
            The logits of the next token.
        """
        logits, state = self(tokens[None], _swap_batch_axis(state))
        return _swap_batch_axis(state), logits[0]


def _swap_batch_axis(state: Any) -> Any:
    """Swap the layer axis and the batch axis of a recurrent state."""
    return tree_map(lambda leaf: swapaxes(leaf, 0, 1), state)
