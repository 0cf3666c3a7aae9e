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
from collections.abc import Callable, Iterable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from heapq import heappop, heappush
from typing import Any

from . import _writes, backend
from ._tree import flatten
from ._writes import clock
from .backend import Array


class Node:
    """One recorded operation, or a leaf (`primitive` None) whose gradient somebody wants.

    `parents[i]` is the node of the i-th array argument, None where no gradient is wanted; `saved`
    is what the rules asked to keep, None once freed. `shape` and `dtype` are those of the
    operation's result, and so of its gradient. A node of several results holds tuples there; each
    result is then a node of its own, with the primitive OUTPUT and its position as `saved`.
    """

    __slots__ = ("dtype", "number", "parents", "primitive", "saved", "shape", "watch")

    def __init__(
        self, primitive: Any, parents: tuple[Node | None, ...], saved: Any, shape: Any, dtype: Any
    ) -> None:
        self.number = clock()
        self.primitive = primitive
        self.parents = parents
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.watch = Watch(retains=True) if primitive is None else None


class Watch:
    """What a leaf, or a result that somebody watches, does with its complete gradient: shows it to
    hooks, adds it to `gradient` if it `retains` it. It was `written` in place last at that time.
    """

    __slots__ = ("gradient", "hooks", "retains", "written")

    def __init__(self, retains: bool = False) -> None:
        self.gradient: Any = None
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.retains = retains
        self.written = 0


OUTPUT: Any = type("Output", (), {"name": "output", "__slots__": ()})()


# What the sweep needs of the operations, handed over by `ops`, which stands above this file.
wrap: Callable[[Array, Node | None], Any]  # an array and its node, as a Tensor
fit: Callable[[Any, tuple[int, ...], Any], Any]  # un-broadcasts a gradient to a shape, and casts it
zeros: Callable[[Any, tuple[int, ...], Any], Any]  # zeros beside an array, of a shape and dtype


# --- recording on and off -------------------------------------------------------------------------

recording: ContextVar[bool] = ContextVar("recording", default=True)
"""Per thread and per async task."""


class _Recording(ContextDecorator):
    on: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(recording.set(self.on))

    def __exit__(self, *exception: Any) -> None:
        recording.reset(self._tokens.pop())

    def _recreate_cm(self) -> _Recording:
        return type(self)()  # a decorated function may run in several threads at once


class no_grad(_Recording):
    """`with no_grad():` (or `@no_grad()`): operations compute and leave no record."""

    on = False


class enable_grad(_Recording):
    """`with enable_grad():` record again inside `no_grad`."""

    on = True


# --- the sweep ------------------------------------------------------------------------------------


