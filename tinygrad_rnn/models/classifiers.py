"""Sequence classification and sequence tagging."""

from __future__ import annotations

from typing import Any

from autograd import (
    Tensor,
    arange,
    concatenate,
    expand_dims,
    maximum,
    softmax,
    swapaxes,
    tensor,
    where,
)
from autograd import max as greatest
from autograd.runtime.deprecation import RenamedAttribute

from .. import nn

POOLINGS = ("last", "mean", "max")


class _LabelModel(nn.Module):
    """A recurrent layer on features or embedded symbols, with an output layer."""

    def __init__(
        self,
        recurrent: nn.Recurrent,
        classes: int,
        symbols: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        self.dropout = nn.Dropout(dropout)
        self.embedding: Any = None
        if symbols is not None:
            self.embedding = nn.Embedding(symbols, recurrent.input_size)
        self.recurrent = recurrent
        self.readout = nn.Linear(recurrent.output_size, classes)

    def _outputs(self, x: Any, lengths: Any) -> Tensor:
        """Return the outputs (T, B, H) of the recurrent layer, in its axis order."""
        if self.embedding is not None:
            x = self.dropout(self.embedding(x))
        hidden: Tensor = self.recurrent(x, lengths=lengths)[0]
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.readout(self.dropout(hidden))  # type: ignore[no-any-return]


class SequenceTagger(_LabelModel):
    """Sequence tagging: one class per step, such as parts of speech or phonemes.

        p(class_t | x_1 ... x_t) = softmax(W h_t + b)        bidirectional: given x_1 ... x_T

    Parameters
    ----------
    recurrent : nn.Recurrent
        Any recurrent layer; its `batch_first` determines the axis order.
    classes : int
        Number of classes.
    symbols : int, optional
        Vocabulary size of symbol inputs, which the model embeds. None if the inputs are feature
        vectors.
    dropout : float, default 0.0
        Dropout probability after the embedding and before the output layer.

    References
    ----------
    Graves 2012, "Supervised sequence labelling with recurrent neural networks", section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn import models, nn
    >>> model = models.SequenceTagger(nn.LSTM(3, 8, bidirectional=True), classes=5)
    >>> model(np.zeros((7, 2, 3)).astype("float32")).shape
    (7, 2, 5)
    """

    def forward(self, x: Any, lengths: Any = None) -> Tensor:
        """Compute the logits of the classes at every step.

        Steps beyond the end of a sequence have no influence on other steps. Exclude their logits
        from the loss.

        Parameters
        ----------
        x : array_like, shape (T, B, I) or (T, B)
            Features, or symbols.
        lengths : array_like of int, shape (B,), optional
            The lengths of the sequences; T by default.

        Returns
        -------
        Tensor, shape (T, B, classes)
            The logits.
        """
        return self._logits(self._outputs(x, lengths))


class SequenceClassifier(_LabelModel):
    """Sequence classification: one class per sequence, such as sentiment or language.

        p(class | x_1 ... x_n) = softmax(W pool(h_1 ... h_n) + b)

    `pooling` combines the outputs of the last layer over the n steps of a sequence:

        "last"  h_n; bidirectional: [h_n of the forward direction; h_1 of the backward direction]
        "mean"  sum_t h_t / n
        "max"   max_t h_t, for each component

    A sequence of length 0 is pooled to 0.

    Parameters
    ----------
    recurrent : nn.Recurrent
        Any recurrent layer; its `batch_first` determines the axis order.
    classes : int
        Number of classes.
    symbols : int, optional
        Vocabulary size of symbol inputs, which the model embeds. None if the inputs are feature
        vectors.
    pooling : {"last", "mean", "max"}, default "last"
        Pooling of the outputs over time.
    dropout : float, default 0.0
        Dropout probability after the embedding and before the output layer.

    Raises
    ------
    ValueError
        If `pooling` is unknown.

    References
    ----------
    Graves & Schmidhuber 2005, "Framewise phoneme classification with bidirectional LSTM and other
    neural network architectures" ("last").

    Lai et al. 2015, "Recurrent convolutional neural networks for text classification" ("mean").

    Collobert & Weston 2008, "A unified architecture for natural language processing" ("max").

    Conneau et al. 2017, "Supervised learning of universal sentence representations from natural
    language inference data" ("max").

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn import models, nn
    >>> model = models.SequenceClassifier(nn.GRU(4, 8), classes=2, symbols=10)
    >>> model(np.zeros((7, 3), int), lengths=[7, 5, 2]).shape
    (3, 2)
    """

    def __init__(
        self,
        recurrent: nn.Recurrent,
        classes: int,
        symbols: int | None = None,
        pooling: str = "last",
        dropout: float = 0.0,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        super().__init__(recurrent, classes, symbols, dropout)
        self.pooling = pooling

    def forward(self, x: Any, lengths: Any = None) -> Tensor:
        """Compute the logits of the classes.

        Steps beyond the end of a sequence have no influence.

        Parameters
        ----------
        x : array_like, shape (T, B, I) or (T, B)
            Features, or symbols.
        lengths : array_like of int, shape (B,), optional
            The lengths of the sequences; T by default.

        Returns
        -------
        Tensor, shape (B, classes)
            The logits.
        """
        h = self._outputs(x, lengths)
        h = swapaxes(h, 0, 1) if self.recurrent.batch_first and h.ndim == 3 else h
        lengths = None if lengths is None else tensor(lengths, device=h.device)
        return self._logits(self._pool(h, lengths))

    def predict_over_time(self, x: Any) -> Tensor:
        """Compute the class probabilities of every prefix of the sequences.

        Parameters
        ----------
        x : array_like, shape (T, B, I) or (T, B)
            Features, or symbols.

        Returns
        -------
        Tensor, shape (T, B, classes)
            The probabilities after each step, as if the sequence ended there, in the axis order of
            the layer.

        Raises
        ------
        ValueError
            If `pooling` is not "last", or if the layer is bidirectional.
        """
        if self.pooling != "last" or self.recurrent.bidirectional:
            raise ValueError(
                "predictions over time require pooling='last' and a unidirectional layer, got "
                f"pooling={self.pooling!r} and {self.recurrent}"
            )
        return softmax(self._logits(self._outputs(x, None)))  # type: ignore[no-any-return]

    over_time = RenamedAttribute("predict_over_time")

    def _pool(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        """Pool the outputs (T, B, H), which are 0 beyond the end of a sequence, to (B, H)."""
        if self.pooling == "mean":
            n: Any = len(h)
            if lengths is not None:
                n = expand_dims(maximum(lengths, 1), 1).astype(h.dtype)
            return h.sum(0) / n  # type: ignore[no-any-return]
        if self.pooling == "max":
            if lengths is None:
                return greatest(h, 0)  # type: ignore[no-any-return]
            mask = expand_dims(arange(len(h), device=h.device), 1) < lengths
            h = where(expand_dims(mask, 2), h, -float("inf"))
            return where(expand_dims(lengths > 0, 1), greatest(h, 0), 0)  # type: ignore[no-any-return]
        if lengths is None:
            ends = h[-1]
        else:
            ends = h[maximum(lengths, 1) - 1, arange(len(lengths), device=h.device)]
        if not self.recurrent.bidirectional:
            return ends
        H = h.shape[-1] // 2
        return concatenate([ends[..., :H], h[0][..., H:]], axis=-1)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"pooling={self.pooling!r}"
