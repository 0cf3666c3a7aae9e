"""Executables compute what the graphs of a step define, for any number of steps and batch size."""

import gc
import threading
from typing import Any
from unittest import mock

import numpy as np
import pytest
from graphs import GraphBuilder, Reference, random_arrays
from loop_graphs import GRAPHS, SUM, elman, graphs, random_graphs

import autograd as ag
from autograd.compile.executors import interpreter, workspace
from autograd.compile.executors.executable import compile_graph, generalize
from autograd.compile.loop_program import Loop

pytestmark = pytest.mark.host

LENGTHS = (1, 2, 5, 13, 40)


def tolerance(arrays: list[Any]) -> float:
    return 5e-3 if any(a.dtype == "float16" for a in arrays) else 1e-12


def compare(actual: Any, expected: Any, rtol: float) -> None:
    """Compare lists of arrays, some of which may be None."""
    assert [a is None for a in actual] == [e is None for e in expected]
    for a, e in zip(actual, expected, strict=True):
        if e is not None:
            assert a.shape == e.shape
            np.testing.assert_allclose(a, e, rtol, rtol)


class Call:
    """A call of an executable with random arguments, and the results of the reference."""

    def __init__(self, pair: Any, steps: int, seed: int = 0) -> None:
        self.graph, self.backward = pair
        self.steps = steps
        self.carry = random_arrays(self.graph.carry, seed=seed)
        self.xs = random_arrays(self.graph.xs, steps, seed=seed + 1)
        self.captures = random_arrays(self.graph.captures, seed=seed + 2)
        self.d_last = random_arrays(self.backward.d_new_carry, seed=seed + 3)
        self.d_ys = random_arrays(self.backward.d_ys, steps, seed=seed + 4)

    def run(self, executable: Any, detach_points: tuple[int, ...] = ()) -> Any:
        """Return the results, and the gradients of two backward passes."""
        arguments = self.xs, self.captures
        *results, handle = executable.forward(self.carry, *arguments, self.steps, detach_points)
        gradients = [
            executable.backward(handle, *arguments, self.d_last, self.d_ys) for _ in range(2)
        ]
        return results, gradients

    def check(self, executable: Any, detach_points: tuple[int, ...] = ()) -> None:
        reference = Reference(self.graph, self.backward)
        expected = reference.forward(self.carry, self.xs, self.captures, self.steps)
        d_expected = reference.backward(self.d_last, self.d_ys, detach_points)
        results, gradients = self.run(executable, detach_points)
        rtol = tolerance(self.carry)
        for pair in zip(results, expected, strict=True):
            compare(*pair, rtol)
        for each in gradients:
            for pair in zip(each, d_expected, strict=True):
                compare(*pair, rtol)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("chunk_bytes", [1, 2000, 1 << 20])
def test_results_and_gradients(name: str, chunk_bytes: int) -> None:
    """In chunks of several sizes; lengths share workspaces, whose contents are overwritten."""
    pair = graphs(name)
    with mock.patch("autograd.compile.executors.runner.CHUNK_BYTES", chunk_bytes):
        executable = compile_graph(*pair)
        for steps in (*LENGTHS, *LENGTHS):
            Call(pair, steps, seed=steps).check(executable)


@pytest.mark.parametrize("seed", range(400))
def test_random_graphs(seed: int) -> None:
    pair = random_graphs(seed)
    with mock.patch("autograd.compile.executors.runner.CHUNK_BYTES", 1):
        executable, forward = compile_graph(*pair), compile_graph(pair[0], None)
    call = Call(pair, 9, seed)
    call.check(executable, (4,))
    Call(pair, 3, seed).check(executable)
    last, ys, _ = forward.forward(call.carry, call.xs, call.captures, 9)
    expected = Reference(pair[0], None).forward(call.carry, call.xs, call.captures, 9)
    compare([*last, *ys], [*expected[0], *expected[1]], 1e-12)


