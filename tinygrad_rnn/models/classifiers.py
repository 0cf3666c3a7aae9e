"""Labels for sequences: one for each, or one for each of its steps."""

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
    """What labels are given from: a recurrent layer's outputs, of features or embedded symbols."""

    def __init__(
        self, recurrent: nn.Recurrent, classes: int, symbols: int | None, dropout: float
    ) -> None:
        self.dropout = nn.Dropout(dropout)
        self.embedding: Any = None
        if symbols is not None:
            self.embedding = nn.Embedding(symbols, recurrent.input_size)
        self.recurrent = recurrent
        self.readout = nn.Linear(recurrent.output_size, classes)

    def read(self, x: Any, lengths: Any) -> Tensor:
        """h (T, B, H), in the order of the layer's axes."""
        if self.embedding is not None:
            x = self.dropout(self.embedding(x))
        hidden: Tensor = self.recurrent(x, lengths=lengths)[0]
        return hidden

    def scores(self, hidden: Tensor) -> Tensor:
        return self.readout(self.dropout(hidden))  # type: ignore[no-any-return]


class SequenceTagger(_LabelModel):
    """A label for each step of a sequence: parts of speech, phonemes, states (Graves 2012,
    "Supervised sequence labelling with recurrent neural networks", section 3.2).

        p(class_t | x_1 ... x_t) = softmax(W h_t + b)        bidirectional: given x_1 ... x_T

    `recurrent` is any recurrent layer, which says whether the batch is first. It reads features, or
    with `symbols`, their number, embedded symbols. `dropout` acts on the embedded symbols and
    before the scores.
    """

    def __init__(
        self,
        recurrent: nn.Recurrent,
        classes: int,
        symbols: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(recurrent, classes, symbols, dropout)

    def forward(self, x: Any, lengths: Any = None) -> Tensor:
        """Scores (T, B, classes) of features x (T, B, I), or symbols (T, B), of which each sequence
        has `lengths` (B) steps (None: all). Those beyond have no influence, and scores there, of an
        output 0, only have to be left out of the loss. Raises ValueError for shapes and lengths
        that do not fit.
        """
        return self.scores(self.read(x, lengths))


class SequenceClassifier(_LabelModel):
    """One label for a sequence: sentiments, kinds of waves, languages.

        p(class | x_1 ... x_n) = softmax(W pool(h_1 ... h_n) + b)

    `pooling` makes one vector of the outputs of the last layer (T steps, n of them the sequence's
    own):

        "last"  h_n; bidirectional: [h_n forwards; h_1 backwards], where each direction has ended
                (Graves & Schmidhuber 2005). With padding it is not the output at T.
        "mean"  sum_t h_t / n (Lai et al. 2015)
        "max"   max_t h_t, in each component (Collobert & Weston 2008; Conneau et al. 2017)

    A sequence of length 0 is pooled to 0. `recurrent` is any recurrent layer, which says whether
    the batch is first. It reads features, or with `symbols`, their number, embedded symbols.
    `dropout` acts on the embedded symbols and before the scores.
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
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")
        super().__init__(recurrent, classes, symbols, dropout)
        self.pooling = pooling

    def forward(self, x: Any, lengths: Any = None) -> Tensor:
        """Scores (B, classes) of features x (T, B, I), or symbols (T, B), of which each sequence
        has `lengths` (B) steps (None: all). Those beyond have no influence. Raises ValueError for
        shapes and lengths that do not fit.
        """
        h = self.read(x, lengths)
        h = swapaxes(h, 0, 1) if self.recurrent.batch_first and h.ndim == 3 else h
        lengths = None if lengths is None else tensor(lengths, device=h.device)
        return self.scores(self._pooled(h, lengths))

    def predict_over_time(self, x: Any) -> Tensor:
        """Probabilities (T, B, classes), in the order of the layer's axes: what a sequence of
        features x (T, B, I), or symbols (T, B), is held for after each of its steps, as if it ended
        there. ValueError unless the pooling is "last" and the layer reads forwards alone, since
        otherwise more than the last output counts.
        """
        if self.pooling != "last" or self.recurrent.bidirectional:
            raise ValueError(
                "what a sequence is held for meanwhile is known with pooling 'last' and a layer "
                f"of one direction, not with {self.pooling!r} and {self.recurrent}"
            )
        return softmax(self.scores(self.read(x, None)))  # type: ignore[no-any-return]

    over_time = RenamedAttribute("predict_over_time")

    def _pooled(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        """One vector (B, H) of the outputs h (T, B, H), which are 0 beyond each sequence's end."""
        if self.pooling == "mean":
            n: Any = len(h)
            if lengths is not None:
                n = expand_dims(maximum(lengths, 1), 1).astype(h.dtype)
            return h.sum(0) / n  # type: ignore[no-any-return]
        if self.pooling == "max":
            if lengths is None:
                return greatest(h, 0)  # type: ignore[no-any-return]
            running = expand_dims(arange(len(h), device=h.device), 1) < lengths
            h = where(expand_dims(running, 2), h, -float("inf"))
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
