"""Eager execution of a `StepGraph` over all steps, with recording.

Derivatives of any order, drawings, and gradients where some results have none at singular points
use the recorded graph. It has the operations of the call, so the function of the user is not called
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.graph import enable_grad
from ..core.primitive import record_operation
from ..core.pytree import tree_map
from ..core.tensor import Tensor
from ..ops.joining import stack, unstack
from .ir import Op, StepGraph, Value
from .keys import static_defaults


def replay(
    graph: StepGraph,
    has_gradient: Sequence[bool],
    carry: Sequence[Tensor],
    xs: Sequence[Tensor],
    captures: Sequence[Tensor],
    steps: int,
    reverse: bool,
    detach_points: Sequence[int],
) -> list[Tensor]:
    """Return the leaves of the last carry and of the ys, recorded.

    Parameters
    ----------
    graph : StepGraph
        The operations of a step.
    has_gradient : sequence of bool
        For each leaf of the new carry and of y, True if gradients flow into it.
    carry, xs, captures : sequence of Tensor
        The inputs, with their nodes; `xs` in the order of the input.
    steps, reverse, detach_points
        See `ScanCall`.
    """
    with enable_grad():
        columns = [unstack(x) for x in xs]
        invariant = dict(zip(graph.captures, captures, strict=True))
        invariant.update((value, Tensor(array)) for value, array in graph.constants)
        leaves, outputs = list(carry), []
        for n in range(steps):
            if n in detach_points:
                leaves = [leaf.detach() for leaf in leaves]
            position = steps - 1 - n if reverse else n
            values = dict(invariant)
            values.update(zip(graph.carry, leaves, strict=True))
            values.update(zip(graph.xs, [column[position] for column in columns], strict=True))
            for op in graph.ops:
                _apply(op, values, graph)
            results = [
                values[value] if flows else values[value].detach()
                for value, flows in zip([*graph.new_carry, *graph.ys], has_gradient, strict=True)
            ]
            leaves = results[: len(leaves)]
            outputs.append(results[len(leaves) :])
        if reverse:
            outputs.reverse()
        return [*leaves, *[stack(column) for column in zip(*outputs, strict=True)]]


def _apply(op: Op, values: dict[Value, Tensor], graph: StepGraph) -> None:
    """Compute and record one operation; add its results to `values`."""

    def array(x: Any) -> Any:
        return values[x]._data if isinstance(x, Value) else x

    arrays = tuple(map(array, op.args))
    static = {name: tree_map(array, x) for name, x in op.static.items()}
    y = op.primitive.kernels[graph.backend.array_type](*arrays, **static)
    parents = tuple(
        [
            values[x]._node if flows else None
            for x, flows in zip(op.args, op.differentiated, strict=True)
        ]
    )
    static = {**static_defaults(op.primitive), **static}
    result = record_operation(op.primitive, parents, arrays, y, static)
    results = result if isinstance(result, tuple) else (result,)
    values.update(zip(op.outs, results, strict=True))
