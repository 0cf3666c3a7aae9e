"""Graphs in which compiled scans are replaced by the operations of all their steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.graph import GET_OUTPUT, Node
from ..core.mutation import next_version
from ..core.tensor import Tensor
from .scan_node import SCAN, recorded_results


def unrolled(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return tensors whose graph contains the steps of its compiled scans, recorded one by one.

    A graph without compiled scans is returned unchanged, as are scans whose residuals the backward
    pass has freed.
    """
    tensors = list(tensors)
    replacements: dict[Node, Node] = {}  # of the results of compiled scans
    replays: dict[Node, tuple[int, int, list[Node]]] = {}  # numbers around its nodes, results
    found: set[Node] = set()
    stack: list[Any] = [t._node for t in tensors]
    while stack:
        node = stack.pop()
        if node is None or node in found:
            continue
        found.add(node)
        scan = node.parents[0] if node.primitive is GET_OUTPUT and node.parents else None
        if scan is None or scan.primitive is not SCAN or scan.residuals is None:
            stack += node.parents
            continue
        if scan not in replays:
            replays[scan] = _replay(scan)
        replacements[node] = replays[scan][2][node.residuals]
        stack.append(replacements[node])
    if not replacements:
        return tensors

    def position(node: Node) -> tuple[int, ...]:
        """Return a sort key by which nodes come before their users: a replay is at its scan."""
        for scan, (first, last, _) in replays.items():
            if first < node.number < last:
                return (*position(scan), node.number)
        return (node.number,)

    copies: dict[Node, Node] = {}
    for node in sorted(found, key=position):
        if node in replacements:
            copies[node] = copies.get(replacements[node], replacements[node])
        elif node.primitive is not None and (
            len(position(node)) > 1 or any(parent in copies for parent in node.parents)
        ):
            parents = tuple([copies.get(p, p) if p is not None else None for p in node.parents])
            copies[node] = Node(node.primitive, parents, node.residuals, node.shape, node.dtype)
            copies[node].accumulator = node.accumulator
    return [Tensor(t._data, copies.get(t._node, t._node)) for t in tensors]  # type: ignore[arg-type]


def _replay(scan: Node) -> tuple[int, int, list[Node]]:
    """Replay a scan; return numbers before and after its nodes, and the nodes of its results."""
    first = next_version()
    results: list[Any] = [tensor._node for tensor in recorded_results(scan)]
    return first, next_version(), results
