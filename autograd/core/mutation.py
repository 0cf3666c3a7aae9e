"""Writes in place, stamped by the clock that numbers the graph's nodes: "written after it was
recorded" is a comparison.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from heapq import heappushpop
from math import inf
from typing import Any

from ..backend import Array
from ..runtime.context import ContextVariable

next_version = itertools.count(1).__next__
"""Numbers nodes and writes alike."""

latest_write = [0]
"""When the newest write was; a heap of one item, because `heappushpop` keeps the maximum without a
lock.
"""

count_at = 10_000
count: Callable[[int], None] | None = None
"""Called now and then, always after twice as much time; handed over by `_growth`."""

_times: dict[int, tuple[int, weakref.ref[Any]]] = {}  # by the identity of the memory's owner


def memory_owner(array: Array) -> Array:
    """The array that owns the memory which `array` shows."""
    while (base := getattr(array, "base", None)) is not None and type(base) is type(array):
        array = base
    return array


write_guard: ContextVariable[Callable[[], None] | None] = ContextVariable(
    "write_guard", default=None
)
"""While nothing may be written: raises why."""


def check_writable() -> None:
    """To be called before the library writes in place; raises where that must not be."""
    if (refused := write_guard.get()) is not None:
        refused()


def record_write(array: Array) -> None:
    """Remember that the library is about to write into `array`: graphs that saved it before are
    stale.
    """
    global count_at
    memory, now = memory_owner(array), next_version()
    key = id(memory)
    _times[key] = (now, weakref.ref(memory, lambda _: _times.pop(key, None)))
    heappushpop(latest_write, now)
    if count is not None and now > count_at:
        count_at = 2 * now
        count(now)


def check_versions(name: str, saved: Iterable[Any], since: int, until: float = inf) -> None:
    """Raise RuntimeError if somebody wrote, between two times, into the memory of an array that the
    gradient of operation `name` needs.
    """
    for array in saved:
        if (
            hasattr(array, "shape")
            and since < _times.get(id(memory_owner(array)), (since, None))[0] < until
        ):
            raise overwritten_error(name, array.shape)


def overwritten_error(name: str, shape: tuple[int, ...]) -> RuntimeError:
    return RuntimeError(
        f"{name}: an array {shape} that its gradient needs was written in place after it was "
        "recorded (by an optimiser's step, an initialiser, `+=`); call backward before the write, "
        "or record again after it"
    )
