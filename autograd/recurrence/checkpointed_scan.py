"""A recurrence executed in parts, of which only those that backward is at are recorded.

A plan says which parts. `segments` are of one length; `revolve` evaluates the least number of steps
again for a number of states that may be kept (Griewank & Walther 2000, "Algorithm 799: revolve";
Gruslys et al. 2016, "Memory-efficient backpropagation through time").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from math import comb, inf, isqrt
from typing import Any, NamedTuple

from .. import backend
from ..core import graph
from ..core.graph import Node, no_grad
from ..core.mutation import memory_owner, next_version
from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import Tensor, unwrap
from ..ops.arguments import as_integer
from ..ops.joining import concatenate, record_concatenation, split
from ..recompute import (
    eager_execution,
    evaluate_unchanged,
    evaluate_with_digests,
    record_as_one_node,
    recorded_since,
    replayable,
)
from ..transforms import is_recorded


@dataclass
class InParts:
    """A recurrence by its function `record(first, last, carry, xs) -> (carry, ys)`. `first` and
    `last` count the steps in the order of execution, `xs` are those of the part, in their own.
    """

    record: Callable[[int, int, Any, Any], tuple[Any, Any]]
    steps: int
    reverse: bool
    unit: int = 1  # so many steps are recorded at a time
    parameters: set[Node] = field(default_factory=set)  # what a step uses beside its carry and x
    check: Callable[[], Any] | None = None  # raises an error if the arrays of a step have changed

    def run(
        self,
        first: int,
        last: int,
        carry: Any,
        xs: Any,
        plan: Plan | None,
        page: Page | None = None,
    ) -> tuple[Any, Any]:
        """The same, part by part, with the ys on a page that may have more steps than these; the
        record of some parts is made again when backward arrives.
        """
        if plan is None:
            return self.record(first, last, carry, xs)
        parts, page = plan(last - first), page or Page(first, last, self.reverse)
        order = -1 if self.reverse else 1
        cuts = [*accumulate(part.length for part in parts[::order])][:-1]
        pieces = [split(leaf, cuts)[::order] for leaf in flatten(xs)]
        chunks, start = [], first
        for i, part in enumerate(parts):
            x, end = unflatten(xs, [leaf[i] for leaf in pieces]), start + part.length
            if part.forget and graph.recording.get():
                carry, ys = self._forget(start, end, carry, x, part.plan, page)
            else:
                carry, ys = self.record(start, end, carry, x)
                ys = page.written(start, end, ys)
            chunks.append(ys)
            start = end
        return carry, page.joined(first, last, chunks)

    def _forget(
        self, first: int, last: int, carry: Any, xs: Any, plan: Plan | None, page: Page
    ) -> Any:
        """A part of which only the carry at its beginning is kept."""
        run = replayable(lambda: self.run(first, last, carry, xs, plan))

        def again() -> Any:
            if self.check is not None:
                self.check()
            return run()

        inputs = {leaf._node for leaf in flatten((carry, xs)) if is_recorded(leaf)}
        with no_grad():
            out = self.run(first, last, carry, xs, segments(self.unit), page)
        return record_as_one_node(out, _is_new, inputs | self.parameters, again)

    # --- how much to keep -------------------------------------------------------------------------

    def scan(self, carry: Any, xs: Any, count: Any, budget: int | None) -> tuple[Any, Any]:
        """The whole recurrence, by `checkpoint=`, `memory_budget=`, or neither."""
        if count is not None and budget is not None:
            raise ValueError("scan takes checkpoint= or memory_budget=, not both")
        if eager_execution.get() or count is budget is None:
            return self.record(0, self.steps, carry, xs)
        if budget is not None:
            return self.within(budget, carry, xs)
        return self.every(count, carry, xs)

    def every(self, count: Any, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Keep the carry at every so many steps."""
        given = count
        count = isqrt(max(self.steps - 1, 0)) + 1 if given == "sqrt" else as_integer(given)
        if count is None or count < 1:
            raise ValueError(
                f'checkpoint must be a number of steps, at least 1, or "sqrt", got {given!r}'
            )
        self.unit = count
        if self.steps > count and graph.recording.get():
            self.parameters, _ = self._probe(1, carry, xs)
        return self.run(0, self.steps, carry, xs, segments(count))

    def within(self, budget: int, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Keep as many carries as the budget has room for beside the record of some steps."""
        if not budget > 0:
            raise ValueError(f"memory_budget is a number of bytes, not {budget!r}")
        if not graph.recording.get():
            return self.every("sqrt", carry, xs)  # nothing is kept, but for what precompute makes
        if self.steps < 3:
            return self.record(0, self.steps, carry, xs)
        self._probe(1, carry, xs)
        self.parameters, two = self._probe(2, carry, xs)
        record = self._probe(3, carry, xs)[1] - two
        state = max(1, sum(leaf.data.nbytes for leaf in flatten(carry)))
        if self.steps * record <= budget:
            return self.record(0, self.steps, carry, xs)
        choices = []
        for unit in {max(1, int(budget / record * 0.9**k)) for k in range(100)}:
            states = (budget - unit * record) // state
            again = evaluations(-(-self.steps // unit), states) if states > 0 else inf
            choices.append((again * unit, unit, states))
        again, self.unit, states = min(choices)
        if again == inf:
            raise ValueError(
                f"memory_budget={budget} bytes is too little for {self.steps} steps: the record of "
                f"one takes about {record} bytes, and a carry, of which several are kept, {state}"
            )
        return self.run(0, self.steps, carry, xs, revolve(states, self.unit))

    def _probe(self, steps: int, carry: Any, xs: Any) -> tuple[set[Node], int]:
        """What the first steps use beside carry and xs, and how many bytes their record holds."""
        piece = slice(-steps, None) if self.reverse else slice(steps)
        start = next_version()
        carry, xs = tree_map(_stand_in, (carry, tree_map(lambda leaf: leaf[piece], xs)))
        evaluate = replayable(lambda: self.record(0, steps, carry, xs))
        out, digests = evaluate_with_digests(evaluate)
        if digests and steps == 1:
            self.check = partial(evaluate_unchanged, evaluate, digests)
        inside, before = recorded_since(start, out)
        return before, size_of(inside)


def _is_new(leaf: Any) -> bool:
    """Whether a result of unrecorded steps has a gradient, and is not just handed through."""
    return isinstance(leaf, Tensor) and leaf.dtype.kind == "f" and leaf._node is None


def joined(join: Callable[[Any], Any], ys: list[Any], reverse: bool) -> Any:
    """The ys of all steps or parts in the order of the input, leaf by leaf; None without steps."""
    if not ys:
        return None
    columns = [flatten(y) for y in (ys[::-1] if reverse else ys)]
    return unflatten(ys[0], [join(column) for column in zip(*columns, strict=True)])


class Page:
    """The ys of all parts, each written to its place in one array as it comes; nobody else sees the
    array until the last has come. What does not fit, since its dtype is another one, say, stays
    apart, and so does what would come after it.
    """

    def __init__(self, first: int, last: int, reverse: bool) -> None:
        self.first, self.last, self.reverse = first, last, reverse
        self.arrays: list[Any] = []  # one for each leaf; None where pieces stay apart

    def place(self, first: int, last: int) -> slice:
        """Where the ys of some steps are, which are counted in the order of execution."""
        if self.reverse:
            return slice(self.last - last, self.last - first)
        return slice(first - self.first, last - self.first)

    def written(self, first: int, last: int, ys: Any) -> Any:
        """The ys of a part, as views of their places."""
        leaves, here = flatten(ys), self.place(first, last)
        self.arrays = self.arrays or [self._room(leaf) for leaf in leaves]
        for n, (leaf, array) in enumerate(zip(leaves, self.arrays, strict=True)):
            if _fits(leaf, array):
                array[here] = leaf._data
                leaves[n] = Tensor(array[here], leaf._node)
            else:
                self.arrays[n] = None
        return unflatten(ys, leaves)

    def _room(self, leaf: Any) -> Any:
        home = backend.of_array(unwrap(leaf))
        return home.xp.empty((self.last - self.first, *leaf.shape[1:]), leaf.dtype)

    def joined(self, first: int, last: int, chunks: list[Any]) -> Any:
        """The ys of parts one after another: what is in its place is there."""
        arrays = iter(self.arrays)

        def join(pieces: list[Any]) -> Any:
            array = next(arrays)
            if array is None:
                return concatenate(pieces)
            return record_concatenation(pieces, array[self.place(first, last)])

        return joined(join, chunks, self.reverse)


def _fits(leaf: Any, array: Any) -> bool:
    """Whether a leaf is an array like the one that it would be written into: no symbol of one."""
    return (
        isinstance(leaf, Tensor)
        and type(leaf._data) is type(array)
        and (leaf.shape[1:], leaf.dtype) == (array.shape[1:], array.dtype)
    )


def detached(value: Any) -> Any:
    """A leaf without its history."""
    return value.detach() if isinstance(value, Tensor) else value


def _stand_in(value: Any) -> Any:
    """A leaf in its place, so that what follows is recorded as it would be."""
    return value.detach().requires_grad_() if is_recorded(value) else value


def size_of(nodes: set[Node]) -> int:
    """The bytes that nodes hold, about: the arrays that they save, each once, and themselves."""
    saved = [
        x for node in nodes if isinstance(node.residuals, tuple) for x in flatten(node.residuals)
    ]
    owners = {
        id(one): one.nbytes for one in (memory_owner(x) for x in saved if hasattr(x, "nbytes"))
    }
    return int(sum(owners.values())) + 500 * len(nodes)


# --- plans ----------------------------------------------------------------------------------------


class Part(NamedTuple):
    """Some steps of a recurrence: recorded at once, or forgotten and made again by `plan` (None:
    recorded then).
    """

    length: int
    forget: bool = False
    plan: Plan | None = None


Plan = Callable[[int], list[Part]]
"""Which parts a recurrence of so many steps consists of."""


def segments(length: int) -> Plan:
    """Parts of one length; all but the last, where backward begins, are forgotten."""

    def plan(steps: int) -> list[Part]:
        whole = (steps - 1) // length
        return [Part(length, forget=True)] * whole + [Part(steps - whole * length)] * (steps > 0)

    return plan


def revolve(states: int, unit: int = 1) -> Plan:
    """The plan of least recomputation that keeps at most so many states beside the first, and the
    record of `unit` steps.
    """

    def plan(steps: int) -> list[Part]:
        parts, left = [], states
        while steps > unit:
            units = -(-steps // unit)
            length = advance(units, left) * unit
            parts.append(Part(length, forget=True, plan=revolve(left, unit)))
            steps, left = steps - length, max(left - 1, 0)
        return [*parts, Part(steps)] if steps else parts

    return plan


def advance(steps: int, states: int) -> int:
    """How many of `steps` (> 1) to forget before the next state is kept.

    With s states, the first among them, and every step evaluated r times before it is recorded,
    C(s + r, s) steps can be reversed (Griewank & Walther 2000, proposition 1). The part that is
    forgotten is reversed with s states and r - 1 evaluations more, the rest with s - 1 and r.
    """
    s = states + 1
    r = _repetitions(steps, s)
    return min(comb(s + r - 1, s), steps - comb(s + r - 2, s - 1))


def evaluations(steps: int, states: int) -> float:
    """How many evaluations `revolve` makes beside those that it records; infinitely many if some
    step would be evaluated more than 50 times, which no budget is worth.
    """
    s = states + 1
    r = _repetitions(steps, s)
    return r * steps - comb(s + r, s + 1) if r <= 50 else inf


def _repetitions(steps: int, s: int) -> int:
    r = 1
    while comb(s + r, s) < steps:
        r += 1
    return r
