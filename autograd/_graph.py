"""The recorded graph, and the sweep that differentiates it.

While recording is on, every operation leaves a `Node`: who its inputs were, and what its gradient
rule will need. Nodes are numbered as they are made, so an input's number is always smaller than its
user's. Reverse mode therefore is: take the reachable nodes in descending order of number. When a
node's turn comes, all its users have had theirs and its gradient is complete.

Nodes hold arrays and other nodes, never Tensors: no reference cycles, so a graph is freed the
moment its last output is dropped. Nothing here recurses, so a graph may be a million nodes deep.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from heapq import heappop, heappush
from typing import Any

from . import backend
from .backend import Array

clock = itertools.count(1).__next__
"""Numbers nodes and writes alike, so that "written after it was recorded" is a comparison."""


class Node:
    """One recorded operation, or a leaf (`primitive` None) whose gradient somebody wants.

    `parents[i]` is the node of the i-th array argument, None where no gradient is wanted; `saved`
    is what the rules asked to keep, None once freed. `shape` and `dtype` are those of the
    operation's result, and so of its gradient. A node of several results holds tuples there; each
    result is then a node of its own, with the primitive OUTPUT and its position as `saved`.
    """

    __slots__ = (
        "dtype",
        "gradient",
        "hooks",
        "number",
        "parents",
        "primitive",
        "retains",
        "saved",
        "shape",
    )

    def __init__(
        self, primitive: Any, parents: tuple[Node | None, ...], saved: Any, shape: Any, dtype: Any
    ) -> None:
        self.number = clock()
        self.primitive = primitive
        self.parents = parents
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.gradient: Any = None
        self.hooks: dict[int, Callable[[Any], Any]] | None = None
        self.retains = primitive is None


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


# --- writes in place ------------------------------------------------------------------------------

_writes: dict[int, tuple[int, weakref.ref[Any]]] = {}
_last_write = 0


def _owner(array: Array) -> Array:
    """The array that owns the memory which `array` shows."""
    while (base := getattr(array, "base", None)) is not None and type(base) is type(array):
        array = base
    return array


def note_write(array: Array) -> None:
    """Remember that the library has just written into `array`: graphs that saved it before are
    stale.
    """
    global _last_write
    owner = _owner(array)
    key = id(owner)
    _last_write = clock()
    _writes[key] = (_last_write, weakref.ref(owner, lambda _: _writes.pop(key, None)))


def _check_unwritten(node: Node) -> None:
    for item in node.saved:
        for array in item if isinstance(item, tuple) else (item,):
            if (
                hasattr(array, "shape")
                and _writes.get(id(_owner(array)), (0, None))[0] > node.number
            ):
                raise RuntimeError(
                    f"{node.primitive.name}: an array {array.shape} that its gradient needs was "
                    "written in place after it was recorded (by an optimiser's step, an "
                    "initialiser, `+=`); call backward before the write, or record again after it"
                )


# --- the sweep ------------------------------------------------------------------------------------


def sweep(
    seeds: Iterable[tuple[Node, Any]],
    wanted: Iterable[Node] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    stop: bool = False,
) -> dict[Node, Any]:
    """Reverse mode: carry gradients from `seeds` (pairs of node and gradient) to the inputs.

    Without `wanted`, gradients are added to `gradient` of every reachable leaf. With it, the
    gradients of just these nodes are returned, and only what lies between is visited; `stop` takes
    them as independent of each other, so that no gradient goes on from one to the next.
    `create_graph` runs the same rules on Tensors, so that they are recorded in their turn.
    """
    if create_graph and not recording.get():
        with enable_grad():
            return sweep(seeds, wanted, retain_graph, create_graph, stop)
    found: dict[Node, Any] = {}
    targets = None if wanted is None else set(wanted)
    seeds = list(seeds)
    between = None if targets is None else _between([node for node, _ in seeds], targets, stop)
    pending: dict[Node, Any] = {}  # gradients of nodes whose turn has not come
    owned: set[Node] = set()  # nodes whose pending gradient is an array that nobody else can see
    order: list[tuple[int, Node]] = []  # the same nodes as a heap, greatest number first
    edges: list[Any] = seeds
    incoming: Any = None  # the gradient that the edges were computed from
    fresh = False  # whether the rule that made the edges returns arrays of its own, or g's

    while True:
        for node, gradient in edges:
            if gradient is None or (between is not None and node not in between):
                continue
            if gradient.shape != node.shape or gradient.dtype != node.dtype:
                gradient = fit(gradient, node.shape, node.dtype)
            if node not in pending:
                pending[node] = gradient
                heappush(order, (-node.number, node))
                if fresh and gradient is not incoming and gradient.base is None:
                    owned.add(node)  # made just now: neither g handed on nor a view of something
            elif node in owned:
                pending[node] += gradient
            else:
                pending[node] = pending[node] + gradient
                if not create_graph:
                    owned.add(node)
        if not order:
            return found

        node = heappop(order)[1]
        incoming = pending.pop(node)
        if node.hooks:
            incoming = _run_hooks(node, incoming)
            owned.discard(node)  # hooks have seen it
        if targets is not None and node in targets:
            found[node] = _apart(incoming, node in owned)
            if stop:
                edges = []
                continue
        elif targets is None and node.retains:
            _keep(node, incoming, node in owned)
        edges = []
        primitive = node.primitive
        if primitive is None:
            continue
        if primitive is OUTPUT:
            whole = node.parents[0]
            assert whole is not None
            if whole not in pending:
                pending[whole] = [None] * len(whole.shape)
                heappush(order, (-whole.number, whole))
            slots, i = pending[whole], node.saved
            slots[i] = incoming if slots[i] is None else slots[i] + incoming
            continue
        if type(incoming) is list:
            incoming = _fill(incoming, node)
        edges = _pull(node, incoming, between, create_graph)
        fresh = primitive.fresh and not create_graph
        if not (retain_graph or create_graph):
            node.saved = None
            node.parents = ()


def _pull(node: Node, gradient: Any, between: set[Node] | None, create_graph: bool) -> list[Any]:
    """Apply a node's rules to its complete gradient: pairs of input node and contribution."""
    primitive = node.primitive
    if node.saved is None:
        raise RuntimeError(
            f"{primitive.name}: this part of the graph was freed by an earlier backward; "
            "pass retain_graph=True to the first one to go through it again"
        )
    if node.number < _last_write:
        _check_unwritten(node)
    saved = primitive.rewrapped(node) if create_graph else node.saved
    if primitive.joint is not None:
        rule, pick = primitive.joint
        found = zip(node.parents, rule(gradient, *pick(saved)), strict=True)
        return [(parent, one) for parent, one in found if parent is not None]
    return [
        (parent, rule(gradient, *pick(saved)))
        for parent, (rule, pick) in zip(node.parents, primitive.rules)
        if parent is not None and (between is None or parent in between)
    ]


