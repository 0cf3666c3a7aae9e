"""Tracing by execution: a step runs on arrays that compute, and logs the primitives applied.

An operation on a `TracedArray` computes its result at once and adds an entry to the
`OperationLog`. The traced step is therefore an executed step: its results are valid, and nothing
has to be undone. `step_trace` turns a log into a `StepGraph`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import backend
from ..core.graph import Node, ancestors_since
from ..core.mutation import next_version
from ..core.primitive import Primitive
from ..core.pytree import flatten
from .ir import NUMBERS
from .keys import Reference, Uncomparable, freeze, rule_state
from .traced_array import TracedArray, compute, to_arrays, traced_type


class Entry(NamedTuple):
    """One logged operation.

    `args` has a `Reference` for each array, and numbers as they are. The results have the numbers
    from `first` on.
    """

    primitive: Primitive
    args: tuple[Any, ...]
    static: dict[str, Any]
    first: int
    outputs: int
    returns_tuple: bool


class OperationLog:
    """The operations of one executed step, in order.

    Attributes
    ----------
    arrays : list of array
        The array of each value, by its number. Inputs come first; other values without an
        operation are captures.
    producers : list of int or None
        The index of the entry that computes each value; None for inputs and captures.
    entries : list of Entry
        The operations. An operation that is repeated on the same values has one entry.
    key : list
        What decides which operations these are.
    captures : list of int
        The numbers of the captured arrays, in the order of their first use.
    scalars : set of int
        The captures that are scalars of NumPy.
    changeable : set of int
        The `id` of each captured array that the caller may change before the backward pass.
    reason : str
        Why the step cannot be compiled; "" if it can.
    start : int
        The version at the beginning: nodes of the step have greater numbers.
    """

    def __init__(self, array_backend: backend.Backend) -> None:
        self.backend = array_backend
        self.start = next_version()
        self.is_open, self.reason = True, ""
        self.arrays: list[Any] = []
        self.producers: list[int | None] = []
        self.entries: list[Entry] = []
        self.key: list[Any] = []
        self.captures: list[int] = []
        self.scalars: set[int] = set()
        self.changeable: set[int] = set()
        self._traced_type = traced_type(array_backend)
        self._known: dict[Any, Entry] = {}
        self._numbers: dict[Any, int] = {}  # of captured arrays, by id
        self._input_nodes: list[tuple[Node, Callable[[Node], None]]] = []

    # --- values -----------------------------------------------------------------------------------

    def add_input(self, array: Any) -> TracedArray:
        """Return a leaf of the carry or of x as a traced array."""
        self.key.append((array.shape, array.dtype))
        return self._add(array, None)

    def _add(self, array: Any, producer: int | None) -> TracedArray:
        self.arrays.append(array)
        self.producers.append(producer)
        return self._traced_type(array, self, len(self.arrays) - 1)

    def number_of(self, x: Any) -> int:
        """Return the number of an array, which becomes a capture if it is not known."""
        if isinstance(x, TracedArray):
            if x.log is self:
                return x.number
            x = x.value
        # NumPy's scalars by their value: as arrays they are new objects at every step.
        is_scalar = isinstance(x, np.generic)
        key = (x.dtype, x.tobytes()) if is_scalar else id(x)
        number = self._numbers.get(key)
        if number is None:
            array = self.backend.asarray(x) if is_scalar else x
            if not issubclass(type(array), self.backend.array_type):
                raise Uncomparable(f"it computes with {type(x).__name__}")
            self.key.append((array.shape, array.dtype))
            number = self._numbers[key] = self._add(array, None).number
            self.captures.append(number)
            if is_scalar:
                self.scalars.add(number)
        return number

    def value(self, number: int) -> TracedArray:
        """Return the traced array of a number."""
        return self._traced_type(self.arrays[number], self, number)

    def entry_of(self, x: Any) -> Entry | None:
        """Return the operation that computed a traced array; None for other values."""
        producer = self.producers[x.number] if isinstance(x, TracedArray) else None
        return None if producer is None else self.entries[producer]

    # --- recording --------------------------------------------------------------------------------

    def record(self, primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Any:
        """Compute an operation on real arrays; log it, and return its results as traced arrays."""
        try:
            names, args, real = self._named_arguments(arrays)
            frozen: Any = ()
            logged, real_static = static, static
            if static:
                logged = {name: self._static(value) for name, value in static.items()}
                frozen, real_static = freeze(logged), to_arrays(static)
            behavior = rule_state(primitive)
        except Uncomparable as error:
            self.flag(str(error))
        if not self.is_open:
            return compute(primitive, to_arrays(arrays), to_arrays(static))
        y = compute(primitive, real, real_static)
        key = (primitive, tuple(names), frozen, *behavior)
        entry = self._known.get(key)
        returns_tuple = type(y) in (tuple, list)
        results = [
            self.backend.asarray(r) if isinstance(r, np.generic) else r
            for r in (y if returns_tuple else (y,))
        ]
        if entry is None:
            first = len(self.arrays)
            entry = Entry(primitive, tuple(args), logged, first, len(results), returns_tuple)
            for result in results:
                self.arrays.append(result)
                self.producers.append(len(self.entries))
            self.entries.append(entry)
            self._known[key] = entry
            if frozen and any(type(x) is Reference for x in flatten(list(logged.values()))):
                key = (*key, *[r.shape for r in results])  # the shape may depend on values
            self.key.append(key)
        traced = [self._traced_type(r, self, entry.first + i) for i, r in enumerate(results)]
        return tuple(traced) if returns_tuple else traced[0]

    def adopt(self, entry: Entry) -> None:
        """Use the results of an operation, which is not logged itself, where it is repeated."""
        names, *_ = self._named_arguments(
            [self.value(x) if type(x) is Reference else x for x in entry.args]
        )
        behavior = rule_state(entry.primitive)
        frozen = freeze(entry.static) if entry.static else ()
        self._known[entry.primitive, tuple(names), frozen, *behavior] = entry

    def _named_arguments(self, arrays: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the array arguments of an operation as parts of a key, as `Entry.args`, and as
        real arrays.
        """
        names: list[Any] = []
        args: list[Any] = []
        real: list[Any] = []
        for x in arrays:
            if isinstance(x, TracedArray) and x.log is self:
                # Not the array of the same number: a repeated operation has results in new memory.
                number, value = x.number, x.value
            elif type(x) in NUMBERS:
                names.append((type(x), x or repr(x)))  # -0.0 is not 0.0
                args.append(x)
                real.append(x)
                continue
            else:
                number = self.number_of(x)
                value = self.arrays[number]
            names.append(number)
            args.append(Reference(number))
            real.append(value)
        return names, args, real

    def _static(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._static, value))
        if isinstance(value, TracedArray) and value.dtype.kind == "b":
            raise Uncomparable("it picks elements by a mask that differs from step to step")
        is_array = hasattr(value, "dtype") and getattr(value, "ndim", 0) > 0
        return (
            Reference(self.number_of(value))
            if is_array or isinstance(value, TracedArray)
            else value
        )

    # --- closing ----------------------------------------------------------------------------------

    def flag(self, reason: str) -> None:
        """Close an open log with the reason why the step cannot be compiled."""
        if self.is_open:
            self.reject(reason)

    def reject(self, reason: str) -> None:
        """Close the log; the results of the step are used. The first reason counts."""
        self.reason = self.reason or reason
        self.close()
        while self._input_nodes:
            node, connect = self._input_nodes.pop()
            connect(node)

    def close(self) -> None:
        """Stop logging. Traced arrays are ordinary arrays from now on."""
        self.is_open = False

    def connect_later(self, node: Node, connect: Callable[[Node], None]) -> None:
        """Call `connect(node)` if the results of the step are used."""
        self._input_nodes.append((node, connect))

    def is_recorded(self, node: Node) -> bool:
        """True if a node depends on more than placeholders of the carry."""
        recent, older = ancestors_since(self.start, [node])
        inputs = {one for one, _ in self._input_nodes}
        leaves = [one for one in recent if one.primitive is None]
        return bool(older) or any(one in inputs or not is_placeholder(one) for one in leaves)

    def ordinary_node(self, node: Node | None) -> Node | None:
        """Return a node of the step after its graph has become an ordinary one.

        Real arrays replace traced arrays among the residuals, and nodes that depend only on
        placeholders of the carry are removed. The result is None for such a node.
        """
        if node is None or node.number < self.start:
            return node
        removed: set[Any] = {None}
        for one in sorted(ancestors_since(self.start, [node])[0], key=lambda n: n.number):
            if one.primitive is None:
                if is_placeholder(one):
                    removed.add(one)
                continue
            one.parents = tuple([None if p in removed else p for p in one.parents])
            if one.parents and not any(one.parents):
                removed.add(one)
            one.residuals = self._real_residuals(one.residuals)
        return None if node in removed else node

    def _real_residuals(self, value: Any) -> Any:
        """Return residuals with real arrays; arrays of the caller are copied."""
        if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
            return type(value)([self._real_residuals(item) for item in value])
        if type(value) is dict:
            return {key: self._real_residuals(item) for key, item in value.items()}
        if isinstance(value, TracedArray):
            return value.value
        return value.copy() if id(value) in self.changeable else value


def placeholder(shape: tuple[int, ...], dtype: Any) -> Node:
    """Return a node for a leaf of the carry without one, which later steps may have."""
    return Node(None, (), None, shape, dtype)


def is_placeholder(node: Node) -> bool:
    return node.primitive is None and node.residuals is None
