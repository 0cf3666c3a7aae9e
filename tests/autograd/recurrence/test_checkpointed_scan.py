"""A checkpointed scan has the results, gradients and dropout masks of a scan, in less memory."""

import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers import on_host
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn.nn.functional import dropout

B, N = 2, 3

OPTIONS = st.fixed_dictionaries(
    {"reverse": st.booleans()},
    optional={
        "lengths": st.lists(st.integers(0, 6), min_size=B, max_size=B),
        "detach_every": st.integers(1, 4),
    },
)
MEMORY = st.one_of(
    st.fixed_dictionaries({"checkpoint": st.one_of(st.integers(1, 9), st.just("sqrt"))}),
    st.fixed_dictionaries({"memory_budget": st.integers(20_000, 80_000)}),
)


class Problem:
    """A scan with parameters, two carries, dropout, and nested xs and ys."""

    def __init__(self, steps: int) -> None:
        rng = np.random.default_rng(steps)
        shapes = (N, N), (N, N), (B, N), (steps, B, N), (steps, B)
        self.leaves = [ag.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]

    def run(self, leaves: Any = None, **options: Any) -> Any:
        weight, other, start, x, scale = self.leaves if leaves is None else leaves

        def step(carry: Any, x: Any) -> Any:
            h, c = carry
            z, s = x
            h = ag.tanh(z + dropout(h, 0.5) @ other) + 0.5 * c
            return (h, c * ag.sigmoid(s.reshape(B, 1)) + h * 0.1), {"h": h, "c": c}

        def precompute(xs: Any) -> Any:
            return xs[0] @ weight, xs[1]

        ag.manual_seed(1)
        carry = (start, ag.zeros((B, N), dtype=start.dtype))
        return ag.scan(step, carry, (x, scale), precompute=precompute, **options)

    def gradients(self, **options: Any) -> list[Any]:
        results = ag.flatten(self.run(**options))
        loss = sum((ag.sum(ag.sin(r)) for r in results), ag.tensor(0.0))
        return [*results, *ag.gradients(loss, self.leaves, allow_unused=True)]


@given(OPTIONS, MEMORY)
def test_results_and_gradients_equal_a_scan(options: Any, memory: Any) -> None:
    problem = Problem(6)
    actual, expected = problem.gradients(**options, **memory), problem.gradients(**options)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("memory", [{"checkpoint": 2}, {"memory_budget": 30_000}])
def test_higher_derivatives(memory: Any) -> None:
    problem = Problem(4)
    check_gradients(lambda *leaves: problem.run(leaves, **memory), *problem.leaves)


def test_only_one_segment_is_recorded_at_once() -> None:
    count, peak = 0, 0

    @ag.primitive(x=lambda g, residual: g)
    def identity(xp: Any, x: Any, *, residual: Any) -> Any:
        return x.copy()

    class Residual:
        def __init__(self) -> None:
            nonlocal count, peak
            count += 1
            peak = max(peak, count)

        def __del__(self) -> None:
            nonlocal count
            count -= 1

    def peak_residuals(**options: Any) -> int:
        nonlocal peak
        peak = 0
        x = ag.tensor(1.0, requires_grad=True)

        def step(carry: Any, _: Any) -> Any:
            return identity(carry * x, residual=Residual()), None

        carry, _ = ag.scan(step, x, None, length=100, **options)
        carry.backward()
        assert count == 0
        return peak

    assert peak_residuals() == 100
    assert peak_residuals(checkpoint=10) <= 11
    assert peak_residuals(memory_budget=50_000) < 40


def test_number_of_evaluations_of_a_step() -> None:
    count = 0

    def step(carry: Any, x: Any) -> Any:
        nonlocal count
        count += 1
        return ag.tanh(carry), None

    def evaluations(**options: Any) -> int:
        nonlocal count
        count = 0
        carry, _ = ag.scan(step, ag.tensor(0.5, requires_grad=True), None, length=100, **options)
        carry.backward()
        return count

    assert evaluations() == 100
    # The last segment is not recomputed; two more evaluations measure two steps.
    assert evaluations(checkpoint=10) == 100 + 90 + 2
    assert evaluations(checkpoint=100) == 100
    assert 100 < evaluations(memory_budget=40_000) < evaluations(memory_budget=20_000)


@pytest.mark.parametrize("memory", [{"checkpoint": 3}, {"memory_budget": 10**6}])
def test_precompute_runs_segment_by_segment_without_a_graph(memory: dict[str, int]) -> None:
    lengths: list[int] = []

    def precompute(xs: Any) -> Any:
        lengths.append(len(xs))
        return 2 * xs

    with ag.no_grad():
        x = ag.ones(9)
        options = {"precompute": precompute, "compile": False, **memory}
        carry, ys = ag.scan(lambda c, x: (c + x, c), x[0], x, **options)
    assert lengths == [3, 3, 3]
    assert carry.item() == 19
    assert ys.tolist() == list(range(1, 19, 2))