def _between(starts: list[Node], targets: set[Node], stop: bool) -> set[Node]:
    """The nodes on the paths from `starts` down to `targets` (`stop`: to the first of them)."""
    reachable: set[Node] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node not in reachable:
            reachable.add(node)
            if stop and node in targets:
                continue
            stack += [parent for parent in node.parents if parent is not None]
    between: set[Node] = set()
    for node in sorted(reachable, key=lambda node: node.number):  # inputs before their users
        freed = node.saved is None and node.primitive is not None  # may have led anywhere
        if freed or node in targets or any(parent in between for parent in node.parents):
            between.add(node)
    return between


def _fill(outputs: list[Any], node: Node) -> tuple[Any, ...]:
    """Zeros for those of several results that nobody used."""
    like = next(gradient for gradient in outputs if gradient is not None)
    return tuple(
        zeros(like, shape, dtype) if gradient is None else gradient
        for gradient, shape, dtype in zip(outputs, node.shape, node.dtype, strict=True)
    )


def _run_hooks(node: Node, gradient: Any) -> Any:
    """Show the complete gradient to the node's hooks; what one returns replaces it."""
    plain = not hasattr(gradient, "backward")
    assert node.hooks is not None
    for hook in list(node.hooks.values()):
        replaced = hook(wrap(gradient, None) if plain else gradient)
        if replaced is not None:
            gradient = fit(
                replaced.data if plain and hasattr(replaced, "backward") else replaced,
                node.shape,
                node.dtype,
            )
    return gradient


def _keep(node: Node, gradient: Any, owned: bool) -> None:
    """Add to a tensor's `.grad`, out of place: somebody may hold the old one."""
    if node.gradient is None:
        gradient = _apart(gradient, owned)
    tensor = gradient if hasattr(gradient, "backward") else wrap(gradient, None)
    node.gradient = tensor if node.gradient is None else node.gradient + tensor


def _apart(gradient: Any, owned: bool) -> Any:
    """A gradient that leaves the sweep, as an array, or Tensor of one, that nobody else can see."""
    if hasattr(gradient, "backward"):
        return wrap(gradient._data.copy(), gradient._node)
    array = backend.of(gradient).asarray(gradient)  # NumPy gives scalars for 0-d results
    return array if owned else array.copy()