def test_sums_of_float16_do_not_overflow() -> None:
    """Neither within a step nor over steps."""
    b = GraphBuilder()
    h, x = b.value(3, 2, dtype="float16"), b.value(3, 2, dtype="float16")
    total = b.op(SUM, h, axes=(0,), keepdims=True)
    graph = b.forward([h], [x], [x], [h_like := b.value(1, 2, dtype="float16")], [total])
    g = b.value(3, 2, dtype="float16")
    d = b.op(SUM, b.op(ag.multiply, x, h_like), axes=(0,), keepdims=True)
    backward = b.backward([g], [None], [None], [None], [d])
    call = Call((graph, backward), 4)
    column = np.array([[6e4] * 2, [6e4] * 2, [-6e4] * 2], np.float16)
    call.carry, call.captures = [column], [np.ones((1, 2), np.float16)]
    call.xs = [np.stack([sign * column for sign in (1, 1, -1, -1)])]
    (_, ys), ((_, _, totals), _) = call.run(compile_graph(graph, backward))
    np.testing.assert_array_equal(ys[0][:, 0, 1], [6e4, 6e4, 6e4, -6e4])
    np.testing.assert_array_equal(totals[0], np.zeros((1, 2), np.float16))
    assert totals[0].dtype == np.float16


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_detach_points(name: str, chunk_bytes: int) -> None:
    pair = graphs(name)
    with mock.patch("autograd.compile.executors.runner.CHUNK_BYTES", chunk_bytes):
        executable = compile_graph(*pair)
        for points in [(0,), (3,), (2, 5, 11), (12,)]:
            Call(pair, 13).check(executable, points)


@pytest.mark.parametrize("name", GRAPHS)
def test_inputs_in_place(name: str) -> None:
    """The body reads large inputs in place, and small ones from copies."""
    pair = graphs(name)
    with mock.patch.object(interpreter, "MAX_COPIED_BYTES", 0):
        executable = compile_graph(*pair)
        for steps in LENGTHS:
            Call(pair, steps).check(executable, (1,) if steps > 2 else ())


@pytest.mark.parametrize("name", GRAPHS)
def test_forward_alone(name: str) -> None:
    """Without a backward pass, the buffers contain the steps of one chunk."""
    graph, backward = graphs(name)
    with mock.patch("autograd.compile.executors.runner.CHUNK_BYTES", 1):
        executable = compile_graph(graph, None)
    kinds = {buffer.kind for buffer in executable.program.buffers}
    assert "history" not in kinds
    for steps in LENGTHS:
        call = Call((graph, backward), steps)
        expected = Reference(graph, None).forward(call.carry, call.xs, call.captures, steps)
        last, ys, _ = executable.forward(call.carry, call.xs, call.captures, steps)
        compare(last, expected[0], tolerance(call.carry))
        compare(ys, expected[1], tolerance(call.carry))


@pytest.mark.parametrize("name", GRAPHS)
def test_results_share_no_memory_with_workspaces(name: str) -> None:
    pair = graphs(name)
    executable = compile_graph(*pair)
    call = Call(pair, 5)
    (last, ys, handle) = executable.forward(call.carry, call.xs, call.captures, 5)
    d_carry, d_xs, d_captures = executable.backward(
        handle, call.xs, call.captures, call.d_last, call.d_ys
    )
    found = [a for a in (*last, *ys, *d_carry, *d_xs, *d_captures) if isinstance(a, np.ndarray)]
    loops = handle.workspace.loops
    arrays = [
        *handle.workspace.arrays.values(),
        *[c for loop in loops for c in loop.copies.values()],
    ]
    given = (*call.carry, *call.xs, *call.captures, *call.d_last, *call.d_ys)
    for array in found:
        assert not any(np.may_share_memory(array, other) for other in arrays)
        assert not any(np.may_share_memory(array, other) for other in given)


def test_absent_gradients_are_zeros() -> None:
    pair = graphs("gates")
    call, executable = Call(pair, 6), compile_graph(*pair)
    handle = executable.forward(call.carry, call.xs, call.captures, 6)[-1]
    arguments = handle, call.xs, call.captures
    absent = executable.backward(*arguments, [None, call.d_last[1]], [None])
    zeros = executable.backward(
        *arguments, [0 * call.d_last[0], call.d_last[1]], [0 * call.d_ys[0]]
    )
    for pair_ in zip(absent, zeros, strict=True):
        compare(*pair_, 0)


# --- batch sizes ----------------------------------------------------------------------------------


def test_one_program_for_all_batch_sizes() -> None:
    pairs = {n: elman(GraphBuilder(), n) for n in (2, 3, 7, 64, 600)}
    executables = [compile_graph(*pairs[n]) for n in (2, 3)]
    general = generalize(executables[0], 2, executables[1], 3)
    assert general is not None
    assert "(B, 4)" in str(general.program)
    for n, pair in pairs.items():
        for steps in (1, 5, 70):
            Call(pair, steps, seed=n).check(general)
    assert general.layout(5).capacity == 8


def test_batch_sizes_that_differ_in_merged_activations() -> None:
    def gates_of(batch: int) -> Any:
        with mock.patch("loop_graphs.B", batch):
            return graphs("gates")

    executables = {n: compile_graph(*gates_of(n)) for n in (2, 400)}
    texts = {n: str(one.program) for n, one in executables.items()}
    assert texts[2].count("tanh") != texts[400].count("tanh") or "activate" in texts[2]
    general = generalize(executables[2], 2, executables[400], 400)
    assert general is not None
    for n in (2, 5, 400):
        Call(gates_of(n), 4).check(general)


