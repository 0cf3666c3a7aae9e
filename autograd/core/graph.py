"""The recorded graph and the backward pass.

While recording is on, every operation creates a `Node`, which refers to the nodes of its arguments
(its parents) and holds the residuals: the values that its VJP rules need. Nodes are numbered at
creation, so a parent always has a smaller number than its users. The backward pass therefore visits
the reachable nodes in descending order of their numbers: when it reaches a node, it has visited all
users of the node, and the node's gradient is complete.

Nodes refer to arrays and other nodes, never to the Tensors that they belong to. There are no
reference cycles, so a graph is freed when its last output is dropped. Nothing here recurses, so a
graph may be a million nodes deep.

References
----------
Baydin, Pearlmutter, Radul & Siskind 2018, "Automatic differentiation in machine learning: a
survey", JMLR 18.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..runtime.context import Block, ContextVariable
from . import mutation
from .install import operations
from .mutation import next_version
from .pytree import flatten

if TYPE_CHECKING:
    from ..debug.monitor import Monitor


class Node:
    """One recorded operation, or a leaf that requires a gradient (`primitive` is None).

    Attributes
    ----------
    number : int
        Position in the order of creation.
    primitive : Primitive or None
        The operation.
    parents : tuple of Node or None
        The node of each array argument; None where no gradient is required.
    residuals : tuple or None
        The values that the VJP rules need, None once the backward pass has freed them. A leaf has
        the array that owns its memory here, and a result of an operation with several its index.
    shape, dtype
        Shape and dtype of the result, and so of its gradient.
    accumulator : Accumulator or None
        Receives the gradient of a leaf, or of a result with hooks or `retain_grad`.

    Notes
    -----
    An operation with several results has one node, with tuples as `shape` and `dtype`. Each result
    also has its own node, with the primitive `GET_OUTPUT` and the index of the result as
    `residuals`.
    """

    __slots__ = ("accumulator", "dtype", "number", "parents", "primitive", "residuals", "shape")

    def __init__(
        self,
        primitive: Any,
        parents: tuple[Node | None, ...],
        residuals: Any,
        shape: Any,
        dtype: Any,
    ) -> None:
        self.number = next_version()
        self.parents = parents
        self.residuals = residuals
        self.shape = shape
        self.dtype = dtype
        self.accumulator: Any = None
        self.primitive = primitive  # last: an interrupted constructor leaves a node without it
        if monitors:
            for monitor in monitors:
                monitor.node_created(self)


class _GetOutput:
    """The primitive of a node that is one of several results of its parent."""

    name = "output"


GET_OUTPUT: Any = _GetOutput()


# --- modes ----------------------------------------------------------------------------------------

recording = ContextVariable("recording", default=True)
anomaly_mode = ContextVariable("anomaly_mode", default=False)  # True inside `detect_anomaly`


class no_grad(Block[bool]):
    """Context manager in which operations compute without recording a graph.

    It applies to the thread or async task that enters it. As a decorator, `@no_grad()`, it applies
    to functions, generators and coroutines.

    Examples
    --------
    >>> x = tensor(2.0, requires_grad=True)
    >>> with no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(recording, False)


class enable_grad(Block[bool]):
    """Context manager in which operations record a graph, also inside `no_grad`.

    It applies to the thread or async task that enters it. As a decorator, `@enable_grad()`, it
    applies to functions, generators and coroutines.
    """

    def __init__(self) -> None:
        super().__init__(recording, True)


monitors: list[Monitor] = []
"""The active monitors, usually none; see `debug/monitor.py`."""


# --- the backward pass ----------------------------------------------------------------------------


