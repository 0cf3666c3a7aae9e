"""Executables: the loop program of a step, and the arrays and bound calls that run it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...runtime.context import run_locked
from ..ir import BackwardGraph, StepGraph
from ..loop_program import LoopProgram
from ..lowering import lower
from ..passes import PASSES, run_passes
from ..schedule import Schedule, build_schedule
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


def compile_graph(
    graph: StepGraph, backward: BackwardGraph | None, executor: str | None = None
) -> Executable:
    """Compile the graphs of a step.

    Parameters
    ----------
    graph : StepGraph
    backward : BackwardGraph or None
        None if nothing is differentiated.
    executor : {"interpreter", "cuda"}, optional
        By default determined by the backend of the arrays.

    Returns
    -------
    Executable

    Raises
    ------
    ValueError
        If the executor does not exist.
    """
    if executor is None:
        executor = "cuda" if graph.backend.supports_kernels else "interpreter"
    if executor not in PASSES:
        raise ValueError(f"executor must be one of {', '.join(PASSES)}, got {executor!r}")
    schedule = run_passes(build_schedule(graph, backward), executor)
    return Executable(schedule, executor)


class Executable:
    """A compiled step.

    Attributes
    ----------
    schedule : Schedule
    program : LoopProgram
    executor : str
    """

    def __init__(self, schedule: Schedule, executor: str) -> None:
        self.schedule, self.executor = schedule, executor
        self.program: LoopProgram = lower(schedule)
        self.backend = schedule.graph.backend
        self.layouts = Layouts(
            self.program, KERNEL_CHUNK_BYTES if executor == "cuda" else CHUNK_BYTES
        )
        self._calls: list[LoopCalls] = []

    def forward(
        self,
        carry: Sequence[Any],
        xs: Sequence[Any],
        captures: Sequence[Any],
        steps: int,
        detach_points: tuple[int, ...] = (),
    ) -> tuple[list[Any], list[Any], WorkspaceHandle]:
        """Run the forward pass.

        Parameters
        ----------
        carry, xs, captures : sequence of array
            The leaves of the initial carry, of the inputs with the time as first axis, in the order
            of execution, and of the loop-invariant arguments.
        steps : int
        detach_points : tuple of int
            Steps before which the history of the carry ends.

        Returns
        -------
        last_carry, ys : list of array
            New arrays.
        handle : WorkspaceHandle
            For the backward pass.
        """
        program, xp = self.program, self.backend.xp
        layout = self.layouts.layout(steps)
        workspace = acquire(program, layout, partial(self._new_workspace, layout))
        for buffer, array in zip(program.carry, carry, strict=True):
            workspace.arrays[buffer][0] = array
        ys = [xp.empty((steps, *buffer.shape), buffer.dtype) for buffer in program.ys]
        external = dict(zip(program.xs, xs, strict=True))
        external.update(zip(program.captures, captures, strict=True))
        external.update(zip(program.ys, ys, strict=True))
        workspace.loops[0].run(external, steps)
        position = steps if program.carry and program.carry[0].kind == "history" else 0
        last_carry = [workspace.arrays[buffer][position, ...].copy() for buffer in program.carry]
        return last_carry, ys, WorkspaceHandle(workspace, steps, detach_points)

    def backward(
        self,
        handle: WorkspaceHandle,
        xs: Sequence[Any],
        captures: Sequence[Any],
        d_last_carry: Sequence[Any],
        d_ys: Sequence[Any],
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Run the backward pass.

        Parameters
        ----------
        handle : WorkspaceHandle
            From the forward pass; it may be used several times.
        xs, captures : sequence of array
            The same as in the forward pass.
        d_last_carry, d_ys : sequence of (array or None)
            Gradients of the results. None is treated as zeros.

        Returns
        -------
        d_carry, d_xs, d_captures : list of (array or None)
            Gradients of the arguments, new arrays; None where no gradient exists.
        """
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
        external: dict[Any, Any] = dict(zip(program.xs, xs, strict=True))
        external.update(zip(program.captures, captures, strict=True))
        for buffer, gradient in zip(program.d_carry, d_last_carry, strict=True):
            if buffer is not None:
                arrays[buffer][...] = 0 if gradient is None else gradient
        for buffer, gradient in zip(program.d_ys, d_ys, strict=True):
            if buffer is not None:
                shape = (steps, *buffer.shape)
                external[buffer] = xp.zeros(shape, buffer.dtype) if gradient is None else gradient
        d_xs = [b if b is None else xp.empty((steps, *b.shape), b.dtype) for b in program.d_xs]
        totals: list[Any] = [b if b is None else [None] for b in program.d_captures]
        external.update(zip(program.d_xs, d_xs, strict=True))
        external.update(zip(program.d_captures, totals, strict=True))
        handle.workspace.loops[1].run(external, steps, handle.detach_points)
        d_carry = [b if b is None else arrays[b].copy() for b in program.d_carry]
        d_captures = [total if total is None else total[0] for total in totals]
        return d_carry, d_xs, d_captures

    def _new_workspace(self, layout: Layout) -> Workspace:
        if not self._calls:
            self._calls = [LoopCalls(loop, self.backend) for loop in self.program.loops]
        workspace = Workspace(self.program, self.backend, layout)
        workspace.loops = [BoundLoop(calls, workspace) for calls in self._calls]
        return workspace
