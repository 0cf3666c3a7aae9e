"""One activation for all parts of a small split value.

Recurrent cells split a value into gates and apply sigmoid or tanh to each. For small values, the
calls of array functions take longer than their arithmetic: then one tanh is applied to the whole
value, and sigmoid(x) = (1 + tanh(x / 2)) / 2 to the sections that are sigmoids.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from ..ir import Op, Value
from ..schedule import SPLIT, Schedule, with_forward_ops
from .new_ops import ADD, MULTIPLY, NewOps, Sections, count_reads, splits_last_axis
from .sigmoid_as_tanh import SIGMOID, TANH

MAX_SIZE = 2048
"""Maximum number of elements of a value whose activations are merged."""


def merge_activations(schedule: Schedule) -> Schedule:
    """Activate small values before they are split, if each part has exactly one activation."""
    merger = _Merger(schedule)
    ops = [one for op in schedule.graph.ops for one in merger.rewrite(op)]
    return with_forward_ops(schedule, ops, merger.new.constants) if merger.merged else schedule


class _Activation(NamedTuple):
    """An activation of one part.

    The result is `factor * tanh(scale * x) + 1 - factor`, computed by the operations `ops`.
    """

    factor: float
    scale: float
    result: Value
    ops: tuple[Op, ...]


class _Merger:
    """Replaces operations of the forward pass; `merged` are operations that are not needed."""

    def __init__(self, schedule: Schedule) -> None:
        self.new, self.reads = NewOps(schedule), count_reads(schedule)
        self.merged: set[Op] = set()
        self.readers: dict[Value, list[Op]] = defaultdict(list)
        for op in schedule.graph.ops:
            for value in op.inputs:
                self.readers[value].append(op)

    def rewrite(self, op: Op) -> list[Op]:
        """Return the operations that replace an operation, in the order of execution."""
        if op in self.merged:
            return []
        x = op.args[0]
        if not splits_last_axis(op) or x.size > MAX_SIZE or x.dtype.kind != "f":
            return [op]
        found = [self._activations(part) for part in op.outs]
        if not all(len(one) == 1 for one in found):
            return [op]
        activations = [one for (one,) in found]
        self.merged.update([inner for one in activations for inner in one.ops])
        return [op, *self._merge(op, activations)]

    def _activations(self, part: Value) -> list[_Activation]:
        """Return the activations that are applied to a part."""
        ops = dict.fromkeys(self.readers[part])
        return [self._activation(op) for op in ops if op.primitive in (SIGMOID, TANH)]

    def _activation(self, op: Op) -> _Activation:
        (y,) = op.outs
        if op.primitive is SIGMOID:
            return _Activation(0.5, 0.5, y, (op,))
        half = self._only_reader(y, MULTIPLY)
        if half is not None:
            plus_half = self._only_reader(half.outs[0], ADD)
            if plus_half is not None:  # as `sigmoid_as_tanh` writes a sigmoid
                return _Activation(0.5, 1.0, plus_half.outs[0], (op, half, plus_half))
        return _Activation(1.0, 1.0, y, (op,))

    def _only_reader(self, y: Value, primitive: object) -> Op | None:
        """Return the only operation that reads `y`, if it combines `y` with the number 1/2."""
        if self.reads[y] != 1 or len(self.readers[y]) != 1:
            return None
        (op,) = self.readers[y]
        is_half = op.primitive is primitive and type(op.args[1]) is float and op.args[1] == 0.5
        return op if is_half and op.outs[0].dtype == y.dtype else None

    def _merge(self, split: Op, activations: list[_Activation]) -> list[Op]:
        """Return the activations of the parts as operations on the whole value."""
        (x,), new = split.args, self.new
        sizes = [part.shape[-1] for part in split.outs]

        def sections(numbers: list[float]) -> Sections:
            return tuple(zip(numbers, sizes, strict=True))

        ops = []
        scales, factors = [a.scale for a in activations], [a.factor for a in activations]
        if set(scales) != {1.0}:
            ops.append(new.scale(x, sections(scales), -1))
            (x,) = ops[-1].outs
        ops.append(new.apply(TANH, x))
        if set(factors) != {1.0}:
            ops.append(new.scale(ops[-1].outs[0], sections(factors), -1))
            rest = new.factors(sections([1 - factor for factor in factors]), -1, x.dtype)
            ops.append(new.apply(ADD, ops[-1].outs[0], rest))
        results = tuple([one.result for one in activations])
        return [*ops, Op(SPLIT, ops[-1].outs, split.static, results, returns_tuple=True)]
