"""Training and evaluation of a character language model with truncated BPTT.

The text is read in windows. Each window starts in the state in which the previous one ended, but
gradients stop at its start (Williams & Peng 1990, with k1 = k2 = seq_len). Every epoch starts at a
different character, so that the window boundaries differ.

This module does not depend on time and does not access files: the same options and text give the
same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import autograd as ag
from autograd import Tensor

from ... import nn, optim
from ...data import Loader, StatefulBatches, TextCorpus, evaluation_streams
from ...data.vocabulary import Ids
from ...models import LanguageModel
from ...nn.module import to_model_device
from ...training.batch_loss import evaluation_mode, ignore_float_errors
from ...training.trainer import Trainer
from ...training.truncated_bptt import TruncatedBPTT
from .options import Options

STREAMS, CONTEXT, CHUNK = 32, 128, 64
"""Evaluation reads a text in `STREAMS` parallel streams, each after `CONTEXT` characters that warm
up the state, in chunks of `CHUNK` steps that bound the memory."""

EVALUATION_INTERVAL = 500_000
"""Number of training characters between evaluations within an epoch."""

VALIDATION_CHARACTERS = 100_000
"""Maximum number of validation characters of evaluations during training. It is enough to compare
models, and bounds the time of an evaluation."""


def build_model(options: Options, vocabulary_size: int, device: str) -> LanguageModel:
    """Create a language model.

    Parameters
    ----------
    options : Options
        Hyperparameters.
    vocabulary_size : int
        Number of characters of the vocabulary.
    device : str
        Device of the weights.

    Returns
    -------
    LanguageModel
        The model with random weights.
    """
    with ag.default_device(device):
        return LanguageModel(
            vocabulary_size,
            cell=options.model,
            embed=options.embed,
            hidden=options.hidden,
            layers=options.layers,
            dropout=options.dropout,
        )


@ignore_float_errors
def bits_per_character(model: LanguageModel, ids: Ids) -> float:
    """Return the mean negative log2-likelihood of the characters of a text.

    Every character except the first is scored, given the preceding characters.

    Parameters
    ----------
    model : LanguageModel
        The model.
    ids : ndarray of int, shape (N,)
        Ids of the characters, N >= 2.

    Returns
    -------
    float
        Bits per character.

    Notes
    -----
    The text is split into 32 streams that are read in parallel. Each stream warms up its state on
    the 128 characters before it.
    """
    inputs, targets, is_scored = evaluation_streams(ids, STREAMS, CONTEXT)
    nats, state = 0.0, None
    with evaluation_mode(model), ag.no_grad():
        for start in range(0, len(inputs), CHUNK):
            chunk = slice(start, start + CHUNK)
            logits, state = model(to_model_device(model, inputs[chunk]), state)
            losses = nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]),
                to_model_device(model, targets[chunk].ravel()),
                reduction="none",
            )
            nats += float(np.sum(losses.numpy(), where=is_scored[chunk].ravel(), dtype=np.float64))
    return nats / float(np.log(2) * is_scored.sum())


class ShiftedWindows(Loader):
    """Batches of consecutive windows of a text, shifted by a random offset in every epoch."""

    def __init__(self, ids: Ids, batch: int, seq_len: int, seed: int) -> None:
        self._ids, self._batch, self._seq_len, self._seed = ids, batch, seq_len, seed

    def shift(self, epoch: int) -> int:
        """Return the number of characters that an epoch skips, from 0 to seq_len - 1."""
        generator = ag.Generator(self._seed)
        generator.state = {"seed": self._seed, "block": epoch - 1}
        return int(generator.integers(0, self._seq_len, device="cpu").item())

    def batches(self, epoch: int) -> StatefulBatches:
        return StatefulBatches(self._ids, self._batch, self._seq_len, self.shift(epoch))


class LanguageTraining(Trainer):
    """Trainer of a character language model.

    Parameters
    ----------
    options : Options
        Hyperparameters.
    corpus : TextCorpus
        Text, which is split into training, validation and test text.

    Raises
    ------
    InputError
        If the text is too short for one batch of `options.batch` windows of `options.seq_len`
        characters.
    """

    metric_name, count_name, metric_scale = "bits_per_character", "characters", math.log(2)
    model: LanguageModel

    def __init__(self, options: Options, corpus: TextCorpus) -> None:
        train, valid, _ = corpus.split(batch=options.batch, seq_len=options.seq_len)
        self.options = options
        self.train_ids = corpus.vocabulary.encode(train)
        self.valid_ids = corpus.vocabulary.encode(valid)
        ag.manual_seed(options.seed)
        model = build_model(options, len(corpus.vocabulary), options.device)
        optimizer = optim.Adam(model.parameters(), lr=options.lr)
        windows = ShiftedWindows(self.train_ids, options.batch, options.seq_len, options.seed)
        per_epoch = len(StatefulBatches(self.train_ids, options.batch, options.seq_len))
        super().__init__(
            model,
            optimizer,
            _mean_loss,
            windows,
            lambda model: bits_per_character(model, self.valid_ids[:VALIDATION_CHARACTERS]),
            schedule=optim.lr_scheduler.ExponentialLR(
                optimizer, options.lr_decay ** (1 / per_epoch)
            ),
            schedule_per="step",
            clip=options.clip,
            bptt=TruncatedBPTT(options.seq_len),
            evaluate_every=math.ceil(EVALUATION_INTERVAL / (options.batch * options.seq_len)),
        )
        self.steps_per_epoch = per_epoch

    @property
    def work_done(self) -> tuple[float, str]:
        return self.position.seen, "chars"

    def _likely_cause(self, step: int, first_cause: str) -> str:
        return f"the learning rate (--lr {self.options.lr:g}) is too high; restart with a lower one"


def _mean_loss(model: Any, batch: tuple[Ids, Ids]) -> tuple[Tensor, int]:
    """Return the mean cross-entropy of a batch (T, B), and its number of characters."""
    inputs, targets = batch
    scores = model(inputs)
    loss = nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.ravel())
    return loss, targets.size
