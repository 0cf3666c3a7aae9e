"""The schedule of a step: which operations run once, step by step, or for many steps at once.

The operations of a step fall into four sections, in the forward pass and in the backward pass:

    hoisted     loop-invariant operations: once per call
    prologue    operations that do not depend on the carry: for a chunk of steps at once, before
                its loop
    body        operations that depend on the carry: step by step
    epilogue    operations that no later step depends on: for a chunk at once, after its loop

"At once" means on arrays with the time as an additional first axis. The residuals of the forward
pass are stored, except for loop-invariant values and views of other residuals.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core.primitive import Primitive
from ..ops import extremes, indexing, joining, matmul, reduction, shape, softmax
from .ir import BackwardGraph, Op, StepGraph, Value, is_pointwise, producers


def _primitives(*operations: Any) -> set[Primitive]:
    return {operation.primitive for operation in operations}


LINEAR, MATMUL = matmul._linear.primitive, matmul._matmul.primitive
SUM, RESHAPE = reduction._sum.primitive, shape._reshape.primitive
TRANSPOSE, REVERSED_AXES = shape._transpose.primitive, shape.reversed_axes.primitive
SPLIT, UNSTACK = joining._split.primitive, joining._unstack.primitive
CONCATENATE, STACK = joining._concatenate.primitive, joining._stack.primitive
BROADCAST, GETITEM = shape._broadcast_to.primitive, indexing._getitem.primitive
TAKE, SCATTER = indexing._take.primitive, indexing._scatter.primitive
REDUCTIONS = _primitives(
    reduction._sum, extremes._max, extremes._min, reduction._all, reduction._any
)
ALONG_AXIS = _primitives(
    joining._split, joining._unstack, joining._concatenate, joining._stack, softmax._log_softmax
)
VIEWS = {RESHAPE, TRANSPOSE, REVERSED_AXES, SPLIT, UNSTACK, BROADCAST}

Producers = Mapping[Value, Op]
"""The operation that computes each value; inputs have none."""


# --- views ----------------------------------------------------------------------------------------


def is_view(op: Op | None, produced_by: Producers) -> bool:
    """True if the result of an operation is a view of its first argument."""
    if op is None:
        return False
    if op.primitive is RESHAPE:  # a view of a contiguous array
        source = produced_by.get(op.args[0])
        return not is_view(source, produced_by) or (source and source.primitive) is RESHAPE
    return op.primitive in VIEWS or (op.primitive is GETITEM and is_basic_index(op.static["index"]))


def root(value: Value, produced_by: Producers) -> Value:
    """Return the value at the start of a chain of views; the value itself if it is not a view."""
    op = produced_by.get(value)
    while op is not None and is_view(op, produced_by):
        value = op.args[0]
        op = produced_by.get(value)
    return value


def is_basic_index(index: Any) -> bool:
    """True if an index consists of integers, slices, None and Ellipsis only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is ... or type(p) in (int, slice) for p in parts)


# --- operations on many steps at once -------------------------------------------------------------


def along_time(op: Op, varying: Container[Value]) -> Mapping[str, Any] | None:
    """Return the static parameters with which an operation computes the results of many steps.

    Its arguments are arrays with the time as an additional first axis; arguments that do not vary
    lack this axis. A static parameter that is a shape remains the shape of one step.

    Returns
    -------
    mapping or None
        None if the operation must run step by step.
    """
    primitive, static = op.primitive, op.static
    first, *others = op.args or (None,)
    if is_pointwise(primitive) or primitive in (MATMUL, RESHAPE, BROADCAST, REVERSED_AXES):
        return static
    if primitive is LINEAR:
        return static if others[0] not in varying else None
    if primitive in REDUCTIONS:
        return {**static, "axes": tuple([a + 1 for a in static["axes"]])}
    if primitive in ALONG_AXIS:
        axis = static["axis"]
        return {**static, "axis": axis + 1 if axis >= 0 else axis}
    if primitive is TRANSPOSE:
        return {"axes": (0, *[a + 1 for a in static["axes"]])}
    if primitive is GETITEM:
        index = static["index"]
        if is_basic_index(index):
            return {"index": (slice(None), *(index if isinstance(index, tuple) else (index,)))}
        return static if first not in varying and isinstance(index, Value) else None
    if primitive is TAKE:
        return static if first not in varying and static["axis"] == 0 else None
    return None


