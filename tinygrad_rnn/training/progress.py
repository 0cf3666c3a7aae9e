"""How training shows that it moves: a live line in a terminal, lines of text anywhere else."""

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
    """Where training stands after an update. The speed is in `unit` per second, times are seconds;
    what is not known is None or inf.
    """

    step: int
    steps: int | None
    loss: float
    validation: float
    speed: float
    unit: str
    left: float

    @property
    def place(self) -> str:
        return f"step {self.step:,}" + (f"/{self.steps:,}" if self.steps is not None else "")

    def words(self, strong: str = "{}") -> str:
        """All but the place; `strong` formats the figures that matter most."""
        words = [f"loss {strong.format(format_metric(self.loss))}"]
        if math.isfinite(self.validation):
            words.append(f"validation {strong.format(format_metric(self.validation))}")
        words.append(f"{self.speed:,.{0 if self.speed >= 10 else 1}f} {self.unit}/s")
        if math.isfinite(self.left):
            words.append(f"{format_duration(self.left)} left")
        return "  ".join(words)


class Progress(Protocol):
    """What training tells about itself while it runs."""

    def update(self, status: Status) -> None: ...

    def evaluation(self, record: dict[str, Any], name: str) -> None:
        """`name` is that of the figure in the record that is to become small."""


class NoProgress:
    """Nothing is shown."""

    def update(self, status: Status) -> None:
        pass

    def evaluation(self, record: dict[str, Any], name: str) -> None:
        pass


class LineProgress:
    """A line for every evaluation, and one every few seconds in between."""

    def __init__(self, stream: TextIO, every: float = 5.0) -> None:
        self._stream, self._every, self._last = stream, every, time.monotonic()

    def update(self, status: Status) -> None:
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._print(f"{status.place}  {status.words()}")

    def evaluation(self, record: dict[str, Any], name: str) -> None:
        self._print(evaluation_line(record, name))

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveProgress:
    """One line that redraws itself, below a line for every evaluation (`rich` draws)."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.fields[place]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[words]}"),
            console=Console(file=stream, highlight=False),
            transient=True,
        )
        self._task: Any = None

    def update(self, status: Status) -> None:
        fields: dict[str, Any] = {
            "completed": status.step,
            "total": status.steps,
            "place": status.place,
            "words": status.words("[bold]{}[/]"),
        }
        if self._task is None:
            self._task = self._bar.add_task("training", **fields)
            self._bar.start()
        self._bar.update(self._task, **fields)

    def evaluation(self, record: dict[str, Any], name: str) -> None:
        self._bar.console.print(evaluation_line(record, name))

    def open(self) -> None:
        """The line appears with the first update."""

    def close(self) -> None:
        self._bar.stop()


@contextmanager
def progress_display(stream: TextIO) -> Iterator[Progress]:
    """The progress display that suits a stream, for as long as training lasts."""
    if not stream.isatty():
        yield LineProgress(stream)
        return
    live = LiveProgress(stream)
    with Undo(live.open, live.close):
        yield live


def evaluation_line(record: dict[str, Any], name: str) -> str:
    unit = "" if name == "loss" else " " + name.replace("_", " ")
    best = "  (best so far)" if record["best"] else ""
    return (
        f"epoch {record['epoch']}, step {record['step']:,}: "
        f"validation {format_metric(record[name])}{unit}{best}"
    )


def format_metric(value: float) -> str:
    """Three digits after the point, or of the number where that would leave none."""
    return f"{value:.2e}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def format_duration(seconds: float) -> str:
    """A time as 0:07, 12:34 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
