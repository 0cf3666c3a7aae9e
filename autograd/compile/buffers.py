"""Buffer allocation: where the values of a schedule are stored, and which values share a buffer.

A value whose last reader has run gives its buffer to a later value of the same shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

import numpy as np

from .ir import Op, Value, is_pointwise
from .schedule import (
    CONCATENATE,
    MATMUL,
    REVERSED_AXES,
    TRANSPOSE,
    LoopSchedule,
    Producers,
    Schedule,
    is_view,
    root,
)

Kind = Literal[
    "history",  # one array per step, for all steps: the carry and residuals
    "chunk",  # one array per step, for the steps of a chunk
    "block",  # one array per step, for the steps of a block of chunks
    "temporary",  # one array, written again at every step
    "hoisted",  # one loop-invariant array
    "input",  # an argument of the call, with the time as first axis
    "output",  # a result of the call, with the time as first axis
    "capture",  # a loop-invariant argument of the call
    "constant",  # a loop-invariant array that is the same for all calls
    "total",  # a result of the call, summed over the steps
]
Span = Literal["step", "chunk", "block", "first", "last", "whole"]
"""The steps that an operand contains: the current step, the steps of a chunk or a block, the first
step of a chunk, or the step after its last; "whole" for arrays without a time axis.
"""


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Buffer:
    """Memory for values.

    Attributes
    ----------
    number : int
        Names the buffer in printed programs.
    kind : Kind
        Determines how many steps the buffer contains and where it comes from.
    shape : tuple of int
        Shape at one step.
    dtype : numpy.dtype
    extra_steps : int
        1 for a carry, whose buffer also contains the carry after the last step.
    """

    number: int
    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    extra_steps: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of one step."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{'temp' if self.kind == 'temporary' else self.kind}{self.number}"


@dataclass(frozen=True, slots=True)
class Location:
    """Buffer of a value. At step t, the value is at position `t + offset` of the buffer."""

    buffer: Buffer
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """The part of a concatenation in which a value is stored."""

    whole: Value
    axis: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class LoopBuffers:
    """The buffers of the forward or the backward pass.

    Attributes
    ----------
    locations : dict of dict
        For each span, the location of the values that exist for it. Views have no locations.
    sections : dict
        Values that are computed in their place in a concatenation.
    products : dict
        Summed values that are computed as one matrix product over the steps of a block, with the
        factors a and b of the sum of a' b.
    copied_gradients : tuple of Value
        Carried gradients that are copied at every step, since they are read for many steps.
    """

    locations: dict[Span, dict[Value, Location]]
    sections: dict[Value, Section]
    products: dict[Value, tuple[Value, Value]]
    copied_gradients: tuple[Value, ...]


NewBuffer = Callable[..., Buffer]
"""Creates a buffer from kind, shape, dtype and extra_steps."""

_number = attrgetter("number")


def allocate_histories(schedule: Schedule, new_buffer: NewBuffer) -> dict[Value, Location]:
    """Return locations for the carry and the residuals, which both passes read.

    Without a backward pass, only the steps of a chunk are stored.
    """
    kind: Kind = "chunk" if schedule.backward is None else "history"
    produced_by = schedule.producers
    computed = {s for op in schedule.forward.body if not is_view(op, produced_by) for s in op.outs}
    locations: dict[Value, Location] = {}
    for value, new in schedule.forward.carried:
        buffer = new_buffer(kind, value.shape, value.dtype, extra_steps=1)
        locations[value] = Location(buffer)
        if new in computed and new not in locations:
            locations[new] = Location(buffer, 1)
    for value in schedule.residuals:
        if value not in locations:
            locations[value] = Location(new_buffer(kind, value.shape, value.dtype))
    return locations


def allocate_loop(
    loop: LoopSchedule,
    produced_by: Producers,
    histories: dict[Value, Location],
    outputs: Mapping[Value, Buffer],
    new_buffer: NewBuffer,
    *,
    backward: bool,
) -> LoopBuffers:
    """Return the buffers of the forward or the backward pass.

    Parameters
    ----------
    loop : LoopSchedule
    produced_by : dict of Value to Op
    histories : dict of Value to Location
        Values that both passes read.
    outputs : dict of Value to Buffer
        The results that are returned for every step, and the arrays that are returned.
    new_buffer : callable
    backward : bool
        True if the carry has one buffer for all steps, which every step overwrites.
    """
    return _LoopAllocator(loop, produced_by, histories, outputs, new_buffer, backward).allocate()


@dataclass
class _SharedBuffers:
    """Buffers of one kind. A value takes the buffer of another that is not read any more."""

    kind: Kind
    new_buffer: NewBuffer
    produced_by: Producers
    assigned: dict[Value, Buffer] = field(default_factory=dict)

    def add(self, value: Value) -> Buffer:
        """Create a buffer for a value."""
        self.assigned[value] = self.new_buffer(self.kind, value.shape, value.dtype)
        return self.assigned[value]

    def assign(self, ops: tuple[Op, ...], values: set[Value], retained: set[Value]) -> None:
        """Assign buffers to those results of operations that are among `values`.

        The buffers of the `retained` values are not reused.
        """
        last_reader: dict[Value, int] = {}
        for i, op in enumerate(ops):
            last_reader.update((root(s, self.produced_by), i) for s in op.inputs)
        unused: dict[Any, list[Buffer]] = {}
        for i, op in enumerate(ops):
            inputs = dict.fromkeys(root(s, self.produced_by) for s in op.inputs)
            ending = [
                s
                for s in inputs
                if last_reader[s] == i and s in values and s in self.assigned and s not in retained
            ]
            for out in op.outs if not is_view(op, self.produced_by) else ():
                if out in values and out not in self.assigned:
                    self._assign(op, out, ending, unused)
            for s in ending:
                unused.setdefault((s.shape, s.dtype), []).append(self.assigned[s])

    def _assign(
        self, op: Op, out: Value, ending: list[Value], unused: dict[Any, list[Buffer]]
    ) -> None:
        """Assign a buffer to a result: of an argument that it may overwrite, if there is one."""
        key = (out.shape, out.dtype)
        for s in ending:
            if (s.shape, s.dtype) == key and may_overwrite(op, s, self.produced_by):
                self.assigned[out] = self.assigned[s]
                ending.remove(s)
                return
        if unused.get(key):
            self.assigned[out] = unused[key].pop()
        else:
            self.add(out)


def may_overwrite(op: Op, argument: Value, produced_by: Producers) -> bool:
    """True if an operation may write its result over an argument.

    It must be elementwise, and no other argument may be a view of the same array.
    """
    others = [x for x in op.args if isinstance(x, Value) and x is not argument]
    roots = [root(x, produced_by) for x in others]
    return op.primitive.pointwise and argument in op.args and argument not in roots


def _accepts_strides(reader: Op) -> bool:
    """True if an operation is as fast for arguments that are not contiguous."""
    return is_pointwise(reader.primitive) or reader.primitive is CONCATENATE


class _LoopAllocator:
    """Allocates the buffers of one loop; see `allocate_loop`."""

    def __init__(
        self,
        loop: LoopSchedule,
        produced_by: Producers,
        histories: dict[Value, Location],
        outputs: Mapping[Value, Buffer],
        new_buffer: NewBuffer,
        backward: bool,
    ) -> None:
        self.loop, self.produced_by, self.histories = loop, produced_by, histories
        self.outputs, self.new_buffer, self.backward = outputs, new_buffer, backward
        self.block, self.chunk, self.temporary, self.hoisted = (
            _SharedBuffers(kind, new_buffer, produced_by)
            for kind in ("block", "chunk", "temporary", "hoisted")
        )
        self.sections: dict[Value, Section] = {}
        self.direct: dict[Value, Buffer] = {}  # computed in the arrays that are returned

    def root(self, value: Value) -> Value:
        return root(value, self.produced_by)

    def allocate(self) -> LoopBuffers:
        loop = self.loop
        products = self._products()
        summed = loop.scattered.union(products)
        prologue, body, epilogue, hoisted = (
            {s for op in ops if not is_view(op, self.produced_by) for s in op.outs} - summed
            for ops in (loop.prologue, loop.body, loop.epilogue, loop.hoisted)
        )
        new_carry = {self.root(s) for _, s in loop.carried if s is not None}
        factors = {self.root(x) for pair in products.values() for x in pair}
        read_later = self._read_for_many_steps()
        for s in sorted(factors & (prologue | body | epilogue) - set(self.histories), key=_number):
            self.block.add(s)
        placed = {*self.histories, *self.block.assigned}
        self._find_sections(body - placed - new_carry, read_later | placed)
        for s in sorted(body & read_later - placed - set(self.sections), key=_number):
            self.chunk.add(s)
        copied = [g for g, _ in loop.carried if self.backward and g in read_later | factors]
        copies = {
            g: self.new_buffer("block" if g in factors else "chunk", g.shape, g.dtype)
            for g in copied
        }
        in_loop = {self.root(s) for op in loop.body for s in op.inputs}
        at_once = (prologue - in_loop) | epilogue
        self.direct = {s: b for s, b in self.outputs.items() if s in at_once - placed - new_carry}
        placed.update(self.direct)
        self.chunk.assign(loop.prologue, prologue - placed, read_later | in_loop | new_carry)
        self.chunk.assign(loop.epilogue, epilogue - placed, read_later & epilogue)
        self.hoisted.assign(loop.hoisted, hoisted, hoisted)
        temporary = body - placed - set(self.chunk.assigned) - set(self.sections)
        self._allocate_temporaries(temporary, new_carry)
        return LoopBuffers(self._locations(copies), self.sections, products, tuple(copied))

    def _locations(self, copies: dict[Value, Buffer]) -> dict[Span, dict[Value, Location]]:
        def locations(*tables: dict[Value, Buffer]) -> dict[Value, Location]:
            return {s: Location(buffer) for table in tables for s, buffer in table.items()}

        stored = {**self.histories, **locations(self.block.assigned)}
        chunk = {**stored, **locations(self.chunk.assigned)}
        return {
            "step": {**chunk, **locations(self.temporary.assigned)},
            "chunk": {**chunk, **locations(copies, self.direct)},
            "block": {
                **stored,
                **locations({g: copy for g, copy in copies.items() if copy.kind == "block"}),
            },
            "whole": locations(self.hoisted.assigned),
        }

    def _allocate_temporaries(self, values: set[Value], new_carry: set[Value]) -> None:
        """Allocate buffers for values that are not read after their step."""
        carried = self.loop.carried
        if self.backward:
            for g, d in carried:
                buffer = self.temporary.add(g)
                if d in values and self._may_replace(g, d):
                    self.temporary.assigned[d] = buffer
        wholes = {section.whole for section in self.sections.values()}
        for whole in sorted(wholes & values - set(self.temporary.assigned), key=_number):
            self.temporary.add(whole)
        retained = {*new_carry, *wholes, *[s for pair in carried for s in pair if s is not None]}
        self.temporary.assign(self.loop.body, values, retained)

    def _may_replace(self, g: Value, d: Value) -> bool:
        """True if the operation that computes `d` may write it over the carried gradient `g`."""
        op = self.produced_by.get(d)
        if op not in self.loop.body or (d.shape, d.dtype) != (g.shape, g.dtype):
            return False
        if g in [self.root(s) for _, s in self.loop.carried if s is not None]:
            return False
        i = self.loop.body.index(op)
        for n, reader in enumerate(self.loop.body):
            if g in map(self.root, reader.inputs):
                overwrites = n == i and may_overwrite(op, g, self.produced_by)
                if n >= i and not overwrites:
                    return False
        return True

    def _find_sections(self, candidates: set[Value], stored: set[Value]) -> None:
        """Find elementwise results to compute in their place in a concatenation.

        The concatenation must be the only reader; if it is `stored` for many steps, other readers
        may read the value as a view of it.
        """
        loop = self.loop
        readers: dict[Value, list[Op]] = {}
        for op in (*loop.prologue, *loop.body, *loop.epilogue):
            for s in op.inputs:
                readers.setdefault(s, []).append(op)
        for op in loop.body:
            if op.primitive is not CONCATENATE:
                continue
            (whole,), axis, stop = op.outs, op.static["axis"], 0
            for s in op.args:
                start, stop = stop, stop + s.shape[axis]
                fits = s in candidates and s.dtype == whole.dtype and readers[s].count(op) == 1
                others = [reader for reader in readers[s] if reader is not op]
                if whole in stored:
                    fits = fits and all(map(_accepts_strides, others))
                elif others or s in stored:
                    continue
                if fits and is_pointwise(self.produced_by[s].primitive):
                    self.sections.setdefault(s, Section(whole, axis, start, stop))

    def _read_for_many_steps(self) -> set[Value]:
        """Return the values that are read for all steps of a chunk after its loop."""
        loop = self.loop
        scatters = [op for op in loop.prologue if not loop.scattered.isdisjoint(op.outs)]
        inputs = [s for op in (*loop.epilogue, *scatters) for s in op.inputs]
        return set(map(self.root, [*self.outputs, *loop.summed, *inputs]))

    def _products(self) -> dict[Value, tuple[Value, Value]]:
        """Return the sums over time of products a' b of matrices, as one product each."""
        loop = self.loop
        read = {s for op in (*loop.prologue, *loop.body, *loop.epilogue) for s in op.inputs}
        products = {}
        for op in (*loop.prologue, *loop.epilogue):
            (out, *_), factors = op.outs, self._factors(op)
            is_only_summed = out in loop.summed and out not in {*read, *self.outputs}
            if is_only_summed and factors is not None and loop.varying.issuperset(factors):
                products[out] = factors
        return products

    def _factors(self, op: Op) -> tuple[Value, Value] | None:
        """Return a and b if an operation is a product a' b of matrices."""
        if op.primitive is not MATMUL or not op.args[0].ndim == op.args[1].ndim == 2:
            return None
        transpose = self.produced_by.get(op.args[0])
        if transpose is None:
            return None
        is_transpose = transpose.primitive is REVERSED_AXES or (
            transpose.primitive is TRANSPOSE and transpose.static["axes"] == (1, 0)
        )
        return (transpose.args[0], op.args[1]) if is_transpose else None
