"""Merge the activations of all gates of a small array into one operation.

For small arrays a call costs more than its computation, so one tanh of all gates side by side is
faster than one activation per gate.
"""

from __future__ import annotations

from ...ops.activations import sigmoid
from ...ops.trigonometric import tanh
from ..ir import Op, Value, unused_numbers
from ..schedule import SPLIT, Schedule, with_forward_ops
from .gates import ACTIVATE_GATES, SCALE_SECTIONS, Sections

SMALL_SIZE = 2048
"""Number of elements up to which the activations of an array are merged."""

SIGMOID, TANH = sigmoid.primitive, tanh.primitive
FACTORS = {SIGMOID: 0.5, ACTIVATE_GATES: 0.5, TANH: 1.0}


def merge_activations(schedule: Schedule) -> Schedule:
    """Activate a small array before it is split, if each part is the argument of one activation."""
    ops = schedule.graph.ops
    numbers = unused_numbers(schedule.graph, schedule.backward_graph)
    readers: dict[Value, list[Op]] = {}
    for op in ops:
        for value in op.inputs:
            readers.setdefault(value, []).append(op)

    def like(x: Value) -> Value:
        return Value(next(numbers), x.shape, x.dtype)

    rewritten: list[Op] = []
    replaced: set[Op] = set()
    for op in ops:
        if op in replaced:
            continue
        rewritten.append(op)
        activations = _activations(op, readers)
        if not activations:
            continue
        x: Value = op.args[0]
        lengths = [gate.outs[0].shape[-1] for gate in activations]
        factors = [FACTORS[gate.primitive] for gate in activations]
        if any(gate.primitive is SIGMOID for gate in activations):
            scales = [0.5 if gate.primitive is SIGMOID else 1.0 for gate in activations]
            halved = like(x)
            halves: Sections = tuple(zip(scales, lengths, strict=True))
            static = {"sections": halves, "axis": -1}
            rewritten.append(Op(SCALE_SECTIONS, (x,), static, (halved,)))
            x = halved
        activated = like(x)
        sections = {"sections": tuple(zip(factors, lengths, strict=True))}
        rewritten.append(Op(ACTIVATE_GATES, (x,), sections, (activated,)))
        outs = tuple([gate.outs[0] for gate in activations])
        rewritten.append(Op(SPLIT, (activated,), op.static, outs, returns_tuple=True))
        replaced.update(activations)
    return with_forward_ops(schedule, rewritten)


def _activations(op: Op, readers: dict[Value, list[Op]]) -> list[Op]:
    """Return the activation of each part of a small split array; none if a part has another."""
    if op.primitive is not SPLIT:
        return []
    x: Value = op.args[0]
    if x.size > SMALL_SIZE or x.dtype.kind != "f" or op.static["axis"] % x.ndim != x.ndim - 1:
        return []
    gates = [[r for r in readers.get(out, ()) if r.primitive in FACTORS] for out in op.outs]
    return [gate for (gate,) in gates] if all(len(each) == 1 for each in gates) else []