def test_programs_of_different_steps_do_not_unite() -> None:
    first, second = compile_graph(*graphs("elman")), compile_graph(*graphs("gates"))
    assert generalize(first, 3, second, 4) is None
    doubled = compile_graph(*elman(GraphBuilder(), 6))
    assert generalize(first, 3, doubled, 5) is None  # the sizes are not multiples of 5
    assert generalize(first, 3, doubled, 6) is not None


def test_memory_of_many_batch_sizes_and_lengths_is_bounded() -> None:
    pairs = {n: elman(GraphBuilder(), n) for n in (2, 3)}
    general = generalize(*[x for n, p in pairs.items() for x in (compile_graph(*p), n)])
    assert general is not None
    pool = workspace._unused
    pool.clear()
    for n in range(2, 602):
        pair = elman(GraphBuilder(), n)
        Call(pair, 3).run(general)
    assert len(pool) <= 10
    assert len(general._runners) <= 8
    pool.clear()
    for steps in range(1, 300):
        Call(pairs[2], steps).run(general)
    capacities = {w.layout.capacity for w in pool}
    assert len(capacities) == len(pool) <= 10


# --- long scans, interruptions, threads -----------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_windows_of_long_scans(seed: int) -> None:
    pair = random_graphs(seed)
    with (
        mock.patch.object(interpreter, "MAX_BOUND_STEPS", 8),
        mock.patch("autograd.compile.executors.runner.CHUNK_BYTES", 1),
    ):
        executable = compile_graph(*pair)
        Call(pair, 18, seed).check(executable, (5, 12))
        Call(pair, 33, seed).check(executable)


def test_long_scans_bind_a_limited_number_of_steps() -> None:
    pair = graphs("elman")
    with (
        mock.patch.object(interpreter, "MAX_BOUND_STEPS", 8),
        mock.patch.object(interpreter, "MAX_BOUND_CHUNKS", 2),
        mock.patch("autograd.compile.executors.runner.CHUNK_BYTES", 1),
    ):
        executable = compile_graph(*pair)
        call = Call(pair, 50)
        handle = executable.forward(call.carry, call.xs, call.captures, 50)[-1]
        loops = handle.workspace.loops
        executable.backward(handle, call.xs, call.captures, call.d_last, call.d_ys)
        assert [len(loop._bodies) for loop in loops] == [1, 1]
        assert max(len(loop._chunks) for loop in loops) <= 2
        call.check(executable)
        call.check(executable, (7, 30))


def test_a_workspace_in_use_is_not_shared() -> None:
    pair = graphs("gates")
    executable, calls = compile_graph(*pair), [Call(pair, 5, seed) for seed in (0, 10)]
    handles = [executable.forward(c.carry, c.xs, c.captures, 5)[-1] for c in calls]
    assert handles[0].workspace is not handles[1].workspace
    found = [
        executable.backward(h, c.xs, c.captures, c.d_last, c.d_ys)
        for h, c in zip(handles, calls, strict=True)
    ]
    for call, gradients in zip(calls, found, strict=True):
        compare(gradients[0], call.run(executable)[1][0][0], 0)
    unused = handles[0].workspace
    assert unused not in workspace._unused
    del handles
    gc.collect()
    assert unused in workspace._unused


@pytest.mark.parametrize("name", ["_run", "apply_views"])
def test_an_interrupt_leaves_no_broken_workspace(name: str) -> None:
    pair = graphs("gates")
    executable, call = compile_graph(*pair), Call(pair, 6)
    real, calls = getattr(interpreter, name), []

    for limit in range(40):
        calls.clear()

        def interrupted(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) > limit:  # noqa: B023
                raise KeyboardInterrupt
            return real(*arguments, **options)

        try:
            with mock.patch.object(interpreter, name, interrupted):
                call.run(executable)
        except KeyboardInterrupt:
            call.check(executable)


def test_threads_share_an_executable() -> None:
    pair = graphs("gates")
    executable, errors = compile_graph(*pair), []

    def work(seed: int) -> None:
        try:
            for n in range(20):
                Call(pair, 1 + (seed + n) % 7, seed).check(executable)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_unknown_executors() -> None:
    with pytest.raises(ValueError, match="executor must be one of interpreter, cuda, got 'native'"):
        compile_graph(*graphs("elman"), executor="native")


def test_programs_print_every_section() -> None:
    program = compile_graph(*graphs("gates")).program
    text = str(program)
    for loop in program.loops:
        for section in Loop.__dataclass_fields__:
            if getattr(loop, section) and section != "backward":
                assert f"  {section}: " in text
    assert text.count("add_product(") == 1
