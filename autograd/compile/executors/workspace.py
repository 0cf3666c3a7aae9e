"""Workspaces: the arrays of a loop program, for up to a number of steps, and the pool of them.

A workspace belongs to one graph node as long as that exists, and returns to the pool afterwards.
Arrays that the caller receives are never part of one.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, NamedTuple

from ... import backend
from ..buffers import Buffer
from ..loop_program import Loop, LoopProgram

CHUNK_BYTES = 1 << 20
"""Approximate bytes of the buffers for the steps of a chunk: they remain in the cache."""

KERNEL_CHUNK_BYTES = 1 << 25
"""Approximate bytes of these buffers for GPU kernels: a launch costs more than a cache saves."""

BLOCK_BYTES = 1 << 25
"""Maximum number of bytes of the buffers for the steps of a block."""

POOL_BYTES = 1 << 28
"""Maximum number of bytes of unused workspaces in the pool."""

MIN_CHUNK_STEPS = 4
MAX_KNOWN_LAYOUTS = 1000


def loop_buffers(loop: Loop) -> list[Buffer]:
    """Return the buffers that the instructions of a loop refer to."""
    return list(dict.fromkeys(x.buffer for one in loop.instructions for x in one.operands))


class Layout(NamedTuple):
    """The number of steps of the buffers: `capacity` steps, in chunks and blocks of chunks."""

    capacity: int
    chunk: int
    block: int


class Layouts:
    """The layouts of a program. Capacities are rounded up, so that few workspaces serve calls of
    many lengths.
    """

    def __init__(self, program: LoopProgram, chunk_bytes: int) -> None:
        sizes = [
            sum(b.nbytes for b in loop_buffers(loop) if b.kind in ("history", "chunk"))
            for loop in program.loops
        ]
        self._max_chunk = max(chunk_bytes // max(*sizes, 1), MIN_CHUNK_STEPS)
        block_size = sum(b.nbytes for b in program.buffers if b.kind == "block")
        self._max_block = BLOCK_BYTES // max(block_size, 1)
        self._known: dict[int, Layout] = {}

    def layout(self, steps: int) -> Layout:
        """Return the layout for a number of steps."""
        found = self._known.get(steps)
        if found is None:
            if len(self._known) > MAX_KNOWN_LAYOUTS:
                self._known = {}
            found = self._known[steps] = self._new_layout(steps)
        return found

    def _new_layout(self, steps: int) -> Layout:
        chunk = self._max_chunk
        if steps <= chunk:
            chunk = capacity = min(1 << (steps - 1).bit_length(), chunk)
        else:
            chunks = -(-steps // chunk)
            unit = 1 << max(chunks.bit_length() - 3, 0)  # round to three significant bits
            capacity = -(-chunks // unit) * unit * chunk
        chunks = min(self._max_block, capacity) // chunk
        return Layout(capacity, chunk, max(chunks, 1) * chunk)


class Workspace:
    """The arrays of a program, allocated but not initialized."""

    def __init__(
        self, program: LoopProgram, array_backend: backend.Backend, layout: Layout
    ) -> None:
        self.program, self.layout = program, layout
        self.lock = threading.Lock()
        """Held by a backward pass: several threads may differentiate one graph."""
        self.nbytes = 0
        self.arrays: dict[Buffer, Any] = {}
        lengths = {"history": layout.capacity, "chunk": layout.chunk, "block": layout.block}
        for buffer in program.buffers:
            shape = buffer.shape
            if buffer.kind in lengths:
                shape = (lengths[buffer.kind] + buffer.extra_steps, *shape)
            elif buffer.kind not in ("temporary", "hoisted"):
                continue
            self.arrays[buffer] = array_backend.xp.empty(shape, buffer.dtype)
            self.nbytes += self.arrays[buffer].nbytes
        self.arrays.update(program.constants)
        self.histories = [self.arrays[b] for b in program.buffers if b.kind == "history"]
        """The arrays of the carry and the residuals."""
        self.loops: list[Any] = []  # the loops of an executor, bound to these arrays


class WorkspaceHandle:
    """A reference to a workspace in use: the workspace is released when the handle is deleted."""

    def __init__(
        self, runner: Any, workspace: Workspace, steps: int, detach_points: tuple[int, ...] = ()
    ) -> None:
        self.runner: Any = runner
        self.workspace = workspace
        self.steps, self.detach_points = steps, detach_points

    def __del__(self) -> None:
        workspace = getattr(self, "workspace", None)
        if workspace is not None:  # an interrupt may have ended `__init__`
            release(workspace)


_unused: list[Workspace] = []
"""The unused workspaces, the newest last."""


def acquire(program: LoopProgram, layout: Layout) -> Workspace | None:
    """Return an unused workspace of the pool; None if there is none."""
    for workspace in _unused[::-1]:
        if workspace.program is program and workspace.layout == layout:
            try:
                _unused.remove(workspace)
            except ValueError:  # another thread has taken it
                continue
            return workspace
    return None


def release(workspace: Workspace) -> None:
    """Return a workspace to the pool, which holds the newest ones, at most POOL_BYTES."""
    room = POOL_BYTES - workspace.nbytes
    if room < 0:
        return
    for other in _unused[::-1]:
        room -= other.nbytes
        if room < 0:
            with suppress(ValueError):  # another thread has removed it
                _unused.remove(other)
    _unused.append(workspace)


def discard(program: LoopProgram) -> None:
    """Remove the unused workspaces of a program from the pool."""
    for workspace in [w for w in _unused if w.program is program]:
        with suppress(ValueError):  # another thread has taken it
            _unused.remove(workspace)
