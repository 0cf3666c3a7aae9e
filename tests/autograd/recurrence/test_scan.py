"""`scan` equals an explicit loop, also for ragged batches and in both directions."""

from collections.abc import Callable
from typing import Any

import fake_cupy
import numpy as np
import pytest
from helpers import executed, growth
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays

T, B, N = 4, 3, 2  # time steps, batch, size of the state

batches = arrays((T, B, N))
states = arrays((B, N))
lengths_of_batch = hnp.arrays(np.int64, B, elements=st.integers(0, T))


def step(carry: Any, x: Any) -> tuple[Any, Any]:
    """A step whose result depends on the order of the steps."""
    carry = ag.tanh(carry * 0.8 + x) + 0.1 * carry
    return carry, carry * x


def run(carry: Any, xs: Any, **options: Any) -> tuple[Any, Any]:
    return ag.scan(step, carry, xs, **options)


def assert_same(actual: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    for a, b in zip(actual, expected, strict=True):
        # The absolute tolerance is for terms of the order of 1 that cancel.
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-14, atol=1e-15)


# --- the loop -------------------------------------------------------------------------------------


@given(carry=states, xs=batches, reverse=st.booleans())
def test_scan_equals_a_loop(carry: np.ndarray, xs: np.ndarray, reverse: bool) -> None:
    state: Any = ag.tensor(carry)
    xs = ag.tensor(xs)
    ys: list[Any] = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        state, ys[t] = step(state, xs[t])
    assert_same(run(ag.tensor(carry), xs, reverse=reverse), (state, ag.stack(ys)))


@given(carry=states, xs=batches, reverse=st.booleans(), lengths=st.none() | lengths_of_batch)
def test_gradients(carry: Any, xs: Any, reverse: bool, lengths: Any) -> None:
    check_gradients(lambda c, x: run(c, x, reverse=reverse, lengths=lengths), carry, xs)


@given(xs=batches, w=arrays((N, N)))
def test_gradients_of_a_weight_that_every_step_uses(xs: np.ndarray, w: np.ndarray) -> None:
    def f(w: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            return ag.tanh(x + h @ w), None

        return ag.scan(step, ag.zeros((B, N), float), ag.tensor(xs))

    check_gradients(f, w)


def test_carry_and_xs_may_be_nested() -> None:
    def nested(carry: Any, x: Any) -> tuple[Any, Any]:
        total, (count,) = carry
        total = total + x["a"] * x["b"][0]
        return (total, [count + 1]), {"total": total, "count": (count,)}

    a, b = ag.arange(3.0), ag.arange(3.0) + 1
    (total, (count,)), ys = ag.scan(nested, (ag.zeros(()), [0]), {"a": a, "b": (b,)})
    assert total.item() == 8
    assert count == 3
    assert ys["total"].tolist() == [0, 2, 8]
    assert ys["count"][0].tolist() == [0, 1, 2]


def test_length_replaces_xs() -> None:
    carry, ys = ag.scan(lambda c, x: (c * 2, (c, x)), ag.tensor(1.0), None, length=5)
    assert carry.item() == 32
    assert ys[0].tolist() == [1, 2, 4, 8, 16]
    assert ys[1] is None


def sum_by_scan(steps: int) -> Any:
    x: Any = ag.ones(steps, requires_grad=True)
    carry, _ = ag.scan(lambda c, x: (c + x, None), ag.tensor(0.0), x)
    carry.backward()
    return x.grad


def sum_by_indexing(steps: int) -> None:
    """The gradient of each element is an array of full size, so the work is quadratic."""
    x: Any = ag.ones(steps, requires_grad=True)
    total = ag.tensor(0.0)
    for t in range(steps):
        total = total + x[t]
    total.backward()


def bytes_written(work: Callable[[int], Any]) -> Callable[[int], int]:
    """Return a function that measures the bytes that `work(size)` writes on the strict device."""

    def measure(size: int) -> int:
        before = fake_cupy.Array.bytes_written
        with ag.default_device("strict"):
            work(size)
        return int(fake_cupy.Array.bytes_written - before)

    return measure


@pytest.mark.host
def test_a_long_sequence() -> None:
    assert (sum_by_scan(100_000).numpy() == 1).all()


@pytest.mark.host
def test_the_work_of_a_scan_grows_linearly() -> None:
    assert growth(lambda n: executed(lambda: sum_by_scan(n)), 1000) < 1.2
    assert growth(bytes_written(sum_by_scan), 1000) < 1.2
    assert growth(bytes_written(sum_by_indexing), 100) > 1.5  # the measure detects quadratic work


# --- ragged batches -------------------------------------------------------------------------------


@given(carry=states, xs=batches, lengths=lengths_of_batch, reverse=st.booleans())
def test_each_sequence_runs_independently(carry: Any, xs: Any, lengths: Any, reverse: bool) -> None:
    carry, xs = ag.tensor(carry), ag.tensor(xs)
    last, ys = run(carry, xs, lengths=lengths, reverse=reverse)
    for b, n in enumerate(lengths):
        alone, outputs = run(carry[b], xs[:n, b], reverse=reverse)
        np.testing.assert_allclose(last[b].numpy(), alone.numpy(), rtol=1e-14)
        assert (ys[n:, b].numpy() == 0).all()
        if n:
            np.testing.assert_allclose(ys[:n, b].numpy(), outputs.numpy(), rtol=1e-14)


@given(
    xs=batches,
    lengths=lengths_of_batch,
    padding=st.sampled_from([1.0, -1e300]),
    reverse=st.booleans(),
)
def test_padding_changes_nothing(xs: Any, lengths: Any, padding: float, reverse: bool) -> None:
    def results_and_gradients(xs: np.ndarray) -> list[np.ndarray]:
        """Return the results, and the gradients of the initial carry, a weight and the inputs."""
        inputs = [ag.tensor(a, requires_grad=True) for a in (np.ones((B, N)), np.eye(N), xs)]

        def weighted(carry: Any, x: Any) -> Any:
            return step(carry, x @ inputs[1])

        carry, ys = ag.scan(weighted, inputs[0], inputs[2], lengths=lengths, reverse=reverse)
        gradients = ag.gradients([(carry * carry).sum(), ys.sum()], inputs)
        return [t.numpy() for t in (carry, ys, *gradients)]

    is_input = np.arange(T)[:, None, None] < lengths[:, None]
    actual = results_and_gradients(np.where(is_input, xs, padding))
    expected = results_and_gradients(np.where(is_input, xs, 0))
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [list, np.array, ag.tensor])
def test_lengths_of_any_kind(kind: Any) -> None:
    last, _ = ag.scan(
        lambda c, x: (c + x, c), ag.zeros(B), ag.ones((T, B)), lengths=kind([2, 0, 4])
    )
    assert last.tolist() == [2, 0, 4]