def sweep(
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
            return sweep(seeds, wanted, retain_graph, create_graph, inside)
    found: dict[Node, Any] = {}
    targets = None if wanted is None else set(wanted)
    edges: Any = list(seeds)  # pairs of a node, or None, and what goes into its gradient
    between = None
    if targets is not None:
        between = (
            inside | targets
            if inside is not None
            else _between([node for node, _ in edges], targets)
        )
        edges = [(node, gradient) for node, gradient in edges if node in between]
    pending: dict[Node, Any] = {}  # gradients of nodes whose turn has not come
    sums: set[Node] = set()  # the nodes whose pending gradient was summed up here: nobody else's
    order: list[tuple[int, Node]] = []  # the nodes as a heap, greatest number first
    node: Node  # the one whose turn it is; its `edges` come next

    while True:
        for parent, gradient in edges:
            if parent is None or gradient is None:
                continue
            try:
                if gradient.shape != parent.shape or gradient.dtype is not parent.dtype:
                    gradient = fit(gradient, parent.shape, parent.dtype)
            except (AttributeError, ValueError) as error:
                raise ValueError(
                    f"the gradient rule of {node.primitive.name} returned an array or number "
                    f"{getattr(gradient, 'shape', gradient)} for an argument {parent.shape}"
                ) from error
            if parent not in pending:
                pending[parent] = gradient
                heappush(order, (-parent.number, parent))
            elif parent in sums:
                pending[parent] += gradient
            else:
                pending[parent] = pending[parent] + gradient
                if not create_graph:
                    sums.add(parent)
        if not order:
            return found

        node = heappop(order)[1]
        gradient, edges = pending.pop(node), ()
        if ours := node in sums:
            sums.remove(node)
        if node.watch is not None and (inside is None or node in inside):
            gradient, ours = _watched(node, gradient, ours, keep=targets is None)
        if targets is not None and node in targets:
            found[node] = _apart(gradient, ours)
            if inside is not None:
                continue
        primitive = node.primitive
        if primitive is None:
            continue
        if primitive is OUTPUT:  # one of several results: its place in the gradient of them all
            whole: Any = node.parents[0]
            if whole not in pending:
                pending[whole] = [None] * len(whole.shape)
                heappush(order, (-whole.number, whole))
            slots, i = pending[whole], node.saved
            slots[i] = gradient if slots[i] is None else slots[i] + gradient
            continue
        if type(gradient) is list:
            gradient = _fill(gradient, node)
        if node.saved is None or node.number < _writes.last:
            _check_usable(node)
        saved = primitive.rewrapped(node) if create_graph else node.saved
        parents: Any = node.parents
        if between is not None:
            parents = tuple([parent if parent in between else None for parent in parents])
        edges = zip(parents, primitive.pull(gradient, saved, parents))
        if not (retain_graph or create_graph):
            node.saved = None
            node.parents = ()


def _check_usable(node: Node) -> None:
    """Whether what a node saved is still there, and unchanged."""
    if node.saved is None:
        raise RuntimeError(
            f"{node.primitive.name}: this part of the graph, with a result of shape {node.shape}, "
            "was freed by an earlier backward. If it is a state carried over from an earlier "
            "step, detach() it there; to go through the same graph again, pass "
            "retain_graph=True to the first backward"
        )
    _writes.check(node.primitive.name, flatten(node.saved), node.number)


def _between(starts: list[Node], targets: set[Node]) -> set[Node]:
    """The nodes on the paths from `starts` down to `targets`."""
    reachable: set[Node] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node not in reachable:
            reachable.add(node)
            stack += [parent for parent in node.parents if parent is not None]
    between: set[Node] = set()
    for node in sorted(reachable, key=lambda node: node.number):  # inputs before their users
        freed = node.saved is None and node.primitive is not None  # may have led anywhere
        if freed or node in targets or any(parent in between for parent in node.parents):
            between.add(node)
    return between


def _fill(outputs: list[Any], node: Node) -> tuple[Any, ...]:
    """Zeros for those of several results that nobody used."""
    if True not in [gradient is None for gradient in outputs]:
        return tuple(outputs)
    like = next(gradient for gradient in outputs if gradient is not None)
    return tuple(
        zeros(like, shape, dtype) if gradient is None else gradient
        for gradient, shape, dtype in zip(outputs, node.shape, node.dtype, strict=True)
    )


_adding = threading.Lock()  # threads may share a leaf


def _watched(node: Node, gradient: Any, ours: bool, keep: bool) -> tuple[Any, bool]:
    """Show a complete gradient to hooks, whose result replaces it, and add it to `.grad`."""
    watch: Any = node.watch
    plain = not hasattr(gradient, "backward")
    for hook in list(watch.hooks.values()):
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
            gradient = fit(replaced, node.shape, node.dtype)
    if keep and watch.retains:
        with _adding:
            one = _apart(gradient, ours) if watch.gradient is None else gradient
            one = wrap(one, None) if plain else one
            # Out of place: somebody may hold the old one.
            watch.gradient = one if watch.gradient is None else watch.gradient + one
    return gradient, ours


def _apart(gradient: Any, ours: bool) -> Any:
    """A gradient that leaves the sweep, as an array, or Tensor of one, that nobody else can see."""
    if hasattr(gradient, "backward"):
        return wrap(gradient._data.copy(), gradient._node)
    array = backend.of(gradient).asarray(gradient)  # NumPy gives scalars for 0-d results
    return array if ours else array.copy()
