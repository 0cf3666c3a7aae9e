"""Learning from batches: what one update does, and everything that the next one depends on.

Nothing here looks at a clock or touches a file: the same data and seed give the same numbers, and
`state_dict` holds all that decides the next one. `fit` hands the trainer to a `Session`, which does
know of time and files.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag
from autograd.runtime.context import Undo
from autograd.runtime.deprecation import RenamedAttribute

from .. import nn, optim
from ..data import DataLoader, Loader
from ..errors import InputError, TrainingDiverged
from ..scalars import check_count, to_python, warn_changed_options
from .progress import NoProgress, progress_display
from .serialization import load_arrays, lock_folder, reading
from .session import Limits, Note, Position, Session
from .truncated_bptt import TruncatedBPTT

ignore_float_errors = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""What overflows shows in the loss, which is checked: no warning about it."""

Loss = Callable[[Any, Any], Any]


_BAD_LOSS = (
    "the data of the first batch or the initial weights hold nan or inf, or the loss takes a "
    "logarithm of 0"
)
_BAD_GRADIENT = "the loss is finite but its derivative is not, like the derivative of sqrt at 0"


def evaluation_mode(model: nn.Module) -> Undo[nn.Module]:
    """Return a context manager in which a model is in evaluation mode; the modes of all modules are
    restored afterwards.
    """
    modes = [(module, module.training) for module in model.modules()]

    def restore() -> None:
        for module, mode in modes:
            module.training = mode

    return Undo(model.eval, restore)


