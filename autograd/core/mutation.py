"""In-place writes, tracked by version counters.

Nodes of the graph and writes draw their numbers from one counter, `next_version`. An array that a
gradient needs is stale if its last write has a greater number than the node that saved it. The
backward pass compares these numbers (`check_versions`) and raises an error for stale arrays.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from heapq import heappushpop
from math import inf
from typing import Any

from ..backend import Array
from .modes import operation_log

next_version = itertools.count(1).__next__
"""Return the next number for a node or a write."""

latest_write = [0]
"""The version of the newest write. The list is a heap of one item: `heappushpop` keeps the maximum
and needs no lock.
"""

_writes: dict[int, tuple[int, weakref.ref[Any]]] = {}
"""The version of the last write into each block of memory, by the `id` of its owner."""

growth_hooks: list[Callable[[int], None]] = []
"""Functions that `record_write` calls with the version each time the version has doubled.
They search for graphs that grow without bound, at a negligible amortized cost per operation.
"""

next_growth_check = 10_000


def memory_owner(array: Array) -> Array:
    """Return the array that owns the memory of `array`: itself, or the base of a view."""
    while (base := getattr(array, "base", None)) is not None and type(base) is type(array):
        array = base
    return array


def record_write(array: Array) -> None:
    """Mark everything that saved the memory of `array` as stale. Call this before the write."""
    global next_growth_check
    if operation_log.raw() and (log := operation_log.get()) is not None:
        log.flag("it writes into a tensor in place")
    owner, version = memory_owner(array), next_version()
    key = id(owner)
    _writes[key] = (version, weakref.ref(owner, lambda _: _writes.pop(key, None)))
    heappushpop(latest_write, version)
    if version > next_growth_check:
        next_growth_check = 2 * version
        for hook in growth_hooks:
            hook(version)


def check_versions(name: str, residuals: Iterable[Any], since: int, until: float = inf) -> None:
    """Raise RuntimeError if a residual of operation `name` was written between two versions."""
    for array in residuals:
        if hasattr(array, "shape"):
            version, _ = _writes.get(id(memory_owner(array)), (since, None))
            if since < version < until:
                raise overwritten_error(name, array.shape)


def overwritten_error(name: str, shape: tuple[int, ...]) -> RuntimeError:
    return RuntimeError(
        f"{name}: an array of shape {shape} that its gradient needs was written in place after it "
        "was recorded (by an optimizer step, an initializer or `+=`); call backward before the "
        "write, or recompute the result after it"
    )