def backward_pass(
    seeds: Iterable[tuple[Node, Any]],
    targets: Iterable[Node] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    subgraph: set[Node] | None = None,
) -> dict[Node, Any]:
    """Propagate gradients from outputs to inputs (reverse mode).

    `seeds` are the outputs, as pairs of a node and the gradient with respect to it. Without
    `targets`, gradients are added to the `accumulator` of every reachable leaf. With `targets`, the
    result is a dict of the gradients of all targets that the outputs depend on, and the pass visits
    only nodes between outputs and targets.

    Residuals are freed as soon as they are used, unless `retain_graph` is True. With
    `create_graph`, which implies `retain_graph`, VJP rules run on Tensors and are recorded, for
    higher derivatives.

    A caller that knows the nodes between outputs and targets passes them as `subgraph`. The pass is
    then a part of an enclosing one: gradients stop at the targets, whose hooks do not run.
    """
    if create_graph and not recording.get():
        with enable_grad():
            return backward_pass(seeds, targets, retain_graph, create_graph, subgraph)
    seeds = list(seeds)
    vjp, observers = apply_vjp, [monitor.backward_started(seeds) for monitor in monitors]
    for observer in observers:
        vjp = observer.wrap_vjp(vjp)
    outputs, gradients = [node for node, _ in seeds], [gradient for _, gradient in seeds]
    targets = None if targets is None else set(targets)
    relevant = None  # the nodes to visit; None: all
    if targets is not None:
        relevant = _between(outputs, targets) if subgraph is None else subgraph | targets
    pending = _PendingGradients(in_place=not create_graph)
    pending.add(outputs if relevant is None else _select(outputs, relevant), gradients)
    results: dict[Node, Any] = {}
    while pending.heap:
        node, gradient, owned = pending.pop()
        if observers:
            for observer in observers:
                observer.gradient_complete(node, gradient)
        if node.accumulator is not None and (subgraph is None or node in subgraph):
            gradient, owned = node.accumulator.receive(node, gradient, owned, targets is None)
        if targets is not None and node in targets:
            results[node] = unshared(gradient, owned)
            if subgraph is not None:
                continue
        primitive = node.primitive
        if primitive is None:
            continue
        if primitive is GET_OUTPUT:
            pending.add_output(node, gradient)
            continue
        if node.residuals is None or node.number < mutation.latest_write[0]:
            _check_residuals(node)
        residuals = primitive.residuals_as_tensors(node) if create_graph else node.residuals
        parents = node.parents if relevant is None else _select(node.parents, relevant)
        pending.add(parents, vjp(primitive, gradient, residuals, parents), node, gradient)
        if not (retain_graph or create_graph):
            node.residuals, node.parents = None, ()
    return results


class _PendingGradients:
    """The gradients, summed so far, of nodes that the backward pass has not visited yet."""

    __slots__ = ("heap", "in_place", "owned", "sums")

    def __init__(self, in_place: bool) -> None:
        self.in_place = in_place
        self.sums: dict[Node, Any] = {}  # a list for a node with several results
        self.owned: set[Node] = set()  # nodes whose sum has no other reference
        self.heap: list[tuple[int, Node]] = []  # the greatest number first

    def add(self, parents: Any, terms: Any, node: Any = None, gradient: Any = None) -> None:
        """Add one term to the gradient of each of `parents`.

        The terms are the results of the VJP rules of `node` for its `gradient`, or the seeds.
        """
        sums, owned = self.sums, self.owned
        is_fresh = node is not None and self.in_place and node.primitive.fresh_gradients
        for parent, term in zip(parents, terms):
            if parent is None:
                continue
            try:
                matches = term.shape == parent.shape and term.dtype is parent.dtype
            except AttributeError:
                matches = False
            if not matches:
                term = conform_gradient(term, parent, node, gradient, parents, terms)
                if term is None:
                    continue
            if parent not in sums:
                sums[parent] = term
                heappush(self.heap, (-parent.number, parent))
                if is_fresh:
                    owned.add(parent)
                continue
            total = sums[parent]
            if total.dtype.char == "e":  # half precision is too coarse for sums of many terms
                total = total.astype("float32") + term
            elif parent in owned:
                total += term
            else:
                total = total + term
            sums[parent] = total
            if self.in_place:
                owned.add(parent)

    def add_output(self, node: Node, gradient: Any) -> None:
        """Add the gradient of one result to the gradients of its operation's results."""
        operation: Any = node.parents[0]
        if operation not in self.sums:
            self.sums[operation] = [None] * len(operation.shape)
            heappush(self.heap, (-operation.number, operation))
        gradients, i = self.sums[operation], node.residuals
        # Recorded VJP rules refer to a result by a node of their own, so there may be several.
        gradients[i] = gradient if gradients[i] is None else gradients[i] + gradient

    def pop(self) -> tuple[Node, Any, bool]:
        """Return the next node, its gradient, and True if the gradient has no other reference."""
        node = heappop(self.heap)[1]
        gradient, owned = self.sums.pop(node), node in self.owned
        if owned:
            self.owned.remove(node)
        if type(gradient) is list:
            gradient = tuple(gradient)
        elif (owned or not self.in_place) and gradient.dtype is not node.dtype:
            gradient = operations.unbroadcast(gradient, node.shape, node.dtype)
        return node, gradient, owned


def unshared(gradient: Any, owned: bool) -> Any:
    """Return a gradient that leaves the backward pass: a copy, unless it is `owned`."""
    if type(gradient) is np.ndarray:
        return gradient if owned else gradient.copy()
    if hasattr(gradient, "backward"):
        return gradient._copy_data()
    array = backend.of_array(gradient).asarray(gradient)  # NumPy gives scalars for 0-d results
    return array if owned else array.copy()


