"""A recurrence over time: the one way that anything here runs step by step.

    carry, ys = scan(step, carry, xs)         with         step(carry, x) -> (carry, y)

The steps are executed one after another and recorded like everything else. Back-propagation through
time (Werbos 1990) is the engine's ordinary backward over that record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import backend
from ._parts import InParts, detached, joined
from ._tensor import Tensor, _arrays
from ._tree import flatten, same_nesting, structure, tree_map, unflatten
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
    precompute: Callable[[Any], Any] | None = None,
    checkpoint: int | str | None = None,
    memory_budget: int | None = None,
    detach_every: int | None = None,
) -> tuple[Any, Any]:
    """Run `step` over the first axis of `xs`, handing the carry on; returns the last carry and the
    stacked ys.

    `carry` and `xs` may be nested; every leaf of `xs` has the time as its first axis. With `xs`
    None, `length` says how many steps there are, and `step` gets None. `precompute(xs)`, where
    given, computes for many steps at once what does not depend on the carry: step gets its slices.

    `lengths` (B integers, any order, 0 allowed) makes the batch ragged: sequence b, the b-th entry
    of the second axis of xs and of the first axis of every carry, ends after lengths[b] steps. From
    there on its ys are 0 and its carry holds. `reverse` runs from each sequence's own end to its
    start; ys stay in the order of the input. `detach_every` cuts the history of the carry at every
    so many steps.

    Backward needs a record of every step. `checkpoint`, a number of steps, keeps the carry at every
    so many of them instead and records them again when backward arrives; "sqrt" takes the root of
    the number of steps (Chen et al. 2016). `memory_budget`, in bytes, evaluates as few steps again
    as that memory allows (Gruslys et al. 2016); it is for what is kept beside xs and ys. Under
    both, `step` must be a pure function that uses the same tensors at every step.

    Raises ValueError for lengths that do not agree, for a step that changes the nesting of its
    carry, for a budget that does not hold a single step.
    """
    if detach_every is not None and detach_every < 1:
        raise ValueError(f"detach_every counts steps, from 1 on, not {detach_every}")
    xs = tree_map(lambda x: x if isinstance(x, Tensor) else Tensor(backend.of(x).asarray(x)), xs)
    steps = _length(xs, length)
    alive = None if lengths is None else _Alive(lengths, steps, carry)
    loop = _Loop(step, steps, alive, reverse, precompute, detach_every)
    if checkpoint is None and memory_budget is None:
        return loop.record(0, steps, carry, xs)
    return InParts(loop.record, steps, reverse).scan(carry, xs, checkpoint, memory_budget)


@dataclass
class _Loop:
    """The steps of a recurrence, one by one."""

    step: Step
    steps: int
    alive: _Alive | None
    reverse: bool
    precompute: Callable[[Any], Any] | None
    detach_every: int | None

    def record(self, first: int, last: int, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Execute the steps from `first` to before `last`, in the order of execution, on the xs of
        just these steps.
        """
        if self.precompute is not None and xs is not None:
            xs = self.precompute(xs)
        slices = [unstack(leaf) for leaf in flatten(xs)]
        ys: list[Any] = []
        for n in range(first, last):
            if self.detach_every is not None and n and n % self.detach_every == 0:
                carry = tree_map(detached, carry)
            i = last - 1 - n if self.reverse else n - first
            pair = self.step(carry, unflatten(xs, [leaf[i] for leaf in slices]))
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise TypeError(f"scan: a step returns (carry, y), not {structure(pair)}")
            new, y = pair
            for name, now, before in (("carry", new, carry), ("y", y, ys[-1] if ys else y)):
                if not same_nesting(now, before):
                    raise ValueError(
                        f"scan: a step must keep the nesting of its {name}: "
                        f"it was {structure(before)}, and became {structure(now)}"
                    )
            t = self.steps - 1 - n if self.reverse else n
            if self.alive is not None and not self.alive.full[t]:
                mask = partial(self.alive.mask, t)
                new = tree_map(lambda n, c, mask=mask: where(mask(n), n, c), new, carry)
                y = tree_map(lambda v, mask=mask: where(mask(v), v, 0), y)
            carry = new
            ys.append(y)
        return carry, joined(stack, ys, self.reverse)


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
