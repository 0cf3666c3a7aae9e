"""Sigmoid as tanh: sigmoid(x) = (1 + tanh(x / 2)) / 2.

Array modules compute tanh faster than exp and a division. Where x is a sum of products, halving
costs nothing at a step: it moves to loop-invariant factors of the products, such as weights, and to
terms that are computed for many steps at once. Halving is exact, so the results are the same.
"""

from __future__ import annotations

from typing import Any

from ...core.primitive import Primitive
from ...ops import elementwise
from ...ops.activations import sigmoid
from ...ops.trigonometric import tanh
from ..ir import Op, Value
from ..schedule import LINEAR, MATMUL, SPLIT, Schedule, with_forward_ops
from .new_ops import ADD, MULTIPLY, NewOps, Sections, count_reads, splits_last_axis

SIGMOID, TANH = sigmoid.primitive, tanh.primitive

SCALABLE: dict[Primitive, list[tuple[int, ...]]] = {
    ADD: [(0, 1)],
    elementwise.subtract.primitive: [(0, 1)],
    MULTIPLY: [(0,), (1,)],
    LINEAR: [(1,)],
    MATMUL: [(1,)],
}
"""Alternatives for each primitive: the arguments to scale in order to scale the result."""


def sigmoid_as_tanh(schedule: Schedule) -> Schedule:
    """Compute sigmoids of the forward pass by tanh where halving the argument costs nothing."""
    if all(op.primitive is not SIGMOID for op in schedule.graph.ops):
        return schedule
    rewriter = _Rewriter(schedule)
    ops = [one for op in reversed(schedule.graph.ops) for one in rewriter.rewrite(op)]
    return with_forward_ops(schedule, ops[::-1], rewriter.new.constants)


class _Rewriter:
    """Rewrites the operations of the forward pass, the last operation first.

    Attributes
    ----------
    after_carry : set of Value
        The carry and the values that depend on it: scaling them would cost time at every step.
    scalable : set of Value
        Values that can be scaled by scaling arguments instead.
    scales : dict of Value to Sections
        The factors of values that are scaled.
    """

    def __init__(self, schedule: Schedule) -> None:
        graph, reads = schedule.graph, count_reads(schedule)
        self.new = NewOps(schedule)
        self.after_carry, self.scalable = set(graph.carry), set[Value]()
        self.scales: dict[Value, Sections] = {}
        for op in graph.ops:
            if not self.after_carry.isdisjoint(op.inputs):
                self.after_carry.update(op.outs)
            if self._has_scalable_results(op):
                self.scalable.update([out for out in op.outs if reads[out] == 1])

    def rewrite(self, op: Op) -> list[Op]:
        """Return the operations that replace an operation, in descending order."""
        x = op.args[0]
        if op.primitive is SIGMOID and x in self.after_carry and self._is_free(x, x.shape[-1:]):
            return self._as_tanh(op)
        args, before = list(op.args), list[Op]()
        for i, sections in self._argument_scales(op).items():
            if args[i] in self.scalable and op.primitive is not LINEAR:
                self.scales[args[i]] = sections
            else:
                axis = -2 if op.primitive is LINEAR else -1
                before.append(self.new.scale(args[i], sections, axis))
                args[i] = before[-1].outs[0]
        if args == list(op.args):
            return [op]
        return [Op(op.primitive, tuple(args), op.static, op.outs, op.returns_tuple), *before]

    def _as_tanh(self, op: Op) -> list[Op]:
        """Return a sigmoid by tanh of half its argument."""
        (x,) = op.args
        half: Sections = ((0.5, x.shape[-1]),)
        before = []
        if x in self.scalable:
            self.scales[x] = half
        else:
            before.append(self.new.scale(x, half, -1))
            (x,) = before[0].outs
        first = self.new.apply(TANH, x)
        second = self.new.apply(MULTIPLY, first.outs[0], 0.5)
        third = self.new.apply(ADD, second.outs[0], 0.5, out=op.outs[0])
        return [third, second, first, *before]

    def _argument_scales(self, op: Op) -> dict[int, Sections]:
        """Return the positions of arguments to scale, with the factors."""
        if op.primitive is SPLIT and not self.scales.keys().isdisjoint(op.outs):
            parts = [self.scales.get(out, ((1.0, out.shape[-1]),)) for out in op.outs]
            return {0: sum(parts, ())}
        if op.outs[0] in self.scales:
            return dict.fromkeys(self._scalable_arguments(op), self.scales[op.outs[0]])
        return {}

    def _has_scalable_results(self, op: Op) -> bool:
        if splits_last_axis(op):
            return self._is_free(op.args[0], op.args[0].shape[-1:])
        return bool(self._scalable_arguments(op))

    def _scalable_arguments(self, op: Op) -> tuple[int, ...]:
        """Return the positions of arguments to scale for a scaled result; none if impossible."""
        length = op.outs[0].shape[-1:]
        for positions in SCALABLE.get(op.primitive, ()):
            if all(self._is_free(op.args[i], length, op.primitive) for i in positions):
                return positions
        return ()

    def _is_free(self, x: Any, length: tuple[int, ...], reader: Primitive | None = None) -> bool:
        """True if scaling a value along an axis of this length costs nothing at a step.

        The axis is the last one, or the rows of the weight of `linear`. Values that do not depend
        on the carry are scaled once, or for many steps at once.
        """
        if not isinstance(x, Value) or x.dtype.kind != "f":
            return False
        axis = x.ndim - (2 if reader is LINEAR else 1)
        if axis < 0 or x.shape[axis : axis + 1] != length:
            return False
        return x not in self.after_carry or (x in self.scalable and reader is not LINEAR)
