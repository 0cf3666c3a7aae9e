"""Compute sigmoid(x) as (1 + tanh(x / 2)) / 2, and move the halving out of the loop.

Halving is exact in floating point, so it can be done anywhere: where x is a sum of products, the
rows of the loop-invariant weights are halved once instead of x at every step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ...core.primitive import Primitive
from ...ops import elementwise
from ...ops.activations import sigmoid
from ..ir import Op, Value, unused_numbers
from ..schedule import LINEAR, MATMUL, SPLIT, Schedule, with_forward_ops
from .gates import ACTIVATE_GATES, SCALE_SECTIONS, Sections

SIGMOID = sigmoid.primitive

SCALABLE_ARGUMENTS: dict[Primitive, list[tuple[int, ...]]] = {
    elementwise.add.primitive: [(0, 1)],
    elementwise.subtract.primitive: [(0, 1)],
    elementwise.multiply.primitive: [(0,), (1,)],
    LINEAR: [(1,)],
    MATMUL: [(1,)],
}
"""Alternatives for each primitive: the arguments to scale so that the result is scaled."""


def sigmoid_as_tanh(schedule: Schedule) -> Schedule:
    """Replace the sigmoids of the body whose argument can be halved without work at each step."""
    return with_forward_ops(schedule, _Rewrite(schedule).run())


class _Rewrite:
    """The rewrite of the forward operations, from the last to the first.

    A value is scalable if its only reader can ask for a multiple of it, and all values that it is
    computed from are scalable in turn or loop-invariant. `scales` has the factors that the readers
    asked for. A scaled value keeps its name, because no other operation reads it.
    """

    def __init__(self, schedule: Schedule) -> None:
        graph, backward = schedule.graph, schedule.backward_graph
        self.ops = graph.ops
        self.numbers: Iterator[int] = unused_numbers(graph, backward)
        results = [*graph.new_carry, *graph.ys]
        ops = graph.ops
        if backward is not None:
            ops = (*ops, *backward.ops)
            gradients = (*backward.d_carry, *backward.d_xs, *backward.d_captures)
            results += [d for d in gradients if d is not None]
        readers = Counter([*results, *[value for op in ops for value in op.inputs]])
        self.after_carry, self.scalable = set(graph.carry), set[Value]()
        for op in self.ops:
            if not self.after_carry.isdisjoint(op.inputs):
                self.after_carry.update(op.outs)
            if self._can_scale_results(op):
                self.scalable.update(out for out in op.outs if readers[out] == 1)
        self.scales: dict[Value, Sections] = {}

    def run(self) -> list[Op]:
        """Return the rewritten operations."""
        rewritten: list[Op] = []
        for op in reversed(self.ops):
            rewritten += self._rewrite(op)[::-1]
        return rewritten[::-1]

    def _rewrite(self, op: Op) -> list[Op]:
        """Return an operation that computes the requested multiples, after the ones it requires."""
        scaled_arguments: dict[int, Sections] = {}
        x = op.args[0]
        if op.primitive is SIGMOID and x in self.after_carry and self._is_free(x, x.shape[-1:]):
            half: Sections = ((0.5, x.shape[-1]),)
            op = replace(op, primitive=ACTIVATE_GATES, static={"sections": half})
            scaled_arguments = {0: half}
        elif op.primitive is SPLIT and not self.scales.keys().isdisjoint(op.outs):
            parts = [self.scales.get(out, ((1.0, out.shape[-1]),)) for out in op.outs]
            scaled_arguments = {0: sum(parts, ())}
        elif op.outs[0] in self.scales:
            scaled_arguments = dict.fromkeys(self._scaled_arguments(op), self.scales[op.outs[0]])
        args, before = list(op.args), list[Op]()
        for i, sections in scaled_arguments.items():
            if args[i] in self.scalable and op.primitive is not LINEAR:
                self.scales[args[i]] = sections
            else:
                axis = -2 if op.primitive is LINEAR else -1
                scaled = Value(next(self.numbers), args[i].shape, args[i].dtype)
                static = {"sections": sections, "axis": axis}
                before.append(Op(SCALE_SECTIONS, (args[i],), static, (scaled,)))
                args[i] = scaled
        return [*before, replace(op, args=tuple(args))]

    def _is_free(self, x: object, length: tuple[int, ...], reader: Primitive | None = None) -> bool:
        """True if scaling a value by factors of its last axis costs nothing at a step.

        For the weight of `linear`, the factors belong to its rows. `length` is the length of the
        axis.
        """
        if not isinstance(x, Value) or x.dtype.kind != "f":
            return False
        axis = x.ndim - (2 if reader is LINEAR else 1)
        if axis < 0 or x.shape[axis : axis + 1] != length:
            return False
        return x not in self.after_carry or (x in self.scalable and reader is not LINEAR)

    def _can_scale_results(self, op: Op) -> bool:
        if op.primitive is SPLIT and op.static["axis"] % op.args[0].ndim == op.args[0].ndim - 1:
            return self._is_free(op.args[0], op.args[0].shape[-1:])
        return bool(self._scaled_arguments(op))

    def _scaled_arguments(self, op: Op) -> tuple[int, ...]:
        """Return the arguments to scale so that the result is scaled; none if there are none."""
        length = op.outs[0].shape[-1:]
        for arguments in SCALABLE_ARGUMENTS.get(op.primitive, ()):
            if all(self._is_free(op.args[i], length, op.primitive) for i in arguments):
                return arguments
        return ()
