"""Graphs of steps, written by hand, and their evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

import autograd as ag
from autograd.compile.executors.cuda import FusedKernel
from autograd.compile.ir import BackwardGraph, Op, StepGraph, Value, evaluate, verify
from autograd.compile.schedule import SPLIT, Schedule, build_schedule


class StepBuilder:
    """Builds the graphs of a step with one carry, one input and one output.

    The backward pass receives the gradients `d_carry` and `d_y`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str = "float64") -> None:
        self.numbers, self.dtype = count(), dtype
        self.ops: list[Op] = []
        self.captures: list[Value] = []
        self.carry, self.x, self.d_carry, self.d_y = (self.value(shape) for _ in range(4))

    def value(self, shape: tuple[int, ...], dtype: Any = None) -> Value:
        return Value(next(self.numbers), shape, np.dtype(dtype or self.dtype))

    def capture(self, *shape: int) -> Value:
        self.captures.append(self.value(shape))
        return self.captures[-1]

    def apply(self, function: Any, *args: Any, **static: Any) -> Value:
        """Append an operation with a result of NumPy's shape and dtype."""
        primitive = function.primitive
        examples = [np.ones(x.shape, x.dtype) if isinstance(x, Value) else x for x in args]
        result = primitive.kernels[np.ndarray](*examples, **static)
        out = self.value(result.shape, result.dtype)
        self.ops.append(Op(primitive, args, static, (out,)))
        return out

    def split(self, x: Value, parts: int) -> tuple[Value, ...]:
        """Append a split of the last axis in equal parts."""
        size = x.shape[-1] // parts
        outs = tuple([self.value((*x.shape[:-1], size)) for _ in range(parts)])
        indices = tuple(range(size, x.shape[-1], size))
        static = {"indices": indices, "axis": x.ndim - 1}
        self.ops.append(Op(SPLIT, (x,), static, outs, returns_tuple=True))
        return outs

    def graph(self, new_carry: Value, y: Value) -> StepGraph:
        return StepGraph(
            ag.backend.get("cpu"),
            tuple(self.ops),
            (self.carry,),
            (self.x,),
            tuple(self.captures),
            (),
            (new_carry,),
            (y,),
        )

    def schedule(self, new_carry: Value, y: Value, forward_ops: int | None = None) -> Schedule:
        """Return the schedule of the operations.

        The operations from number `forward_ops` on are the backward pass; the last of them computes
        the gradient of the carry.
        """
        graph = self.graph(new_carry, y)
        if forward_ops is None:
            return build_schedule(graph, None)
        ops, backward_ops = graph.ops[:forward_ops], graph.ops[forward_ops:]
        backward = BackwardGraph(
            backward_ops,
            (),
            (self.d_carry,),
            (self.d_y,),
            (backward_ops[-1].outs[0],),
            (None,),
            (None,) * len(self.captures),
        )
        return build_schedule(replace(graph, ops=ops), backward)


def unfused(ops: Iterable[Op]) -> Iterable[Op]:
    """Return operations, with the operations of fused kernels in their place."""
    for op in ops:
        yield from op.primitive.ops if isinstance(op.primitive, FusedKernel) else [op]


def results(schedule: Schedule, seed: int = 0) -> list[np.ndarray]:
    """Return the results of one step and of its backward pass, for random arguments."""
    graph, backward = schedule.graph, schedule.backward_graph
    verify(graph, backward)
    rng = np.random.default_rng(seed)
    inputs = [*graph.carry, *graph.xs, *graph.captures]
    outputs = [*graph.new_carry, *graph.ys]
    arrays = dict(graph.constants)
    forward = schedule.forward
    if backward is not None:
        inputs += [g for g in (*backward.d_new_carry, *backward.d_ys) if g is not None]
    arrays |= {v: rng.uniform(-2, 2, v.shape).astype(v.dtype) for v in inputs}
    with np.errstate(all="ignore"):
        evaluate(unfused(forward.ops), arrays, graph.backend)
        if schedule.backward is not None and backward is not None:
            arrays |= dict(backward.constants)
            evaluate(unfused(schedule.backward.ops), arrays, graph.backend)
            outputs += [d for d in backward.d_carry if d is not None]
    return [arrays[value] for value in outputs]


def snapshot(schedule: Schedule) -> Any:
    """Return everything that a pass might change in a schedule."""
    loops = [loop for loop in (schedule.forward, schedule.backward) if loop is not None]
    ops = [op for loop in loops for op in loop.ops]
    return (
        [(op, op.primitive, op.args, dict(op.static), op.outs) for op in ops],
        [(loop.prologue, loop.body, loop.epilogue, loop.results) for loop in loops],
        (schedule.graph.ops, schedule.graph.constants, schedule.residuals),
    )


def check_pass(transform: Any, schedule: Schedule, exact: bool = True) -> Schedule:
    """Return the schedule after a pass.

    The pass must not change its argument, and both schedules must have the same results.
    """
    before, expected = snapshot(schedule), results(schedule)
    transformed: Schedule = transform(schedule)
    assert snapshot(schedule) == before
    for actual, desired in zip(results(transformed), expected, strict=True):
        if exact:
            np.testing.assert_array_equal(actual, desired)
        else:
            np.testing.assert_allclose(actual, desired, rtol=1e-13)
    return transformed


def names(ops: Iterable[Op]) -> list[str]:
    """Return the names of the primitives of operations."""
    return [op.primitive.name for op in ops]
