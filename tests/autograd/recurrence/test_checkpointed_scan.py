"""A recurrence in parts is the recurrence: the same numbers and masks, for less memory."""

import tracemalloc
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.recurrence.checkpointed_scan import advance, evaluations, revolve
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
    """A recurrence with parameters, two carries, dropout, and nested xs and ys."""

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
def test_results_and_gradients_are_the_same(options: Any, memory: Any) -> None:
    problem = Problem(6)
    found, expected = problem.gradients(**options, **memory), problem.gradients(**options)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("memory", [{"checkpoint": 2}, {"memory_budget": 30_000}])
def test_derivatives_of_any_order_go_through(memory: Any) -> None:
    problem = Problem(4)
    check_gradients(lambda *leaves: problem.run(leaves, **memory), *problem.leaves)


def test_a_part_is_forgotten() -> None:
    """Of T steps, no more than a part's are ever recorded at once."""
    alive, most = 0, 0

    @ag.primitive(x=lambda g, count: g)
    def watched(xp: Any, x: Any, *, count: Any) -> Any:
        return x.copy()

    class Counted:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def run(**options: Any) -> int:
        nonlocal most
        most = 0
        x = ag.tensor(1.0, requires_grad=True)
        end, _ = ag.scan(lambda c, _: (watched(c * x, count=Counted()), None), x, None, **options)
        end.backward()
        assert alive == 0
        return most

    assert run(length=100) == 100
    assert run(length=100, checkpoint=10) <= 11
    assert run(length=100, memory_budget=50_000) < 40


def test_steps_are_evaluated_as_often_as_planned() -> None:
    count = 0

    def step(carry: Any, x: Any) -> Any:
        nonlocal count
        count += 1
        return ag.tanh(carry), None

    def evaluated(**options: Any) -> int:
        nonlocal count
        count = 0
        end, _ = ag.scan(step, ag.tensor(0.5, requires_grad=True), None, length=100, **options)
        end.backward()
        return count

    assert evaluated() == 100
    assert evaluated(checkpoint=10) == 100 + 90 + 1  # the last part is recorded at once; one probe
    assert evaluated(checkpoint=100) == 100
    generous, sparing = evaluated(memory_budget=40_000), evaluated(memory_budget=20_000)
    assert 100 < generous < sparing


@cache
def least(steps: int, states: int) -> int:
    """The evaluations before the recorded ones, by trying all ways to forget a part."""
    if steps < 2:
        return 0
    if states == 0:
        return steps * (steps - 1) // 2
    return min(y + least(y, states) + least(steps - y, states - 1) for y in range(1, steps))


def planned(steps: int, plan: Any) -> int:
    """The same by a plan, which ends in a step that is recorded."""
    parts = plan(steps)
    assert sum(part.length for part in parts) == steps
    assert [part.forget for part in parts] == [True] * (len(parts) - 1) + [False]
    assert parts[-1].length == 1
    return sum(part.length + planned(part.length, part.plan) for part in parts[:-1])


@given(st.integers(2, 60), st.integers(1, 8))
def test_revolve_evaluates_the_least(steps: int, states: int) -> None:
    assert 1 <= advance(steps, states) < steps
    assert evaluations(steps, states) in (least(steps, states), float("inf"))
    assert planned(steps, revolve(states)) == least(steps, states)
    assert len(revolve(states)(steps)) <= states + 2  # a carry between any two, and the first


@pytest.mark.parametrize("memory", [{"checkpoint": 3}, {"memory_budget": 10**6}])
def test_without_a_record_precompute_is_made_in_parts_too(memory: dict[str, int]) -> None:
    lengths: list[int] = []

    def precompute(xs: Any) -> Any:
        lengths.append(len(xs))
        return 2 * xs

    with ag.no_grad():
        x = ag.ones(9)
        end, ys = ag.scan(lambda c, x: (c + x, c), x[0], x, precompute=precompute, **memory)
    assert lengths == [3, 3, 3]
    assert end.item() == 19
    assert ys.tolist() == list(range(1, 19, 2))


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
def test_outputs_of_several_dtypes_and_of_none_are_joined(reverse: bool) -> None:
    """As without parts, where a later part's do not fit into the array of the first's."""

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

    for found, expected in zip(run(checkpoint=2), run(), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
        assert found.dtype == expected.dtype


def test_a_recurrence_in_parts_within_a_step_is_compiled() -> None:
    def step(carry: Any, xs: Any) -> Any:
        return ag.scan(lambda c, x: (ag.tanh(c + x), c), carry, xs, checkpoint=2)

    x = ag.tensor(np.random.default_rng(0).standard_normal((3, 5, N)))
    with ag.no_grad():
        assert ag.explain(step, x[0, 0], x).compiled
        found, expected = (ag.scan(step, x[0, 0], x, compile=c)[1] for c in (None, False))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


def test_a_budget_that_is_ample_records_everything() -> None:
    a = Problem(5).run(memory_budget=10**9)
    b = Problem(5).run()
    assert ag.flatten(a)[0]._node.primitive.name == ag.flatten(b)[0]._node.primitive.name


def test_other_tensors_at_a_later_step_are_noticed() -> None:
    """They have no place in what is kept: an error, not a gradient without them."""
    x, late = (ag.tensor(2.0, requires_grad=True) for _ in range(2))
    seen: list[int] = []

    def step(carry: Any, _: Any) -> Any:
        seen.append(0)
        return (carry * late if len(seen) % 5 == 0 else carry * x), None

    end, _ = ag.scan(step, x, None, length=8, checkpoint=4)
    with pytest.raises(RuntimeError, match="under checkpointing, the second evaluation used"):
        end.backward()


def test_without_recording_nothing_is_evaluated_twice() -> None:
    problem = Problem(6)
    with ag.no_grad():
        results = ag.flatten(problem.run(checkpoint=2))
    assert not any(r.requires_grad for r in results)


REFUSED: dict[str, dict[str, Any]] = {
    r'checkpoint must be a number of steps, at least 1, or "sqrt", got 0': {"checkpoint": 0},
    r"got 'half'": {"checkpoint": "half"},
    r"checkpoint= or memory_budget=, not both": {"checkpoint": 2, "memory_budget": 10**6},
    r"memory_budget=100 bytes is too little for 6 steps": {"memory_budget": 100},
    r"memory_budget is a number of bytes, not 0": {"memory_budget": 0},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Problem(6).run(**REFUSED[message])


@pytest.mark.parametrize("saving", [{"checkpoint": 2}, {"memory_budget": 3000}], ids=str)
def test_where_nothing_wants_a_gradient_nothing_is_recorded(saving: dict[str, Any]) -> None:
    def run(carry: Any) -> Any:
        return ag.scan(lambda c, x: (c * x, c + x), carry, ag.ones((9, 4)), **saving)

    assert not any(leaf.requires_grad for leaf in run(ag.ones(4)))
    assert all(leaf.requires_grad for leaf in run(ag.ones(4, requires_grad=True)))
