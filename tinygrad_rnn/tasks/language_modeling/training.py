"""Learning a character language model by truncated back-propagation through time.

The text is read in windows; the state that the network is in at a window's end is where the next
window begins, but gradients stop there (Williams & Peng 1990, "An efficient gradient-based
algorithm for on-line training of recurrent network trajectories", here with k1 = k2 = seq_len).
Every epoch begins at another character, so that the windows' borders fall elsewhere.

Nothing here looks at a clock or touches a file: the same options and text give the same numbers,
and `state_dict` holds all that the next number depends on.
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
from ...training.batch_loss import evaluation_mode, ignore_float_errors
from ...training.trainer import Trainer
from ...training.truncated_bptt import TruncatedBPTT, to_model_device
from .options import Options

STREAMS, CONTEXT, CHUNK = 32, 128, 64
"""An evaluation reads a text in so many parts at once, each after so many characters that warm the
state up, in pieces of so many steps that bound the memory."""

EVALUATE_EVERY = 500_000
"""Characters of training after which the model is evaluated, besides every epoch's end."""

VALIDATE_ON = 100_000
"""Characters of the validation text that evaluations during training read, at most: enough to tell
models apart, and the time that it takes does not grow with the text."""


def build_model(options: Options, vocabulary_size: int, device: str) -> LanguageModel:
    """A new model as the options describe it. What is computed with it is on its device."""
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
    """The mean of -log2 p(character | all before) over a text, shape (n,), n >= 2.

    The text is read in `STREAMS` parts at once, each with `CONTEXT` characters of the text before
    it as its past; at least one character is scored, and all but the very first are.
    """
    inputs, targets, scored = evaluation_streams(ids, STREAMS, CONTEXT)
    nats, state = 0.0, None
    with evaluation_mode(model), ag.no_grad():
        for start in range(0, len(inputs), CHUNK):
            piece = slice(start, start + CHUNK)
            logits, state = model(to_model_device(model, inputs[piece]), state)
            losses = nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]),
                to_model_device(model, targets[piece].ravel()),
                reduction="none",
            )
            nats += float(np.sum(losses.numpy(), where=scored[piece].ravel(), dtype=np.float64))
    return nats / float(np.log(2) * scored.sum())


class ShiftedWindows(Loader):
    """The windows of a text, which begin at another character in every epoch."""

    def __init__(self, ids: Ids, batch: int, seq_len: int, seed: int) -> None:
        self._ids, self._batch, self._seq_len, self._seed = ids, batch, seq_len, seed

    def shift(self, epoch: int) -> int:
        """Characters that an epoch leaves out: the number that its place in the stream holds."""
        stream = ag.Generator(self._seed)
        stream.state = {"seed": self._seed, "block": epoch - 1}
        return int(stream.integers(0, self._seq_len, device="cpu").item())

    def batches(self, epoch: int) -> StatefulBatches:
        return StatefulBatches(self._ids, self._batch, self._seq_len, self.shift(epoch))


class LanguageTraining(Trainer):
    """A character language model in training, as its options say."""

    metric_name, count_name, metric_scale = "bits_per_character", "characters", math.log(2)
    model: LanguageModel

    def __init__(self, options: Options, corpus: TextCorpus) -> None:
        """InputError if the text does not fill one window of `batch` streams by `seq_len`."""
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
            _loss,
            windows,
            lambda model: bits_per_character(model, self.valid_ids[:VALIDATE_ON]),
            schedule=optim.lr_scheduler.ExponentialLR(
                optimizer, options.lr_decay ** (1 / per_epoch)
            ),
            schedule_per="step",
            clip=options.clip,
            bptt=TruncatedBPTT(options.seq_len),
            evaluate_every=math.ceil(EVALUATE_EVERY / (options.batch * options.seq_len)),
        )
        self.steps_per_epoch = per_epoch

    @property
    def work_done(self) -> tuple[float, str]:
        return self.position.seen, "chars"

    def _likely_cause(self, step: int, first_cause: str) -> str:
        rate = f"--lr {self.options.lr:g}"
        return f"the learning rate ({rate}) is too high, start anew with a smaller one"


def _loss(model: Any, batch: tuple[Ids, Ids]) -> tuple[Tensor, int]:
    """The mean loss of a window (T, B), and its characters."""
    inputs, targets = batch
    scores = model(inputs)
    loss = nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.ravel())
    return loss, targets.size
