"""The operations of a step that run step by step, and those that run for many steps at once.

The operations of a step fall into four sections, in the forward pass and in the backward pass:

    once      loop-invariant operations
    before    operations that do not depend on the carry: for all steps at once, before the loop
    loop      operations that depend on the carry
    after     operations that no later step depends on: for all steps at once, after the loop

"At once" means on arrays with the time as an additional first axis. The residuals of the forward
pass are stored, except for views of other residuals and loop-invariant values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.primitive import Primitive
from ..ops import extremes, indexing, joining, matmul, reduction, shape, softmax
from .program import Op, Symbol, pointwise
from .trace import Step


def _primitives(*operations: Any) -> set[Primitive]:
    return {operation.primitive for operation in operations}


LINEAR, MATMUL = matmul._linear.primitive, matmul._matmul.primitive
SUM, RESHAPE = reduction._sum.primitive, shape._reshape.primitive
TRANSPOSE, REVERSED = shape._transpose.primitive, shape.reversed_axes.primitive
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
VIEWS = {RESHAPE, TRANSPOSE, REVERSED, SPLIT, UNSTACK, BROADCAST}


def is_view(op: Op | None) -> bool:
    """True if the result of an operation is a view of its argument."""
    if op is None:
        return False
    if op.primitive is RESHAPE:  # of what lies in order
        source = op.args[0].op
        return not is_view(source) or source.primitive is RESHAPE
    return op.primitive in VIEWS or (op.primitive is GETITEM and _is_basic(op.static["index"]))


def root(value: Symbol) -> Symbol:
    """Return the value that a chain of views starts from: the value itself, if it is not a view."""
    while value.op is not None and is_view(value.op):
        value = value.op.args[0]
    return value


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is ... or type(p) in (int, slice) for p in parts)


def along_time(op: Op, varies: set[Symbol]) -> dict[str, Any] | None:
    """Return the static parameters with which an operation, on arrays with the time as a first
    axis, computes the results of all steps; None if none exist.

    Arguments that do not vary have no such axis. A shape remains the shape of a step.
    """
    primitive, static, (first, *others) = op.primitive, op.static, op.args
    if pointwise(primitive) or primitive in (MATMUL, RESHAPE, BROADCAST, REVERSED):
        return static
    if primitive is LINEAR:
        return static if others[0] not in varies else None
    if primitive in REDUCTIONS:
        return {**static, "axes": tuple([a + 1 for a in static["axes"]])}
    if primitive in ALONG_AXIS:
        axis = static["axis"]
        return {**static, "axis": axis + 1 if axis >= 0 else axis}
    if primitive is TRANSPOSE:
        return {"axes": (0, *[a + 1 for a in static["axes"]])}
    if primitive is GETITEM:
        index = static["index"]
        if _is_basic(index):
            return {"index": (slice(None), *(index if isinstance(index, tuple) else (index,)))}
        return static if first not in varies and isinstance(index, Symbol) else None
    if primitive is TAKE:
        return static if first not in varies and static["axis"] == 0 else None
    return None


def adds_at_once(op: Op, varies: set[Symbol]) -> bool:
    """True if the sum over time of a scatter-add into zeros, at indices that differ from step to
    step, is one scatter-add of arrays over time.
    """
    if op.primitive is not SCATTER or op.args[0] not in varies:
        return False
    index = op.static["index"]
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [p for p in parts if isinstance(p, Symbol)]
    return (
        all(type(p) is int or isinstance(p, Symbol) for p in parts)
        and all(p.dtype.kind in "iu" and p in varies for p in arrays)
        and len({p.ndim for p in arrays}) == 1
    )


class Half:
    """The operations of each section of the forward or the backward pass.

    `moving` are inputs that differ from step to step, `carried` pairs of the carry that a step
    reads and the carry that it returns, `wanted` the other results, of which `summed` are summed
    over time and `scattered` are scatter-added as a whole, after the loop.
    """

    def __init__(
        self,
        ops: Iterable[Op],
        moving: Iterable[Symbol],
        carried: Sequence[tuple[Symbol, Symbol | None]],
        wanted: Iterable[Symbol],
        summed: Iterable[Symbol] = (),
    ) -> None:
        self.varies: set[Symbol] = {*moving, *[symbol for symbol, _ in carried]}
        follows = {symbol for symbol, _ in carried}
        results = [symbol for _, symbol in carried if symbol is not None]
        self.wanted = {*results, *wanted}
        needed = set(self.wanted)
        live = []
        for op in reversed(list(ops)):
            if not needed.isdisjoint(op.outs):
                needed.update(op.inputs)
                live.append(op)
        live.reverse()
        only_summed = set(summed).difference(results, *[op.inputs for op in live])
        self.scattered: set[Symbol] = set()
        stepwise = set()  # what has to be done step by step because it cannot be done at once
        for op in live:
            if not self.varies.isdisjoint(op.inputs):
                self.varies.update(op.outs)
                if only_summed.issuperset(op.outs) and adds_at_once(op, self.varies):
                    self.scattered.update(op.outs)
                elif along_time(op, self.varies) is None:
                    stepwise.add(op)
                if op in stepwise or not follows.isdisjoint(op.inputs):
                    follows.update(op.outs)
        feeds = set(results)
        for op in reversed(live):
            if not feeds.isdisjoint(op.outs) or op in stepwise:
                feeds.update(op.inputs)
                feeds.update(op.outs)
        self.once, self.before, self.loop, self.after = [], [], [], []
        for op in live:
            if self.varies.isdisjoint(op.outs):
                self.once.append(op)
            elif follows.isdisjoint(op.outs):
                self.before.append(op)
            elif not feeds.isdisjoint(op.outs):
                self.loop.append(op)
            else:
                self.after.append(op)
        self.carried = carried


class Plan:
    """Both ways through a step, and what is `kept` for the second. The operations of the way
    forward are `rewritten` first.
    """

    def __init__(self, step: Step, rewritten: Callable[[Step], list[Op]]) -> None:
        self.step = step
        step.differentiate()
        program = step.program
        forward = rewritten(step)
        backward = set(program.ops[step.forward_ops :])
        carried = list(zip(step.carry, step.new, strict=True))
        self.back: Half | None = None
        self.kept: list[Symbol] = []
        n = len(step.carry)
        d_carried = [
            (g, d) for g, d in zip(step.d_outs[:n], step.d_carry, strict=True) if g is not None
        ]
        wanted = [d for d in (*step.d_xs, *step.d_parents) if d is not None]
        if wanted or any(d is not None for d in step.d_carry):
            varies = Half(forward, step.xs, carried, step.ys).varies
            live = []
            needed = {*wanted, *[d for d in step.d_carry if d is not None]}
            for op in reversed([*forward, *program.ops[step.forward_ops :]]):
                if needed.isdisjoint(op.outs):
                    continue
                again = op in backward or is_view(op) or varies.isdisjoint(op.outs)
                if again:
                    live.append(op)
                    needed.update(op.inputs)
                else:
                    self.kept += [out for out in op.outs if out in needed]
            self.kept = list(dict.fromkeys(self.kept))
            moving = [
                *step.xs,
                *step.carry,
                *self.kept,
                *[g for g in step.d_outs[n:] if g is not None],
            ]
            totals = {d for d in step.d_parents if d is not None}.difference(step.d_xs)
            self.back = Half(live[::-1], moving, d_carried, wanted, totals)
        self.forward = Half(forward, step.xs, carried, [*step.ys, *self.kept])
