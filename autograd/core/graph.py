"""The recorded graph, and the sweep that differentiates it.

While recording is on, every operation leaves a `Node`: who its inputs were, and what its gradient
rule will need. Nodes are numbered as they are made, so an input's number is always smaller than its
user's. Reverse mode therefore is: take the reachable nodes in descending order of number. When a
node's turn comes, all its users have had theirs and its gradient is complete.

Nodes hold arrays and other nodes, never the Tensors that they belong to: no reference cycles, so a
graph is freed the moment its last output is dropped. Nothing here recurses, so a graph may be a
million nodes deep.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import Any

from .. import backend
from ..backend import Array
from ..runtime.context import Block, ContextVariable, run_locked
from . import mutation
from .install import operations
from .mutation import next_version
from .pytree import flatten


class Node:
    """One recorded operation, or a leaf (`primitive` None) whose gradient somebody wants.

    `parents[i]` is the node of the i-th array argument, None where no gradient is wanted; `saved`
    is what the rules asked to keep, None once freed; of a leaf, the array that owns its memory.
    `shape` and `dtype` belong to the result of the operation, and so to its gradient. A node of
    several results holds tuples there; each result is then a node of its own, with the primitive
    OUTPUT and its position as `saved`.
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
        self.accumulator = Accumulator(retains_grad=True) if primitive is None else None
        self.primitive = primitive  # last: a node without it was interrupted before it was complete


class Accumulator:
    """What a leaf, or a result that somebody watches, does with its complete gradient: shows it to
    hooks, adds it to `gradient` if it `retains` it.
    """

    __slots__ = ("gradient", "hooks", "retains_grad")

    def __init__(self, retains_grad: bool = False) -> None:
        self.gradient: Any = None
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.retains_grad = retains_grad


GET_OUTPUT: Any = type("Output", (), {"name": "output", "__slots__": ()})()


# What the sweep needs of the operations, handed over by `ops`, which stands above this file.
wrap: Callable[[Array, Node | None], Any]  # an array and its node, as a Tensor
checked_pass: Callable[[Any], Any]  # the checks of `detect_anomaly` in one backward pass


# --- recording on and off -------------------------------------------------------------------------

recording = ContextVariable("recording", default=True)
anomaly_mode = ContextVariable("anomaly_mode", default=False)  # inside of `detect_anomaly`


class no_grad(Block[bool]):
    """`with no_grad():` (or `@no_grad()`): operations compute and leave no record.

    Like every context manager of the engine, it is in effect in the thread or async task that
    enters it, and it decorates functions, generators and coroutines.
    """

    def __init__(self) -> None:
        super().__init__(recording, False)


class enable_grad(Block[bool]):
    """`with enable_grad():` (or `@enable_grad()`): record again inside `no_grad`."""

    def __init__(self) -> None:
        super().__init__(recording, True)


# --- the sweep ------------------------------------------------------------------------------------


def backward_pass(
    seeds: Iterable[tuple[Node, Any]],
    wanted: Iterable[Node] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    inside: set[Node] | None = None,
) -> dict[Node, Any]:
    """Reverse mode: carry gradients from `seeds` (pairs of node and gradient) to the inputs.

    Without `wanted`, gradients are added to `gradient` of every reachable leaf. With it, the
    gradients of just these nodes are returned, and only what lies between is visited: the nodes
    `inside`, where the caller knows them, and then no gradient goes on beyond the wanted ones, nor
    do their hooks see it: it is a part, and the sweep around this one has the whole.
    `create_graph` runs the same rules on Tensors, so that they are recorded in their turn.
    """
    if create_graph and not recording.get():
        with enable_grad():
            return backward_pass(seeds, wanted, retain_graph, create_graph, inside)
    pairs = list(seeds)
    starts, gradients = [node for node, _ in pairs], [gradient for _, gradient in pairs]
    checked = checked_pass(pairs) if anomaly_mode.raw() else None
    rule = apply_vjp if checked is None else checked.vjp
    targets = None if wanted is None else set(wanted)
    between = None
    if targets is not None:
        between = _between(starts, targets) if inside is None else inside | targets
    pending = _Pending(in_place=not create_graph)
    pending.add(starts if between is None else _chosen(starts, between), gradients)
    found: dict[Node, Any] = {}
    while pending.order:
        node, gradient, owned = pending.pop()
        if checked is not None:
            checked.arrived(node, gradient)
        if node.accumulator is not None and (inside is None or node in inside):
            gradient, owned = _watched(node, gradient, owned, keep=targets is None)
        if targets is not None and node in targets:
            found[node] = _apart(gradient, owned)
            if inside is not None:
                continue
        primitive = node.primitive
        if primitive is None:
            continue
        if primitive is GET_OUTPUT:
            pending.add_part(node, gradient)
            continue
        if node.residuals is None or node.number < mutation.latest_write[0]:
            _check_usable(node)
        residuals = primitive.residuals_as_tensors(node) if create_graph else node.residuals
        parents = node.parents if between is None else _chosen(node.parents, between)
        pending.add(parents, rule(primitive, gradient, residuals, parents), node, gradient)
        if not (retain_graph or create_graph):
            node.residuals = None
            node.parents = ()
    return found


