"""Progress displays: a redrawn line in a terminal, plain lines of text on any other stream."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from autograd.runtime.context import Undo


@dataclass(frozen=True)
class Status:
    """State of training after an update.

    Attributes
    ----------
    step, total_steps
        Updates so far, and at the end (None if unknown).
    loss, validation
        The latest metric values of training and validation (inf before the first evaluation).
    speed, unit
        The speed in `unit` per second.
    seconds_left
        The expected remaining time (inf if unknown).
    """

    step: int
    total_steps: int | None
    loss: float
    validation: float
    speed: float
    unit: str
    seconds_left: float

    @property
    def step_text(self) -> str:
        total = "" if self.total_steps is None else f"/{self.total_steps:,}"
        return f"step {self.step:,}{total}"

    def metrics_text(self, emphasis: str = "{}") -> str:
        """Return loss, validation, speed and remaining time; `emphasis` formats the metrics."""
        parts = [f"loss {emphasis.format(format_metric(self.loss))}"]
        if math.isfinite(self.validation):
            parts.append(f"validation {emphasis.format(format_metric(self.validation))}")
        parts.append(f"{self.speed:,.{0 if self.speed >= 10 else 1}f} {self.unit}/s")
        if math.isfinite(self.seconds_left):
            parts.append(f"{format_duration(self.seconds_left)} left")
        return "  ".join(parts)


class Progress(Protocol):
    """Receiver of the status of training."""

    def update(self, status: Status) -> None:
        """Show the status after an update."""

    def evaluation(self, record: dict[str, Any], metric_name: str) -> None:
        """Show the record of an evaluation, which holds the metric under `metric_name`."""


class NoProgress:
    """Progress display that shows nothing."""

    def update(self, status: Status) -> None:
        pass

    def evaluation(self, record: dict[str, Any], metric_name: str) -> None:
        pass


class LineProgress:
    """Progress display that prints a line for every evaluation and every `interval` seconds."""

    def __init__(self, stream: TextIO, interval: float = 5.0) -> None:
        self._stream, self._interval, self._printed_at = stream, interval, time.monotonic()

    def update(self, status: Status) -> None:
        if time.monotonic() - self._printed_at >= self._interval:
            self._printed_at = time.monotonic()
            self._print(f"{status.step_text}  {status.metrics_text()}")

    def evaluation(self, record: dict[str, Any], metric_name: str) -> None:
        self._print(evaluation_line(record, metric_name))

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveProgress:
    """Progress display that redraws one line with `rich`, below a line for every evaluation."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.fields[step_text]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[metrics_text]}"),
            console=Console(file=stream, highlight=False),
            transient=True,
        )
        self._task: Any = None

    def update(self, status: Status) -> None:
        fields: dict[str, Any] = {
            "completed": status.step,
            "total": status.total_steps,
            "step_text": status.step_text,
            "metrics_text": status.metrics_text("[bold]{}[/]"),
        }
        if self._task is None:
            self._task = self._bar.add_task("training", **fields)
            self._bar.start()
        self._bar.update(self._task, **fields)

    def evaluation(self, record: dict[str, Any], metric_name: str) -> None:
        self._bar.console.print(evaluation_line(record, metric_name))

    def open(self) -> None:
        """Do nothing: the first update draws the line."""

    def close(self) -> None:
        self._bar.stop()


@contextmanager
def progress_display(stream: TextIO) -> Iterator[Progress]:
    """Yield the progress display that suits a stream, and close it when the block ends."""
    if not stream.isatty():
        yield LineProgress(stream)
        return
    display = LiveProgress(stream)
    with Undo(display.open, display.close):
        yield display


def evaluation_line(record: dict[str, Any], metric_name: str) -> str:
    unit = "" if metric_name == "loss" else " " + metric_name.replace("_", " ")
    best = "  (best so far)" if record["best"] else ""
    return (
        f"epoch {record['epoch']}, step {record['step']:,}: "
        f"validation {format_metric(record[metric_name])}{unit}{best}"
    )


def format_metric(value: float) -> str:
    """Format with three decimals, or in scientific notation if the value is below 0.01."""
    return f"{value:.2e}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def format_duration(seconds: float) -> str:
    """Format a time in seconds as `0:07`, `12:34` or `1:02:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
