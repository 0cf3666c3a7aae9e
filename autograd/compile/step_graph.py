"""The `StepGraph` of a traced step, and how a call of the scan binds its captures.

A value of the trace may be recorded several times with different gradient flow, as `h * w` and
`h * w.detach()`. Each of these variants is an operation with its own results in the graph.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.graph import GET_OUTPUT, Node
from ..core.pytree import tree_map
from .ir import Op, StepGraph, Value, is_pointwise
from .keys import Reference
from .step_trace import StepTrace
from .tracing import Entry, OperationLog

Variant = Any
"""A key that identifies the gradient flow into a value: of a source, or of a recorded operation."""

FloatPosition = tuple[int, int]
"""The index of an operation in the log, and of a float among its arguments."""


@dataclass(frozen=True)
class Capture:
    """Where a capture of a graph is found in the trace of a call.

    `number` is the number of the array; `source` the position of its node among the sources, or
    None. For a float, `position` says where it is instead, and `dtype` is the dtype of its array.
    """

    number: int = -1
    source: int | None = None
    position: FloatPosition | None = None
    dtype: Any = None

    def array(self, trace: StepTrace) -> Any:
        """Return the array of a call. Arrays that the caller may change are copied."""
        log = trace.log
        if self.position is not None:
            entry, argument = self.position
            number = log.entries[entry].args[argument]
            return log.backend.asarray(np.asarray(number, self.dtype))
        array = log.arrays[self.number]
        return array.copy() if id(array) in log.changeable else array


@dataclass(frozen=True)
class TracedGraph:
    """A graph with what is needed to execute it.

    Attributes
    ----------
    graph : StepGraph
        The operations.
    captures : tuple of Capture
        The source of each capture of the graph.
    has_gradient : tuple of bool
        For each leaf of the new carry and of y, True if gradients flow into it.
    examples : dict of Value to array
        The arrays of the trace.
    """

    graph: StepGraph
    captures: tuple[Capture, ...]
    has_gradient: tuple[bool, ...]
    examples: dict[Value, Any] = field(repr=False)


def float_positions(log: OperationLog) -> list[FloatPosition]:
    """Return the positions of the floats that could differ from call to call."""
    return [
        (i, j)
        for i, entry in enumerate(log.entries)
        if is_pointwise(entry.primitive)
        for j, x in enumerate(entry.args)
        if type(x) is float and _float_dtype(log, entry) is not None
    ]


def _float_dtype(log: OperationLog, entry: Entry) -> Any:
    """Return the dtype that a Python float adopts among the other arguments of an operation."""
    arrays = [log.arrays[x] for x in entry.args if type(x) is Reference]
    values = arrays[1:] if entry.primitive.name == "where" else arrays
    if entry.primitive.name == "power" or not values:
        return None  # rules of powers depend on the type of the exponent
    return np.result_type(*[x.dtype for x in values], 0.0)


def build_step_graph(trace: StepTrace, bound_floats: Container[FloatPosition] = ()) -> TracedGraph:
    """Return the graph of a trace, in which the floats at some positions are captures."""
    return _Builder(trace, bound_floats).build()


class _Builder:
    """Builds a `TracedGraph`."""

    def __init__(self, trace: StepTrace, bound_floats: Container[FloatPosition]) -> None:
        self.trace, self.log, self.bound_floats = trace, trace.log, bound_floats
        self.examples: dict[Value, Any] = {}
        self.values: dict[tuple[int, Variant], Value] = {}
        self.default: dict[int, Value] = {}  # for arguments without gradient flow
        self.captures: list[tuple[Value, Capture]] = []
        self.ops: list[Op] = []

    def build(self) -> TracedGraph:
        trace, log = self.trace, self.log
        inputs = [self._new_value(log.arrays[i]) for i in range(trace.carry + trace.xs)]
        for i, value in enumerate(inputs):
            self._define(i, ("input", i), value)
        for (number, node), position in trace.sources.items():
            value = self._new_value(log.arrays[number])
            self.captures.append((value, Capture(number, position)))
            self._define(number, (number, node), value)
        for number in log.captures:
            if number not in self.default:
                value = self._new_value(log.arrays[number])
                self.captures.append((value, Capture(number)))
                self._define(number, None, value)
        variants = self._variants()
        for i, entry in enumerate(log.entries):
            plain = {(None,) * len(entry.args): None}
            for flows, variant in variants.get(i, plain).items():
                self._add_op(i, entry, flows, variant)
        return self._graph(inputs)

    def _graph(self, inputs: list[Value]) -> TracedGraph:
        trace = self.trace
        results = [self._result(number, node) for number, node in trace.results]
        read = {value for op in self.ops for value in op.inputs}
        read.update(value for value, _ in results)
        captures = [(value, capture) for value, capture in self.captures if value in read]
        graph = StepGraph(
            backend=self.log.backend,
            ops=tuple(self.ops),
            carry=tuple(inputs[: trace.carry]),
            xs=tuple(inputs[trace.carry :]),
            captures=tuple([value for value, _ in captures]),
            constants=(),
            new_carry=tuple([value for value, _ in results[: trace.carry]]),
            ys=tuple([value for value, _ in results[trace.carry :]]),
        )
        flags = tuple([flag for _, flag in results])
        return TracedGraph(graph, tuple([c for _, c in captures]), flags, self.examples)

    def _new_value(self, array: Any) -> Value:
        value = Value(len(self.examples), array.shape, array.dtype)
        self.examples[value] = array
        return value

    def _define(self, number: int, variant: Variant, value: Value) -> None:
        self.values[number, variant] = value
        self.default.setdefault(number, value)

    def _variants(self) -> dict[int, dict[tuple[Variant, ...], Variant]]:
        """Return the variants of each operation, by the gradient flow into each argument."""
        found: dict[int, dict[tuple[Variant, ...], Variant]] = {}
        self.variant_of: dict[Node, Variant] = {}
        trace = self.trace
        for node in sorted(trace.node_numbers, key=lambda node: node.number):
            if node.primitive is GET_OUTPUT:
                self.variant_of[node] = self.variant_of[node.parents[0]]  # type: ignore[index]
                continue
            producer: Any = self.log.producers[trace.node_numbers[node]]
            args = self.log.entries[producer].args
            flows = tuple([self._variant(x, p) for x, p in zip(args, node.parents, strict=True)])
            known = found.setdefault(producer, {})
            self.variant_of[node] = known.setdefault(flows, (producer, len(known)))
        return found

    def _variant(self, number: int, node: Node | None) -> Variant:
        """Return the variant of a value that a node belongs to; None without gradient flow."""
        if node is None:
            return None
        if node in self.trace.node_numbers:
            return self.variant_of[node]
        if number < len(self.trace.input_nodes):
            return ("input", number) if node is self.trace.input_nodes[number] else None
        return (number, node) if (number, node) in self.trace.sources else None

    def _result(self, number: int, node: Node | None) -> tuple[Value, bool]:
        """Return the value of a result, and True if gradients flow into it."""
        variant = self._variant(number, node)
        value = self.default[number] if variant is None else self.values[number, variant]
        return value, variant is not None

    def _add_op(self, index: int, entry: Entry, flows: Any, variant: Variant) -> None:
        args = []
        for j, (x, flow) in enumerate(zip(entry.args, flows, strict=True)):
            if type(x) is Reference:
                args.append(self.default[x] if flow is None else self.values[x, flow])
            elif (index, j) in self.bound_floats:
                args.append(self._float_capture(index, j, entry))
            else:
                args.append(x)
        outs = []
        for number in range(entry.first, entry.first + entry.outputs):
            value = self._new_value(self.log.arrays[number])
            self._define(number, variant, value)
            outs.append(value)
        self.ops.append(
            Op(
                entry.primitive,
                tuple(args),
                tree_map(lambda x: self.default[x] if type(x) is Reference else x, entry.static),
                tuple(outs),
                entry.returns_tuple,
                tuple([flow is not None for flow in flows]),
            )
        )

    def _float_capture(self, index: int, j: int, entry: Entry) -> Value:
        dtype = _float_dtype(self.log, entry)
        capture = Capture(position=(index, j), dtype=dtype)
        value = self._new_value(capture.array(self.trace))
        self.captures.append((value, capture))
        return value
