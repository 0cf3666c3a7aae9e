"""Checkpointed scan: stores some of the carries, and recomputes the segments between them.

`checkpoint_schedule` divides a scan into segments. A recomputed segment is executed without a graph
and becomes one node, whose VJP rule executes the segment again and differentiates it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from math import inf, isqrt
from typing import Any

from .. import backend
from ..core import graph
from ..core.graph import Node, no_grad
from ..core.modes import eager_execution, operation_log
from ..core.mutation import memory_owner, next_version
from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import Tensor, unwrap
from ..ops.arguments import as_integer
from ..ops.joining import concatenate, record_concatenation, split
from ..recompute import (
    evaluate_replayable,
    evaluate_unchanged,
    evaluate_with_digests,
    record_as_one_node,
    recorded_since,
    replayable,
)
from ..transforms import is_recorded
from .checkpoint_schedule import Schedule, count_evaluations, equal_segments, revolve

NODE_BYTES = 500
"""The approximate size of a node without its residuals."""


@dataclass
class CheckpointedScan:
    """A scan that is executed segment by segment.

    Parameters
    ----------
    run_steps : callable
        ``run_steps(start, stop, carry, xs) -> (carry, ys)`` executes steps `start` to `stop`, which
        are numbered in the order of execution. `xs` has the inputs of these steps only, in the
        order of the input.
    steps : int
        Number of steps.
    reverse : bool
        True if the last input belongs to the first step.
    is_compiled : callable
        Returns True if a segment was compiled. Its captures are copied, so they need no check.
    """

    run_steps: Callable[[int, int, Any, Any], tuple[Any, Any]]
    steps: int
    reverse: bool
    is_compiled: Callable[[], bool]
    segment_length: int = 1  # the number of steps whose graph is in memory at once
    parameters: set[Node] = field(default_factory=set)  # nodes used by a step besides carry and x
    check_unchanged: Callable[[], Any] | None = None  # raises if the arrays of a step have changed

    def execute(
        self, carry: Any, xs: Any, checkpoint: Any, memory_budget: int | None
    ) -> tuple[Any, Any]:
        """Execute all steps; see `scan` for the arguments."""
        if checkpoint is not None and memory_budget is not None:
            raise ValueError("scan: checkpoint and memory_budget cannot be used together")
        if eager_execution.get() or operation_log.get() is not None:
            return self.run_steps(0, self.steps, carry, xs)
        if memory_budget is not None:
            return self._execute_within_budget(memory_budget, carry, xs)
        return self._execute_equal_segments(checkpoint, carry, xs)

    def _execute_equal_segments(self, checkpoint: Any, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Store the carry after every `checkpoint` steps."""
        sqrt = isqrt(max(self.steps - 1, 0)) + 1
        length = sqrt if checkpoint == "sqrt" else as_integer(checkpoint)
        if length is None or length < 1:
            raise ValueError(
                f'scan: checkpoint must be a positive integer or "sqrt", got {checkpoint!r}'
            )
        self.segment_length = length
        if self.steps > length and graph.recording.get():
            # Two steps are compiled, so that recomputation uses the same plan.
            self.parameters, _ = self._measure(min(2, self.steps - 1), carry, xs)
        return self.run_segments(0, self.steps, carry, xs, equal_segments(length))

    def _execute_within_budget(self, budget: int, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Store as many carries as fit into `budget` bytes besides the graph of a segment."""
        if not budget > 0:
            raise ValueError(
                f"scan: memory_budget must be a positive number of bytes, got {budget!r}"
            )
        if not graph.recording.get():  # segments limit the memory of the results of `precompute`
            return self._execute_equal_segments("sqrt", carry, xs)
        if self.steps < 3:
            return self.run_steps(0, self.steps, carry, xs)
        self._measure(1, carry, xs)
        self.parameters, bytes_of_two = self._measure(2, carry, xs)
        step_bytes = self._measure(3, carry, xs)[1] - bytes_of_two
        carry_bytes = max(1, sum(leaf.data.nbytes for leaf in flatten(carry)))
        if self.steps * step_bytes <= budget:
            return self.run_steps(0, self.steps, carry, xs)
        candidates = []
        for unit in {max(1, int(budget / step_bytes * 0.9**k)) for k in range(100)}:
            states = (budget - unit * step_bytes) // carry_bytes
            units = -(-self.steps // unit)
            evaluations = count_evaluations(units, states) * unit if states > 0 else inf
            candidates.append((evaluations, unit, states))
        evaluations, self.segment_length, states = min(candidates)
        if evaluations == inf:
            raise ValueError(
                f"scan: memory_budget={budget} bytes is too little for {self.steps} steps: the "
                f"graph of a step takes about {step_bytes} bytes, and each of several stored "
                f"carries {carry_bytes}; increase the budget"
            )
        return self.run_segments(0, self.steps, carry, xs, revolve(states, self.segment_length))

    def _measure(self, steps: int, carry: Any, xs: Any) -> tuple[set[Node], int]:
        """Record the first steps to measure them.

        Return the nodes that they use besides carry and xs, and the size of their graph in bytes.
        """
        inputs = slice(-steps, None) if self.reverse else slice(steps)
        start = next_version()
        carry, xs = tree_map(_as_leaf, (carry, tree_map(lambda leaf: leaf[inputs], xs)))
        evaluate = replayable(lambda: self.run_steps(0, steps, carry, xs))
        out, digests = evaluate_with_digests(evaluate)
        if digests and self.check_unchanged is None:
            self.check_unchanged = partial(evaluate_unchanged, evaluate, digests)
        step_nodes, outer_nodes = recorded_since(start, out)
        return outer_nodes, graph_bytes(step_nodes)

    def run_segments(
        self,
        start: int,
        stop: int,
        carry: Any,
        xs: Any,
        schedule: Schedule | None,
        outputs: OutputBuffer | None = None,
    ) -> tuple[Any, Any]:
        """Execute steps `start` to `stop` in the segments of `schedule`, or in one without it.

        The ys are written to `outputs`, which may hold more steps than these.
        """
        if schedule is None or start == stop:
            return self.run_steps(start, stop, carry, xs)
        segments = schedule(stop - start)
        outputs = outputs or OutputBuffer(start, stop, self.reverse)
        order = -1 if self.reverse else 1
        boundaries = [*accumulate(segment.length for segment in segments[::order])][:-1]
        columns = [split(leaf, boundaries)[::order] for leaf in flatten(xs)]
        chunks, first = [], start
        for i, segment in enumerate(segments):
            x, last = unflatten(xs, [column[i] for column in columns]), first + segment.length
            if segment.recompute and graph.recording.get():
                carry, ys = self._run_without_graph(
                    first, last, carry, x, segment.schedule, outputs
                )
            else:
                carry, ys = self.run_steps(first, last, carry, x)
                ys = outputs.write(first, last, ys)
            chunks.append(ys)
            first = last
        return carry, outputs.join(start, stop, chunks)

    def _run_without_graph(
        self,
        start: int,
        stop: int,
        carry: Any,
        xs: Any,
        schedule: Schedule | None,
        outputs: OutputBuffer,
    ) -> Any:
        """Execute a segment without its graph, which the backward pass recomputes."""

        def run() -> Any:
            without_graph = equal_segments(self.segment_length)
            return self.run_segments(start, stop, carry, xs, without_graph, outputs)

        def run_again() -> Any:
            return self.run_segments(start, stop, carry, xs, schedule)

        def recompute() -> Any:
            if self.check_unchanged is not None and not self.is_compiled():
                self.check_unchanged()
            return evaluate()

        inputs = {leaf._node for leaf in flatten((carry, xs)) if is_recorded(leaf)}
        with no_grad():
            out, evaluate = evaluate_replayable(run, run_again)
        return record_as_one_node(
            out, _is_computed, inputs | self.parameters, recompute, arguments=(carry, xs)
        )


class OutputBuffer:
    """One array for each leaf of the ys of a scan, to which the segments write their parts.

    A leaf whose shape or dtype differs between segments has no array; its parts are concatenated.
    """

    def __init__(self, start: int, stop: int, reverse: bool) -> None:
        self.start, self.stop, self.reverse = start, stop, reverse
        self.arrays: list[Any] = []  # one for each leaf; None if its parts are concatenated

    def position(self, start: int, stop: int) -> slice:
        """Return the position of the ys of steps `start` to `stop` in the arrays."""
        if self.reverse:
            return slice(self.stop - stop, self.stop - start)
        return slice(start - self.start, stop - self.start)

    def write(self, start: int, stop: int, ys: Any) -> Any:
        """Copy the ys of a segment into the buffer, and return them as views of it."""
        leaves, position = flatten(ys), self.position(start, stop)
        self.arrays = self.arrays or [self._allocate(leaf) for leaf in leaves]
        for n, (leaf, array) in enumerate(zip(leaves, self.arrays, strict=True)):
            if _fits(leaf, array):
                array[position] = leaf._data
                leaves[n] = Tensor(array[position], leaf._node)
            else:
                self.arrays[n] = None
        return unflatten(ys, leaves)

    def _allocate(self, leaf: Any) -> Any:
        xp = backend.of_array(unwrap(leaf)).xp
        return xp.empty((self.stop - self.start, *leaf.shape[1:]), leaf.dtype)

    def join(self, start: int, stop: int, chunks: list[Any]) -> Any:
        """Return the ys of consecutive segments as one, without a copy where they are views."""
        arrays = iter(self.arrays)

        def join(parts: list[Any]) -> Any:
            array = next(arrays)
            if array is None:
                return concatenate(parts)
            return record_concatenation(parts, array[self.position(start, stop)])

        return join_outputs(join, chunks, self.reverse)


def join_outputs(join: Callable[[Any], Any], ys: list[Any], reverse: bool) -> Any:
    """Join the ys of steps or segments, leaf by leaf, in the order of the input."""
    columns = [flatten(y) for y in (ys[::-1] if reverse else ys)]
    return unflatten(ys[0], [join(column) for column in zip(*columns, strict=True)])


def _fits(leaf: Any, array: Any) -> bool:
    """True if a leaf can be written into an array without conversion; a tracer cannot."""
    return (
        isinstance(leaf, Tensor)
        and type(leaf._data) is type(array)
        and (leaf.shape[1:], leaf.dtype) == (array.shape[1:], array.dtype)
    )


def _is_computed(leaf: Any) -> bool:
    """True for a floating result that the steps have computed without a graph.

    An argument that they return unchanged keeps its own node.
    """
    return isinstance(leaf, Tensor) and leaf.dtype.kind == "f" and leaf._node is None


def _as_leaf(value: Any) -> Any:
    """Return a recorded Tensor as a new leaf, at which the measured graph ends."""
    return value.detach().requires_grad_() if is_recorded(value) else value


def graph_bytes(nodes: set[Node]) -> int:
    """Return the approximate size of nodes and of the arrays that they save, each counted once."""
    arrays = [
        x for node in nodes if isinstance(node.residuals, tuple) for x in flatten(node.residuals)
    ]
    owners = [memory_owner(x) for x in arrays if hasattr(x, "nbytes")]
    sizes = {id(owner): owner.nbytes for owner in owners}
    return int(sum(sizes.values())) + NODE_BYTES * len(nodes)