def _is_sum_of_scatters(op: Op, varying: Container[Value]) -> bool:
    """True if the sum over time of a scatter-add into zeros, at indices that differ from step to
    step, is one scatter-add of arrays over time.
    """
    if op.primitive is not SCATTER or op.args[0] not in varying:
        return False
    index = op.static["index"]
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [p for p in parts if isinstance(p, Value)]
    return (
        all(type(p) is int or isinstance(p, Value) for p in parts)
        and all(p.dtype.kind in "iu" and p in varying for p in arrays)
        and len({p.ndim for p in arrays}) == 1
    )


# --- schedules ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LoopSchedule:
    """The sections of the forward or of the backward pass.

    Attributes
    ----------
    hoisted, prologue, body, epilogue : tuple of Op
        The operations of each section in the order of execution.
    varying : frozenset of Value
        The values that differ from step to step.
    carried : tuple of (Value, Value or None)
        The carry that a step reads, and the carry that it returns for the next step (None: zeros).
        In the backward pass these are gradients.
    results : frozenset of Value
        The values that are needed after the step: the returned carry, outputs and residuals.
    summed : frozenset of Value
        The results of which only the sum over all steps is needed.
    scattered : frozenset of Value
        The summed results that are one scatter-add over all steps of a chunk.
    """

    hoisted: tuple[Op, ...]
    prologue: tuple[Op, ...]
    body: tuple[Op, ...]
    epilogue: tuple[Op, ...]
    varying: frozenset[Value]
    carried: tuple[tuple[Value, Value | None], ...]
    results: frozenset[Value]
    summed: frozenset[Value]
    scattered: frozenset[Value]

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operations of all sections."""
        return (*self.hoisted, *self.prologue, *self.body, *self.epilogue)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The order of execution of a step's forward and backward pass.

    `residuals` are the values of the forward pass that are stored for the backward pass.
    `backward` is None if no result has a gradient.
    """

    graph: StepGraph
    backward_graph: BackwardGraph | None
    forward: LoopSchedule
    backward: LoopSchedule | None
    residuals: tuple[Value, ...]

    @property
    def producers(self) -> dict[Value, Op]:
        """The operation that computes each value in the forward or the backward pass."""
        backward = () if self.backward is None else self.backward.ops
        return producers((*backward, *self.forward.ops))


def build_schedule(graph: StepGraph, backward_graph: BackwardGraph | None) -> Schedule:
    """Assign the operations of a step to sections, and determine the residuals."""
    carried = tuple(zip(graph.carry, graph.new_carry, strict=True))
    forward = _loop_schedule(graph.ops, graph.xs, carried, graph.ys)
    backward, residuals = None, tuple[Value, ...]()
    if backward_graph is not None:
        gradients = (*backward_graph.d_xs, *backward_graph.d_captures)
        outputs = [d for d in gradients if d is not None]
        if outputs or any(d is not None for d in backward_graph.d_carry):
            ops, residuals = _backward_ops(graph, backward_graph, forward.varying, outputs)
            backward = _backward_schedule(graph, backward_graph, ops, residuals, outputs)
            forward = _loop_schedule(graph.ops, graph.xs, carried, [*graph.ys, *residuals])
    return Schedule(graph, backward_graph, forward, backward, residuals)


def with_forward_ops(
    schedule: Schedule, ops: Iterable[Op], constants: Iterable[tuple[Value, Any]] = ()
) -> Schedule:
    """Return the schedule of a step whose forward operations are replaced by equivalent ones.

    The operations may read additional constants. The backward pass remains the same: the operations
    must compute the values that it reads.
    """
    graph = schedule.graph
    graph = replace(graph, ops=tuple(ops), constants=(*graph.constants, *constants))
    return build_schedule(graph, schedule.backward_graph)


