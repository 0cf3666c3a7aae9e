"""Memory for time: a record that is dropped at once, and made again when backward arrives
(Griewank & Walther 2000).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from . import _graph, _writes, random
from ._graph import Node, enable_grad
from ._primitive import Primitive, result
from ._tensor import Tensor
from ._tree import flatten, unflatten
from ._writes import clock
from .transforms import is_recorded, nested

between: ContextVar[tuple[tuple[int, int], ...]] = ContextVar("between", default=())
"""While something is evaluated again: the times from its first evaluation to this one, and those of
the evaluations around it."""


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but its inner record is dropped at once and made again when backward
    arrives: memory for one more evaluation.

    The default random stream is put back for the second evaluation, so that dropout drops the same;
    `f` must be a pure function otherwise. Tensors that it takes from around it, such as parameters,
    get their gradients too. Derivatives of any order go through it.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        again = as_now(lambda: f(*args, **kwargs))
        start = clock()
        out = f(*args, **kwargs)
        inputs = since(start, out)[1]
        return on_one_node(out, lambda o: is_recorded(o) and o._node.number > start, inputs, again)

    return run


def as_now(f: Callable[[], Any]) -> Callable[[], Any]:
    """`f`, to be recorded later from the same place in the default random stream."""
    stream, was_nested = random.get_state(), nested.get()

    def again() -> Any:
        now, token = random.get_state(), nested.set(was_nested)
        try:
            random.set_state(stream)
            with enable_grad():
                return f()
        finally:
            random.set_state(now)
            nested.reset(token)

    return again


def since(start: int, out: Any) -> tuple[set[Node], set[Node]]:
    """The nodes behind `out` made after `start`, and those from before which they refer to."""
    inside: set[Node] = set()
    before: set[Node] = set()
    stack = [leaf._node for leaf in flatten(out) if is_recorded(leaf)]
    while stack:
        node = stack.pop()
        if node.number < start:
            before.add(node)
        elif node not in inside:
            inside.add(node)
            stack += [parent for parent in node.parents if parent is not None]
    return inside, before


def on_one_node(
    out: Any, chosen: Callable[[Any], bool], inputs: set[Node], again: Callable[[], Any]
) -> Any:
    """`out`, with its `chosen` leaves as results of one node that knows only `inputs`, and how the
    same results are computed `again`; as it is, where there are none.

    RuntimeError if what is needed was written in place between the two evaluations: the second
    would compute something else.
    """
    if not inputs:
        return out
    around, evaluated = between.get(), clock()
    flat = flatten(out)
    places = [i for i, leaf in enumerate(flat) if chosen(leaf)]
    parents = sorted(inputs, key=lambda node: node.number)

    def pull(g: Any) -> list[Any]:
        start = clock()
        stale = *around, (evaluated, start)
        token = between.set(stale)
        try:
            flat = flatten(again())
        finally:
            between.reset(token)
        remade = [flat[i] for i in places]
        inside, before = since(start, remade)
        if strange := before - inputs:
            shapes = ", ".join(str(node.shape) for node in strange)
            raise RuntimeError(
                "under checkpointing, the second evaluation used tensors that the first had not: "
                f"of shape {shapes}; what is evaluated must be a pure function, a step of scan one "
                "that uses the same tensors at every step"
            )
        for first, second in stale:
            for node in inside if first < _writes.last else ():
                if node.primitive is not None:
                    _writes.check(node.primitive.name, flatten(node.saved), first, second)
        seeds = [(o._node, w) for o, w in zip(remade, g, strict=True) if is_recorded(o)]
        found = _graph.sweep(seeds, parents, False, isinstance(g[0], Tensor), inside)
        return [found.get(node) for node in parents]

    primitive = Primitive("checkpoint", pull, [], {"*": pull})
    shapes, dtypes = [flat[i].shape for i in places], [flat[i].dtype for i in places]
    node = Node(primitive, tuple(parents), (), tuple(shapes), tuple(dtypes))
    for n, i in enumerate(places):
        flat[i] = result(flat[i].data, node, n)
    return unflatten(out, flat)
