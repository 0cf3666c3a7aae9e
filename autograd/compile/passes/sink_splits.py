"""Move splits from elementwise results to the arguments of the elementwise operations.

Operations on the parts then have the shape of the parts, and can be one kernel with the operations
that follow.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from ..executors.c_expressions import statement
from ..ir import Op, Value, producers
from ..schedule import SPLIT, Schedule, with_forward_ops
from .new_ops import NewOps

MAX_DEPTH = 50
"""Maximum length of a chain of operations through which splits move."""


def sink_splits(schedule: Schedule) -> Schedule:
    """Split the arguments of elementwise operations instead of their results."""
    ops = schedule.graph.ops
    sinking = _Sinking(ops, NewOps(schedule))
    for op in ops:
        if op.primitive is SPLIT:
            sinking.split(op.args[0], op, op.static["axis"] % op.args[0].ndim, op.outs)
        else:
            sinking.rewritten.append(op)
    return with_forward_ops(schedule, sinking.rewritten)


class _Sinking:
    """The operations written so far, and the parts that they compute."""

    def __init__(self, ops: tuple[Op, ...], new: NewOps) -> None:
        self.rewritten: list[Op] = []
        self.produced_by, self.new = producers(ops), new
        self.readers = Counter(value for op in ops for value in op.inputs)
        self.parts: dict[Any, tuple[Value, ...]] = {}

    def split(self, x: Value, like: Op, axis: int, outs: tuple[Value, ...], depth: int = 0) -> None:
        """Append operations that compute the parts `outs` of x, split as by `like`."""
        from_last = axis - x.ndim  # the same axis of arguments with fewer dimensions
        self.parts[x, like.static["indices"], from_last] = outs
        op = self.produced_by.get(x)
        is_end = op is None or self.readers[x] > 1 or depth == MAX_DEPTH or statement(op) is None
        if op is None or is_end:
            static = {**like.static, "axis": axis}
            self.rewritten.append(Op(SPLIT, (x,), static, outs, returns_tuple=True))
            return
        parts_of_args = []
        for a in op.args:
            has_axis = isinstance(a, Value) and a.ndim >= -from_last
            if not has_axis or not a.shape[from_last] == x.shape[axis] > 1:
                parts_of_args.append((a,) * len(outs))
                continue
            key = a, like.static["indices"], from_last
            if key not in self.parts:
                lengths = [out.shape[from_last] for out in outs]
                parts = tuple([self._part(a, from_last, length) for length in lengths])
                self.split(a, like, a.ndim + from_last, parts, depth + 1)
            parts_of_args.append(self.parts[key])
        for out, *args in zip(outs, *parts_of_args, strict=True):
            self.rewritten.append(replace(op, args=tuple(args), outs=(out,)))

    def _part(self, x: Value, axis: int, length: int) -> Value:
        """Return a new value for a part of x that has another length along an axis."""
        shape = list(x.shape)
        shape[axis] = length
        return self.new.value(tuple(shape), x.dtype)
