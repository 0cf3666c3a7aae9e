"""State of a trainer: everything that its next update depends on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import autograd as ag

from .. import nn, optim
from ..data import Loader
from ..scalars import warn_changed_options
from .files import malformed_content_errors
from .serialization import load_arrays
from .session import Position
from .truncated_bptt import TruncatedBPTT


class TrainerParts(Protocol):
    """The attributes of a trainer that its state consists of."""

    position: Position
    model: nn.Module
    optimizer: optim.Optimizer
    schedule: optim.lr_scheduler.LRScheduler | None
    schedule_per: str
    clip: float | None
    accumulate: int
    batches: Any
    remaining: Iterator[Any] | None
    validation: Any
    validation_start: Any
    bptt: TruncatedBPTT | None


def get_state(trainer: TrainerParts) -> dict[str, Any]:
    """Return the state as nested dicts of arrays and JSON values.

    The keys are part of the file format: "at" is the position, "carried" the stream of the
    truncated BPTT.
    """
    return {
        "at": asdict(trainer.position),
        "options": _options(trainer),
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": trainer.schedule.state_dict() if trainer.schedule else None,
        "batches": trainer.batches.state_dict(),
        "validation": trainer.validation_start,
        "carried": trainer.bptt.state_dict() if trainer.bptt else None,
        "random": ag.random.get_state(),
    }


def set_state(trainer: TrainerParts, saved: dict[str, Any], source: str | Path) -> None:
    """Restore a state; raise InputError, naming `source`, if it does not match the trainer."""
    with malformed_content_errors(source):
        position = Position(**(dict.fromkeys(asdict(trainer.position)) | saved["at"]))
        schedule, stream = saved["schedule"], saved["carried"]
        schedule_kind = schedule and schedule.get("schedule", "a schedule")
        _check_presence("schedule", trainer.schedule, schedule_kind)
        _check_presence("truncated BPTT", trainer.bptt, stream and "TruncatedBPTT")
        load_arrays(trainer.model, saved["model"], source)
        trainer.optimizer.load_state_dict(saved["optimizer"])
        if trainer.schedule is not None:
            trainer.schedule.load_state_dict(schedule)
        trainer.batches.load_state_dict(saved["batches"])
        _check_position(trainer.batches, position)
        if trainer.validation_start is not None and saved["validation"] is not None:
            trainer.validation.load_state_dict(saved["validation"])
            trainer.validation_start = saved["validation"]
        if trainer.bptt is not None:
            trainer.bptt.load_state_dict(stream, trainer.model)
        ag.random.set_state(saved["random"])
        warn_changed_options("the training", saved.get("options"), _options(trainer))
        trainer.position = position
        trainer.remaining = iter(trainer.batches) if position.batch else None


@contextmanager
def restored_on_error(trainer: TrainerParts) -> Iterator[None]:
    """Restore the data, stream and random state after an error, so that training can continue.

    Errors include a second Ctrl-C and exceptions in the loss.
    """
    batches, random_state = trainer.batches.state_dict(), ag.random.get_state()
    stream = vars(trainer.bptt).copy() if trainer.bptt else {}
    try:
        yield
    except BaseException:
        trainer.remaining = None
        trainer.batches.load_state_dict(batches)
        ag.random.set_state(random_state)
        if trainer.bptt:
            vars(trainer.bptt).update(stream)
        raise


def _options(trainer: TrainerParts) -> dict[str, Any]:
    """Return the options that affect the next updates."""
    return {
        "schedule_per": None if trainer.schedule is None else trainer.schedule_per,
        "clip": trainer.clip,
        "accumulate": trainer.accumulate,
    }


def _check_presence(part: str, current: Any, saved_kind: str | None) -> None:
    """Raise ValueError if a part exists in only one of trainer and saved state."""
    if (current is None) != (saved_kind is None):
        current_kind = None if current is None else type(current).__name__
        raise ValueError(
            f"it was saved with {saved_kind or f'no {part}'}, but this trainer has "
            f"{current_kind or f'no {part}'}"
        )


def _check_position(batches: Any, position: Position) -> None:
    """Raise ValueError if the position of the data contradicts `position`."""
    if isinstance(batches, Loader):
        index, length = batches.position, len(batches)
        if position.batch != index % length:
            raise ValueError(
                f"training is at batch {position.batch} of the epoch, but the data are at batch "
                f"{index} of {length}"
            )
