"""Fuse neighboring elementwise operations of one shape to kernels.

On a GPU every call launches a kernel, and every pass over an array reads and writes memory that a
fused kernel keeps in registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from ..executors.c_expressions import statement
from ..executors.cuda import FusedKernel
from ..ir import Op, Value
from ..schedule import LoopSchedule, Producers, Schedule, is_view

PARAMETER_BYTES = 3900
"""Maximum size of the parameters of a kernel. CUDA allows 4096 bytes, and CuPy adds an index."""


def fuse_elementwise(schedule: Schedule) -> Schedule:
    """Replace groups of elementwise operations by kernels in all sections but the hoisted one."""
    produced_by = schedule.producers
    backward = schedule.backward
    return replace(
        schedule,
        forward=_Fusion(schedule.forward, "forward", produced_by).run(),
        backward=backward and _Fusion(backward, "backward", produced_by).run(),
    )


class _Fusion:
    """The fusion of the operations of one loop."""

    def __init__(self, loop: LoopSchedule, name: str, produced_by: Producers) -> None:
        self.loop, self.produced_by = loop, produced_by
        self.names = (f"{name}{n}" for n in count())
        self.readers: dict[Value, set[Op]] = {}
        for op in loop.ops:
            for value in op.inputs:
                self.readers.setdefault(value, set()).add(op)

    def run(self) -> LoopSchedule:
        """Return the loop with kernels."""
        prologue, body, epilogue = (
            tuple(self._fused(ops))
            for ops in (self.loop.prologue, self.loop.body, self.loop.epilogue)
        )
        return replace(self.loop, prologue=prologue, body=body, epilogue=epilogue)

    def _fused(self, ops: Sequence[Op]) -> Iterator[Op]:
        for group in self._groups(ops):
            if isinstance(group, Op):
                yield group
                continue
            for part in self._with_room_for_parameters(group):
                inputs, outputs = self._interface(part)
                kernel = FusedKernel(next(self.names), part, inputs, outputs)
                yield Op(kernel, tuple(inputs), {}, tuple(outputs), returns_tuple=True)

    def _groups(self, ops: Sequence[Op]) -> Iterable[Op | list[Op]]:
        """Return the operations in another order, with lists of operations that form one kernel.

        The level of an operation is one above the operations that it waits for. An elementwise
        operation does not wait for elementwise operations of its own shape, and a view does not
        wait for an elementwise operation.
        """
        producers = {value: op for op in ops for value in op.outs}
        shapes = {op: op.outs[0].shape for op in ops if statement(op) is not None}
        levels: dict[Op, int] = {}
        views = {op for op in ops if is_view(op, self.produced_by)}
        for op in ops:
            found = [-1 if op in views else 0]
            for value in op.inputs:
                if (producer := producers.get(value)) is not None:
                    is_fused = producer in shapes and shapes[producer] == shapes.get(op)
                    found.append(levels[producer] + (not is_fused and op not in views))
            levels[op] = max(found)
        groups: dict[Any, list[Op]] = {}
        for op in sorted(ops, key=lambda op: (levels[op], op in views)):
            groups.setdefault((levels[op], shapes.get(op, op)), []).append(op)
        for group in groups.values():
            yield group if group[0] in shapes else group[0]

    def _with_room_for_parameters(self, ops: list[Op]) -> list[list[Op]]:
        """Return operations of one shape as groups that fit in the parameters of a kernel."""
        groups: list[list[Op]] = []
        for op in ops:
            if groups and self._fits([*groups[-1], op]):
                groups[-1].append(op)
            else:
                groups.append([op])
        return groups

    def _fits(self, group: list[Op]) -> bool:
        arrays = sum(map(len, self._interface(group)))
        bytes_per_array = 16 * (group[0].outs[0].ndim + 2)
        return arrays * bytes_per_array <= PARAMETER_BYTES

    def _interface(self, group: list[Op]) -> tuple[list[Value], list[Value]]:
        """Return the inputs of a group, and the results that other operations read."""
        computed = dict.fromkeys(value for op in group for value in op.outs)
        inputs = dict.fromkeys(v for op in group for v in op.inputs if v not in computed)
        members = set(group)
        results = self.loop.results
        outputs = [v for v in computed if v in results or self.readers.get(v, set()) - members]
        return list(inputs), outputs
