"""Operands: the buffer, the steps and the views through which an instruction accesses a value."""

from __future__ import annotations

from typing import Any

from .buffers import Buffer, Kind, LoopBuffers, NewBuffer, Span
from .ir import Op, Value
from .loop_program import Instruction, Operand, View
from .schedule import (
    BROADCAST,
    GETITEM,
    RESHAPE,
    REVERSED_AXES,
    SPLIT,
    TRANSPOSE,
    Producers,
)

_KINDS: dict[Span, Kind] = {
    "step": "temporary",
    "chunk": "chunk",
    "block": "block",
    "whole": "hoisted",
}
"""The kinds of the buffers for copies of operands."""


class Operands:
    """The operands of the values of one loop: a call returns the operand of a value.

    Parameters
    ----------
    varying : set of Value
        The values that differ from step to step.
    produced_by : dict of Value to Op
    allocation : LoopBuffers
    arguments : dict of Value to Buffer
        The arguments of the scan and the constants.
    new_buffer : callable
        Creates the buffers of `copies`.

    Attributes
    ----------
    copies : dict
        The instructions that copy loop-invariant arguments for the body, with their results.
    """

    def __init__(
        self,
        varying: frozenset[Value],
        produced_by: Producers,
        allocation: LoopBuffers,
        arguments: dict[Value, Buffer],
        new_buffer: NewBuffer,
    ) -> None:
        self.varying, self.produced_by, self.allocation = varying, produced_by, allocation
        self.arguments, self.new_buffer = arguments, new_buffer
        self.copies: dict[Any, tuple[Operand, Instruction]] = {}

    def __call__(self, value: Value, span: Span) -> Operand:
        """Return a value as an operand."""
        varies = value in self.varying
        views: list[View] = []
        locations = self.allocation.locations[span if varies else "whole"]
        while value not in locations and value not in self.arguments:
            if value in self.allocation.sections:
                section = self.allocation.sections[value]
                index = (*[slice(None)] * section.axis, slice(section.start, section.stop))
                views.append(View("index", index))
                value = section.whole
            else:
                op = self.produced_by[value]
                views += _views(op, value)[::-1]
                value = op.args[0]
        if not varies:
            return self._invariant(value, span).viewed(*views[::-1])
        if value in locations:
            location = locations[value]
            operand = Operand(location.buffer, span, location.offset)
        else:
            operand = Operand(self.arguments[value], span)
        return operand.viewed(*views[::-1])

    def _invariant(self, value: Value, span: Span) -> Operand:
        """Return a loop-invariant value as an operand: for the body, a copy of a capture."""
        hoisted = self.allocation.locations["whole"].get(value)
        operand = Operand(self.arguments[value] if hoisted is None else hoisted.buffer, "whole")
        if span == "step" and operand.is_external:
            return self._copy(value, operand)
        return operand

    def matrix(self, value: Value, span: Span, transposed: bool = False) -> Operand:
        """Return the second factor of a product; in the body, contiguous if it is invariant."""
        transpose = [View("transpose", (1, 0))] * transposed
        if span != "step" or value in self.varying:
            return self(value, span).viewed(*transpose)
        source = self(value, "whole").viewed(*transpose)
        if not source.views and source.buffer.kind == "hoisted":
            return source
        return self._copy(value, source, transposed, contiguous=True)

    def rows(self, value: Value, span: Span) -> tuple[list[Instruction], Operand]:
        """Return a value as a matrix, and the instructions that copy it if that is necessary.

        The time and all axes but the last one become the rows of the matrix.
        """
        operand, instructions = self(value, span), []
        if value.ndim > 1 and not _has_rows(operand.views, value.ndim):
            target = Operand(self.new_buffer(_KINDS[span], value.shape, value.dtype), span)
            instructions, operand = [copy(target, operand)], target
        return instructions, operand.viewed(View("rows", value.shape[-1]))

    def _copy(
        self,
        value: Value,
        source: Operand,
        transposed: bool = False,
        contiguous: bool = False,
    ) -> Operand:
        """Return a buffer to which a loop-invariant operand is copied once per call."""
        key = value, transposed, contiguous
        if key not in self.copies:
            shape = value.shape[::-1] if transposed else value.shape
            operand = Operand(self.new_buffer("hoisted", shape, value.dtype), "whole")
            self.copies[key] = operand, copy(operand, source)
        return self.copies[key][0]

    def copied_gradient(self, g: Value) -> Operand:
        """Return the copy of a carried gradient at the current step."""
        return Operand(self.allocation.locations["chunk"][g].buffer, "step")


def copy(target: Operand, source: Operand) -> Instruction:
    """Return an instruction that copies an operand to another."""
    return Instruction("copy", (target,), (source,))


def _has_rows(views: tuple[View, ...], ndim: int) -> bool:
    """True if the axes of a view of a contiguous array, except the last one, can be merged."""
    full = slice(None)
    return all(
        view.kind == "reshape"
        or (
            view.kind == "index"
            and len(view.argument) <= ndim
            and all(part == full for part in view.argument[: ndim - 1])
            and all(isinstance(part, slice) for part in view.argument)
        )
        for view in views
    )


def _views(op: Op, value: Value) -> list[View]:
    """Return the views of its argument that compute a result of an operation."""
    x, static = op.args[0], op.static
    if op.primitive is RESHAPE:
        return [View("reshape", value.shape)]
    if op.primitive is BROADCAST:
        axes = View("index", (None,) * (value.ndim - x.ndim))
        return [axes] * (value.ndim > x.ndim) + [View("broadcast", value.shape)]
    if op.primitive is TRANSPOSE:
        return [View("transpose", tuple([axis % x.ndim for axis in static["axes"]]))]
    if op.primitive is REVERSED_AXES:
        return [View("transpose", tuple(range(x.ndim))[::-1])]
    if op.primitive is GETITEM:
        return [View("index", _full_index(static["index"], x.ndim))]
    axis, i = static["axis"] % x.ndim, op.outs.index(value)
    part: int | slice = i
    if op.primitive is SPLIT:
        bounds = (0, *static["indices"], x.shape[axis])
        part = slice(bounds[i], bounds[i + 1])
    return [View("index", (*[slice(None)] * axis, part))]


def _full_index(index: Any, ndim: int) -> tuple[Any, ...]:
    """Return a basic index without Ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    if ... not in parts:
        return parts
    place = parts.index(...)
    axes = ndim - sum(p is not None and p is not ... for p in parts)
    return (*parts[:place], *[slice(None)] * axes, *parts[place + 1 :])
