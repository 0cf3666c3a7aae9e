"""How training shows that it moves: a live line in a terminal, lines of text anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TextIO


@dataclass(frozen=True)
class Status:
    """Where training stands after an update. Speeds are characters per second, times seconds."""

    step: int
    steps: int
    bits_per_character: float
    validation: float
    speed: float
    left: float


class Progress(Protocol):
    """What training tells about itself while it runs."""

    def update(self, status: Status) -> None: ...

    def evaluation(self, record: dict[str, Any]) -> None: ...


class Silent:
    """Nothing is shown."""

    def update(self, status: Status) -> None:
        pass

    def evaluation(self, record: dict[str, Any]) -> None:
        pass


class Lines:
    """A line for every evaluation, and one every few seconds in between."""

    def __init__(self, stream: TextIO, every: float = 5.0) -> None:
        self._stream, self._every, self._last = stream, every, time.monotonic()

    def update(self, status: Status) -> None:
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._print(
                f"step {status.step:,}/{status.steps:,}  "
                f"loss {status.bits_per_character:.3f}  validation {status.validation:.3f}  "
                f"{status.speed:,.0f} chars/s  {clock(status.left)} left"
            )

    def evaluation(self, record: dict[str, Any]) -> None:
        self._print(evaluation_line(record))

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class Live:
    """One line that redraws itself, below a line for every evaluation (`rich` draws)."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("step {task.completed:,}/{task.total:,}"),
            BarColumn(bar_width=None),
            TextColumn(
                "loss [bold]{task.fields[loss]:.3f}[/]  "
                "validation [bold]{task.fields[validation]:.3f}[/]  "
                "{task.fields[speed]:,.0f} chars/s  {task.fields[left]} left"
            ),
            console=Console(file=stream, highlight=False),
            transient=True,
        )
        self._task: Any = None

    def update(self, status: Status) -> None:
        fields: dict[str, Any] = {
            "completed": status.step,
            "total": status.steps,
            "loss": status.bits_per_character,
            "validation": status.validation,
            "speed": status.speed,
            "left": clock(status.left),
        }
        if self._task is None:
            self._task = self._bar.add_task("training", **fields)
            self._bar.start()
        self._bar.update(self._task, **fields)

    def evaluation(self, record: dict[str, Any]) -> None:
        self._bar.console.print(evaluation_line(record))

    def close(self) -> None:
        self._bar.stop()


@contextmanager
def shown_on(stream: TextIO) -> Iterator[Progress]:
    """The progress display that suits a stream, for as long as training lasts."""
    if not stream.isatty():
        yield Lines(stream)
        return
    live = Live(stream)
    try:
        yield live
    finally:
        live.close()


def evaluation_line(record: dict[str, Any]) -> str:
    best = "  (best so far)" if record["best"] else ""
    return (
        f"epoch {record['epoch']}, step {record['step']:,}: "
        f"validation {record['bits_per_character']:.3f} bits per character{best}"
    )


def clock(seconds: float) -> str:
    """A time as 0:07, 12:34 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
