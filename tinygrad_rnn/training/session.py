"""A training in time: checkpoints every few seconds, limits, signals, records, progress.

The clock decides when the run is saved and when `--max-seconds` ends it, never what is computed: a
run that is killed at any moment and resumed goes through the same numbers again.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from autograd.runtime.context import Undo

from ..errors import InputError, TrainingDiverged, parse_json
from ..nn import Module
from ..scalars import check_count, check_non_negative
from .progress import Progress, Status
from .serialization import (
    append,
    load,
    load_tree,
    read_arrays,
    reading,
    save,
    save_tree,
    write_file,
)

Note = Callable[[dict[str, Any]], object]
"""What is called with a record; its result does not matter."""

SAVE_EVERY = 5.0
"""Seconds of work that a crash costs, at most, besides the update or evaluation under way."""


@dataclass
class Position:
    """How far training has come. Steps are updates; -1: never."""

    step: int = 0
    epoch: int = 1
    batch: int = 0
    """Batches of this epoch that were learned from."""
    seen: float = 0
    """Examples, tokens or characters, as the loss counts them."""
    evaluated_step: int = -1
    validation: float = math.inf
    best_step: int = -1
    best_epoch: int = 0
    best: float = math.inf
    idle_epochs: int = 0
    """Epochs since the best evaluation, -1 if it was within the present epoch."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that are not a position, as in a damaged file."""
        for name in ("step", "batch", "best_epoch"):
            check_count(name, getattr(self, name), 0)
        for name in ("evaluated_step", "best_step", "idle_epochs"):
            check_count(name, getattr(self, name), -1)
        check_count("epoch", self.epoch)
        check_non_negative("seen", self.seen)
        for name in ("validation", "best"):
            if not isinstance(value := getattr(self, name), (int, float)) or math.isnan(value):
                raise ValueError(f"{name} must be a number, not {value!r}")


@dataclass(frozen=True)
class Limits:
    """What ends a training, whichever comes first. They do not touch the numbers on the way."""

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

    def reached(self, at: Position, seconds: float) -> str | None:
        """The name of the limit that ends training here, or None."""
        values = {
            "epochs": at.epoch - 1,
            "max_steps": at.step,
            "max_seconds": seconds,
            "patience": at.idle_epochs,
        }
        for name, value in values.items():
            limit = getattr(self, name)
            if limit is not None and value >= limit:
                return name
        return None


class Training(Protocol):
    """What a session trains: see `Trainer`."""

    position: Position
    figure: str
    counted: str
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
    def pace(self) -> tuple[float, str]: ...
    def update(self) -> dict[str, Any]: ...
    def evaluate(self) -> dict[str, Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, saved: dict[str, Any], source: Path) -> None: ...


