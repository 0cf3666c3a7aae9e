"""Memory for time: a record that is dropped at once, and made again when backward arrives
(Griewank & Walther 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from . import backend, random
from .core import graph, mutation
from .core.graph import Node, enable_grad
from .core.mutation import next_version
from .core.primitive import select_output
from .core.pytree import flatten, unflatten
from .core.tensor import Tensor, snapshot_observer
from .runtime.context import ContextVariable
from .transforms import is_recorded

recompute_intervals: ContextVariable[tuple[tuple[int, int], ...]] = ContextVariable(
    "recompute_intervals", default=()
)
"""While something is evaluated again: the times from its first evaluation to this one, and those of
the evaluations around it."""

eager_execution = ContextVariable("eager_execution", default=False)
"""Whether all is recorded as it comes: no recurrence compiled, nothing forgotten. Per thread and
per async task."""


def evaluate_with_digests(f: Callable[[], Any]) -> tuple[Any, set[bytes]]:
    """The result of `f`, and digests of the caller's arrays and lists that it records."""
    digests: set[bytes] = set()

    def note(value: Any) -> None:
        is_array = hasattr(value, "dtype")
        content = (
            backend.of_array(value).to_host(value).tobytes() if is_array else repr(value).encode()
        )
        digests.add(blake2b(content, digest_size=16).digest())

    with snapshot_observer.block(note):
        out = f()
    if (outer := snapshot_observer.get()) is not None:
        outer(sorted(digests))
    return out, digests


def evaluate_unchanged(f: Callable[[], Any], digests: set[bytes]) -> Any:
    """The result of `f`; RuntimeError if arrays or lists have changed since their `digests`."""
    out, now = evaluate_with_digests(f)
    if now != digests:
        raise RuntimeError(
            "under checkpointing, the second evaluation used arrays or lists with other values "
            "than the first; pass them as arguments, which are copied, or do not change them "
            "before the backward pass"
        )
    return out


def replayable(f: Callable[[], Any]) -> Callable[[], Any]:
    """`f`, to be recorded later from the same place in the default random stream."""
    stream = random.get_state()

    def again() -> Any:
        with random.replay(stream), enable_grad():
            return f()

    return again


def recorded_since(start: int, out: Any) -> tuple[set[Node], set[Node]]:
    """The nodes behind `out` made after `start`, and those from before which they refer to."""
    return graph.ancestors_since(start, [leaf._node for leaf in flatten(out) if is_recorded(leaf)])


class Recompute:
    """Results of a function, at some `places` among its leaves, that can be had again by calling
    `evaluate`, which uses no other nodes than `parents`.
    """

    name = "checkpoint"
    residual_names: tuple[str, ...] = ()  # no value that a rule asks for by name
    fresh_gradients = False

    def __init__(
        self, evaluate: Callable[[], Any], places: list[int], parents: Iterable[Node]
    ) -> None:
        self.evaluate, self.places = evaluate, places
        self.parents = sorted(parents, key=lambda node: node.number)
        self._around, self._evaluated = recompute_intervals.get(), next_version()

    def results(self) -> list[Any]:
        """The results, recorded."""
        flat = flatten(self.evaluate())
        return [flat[i] for i in self.places]

    def gradients(self, g: Any) -> list[Any]:
        """The gradients of `parents`, given those of the results; recorded if these are Tensors.

        RuntimeError if what is needed was written in place between the two evaluations: the second
        would compute something else.
        """
        start = next_version()
        stale = *self._around, (self._evaluated, start)
        with recompute_intervals.block(stale):
            remade = self.results()
        inside, before = recorded_since(start, remade)
        if strange := before - set(self.parents):
            shapes = ", ".join(str(node.shape) for node in strange)
            raise RuntimeError(
                "under checkpointing, the second evaluation used tensors that the first had not: "
                f"of shape {shapes}; what is evaluated must be a pure function, a step of scan one "
                "that uses the same tensors at every step"
            )
        for first, second in stale:
            for node in inside if first < mutation.latest_write[0] else ():
                if node.primitive is not None:
                    mutation.check_versions(
                        node.primitive.name, flatten(node.residuals), first, second
                    )
            leaves = [leaf.residuals for leaf in self.parents if leaf.primitive is None]
            mutation.check_versions(self.name, leaves, first, second)
        used = [(o, w) for o, w in zip(remade, g, strict=True) if w is not None]
        seeds = [(o._node, w) for o, w in used if is_recorded(o)]
        del remade, used  # their history is what is needed
        create_graph = any(isinstance(w, Tensor) for w in g)
        found = graph.backward_pass(seeds, self.parents, False, create_graph, inside)
        return [found.get(node) for node in self.parents]

    # What a node asks of its primitive.

    def vjp(self, g: Any, residuals: Any, parents: tuple[Node | None, ...]) -> Any:
        return self.gradients(g)

    def residuals_as_tensors(self, node: Node) -> Any:
        return node.residuals


def record_as_one_node(
    out: Any, chosen: Callable[[Any], bool], inputs: set[Node], again: Callable[[], Any]
) -> Any:
    """`out`, with its `chosen` leaves as results of one node that knows only `inputs`, and how the
    same results are computed `again`; as it is, where there are none.
    """
    if not inputs:
        return out
    flat = flatten(out)
    places = [i for i, leaf in enumerate(flat) if chosen(leaf)]
    whole = Recompute(again, places, inputs)
    shapes, dtypes = [flat[i].shape for i in places], [flat[i].dtype for i in places]
    node = Node(whole, tuple(whole.parents), (), tuple(shapes), tuple(dtypes))
    for n, i in enumerate(places):
        flat[i] = select_output(flat[i].data, node, n)
    return unflatten(out, flat)
