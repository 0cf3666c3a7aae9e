"""A graph that grows without bound: noticed, and traced to the tensor that keeps it alive.

The usual cause is a state, or a running total of losses, that is carried from step to step without
`detach()`. When weights are written, the graphs of earlier steps have served; so then is the time
to count what is alive. It is done whenever twice as many operations have been recorded as the last
time, and costs nothing in between.
"""

from __future__ import annotations

import gc
import warnings

from ..core import mutation
from ..core.graph import Node
from ..core.tensor import Tensor

MANY = 1000
_last = (0, 0)  # the clock's time when nodes were counted last, and how many there were


def _count(now: int) -> None:
    """Warn if more recorded operations are alive than at the last count, by far, and some
    tensor leads back to that time.
    """
    global _last
    alive = gc.get_objects()
    nodes = [x for x in alive if type(x) is Node and getattr(x, "primitive", None) is not None]
    before, count = _last
    _last = now, len(nodes)
    grown = count and len(nodes) > MANY and len(nodes) > 1.5 * count
    if grown and (holder := _holder(alive, nodes, before)):
        warnings.warn(
            f"the recorded graph grows from step to step: {len(nodes):,} operations are alive, "
            f"{count:,} were when half as many had been recorded; {holder}. "
            "detach() what is carried from one step to the next; of losses, sum up the .item()",
            RuntimeWarning,
            stacklevel=4,
        )


def _holder(alive: list[object], nodes: list[Node], before: int) -> str:
    """The oldest tensor, if any, from which nodes lead to the time before the last count."""
    leading: set[Node | None] = set()
    for node in sorted(nodes, key=lambda node: node.number):  # inputs before their users
        if node.number < before or not leading.isdisjoint(node.parents):
            leading.add(node)
    run_locked = {getattr(x, "_node", None) for x in alive if isinstance(x, Tensor)}
    kept = sorted(
        (node for node in nodes if node in leading and node in run_locked), key=lambda n: n.number
    )
    if not kept:
        return ""
    oldest = kept[0]
    alike = sum(n.primitive.name == oldest.primitive.name and n.shape == oldest.shape for n in kept)
    others = f" and {alike - 1:,} more like it keep them" if alike > 1 else " keeps them"
    return f"a tensor of shape {oldest.shape} made by {oldest.primitive.name}{others}"


mutation.count = _count
