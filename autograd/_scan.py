"""A recurrence over time: the one way that anything here runs step by step.

    carry, ys = scan(step, carry, xs)         with         step(carry, x) -> (carry, y)

The steps are executed one after another and recorded like everything else. Back-propagation through
time (Werbos 1990) is the engine's ordinary backward over that record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import backend
from ._tensor import Tensor, _arrays
from ._tree import flatten, structure, tree_map
from .ops.elementwise import where
from .ops.shape import stack, unstack

Step = Callable[[Any, Any], tuple[Any, Any]]


def scan(
    step: Step,
    carry: Any,
    xs: Any,
    *,
    length: int | None = None,
    lengths: Any = None,
    reverse: bool = False,
    detach_every: int | None = None,
) -> tuple[Any, Any]:
    """Run `step` over the first axis of `xs`, handing the carry on; returns the last carry and the
    stacked ys.

    `carry` and `xs` may be nested; every leaf of `xs` has the time as its first axis. With `xs`
    None, `length` says how many steps there are, and `step` gets None.

    `lengths` (B integers, any order, 0 allowed) makes the batch ragged: sequence b, the b-th entry
    of the second axis of xs and of the first axis of every carry, ends after lengths[b] steps. From
    there on its ys are 0 and its carry holds. `reverse` runs from each sequence's own end to its
    start; ys stay in the order of the input. `detach_every` cuts the history of the carry at every
    so many steps.

    Raises ValueError for lengths that do not agree, or for a step that changes the nesting of its
    carry.
    """
    xs = tree_map(lambda x: x if isinstance(x, Tensor) else Tensor(backend.of(x).asarray(x)), xs)
    steps = _length(xs, length)
    slices = [unstack(leaf) for leaf in flatten(xs)]
    alive = None if lengths is None else _Alive(lengths, steps, carry)
    if detach_every is not None and detach_every < 1:
        raise ValueError(f"detach_every counts steps, from 1 on, not {detach_every}")

    ys: list[Any] = [None] * steps
    earlier = 0
    for done, t in enumerate(reversed(range(steps)) if reverse else range(steps)):
        if detach_every is not None and done and done % detach_every == 0:
            carry = tree_map(_detach, carry)
        now = iter(slices)
        x = tree_map(lambda leaf, t=t, now=now: next(now)[t], xs)
        pair = step(carry, x)
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise TypeError(f"scan: a step returns (carry, y), not {structure(pair)}")
        new, y = pair
        tree_map(_nothing, new, carry)  # the same nesting, or an error
        if done:
            tree_map(_nothing, y, ys[earlier])
        earlier = t
        if alive is not None and not alive.full[t]:
            new = tree_map(lambda n, c, t=t: where(alive.mask(t, n), n, c), new, carry)
            y = tree_map(lambda v, t=t: where(alive.mask(t, v), v, 0), y)
        carry, ys[t] = new, y
    return carry, _stacked(ys)


def _length(xs: Any, length: int | None) -> int:
    found = {len(leaf) for leaf in flatten(xs)}
    if length is not None:
        if not isinstance(length, int) or length < 0:
            raise ValueError(f"scan: length= is the number of steps, not {length!r}")
        found.add(length)
    if len(found) != 1:
        raise ValueError(
            f"scan: xs and length= differ in length: {sorted(found)}"
            if found
            else "scan: without xs, length= must say how many steps there are"
        )
    return found.pop()


def _stacked(ys: list[Any]) -> Any:
    """The ys of all steps, leaf by leaf, along a new first axis; None if there was no step."""
    if not ys:
        return None
    columns = [flatten(y) for y in ys]
    leaves = iter([stack(column) for column in zip(*columns, strict=True)])
    return tree_map(lambda _: next(leaves), ys[0])


def _nothing(*leaves: Any) -> None:
    """For the comparison that `tree_map` makes on its way."""


def _detach(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


class _Alive:
    """Which sequences of a ragged batch are still running at step t."""

    def __init__(self, lengths: Any, steps: int, carry: Any) -> None:
        array = _arrays(lengths)
        host = np.asarray(backend.of(array).to_host(array))
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
        home = backend.of(_arrays(flatten(carry)[0])) if flatten(carry) else backend.current()
        self._running = home.asarray(running)

    def mask(self, t: int, like: Any) -> Any:
        """Shape (B, 1, ...), to be broadcast against `like`."""
        return self._running[t].reshape((-1,) + (1,) * (like.ndim - 1))
