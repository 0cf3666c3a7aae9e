"""The recorded graph below a tensor, read into boxes and links for `_draw_picture` to draw.

Boxes and links are plain text and numbers, so that a drawing keeps nothing of the graph alive. A
stretch of the record that repeats, the steps of a recurrence, is folded: drawn as its first and
last step, with one box for those between.
"""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..compile.unroll import unrolled
from ..core.graph import GET_OUTPUT, Node
from ..core.pytree import flatten
from ..core.tensor import Tensor
from .svg_layout import Box, Drawing, Link

MOST_BOXES = 4000
FEWEST_HIDDEN = 3  # equal steps; so the four gates of an LSTM, which are no loop, stay in sight
PERIODS_TRIED = 16  # lengths of a step that one operation may begin
FEW_ELEMENTS = 6  # larger values are not written out


def draw(
    tensors: Any,
    names: Any = None,
    *,
    values: bool = False,
    gradients: bool = False,
    fold: bool = True,
) -> Drawing:
    """The recorded graph below a tensor, or below several in nested tuples, lists and dicts.

    A box for every operation, with the shape and dtype of its result, and a rounder one for every
    leaf; what was asked for has a bold frame. The graph is what backward will go through: inputs
    that need no gradient are not in it. The links that leave an operation of several results say
    which of them they carry; "×2" at a link is a value used twice.

    `names` gives names to leaves and intermediate results: a dict from names to tensors, or a
    module (its `named_parameters()`). `values` writes into the boxes small values and gradients
    (`.grad`) as far as the graph knows them, and what it keeps for the gradient rules; `gradients`
    adds the way back, in dashes, with the shapes of the gradients. What repeats, the steps of a
    recurrence, is folded unless `fold` is False: three or more steps of the same operations and
    shapes, wired in the same way, between its first and its last.

    Raises TypeError for what is no tensor; RuntimeError where nothing was recorded, or an earlier
    backward has freed it; ValueError if the picture would have more than 4000 boxes.
    """
    roots, named = _roots(tensors), _named(names)
    every = unrolled([*roots, *[tensor for _, tensor in named]])
    roots, named = (
        every[: len(roots)],
        [(name, tensor) for (name, _), tensor in zip(named, every[len(roots) :], strict=True)],
    )
    given = roots + [tensor for _, tensor in named]
    shown = {tensor._node for tensor in given}
    nodes = _reachable(roots, shown)
    operations = [node for node in nodes if node.primitive is not None]
    runs = _runs(operations, shown) if fold else []
    size = len(nodes) - sum(run.period * run.steps - 1 for run in runs)
    if size > MOST_BOXES:
        raise ValueError(
            f"the picture of this graph would have {size} boxes, {MOST_BOXES} is the most: "
            "draw an intermediate result, or fewer steps" + ("" if fold else ", or fold them")
        )
    text = _Text(roots, named, _known(nodes, given) if values else None)
    boxes, place = _boxes(nodes, operations, runs, text)
    links = _links(operations, place, shown, gradients)
    return Drawing(boxes, links)


# --- reading the graph ----------------------------------------------------------------------------


def _roots(tensors: Any) -> list[Tensor]:
    """The tensors to draw, or a clear error."""
    leaves = flatten(tensors)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"draw shows the graph of Tensors, not of {type(leaf).__name__}")
    roots = [leaf for leaf in leaves if leaf._node is not None]
    if not roots:
        raise RuntimeError(
            "nothing to draw: no tensor that this one came from requires a gradient, "
            "or it was computed under no_grad()"
        )
    for node in [root._node for root in roots]:
        made = node.parents[0] if node.primitive is GET_OUTPUT else node
        if _is_freed(made):
            raise RuntimeError(
                f"nothing to draw: the graph of this result of {made.primitive.name} was freed by "
                "backward; draw it before that, or pass retain_graph=True to backward"
            )
    return roots


def _named(names: Any) -> list[tuple[str, Tensor]]:
    """The tensors with names that have a place in the graph."""
    names = {} if names is None else names
    pairs = getattr(names, "named_parameters", getattr(names, "items", None))
    if pairs is None:
        raise TypeError(f"names: a dict of Tensors or a module, not {type(names).__name__}")
    named = list(pairs())
    for name, tensor in named:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"names[{name!r}] must be a Tensor, not {type(tensor).__name__}")
    return [(str(name), tensor) for name, tensor in named if tensor._node is not None]


def _is_freed(node: Node) -> bool:
    return node.primitive is not None and node.residuals is None


def _inputs(node: Node, shown: set[Any]) -> Iterator[tuple[Any, int | None, Any]]:
    """Where a node's inputs come from: the node, which of its results, the shape of that.

    A result of several is no box of its own unless it is `shown`: the operation stands for it.
    """
    for parent in node.parents:
        if parent is None:
            continue
        if node.primitive is GET_OUTPUT:
            yield parent, node.residuals, node.shape
        elif parent.primitive is GET_OUTPUT and parent not in shown:
            yield parent.parents[0], parent.residuals, parent.shape
        else:
            yield parent, None, parent.shape


