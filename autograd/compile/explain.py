"""Explanations: how a scan is executed, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .executors.executable import Executable
from .ir import Op, Value
from .passes import PASSES
from .schedule import LoopSchedule

SECTIONS = {
    "hoisted": "once per call",
    "prologue": "for all steps of a chunk at once, before its loop",
    "body": "at every step",
    "epilogue": "for all steps of a chunk at once, after its loop",
}


DEVICE_EXECUTORS = {"cpu": "interpreter", "cuda": "cuda"}


def executor_name(executor: str | None, device: str | None) -> str | None:
    """Return the executor that the arguments of `explain` select; None for the default.

    Raises
    ------
    ValueError
        If both are given, or one is unknown.
    """
    if device is not None:
        kind = device.partition(":")[0]
        if executor is not None:
            raise ValueError("explain: pass executor or its alias device, not both")
        if kind not in DEVICE_EXECUTORS:
            raise ValueError(f"explain: device must be 'cpu' or 'cuda', got {device!r}")
        return DEVICE_EXECUTORS[kind]
    if executor is not None and executor not in PASSES:
        names = ", ".join(map(repr, PASSES))
        raise ValueError(f"explain: executor must be one of {names}, got {executor!r}")
    return executor


class Explanation:
    """Description of the execution of a scan: `print` shows its operations and loop program.

    Attributes
    ----------
    compiled : bool
        True if the scan is compiled.
    why : str
        The reason why it is not compiled.
    kernels : list
        The fused kernels of the executor "cuda".
    """

    def __init__(self, executable: Executable | None, steps: int, why: str = "") -> None:
        self.compiled, self.why = executable is not None, why
        self.kernels: list[Any] = []
        if executable is None:
            self._text = f"executed eagerly, step by step: {why}"
            return
        instructions = [one for loop in executable.program.loops for one in loop.instructions]
        self.kernels = [one.primitive for one in instructions if one.kind == "kernel"]
        self._text = _text(executable, steps, self.kernels)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        reason = "" if self.compiled else f", why={self.why!r}"
        lines = len(self._text.splitlines())
        return f"Explanation(compiled={self.compiled}{reason}; print() shows {lines} lines)"


def _text(executable: Executable, steps: int, kernels: list[Any]) -> str:
    schedule, program = executable.schedule, executable.program
    parts = [_head(executable, steps), *_sections("forward", schedule.forward)]
    if schedule.backward is not None:
        parts += _sections("backward", schedule.backward)
        residuals = [*schedule.graph.carry, *schedule.residuals]
        size = sum(b.nbytes for b in program.buffers if b.kind == "history")
        parts.append("\n".join([f"residuals: {size} bytes per step", *_values("", residuals)]))
    return "\n\n".join([*parts, str(program), *map(str, kernels)])


def _head(executable: Executable, steps: int) -> str:
    graph = executable.schedule.graph
    passes = "forward" if executable.program.backward is None else "forward and backward"
    chunk = executable.layout(steps).chunk
    title = f"compiled for the executor {executable.executor}, {passes}"
    return "\n".join(
        [
            f"{title}; {steps} steps in chunks of {min(chunk, steps)}",
            *_values("carry", graph.carry),
            *_values("x", graph.xs),
            *_values("capture", graph.captures),
            *_values("new carry", graph.new_carry),
            *_values("y", graph.ys),
        ]
    )


def _sections(name: str, loop: LoopSchedule) -> Iterable[str]:
    for section, when in SECTIONS.items():
        ops: tuple[Op, ...] = getattr(loop, section)
        if ops:
            yield "\n".join([f"{name}, {when}", *[line for op in ops for line in _lines(op)]])


def _lines(op: Op) -> list[str]:
    """Return an operation and, below a fused kernel, its operations."""
    inner = getattr(op.primitive, "ops", ())
    return [f"    {op}", *[f"        {one}" for one in inner]]


def _values(title: str, values: Iterable[Value]) -> list[str]:
    return [f"    {v} {v.shape} {v.dtype}  {title}".rstrip() for v in values]
