"""One executed step of a scan: its inputs, its results, and the gradient flow between them.

`trace_step` executes a step. The recorded nodes of its results say through which arguments
gradients flow. Operations, captures and gradient flow together are the `signature`, by which the
plan of the step is found. `step_graph` turns a trace into a `StepGraph`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import backend
from ..core import graph
from ..core.graph import GET_OUTPUT, Node
from ..core.modes import operation_log
from ..core.pytree import flatten, same_structure, structure, tree_map, unflatten
from ..core.tensor import Tensor
from ..ops.indexing import _getitem
from .traced_array import to_arrays
from .tracing import OperationLog, is_placeholder, placeholder

Source = tuple[int, Node]
"""The number of an input or capture, and the node through which it receives its gradient."""


class NotTraceable(Exception):
    """Raised for a scan that is executed eagerly; `expected` if no warning is necessary."""

    def __init__(self, reason: str, expected: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.expected = reason, expected


class StepTrace:
    """An executed step.

    Attributes
    ----------
    log : OperationLog
        The operations.
    pair : Any
        What the step returned.
    carry, xs : int
        The number of leaves of the carry and of x. They are the first values of the log.
    input_nodes : list of Node or None
        Their nodes; placeholders for leaves of the carry without a node.
    order : list of int
        The position in the new carry of each leaf of the carry.
    results : list of (int, Node or None)
        The value number and node of each leaf of the new carry, in the order of the carry, and y.
    sources : dict of Source to int
        Sources of gradients besides the inputs, in the order in which they were found.
    node_numbers : dict of Node to int
        The value number of each node of the step.
    reason : str
        Why the step cannot be compiled; "" if it can.
    signature : tuple
        The operations, the gradient flow, and the form of inputs and results.
    needs_gradients : bool
        True if a result of the scan may require a gradient.
    carry_changes : bool
        True if the shape or dtype of the carry changes.
    """

    def __init__(self, log: OperationLog, inputs: list[Tensor], carry: int, recording: bool):
        self.log, self.carry, self.xs = log, carry, len(inputs) - carry
        self.input_nodes = [leaf._node for leaf in inputs]
        self.recording = recording
        self.pair: Any = None
        self.order: list[int] = []
        self.results: list[tuple[int, Node | None]] = []
        self.sources: dict[Source, int] = {}
        self.node_numbers: dict[Node, int] = {}
        self.signature: tuple[Any, ...] = ()
        self.needs_gradients = False
        self.carry_changes = False

    @property
    def reason(self) -> str:
        return self.log.reason

    def finish(self, pair: Any, carry: Any) -> None:
        """Read the results of the step, and their gradient flow."""
        log, self.pair = self.log, pair
        if log.reason:
            return
        if reason := _unsuitable_results(pair, carry):
            log.reject(reason)
            return
        leaves = flatten(pair[0])
        positions = unflatten(pair[0], range(len(leaves)))
        self.order = flatten(tree_map(lambda _, position: position, carry, positions))
        leaves = [*[leaves[i] for i in self.order], *flatten(pair[1])]
        self.results = [(log.number_of(leaf._data), leaf._node) for leaf in leaves]
        log.close()
        for new, old in zip(leaves[: self.carry], log.arrays, strict=False):
            if (new.shape, new.dtype) != (old.shape, old.dtype):
                self.carry_changes = True
                log.reject(
                    f"its carry turns from {old.shape} {old.dtype} to {new.shape} {new.dtype}"
                )
                return
        edges = self._follow_gradients()
        if log.reason:
            return
        self.needs_gradients = self._has_source()
        self.signature = (
            log.backend,
            structure(carry),
            structure(pair),
            self.recording,
            tuple([node is not None for node in self.input_nodes]),
            tuple([number for number, _ in self.results]),
            tuple(edges),
            tuple(log.key),
        )

    @property
    def key(self) -> tuple[Any, ...]:
        """The key of the plan."""
        return (self.needs_gradients, *self.signature)

    def _has_source(self) -> bool:
        """True if a result has a node, and an input or capture other than a placeholder."""
        carried = [node for node in self.input_nodes[: self.carry] if node is not None]
        has_source = (
            bool(self.sources)
            or any(node is not None for node in self.input_nodes[self.carry :])
            or any(not is_placeholder(node) for node in carried)
        )
        return has_source and any(node is not None for _, node in self.results)

    def _follow_gradients(self) -> list[Any]:
        """Find `sources` and `node_numbers`; return the gradient flow as a key."""
        log, sources, numbers = self.log, self.sources, self.node_numbers
        inputs = self.carry + self.xs
        stack: list[Any] = [result for result in self.results if result[1] is not None]
        edges: list[Any] = [None if node is None else number for number, node in self.results]
        while stack:
            number, node = stack.pop()
            producer = log.producers[number]
            if producer is None:
                if number >= inputs and (node.primitive is not None or node.number < log.start):
                    position = sources.setdefault((number, node), len(sources))
                    edges.append((number, position))
                continue
            if node in numbers or node.primitive is None:  # a leaf of an inner gradient
                continue
            numbers[node] = number
            operation = node
            if node.primitive is GET_OUTPUT:
                operation = node.parents[0]
                numbers[operation] = number
            entry = log.entries[producer]
            parents = operation.parents
            if operation.primitive is not entry.primitive or len(parents) != len(entry.args):
                log.reject(f"{operation.primitive.name} stands for a whole computation")
                return []
            flows = []
            for parent, arg in zip(parents, entry.args, strict=True):
                flows.append(parent is not None)
                if parent is not None:
                    stack.append((arg, parent))
            edges.append((number, tuple(flows)))
        return edges

    def ordinary_results(self) -> Any:
        """Return what the step returned, as ordinary Tensors."""
        self.log.reject("its results are used")

        def ordinary(leaf: Any) -> Any:
            if isinstance(leaf, Tensor):
                leaf._data = to_arrays(leaf._data)
                leaf._node = self.log.ordinary_node(leaf._node)
            return to_arrays(leaf)

        return tree_map(ordinary, self.pair)

    def differs_from(self, other: StepTrace) -> bool:
        """True if the trace of another step has other operations, captures or contents."""
        if self.signature != other.signature:
            return True
        start = min(self.log.start, other.log.start)
        for (_, node), (_, other_node) in zip(self.sources, other.sources, strict=True):
            if node is not other_node and min(node.number, other_node.number) < start:
                return True
        pairs = [
            (self.log.arrays[i], other.log.arrays[j])
            for i, j in zip(self.log.captures, other.log.captures, strict=True)
        ]
        return not all(a is b or bool(((a == b) | (a != a)).all()) for a, b in pairs)


def _unsuitable_results(pair: Any, carry: Any) -> str:
    """Return why the results of a step cannot be compiled, or ""."""
    if not (isinstance(pair, tuple) and len(pair) == 2):
        return f"it returns {structure(pair)}"
    if not same_structure(pair[0], carry):
        return "its carry changes its nesting"
    if not all(isinstance(leaf, Tensor) for leaf in flatten(pair)):
        return "it returns something that is not a tensor"
    return ""


def trace_step(
    make_step: Callable[[tuple[Tensor, ...]], Callable[..., Any]],
    declared: Sequence[Tensor],
    carry: Any,
    xs: Any,
    position: int,
    previous: StepTrace | None = None,
) -> StepTrace:
    """Execute a step on a carry and on the slices of `xs` at a position.

    ``make_step(tensors)`` returns the step. `declared` are Tensors that it reads, and `tensors` are
    traced Tensors in their place. After a `previous` step, the carry is the one that it returned.
    Exceptions of the step are not handled. `reason` of the result says whether the step can be
    compiled.
    """
    recording = graph.recording.get()
    nesting, order = carry, None
    if previous is not None:
        nesting, order = previous.pair[0], previous.order
        leaves = flatten(nesting)
        carry = unflatten(carry, [leaves[i] for i in order])
    carry_leaves, x_leaves = flatten(carry), flatten(xs)
    arrays = [to_arrays(leaf._data) if isinstance(leaf, Tensor) else leaf for leaf in carry_leaves]
    arrays += [leaf._data[position, ...] for leaf in x_leaves]
    array_backend = _common_backend(arrays)
    log = OperationLog(array_backend)
    inputs = []
    for i, array in enumerate(arrays):
        node = None
        if i < len(carry_leaves):  # has a history even where nothing is recorded: see `enable_grad`
            node = getattr(carry_leaves[i], "_node", None)
            if node is None and array.dtype.kind == "f":
                node = placeholder(array.shape, array.dtype)
        elif recording and (leaf := x_leaves[i - len(carry_leaves)])._node is not None:
            node = placeholder(array.shape, array.dtype)
            log.connect_later(node, SliceOf(leaf, position))
        inputs.append(Tensor(log.add_input(array), node))
    trace = StepTrace(log, inputs, len(carry_leaves), recording)
    placed = inputs[: trace.carry]
    if order is not None:
        pairs = sorted(zip(order, placed, strict=True), key=lambda pair: pair[0])
        placed = [leaf for _, leaf in pairs]
    given, x = unflatten(nesting, placed), unflatten(xs, inputs[trace.carry :])
    tensors = tuple([Tensor(log.value(log.number_of(t._data)), t._node) for t in declared])
    step = make_step(tensors)
    try:
        with operation_log.block(log):
            pair = step(given, x)
        trace.finish(pair, carry)
    finally:
        log.close()
    return trace


def _common_backend(arrays: list[Any]) -> backend.Backend:
    """Return the backend of the inputs; raise NotTraceable if they have none in common."""
    if not arrays:
        raise NotTraceable("it has neither carry nor input")
    array_backend = backend.of_array(arrays[0])
    for array in arrays:
        if not isinstance(array, array_backend.array_type):
            raise NotTraceable("its carry does not consist of tensors")
    return array_backend


@dataclass(frozen=True)
class SliceOf:
    """Turns a placeholder into the node of the operation `leaf[position]`."""

    leaf: Tensor
    position: int

    def __call__(self, node: Node) -> None:
        array, index = self.leaf._data, (self.position, ...)
        parents = (self.leaf._node,)
        primitive = _getitem.primitive
        node.residuals = primitive.save_residuals((array,), None, {"index": index}, parents)
        node.primitive, node.parents = primitive, parents