def _backward_ops(
    graph: StepGraph, backward: BackwardGraph, varying: Container[Value], outputs: list[Value]
) -> tuple[list[Op], tuple[Value, ...]]:
    """Return the operations of the backward pass, and the residuals that they read.

    Loop-invariant values and views of the forward pass are computed again.
    """
    produced_by = producers((*graph.ops, *backward.ops))
    backward_ops = set(backward.ops)
    needed = {*outputs, *[d for d in backward.d_carry if d is not None]}
    ops: list[Op] = []
    residuals: dict[Value, None] = {}
    for op in reversed((*graph.ops, *backward.ops)):
        if needed.isdisjoint(op.outs):
            continue
        invariant = not any(out in varying for out in op.outs)
        if op in backward_ops or is_view(op, produced_by) or invariant:
            ops.append(op)
            needed.update(op.inputs)
        else:
            residuals.update(dict.fromkeys(out for out in op.outs if out in needed))
    return ops[::-1], tuple(residuals)


def _backward_schedule(
    graph: StepGraph,
    backward: BackwardGraph,
    ops: list[Op],
    residuals: tuple[Value, ...],
    outputs: list[Value],
) -> LoopSchedule:
    pairs = zip(backward.d_new_carry, backward.d_carry, strict=True)
    carried = tuple([(g, d) for g, d in pairs if g is not None])
    d_ys = [g for g in backward.d_ys if g is not None]
    varying = [*graph.xs, *graph.carry, *residuals, *d_ys]
    summed = {d for d in backward.d_captures if d is not None}.difference(backward.d_xs)
    return _loop_schedule(ops, varying, carried, outputs, summed)


def _loop_schedule(
    ops: Iterable[Op],
    inputs: Iterable[Value],
    carried: tuple[tuple[Value, Value | None], ...],
    outputs: Iterable[Value],
    summed: Iterable[Value] = (),
) -> LoopSchedule:
    """Assign operations to sections.

    `inputs` are the values that differ from step to step, except for the carry.
    """
    new_carry = [new for _, new in carried if new is not None]
    results = {*new_carry, *outputs}
    needed_ops = _needed(ops, results)
    varying = {*inputs, *[value for value, _ in carried]}
    after_carry = {value for value, _ in carried}  # the carry and the values that depend on it
    stepwise: set[Op] = set()  # operations that cannot run for many steps at once
    scattered: set[Value] = set()
    only_summed = set(summed).difference(new_carry, *[op.inputs for op in needed_ops])
    for op in needed_ops:
        if varying.isdisjoint(op.inputs):
            continue
        varying.update(op.outs)
        if only_summed.issuperset(op.outs) and _is_sum_of_scatters(op, varying):
            scattered.update(op.outs)
        elif along_time(op, varying) is None:
            stepwise.add(op)
        if op in stepwise or not after_carry.isdisjoint(op.inputs):
            after_carry.update(op.outs)
    before_carry = set(new_carry)  # the returned carry and the values that it depends on
    for op in reversed(needed_ops):
        if not before_carry.isdisjoint(op.outs) or op in stepwise:
            before_carry.update(op.inputs)
            before_carry.update(op.outs)
    hoisted: list[Op] = []
    prologue: list[Op] = []
    body: list[Op] = []
    epilogue: list[Op] = []
    for op in needed_ops:
        if varying.isdisjoint(op.outs):
            hoisted.append(op)
        elif after_carry.isdisjoint(op.outs):
            prologue.append(op)
        elif before_carry.isdisjoint(op.outs):
            epilogue.append(op)
        else:
            body.append(op)
    return LoopSchedule(
        hoisted=tuple(hoisted),
        prologue=tuple(prologue),
        body=tuple(body),
        epilogue=tuple(epilogue),
        varying=frozenset(varying),
        carried=carried,
        results=frozenset(results),
        summed=frozenset(summed),
        scattered=frozenset(scattered),
    )


def _needed(ops: Iterable[Op], results: Iterable[Value]) -> list[Op]:
    """Return the operations on which results depend."""
    needed = set(results)
    found = []
    for op in reversed(list(ops)):
        if not needed.isdisjoint(op.outs):
            needed.update(op.inputs)
            found.append(op)
    return found[::-1]
