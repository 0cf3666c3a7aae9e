"""Loop programs: buffers, and the instructions of the forward and backward loop.

A loop program is all that an executor sees. Its operands are typed: a buffer, the steps to access,
and views of them. `lowering.lower` creates it from a schedule, and `str` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..core.primitive import Primitive
from ..core.pytree import flatten
from .buffers import Buffer, Span

# --- operands -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """A view of the array of one step.

    Attributes
    ----------
    kind : str
        "index" with a basic index, "transpose" with axes, "reshape" or "broadcast" with a shape,
        "rows" with the length of the last axis (all other axes, also the time, become one), or
        "bits" with the dtype as which the memory is read.
    argument : Any
    """

    kind: Literal["index", "transpose", "reshape", "broadcast", "rows", "bits"]
    argument: Any

    def __str__(self) -> str:
        if self.kind == "index":
            return f"[{', '.join(map(_index_text, self.argument))}]"
        name = {"broadcast": "broadcast_to", "bits": "view"}.get(self.kind, self.kind)
        return f".{name}({self.argument})"


@dataclass(frozen=True, slots=True)
class Operand:
    """An array that an instruction reads or writes.

    Attributes
    ----------
    buffer : Buffer
    span : Span
        The steps to access.
    offset : int
        1 for the step after the current one.
    views : tuple of View
        Views of the array of a step, applied from the first to the last.
    """

    buffer: Buffer
    span: Span
    offset: int = 0
    views: tuple[View, ...] = ()

    def viewed(self, *views: View) -> Operand:
        """Return a view of the operand."""
        return Operand(self.buffer, self.span, self.offset, (*self.views, *views))

    @property
    def is_external(self) -> bool:
        """True if the array is an argument or a result of the call."""
        return self.buffer.kind in ("input", "output", "capture", "total")

    def __str__(self) -> str:
        index = f"[t + {self.offset}]" if self.offset else "[t]"
        if self.span != "step":
            index = f"[{self.span}{f' + {self.offset}' * bool(self.offset)}]"
        if self.span == "whole" or self.buffer.kind in ("temporary", "hoisted", "capture"):
            index = ""
        return f"{self.buffer}{index}{''.join(map(str, self.views))}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as an argument; of a dtype, unless the array module determines it."""

    value: bool | int | float
    dtype: np.dtype[Any] | None = None

    def __str__(self) -> str:
        return repr(self.value)


# --- instructions ---------------------------------------------------------------------------------

Kind = Literal[
    "apply",  # outputs = primitive(inputs, static)
    "kernel",  # a fused kernel with inputs and outputs
    "dot",  # output = a @ b, of matrices
    "copy",  # output = input
    "zero",  # output = 0
    "add_sum",  # total += the sum of the input over its steps
    "add_repeated",  # total += the input, times the number of steps
    "add_product",  # total += a' b, of matrices
    "add_scatter",  # total[static["index"]] += input, with repeated indices
]


@dataclass(frozen=True, eq=False)
class Instruction:
    """One instruction. `static` may contain operands, such as index arrays."""

    kind: Kind
    outputs: tuple[Operand, ...]
    inputs: tuple[Operand | Number, ...] = ()
    primitive: Primitive | None = None
    static: Mapping[str, Any] = field(default_factory=dict)
    returns_tuple: bool = False

    @property
    def operands(self) -> Iterator[Operand]:
        """The operands in outputs, inputs and static parameters."""
        values = (*self.outputs, *self.inputs, *flatten(dict(self.static)))
        return (x for x in values if isinstance(x, Operand))

    def __str__(self) -> str:
        outputs = ", ".join(map(str, self.outputs))
        if self.kind == "copy":
            return f"{outputs} = {self.inputs[0]}"
        if self.kind == "zero":
            return f"{outputs} = 0"
        static = [f"{name}={_static_text(value)}" for name, value in self.static.items()]
        name = self.kind if self.primitive is None else self.primitive.name
        return f"{outputs} = {name}({', '.join([*map(str, self.inputs), *static])})"


