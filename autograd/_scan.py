"""A recurrence over time: the one way that anything here runs step by step.

    carry, ys = scan(step, carry, xs)         with         step(carry, x) -> (carry, y)

The steps are executed one after another and recorded like everything else. Back-propagation through
time (Werbos 1990) is the engine's ordinary backward over that record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import backend
from . import compile as compile_
from ._checkpoint import as_now
from ._parts import InParts, detached, joined
from ._ragged import Alive, held
from ._tensor import Tensor
from ._tree import flatten, same_nesting, structure, tree_map, unflatten
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
    compile: bool | None = None,
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
    alive = None if lengths is None else Alive(lengths, steps, carry)
    compiles = compile_.wanted() if compile is None else compile
    loop = _Loop(step, steps, alive, reverse, precompute, detach_every, compiles)
    if checkpoint is None and memory_budget is None:
        return loop.run(0, steps, carry, xs)
    return InParts(loop.run, steps, reverse).scan(carry, xs, checkpoint, memory_budget)


@dataclass
class _Loop:
    """The steps of a recurrence."""

    step: Step
    steps: int
    alive: Alive | None
    reverse: bool
    precompute: Callable[[Any], Any] | None
    detach_every: int | None
    compile: bool

    def run(self, first: int, last: int, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Execute the steps from `first` to before `last`, in the order of execution, on the xs of
        just these steps.
        """
        if self.compile and last - first > 1:
            cuts = [n for n in range(first, last) if self._is_cut(n)]
            start = tree_map(detached, carry) if first in cuts else carry
            part = (
                slice(self.steps - last, self.steps - first) if self.reverse else slice(first, last)
            )
            alive = None if self.alive is None else self.alive.rows(part)
            again = as_now(lambda: self.record(first, last, carry, xs))
            done = compile_.run(
                self.one,
                start,
                (xs, alive),
                last - first,
                self.reverse,
                tuple([n - first for n in cuts]),
                again,
            )
            if done is not None:
                return done
        return self.record(first, last, carry, xs)

    def _is_cut(self, n: int) -> bool:
        return self.detach_every is not None and n > 0 and n % self.detach_every == 0

    def one(self, carry: Any, x_and_alive: Any) -> tuple[Any, Any]:
        """One step, of whatever batch."""
        x, alive = x_and_alive
        if self.precompute is not None and x is not None:
            x = self.precompute(x)
        pair = self.step(carry, x)
        return pair if alive is None else held(alive, carry, *pair)

    def record(self, first: int, last: int, carry: Any, xs: Any) -> tuple[Any, Any]:
        """The same, step by step."""
        if self.precompute is not None and xs is not None:
            xs = self.precompute(xs)
        slices = [unstack(leaf) for leaf in flatten(xs)]
        ys: list[Any] = []
        for n in range(first, last):
            if self._is_cut(n):
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
                new, y = held(self.alive.running[t], carry, new, y)
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
