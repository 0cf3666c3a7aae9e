"""Detection of graphs that grow without bound, and of the tensor that keeps them alive.

The usual cause is a state, or a running total of losses, that is carried from step to step without
`detach()`. When weights are written, the graphs of earlier steps are no longer needed, so the nodes
that are alive are counted then. The count runs each time the number of recorded operations has
doubled, so its amortized cost per operation is negligible.
"""

from __future__ import annotations

import gc
import warnings

from ..core.graph import Node
from ..core.mutation import growth_hooks
from ..core.tensor import Tensor

MIN_NODES = 1000
_last_count = (0, 0)  # the version at the last count, and the number of nodes


def _check_growth(version: int) -> None:
    """Warn if many more nodes are alive than at the last count and a tensor refers to old ones."""
    global _last_count
    objects = gc.get_objects()
    nodes = [x for x in objects if type(x) is Node and getattr(x, "primitive", None) is not None]
    last_version, last_count = _last_count
    _last_count = version, len(nodes)
    has_grown = last_count and len(nodes) > MIN_NODES and len(nodes) > 1.5 * last_count
    if has_grown and (holder := _describe_holder(objects, nodes, last_version)):
        warnings.warn(
            f"the recorded graph grows from step to step: {len(nodes):,} operations are alive, "
            f"{last_count:,} were when half as many had been recorded; {holder}. "
            "detach() the state that is carried from step to step, and sum losses by .item()",
            RuntimeWarning,
            stacklevel=4,
        )


def _describe_holder(objects: list[object], nodes: list[Node], version: int) -> str:
    """Describe the oldest tensor whose graph contains nodes from before `version`, or return ""."""
    old: set[Node | None] = set()
    for node in sorted(nodes, key=lambda node: node.number):  # parents before their users
        if node.number < version or not old.isdisjoint(node.parents):
            old.add(node)
    referenced = {getattr(x, "_node", None) for x in objects if isinstance(x, Tensor)}
    holders = sorted(
        (node for node in nodes if node in old and node in referenced), key=lambda n: n.number
    )
    if not holders:
        return ""
    oldest = holders[0]
    similar = [
        n for n in holders if (n.primitive.name, n.shape) == (oldest.primitive.name, oldest.shape)
    ]
    ending = f" and {len(similar) - 1:,} more like it keep them" if similar[1:] else " keeps them"
    return f"a tensor of shape {oldest.shape} created by {oldest.primitive.name}{ending}"


def warn_of_graph_growth() -> None:
    """Check graphs for growth from now on; `autograd` calls this when it is imported."""
    if _check_growth not in growth_hooks:
        growth_hooks.append(_check_growth)
