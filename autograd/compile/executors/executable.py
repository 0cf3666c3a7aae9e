"""Executables: compiled steps, for one batch size or for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..generalize import batch_axis, for_batch, union
from ..ir import BackwardGraph, StepGraph
from ..loop_program import LoopProgram
from ..lowering import lower
from ..passes import PASSES, Pass, run_passes
from ..passes.merge_activations import merge_activations
from ..schedule import build_schedule
from .runner import Runner
from .workspace import Layout, WorkspaceHandle, discard

MAX_BATCH_SIZES = 8
"""Maximum number of batch sizes for which a program with a symbolic batch size is ready to run."""


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
    return Executable(graph, backward, executor)


def generalize(
    first: Executable, first_size: int, second: Executable, second_size: int
) -> Executable | None:
    """Return an executable for all batch sizes, from the executables of a step for two of them.

    Returns
    -------
    Executable or None
        None if the programs differ in more than sizes proportional to the batch size.
    """
    program = union(first.program, first_size, second.program, second_size)
    if program is None:  # the size of an array decides whether its activations are merged
        first, second = first.without(merge_activations), second.without(merge_activations)
        program = union(first.program, first_size, second.program, second_size)
    if program is None:
        return None
    return first.for_all_batch_sizes(program, first_size)


class Executable:
    """A compiled step.

    Attributes
    ----------
    schedule : Schedule
        Of one of the batch sizes, if the batch size is symbolic.
    program : LoopProgram
    executor : str
    """

    def __init__(
        self,
        graph: StepGraph,
        backward: BackwardGraph | None,
        executor: str,
        passes: Sequence[Pass] | None = None,
        general: tuple[LoopProgram, int] | None = None,
    ) -> None:
        self._graphs, self.executor, self.backend = (graph, backward), executor, graph.backend
        self._passes = PASSES[executor] if passes is None else passes
        self.schedule = run_passes(build_schedule(graph, backward), self._passes)
        self._batch_size: int | None
        self.program, self._batch_size = general or (lower(self.schedule), None)
        self._batch_axis = batch_axis(self.program.carry, self.program.xs)
        self._runners: dict[int | None, Runner] = {}  # by batch size, in the order of creation

    def without(self, one: Pass) -> Executable:
        """Return the executable without one of the passes."""
        passes = [other for other in self._passes if other is not one]
        return Executable(*self._graphs, self.executor, passes)

    def of_graphs(self, graph: StepGraph, backward: BackwardGraph | None) -> Executable:
        """Return the executable of other graphs, with the same passes."""
        return Executable(graph, backward, self.executor, self._passes)

    def for_all_batch_sizes(self, program: LoopProgram, size: int) -> Executable:
        """Return this executable with a program that has a symbolic batch size."""
        return Executable(*self._graphs, self.executor, self._passes, (program, size))

    def layout(self, steps: int) -> Layout:
        """Return the sizes of the buffers at the batch size of `schedule`."""
        return self._runner(self._batch_size).layouts.layout(steps)

    def batch_size_of(self, carry: Sequence[Any], xs: Sequence[Any]) -> int | None:
        """Return the batch size of arguments; None if the program has a fixed one."""
        if self._batch_axis is None:
            return None
        is_input, position, axis, factor = self._batch_axis
        array = xs[position] if is_input else carry[position]
        return int(array.shape[axis + is_input]) // factor

    def _runner(self, size: int | None) -> Runner:
        """Return the runner for a batch size."""
        found = self._runners.get(size)
        if found is not None:
            return found
        program = self.program if size is None else for_batch(self.program, size, self.backend)
        runner = Runner(program, self.backend, self.executor == "cuda")
        runners = {**self._runners, size: runner}  # another thread may be reading the old one
        while len(runners) > MAX_BATCH_SIZES:
            discard(runners.pop(next(iter(runners))).program)
        self._runners = runners
        return runner

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
        runner = self._runner(self.batch_size_of(carry, xs))
        return runner.forward(carry, xs, captures, steps, detach_points)

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
        gradients = handle.runner.backward(handle, xs, captures, d_last_carry, d_ys)
        return gradients  # type: ignore[no-any-return]
