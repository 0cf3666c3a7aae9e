"""The graph of a compiled recurrence with every step in it, as if it had been recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.graph import GET_OUTPUT, Node
from ..core.mutation import next_version
from ..core.tensor import Tensor
from .scan_node import SCAN, recorded_results


def unrolled(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return tensors of a graph in which compiled recurrences are recorded step by step; the given
    tensors without any. Parts that the backward pass has freed stay as they are.
    """
    tensors = list(tensors)
    stands: dict[Node, Node] = {}  # for a result of a compiled recurrence, one of its record
    records: dict[Node, tuple[int, int, list[Node]]] = {}  # from when to when each was made
    found: set[Node] = set()
    stack: list[Any] = [t._node for t in tensors]
    while stack:
        node = stack.pop()
        if node is None or node in found:
            continue
        found.add(node)
        whole = node.parents[0] if node.primitive is GET_OUTPUT and node.parents else None
        if whole is None or whole.primitive is not SCAN or whole.residuals is None:
            stack += node.parents
            continue
        if whole not in records:
            records[whole] = (next_version(), *_timed(whole))
        stands[node] = records[whole][2][node.residuals]
        stack.append(stands[node])
    if not stands:
        return tensors

    def moment(node: Node) -> tuple[int, ...]:
        """When a node was made, or would have been: inputs come before their users."""
        for whole, (start, end, _) in records.items():
            if start < node.number < end:
                return (*moment(whole), node.number)
        return (node.number,)

    made: dict[Node, Node] = {}
    for node in sorted(found, key=moment):
        if node in stands:
            made[node] = made.get(stands[node], stands[node])
        elif node.primitive is not None and (
            len(moment(node)) > 1 or any(parent in made for parent in node.parents)
        ):
            parents = tuple([made.get(p, p) if p is not None else None for p in node.parents])
            made[node] = Node(node.primitive, parents, node.residuals, node.shape, node.dtype)
            made[node].accumulator = node.accumulator
    return [Tensor(t._data, made.get(t._node, t._node)) for t in tensors]  # type: ignore[arg-type]


def _timed(whole: Node) -> tuple[int, list[Node]]:
    nodes: list[Any] = [tensor._node for tensor in recorded_results(whole)]
    return next_version(), nodes
