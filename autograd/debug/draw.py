"""Drawing of recorded graphs: translation of the graph to the boxes and links of a `Drawing`.

Boxes and links contain text and numbers only, so a drawing does not keep the graph alive. Repeated
steps, such as the steps of a recurrence, are folded: only the first and the last step are drawn,
with one box for the steps in between.
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
from .drawing import Drawing
from .svg_layout import Box, Link

MAX_BOXES = 4000
MIN_FOLDED_STEPS = 3  # the four equal gates of an LSTM are not folded
MAX_PERIODS = 16  # number of step lengths that are tried at each operation
MAX_ELEMENTS = 6  # size of the largest values that are shown


def draw(
    tensors: Any,
    names: Any = None,
    *,
    values: bool = False,
    gradients: bool = False,
    fold: bool = True,
) -> Drawing:
    """Draw the recorded graph of one or several tensors.

    Every operation is a box with the shape and dtype of its result, and every leaf is a rounded
    box. The drawn tensors have bold frames. The graph is the one that the backward pass visits:
    inputs without a gradient are not part of it. Links from an operation with several results name
    the result; "×2" marks a value that is used twice.

    Parameters
    ----------
    tensors : Tensor, or nested tuples, lists and dicts of Tensors
        Results whose graph is drawn.
    names : dict of str to Tensor, or Module, optional
        Names of leaves and intermediate results; a module names its parameters.
    values : bool, default False
        Show small values and gradients (`.grad`) where the graph holds them, and the residuals of
        each operation.
    gradients : bool, default False
        Show the backward pass as dashed links with the shapes of the gradients.
    fold : bool, default True
        Draw repeated steps, such as the steps of a recurrence, as the first step, the last step and
        one box for all others. Steps are folded if at least three in between have the same
        operations, shapes and connections.

    Returns
    -------
    Drawing
        Drawing with the attributes `svg` and `dot` and the method `save`; notebooks display it.

    Raises
    ------
    TypeError
        If `tensors` contains other objects than Tensors.
    RuntimeError
        If no operation was recorded, or if a backward pass has freed the graph.
    ValueError
        If the drawing would have more than 4000 boxes.

    Examples
    --------
    >>> ag.draw(ag.tanh(w * x).sum(), {"w": w, "x": x}).save("graph.svg")
    """
    roots, name_pairs = _roots(tensors), _name_pairs(names)
    tensors = unrolled([*roots, *[tensor for _, tensor in name_pairs]])
    roots, named_tensors = tensors[: len(roots)], tensors[len(roots) :]
    names = [name for name, _ in name_pairs]
    name_pairs = list(zip(names, named_tensors, strict=True))
    shown_nodes = {tensor._node for tensor in tensors}
    nodes = _reachable(roots, shown_nodes)
    operations = [node for node in nodes if node.primitive is not None]
    loops = _find_loops(operations, shown_nodes) if fold else []
    _check_size(len(nodes) - sum(loop.period * loop.steps - 1 for loop in loops), fold)
    writer = _BoxWriter(roots, name_pairs, _node_values(nodes, tensors) if values else None)
    boxes, box_of = _boxes(nodes, operations, loops, writer)
    links = _links(operations, box_of, shown_nodes, gradients)
    return Drawing(boxes, links)


def _check_size(boxes: int, fold: bool) -> None:
    if boxes > MAX_BOXES:
        raise ValueError(
            f"the drawing must have at most {MAX_BOXES} boxes, got {boxes}: "
            "draw an intermediate result, or fewer steps" + ("" if fold else ", or fold them")
        )


# --- reading the graph ----------------------------------------------------------------------------


def _roots(tensors: Any) -> list[Tensor]:
    """Return the tensors to draw; raise an error if there is nothing to draw."""
    leaves = flatten(tensors)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"draw needs Tensors, got {type(leaf).__name__}")
    roots = [leaf for leaf in leaves if leaf._node is not None]
    if not roots:
        raise RuntimeError(
            "nothing to draw: the tensor does not depend on a tensor that requires a gradient, "
            "or it was computed under no_grad()"
        )
    for node in [root._node for root in roots]:
        operation = node.parents[0] if node.primitive is GET_OUTPUT else node
        if _is_freed(operation):
            raise RuntimeError(
                f"nothing to draw: the graph of this result of {operation.primitive.name} was "
                "freed by backward(); draw it before, or pass retain_graph=True to backward()"
            )
    return roots


def _name_pairs(names: Any) -> list[tuple[str, Tensor]]:
    """Return (name, tensor) for each named tensor that belongs to a graph."""
    names = {} if names is None else names
    pairs = getattr(names, "named_parameters", getattr(names, "items", None))
    if pairs is None:
        raise TypeError(f"names must be a dict of Tensors or a module, got {type(names).__name__}")
    name_pairs = list(pairs())
    for name, tensor in name_pairs:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"names[{name!r}] must be a Tensor, got {type(tensor).__name__}")
    return [(str(name), tensor) for name, tensor in name_pairs if tensor._node is not None]


def _is_freed(node: Node) -> bool:
    return node.primitive is not None and node.residuals is None


def _inputs(node: Node, shown_nodes: set[Any]) -> Iterator[tuple[Any, int | None, Any]]:
    """Yield the inputs of a node: the source node, the position of the result, and its shape.

    A result of several has a box only if it is in `shown_nodes`; else the source is the operation.
    """
    for parent in node.parents:
        if parent is None:
            continue
        if node.primitive is GET_OUTPUT:
            yield parent, node.residuals, node.shape
        elif parent.primitive is GET_OUTPUT and parent not in shown_nodes:
            yield parent.parents[0], parent.residuals, parent.shape
        else:
            yield parent, None, parent.shape


def _reachable(roots: list[Tensor], shown_nodes: set[Any]) -> list[Node]:
    """Return all nodes to draw, inputs before the operations that use them."""
    reachable: set[Node] = set()
    stack: list[Any] = [root._node for root in roots]
    while stack:
        node = stack.pop()
        if node not in reachable:
            reachable.add(node)
            stack += [source for source, _, _ in _inputs(node, shown_nodes)]
    return sorted(reachable, key=lambda node: node.number)


def _array_residuals(node: Node) -> Iterator[tuple[str, Any]]:
    """Yield the arguments and results among the residuals of a node, with their names."""
    primitive = node.primitive
    if primitive is not None and primitive is not GET_OUTPUT and node.residuals is not None:
        for name, value in zip(primitive.residual_names, node.residuals, strict=True):
            if (name == "y" or name in primitive.arguments) and value is not None:
                yield name, value


def _node_values(nodes: list[Node], tensors: list[Tensor]) -> dict[Any, Any]:
    """Return the arrays of the nodes of `tensors`, and of nodes that are residuals of others."""
    node_values: dict[Any, Any] = {}
    for node in nodes:
        for name, value in _array_residuals(node):
            if name == "y":
                node_values[node] = value
            elif isinstance(value, tuple):
                node_values.update(zip(node.parents, value, strict=True))
            else:
                node_values[node.parents[node.primitive.arguments.index(name)]] = value
    return node_values | {tensor._node: tensor._data for tensor in tensors}


class _BoxWriter:
    """Writes the text of the boxes."""

    def __init__(
        self,
        roots: list[Tensor],
        name_pairs: list[tuple[str, Tensor]],
        node_values: dict[Any, Any] | None,
    ) -> None:
        self.root_nodes = {root._node for root in roots}
        self.node_values = node_values
        self.names: dict[Any, str] = {}
        for name, tensor in name_pairs:
            node = tensor._node
            self.names[node] = f"{self.names[node]}, {name}" if node in self.names else name

    def box(self, node: Node) -> Box:
        """Return the box of one node."""
        name = self.names.get(node)
        if node.primitive is None:
            title = name or "leaf"
        else:
            title = _operation(node) if name is None else f"{name} = {_operation(node)}"
        role = "leaf" if node.primitive is None else "operation"
        return Box(role, [title, *self._details(node)], node in self.root_nodes)

    def _details(self, node: Node) -> Iterator[str]:
        if isinstance(node.dtype, tuple):
            types = [
                f"{shape} {dtype}" for shape, dtype in zip(node.shape, node.dtype, strict=True)
            ]
            yield _abbreviate(types) if len(set(types)) > 1 else f"{len(types)} × {types[0]}"
        else:
            yield f"{node.shape} {node.dtype}"
        if _is_freed(node):
            yield "freed by backward"
        if self.node_values is None:
            return
        if value := _value(self.node_values.get(node)):
            yield f"= {value}"
        if node.accumulator is not None and (gradient := node.accumulator.gradient) is not None:
            yield f"grad {_value(gradient._data) or gradient.shape}"
        if residuals := [f"{name} {_size(value)}" for name, value in _array_residuals(node)]:
            yield f"residuals {', '.join(residuals)}"


def _operation(node: Node) -> str:
    """Return the name of the operation of a node."""
    if node.primitive is GET_OUTPUT:
        return f"result {node.residuals} of {node.parents[0].primitive.name}"  # type: ignore[union-attr]
    return str(node.primitive.name)


def _boxes(
    nodes: list[Node], operations: list[Node], loops: list[_Loop], writer: _BoxWriter
) -> tuple[list[Box], dict[Node, int]]:
    """Return the boxes, inputs first, and for each node the number of its box."""
    leaves = [node for node in nodes if node.primitive is None]
    boxes = [writer.box(leaf) for leaf in leaves]
    box_of = {leaf: i for i, leaf in enumerate(leaves)}
    loop_at = {loop.start: loop for loop in loops}
    i = 0
    while i < len(operations):
        loop = loop_at.get(i, _Loop(i, 1, 1))
        members = operations[i : i + loop.period * loop.steps]
        box_of.update(dict.fromkeys(members, len(boxes)))
        if len(members) == 1:
            boxes.append(writer.box(members[0]))
        else:
            step = "each: " + ", ".join(map(_operation, members[: loop.period]))
            lines = textwrap.wrap(step, 36, max_lines=4, placeholder=" …")
            boxes.append(Box("fold", [f"… {loop.steps} equal steps …", *lines]))
        i += len(members)
    return boxes, box_of


def _value(array: Any) -> str:
    """Return a small array as one line of text, and "" for a larger array."""
    if getattr(array, "size", MAX_ELEMENTS + 1) > MAX_ELEMENTS:
        return ""
    host = backend.of_array(array).to_host(array)
    text = np.array2string(host, separator=", ", formatter={"all": lambda x: f"{x:.4g}"})
    return " ".join(text.split())


def _size(value: Any) -> str:
    """Describe a residual: the shape of an array, the shapes of several, or a number."""
    if isinstance(value, tuple):
        return _abbreviate([_size(item) for item in value])
    return str(value.shape) if hasattr(value, "shape") else f"{value:g}"


def _abbreviate(items: list[str]) -> str:
    """Join the items by commas; the middle of a long list is left out."""
    return ", ".join(items if len(items) < 6 else [*items[:2], "…", items[-1]])


def _links(
    operations: list[Node], box_of: dict[Node, int], shown_nodes: set[Any], gradients: bool
) -> list[Link]:
    """Return one link for all values that flow from one box to another."""
    flows: dict[tuple[int, int], list[tuple[int | None, Any]]] = {}
    for node in operations:
        for source, position, shape in _inputs(node, shown_nodes):
            if box_of[source] != box_of[node]:
                flows.setdefault((box_of[source], box_of[node]), []).append((position, shape))
    return [
        Link(
            source,
            target,
            _label([position for position, _ in flow if position is not None], len(flow)),
            _abbreviate(list(dict.fromkeys(str(shape) for _, shape in flow)))
            if gradients
            else None,
        )
        for (source, target), flow in sorted(flows.items())
    ]


def _label(positions: list[int], uses: int) -> str:
    """Return the positions of the results on a link, and the number of uses if it is larger."""
    results = sorted(set(positions))
    is_range = len(results) > 2 and results == list(range(results[0], results[-1] + 1))
    text = f"{results[0]}…{results[-1]}" if is_range else _abbreviate(list(map(str, results)))
    return f"{text} ×{uses}".strip() if uses > max(len(results), 1) else text


# --- folding of repeated steps --------------------------------------------------------------------


class _Loop(NamedTuple):
    """`steps` equal steps of `period` operations each; the first operation has number `start`."""

    start: int
    period: int
    steps: int


def _find_loops(operations: list[Node], shown_nodes: set[Any]) -> list[_Loop]:
    """Return the steps to fold.

    The last step of a loop is drawn. So is the first, unless a step of the same operations with
    another initial state precedes it. If an operation starts steps of several lengths, the longest
    loop is used.
    """
    index_of = {node: i for i, node in enumerate(operations)}
    names = [_operation(node) for node in operations]
    kinds: list[int] = []
    counters: list[list[int]] = []
    numbers: dict[Hashable, int] = {}
    indices: dict[int, list[int]] = {}  # the operations of each kind
    ranks: list[int] = []  # position of each operation in the list of its kind
    for i, node in enumerate(operations):
        kind, node_counters = _signature(node, index_of, shown_nodes)
        if node in shown_nodes and node is not operations[-1]:
            kind = (i,)  # unique, so that it is drawn; the last operation is drawn anyway
        kinds.append(numbers.setdefault(kind, len(numbers)))
        counters.append(node_counters)
        ranks.append(len(indices.setdefault(kinds[i], [])))
        indices[kinds[i]].append(i)

    loops, i = [], 0
    while i < len(kinds):
        best, end = None, i + 1
        for j in indices[kinds[i]][ranks[i] + 1 : ranks[i] + 1 + MAX_PERIODS]:
            period = j - i
            if best is not None and period % best.period == 0:
                continue  # multiples of a period give the same loop
            loop_end = _loop_end(i, period, kinds, counters)
            steps, remainder = divmod(loop_end - i - period, period)  # without the last step
            start = i + remainder
            if names[max(start - period, 0) : start] != names[start : start + period]:
                start, steps = start + period, steps - 1  # without the first step
            if steps >= MIN_FOLDED_STEPS and loop_end > end:
                best, end = _Loop(start, period, steps), loop_end
        loops += [best] if best is not None else []
        i = end
    return loops


def _loop_end(start: int, period: int, kinds: list[int], counters: list[list[int]]) -> int:
    """Return the end of the longest loop from `start`.

    Every operation has the kind of the operation one period earlier, and its counters advance by
    the same amounts.
    """

    def advance(i: int) -> list[int]:
        return [b - a for a, b in zip(counters[i - period], counters[i], strict=True)]

    next_steps = kinds[start : start + MIN_FOLDED_STEPS * period + 1 : period]
    if next_steps != [kinds[start]] * (MIN_FOLDED_STEPS + 1):
        return start  # too few steps to fold
    for i in range(start + period, len(kinds)):
        if kinds[i] != kinds[i - period]:
            return i
        if i >= start + 2 * period and advance(i) != advance(i - period):
            return i
    return len(kinds)


def _signature(
    node: Node, index_of: dict[Node, int], shown_nodes: set[Any]
) -> tuple[tuple[Any, ...], list[int]]:
    """Return the properties that are equal in equal steps, and the node's counters.

    Counters may advance by a constant from step to step: the numbers of the input operations, the
    positions of results among several, and indices.
    """
    kind = [_operation(node), node.shape, node.dtype]
    kind += [parent is None for parent in node.parents]
    counters: list[int] = []
    for source, position, _ in _inputs(node, shown_nodes):
        kind.append("operation" if source in index_of else id(source))  # leaves must be identical
        counters += [index_of[source], position or 0] if source in index_of else ()
    static: list[Any] = []
    if node.primitive is not GET_OUTPUT and node.residuals is not None:
        for name, value in zip(node.primitive.residual_names, node.residuals, strict=True):
            is_constant = name in node.primitive.arguments and isinstance(value, (int, float))
            (kind if is_constant or name.endswith("_shape") else static).append(value)
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
