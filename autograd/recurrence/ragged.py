"""The lengths of a recurrence: how many steps there are, and in ragged batches which sequences are
still running at a step, and what becomes of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..core import graph
from ..core.pytree import flatten, tree_map
from ..core.tensor import Tensor, unwrap
from ..ops.arguments import as_integer
from ..ops.selection import where


def over_time(xs: Any, length: int | None) -> tuple[Any, int]:
    """The xs as tensors, and how many steps they, or `length`, say there are; ValueError where they
    do not agree.
    """
    xs = tree_map(lambda x: x if isinstance(x, Tensor) else Tensor(_unshared(x)), xs)
    found = {len(leaf) for leaf in flatten(xs)}
    if length is not None:
        steps = as_integer(length)
        if steps is None or steps < 0:
            raise ValueError(f"scan: length= must be a number of steps, got {length!r}")
        found.add(steps)
    if len(found) != 1:
        raise ValueError(
            f"scan: xs and length= differ in length: {sorted(found)}"
            if found
            else "scan: without xs, length= must say how many steps there are"
        )
    return xs, found.pop()


def _unshared(x: Any) -> Any:
    """Input as an array that the caller cannot change, if the backward pass may need it."""
    array = backend.of_array(x).asarray(x)
    return array.copy() if array is x and graph.recording.get() else array


class Alive:
    """Which sequences of a ragged batch are still running at step t."""

    def __init__(self, lengths: Any, steps: int, carry: Any) -> None:
        array = unwrap(lengths)
        host = np.asarray(backend.of_array(array).to_host(array))
        if host.ndim != 1 or (host.size and host.dtype.kind not in "iu"):
            raise ValueError(
                f"lengths are one integer per sequence, not of shape {host.shape} {host.dtype}"
            )
        if host.size and not (host.min() >= 0 and host.max() <= steps):
            raise ValueError(
                f"lengths must lie between 0 and the {steps} steps there are, "
                f"not {host.min()} to {host.max()}"
            )
        for leaf in flatten(carry):
            if leaf.shape[:1] != host.shape:
                raise ValueError(f"{host.size} lengths do not fit a carry of shape {leaf.shape}")
        running = np.arange(steps)[:, None] < host
        self.full = [bool(row.all()) for row in running]
        home = backend.of_array(unwrap(flatten(carry)[0])) if flatten(carry) else backend.current()
        self.running = home.asarray(running)

    def rows(self, part: slice) -> Tensor | None:
        """Who is running at some steps, (n, B); None if all are."""
        return None if all(self.full[part]) else Tensor(self.running[part])


def held(alive: Any, carry: Any, new: Any, y: Any) -> tuple[Any, Any]:
    """What a step hands on, and its y, given who is running (B): for the others the carry holds and
    y is 0.
    """

    def mask(like: Any) -> Any:
        return alive.reshape((-1,) + (1,) * (like.ndim - 1))

    new = tree_map(lambda n, c: where(mask(n), n, c), new, carry)
    return new, tree_map(lambda v: where(mask(v), v, 0), y)