class SignalRecorder:
    """While `noted()` is entered, the first Ctrl-C or SIGTERM is only noted, in `signal`. A second
    signal of either kind acts at once.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # the others get no signals
            handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
            self._previous = {n: h for n, h in handlers.items() if h is not signal.SIG_IGN}

    def noted(self) -> Undo[None]:
        """Return the context manager."""
        return Undo(self._install, self._restore)

    def _install(self) -> None:
        for number in self._previous:
            signal.signal(number, self._note)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()


class Metrics:
    """The records, in a file or in memory. Of the file, `count` lines are on the disk; what follows
    them is dropped.
    """

    def __init__(self, path: Path | None, count: int, figures: Sequence[str]) -> None:
        self.path, self.count, self.figures = path, count, figures
        self._pending: list[dict[str, Any]] = []
        if path is not None:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            write_file(path, b"".join(lines[:count]))

    def add(self, record: dict[str, Any]) -> None:
        self._pending.append(record)

    def flush(self) -> None:
        if self.path is not None:
            append(self.path, "".join(json.dumps(r) + "\n" for r in self._pending).encode())
            self.count += len(self._pending)
            self._pending.clear()

    def read(self) -> list[dict[str, Any]]:
        """All records."""
        saved = [] if self.path is None else read_metrics(self.path, self.count, self.figures)
        return saved + self._pending


def read_metrics(path: Path, count: int, figures: Sequence[str]) -> list[dict[str, Any]]:
    """The first `count` records of a training, each of which has these figures; InputError names
    the line that is damaged or missing.
    """
    lines = path.read_bytes().splitlines()[:count] if path.exists() else []
    if len(lines) < count:
        raise InputError(
            f"{path} is damaged: it has {len(lines)} lines, and the checkpoint is after {count}"
        )
    return [
        _record(line, figures, f"{path}, line {number}") for number, line in enumerate(lines, 1)
    ]


def _record(line: bytes, figures: Sequence[str], place: str) -> dict[str, Any]:
    """The record in a line of metrics.jsonl; InputError, naming the place, if it is none."""
    record = parse_json(line, place)
    if (
        not isinstance(record, dict)
        or record.get("event") not in ("update", "evaluation")
        or not all(isinstance(record.get(name), (int, float)) for name in figures)
    ):
        raise InputError(f"{place} is damaged: not the record of an update or an evaluation")
    return record


class Session:
    """The part of a training that one process does: from the last checkpoint to a limit or signal.

    With a folder, it holds the last state (last.safetensors), the best model (model.safetensors)
    and the records (metrics.jsonl); without, nothing is saved.
    """

    def __init__(
        self,
        folder: Path | None,
        training: Training,
        limits: Limits,
        on_step: Note | None = None,
        on_epoch: Note | None = None,
    ) -> None:
        """Go to the folder's last checkpoint, if it has one; InputError if that is damaged."""
        self.folder, self.training, self.limits = folder, training, limits
        self._on_step, self._on_epoch = on_step or _ignore, on_epoch or _ignore
        self._seconds, self._records = 0.0, 0
        self._figures = ("step", training.counted, training.figure)
        if folder is not None:
            self._go_to_checkpoint(folder)
        self.limit = limits.reached(training.position, self._seconds)
        self.signal: signal.Signals | None = None

    def _go_to_checkpoint(self, folder: Path) -> None:
        path = folder / "last.safetensors"
        if not (path.exists() or (folder / "model.safetensors").exists()):
            return
        saved = load_tree(path)
        with reading(path):
            self.training.load_state_dict(saved["training"], path)
            self._seconds = check_non_negative("seconds", saved["seconds"])
            self._records = check_count("records", saved["records"], 0)
        read_metrics(folder / "metrics.jsonl", self._records, self._figures)
        if self.training.validation is not None and self.training.position.best_step >= 0:
            read_arrays(folder / "model.safetensors")  # an error now, not after all epochs

    def train(self, progress: Progress) -> None:
        """Train until `limit` says what ended the training, or `signal` what interrupted it.

        TrainingDiverged leaves the last checkpoint in the folder, and a model: the best so far, or
        the last if none was evaluated.
        """
        metrics = None if self.folder is None else self.folder / "metrics.jsonl"
        self._metrics = Metrics(metrics, self._records, self._figures)
        self._began = self._saved_at = time.monotonic()
        self._start: tuple[float, int, float] | None = None
        self._unsaved = not self._records
        self._save()
        interruption = SignalRecorder()
        with interruption.noted():
            try:
                self._repeat_updates(progress, interruption)
            except TrainingDiverged:
                self._save()
                if self.folder is not None and self.training.position.best_step < 0:
                    save(self.folder / "model.safetensors", self.training.model)
                raise
            self._save()

    def _repeat_updates(self, progress: Progress, interruption: SignalRecorder) -> None:
        """Update and evaluate until a limit is reached or a signal has come."""
        training = self.training
        record: dict[str, Any] = {}
        while True:
            self._look_at_limits()
            if training.evaluation_due or (self.limit and not training.evaluated):
                record = self._evaluate(progress)
                self._look_at_limits()
            if record and training.position.batch == 0 and training.position.step:
                self._on_epoch(record)
            self.signal = interruption.signal
            if self.limit or self.signal:
                return
            record = self._update(progress)

    def _look_at_limits(self) -> None:
        self.limit = self.limit or self.limits.reached(self.training.position, self.seconds)

    def finish(self) -> None:
        """Give the model its best weights; after a signal, do what it usually does."""
        training, folder = self.training, self.folder
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)
        if training.validation is None:
            if folder is not None:
                save(folder / "model.safetensors", training.model)
        elif folder is not None:
            load(folder / "model.safetensors", training.model)
        elif training.best_weights is not None:
            training.model.load_state_dict(training.best_weights)

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was written down of the training, with a folder in earlier sessions too."""
        return self._metrics.read()

    @property
    def seconds(self) -> float:
        """Time spent on training, with a folder in earlier sessions too."""
        return self._seconds + time.monotonic() - self._began

    def _update(self, progress: Progress) -> dict[str, Any]:
        self._start = self._start or self._now()
        record = self.training.update()
        self._add(record)
        progress.update(self._status(record[self.training.figure], self._start))
        self._on_step(record)
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            self._save()
        return record

    def _evaluate(self, progress: Progress) -> dict[str, Any]:
        self._save()
        record = self.training.evaluate()
        self._add(record)
        if record["best"]:
            if self.folder is None:
                self.training.best_weights = self.training.model.state_dict()
            else:
                save(self.folder / "model.safetensors", self.training.model)
        self._save()
        progress.evaluation(record, self.training.figure)
        return record

    def _add(self, record: dict[str, Any]) -> None:
        self._metrics.add(record | {"seconds": round(self.seconds, 3)})
        self._unsaved = True

    def _save(self) -> None:
        """Write a checkpoint, unless the last one says the same."""
        if not self._unsaved or self.folder is None:
            return
        self._metrics.flush()
        state = {
            "training": self.training.state_dict(),
            "seconds": self.seconds,
            "records": self._metrics.count,
        }
        save_tree(self.folder / "last.safetensors", state)
        self._unsaved, self._saved_at = False, time.monotonic()

    def _now(self) -> tuple[float, int, float]:
        return time.monotonic(), self.training.position.step, self.training.pace[0]

    def _status(self, value: float, start: tuple[float, int, float]) -> Status:
        """Where training stands, with the speed since `start` and the time that it leaves."""
        training, limits = self.training, self.limits
        spent, done, paced = (b - a for a, b in zip(start, self._now(), strict=True))
        epochs = None if limits.epochs is None else limits.epochs * training.steps_per_epoch
        steps = min((n for n in (epochs, limits.max_steps) if n is not None), default=None)
        left = math.inf if steps is None else (steps - training.position.step) * spent / done
        if limits.max_seconds is not None:
            left = min(left, limits.max_seconds - self.seconds)
        return Status(
            step=training.position.step,
            steps=steps,
            loss=value,
            validation=training.position.validation,
            speed=paced / max(spent, 1e-9),
            unit=training.pace[1],
            left=max(left, 0.0),
        )


def _ignore(record: dict[str, Any]) -> None:
    pass