class _Pending:
    """Sums of gradients of the nodes whose turn has not come, which come in descending order."""

    __slots__ = ("in_place", "order", "owned", "sums")

    def __init__(self, in_place: bool) -> None:
        self.in_place = in_place
        self.sums: dict[Node, Any] = {}  # a list for a node of several results
        self.owned: set[Node] = set()  # nodes to whose sum no other reference exists
        self.order: list[tuple[int, Node]] = []  # a heap, greatest number first

    def add(self, parents: Any, terms: Any, node: Any = None, gradient: Any = None) -> None:
        """Add terms to the gradients of `parents`: what the rules of `node` returned for its
        gradient, or the first gradients of all.
        """
        sums, owned = self.sums, self.owned
        fresh = node is not None and self.in_place and node.primitive.fresh_gradients
        for parent, term in zip(parents, terms):
            if parent is None:
                continue
            try:
                fits = term.shape == parent.shape and term.dtype is parent.dtype
            except AttributeError:
                fits = False
            if (
                not fits
                and (term := conform_gradient(term, parent, node, gradient, parents, terms)) is None
            ):
                continue
            if parent not in sums:
                sums[parent] = term
                heappush(self.order, (-parent.number, parent))
                if fresh:
                    owned.add(parent)
                continue
            total = sums[parent]
            if total.dtype.char == "e":  # many halves do not add up in half precision
                total = total.astype("float32") + term
            elif parent in owned:
                total += term
            else:
                total = total + term
            sums[parent] = total
            if self.in_place:
                owned.add(parent)

    def add_part(self, node: Node, gradient: Any) -> None:
        """Add the gradient of one of several results to the gradients of all."""
        whole: Any = node.parents[0]
        if whole not in self.sums:
            self.sums[whole] = [None] * len(whole.shape)
            heappush(self.order, (-whole.number, whole))
        parts, i = self.sums[whole], node.residuals
        # Several nodes may be the same result: a recorded rule refers to it by a node of its own.
        parts[i] = gradient if parts[i] is None else parts[i] + gradient

    def pop(self) -> tuple[Node, Any, bool]:
        """The next node, its gradient, and True if no other reference to that exists."""
        node = heappop(self.order)[1]
        gradient, owned = self.sums.pop(node), node in self.owned
        if owned:
            self.owned.remove(node)
        if type(gradient) is list:
            gradient = tuple(gradient)
        elif (owned or not self.in_place) and gradient.dtype is not node.dtype:
            gradient = operations.unbroadcast(gradient, node.shape, node.dtype)
        return node, gradient, owned


def _chosen(nodes: Iterable[Node | None], between: set[Node]) -> tuple[Node | None, ...]:
    """The nodes, with None in place of those that are not in `between`."""
    return tuple([node if node in between else None for node in nodes])


def apply_vjp(
    primitive: Any, gradient: Any, residuals: Any, parents: tuple[Node | None, ...]
) -> Any:
    """The gradients that the rules of a primitive return, one for each of `parents`."""
    try:
        return primitive.vjp(gradient, residuals, parents)
    except (AttributeError, TypeError) as error:
        if unused := _unused(gradient):
            raise TypeError(
                f"the gradient rule of {primitive.name} failed: {error}. g holds None for the "
                f"results that have no gradient, here {unused}; a rule must handle that"
            ) from error
        raise


def conform_gradient(
    term: Any, parent: Node, node: Any, gradient: Any, parents: Any, terms: Any
) -> Any:
    """`term`, one of the gradients that the rules of a node returned for its gradient, in the shape
    and dtype of its tensor; None if there is none.

    Raises ValueError for anything else than an array that fits. A gradient may be missing only if
    the rules did not get all gradients, or if the node is a whole computation.
    """
    try:
        return operations.unbroadcast(term, parent.shape, parent.dtype)
    except (AttributeError, TypeError, ValueError) as error:
        partial = node is not None and (_unused(gradient) or not hasattr(node.primitive, "rules"))
        if term is None and partial:
            return None
        raise ValueError(_misfit(node, parents, terms, parent, term)) from error


def _unused(gradient: Any) -> list[int]:
    """The positions of the results that have no gradient, of an operation with several."""
    several = isinstance(gradient, (tuple, list))
    return [i for i, one in enumerate(gradient) if one is None] if several else []


