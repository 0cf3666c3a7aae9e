"""A recurrence over time: the one way that anything here runs step by step.

    carry, ys = scan(step, carry, xs)         with         step(carry, x) -> (carry, y)

The steps are executed one after another and recorded like everything else. Back-propagation through
time (Werbos 1990) is the engine's ordinary backward over that record. Where a step can be compiled,
nothing but the time that it takes is different (see `compile`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import compile as compile_
from ..core.pytree import flatten, same_nesting, structure, tree_map, unflatten
from ..ops.arguments import as_integer
from ..ops.joining import stack, unstack
from .checkpointed_scan import InParts, detached, joined
from .ragged import Alive, held, over_time

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
    both, `step` must be a pure function that uses the same tensors at every step. If an array that
    it closes over changes before the backward pass, that raises RuntimeError.

    A step that does the same at every call is compiled: it is called a few times to see what it
    does, and executed without it, with the same results and gradients but for rounding. Any other
    is recorded, with a warning that says why; so is every one, without a warning, with `compile`
    False, under `detect_anomaly`, or where the environment variable AUTOGRAD_COMPILE is 0.
    `explain`, given the same arguments, shows what becomes of a step. Since `precompute` may be
    given many steps or the slice of a single one, it has to treat each step alike.

    Raises ValueError for lengths that do not agree, for a step that changes the nesting of its
    carry, for a budget that does not hold a single step.
    """
    loop = _Loop(step, carry, xs, length, lengths, reverse, precompute, detach_every, compile)
    return InParts(loop.run, loop.steps, reverse).scan(carry, loop.xs, checkpoint, memory_budget)


def explain(
    step: Step, carry: Any, xs: Any, *, device: str | None = None, **options: Any
) -> compile_.Explanation:
    """How `scan`, given the same arguments, would execute the step, without doing it.

    The result has `compiled`, True or False, and `why` not, "" where it is. As text it is the plan:
    which operations are done once, before the loop, at every step and after it, forward and
    backward; what is kept in between; and the code of both loops, with the text of the CUDA kernels
    that they call (`kernels` has them, too) on a GPU. `device`, "cpu" or "cuda", asks about another
    device than that of the arrays; it need not be there.
    """
    of_loop = {k: v for k, v in options.items() if k not in ("checkpoint", "memory_budget")}
    loop = _Loop(step, carry, xs, **of_loop)
    return compile_.explain(loop.part(0, loop.steps, carry, loop.xs), device)


@dataclass
class _Loop:
    """The steps of a recurrence."""

    step: Step
    carry: Any
    xs: Any
    length: int | None = None
    lengths: Any = None
    reverse: bool = False
    precompute: Callable[[Any], Any] | None = None
    detach_every: int | None = None
    compile: bool | None = None

    def __post_init__(self) -> None:
        if self.detach_every is not None:
            steps = as_integer(self.detach_every)
            if steps is None or steps < 1:
                raise ValueError(
                    f"detach_every must be a positive number of steps, got {self.detach_every!r}"
                )
            self.detach_every = steps
        self.xs, self.steps = over_time(self.xs, self.length)
        self.alive = None if self.lengths is None else Alive(self.lengths, self.steps, self.carry)
        self.unwanted = compile_.unwanted(self.compile)

    def run(self, first: int, last: int, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Execute the steps from `first` to before `last`, in the order of execution, on the xs of
        just these steps.
        """
        return compile_.run(self.part(first, last, carry, xs))

    def part(self, first: int, last: int, carry: Any, xs: Any) -> compile_.Recurrence:
        """The same, as a recurrence of its own."""
        now = slice(self.steps - last, self.steps - first) if self.reverse else slice(first, last)
        every = self.detach_every or max(last, 1)
        cuts = tuple([n - first for n in range(0, last, every) if n > first])
        start = tree_map(detached, carry) if self._is_cut(first) else carry
        given = xs, self.alive and self.alive.rows(now)
        functions, n = (self.step, self.precompute), last - first
        again = partial(self.record, first, last, carry, xs)
        return compile_.Recurrence(
            self.one, functions, start, given, n, self.reverse, cuts, again, self.unwanted
        )

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