@dataclass(frozen=True, eq=False)
class Loop:
    """The forward or the backward pass of a loop program.

    The hoisted instructions run once per call. The loop runs chunk by chunk: the prologue for all
    of its steps at once, the body step by step, and the epilogue for all steps at once. In the
    `backward` pass chunks and steps run in descending order.

    Attributes
    ----------
    hoisted, prologue, body, epilogue : tuple of Instruction
    advance : tuple of Instruction
        After each chunk, copy the carry to the begin of its buffer (forward pass alone).
    block : tuple of Instruction
        After each block of chunks: matrix products over its steps.
    detach : tuple of Instruction
        After the body of a step before which the history of the carry ends.
    """

    hoisted: tuple[Instruction, ...]
    prologue: tuple[Instruction, ...]
    body: tuple[Instruction, ...]
    epilogue: tuple[Instruction, ...]
    advance: tuple[Instruction, ...] = ()
    block: tuple[Instruction, ...] = ()
    detach: tuple[Instruction, ...] = ()
    backward: bool = False

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions of all sections."""
        return (
            *(*self.hoisted, *self.prologue, *self.body, *self.epilogue),
            *(*self.advance, *self.block, *self.detach),
        )


@dataclass(frozen=True, eq=False)
class LoopProgram:
    """The program of a scan.

    Attributes
    ----------
    buffers : tuple of Buffer
    forward : Loop
    backward : Loop or None
    carry : tuple of Buffer
        Position 0 receives the initial carry.
    xs, captures, ys : tuple of Buffer
        Arguments and results of the forward pass.
    constants : tuple of (Buffer, array)
    d_carry : tuple of Buffer or None
        Gradients of the carry: of the last carry before, and of the first after the backward pass.
    d_ys, d_xs, d_captures : tuple of Buffer or None
        Arguments and results of the backward pass; None where no gradient exists.
    """

    buffers: tuple[Buffer, ...]
    forward: Loop
    backward: Loop | None
    carry: tuple[Buffer, ...]
    xs: tuple[Buffer, ...]
    captures: tuple[Buffer, ...]
    constants: tuple[tuple[Buffer, Any], ...]
    ys: tuple[Buffer, ...]
    d_carry: tuple[Buffer | None, ...] = ()
    d_ys: tuple[Buffer | None, ...] = ()
    d_xs: tuple[Buffer | None, ...] = ()
    d_captures: tuple[Buffer | None, ...] = ()

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The forward and, if it exists, the backward loop."""
        return (self.forward,) if self.backward is None else (self.forward, self.backward)

    def __str__(self) -> str:
        return "\n\n".join([_interface(self), *map(_loop_text, self.loops)])


# --- printing -------------------------------------------------------------------------------------

_SECTIONS = {
    "hoisted": "once per call",
    "prologue": "for all steps of a chunk at once, before its loop",
    "body": "for each step t",
    "detach": "after a step where the history of the carry ends",
    "epilogue": "for all steps of a chunk at once, after its loop",
    "advance": "after each chunk",
    "block": "for all steps of a block of chunks at once",
}


def _loop_text(loop: Loop) -> str:
    name = "backward, from the last step to the first" if loop.backward else "forward"
    lines = [name]
    for section, title in _SECTIONS.items():
        if instructions := getattr(loop, section):
            lines += [f"  {section}: {title}", *[f"    {one}" for one in instructions]]
    return "\n".join(lines)


def _interface(program: LoopProgram) -> str:
    """Return the arguments and results as text, and the sizes of other buffers."""
    parts = {
        "carry": program.carry,
        "x": program.xs,
        "capture": program.captures,
        "constant": [buffer for buffer, _ in program.constants],
        "y": program.ys,
        "gradient of carry": program.d_carry,
        "gradient of y": program.d_ys,
        "gradient of x": program.d_xs,
        "gradient of capture": program.d_captures,
    }
    lines = ["buffers, with their shapes at one step"]
    named = dict.fromkeys(b for buffers in parts.values() for b in buffers)
    for title, buffers in parts.items():
        lines += [_buffer_text(b, title) for b in buffers if b is not None]
    lines += [_buffer_text(b, "") for b in program.buffers if b not in named]
    return "\n".join(lines)


def _buffer_text(buffer: Buffer, title: str) -> str:
    return f"  {buffer} {buffer.shape} {buffer.dtype}  {title}".rstrip()


def _index_text(part: Any) -> str:
    if not isinstance(part, slice):
        return str(part)
    start, stop = ("" if x is None else x for x in (part.start, part.stop))
    return f"{start}:{stop}" + (f":{part.step}" if part.step not in (None, 1) else "")


def _static_text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_static_text, value))}{',' * (len(value) == 1)})"
    return _index_text(value) if isinstance(value, slice) else str(value)
