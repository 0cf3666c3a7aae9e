"""Execution of a planned scan, and the node that stands for it in the recorded graph.

The node has the leaves of the carry, the inputs and the captures as parents. Its VJP rule runs the
backward loop. Where that does not apply, it replays the graph of the step eagerly: for derivatives
of derivatives, and at singular points if some results have no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from .. import backend
from ..core.graph import GET_OUTPUT, Node, recording
from ..core.pytree import flatten, unflatten
from ..core.tensor import Tensor
from ..recompute import Recompute
from .executors.executable import Executable, compile_graph, generalize
from .generalize import for_batch, union
from .ir import BackwardGraph, StepGraph, Value
from .replay import replay
from .scan_call import ScanCall

MAX_KNOWN_RESULTS = 100


class Plan:
    """A compiled step.

    Attributes
    ----------
    graph : StepGraph
        The operations of the step; at one of the batch sizes, if the plan is for all.
    has_gradient : tuple of bool
        For each leaf of the new carry and of y, True if gradients flow into it.
    executable : Executable
        The compiled loops.
    nesting : tuple
        The nesting of the new carry and of y.
    order : list of int
        The position in the new carry of each leaf of the carry.
    sources : list of frozenset of int
        For each leaf of the new carry and of y, the inputs on which it depends by gradient flow:
        the leaves of the carry, of xs, and the captures, numbered in this order.
    """

    def __init__(
        self,
        graph: StepGraph,
        has_gradient: tuple[bool, ...],
        backward: BackwardGraph | None,
        nesting: tuple[Any, Any],
        order: list[int],
    ) -> None:
        self.graph, self.has_gradient, self._backward = graph, has_gradient, backward
        self.executable = compile_graph(graph, backward)
        self.nesting, self.order = nesting, order
        self.sources = gradient_sources(graph, has_gradient)
        self._known: dict[Any, list[int]] = {}
        self._used: dict[Any, set[int]] = {}
        self._general_graphs: tuple[StepGraph, BackwardGraph | None] | None = None

    def for_all_batch_sizes(self, size: int, other: Plan, other_size: int) -> Plan | None:
        """Return the plan for all batch sizes, given the plan of the same step for another size.

        None if the plans differ in more than sizes proportional to the batch size.
        """
        graphs = [(plan.graph, plan._backward) for plan in (self, other)]
        general = union(graphs[0], size, graphs[1], other_size)
        executable = general and generalize(self.executable, size, other.executable, other_size)
        if executable is None:
            return None
        plan = copy(self)
        plan.executable, plan._general_graphs = executable, general
        return plan

    def graph_of(self, carry: Sequence[Any], xs: Sequence[Any]) -> StepGraph:
        """Return the operations of the step at the batch size of arrays."""
        size = self.executable.batch_size_of(carry, xs)
        if size is None or self._general_graphs is None:
            return self.graph
        return for_batch(self._general_graphs[0], size, self.graph.backend)

    @property
    def has_backward(self) -> bool:
        return self.executable.program.backward is not None

    def executable_of(self, call: ScanCall, executor: str | None) -> Executable:
        """Return the step compiled at the batch size of a call.

        By default, the executor is the one for the backend of the arrays.
        """
        carry, xs = ([x._data for x in flatten(tree)] for tree in (call.carry, call.xs))
        size = self.executable.batch_size_of(carry, xs)
        graphs = self.graph, self._backward
        if size is not None and self._general_graphs is not None:
            graphs = for_batch(self._general_graphs, size, self.graph.backend)
        elif executor in (None, self.executable.executor):
            return self.executable
        if executor in (None, self.executable.executor):
            return self.executable.of_graphs(*graphs)
        return compile_graph(*graphs, executor)

    def results_with_gradient(
        self, recorded: frozenset[int], steps: int, detach_points: tuple[int, ...]
    ) -> list[int]:
        """Return the positions of the results that require gradients.

        The results are the leaves of the last carry and of the ys; `recorded` are the leaves of the
        initial carry that require gradients.
        """
        key = recorded, steps, detach_points, recording.get()
        found = self._known.get(key)
        if found is None:
            if len(self._known) > MAX_KNOWN_RESULTS:
                self._known = {}
            flags = self._follow(*key)
            found = self._known[key] = [i for i, flag in enumerate(flags) if flag]
        return found

    def _follow(
        self,
        recorded: frozenset[int],
        steps: int,
        detach_points: tuple[int, ...],
        stacks_record: bool,
    ) -> list[bool]:
        n = len(self.graph.carry)
        others = frozenset({k for sources in self.sources for k in sources if k >= n})
        *before, last = self._recorded_carries(
            recorded | others, others, detach_points[0] if detach_points else steps
        )
        if detach_points:
            last = self._recorded_carries(others, others, steps - detach_points[-1])[-1]
        return [j in last for j in range(n)] + [
            stacks_record and any(sources & leaves for leaves in before)
            for sources in self.sources[n:]
        ]

    def _recorded_carries(
        self, first: frozenset[int], others: frozenset[int], steps: int
    ) -> list[frozenset[int]]:
        """Return the sources that exist before each step, and after the last one.

        They repeat after some steps, so the list may be shorter; the last entry is exact.
        """
        n, found = len(self.graph.carry), [first]
        while len(found) <= steps:
            carried = [j for j in range(n) if self.sources[j] & found[-1]]
            following = others.union(carried)
            if following in found:  # a cycle
                start = found.index(following)
                return [*found, found[start + (steps - start) % (len(found) - start)]]
            found.append(following)
        return found

    def used_sources(
        self, results: Iterable[int], steps: int, detach_points: tuple[int, ...]
    ) -> set[int]:
        """Return the sources on which some results of the scan depend."""
        key = tuple(results), steps, detach_points
        found = self._used.get(key)
        if found is None:
            if len(self._used) > MAX_KNOWN_RESULTS:
                self._used = {}
            found = self._used[key] = self._follow_back(*key)
        return found

    def _follow_back(
        self, results: tuple[int, ...], steps: int, detach_points: tuple[int, ...]
    ) -> set[int]:
        n, used, points = len(self.graph.carry), set[int](), set(detach_points)
        carried = {i for i in results if i < n}
        of_ys = set[int]().union(*[self.sources[i] for i in results if i >= n])
        for t in reversed(range(steps)):
            found = of_ys.union(*[self.sources[j] for j in carried])
            used |= {k for k in found if k >= n}
            earlier = set() if t in points else {k for k in found if k < n}
            if earlier == carried and not points:
                break
            carried = earlier
        return used | carried


def gradient_sources(graph: StepGraph, has_gradient: tuple[bool, ...]) -> list[frozenset[int]]:
    """Return for each result the inputs on which it depends by gradient flow."""
    inputs = [*graph.carry, *graph.xs, *graph.captures]
    found: dict[Value, frozenset[int]] = {v: frozenset({i}) for i, v in enumerate(inputs)}
    nothing: frozenset[int] = frozenset()
    for op in graph.ops:
        flows = zip(op.args, op.differentiated, strict=True)
        sources = nothing.union(*[found.get(x, nothing) for x, flow in flows if flow])
        found.update((out, sources) for out in op.outs)
    results = zip([*graph.new_carry, *graph.ys], has_gradient, strict=True)
    return [found.get(value, nothing) if flow else nothing for value, flow in results]


@dataclass
class Bindings:
    """The captures of one call: their arrays, and the node of each or None."""

    arrays: list[Any]
    nodes: list[Node | None]

    def are_older_than(self, version: int) -> bool:
        """True if no capture was computed since a version."""
        return all(node is None or node.number < version for node in self.nodes)


def execute(plan: Plan, bindings: Bindings, call: ScanCall) -> tuple[Any, Any]:
    """Execute a call by its plan; return the last carry and the ys."""
    order = slice(None, None, -1 if call.reverse else None)
    carry, xs = flatten(call.carry), flatten(call.xs)
    carry_arrays, x_arrays = [leaf._data for leaf in carry], [x._data for x in xs]
    arrays = [x[order] for x in x_arrays] if call.reverse else x_arrays
    last_carry, ys, handle = plan.executable.forward(
        carry_arrays, arrays, bindings.arrays, call.steps, call.detach_points
    )
    if call.reverse:
        ys = [y[order] for y in ys]
    results = list(map(Tensor, last_carry + ys))
    nodes = [leaf._node for leaf in (*carry, *xs)] + bindings.nodes
    if plan.has_backward and any(nodes):
        recorded = frozenset([j for j, leaf in enumerate(carry) if leaf._node is not None])
        positions = plan.results_with_gradient(recorded, call.steps, call.detach_points)
        if positions:
            leaves = carry_arrays + x_arrays + bindings.arrays
            backward = _Backward(plan, call, leaves, nodes, positions)
            # The residuals are checked for writes in place: among them what the rule needs.
            saved = (backward, handle, arrays, bindings.arrays, handle.workspace.histories)
            _record(backward, saved, results)
    n = len(carry)
    nesting, y_nesting = plan.nesting
    placed: list[Any] = [None] * n
    for leaf, position in zip(results[:n], plan.order, strict=True):
        placed[position] = leaf
    return unflatten(nesting, placed), unflatten(y_nesting, results[n:])


def _record(backward: _Backward, saved: Any, results: list[Tensor]) -> None:
    """Give the results at some positions their nodes."""
    chosen = [results[i] for i in backward.positions]
    arrays = [tensor._data for tensor in chosen]
    shapes, dtypes = tuple([x.shape for x in arrays]), tuple([x.dtype for x in arrays])
    parents = tuple(filter(None, backward.nodes))
    node = Node(SCAN, parents, saved, shapes, dtypes)
    for k, tensor in enumerate(chosen):
        tensor._node = Node(GET_OUTPUT, (node,), k, shapes[k], dtypes[k])


class _Backward:
    """The VJP rule of one executed scan. It has no reference to the results of the scan.

    `leaves` are the arrays of the leaves of the carry and the inputs, and of the captures; `nodes`
    their nodes.
    """

    def __init__(
        self,
        plan: Plan,
        call: ScanCall,
        leaves: list[Any],
        nodes: list[Node | None],
        positions: list[int],
    ) -> None:
        self.plan, self.nodes, self.positions = plan, nodes, positions
        self.steps, self.reverse = call.steps, call.reverse
        self.detach_points = call.detach_points
        evaluate = _replay_function(plan, leaves, nodes, call)
        parents = set(filter(None, nodes))
        self.recompute = Recompute(evaluate, positions, parents, leaves)

    def __call__(self, g: Any, saved: Any) -> list[Any]:
        """Return the gradients of the parents."""
        if any(isinstance(one, Tensor) for one in g):
            return self._by_replay(g)
        _, handle, arrays, captures, _ = saved
        plan, n = self.plan, len(self.plan.graph.carry)
        order = slice(None, None, -1 if self.reverse else None)
        given = {i: one for i, one in zip(self.positions, g, strict=True) if one is not None}
        d_ys = [given[i][order] if i in given else None for i in range(n, len(plan.sources))]
        d_carry, d_xs, d_captures = plan.executable.backward(
            handle, arrays, captures, [given.get(i) for i in range(n)], d_ys
        )
        if self.reverse:  # other libraries do not accept negative strides, as in `d[order]`
            d_xs = [d if d is None else d[order].copy() for d in d_xs]
        used = plan.used_sources(given, self.steps, self.detach_points)
        found = [
            d if k in used else None
            for k, (d, node) in enumerate(
                zip([*d_carry, *d_xs, *d_captures], self.nodes, strict=True)
            )
            if node is not None
        ]
        # The loop reads zeros for absent gradients, and adds up factors before it multiplies by
        # them. With infinities and nan, the results would differ from eager execution.
        if not all(map(_is_finite, found)):
            return self._by_replay(g)
        return found

    def _by_replay(self, g: Any) -> list[Any]:
        """Return the gradients by eager execution of the graph; recorded if `g` has Tensors."""
        gradients = self.recompute.gradients(g)
        by_node = dict(zip(self.recompute.parents, gradients, strict=True))
        return [by_node.pop(node, None) for node in self.nodes if node is not None]


def _replay_function(
    plan: Plan, leaves: list[Any], nodes: list[Node | None], call: ScanCall
) -> Callable[[], list[Tensor]]:
    """Return a function that executes a call eagerly."""
    steps, reverse, detach_points = call.steps, call.reverse, call.detach_points
    n, m = len(plan.graph.carry), len(plan.graph.carry) + len(plan.graph.xs)

    def evaluate() -> list[Tensor]:
        graph = plan.graph_of(leaves[:n], leaves[n:m])
        tensors = list(map(Tensor, leaves, nodes))
        carry, xs, captures = tensors[:n], tensors[n:m], tensors[m:]
        return replay(graph, plan.has_gradient, carry, xs, captures, steps, reverse, detach_points)

    return evaluate


def _is_finite(array: Any) -> bool:
    """True for None and for an array of finite elements. False is possible for huge elements."""
    if type(array) is np.ndarray and array.dtype.char in "fd":  # the fastest test
        return isfinite(np.vdot(array, array))
    return array is None or bool(backend.of_array(array).xp.isfinite(array.sum()))


class ScanPrimitive:
    """The primitive of the node of a compiled scan. The first residual is its VJP rule."""

    name = "scan"
    fresh_gradients = True
    residual_names: tuple[str, ...] = ()  # none has a name for readers of the graph

    def vjp(self, g: Any, saved: Any, parents: tuple[Node | None, ...]) -> Any:
        return saved[0](g, saved)

    def residuals_as_tensors(self, node: Node) -> Any:
        return node.residuals


SCAN = ScanPrimitive()


def recorded_results(node: Node) -> list[Tensor]:
    """Return the results of the node of a compiled scan with the graph of every step."""
    residuals: Any = node.residuals
    results: list[Tensor] = residuals[0].recompute.results()
    return results
