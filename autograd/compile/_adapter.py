"""Temporary: the graphs of a step that `trace.Step` has traced."""

from __future__ import annotations

from typing import Any

from ..core.pytree import tree_map
from .ir import BackwardGraph, Op, StepGraph, Value
from .program import Symbol
from .trace import Step


def graphs_of(step: Step) -> tuple[StepGraph, BackwardGraph]:
    """Differentiate a traced step and return its graphs."""
    step.differentiate()
    program = step.program
    values = {s: Value(s.number, s.shape, s.dtype) for s in program.values}

    def value(x: Any) -> Any:
        return values[x] if isinstance(x, Symbol) else x

    def each(symbols: Any) -> tuple[Any, ...]:
        return tuple([None if s is None else values[s] for s in symbols])

    ops = tuple(
        [
            Op(
                op.primitive,
                tuple(map(value, op.args)),
                {name: tree_map(value, x) for name, x in op.static.items()},
                each(op.outs),
                op.several,
            )
            for op in program.ops
        ]
    )
    constants = [(values[s], array) for s, array in program.constants]
    n, m = len(step.carry), step.inputs
    parents = [Value(-1 - i, p.shape, p.dtype) for i, p in enumerate(step.parents)]
    graph = StepGraph(
        program.backend,
        ops[: step.forward_ops],
        each(step.carry),
        each(step.xs),
        (*[v for v, _ in constants[:m]], *parents),
        (),
        each(step.new),
        each(step.ys),
    )
    backward = BackwardGraph(
        ops[step.forward_ops :],
        tuple(constants[m:]),
        each(step.d_outs[:n]),
        each(step.d_outs[n:]),
        each(step.d_carry),
        each(step.d_xs),
        (*[None] * m, *each(step.d_parents)),
    )
    return graph, backward
