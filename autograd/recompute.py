"""Recomputation (rematerialization) in the backward pass (Griewank & Walther 2000).

A node stores no residuals, and evaluates its function again when the backward pass reaches it.
`recurrence.checkpoint` records functions in this way, `recurrence.checkpointed_scan` segments of a
scan, and the compiler whole scans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from . import backend, random
from .backend import Array
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
"""During a recomputation: the versions of the first and the second evaluation, also for enclosing
recomputations. A write between them would change the result.
"""


def replayable(f: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that evaluates `f` with recording, at the current random position."""
    stream = random.get_state()

    def evaluate() -> Any:
        with random.replay(stream), enable_grad():
            return f()

    return evaluate


def evaluate_replayable(
    f: Callable[[], Any], again: Callable[[], Any]
) -> tuple[Any, Callable[[], Any]]:
    """Return the result of `f`, and a function that evaluates `again` with recording.

    Both evaluations draw the same random numbers, even if other threads draw at the same time.
    """
    draws: random.Draws = []
    with random.record_draws(draws):
        out = f()

    def evaluate() -> Any:
        with random.replay_draws(draws), enable_grad():
            return again()

    return out, evaluate


def evaluate_with_digests(f: Callable[[], Any]) -> tuple[Any, set[bytes]]:
    """Return the result of `f`, and digests of the arrays and lists whose values it records."""
    digests: set[bytes] = set()

    def add_digest(value: Any) -> None:
        if hasattr(value, "dtype"):
            content = backend.of_array(value).to_host(value).tobytes()
        else:
            content = repr(value).encode()
        digests.add(blake2b(content, digest_size=16).digest())

    with snapshot_observer.block(add_digest):
        out = f()
    if (outer := snapshot_observer.get()) is not None:
        outer(sorted(digests))
    return out, digests


def evaluate_unchanged(f: Callable[[], Any], digests: set[bytes]) -> Any:
    """Return the result of `f`; raise RuntimeError if an array or list is not among `digests`."""
    out, new_digests = evaluate_with_digests(f)
    if not new_digests <= digests:  # a compiled scan does not read again what its plan has copied
        raise RuntimeError(
            "under checkpointing, the second evaluation used arrays or lists with other values "
            "than the first; pass them as arguments, which are copied, or do not change them "
            "before the backward pass"
        )
    return out


def recorded_since(version: int, out: Any) -> tuple[set[Node], set[Node]]:
    """Return the nodes of `out` created since a version, and the older nodes they refer to."""
    return graph.ancestors_since(version, [x._node for x in flatten(out) if is_recorded(x)])


class Recompute:
    """The primitive of a node that recomputes a function in the backward pass.

    Parameters
    ----------
    evaluate : callable
        Evaluates the function with recording on. It depends on no node except `parents`.
    positions : list of int
        The positions of the node's results among the leaves of the function's result.
    parents : iterable of Node
        The nodes outside the function that it depends on.
    arguments : list of array
        The arrays that `evaluate` passes to the function. They must not be written in place before
        the evaluation.
    """

    name = "checkpoint"
    residual_names: tuple[str, ...] = ()
    fresh_gradients = False

    def __init__(
        self,
        evaluate: Callable[[], Any],
        positions: list[int],
        parents: Iterable[Node],
        arguments: list[Array] | None = None,
    ) -> None:
        self.evaluate, self.positions, self.arguments = evaluate, positions, arguments or []
        self.parents = sorted(parents, key=lambda node: node.number)
        self._outer_intervals, self._version = recompute_intervals.get(), next_version()

    def results(self) -> list[Any]:
        """Evaluate the function and return the results of the node, recorded."""
        leaves = flatten(self.evaluate())
        return [leaves[i] for i in self.positions]

    def gradients(self, g: Any) -> list[Any]:
        """Return the gradients of `parents`, given the gradients of the results.

        They are recorded if the gradients in `g` are Tensors. Raises RuntimeError if the second
        evaluation depends on other nodes than the first, or on an array that was written in place
        after the first.
        """
        start = next_version()
        intervals = *self._outer_intervals, (self._version, start)
        with recompute_intervals.block(intervals):
            results = self.results()
        subgraph, outer = recorded_since(start, results)
        self._check_parents(outer)
        self._check_writes(subgraph, intervals)
        pairs = [(y, w) for y, w in zip(results, g, strict=True) if w is not None]
        seeds = [(y._node, w) for y, w in pairs if is_recorded(y)]
        del results, pairs  # the backward pass frees arrays that only the graph refers to
        create_graph = any(isinstance(w, Tensor) for w in g)
        gradients = graph.backward_pass(
            seeds, self.parents, create_graph=create_graph, subgraph=subgraph
        )
        return [gradients.get(node) for node in self.parents]

    def _check_parents(self, outer: set[Node]) -> None:
        """Raise RuntimeError if the second evaluation used nodes that the first did not use."""
        if unknown := outer - set(self.parents):
            shapes = ", ".join(str(node.shape) for node in unknown)
            raise RuntimeError(
                "under checkpointing, the second evaluation used tensors that the first did not "
                f"use, of shape {shapes}; the function must be pure, and a step of scan must use "
                "the same tensors at every step"
            )

    def _check_writes(self, subgraph: set[Node], intervals: Iterable[tuple[int, int]]) -> None:
        """Raise RuntimeError if an array that was read was written between two evaluations.

        These are the arguments, the leaves, and the residuals of the operations.
        """
        for first, second in intervals:
            if first >= mutation.latest_write[0]:
                continue
            for node in subgraph:
                if node.primitive is not None:
                    residuals = flatten(node.residuals)
                    mutation.check_versions(node.primitive.name, residuals, first, second)
            leaves = [node.residuals for node in self.parents if node.primitive is None]
            mutation.check_versions(self.name, [*leaves, *self.arguments], first, second)

    def vjp(self, g: Any, residuals: Any, parents: tuple[Node | None, ...]) -> Any:
        return self.gradients(g)

    def residuals_as_tensors(self, node: Node) -> Any:
        return node.residuals


def record_as_one_node(
    out: Any,
    is_result: Callable[[Any], bool],
    inputs: set[Node],
    evaluate: Callable[[], Any],
    arguments: Any,
) -> Any:
    """Return `out` with one node in place of the graph of a function.

    The leaves of `out` that satisfy `is_result` become the results of a `Recompute` node with
    `inputs` as parents; `arguments` are the (nested) arguments of the function. Without inputs,
    `out` is returned unchanged.
    """
    if not inputs:
        return out
    leaves = flatten(out)
    positions = [i for i, leaf in enumerate(leaves) if is_result(leaf)]
    arrays = [leaf._data for leaf in flatten(arguments) if isinstance(leaf, Tensor)]
    primitive = Recompute(evaluate, positions, inputs, arrays)
    shapes, dtypes = [leaves[i].shape for i in positions], [leaves[i].dtype for i in positions]
    node = Node(primitive, tuple(primitive.parents), (), tuple(shapes), tuple(dtypes))
    for k, i in enumerate(positions):
        leaves[i] = select_output(leaves[i].data, node, k)
    return unflatten(out, leaves)
