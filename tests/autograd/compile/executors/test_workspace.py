"""The sizes of workspaces, and the pool of them."""

from typing import Any
from unittest import mock

import pytest
from graphs import CPU
from loop_graphs import graphs

from autograd.compile.executors import workspace
from autograd.compile.executors.workspace import Layout, Layouts, Workspace, acquire, release
from autograd.compile.lowering import lower
from autograd.compile.schedule import build_schedule

pytestmark = pytest.mark.host
PROGRAM = lower(build_schedule(*graphs("elman")))


@pytest.fixture(autouse=True)
def empty_pool() -> Any:
    with mock.patch.object(workspace, "_unused", []):
        yield


def test_capacities_below_a_chunk_are_powers_of_two() -> None:
    layouts = Layouts(PROGRAM, 1 << 20)
    for steps in range(1, 200):
        layout = layouts.layout(steps)
        assert steps <= layout.capacity < 2 * steps
        assert layout.capacity.bit_count() == 1
        assert layout.chunk == layout.capacity == layout.block


@pytest.mark.parametrize("chunk_bytes", [1, 5000])
def test_capacities_above_a_chunk_are_whole_chunks(chunk_bytes: int) -> None:
    layouts = Layouts(PROGRAM, chunk_bytes)
    layout = layouts.layout(10**6)
    assert layout.chunk == max(4, layouts._max_chunk)
    capacities = set()
    for steps in range(layout.chunk + 1, 20_000, 7):
        capacity, chunk, block = layouts.layout(steps)
        assert chunk == layout.chunk
        assert capacity % chunk == block % chunk == 0
        assert steps <= capacity <= 1.3 * steps + chunk
        capacities.add(capacity)
    assert len(capacities) < 50


def test_blocks_have_a_limited_size() -> None:
    with mock.patch.object(workspace, "BLOCK_BYTES", 3000):
        layout = Layouts(PROGRAM, 1).layout(10_000)
    each = sum(b.nbytes for b in PROGRAM.buffers if b.kind == "block")
    assert layout.block % layout.chunk == 0
    assert layout.block * each <= 3000 < (layout.block + layout.chunk) * each


def test_arrays_have_the_length_of_their_kind() -> None:
    layout = Layout(capacity=12, chunk=4, block=8)
    arrays = Workspace(PROGRAM, CPU, layout).arrays
    lengths = {"history": 12, "chunk": 4, "block": 8}
    for buffer, array in arrays.items():
        if buffer.kind in lengths:
            assert array.shape == (lengths[buffer.kind] + buffer.extra_steps, *buffer.shape)
        else:
            assert array.shape == buffer.shape
            assert buffer.kind in ("temporary", "hoisted", "constant")


def test_the_pool_finds_workspaces_of_equal_size() -> None:
    layouts = Layouts(PROGRAM, 1 << 20)
    small, large = (Workspace(PROGRAM, CPU, layouts.layout(n)) for n in (3, 9))
    for one in (small, large):
        release(one)
    assert acquire(PROGRAM, layouts.layout(5)) is None
    assert acquire(PROGRAM, layouts.layout(4)) is small
    assert acquire(PROGRAM, layouts.layout(4)) is None
    other = lower(build_schedule(*graphs("elman")))
    assert acquire(other, layouts.layout(9)) is None
    assert acquire(PROGRAM, layouts.layout(16)) is large


def test_the_pool_drops_the_oldest_workspaces() -> None:
    layout = Layouts(PROGRAM, 1 << 20).layout(10)
    first, second, third = (Workspace(PROGRAM, CPU, layout) for _ in range(3))
    with mock.patch.object(workspace, "POOL_BYTES", 2 * first.nbytes):
        for one in (first, second, third):
            release(one)
        assert workspace._unused == [second, third]
    with mock.patch.object(workspace, "POOL_BYTES", first.nbytes - 1):
        release(first)
        assert workspace._unused == [second, third]
    workspace.discard(PROGRAM)
    assert workspace._unused == []
