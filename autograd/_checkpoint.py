"""Memory for time: a function whose record is dropped at once, and made again for backward
(Griewank & Walther 2000).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _graph, random
from ._graph import Node, enable_grad
from ._primitive import Primitive, result
from ._tensor import Tensor
from ._tree import flatten, tree_map
from .transforms import is_recorded, nested


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but its inner record is dropped at once and made again when backward
    arrives: memory for one more evaluation (Griewank & Walther 2000).

    The default random stream is put back for the second evaluation, so that dropout drops the same;
    `f` must be a pure function otherwise. Tensors that it takes from around it, such as parameters,
    get their gradients too. Derivatives of any order go through it.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        start, stream, was_nested = _graph.clock(), random.get_state(), nested.get()
        out = f(*args, **kwargs)
        outputs = [o for o in flatten(out) if is_recorded(o) and o._node.number > start]
        outside = _inputs_from_outside([o._node for o in outputs], start)
        if not outside:
            return out

        def pull(g: Any) -> list[Any]:
            now, token = random.get_state(), nested.set(was_nested)
            try:
                random.set_state(stream)
                with enable_grad():
                    again = flatten(f(*args, **kwargs))
            finally:
                random.set_state(now)
                nested.reset(token)
            again = [o for o in again if is_recorded(o) and o._node.number > start]
            seeds = [(o._node, one) for o, one in zip(again, g, strict=True)]
            found = _graph.sweep(seeds, outside, False, isinstance(g[0], Tensor), stop=True)
            return [found.get(node) for node in outside]

        primitive = Primitive("checkpoint", pull, [], {"*": pull})
        shapes, dtypes = [o.shape for o in outputs], [o.dtype for o in outputs]
        node = Node(primitive, tuple(outside), (), tuple(shapes), tuple(dtypes))
        places = {id(o): i for i, o in enumerate(outputs)}
        return tree_map(
            lambda o: result(o.data, node, places[id(o)]) if id(o) in places else o, out
        )

    return run


def _inputs_from_outside(nodes: list[Node], start: int) -> list[Node]:
    """The nodes made before `start` that these nodes were computed from."""
    seen: set[Node] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if node.number > start:
                stack += [parent for parent in node.parents if parent is not None]
    return sorted((n for n in seen if n.number < start), key=lambda n: n.number)