def _misfit(node: Any, parents: Any, terms: Any, parent: Node, term: Any) -> str:
    """The message for a gradient that does not fit its tensor."""
    found = f"a {type(term).__name__}"
    if hasattr(term, "dtype"):
        found = f"an array of shape {term.shape} and dtype {term.dtype}"
    elif term is None or isinstance(term, (int, float)):
        found = repr(term)
    if node is None:
        return f"backward received {found} as the gradient of a tensor of shape {parent.shape}"
    place = next(i for i, one in enumerate(terms) if one is term and parents[i] is parent)
    names = getattr(node.primitive, "arguments", ())
    name = names[place] if len(names) == len(parents) else place
    return (
        f"the gradient rule of {node.primitive.name} returned {found} for argument {name} of "
        f"shape {parent.shape}; it must return an array of this shape, or of a larger one that "
        "the argument broadcasts to"
    )


def _check_usable(node: Node) -> None:
    """Whether what a node saved is still there, and unchanged."""
    if node.residuals is None:
        raise RuntimeError(
            f"{node.primitive.name}: this part of the graph, with a result of shape {node.shape}, "
            "was freed by an earlier backward. If it is a state carried over from an earlier "
            "step, detach() it there; to go through the same graph again, pass "
            "retain_graph=True to the first backward"
        )
    mutation.check_versions(node.primitive.name, flatten(node.residuals), node.number)


def _between(starts: Iterable[Node], targets: set[Node]) -> set[Node]:
    """The nodes on the paths from `starts` down to `targets`."""
    oldest = min([node.number for node in targets], default=inf)
    reachable, _ = ancestors_since(oldest, starts)
    between: set[Node] = set()
    for node in sorted(reachable, key=lambda node: node.number):  # inputs before their users
        freed = node.residuals is None and node.primitive is not None  # may have led anywhere
        if freed or node in targets or any(parent in between for parent in node.parents):
            between.add(node)
    return between


def ancestors_since(
    start: float, nodes: Iterable[Node], outer: Container[Node] = ()
) -> tuple[set[Node], set[Node]]:
    """The nodes behind `nodes` made after `start`, and those that they refer to and that were made
    before, or are in `outer`.
    """
    inside: set[Any] = {None}
    before: set[Node] = set()
    stack: list[Any] = list(nodes)
    while stack:
        node = stack.pop()
        if node in inside:
            continue
        if node.number < start or node in outer:
            before.add(node)
        else:
            inside.add(node)
            stack += node.parents
    inside.remove(None)
    return inside, before


def dependents_since(start: int, nodes: Iterable[Node], outer: Container[Node] = ()) -> set[Node]:
    """The nodes behind `nodes` that depend on a node made before `start` or in `outer`, and these
    nodes themselves.
    """
    inside, found = ancestors_since(start, nodes, outer)
    for node in sorted(inside, key=lambda node: node.number) if found else ():
        if not found.isdisjoint(node.parents):
            found.add(node)
    return found


_adding = threading.Lock()  # threads may share a leaf


def _watched(node: Node, gradient: Any, ours: bool, keep: bool) -> tuple[Any, bool]:
    """Show a complete gradient to hooks, whose result replaces it, and add it to `.grad`."""
    watch: Any = node.accumulator
    plain = not hasattr(gradient, "backward")
    for hook in list(watch.hooks.values()) if watch.hooks else ():
        gradient = _apart(gradient, ours)  # the hook's own: it may write into it, and keep it
        replaced, ours = hook(wrap(gradient, None) if plain else gradient), False
        if replaced is not None:
            if getattr(replaced, "shape", None) != node.shape:
                raise ValueError(
                    f"a hook returned {getattr(replaced, 'shape', replaced)} for a gradient of "
                    f"shape {node.shape}; it returns a Tensor of this shape, or None for no change"
                )
            if hasattr(replaced, "backward") == plain:
                replaced = replaced.data if plain else wrap(replaced, None)
            gradient = operations.unbroadcast(replaced, node.shape, node.dtype)
    if keep and watch.retains_grad:
        run_locked(_adding, partial(_accumulate, watch, gradient, ours))
    return gradient, ours


def _accumulate(watch: Accumulator, gradient: Any, ours: bool) -> None:
    plain = not hasattr(gradient, "backward")
    one = _apart(gradient, ours) if watch.gradient is None else gradient
    one = wrap(one, None) if plain else one
    # Out of place: the caller may hold the old gradient.
    watch.gradient = one if watch.gradient is None else watch.gradient + one


def _apart(gradient: Any, ours: bool) -> Any:
    """A gradient that leaves the sweep, as an array, or Tensor of one, that nobody else can see."""
    if hasattr(gradient, "backward"):
        return wrap(gradient._data.copy(), gradient._node)
    array = backend.of_array(gradient).asarray(gradient)  # NumPy gives scalars for 0-d results
    return array if ours else array.copy()