def _reachable(roots: list[Tensor], shown: set[Any]) -> list[Node]:
    """All nodes that get a box, inputs before their users."""
    found: set[Node] = set()
    stack: list[Any] = [root._node for root in roots]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [source for source, _, _ in _inputs(node, shown)]
    return sorted(found, key=lambda node: node.number)


def _kept(node: Node) -> Iterator[tuple[str, Any]]:
    """The arguments and results that a node keeps for its rules, by the rules' names for them."""
    primitive = node.primitive
    if primitive is not None and primitive is not GET_OUTPUT and node.residuals is not None:
        for name, value in zip(primitive.residual_names, node.residuals, strict=True):
            if (name == "y" or name in primitive.arguments) and value is not None:
                yield name, value


def _known(nodes: list[Node], tensors: list[Tensor]) -> dict[Any, Any]:
    """The arrays of those nodes whose values are given, or kept by a rule somewhere."""
    known: dict[Any, Any] = {}
    for node in nodes:
        for name, value in _kept(node):
            if name == "y":
                known[node] = value
            elif isinstance(value, tuple):
                known.update(zip(node.parents, value, strict=True))
            else:
                known[node.parents[node.primitive.arguments.index(name)]] = value
    return known | {tensor._node: tensor._data for tensor in tensors}


class _Text:
    """What is written into the boxes."""

    def __init__(
        self, roots: list[Tensor], named: list[tuple[str, Tensor]], known: dict[Any, Any] | None
    ) -> None:
        self.asked = {root._node for root in roots}
        self.known = known
        self.names: dict[Any, str] = {}
        for name, tensor in named:
            node = tensor._node
            self.names[node] = f"{self.names[node]}, {name}" if node in self.names else name

    def box(self, node: Node) -> Box:
        """The box of one node."""
        name = self.names.get(node)
        if node.primitive is None:
            title = name or "leaf"
        else:
            title = _operation(node) if name is None else f"{name} = {_operation(node)}"
        role = "leaf" if node.primitive is None else "operation"
        return Box(role, [title, *self._details(node)], node in self.asked)

    def _details(self, node: Node) -> Iterator[str]:
        if isinstance(node.dtype, tuple):
            each = [f"{shape} {dtype}" for shape, dtype in zip(node.shape, node.dtype, strict=True)]
            yield _brief(each) if len(set(each)) > 1 else f"{len(each)} × {each[0]}"
        else:
            yield f"{node.shape} {node.dtype}"
        if _is_freed(node):
            yield "freed by backward"
        if self.known is None:
            return
        if value := _value(self.known.get(node)):
            yield f"= {value}"
        if node.accumulator is not None and (gradient := node.accumulator.gradient) is not None:
            yield f"grad {_value(gradient._data) or gradient.shape}"
        if kept := [f"{name} {_size(value)}" for name, value in _kept(node)]:
            yield f"keeps {', '.join(kept)}"


def _operation(node: Node) -> str:
    """What a node is called."""
    if node.primitive is GET_OUTPUT:
        return f"result {node.residuals} of {node.parents[0].primitive.name}"  # type: ignore[union-attr]
    return str(node.primitive.name)


def _boxes(
    nodes: list[Node], operations: list[Node], runs: list[_Run], text: _Text
) -> tuple[list[Box], dict[Node, int]]:
    """The boxes, inputs before their users, and which of them each node went into."""
    leaves = [node for node in nodes if node.primitive is None]
    boxes = [text.box(leaf) for leaf in leaves]
    place = {leaf: i for i, leaf in enumerate(leaves)}
    hidden = {run.start: run for run in runs}
    i = 0
    while i < len(operations):
        run = hidden.get(i, _Run(i, 1, 1))
        together = operations[i : i + run.period * run.steps]
        place.update(dict.fromkeys(together, len(boxes)))
        if len(together) == 1:
            boxes.append(text.box(together[0]))
        else:
            each = "each: " + ", ".join(map(_operation, together[: run.period]))
            lines = textwrap.wrap(each, 36, max_lines=4, placeholder=" …")
            boxes.append(Box("fold", [f"… {run.steps} equal steps …", *lines]))
        i += len(together)
    return boxes, place


def _value(array: Any) -> str:
    """A small array on one line; nothing for others."""
    if getattr(array, "size", FEW_ELEMENTS + 1) > FEW_ELEMENTS:
        return ""
    host = backend.of_array(array).to_host(array)
    text = np.array2string(host, separator=", ", formatter={"all": lambda x: f"{x:.4g}"})
    return " ".join(text.split())


def _size(value: Any) -> str:
    """A kept value in few words: the shape of an array, or of each of several, or a number."""
    if isinstance(value, tuple):
        return _brief([_size(item) for item in value])
    return str(value.shape) if hasattr(value, "shape") else f"{value:g}"


def _brief(items: list[str]) -> str:
    """A list, the middle of which is left out if it is long."""
    return ", ".join(items if len(items) < 6 else [*items[:2], "…", items[-1]])


