"""Memory for time: a record that is dropped at once, and made again when backward arrives
(Griewank & Walther 2000).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from functools import partial
from hashlib import blake2b
from typing import Any

from . import backend, random
from .core import graph, mutation
from .core.graph import Node, enable_grad
from .core.mutation import clock
from .core.primitive import result
from .core.pytree import flatten, tree_map, unflatten
from .core.tensor import Tensor, copied, snapshot
from .runtime.context import Variable
from .transforms import is_recorded

between: Variable[tuple[tuple[int, int], ...]] = Variable("between", default=())
"""While something is evaluated again: the times from its first evaluation to this one, and those of
the evaluations around it."""

all_recorded = Variable("all_recorded", default=False)
"""Whether all is recorded as it comes: no recurrence compiled, nothing forgotten. Per thread and
per async task."""


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but its inner record is dropped at once and made again when backward
    arrives: memory for one more evaluation.

    The default random stream is put back for the second evaluation, so that dropout drops the same;
    `f` must be a pure function otherwise: arrays and lists that it closes over must not change
    before the backward pass (arguments may, they are copied). Tensors that it takes from around it,
    such as parameters, get their gradients too. Derivatives of any order go through it.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        if all_recorded.get():
            return f(*args, **kwargs)
        again = as_now(lambda: f(*args, **kwargs))
        start = clock()
        out, digests = with_digests(lambda: f(*args, **kwargs))
        if isinstance(out, (Generator, AsyncGenerator, Awaitable)):
            raise TypeError(
                f"checkpoint takes functions that return their results, got a {type(out).__name__} "
                "of operations that run later; checkpoint the functions that it calls"
            )
        inputs = since(start, out)[1]
        if inputs:
            args, kwargs = tree_map(snapshot, (args, kwargs))
        again = partial(as_before, again, digests)
        return on_one_node(out, lambda o: is_recorded(o) and o._node.number > start, inputs, again)

    return run


def with_digests(f: Callable[[], Any]) -> tuple[Any, set[bytes]]:
    """The result of `f`, and digests of the caller's arrays and lists that it records."""
    digests: set[bytes] = set()

    def note(value: Any) -> None:
        is_array = hasattr(value, "dtype")
        content = (
            backend.of_array(value).to_host(value).tobytes() if is_array else repr(value).encode()
        )
        digests.add(blake2b(content, digest_size=16).digest())

    with copied.block(note):
        out = f()
    if (outer := copied.get()) is not None:
        outer(sorted(digests))
    return out, digests


def as_before(f: Callable[[], Any], digests: set[bytes]) -> Any:
    """The result of `f`; RuntimeError if arrays or lists have changed since their `digests`."""
    out, now = with_digests(f)
    if now != digests:
        raise RuntimeError(
            "under checkpointing, the second evaluation used arrays or lists with other values "
            "than the first; pass them as arguments, which are copied, or do not change them "
            "before the backward pass"
        )
    return out


def as_now(f: Callable[[], Any]) -> Callable[[], Any]:
    """`f`, to be recorded later from the same place in the default random stream."""
    stream = random.get_state()

    def again() -> Any:
        with random.replay(stream), enable_grad():
            return f()

    return again


def since(start: int, out: Any) -> tuple[set[Node], set[Node]]:
    """The nodes behind `out` made after `start`, and those from before which they refer to."""
    return graph.reached(start, [leaf._node for leaf in flatten(out) if is_recorded(leaf)])


class Again:
    """Results of a function, at some `places` among its leaves, that can be had again by calling
    `evaluate`, which uses no other nodes than `parents`.
    """

    name = "checkpoint"
    needs: tuple[str, ...] = ()  # no value that a rule asks for by name
    fresh_gradients = False

    def __init__(
        self, evaluate: Callable[[], Any], places: list[int], parents: Iterable[Node]
    ) -> None:
        self.evaluate, self.places = evaluate, places
        self.parents = sorted(parents, key=lambda node: node.number)
        self._around, self._evaluated = between.get(), clock()

    def results(self) -> list[Any]:
        """The results, recorded."""
        flat = flatten(self.evaluate())
        return [flat[i] for i in self.places]

    def gradients(self, g: Any) -> list[Any]:
        """The gradients of `parents`, given those of the results; recorded if these are Tensors.

        RuntimeError if what is needed was written in place between the two evaluations: the second
        would compute something else.
        """
        start = clock()
        stale = *self._around, (self._evaluated, start)
        with between.block(stale):
            remade = self.results()
        inside, before = since(start, remade)
        if strange := before - set(self.parents):
            shapes = ", ".join(str(node.shape) for node in strange)
            raise RuntimeError(
                "under checkpointing, the second evaluation used tensors that the first had not: "
                f"of shape {shapes}; what is evaluated must be a pure function, a step of scan one "
                "that uses the same tensors at every step"
            )
        for first, second in stale:
            for node in inside if first < mutation.last[0] else ():
                if node.primitive is not None:
                    mutation.check(node.primitive.name, flatten(node.saved), first, second)
            leaves = [leaf.saved for leaf in self.parents if leaf.primitive is None]
            mutation.check(self.name, leaves, first, second)
        used = [(o, w) for o, w in zip(remade, g, strict=True) if w is not None]
        seeds = [(o._node, w) for o, w in used if is_recorded(o)]
        del remade, used  # their history is what is needed
        create_graph = any(isinstance(w, Tensor) for w in g)
        found = graph.sweep(seeds, self.parents, False, create_graph, inside)
        return [found.get(node) for node in self.parents]

    # What a node asks of its primitive.

    def pull(self, g: Any, saved: Any, parents: tuple[Node | None, ...]) -> Any:
        return self.gradients(g)

    def rewrapped(self, node: Node) -> Any:
        return node.saved


def on_one_node(
    out: Any, chosen: Callable[[Any], bool], inputs: set[Node], again: Callable[[], Any]
) -> Any:
    """`out`, with its `chosen` leaves as results of one node that knows only `inputs`, and how the
    same results are computed `again`; as it is, where there are none.
    """
    if not inputs:
        return out
    flat = flatten(out)
    places = [i for i, leaf in enumerate(flat) if chosen(leaf)]
    whole = Again(again, places, inputs)
    shapes, dtypes = [flat[i].shape for i in places], [flat[i].dtype for i in places]
    node = Node(whole, tuple(whole.parents), (), tuple(shapes), tuple(dtypes))
    for n, i in enumerate(places):
        flat[i] = result(flat[i].data, node, n)
    return unflatten(out, flat)