class Trainer:
    """Trains a model: `Trainer(model, optimizer, loss, batches).fit(epochs=10)`.

    loss: `loss(model, batch)` is the mean loss of a batch, a Tensor of one element, or that and
        what it is the mean of: `(loss, number of examples or tokens)`. Means over several batches
        are weighted by these numbers, 1 where none is given.
    batches: what is learned from: a `DataLoader`, or a list of batches.
    validation: held-out batches, or a function of the model that returns a number which is to
        become small. It is asked before the first epoch and after each, and after every
        `evaluate_every` updates within. A loader that shuffles gives it one order each time.
    optimizer: any; LBFGS calls the loss on the same batch many times for one update.
    schedule: of the learning rate; `schedule_per` says whether it steps after every "epoch" or
        every "step". A ReduceLROnPlateau is given the validation loss of each epoch.
    clip: the largest norm of the gradient of what the optimizer has (Pascanu et al. 2013).
    accumulate: batches for one update. The gradient is that of one large batch.
    bptt: carries the model's state from batch to batch, each the next piece of a stream that begins
        with the epoch. The `model` that `loss` gets then is `inputs -> outputs`.

    `at` is the position of the training. Raises TrainingDiverged where the loss, its gradient or
    the validation loss is not finite, before the weights are touched; ValueError and TypeError for
    what does not go together.
    """

    figure = "loss"
    """The name of what is to become small."""
    counted = "seen"
    """The name of the number of examples, tokens or characters, as the loss counts them."""
    unit = 1.0
    """How much of the loss makes one of that figure."""

    at = RenamedAttribute("position")

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        loss: Loss,
        batches: Any,
        validation: Any = None,
        *,
        schedule: optim.lr_scheduler.LRScheduler | None = None,
        schedule_per: str = "epoch",
        clip: float | None = None,
        accumulate: int = 1,
        bptt: TruncatedBPTT | None = None,
        evaluate_every: int | None = None,
    ) -> None:
        if schedule_per not in ("epoch", "step"):
            raise ValueError(f'schedule_per must be "epoch" or "step", not {schedule_per!r}')
        self._on_plateau = isinstance(schedule, optim.lr_scheduler.ReduceLROnPlateau)
        if self._on_plateau and (validation is None or schedule_per == "step"):
            raise ValueError("ReduceLROnPlateau needs `validation`, and steps per epoch")
        if schedule is not None and schedule.optimizer is not optimizer:
            raise ValueError("the schedule is one of another optimizer")
        clip, accumulate, evaluate_every = to_python((clip, accumulate, evaluate_every))
        if clip is not None and not (isinstance(clip, (int, float)) and clip > 0):
            raise ValueError(f"clip must be a number above 0, or None, not {clip!r}")
        if bptt is not None and getattr(batches, "shuffle", False):
            raise ValueError("the batches are the pieces of a stream (bptt): shuffle=False")
        if bptt is not None and isinstance(optimizer, optim.LBFGS):
            raise ValueError(
                "LBFGS looks at a batch many times, and a stream (bptt) is read once: choose "
                "another optimizer, or give it whole sequences"
            )
        check_count("accumulate", accumulate)
        if evaluate_every is not None:
            check_count("evaluate_every", evaluate_every)
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.batches = _loader(batches)
        self.validation: Any = validation if callable(validation) else _loader(validation)
        own = self.validation is None or callable(self.validation)
        self._beginning: Any = None if own else self.validation.state_dict()
        self.schedule, self.schedule_per, self.clip = schedule, schedule_per, clip
        self.accumulate, self.bptt, self.evaluate_every = accumulate, bptt, evaluate_every
        self.steps_per_epoch = -(-len(self.batches) // accumulate)
        self.position = Position()
        self.best_weights: dict[str, Any] | None = None  # of the best model, if no file holds it
        self._rest: Iterator[Any] | None = None  # the batches that this epoch has left

    # --- one update -------------------------------------------------------------------------------

    @ignore_float_errors
    def update(self) -> dict[str, Any]:
        """Learn from the next batch, or `accumulate` batches. Returns the update's record."""
        at = self.position
        record: dict[str, Any] = {}

        def closure() -> float:
            loss, weight, norm = self._differentiate(batches)
            if not record:  # what an optimiser tries out later may be anything
                record.update(
                    self._record("update", at.step + 1, loss / self.unit, at.seen + weight),
                    gradient_norm=norm,
                    lr=to_python(self.optimizer.param_groups[0]["lr"]),
                )
                self._check_finite(record)
            return loss

        with self._undone_by_errors():
            self._rest = iter(self.batches) if self._rest is None else self._rest
            batches = list(islice(self._rest, self.accumulate))
            if not batches:
                raise ValueError(
                    f"epoch {at.epoch} ended after {at.batch} of {len(self.batches)} batches"
                )
            self.optimizer.step(closure)
        at.step, at.batch, at.seen = at.step + 1, at.batch + len(batches), record[self.counted]
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        if at.batch >= len(self.batches):
            self._end_epoch()
        return record

    @contextmanager
    def _undone_by_errors(self) -> Iterator[None]:
        """What ends an update before it is done, as a second Ctrl-C or an error in the loss, leaves
        the data, the stream and the random numbers where they were: one may go on.
        """
        place, numbers = self.batches.state_dict(), ag.random.get_state()
        stream = vars(self.bptt).copy() if self.bptt else {}
        try:
            yield
        except BaseException:
            self._rest = None
            self.batches.load_state_dict(place)
            ag.random.set_state(numbers)
            if self.bptt:
                vars(self.bptt).update(stream)
            raise

    def _differentiate(self, batches: list[Any]) -> tuple[float, float, float]:
        """Leave the gradient of the mean loss of all batches in the parameters, clipped. Returns
        the loss, of how many it is the mean, and the gradient's norm before.
        """
        self.optimizer.zero_grad()
        total, weight = 0.0, 0.0
        for batch in batches:
            loss, n = self._weighed(self.loss(self._reader(self.bptt), batch))
            (loss if self.accumulate == 1 else loss * n).backward()
            total, weight = total + loss.item() * n, weight + n
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if all(parameter.grad is None for parameter in parameters):
            raise ValueError(
                "the loss depends on no parameter of the optimizer: is that of another model?"
            )
        if self.accumulate > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad / weight
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if self.clip is None else self.clip)
        return total / weight, weight, norm

    def _reader(self, bptt: TruncatedBPTT | None) -> Any:
        """The model, as the loss is to call it."""
        return self.model if bptt is None else partial(bptt, self.model)

    @staticmethod
    def _weighed(loss: Any) -> tuple[Any, float]:
        """The loss of a batch, and its weight as a number of Python's, which JSON takes."""
        loss, n = loss if isinstance(loss, tuple) and len(loss) == 2 else (loss, 1)
        n = n.item() if hasattr(n, "item") else n
        counted = isinstance(n, (int, float)) and 0 < n < math.inf
        if not (isinstance(loss, ag.Tensor) and counted):
            raise ValueError(
                "loss(model, batch) must return the mean loss, a Tensor, or that and the number of "
                f"examples, a finite number above 0, not the loss {loss!r} of {n!r}"
            )
        return loss, n

    def _end_epoch(self) -> None:
        self.position.epoch, self.position.batch, self._rest = self.position.epoch + 1, 0, None
        if self.bptt is not None:
            self.bptt.reset()
        if self.schedule is not None and self.schedule_per == "epoch" and not self._on_plateau:
            self.schedule.step()

    def _record(self, event: str, step: int, value: float, seen: float) -> dict[str, Any]:
        """What is written down of an update or an evaluation."""
        return {
            "event": event,
            "step": step,
            "epoch": self.position.epoch,
            self.figure: value,
            self.counted: seen,
        }

    def _check_finite(self, record: Mapping[str, Any]) -> None:
        for name, meaning, at_first in (
            (self.figure, "loss", _BAD_LOSS),
            ("gradient_norm", "gradient norm", _BAD_GRADIENT),
        ):
            if not math.isfinite(record[name]):
                raise TrainingDiverged(
                    f"training diverged at step {record['step']}: the {meaning} is {record[name]}; "
                    f"most likely {self._likely_cause(record['step'], at_first)}"
                )

    def _likely_cause(self, step: int, at_first: str) -> str:
        """Return the likely cause of a number that is not finite, at the first step `at_first`."""
        if step <= 1:
            return f"{at_first}: autograd.detect_anomaly() names the line"
        rate = self.optimizer.param_groups[0]["lr"]
        clipping = "" if self.clip else ", or limit the gradient with clip=1.0"
        return f"the learning rate ({rate:g}) is too high: start anew with a smaller one{clipping}"

    # --- evaluation -------------------------------------------------------------------------------

    @property
    def evaluated(self) -> bool:
        """Whether the model, as it is now, was evaluated, or there is nothing to evaluate it on."""
        return self.validation is None or self.position.evaluated_step == self.position.step

    @property
    def evaluation_due(self) -> bool:
        """Whether the model is to be evaluated at this step, and was not yet."""
        updates = -(-self.position.batch // self.accumulate)
        every = self.evaluate_every or self.steps_per_epoch
        return updates % every == 0 and not self.evaluated

    @ignore_float_errors
    def evaluate(self) -> dict[str, Any]:
        """Evaluate the model and note whether it is the best so far. Returns the record.

        TrainingDiverged if the validation loss is nan or infinite.
        """
        at, value = self.position, self._validation_loss()
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the validation loss is {value} at step {at.step}: the validation data hold nan "
                f"or inf, or {self._likely_cause(at.step, _BAD_LOSS)}"
            )
        at.evaluated_step, at.validation = at.step, value
        record = self._record("evaluation", at.step, value, at.seen)
        record |= {"epoch": at.epoch if at.batch else at.epoch - 1, "best": value < at.best}
        if record["best"]:
            at.best_step, at.best_epoch, at.best = at.step, record["epoch"], value
        at.idle_epochs = at.epoch - 1 - at.best_epoch
        if self._on_plateau and at.step and not at.batch:
            assert isinstance(self.schedule, optim.lr_scheduler.ReduceLROnPlateau)
            self.schedule.step(value)
        return record

    def _validation_loss(self) -> float:
        if callable(self.validation):
            value = self.validation(self.model)
            try:
                return float(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"validation(model) must return a number, not {value!r}") from error
        bptt = None if self.bptt is None else self.bptt.reader()
        total = weight = 0.0
        self.validation.load_state_dict(self._beginning)
        with evaluation_mode(self.model), ag.no_grad():
            for batch in self.validation:
                loss, n = self._weighed(self.loss(self._reader(bptt), batch))
                total, weight = total + loss.item() * n, weight + n
        return total / weight / self.unit

    # --- many updates -----------------------------------------------------------------------------

    def fit(
        self,
        epochs: int | None = None,
        *,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        patience: int | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        on_step: Note | None = None,
        on_epoch: Note | None = None,
        progress: bool = True,
    ) -> list[dict[str, Any]]:
        """Train until a limit is reached; then the model has its best weights, if there is a
        validation. Returns the records of all updates and evaluations.

        epochs, max_steps, max_seconds: in all, those before included. patience: stop when the
            validation loss was no better than the best for so many epochs.
        folder: keeps the training, as JSON and safetensors: last.safetensors, from which it goes on
            with `resume`, bit for bit as if it had not been interrupted; model.safetensors, the
            best model (without validation, the last); metrics.jsonl, the records.
        on_step, on_epoch: called with the record of each update, and at each epoch's end with that
            of its evaluation (of its last update, without validation).
        progress: show it on standard output.

        Ctrl-C and SIGTERM end it after the update under way, which is saved, and then do what they
        usually do. TrainingDiverged where the loss, its gradient or the validation loss is not
        finite: the model then has its last weights, and the folder the last checkpoint. InputError
        for a folder with a training that is not to be resumed or not this one, for no limit.
        """
        limits = Limits(epochs, max_steps, max_seconds, patience)
        if all(limit is None for limit in asdict(limits).values()):
            raise InputError("say when to stop: epochs=, max_steps=, max_seconds= or patience=")
        if patience is not None and self.validation is None:
            raise InputError(
                "patience counts epochs without a better validation loss: give validation="
            )
        if folder is not None:
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
        with nullcontext() if folder is None else lock_folder(folder):
            if folder is not None and not resume and (folder / "last.safetensors").exists():
                raise InputError(
                    f"{folder} holds a training: continue it with resume=True, or name another "
                    "folder"
                )
            session = Session(folder, self, limits, on_step, on_epoch)
            with progress_display(sys.stdout) if progress else nullcontext(NoProgress()) as shown:
                session.train(shown)
                session.finish()
            return session.records

    # --- state ------------------------------------------------------------------------------------

    @property
    def pace(self) -> tuple[float, str]:
        """What the speed is measured in: how much of it is done, and its name."""
        return self.position.step, "steps"

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on: nested dicts of arrays and JSON values."""
        return {
            "at": asdict(self.position),
            "options": self._options(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "batches": self.batches.state_dict(),
            "validation": self._beginning,
            "carried": self.bptt.state_dict() if self.bptt else None,
            "random": ag.random.get_state(),
        }

    def _options(self) -> dict[str, Any]:
        """Return the options on which the next updates depend."""
        return {
            "schedule_per": None if self.schedule is None else self.schedule_per,
            "clip": self.clip,
            "accumulate": self.accumulate,
        }

    def load_state_dict(self, saved: dict[str, Any], source: str | Path = "the state") -> None:
        """Go to where `saved` was taken; InputError, naming `source`, if it belongs to another
        model, optimizer, schedule or data, or is malformed. A warning names changed options.
        """
        with reading(source):
            at = Position(**(dict.fromkeys(asdict(self.position)) | saved["at"]))
            schedule, carried = saved["schedule"], saved["carried"]
            _check_presence(
                "schedule", self.schedule, schedule and schedule.get("schedule", "a schedule")
            )
            _check_presence("truncated BPTT", self.bptt, carried and "TruncatedBPTT")
            load_arrays(self.model, saved["model"], source)
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.schedule is not None:
                self.schedule.load_state_dict(schedule)
            self.batches.load_state_dict(saved["batches"])
            self._check_position(at)
            if self._beginning is not None and saved["validation"] is not None:
                self.validation.load_state_dict(saved["validation"])
                self._beginning = saved["validation"]
            if self.bptt is not None:
                self.bptt.load_state_dict(carried, self.model)
            ag.random.set_state(saved["random"])
            warn_changed_options("the training", saved.get("options"), self._options())
            self.position, self._rest = at, iter(self.batches) if at.batch else None

    def _check_position(self, at: Position) -> None:
        """Raise ValueError if the data are not where the position says."""
        if isinstance(self.batches, Loader):
            place, length = self.batches.position, len(self.batches)
            if at.batch != place % length:
                raise ValueError(
                    f"training is at batch {at.batch} of the epoch, but the data at batch {place} "
                    f"of {length}"
                )


def _check_presence(what: str, present: Any, saved: str | None) -> None:
    """Raise ValueError, naming both, if only one of a trainer and a saved state has such a part."""
    if (present is None) != (saved is None):
        own = None if present is None else type(present).__name__
        raise ValueError(
            f"it was saved with {saved or f'no {what}'}, but this trainer has {own or f'no {what}'}"
        )


def _loader(batches: Any) -> Any:
    """What resumes anywhere, of batches in whatever form."""
    if batches is None or hasattr(batches, "state_dict"):
        return batches
    if not (hasattr(batches, "__len__") and hasattr(batches, "__getitem__")):
        raise TypeError(
            f"batches come from a DataLoader, or stand in a list, not in {batches!r}, which can "
            "be neither counted nor read twice"
        )
    return DataLoader(batches, batch_size=None)