def _links(
    operations: list[Node], place: dict[Node, int], shown: set[Any], gradients: bool
) -> list[Link]:
    """One link for all that flows from one box to another."""
    flows: dict[tuple[int, int], list[tuple[int | None, Any]]] = {}
    for node in operations:
        for source, position, shape in _inputs(node, shown):
            if place[source] != place[node]:
                flows.setdefault((place[source], place[node]), []).append((position, shape))
    return [
        Link(
            source,
            target,
            _label([position for position, _ in flow if position is not None], len(flow)),
            _brief(list(dict.fromkeys(str(shape) for _, shape in flow))) if gradients else None,
        )
        for (source, target), flow in sorted(flows.items())
    ]


def _label(positions: list[int], uses: int) -> str:
    """Which results of the source a link carries, and how many uses it stands for."""
    which = sorted(set(positions))
    through = len(which) > 2 and which == list(range(which[0], which[-1] + 1))
    text = f"{which[0]}…{which[-1]}" if through else _brief([str(i) for i in which])
    return f"{text} ×{uses}".strip() if uses > max(len(which), 1) else text


# --- folding what repeats -------------------------------------------------------------------------


class _Run(NamedTuple):
    """`steps` equal steps of `period` operations each, from the operation `start` on."""

    start: int
    period: int
    steps: int


def _runs(operations: list[Node], shown: set[Any]) -> list[_Run]:
    """The steps to hide: of every stretch of equal steps, all but the last, and all but the first
    too, unless a step of the same operations, begun from another state, stands before them.

    Where an operation may begin steps of several lengths, that which reaches farthest is taken.
    """
    place = {node: i for i, node in enumerate(operations)}
    names = [_operation(node) for node in operations]
    kinds: list[int] = []
    counters: list[list[int]] = []
    numbers: dict[Hashable, int] = {}
    alike: dict[int, list[int]] = {}  # where the operations of a kind are
    nth: list[int] = []  # which of them each one is
    for i, node in enumerate(operations):
        kind, counted = _signature(node, place, shown)
        if node in shown and node is not operations[-1]:
            kind = (i,)  # like no other, to stay in sight; the last operation does anyhow
        kinds.append(numbers.setdefault(kind, len(numbers)))
        counters.append(counted)
        nth.append(len(alike.setdefault(kinds[i], [])))
        alike[kinds[i]].append(i)

    runs, i = [], 0
    while i < len(kinds):
        best, end = None, i + 1
        for j in alike[kinds[i]][nth[i] + 1 : nth[i] + 1 + PERIODS_TRIED]:
            period = j - i
            if best is not None and period % best.period == 0:
                continue  # it reaches no farther
            reached = _reach(i, period, kinds, counters)
            steps, left = divmod(reached - i - period, period)  # the last step stays in sight
            start = i + left
            if names[max(start - period, 0) : start] != names[start : start + period]:
                start, steps = start + period, steps - 1  # so does one before the hidden ones
            if steps >= FEWEST_HIDDEN and reached > end:
                best, end = _Run(start, period, steps), reached
        runs += [best] if best is not None else []
        i = end
    return runs


def _reach(start: int, period: int, kinds: list[int], counters: list[list[int]]) -> int:
    """The end of the stretch from `start` in which every operation is of the same kind as the one
    a period before it, and its counters have advanced as those did.
    """

    def advance(i: int) -> list[int]:
        return [b - a for a, b in zip(counters[i - period], counters[i], strict=True)]

    ahead = kinds[start : start + FEWEST_HIDDEN * period + 1 : period]
    if ahead != [kinds[start]] * (FEWEST_HIDDEN + 1):
        return start  # too short to matter
    for i in range(start + period, len(kinds)):
        if kinds[i] != kinds[i - period]:
            return i
        if i >= start + 2 * period and advance(i) != advance(i - period):
            return i
    return len(kinds)


def _signature(
    node: Node, place: dict[Node, int], shown: set[Any]
) -> tuple[tuple[Any, ...], list[int]]:
    """What must be equal in equal steps, and the numbers that may advance evenly from one step to
    the next: where the inputs stand in the record, which result of several they are, indices.
    """
    kind = [_operation(node), node.shape, node.dtype]
    kind += [parent is None for parent in node.parents]
    counters: list[int] = []
    for source, position, _ in _inputs(node, shown):
        kind.append("operation" if source in place else id(source))  # a leaf is always the same
        counters += [place[source], position or 0] if source in place else ()
    static: list[Any] = []
    if node.primitive is not GET_OUTPUT and node.residuals is not None:
        for name, value in zip(node.primitive.residual_names, node.residuals, strict=True):
            constant = name in node.primitive.arguments and isinstance(value, (int, float))
            (kind if constant or name.endswith("_shape") else static).append(value)
    while static:
        value = static.pop()
        if isinstance(value, (tuple, list)):
            kind.append(len(value))
            static += value
        elif isinstance(value, slice):
            static += (value.start, value.stop, value.step)
        elif type(value) is int:
            counters.append(value)
        elif hasattr(value, "shape"):
            kind.append(value.shape)
        else:
            kind.append(value if isinstance(value, Hashable) else id(value))
    return tuple(kind), counters
