"""The reference executor: the graphs of a step, evaluated operation by operation at every step."""

from collections.abc import Sequence
from typing import Any

from autograd.compile.ir import BackwardGraph, StepGraph, evaluate


def forward(
    graph: StepGraph, carry: Sequence[Any], xs: Sequence[Any], captures: Sequence[Any]
) -> tuple[list[Any], list[Any], list[dict[Any, Any]]]:
    """Return the last carry, the ys, and the values of each step."""
    values, ys = [], []
    for x in zip(*xs, strict=True):
        arrays = dict(zip(graph.captures, captures, strict=True)) | dict(graph.constants)
        arrays |= dict(zip(graph.carry, carry, strict=True)) | dict(zip(graph.xs, x, strict=True))
        evaluate(graph.ops, arrays, graph.backend)
        carry = [arrays[value] for value in graph.new_carry]
        ys.append([arrays[value] for value in graph.ys])
        values.append(arrays)
    columns = [graph.backend.xp.stack(column) for column in zip(*ys, strict=True)]
    return list(carry), columns, values


def backward(
    graph: StepGraph,
    backward_graph: BackwardGraph,
    values: list[dict[Any, Any]],
    d_carry: Sequence[Any],
    d_ys: Sequence[Any],
) -> tuple[list[Any], list[Any]]:
    """Return the gradients of the initial carry and of the captures (0 where there is none)."""
    totals: list[Any] = [0 for _ in graph.captures]
    for t in reversed(range(len(values))):
        arrays = values[t] | dict(backward_graph.constants)
        received = zip(backward_graph.d_new_carry, d_carry, strict=True)
        arrays |= {value: g for value, g in received if value is not None}
        received = zip(backward_graph.d_ys, [d[t] for d in d_ys], strict=True)
        arrays |= {value: g for value, g in received if value is not None}
        evaluate(backward_graph.ops, arrays, graph.backend)
        d_carry = [0 if value is None else arrays[value] for value in backward_graph.d_carry]
        terms = [0 if value is None else arrays[value] for value in backward_graph.d_captures]
        totals = [total + term for total, term in zip(totals, terms, strict=True)]
    return list(d_carry), totals