def _select(nodes: Iterable[Node | None], relevant: set[Node]) -> tuple[Node | None, ...]:
    return tuple([node if node in relevant else None for node in nodes])


def _between(outputs: Iterable[Node], targets: set[Node]) -> set[Node]:
    """Return the nodes on the paths from `outputs` down to `targets`."""
    oldest = min([node.number for node in targets], default=inf)
    reachable, _ = ancestors_since(oldest, outputs)
    relevant: set[Node] = set()
    for node in sorted(reachable, key=lambda node: node.number):  # parents before their users
        is_freed = node.residuals is None and node.primitive is not None  # parents are unknown
        if is_freed or node in targets or any(parent in relevant for parent in node.parents):
            relevant.add(node)
    return relevant


# --- checks ---------------------------------------------------------------------------------------


def apply_vjp(
    primitive: Any, gradient: Any, residuals: Any, parents: tuple[Node | None, ...]
) -> Any:
    """Return the gradient of each of `parents` by the VJP rules of a primitive."""
    try:
        return primitive.vjp(gradient, residuals, parents)
    except (AttributeError, TypeError) as error:
        if missing := _missing(gradient):
            raise TypeError(
                f"the VJP rule of {primitive.name} failed: {error}. g is None for results "
                f"without a gradient (here {missing}), and the rule must handle None"
            ) from error
        raise


def conform_gradient(
    term: Any, parent: Node, node: Any, gradient: Any, parents: Any, terms: Any
) -> Any:
    """Return `term`, the result of the VJP rules for `parent`, in the shape and dtype of `parent`.

    The result is None for a gradient that is missing. Raises ValueError for anything that is not an
    array of a suitable shape. A gradient may be missing if `gradient` was incomplete, or if the
    node stands for a whole computation.
    """
    try:
        return operations.unbroadcast(term, parent.shape, parent.dtype)
    except (AttributeError, TypeError, ValueError) as error:
        may_be_missing = node is not None and (
            _missing(gradient) or not hasattr(node.primitive, "rules")
        )
        if term is None and may_be_missing:
            return None
        raise ValueError(_mismatch(node, parents, terms, parent, term)) from error


def _missing(gradient: Any) -> list[int]:
    """Return the positions of the results that have no gradient, of an operation with several."""
    is_tuple = isinstance(gradient, (tuple, list))
    return [i for i, g in enumerate(gradient) if g is None] if is_tuple else []


def _mismatch(node: Any, parents: Any, terms: Any, parent: Node, term: Any) -> str:
    """Return the message for a gradient that does not match its tensor."""
    received = f"a {type(term).__name__}"
    if hasattr(term, "dtype"):
        received = f"an array of shape {term.shape} and dtype {term.dtype}"
    elif term is None or isinstance(term, (int, float)):
        received = repr(term)
    if node is None:
        return f"backward received {received} as the gradient of a tensor of shape {parent.shape}"
    index = next(i for i, t in enumerate(terms) if t is term and parents[i] is parent)
    names = getattr(node.primitive, "arguments", ())
    name = names[index] if len(names) == len(parents) else index
    return (
        f"the VJP rule of {node.primitive.name} returned {received} for argument {name} of "
        f"shape {parent.shape}; it must return an array of this shape, or of a larger one that "
        "the argument broadcasts to"
    )


def _check_residuals(node: Node) -> None:
    """Raise RuntimeError if the residuals of a node were freed or overwritten."""
    if node.residuals is None:
        raise RuntimeError(
            f"{node.primitive.name}: this part of the graph, with a result of shape {node.shape}, "
            "was freed by an earlier backward. If it is a state carried over from an earlier "
            "step, detach() it there; to differentiate the same graph again, pass "
            "retain_graph=True to the first backward"
        )
    mutation.check_versions(node.primitive.name, flatten(node.residuals), node.number)


# --- traversals -----------------------------------------------------------------------------------


def ancestors_since(
    version: float, nodes: Iterable[Node], outer: Container[Node] = ()
) -> tuple[set[Node], set[Node]]:
    """Return the ancestors of `nodes` created since a version, and the older nodes they refer to.

    The ancestors include `nodes` themselves. Nodes in `outer` count as older.
    """
    recent: set[Any] = {None}
    older: set[Node] = set()
    stack: list[Any] = list(nodes)
    while stack:
        node = stack.pop()
        if node in recent:
            continue
        if node.number < version or node in outer:
            older.add(node)
        else:
            recent.add(node)
            stack += node.parents
    recent.remove(None)
    return recent, older
