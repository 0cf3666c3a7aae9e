"""Lowering: from a schedule to a loop program.

Each value becomes an operand of its buffer, or a view of one. The body reads no argument of the
call that is loop-invariant: these are copied to buffers once per call, in the memory layout that
matrix products prefer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..core.pytree import tree_map
from .buffers import (
    Buffer,
    Kind,
    Location,
    LoopBuffers,
    Span,
    allocate_histories,
    allocate_loop,
)
from .ir import BackwardGraph, Op, Value, is_pointwise
from .loop_program import Instruction, Loop, LoopProgram, Number, Operand, View
from .operands import Operands, copy
from .schedule import (
    CONCATENATE,
    LINEAR,
    MATMUL,
    RESHAPE,
    STACK,
    LoopSchedule,
    Producers,
    Schedule,
    along_time,
    is_view,
    root,
)


def lower(schedule: Schedule) -> LoopProgram:
    """Return the loop program of a schedule."""
    graph, gradients = schedule.graph, schedule.backward_graph
    buffers = _Buffers()
    constants = [*graph.constants, *(() if gradients is None else gradients.constants)]
    xs, captures = buffers.external("input", graph.xs), buffers.external("capture", graph.captures)
    constant_buffers = buffers.external("constant", [value for value, _ in constants])
    ys = buffers.external("output", graph.ys)
    histories = allocate_histories(schedule, buffers.new)
    values = [*graph.xs, *graph.captures, *[value for value, _ in constants]]
    lowering = _Lowering(
        schedule.producers,
        histories,
        dict(zip(values, (*xs, *captures, *constant_buffers), strict=True)),
        buffers,
    )
    outputs = list(zip(graph.ys, ys, strict=True))
    is_ring = schedule.backward is None
    program = LoopProgram(
        buffers=(),
        forward=lowering.loop(schedule.forward, outputs, is_ring=is_ring)[0],
        backward=None,
        carry=tuple([histories[value].buffer for value in graph.carry]),
        xs=xs,
        captures=captures,
        constants=tuple(zip(constant_buffers, [array for _, array in constants], strict=True)),
        ys=ys,
    )
    if gradients is not None and schedule.backward is not None:
        program = lowering.with_backward(program, schedule.backward, gradients)
    return replace(program, buffers=tuple(buffers.all))


class _Buffers:
    """Creates and numbers the buffers."""

    def __init__(self) -> None:
        self.all: list[Buffer] = []

    def new(self, kind: Kind, shape: Any, dtype: Any, extra_steps: int = 0) -> Buffer:
        self.all.append(Buffer(len(self.all), kind, shape, dtype, extra_steps))
        return self.all[-1]

    def external(self, kind: Kind, values: Iterable[Value | None]) -> tuple[Any, ...]:
        """Return buffers for arguments, results or constants."""
        return tuple([v if v is None else self.new(kind, v.shape, v.dtype) for v in values])


@dataclass
class _Lowering:
    """Lowers both loops. `arguments` has the buffers of arguments and constants."""

    produced_by: Producers
    histories: dict[Value, Location]
    arguments: dict[Value, Buffer]
    buffers: _Buffers

    def loop(
        self,
        loop: LoopSchedule,
        outputs: list[tuple[Value, Buffer]],
        sums: list[tuple[Value, Buffer]] | None = None,
        *,
        is_ring: bool = False,
        backward: bool = False,
    ) -> tuple[Loop, LoopBuffers]:
        """Return a loop. `outputs` are returned for every step, `sums` are summed."""
        allocation = allocate_loop(
            loop,
            self.produced_by,
            self.histories,
            dict(outputs),
            self.buffers.new,
            backward=backward,
        )
        lowering = _LoopLowering(loop, self, allocation, backward)
        return lowering.lower(outputs, sums or [], is_ring), allocation

    def with_backward(
        self, program: LoopProgram, loop: LoopSchedule, gradients: BackwardGraph
    ) -> LoopProgram:
        d_ys = self.buffers.external("input", gradients.d_ys)
        d_xs = self.buffers.external("output", gradients.d_xs)
        sums = {  # captures such as two biases may have the same gradient
            d: self.buffers.new("total", d.shape, d.dtype)
            for d in gradients.d_captures
            if d is not None
        }
        self.arguments |= {g: b for g, b in zip(gradients.d_ys, d_ys, strict=True) if g is not None}
        pairs = zip(gradients.d_xs, d_xs, strict=True)
        outputs = [(d, buffer) for d, buffer in pairs if d is not None]
        backward, allocation = self.loop(loop, outputs, list(sums.items()), backward=True)
        carried = allocation.locations["step"]
        d_carry = [None if g is None else carried[g].buffer for g in gradients.d_new_carry]
        return replace(
            program,
            backward=backward,
            d_carry=tuple(d_carry),
            d_ys=d_ys,
            d_xs=d_xs,
            d_captures=tuple([None if d is None else sums[d] for d in gradients.d_captures]),
        )


class _LoopLowering:
    """Lowers the forward or the backward pass."""

    def __init__(
        self, loop: LoopSchedule, shared: _Lowering, allocation: LoopBuffers, backward: bool
    ) -> None:
        self.loop, self.allocation, self.backward = loop, allocation, backward
        self.produced_by, self.new_buffer = shared.produced_by, shared.buffers.new
        self.operand = Operands(
            *(loop.varying, shared.produced_by, allocation, shared.arguments, shared.buffers.new)
        )

    def lower(
        self,
        outputs: list[tuple[Value, Buffer]],
        sums: list[tuple[Value, Buffer]],
        is_ring: bool,
    ) -> Loop:
        """Return the loop; see `_Lowering.loop`."""
        loop = self.loop
        gradients = self.allocation.copied_gradients
        body = [copy(self.operand.copied_gradient(g), self.operand(g, "step")) for g in gradients]
        body += [*self._ops(loop.body, "step"), *self._carry_instructions()]
        hoisted, prologue = self._ops(loop.hoisted, "whole"), self._ops(loop.prologue, "chunk")
        epilogue = self._ops(loop.epilogue, "chunk")
        pairs = [(Operand(b, "chunk"), self.operand(value, "chunk")) for value, b in outputs]
        epilogue += [copy(out, source) for out, source in pairs if out != source]
        products = self.allocation.products
        epilogue += [self._sum(*pair) for pair in sums if pair[0] not in products]
        copies = [instruction for _, instruction in self.operand.copies.values()]
        carry = [self.operand(value, "step") for value, _ in loop.carried]
        ends = [(Operand(c.buffer, "first"), Operand(c.buffer, "last")) for c in carry]
        return Loop(
            hoisted=(*hoisted, *copies),
            prologue=tuple(prologue),
            body=tuple(body),
            epilogue=tuple(epilogue),
            advance=tuple([copy(*pair) for pair in ends]) if is_ring else (),
            block=tuple([i for pair in sums if pair[0] in products for i in self._product(*pair)]),
            detach=tuple([Instruction("zero", (c,)) for c in carry]) if self.backward else (),
            backward=self.backward,
        )

    def _ops(self, ops: Iterable[Op], span: Span) -> list[Instruction]:
        return [instruction for op in ops for instruction in self._op(op, span)]

    # --- instructions -----------------------------------------------------------------------------

    def _op(self, op: Op, span: Span) -> list[Instruction]:
        """Return the instructions for one operation."""
        summed = {*self.allocation.products, *self.loop.scattered}
        if is_view(op, self.produced_by) or not summed.isdisjoint(op.outs):
            return []
        outs = tuple([self.operand(out, span) for out in op.outs])
        if hasattr(op.primitive, "on"):  # a fused kernel
            return [Instruction("kernel", outs, self._inputs(op, span), op.primitive)]
        if op.primitive in (CONCATENATE, STACK) and self._joins_by_copies(op, span):
            return self._copies_to_sections(op, outs[0], span)
        x, *others = op.args or (None,)
        if op.primitive is RESHAPE:  # of an array that may not be contiguous
            return [copy(outs[0].viewed(View("reshape", x.shape)), self.operand(x, span))]
        if op.primitive is LINEAR:
            weight = self.operand.matrix(others[0], span, transposed=True)
            return self._dot(x, weight, outs[0], span)
        if op.primitive is MATMUL and x.ndim >= 2 and others[0].ndim == 2:
            many = span == "chunk"
            if not many or (x in self.loop.varying and others[0] not in self.loop.varying):
                return self._dot(x, self.operand.matrix(others[0], span), outs[0], span)
        static = op.static
        if span == "chunk":
            at_once = along_time(op, self.loop.varying)
            assert at_once is not None
            static = at_once
        static = {name: tree_map(lambda v: self._static(v, span), x) for name, x in static.items()}
        inputs = self._inputs(op, span)
        return [Instruction("apply", outs, inputs, op.primitive, static, op.returns_tuple)]

    def _static(self, value: Any, span: Span) -> Any:
        return self.operand(value, span) if isinstance(value, Value) else value

    def _inputs(self, op: Op, span: Span) -> tuple[Operand | Number, ...]:
        """Return the arguments; over time, those of fewer dimensions than others get axes."""
        values = [x for x in op.args if isinstance(x, Value)]
        dtype = op.outs[0].dtype
        has_one_dtype = is_pointwise(op.primitive) and dtype.kind == "f"
        has_one_dtype = has_one_dtype and all(x.dtype == dtype for x in values)
        rank = max(*[x.ndim for x in values], op.outs[0].ndim) if values else 0
        aligns = span == "chunk" and (is_pointwise(op.primitive) or op.primitive is MATMUL)
        inputs: list[Operand | Number] = []
        for x in op.args:
            if not isinstance(x, Value):
                as_array = has_one_dtype and type(x) is not bool
                inputs.append(Number(x, dtype if as_array else None))
                continue
            operand = self.operand(x, span)
            if aligns and x in self.loop.varying and x.ndim < rank:
                operand = operand.viewed(View("index", (None,) * (rank - x.ndim)))
            inputs.append(operand)
        return tuple(inputs)

    def _dot(self, x: Value, matrix: Operand, out: Operand, span: Span) -> list[Instruction]:
        """Return the instructions for the product of the rows of x and a matrix."""
        if x.ndim > 2 or (span == "chunk" and x in self.loop.varying):
            copies, a = self.operand.rows(x, span)
            out = out.viewed(View("rows", out.buffer.shape[-1]))
            return [*copies, Instruction("dot", (out,), (a, matrix))]
        return [Instruction("dot", (out,), (self.operand(x, span), matrix))]

    def _joins_by_copies(self, op: Op, span: Span) -> bool:
        """True if arguments of a concatenation are computed in their place, or lack the time."""
        if span == "step":
            return not self.allocation.sections.keys().isdisjoint(op.args)
        return span == "chunk" and not self.loop.varying.issuperset(op.args)

    def _copies_to_sections(self, op: Op, out: Operand, span: Span) -> list[Instruction]:
        """Copy those arguments that are not computed in their place in a concatenation."""
        axis = op.static["axis"] % op.outs[0].ndim
        before, instructions, stop = (slice(None),) * axis, [], 0
        for i, s in enumerate(op.args):
            start, stop = stop, stop + (s.shape[axis] if op.primitive is CONCATENATE else 0)
            section = self.allocation.sections.get(s) if span == "step" else None
            if section is None or section.whole is not op.outs[0]:
                part = slice(start, stop) if op.primitive is CONCATENATE else i
                place = out.viewed(View("index", (*before, part)))
                instructions.append(copy(place, self.operand(s, span)))
        return instructions

    def _carry_instructions(self) -> list[Instruction]:
        """Return instructions that write the carry where the next step reads it."""
        first, copies = [], []
        carry = {value for value, _ in self.loop.carried}
        for value, new in self.loop.carried:
            target = self.operand(value, "step")
            if not self.backward:
                target = Operand(target.buffer, "step", 1)
            if new is None:
                if self.backward:
                    copies.append(Instruction("zero", (target,)))
                continue
            source = self.operand(new, "step")
            if source == target:
                continue
            start = root(new, self.produced_by)
            if self.backward and start in carry and new is not value:
                # Another copy may overwrite the gradient before this one reads it.
                temporary = Operand(self.new_buffer("temporary", new.shape, new.dtype), "step")
                first.append(copy(temporary, source))
                source = temporary
            copies.append(copy(target, source))
        return first + copies

    # --- sums over time ---------------------------------------------------------------------------

    def _sum(self, value: Value, total: Buffer) -> Instruction:
        target = (Operand(total, "whole"),)
        if value in self.loop.scattered:
            op = self.produced_by[value]
            index = tree_map(lambda v: self._static(v, "chunk"), op.static["index"])
            static = {"index": index, "shape": value.shape}
            return Instruction(
                "add_scatter", target, (self.operand(op.args[0], "chunk"),), static=static
            )
        kind = "add_sum" if value in self.loop.varying else "add_repeated"
        return Instruction(kind, target, (self.operand(value, "chunk"),))  # type: ignore[arg-type]

    def _product(self, value: Value, total: Buffer) -> list[Instruction]:
        x, y = self.allocation.products[value]
        (first, a), (second, b) = self.operand.rows(x, "block"), self.operand.rows(y, "block")
        return [*first, *second, Instruction("add_product", (Operand(total, "whole"),), (a, b))]
