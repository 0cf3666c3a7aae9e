"""The runner of a loop program: binds the arguments of a scan, and returns new arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ... import backend
from ...runtime.context import run_locked
from ..loop_program import LoopProgram
from .interpreter import BoundLoop, LoopCalls
from .workspace import (
    CHUNK_BYTES,
    KERNEL_CHUNK_BYTES,
    Layout,
    Layouts,
    Workspace,
    WorkspaceHandle,
    acquire,
)


class Runner:
    """Runs a loop program whose sizes are known, with workspaces of the pool."""

    def __init__(
        self, program: LoopProgram, array_backend: backend.Backend, uses_kernels: bool
    ) -> None:
        self.program, self.backend = program, array_backend
        self.layouts = Layouts(program, KERNEL_CHUNK_BYTES if uses_kernels else CHUNK_BYTES)
        self._calls: list[LoopCalls] = []
        self._arguments = (*program.xs, *program.captures)

    def forward(
        self,
        carry: Sequence[Any],
        xs: Sequence[Any],
        captures: Sequence[Any],
        steps: int,
        detach_points: tuple[int, ...] = (),
    ) -> tuple[list[Any], list[Any], WorkspaceHandle]:
        """Run the forward pass; see `Executable.forward`."""
        program, xp = self.program, self.backend.xp
        layout = self.layouts.layout(steps)
        workspace = acquire(program, layout) or self._new_workspace(layout)
        for buffer, array in zip(program.carry, carry, strict=True):
            workspace.arrays[buffer][0] = array
        ys = [xp.empty((steps, *buffer.shape), buffer.dtype) for buffer in program.ys]
        external = dict(zip(self._arguments, (*xs, *captures), strict=True))
        external.update(zip(program.ys, ys, strict=True))
        workspace.loops[0].run(external, steps)
        position = steps if program.carry and program.carry[0].kind == "history" else 0
        last_carry = [workspace.arrays[buffer][position, ...].copy() for buffer in program.carry]
        return last_carry, ys, WorkspaceHandle(self, workspace, steps, detach_points)

    def backward(
        self,
        handle: WorkspaceHandle,
        xs: Sequence[Any],
        captures: Sequence[Any],
        d_last_carry: Sequence[Any],
        d_ys: Sequence[Any],
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Run the backward pass; see `Executable.backward`."""
        run = partial(self._backward, handle, xs, captures, d_last_carry, d_ys)
        return run_locked(handle.workspace.lock, run)

    def _backward(
        self,
        handle: WorkspaceHandle,
        xs: Sequence[Any],
        captures: Sequence[Any],
        d_last_carry: Sequence[Any],
        d_ys: Sequence[Any],
    ) -> tuple[list[Any], list[Any], list[Any]]:
        program, xp = self.program, self.backend.xp
        arrays, steps = handle.workspace.arrays, handle.steps
        external: dict[Any, Any] = dict(zip(self._arguments, (*xs, *captures), strict=True))
        for buffer, gradient in zip(program.d_carry, d_last_carry, strict=True):
            if buffer is not None:
                arrays[buffer][...] = 0 if gradient is None else gradient
        for buffer, gradient in zip(program.d_ys, d_ys, strict=True):
            if buffer is not None:
                shape = (steps, *buffer.shape)
                external[buffer] = xp.zeros(shape, buffer.dtype) if gradient is None else gradient
        d_xs = [b if b is None else xp.empty((steps, *b.shape), b.dtype) for b in program.d_xs]
        totals: dict[Any, Any] = {b: [None] for b in program.d_captures if b is not None}
        external.update(zip(program.d_xs, d_xs, strict=True))
        external.update(totals)
        handle.workspace.loops[1].run(external, steps, handle.detach_points)
        d_carry = [b if b is None else arrays[b].copy() for b in program.d_carry]
        sums = {b: self.backend.asarray(total[0], b.dtype) for b, total in totals.items()}
        d_captures = [
            b if b is None else sums[b] if program.d_captures.index(b) == i else sums[b].copy()
            for i, b in enumerate(program.d_captures)
        ]
        return d_carry, d_xs, d_captures

    def _new_workspace(self, layout: Layout) -> Workspace:
        if not self._calls:
            self._calls = [LoopCalls(loop, self.backend) for loop in self.program.loops]
        workspace = Workspace(self.program, self.backend, layout)
        workspace.loops = [BoundLoop(calls, workspace) for calls in self._calls]
        return workspace
