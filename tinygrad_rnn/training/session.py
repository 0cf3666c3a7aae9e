"""Training sessions: the loop around a trainer, with checkpoints, limits, signals and progress.

The clock decides when a checkpoint is written and when `max_seconds` ends training. It never
affects the results: a run that is killed at any time and resumed computes the same numbers.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autograd.runtime.deprecation import RenamedAttribute, renamed_parameters

from ..errors import TrainingDiverged
from ..nn import Module
from ..scalars import check_count, check_non_negative
from .files import malformed_content_errors
from .metrics_log import MetricsLog, read_metrics
from .progress import Progress, Status
from .serialization import load, load_tree, read_arrays, save, save_tree
from .signals import SignalRecorder

Callback = Callable[[dict[str, Any]], object]
"""Function of a record. Its result is ignored."""

SAVE_EVERY = 5.0
"""Seconds between checkpoints. A crash loses at most this much work and the update or evaluation
in progress."""


@dataclass
class Position:
    """Position of training in its data, and the best evaluation so far.

    Attributes
    ----------
    step
        Number of updates.
    epoch, batch
        Current epoch, from 1, and the number of its batches that were used.
    seen
        Number of examples, tokens or characters, as counted by the loss.
    evaluated_step, validation
        Step and metric of the latest evaluation (-1 and inf if there is none).
    best_step, best_epoch, best
        Step, epoch and metric of the best evaluation (-1, 0 and inf if there is none).
    idle_epochs
        Epochs since the best evaluation (-1 if it was in the current epoch).

    Raises
    ------
    ValueError
        If a value is out of range, as in a damaged file.
    """

    step: int = 0
    epoch: int = 1
    batch: int = 0
    seen: float = 0
    evaluated_step: int = -1
    validation: float = math.inf
    best_step: int = -1
    best_epoch: int = 0
    best: float = math.inf
    idle_epochs: int = 0

    def __post_init__(self) -> None:
        for name in ("step", "batch", "best_epoch"):
            check_count(name, getattr(self, name), 0)
        for name in ("evaluated_step", "best_step", "idle_epochs"):
            check_count(name, getattr(self, name), -1)
        check_count("epoch", self.epoch)
        check_non_negative("seen", self.seen)
        for name in ("validation", "best"):
            if not isinstance(value := getattr(self, name), (int, float)) or math.isnan(value):
                raise ValueError(f"{name} must be a number, got {value!r}")


@dataclass(frozen=True)
class Limits:
    """Limits of training. The first one that is reached ends it; None means no limit.

    Limits do not affect the results up to the limit, so a run may be resumed with other limits.

    Parameters
    ----------
    epochs : int, optional
        Number of epochs, including epochs before a resume.
    max_steps : int, optional
        Number of updates, including updates before a resume.
    max_seconds : float, optional
        Training time in seconds, including the time before a resume.
    patience : int, optional
        Number of epochs without a better validation metric.

    Raises
    ------
    ValueError
        If a limit is negative or not a number, or `patience` is less than 1.
    """

    epochs: int | None = None
    max_steps: int | None = None
    max_seconds: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("max_steps", 0), ("patience", 1)):
            if (limit := getattr(self, name)) is not None:
                object.__setattr__(self, name, check_count(name, limit, least))
        if self.max_seconds is not None:
            seconds = check_non_negative("max_seconds", self.max_seconds)
            object.__setattr__(self, "max_seconds", seconds)

    @renamed_parameters(at="position")
    def reached(self, position: Position, seconds: float) -> str | None:
        """Return the name of a limit that is reached, or None.

        Parameters
        ----------
        position : Position
            Position of training.
        seconds : float
            Training time so far.

        Returns
        -------
        str or None
            `"epochs"`, `"max_steps"`, `"max_seconds"` or `"patience"`.
        """
        values = {
            "epochs": position.epoch - 1,
            "max_steps": position.step,
            "max_seconds": seconds,
            "patience": position.idle_epochs,
        }
        for name, value in values.items():
            limit = getattr(self, name)
            if limit is not None and value >= limit:
                return name
        return None


class TrainerProtocol(Protocol):
    """Interface between a session and a trainer; see `Trainer`."""

    position: Position
    metric_name: str
    count_name: str
    validation: Any
    steps_per_epoch: int
    best_weights: dict[str, Any] | None

    @property
    def model(self) -> Module: ...
    @property
    def evaluated(self) -> bool: ...
    @property
    def evaluation_due(self) -> bool: ...
    @property
    def work_done(self) -> tuple[float, str]: ...
    def update(self) -> dict[str, Any]: ...
    def evaluate(self) -> dict[str, Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, saved: dict[str, Any], source: Path) -> None: ...


class Session:
    """The part of training that runs in one process, from a checkpoint to a limit or signal.

    Parameters
    ----------
    folder : Path or None
        Folder of the checkpoint (`last.safetensors`), the best model (`model.safetensors`) and the
        records (`metrics.jsonl`). If it contains a checkpoint, the trainer continues from it. None:
        nothing is saved.
    trainer : Trainer
        The trainer to run.
    limits : Limits
        Limits that end training.
    on_step : callable, optional
        Called with the record of every update.
    on_epoch : callable, optional
        Called at the end of every epoch with the record of its evaluation, or of its last update
        without validation.

    Attributes
    ----------
    limit : str or None
        Name of the limit that ended training.
    signal : signal.Signals or None
        Signal that interrupted training.

    Raises
    ------
    InputError
        If the checkpoint is damaged or belongs to another trainer.
    """

    training = RenamedAttribute("trainer")

    @renamed_parameters(training="trainer")
    def __init__(
        self,
        folder: Path | None,
        trainer: TrainerProtocol,
        limits: Limits,
        on_step: Callback | None = None,
        on_epoch: Callback | None = None,
    ) -> None:
        self.folder, self.trainer, self.limits = folder, trainer, limits
        self._on_step, self._on_epoch = on_step or _ignore, on_epoch or _ignore
        self._seconds, self._record_count = 0.0, 0
        self._fields = ("step", trainer.count_name, trainer.metric_name)
        if folder is not None:
            self._load_checkpoint(folder)
        self.limit = limits.reached(trainer.position, self._seconds)
        self.signal: signal.Signals | None = None

    def _load_checkpoint(self, folder: Path) -> None:
        path = folder / "last.safetensors"
        if not (path.exists() or (folder / "model.safetensors").exists()):
            return
        saved = load_tree(path)
        with malformed_content_errors(path):
            self.trainer.load_state_dict(saved["training"], path)
            self._seconds = check_non_negative("seconds", saved["seconds"])
            self._record_count = check_count("records", saved["records"], 0)
        read_metrics(folder / "metrics.jsonl", self._record_count, self._fields)
        if self.trainer.validation is not None and self.trainer.position.best_step >= 0:
            read_arrays(folder / "model.safetensors")  # report damage now, not after training

    def train(self, progress: Progress) -> None:
        """Train until a limit is reached or a signal arrives, and set `limit` or `signal`.

        Parameters
        ----------
        progress : Progress
            Display of the progress.

        Raises
        ------
        TrainingDiverged
            If a loss or gradient is not finite. The folder then contains the last checkpoint, and
            the best model, or the last model if none was evaluated.
        """
        path = None if self.folder is None else self.folder / "metrics.jsonl"
        self._metrics = MetricsLog(path, self._record_count, self._fields)
        self._began = self._saved_at = time.monotonic()
        self._start: tuple[float, int, float] | None = None
        self._unsaved = not self._record_count
        self._save()
        signals = SignalRecorder()
        with signals.recording():
            try:
                self._repeat_updates(progress, signals)
            except TrainingDiverged:
                self._save()
                if self.folder is not None and self.trainer.position.best_step < 0:
                    save(self.folder / "model.safetensors", self.trainer.model)
                raise
            self._save()

    def _repeat_updates(self, progress: Progress, signals: SignalRecorder) -> None:
        trainer = self.trainer
        record: dict[str, Any] = {}
        while True:
            self._check_limits()
            if trainer.evaluation_due or (self.limit and not trainer.evaluated):
                record = self._evaluate(progress)
                self._check_limits()
            if record and trainer.position.batch == 0 and trainer.position.step:
                self._on_epoch(record)
            self.signal = signals.signal
            if self.limit or self.signal:
                return
            record = self._update(progress)

    def _check_limits(self) -> None:
        self.limit = self.limit or self.limits.reached(self.trainer.position, self.seconds)

    def finish(self) -> None:
        """Load the best weights into the model, or raise after a signal.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C interrupted training.
        SystemExit
            If SIGTERM interrupted training.
        """
        trainer, folder = self.trainer, self.folder
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)
        if trainer.validation is None:
            if folder is not None:
                save(folder / "model.safetensors", trainer.model)
        elif folder is not None:
            load(folder / "model.safetensors", trainer.model)
        elif trainer.best_weights is not None:
            trainer.model.load_state_dict(trainer.best_weights)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Records of updates and evaluations, including earlier sessions in the folder."""
        return self._metrics.read()

    @property
    def seconds(self) -> float:
        """Training time in seconds, including earlier sessions in the folder."""
        return self._seconds + time.monotonic() - self._began

    def _update(self, progress: Progress) -> dict[str, Any]:
        self._start = self._start or self._measure()
        record = self.trainer.update()
        self._add(record)
        progress.update(self._status(record[self.trainer.metric_name], self._start))
        self._on_step(record)
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            self._save()
        return record

    def _evaluate(self, progress: Progress) -> dict[str, Any]:
        self._save()
        record = self.trainer.evaluate()
        self._add(record)
        if record["best"]:
            if self.folder is None:
                self.trainer.best_weights = self.trainer.model.state_dict()
            else:
                save(self.folder / "model.safetensors", self.trainer.model)
        self._save()
        progress.evaluation(record, self.trainer.metric_name)
        return record

    def _add(self, record: dict[str, Any]) -> None:
        self._metrics.add(record | {"seconds": round(self.seconds, 3)})
        self._unsaved = True

    def _save(self) -> None:
        """Write a checkpoint if there are new records."""
        if not self._unsaved or self.folder is None:
            return
        self._metrics.flush()
        state = {
            "training": self.trainer.state_dict(),
            "seconds": self.seconds,
            "records": self._metrics.count,
        }
        save_tree(self.folder / "last.safetensors", state)
        self._unsaved, self._saved_at = False, time.monotonic()

    def _measure(self) -> tuple[float, int, float]:
        """Return the time, the step and the amount of work."""
        return time.monotonic(), self.trainer.position.step, self.trainer.work_done[0]

    def _status(self, metric: float, start: tuple[float, int, float]) -> Status:
        """Return the status, with the speed and the remaining time estimated since `start`."""
        trainer, limits = self.trainer, self.limits
        seconds, steps, work = (b - a for a, b in zip(start, self._measure(), strict=True))
        epoch_steps = None if limits.epochs is None else limits.epochs * trainer.steps_per_epoch
        bounds = [n for n in (epoch_steps, limits.max_steps) if n is not None]
        total_steps = min(bounds, default=None)
        seconds_left = math.inf
        if total_steps is not None:
            seconds_left = (total_steps - trainer.position.step) * seconds / steps
        if limits.max_seconds is not None:
            seconds_left = min(seconds_left, limits.max_seconds - self.seconds)
        return Status(
            step=trainer.position.step,
            total_steps=total_steps,
            loss=metric,
            validation=trainer.position.validation,
            speed=work / max(seconds, 1e-9),
            unit=trainer.work_done[1],
            seconds_left=max(seconds_left, 0.0),
        )


def _ignore(record: dict[str, Any]) -> None:
    pass