@pytest.mark.host
@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("memory", [{"checkpoint": 20}, {"memory_budget": 200_000}])
@pytest.mark.parametrize("reverse", [True, False])
def test_outputs_are_in_memory_once(memory: Any, recording: bool, reverse: bool) -> None:
    x = ag.zeros((2000, 1000), requires_grad=True)
    start = ag.zeros(1000)
    scan = partial(ag.scan, lambda c, x: (c + x[0], {"y": c * x}), start, reverse=reverse)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with ag.enable_grad() if recording else ag.no_grad():
            _, ys = scan(x, **memory)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    size = ys["y"].numpy().nbytes
    assert size < peak < 1.5 * size


@pytest.mark.parametrize("reverse", [True, False])
def test_outputs_whose_dtype_changes_are_concatenated(reverse: bool) -> None:
    """An output of another dtype does not fit into the output buffer."""

    def run(**options: Any) -> Any:
        count = 0

        def step(carry: Any, x: Any) -> Any:
            nonlocal count
            count += 1
            wide = x.astype("float64" if count > 4 else "float32")
            return carry * x, (wide * carry, None, x > 0.5)

        w = ag.tensor(np.float32(0.5), requires_grad=True)
        x = ag.tensor(np.linspace(0, 1, 8, dtype=np.float32))
        _, ys = ag.scan(step, w, x, reverse=reverse, compile=False, **options)
        (gradient,) = ag.gradients(ys[0].sum(), w)
        return [*ag.flatten(ys), gradient]

    for actual, expected in zip(run(checkpoint=2), run(), strict=True):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-6)
        assert actual.dtype == expected.dtype


def test_a_step_with_a_checkpointed_scan_is_compiled() -> None:
    def step(carry: Any, xs: Any) -> Any:
        return ag.scan(lambda c, x: (ag.tanh(c + x), c), carry, xs, checkpoint=2)

    x = ag.tensor(np.random.default_rng(0).standard_normal((3, 5, N)))
    with ag.no_grad():
        assert ag.explain(step, x[0, 0], x).compiled
        actual, expected = (ag.scan(step, x[0, 0], x, compile=c)[1] for c in (None, False))
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-12)


def test_nothing_is_recomputed_within_a_large_budget() -> None:
    a = Problem(5).run(memory_budget=10**9)
    b = Problem(5).run()
    assert ag.flatten(a)[0]._node.primitive.name == ag.flatten(b)[0]._node.primitive.name


def test_a_later_step_that_uses_other_tensors_is_an_error() -> None:
    x, other = (ag.tensor(2.0, requires_grad=True) for _ in range(2))
    calls: list[int] = []

    def step(carry: Any, _: Any) -> Any:
        calls.append(0)
        return (carry * other if len(calls) > 12 else carry * x), None

    carry, _ = ag.scan(step, x, None, length=8, checkpoint=4, compile=False)
    with pytest.raises(RuntimeError, match="under checkpointing, the second evaluation used"):
        carry.backward()


def test_no_grad_records_no_graph() -> None:
    problem = Problem(6)
    with ag.no_grad():
        results = ag.flatten(problem.run(checkpoint=2))
    assert not any(r.requires_grad for r in results)


ERRORS: dict[str, dict[str, Any]] = {
    r'checkpoint must be a positive integer or "sqrt", got 0': {"checkpoint": 0},
    r"got 'half'": {"checkpoint": "half"},
    r"checkpoint and memory_budget cannot be used": {"checkpoint": 2, "memory_budget": 10**6},
    r"memory_budget=100 bytes is too little for 6 steps": {"memory_budget": 100},
    r"memory_budget must be a positive number of bytes, got 0": {"memory_budget": 0},
}


@pytest.mark.parametrize("message", ERRORS)
def test_error_messages(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Problem(6).run(**ERRORS[message])


@pytest.mark.parametrize("memory", [{"checkpoint": 2}, {"memory_budget": 3000}], ids=str)
def test_results_require_a_gradient_only_if_an_input_does(memory: dict[str, Any]) -> None:
    def run(carry: Any) -> Any:
        return ag.scan(lambda c, x: (c * x, c + x), carry, ag.ones((9, 4)), **memory)

    assert not any(leaf.requires_grad for leaf in run(ag.ones(4)))
    assert all(leaf.requires_grad for leaf in run(ag.ones(4, requires_grad=True)))


def test_a_compiled_step_that_indexes_its_carry() -> None:
    """Indices are recorded as values that must not change; a compiled step does not record them."""

    def results(checkpoint: int | None) -> list[Any]:
        h, xs = ag.ones((2, 3), requires_grad=True), ag.ones((6, 2, 3))
        last, ys = ag.scan(lambda h, x: (ag.tanh(h * x), h[:, 0]), h, xs, checkpoint=checkpoint)
        return [last, ys, *ag.gradients(last.sum() + ys.sum(), [h])]

    for actual, expected in zip(results(2), results(None), strict=True):
        np.testing.assert_allclose(on_host(actual), on_host(expected), rtol=1e-6)
