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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag
from autograd import Tensor

from .. import nn, optim
from ..data import StatefulBatches, TextCorpus, evaluation_streams
from ..data.text import Ids
from ..errors import InputError
from ..models import LanguageModel
from .files import load_arrays
from .options import Options

STREAMS, CONTEXT, CHUNK = 32, 128, 64
"""An evaluation reads a text in so many parts at once, each after so many characters that warm the
state up, in pieces of so many steps that bound the memory."""

EVALUATE_EVERY = 500_000
"""Characters of training after which the model is evaluated, besides every epoch's end."""

VALIDATE_ON = 100_000
"""Characters of the validation text that evaluations during training read, at most: enough to tell
models apart, and the time that it takes does not grow with the text."""


def beside(model: LanguageModel, ids: Ids) -> Tensor:
    """The numbers of characters on the device where the model's weights are."""
    return ag.tensor(ids, device=next(model.parameters()).device)


quietly = np.errstate(over="ignore", invalid="ignore")
"""What overflows shows in the loss, which is checked: no warning about it."""


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


@quietly
def bits_per_character(model: LanguageModel, ids: Ids) -> float:
    """The mean of -log2 p(character | all before) over a text, shape (n,), n >= 2.

    The text is read in `STREAMS` parts at once, each with `CONTEXT` characters of the text before
    it as its past; at least one character is scored, and all but the very first are.
    """
    inputs, targets, scored = evaluation_streams(ids, STREAMS, CONTEXT)
    training, nats, state = model.training, 0.0, None
    model.eval()
    with ag.no_grad():
        for start in range(0, len(inputs), CHUNK):
            piece = slice(start, start + CHUNK)
            logits, state = model(beside(model, inputs[piece]), state)
            losses = nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]),
                beside(model, targets[piece].ravel()),
                reduction="none",
            )
            nats += float(np.sum(losses.numpy(), where=scored[piece].ravel(), dtype=np.float64))
    model.train(training)
    return nats / float(np.log(2) * scored.sum())


@dataclass
class Position:
    """How far training has come. Steps are updates; -1: never."""

    step: int = 0
    characters: int = 0
    epoch: int = 1
    window: int = 0
    shift: int = 0
    evaluated_step: int = -1
    validation_bits: float = math.inf
    best_step: int = -1
    best_bits: float = math.inf


class LanguageTraining:
    """A model in training: `update` by update, window by window, epoch by epoch."""

    def __init__(self, options: Options, corpus: TextCorpus) -> None:
        """InputError if the text does not fill one window of `batch` streams by `seq_len`."""
        train, valid, _ = corpus.split(batch=options.batch, seq_len=options.seq_len)
        self.options = options
        self.train_ids = corpus.vocabulary.encode(train)
        self.valid_ids = corpus.vocabulary.encode(valid)
        ag.manual_seed(options.seed)
        self._shifts = ag.random.Generator(options.seed)
        self.model = build_model(options, len(corpus.vocabulary), options.device)
        self.optimizer = optim.Adam(self.model.parameters(), lr=options.lr)
        self.steps_per_epoch = len(self._windows(shift=0))
        self.schedule = optim.lr_scheduler.ExponentialLR(
            self.optimizer, options.lr_decay ** (1 / self.steps_per_epoch)
        )
        self.at = Position()
        self._begin_epoch(1)

    def _windows(self, shift: int) -> StatefulBatches:
        return StatefulBatches(self.train_ids, self.options.batch, self.options.seq_len, shift)

    def _begin_epoch(self, epoch: int) -> None:
        """Go to the first window of an epoch, at a fresh shift and without a past."""
        shift = int(self._shifts.integers(0, self.options.seq_len, device="cpu").item())
        self.at = replace(self.at, epoch=epoch, window=0, shift=shift)
        self._batches = self._windows(shift)
        self._state: Any = None

    @quietly
    def update(self) -> dict[str, Any]:
        """Learn from one window. Returns its record: loss (bits per character), norm, rate.

        Raises InputError, with the weights as they were, if the loss or gradient is not finite.
        """
        at = self.at
        inputs, targets = (beside(self.model, ids) for ids in self._batches[at.window])
        logits, state = self.model(inputs, self._state)
        loss = nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.ravel())
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        record = {
            "event": "update",
            "step": at.step + 1,
            "epoch": at.epoch,
            "bits_per_character": loss.item() / math.log(2),
            "gradient_norm": float(norm),
            "lr": self.optimizer.param_groups[0]["lr"],
            "characters": at.characters + targets.size,
        }
        self._check_finite(record)
        self.optimizer.step()
        self.schedule.step()
        self._state = ag.tree_map(Tensor.detach, state)
        at.step, at.characters, at.window = at.step + 1, record["characters"], at.window + 1
        if at.window == len(self._batches):
            self._begin_epoch(at.epoch + 1)
        return record

    def _check_finite(self, record: dict[str, Any]) -> None:
        for name, meaning in (("bits_per_character", "loss"), ("gradient_norm", "gradient norm")):
            if not math.isfinite(record[name]):
                raise InputError(
                    f"training diverged at step {record['step']}: the {meaning} is {record[name]}; "
                    f"most likely the learning rate (--lr {self.options.lr:g}) is too high, start "
                    "anew with a smaller one"
                )

    @property
    def evaluated(self) -> bool:
        """Whether the model, as it is now, was evaluated."""
        return self.at.evaluated_step == self.at.step

    @property
    def evaluation_due(self) -> bool:
        """Whether the model is to be evaluated at this step, and was not yet."""
        every = math.ceil(EVALUATE_EVERY / (self.options.batch * self.options.seq_len))
        return self.at.window % every == 0 and not self.evaluated

    def evaluate(self) -> dict[str, Any]:
        """The model's bits per character on the validation text, as a record."""
        at, bits = self.at, bits_per_character(self.model, self.valid_ids[:VALIDATE_ON])
        at.evaluated_step, at.validation_bits = at.step, bits
        if best := bits < at.best_bits:
            at.best_step, at.best_bits = at.step, bits
        return {
            "event": "evaluation",
            "step": at.step,
            "epoch": at.epoch if at.window else at.epoch - 1,
            "bits_per_character": bits,
            "best": best,
            "characters": at.characters,
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on: nested dicts of arrays and JSON values."""
        return {
            "at": asdict(self.at),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "carried": ag.tree_map(Tensor.numpy, self._state),
            "random": ag.random.get_state(),
            "shifts": self._shifts.state,
        }

    def load_state_dict(self, saved: dict[str, Any], source: Path) -> None:
        """Go to where `saved` was taken; InputError, naming `source`, if it is another model's."""
        load_arrays(self.model, saved["model"], source)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.at = Position(**saved["at"])
        self._batches = self._windows(self.at.shift)
        self._state = self._tensors(saved["carried"])
        ag.random.set_state(saved["random"])
        self._shifts.state = saved["shifts"]

    def _tensors(self, saved: Any) -> Any:
        """The carried state, whose arrays a file gives back in lists, as tuples of Tensors."""
        if isinstance(saved, list):
            return tuple(map(self._tensors, saved))
        return None if saved is None else ag.tensor(saved, device=self.options.device)