# --- detaching --------------------------------------------------------------------------


@given(every=st.integers(1, T + 1), reverse=st.booleans())
def test_detach_every_truncates_the_gradient_only(every: int, reverse: bool) -> None:
    x: Any = ag.tensor(np.full(T, 0.5), requires_grad=True)

    def product(c: Any, x: Any) -> Any:
        return c * x, c

    carry, _ = ag.scan(product, ag.tensor(1.0), x, reverse=reverse, detach_every=every)
    assert carry.item() == 0.5**T
    carry.backward()
    window = (T - 1) % every + 1  # steps since the carry was detached
    gradient = np.where(np.arange(T) >= T - window, 0.5 ** (T - 1), 0)
    assert x.grad.tolist() == (gradient[::-1] if reverse else gradient).tolist()


# --- errors ---------------------------------------------------------------------------------------

XS = np.ones((T, B, N))
RAGGED = {"lengths": [1, 2, 4]}

ERRORS: dict[str, tuple[Any, dict[str, Any]]] = {
    r"length is required if xs is None": (None, {}),
    r"xs and length must agree on the number of steps, got \[4, 5\]": (XS, {"length": 5}),
    r"must agree on the number of steps, got \[3, 4\]": ((XS, XS[1:]), {}),
    r"between 0 and 4, the number of steps, got 0 to 5": (XS, {"lengths": [5, 0, 1]}),
    r"between 0 and 4, the number of steps, got -1 to 1": (XS, {"lengths": [-1, 0, 1]}),
    r"lengths has 2 entries, but a carry has shape \(3, 2\)": (XS, {"lengths": [1, 2]}),
    r"lengths has 3 entries, but xs has a leaf of shape \(4, 2, 2\)": (XS[:, 1:], RAGGED),
    r"but xs has a leaf of shape \(4, 1, 2\)": ({"x": (XS, XS[:, :1])}, RAGGED),
    r"but xs has a leaf of shape \(4, 2\)": (XS[:, 0], RAGGED),
    r"one integer per sequence, got .* float64": (XS, {"lengths": [1.0, 2.0, 3.0]}),
    r"one integer per sequence, got .* \(1, 3\)": (XS, {"lengths": [[1, 2, 3]]}),
    r"detach_every must be a positive integer, got 0": (XS, {"detach_every": 0}),
}


@pytest.mark.parametrize("message", ERRORS)
def test_error_messages(message: str) -> None:
    xs, options = ERRORS[message]
    with pytest.raises(ValueError, match=message):
        ag.scan(lambda c, x: (c, c), ag.ones((B, N)), xs, **options)


@pytest.mark.parametrize("lengths", [None, [1, 2, 3]])
def test_a_step_that_changes_the_nesting_of_its_carry_is_an_error(lengths: Any) -> None:
    with pytest.raises(ValueError, match=r"nesting of its carry, got \(\*, \*\) after \*"):
        ag.scan(lambda c, x: ((c, c), c), ag.ones((B, N)), XS, lengths=lengths)


def test_a_later_step_that_changes_its_nesting_is_an_error() -> None:
    zero, xs = ag.tensor(0.0), np.zeros(3)
    with pytest.raises(ValueError, match="keep the nesting"):
        ag.scan(lambda c, x: (c + 1, (c, c) if c.item() > 0 else c), zero, xs)
    with pytest.raises(ValueError, match="keep the nesting"):
        ag.scan(lambda c, x: ((c, c) if c.item() > 0 else c + 1, c), zero, xs)
    with pytest.raises(TypeError, match=r"step must return a pair \(carry, y\), got \*"):
        ag.scan(lambda c, x: c, zero, xs)


@pytest.mark.parametrize("length", [-3, 2.0])
def test_length_must_be_a_non_negative_integer(length: Any) -> None:
    with pytest.raises(ValueError, match="length must be a non-negative integer, got"):
        ag.scan(lambda c, x: (c, c), ag.tensor(0.0), None, length=length)
