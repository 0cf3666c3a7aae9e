"""A training run in time: checkpoints every few seconds, limits, signals, records, progress.

The clock decides when the run is saved and when `--max-seconds` ends it, never what is computed: a
run that is killed at any moment and resumed goes through the same numbers again.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Self

from ..errors import InputError
from .files import append, load_tree, save, save_tree, write_file
from .language import LanguageTraining
from .progress import Progress, Status
from .run import Run

SAVE_EVERY = 5.0
"""Seconds of work that a crash costs, at most, besides the update or evaluation under way."""


class Interruption:
    """While entered, Ctrl-C and SIGTERM leave a note in `signal`; a second one acts at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals are not delivered there
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        signal.signal(number, self._previous[number])


class Metrics:
    """The file of records. `count` lines of it are on the disk; what follows them is dropped."""

    def __init__(self, path: Path, count: int) -> None:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        write_file(path, b"".join(lines[:count]))
        self.path, self.count = path, count
        self._pending: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        self._pending.append(record)

    def flush(self) -> None:
        append(self.path, "".join(json.dumps(r) + "\n" for r in self._pending).encode())
        self.count += len(self._pending)
        self._pending.clear()


def read_metrics(path: Path, count: int) -> list[dict[str, Any]]:
    """The first `count` records of a run; InputError names the line that is damaged or missing."""
    lines = path.read_bytes().splitlines()[:count] if path.exists() else []
    if len(lines) < count:
        raise InputError(
            f"{path} is damaged: it has {len(lines)} lines, and the checkpoint is after {count}"
        )
    return [_record(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _record(line: bytes, place: str) -> dict[str, Any]:
    """The record in a line of metrics.jsonl; InputError, naming the place, if it is none."""
    try:
        record = json.loads(line)
    except ValueError as error:  # not JSON, or not UTF-8
        raise InputError(f"{place} is damaged: {error}") from error
    figures = ("step", "characters", "bits_per_character")
    if (
        not isinstance(record, dict)
        or record.get("event") not in ("update", "evaluation")
        or not all(isinstance(record.get(name), (int, float)) for name in figures)
    ):
        raise InputError(f"{place} is damaged: not the record of an update or an evaluation")
    return record


def limit_reached(training: LanguageTraining, seconds: float) -> str | None:
    """The name of the option that ends the run here, or None."""
    reached = {
        "epochs": training.at.epoch - 1,
        "max_steps": training.at.step,
        "max_seconds": seconds,
    }
    for name, value in reached.items():
        limit = getattr(training.options, name)
        if limit is not None and value >= limit:
            return name
    return None


class Session:
    """The part of a run that one process trains: from the last checkpoint to a limit or signal."""

    def __init__(self, run: Run, training: LanguageTraining) -> None:
        """Go to the run's last checkpoint, if it has one; InputError if that is damaged."""
        self.run, self.training = run, training
        self._seconds, self._records = 0.0, 0
        path = run.path("last.safetensors")
        if path.exists() or run.path("model.safetensors").exists():
            saved = load_tree(path)
            try:
                training.load_state_dict(saved["training"], path)
                self._seconds, self._records = saved["seconds"], saved["records"]
                read_metrics(run.path("metrics.jsonl"), self._records)
            except InputError:
                raise
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path} is not a checkpoint of this run: {error!r}") from error
        self.limit = limit_reached(training, self._seconds)
        self.signal: signal.Signals | None = None

    def train(self, progress: Progress) -> None:
        """Train until `limit` says which option ended the run, or `signal` what interrupted it."""
        training = self.training
        self._metrics = Metrics(self.run.path("metrics.jsonl"), self._records)
        self._began = self._saved_at = time.monotonic()
        self._start: tuple[float, int, int] | None = None
        self._unsaved = not self._records
        self._save()
        with Interruption() as interruption:
            while True:
                self.limit = limit_reached(training, self.seconds)
                if training.evaluation_due or (self.limit and not training.evaluated):
                    self._evaluate(progress)
                self.signal = interruption.signal
                if self.limit or self.signal:
                    break
                self._update(progress)
            self._save()

    @property
    def records(self) -> list[dict[str, Any]]:
        """What `train` has written down of the run, in earlier sessions too."""
        return read_metrics(self._metrics.path, self._metrics.count)

    @property
    def seconds(self) -> float:
        """Time spent on training, in earlier sessions too."""
        return self._seconds + time.monotonic() - self._began

    def _update(self, progress: Progress) -> None:
        self._start = self._start or self._now()
        record = self.training.update()
        self._add(record)
        progress.update(self._status(record["bits_per_character"], self._start))
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            self._save()

    def _evaluate(self, progress: Progress) -> None:
        self._save()
        record = self.training.evaluate()
        self._add(record)
        if record["best"]:
            save(self.run.path("model.safetensors"), self.training.model)
        self._save()
        progress.evaluation(record)

    def _add(self, record: dict[str, Any]) -> None:
        self._metrics.add(record | {"seconds": round(self.seconds, 3)})
        self._unsaved = True

    def _save(self) -> None:
        """Write a checkpoint, unless the last one says the same."""
        if not self._unsaved:
            return
        self._metrics.flush()
        state = {
            "training": self.training.state_dict(),
            "seconds": self.seconds,
            "records": self._metrics.count,
        }
        save_tree(self.run.path("last.safetensors"), state)
        self._unsaved, self._saved_at = False, time.monotonic()

    def _now(self) -> tuple[float, int, int]:
        return time.monotonic(), self.training.at.step, self.training.at.characters

    def _status(self, bits_per_character: float, start: tuple[float, int, int]) -> Status:
        """Where training stands, with the speed since `start` and the time that it leaves."""
        options, at = self.training.options, self.training.at
        spent, done, read = (b - a for a, b in zip(start, self._now(), strict=True))
        steps = options.epochs * self.training.steps_per_epoch
        steps = min(steps, options.max_steps or steps)
        left = (steps - at.step) * spent / done
        left = min(left, (options.max_seconds or math.inf) - self.seconds)
        return Status(
            step=at.step,
            steps=steps,
            bits_per_character=bits_per_character,
            validation=at.validation_bits,
            speed=read / max(spent, 1e-9),
            left=max(left, 0.0),
        )
