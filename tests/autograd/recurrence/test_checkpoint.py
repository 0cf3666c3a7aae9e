"""`checkpoint`: equal results and gradients, from recomputation instead of stored residuals."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from helpers import leaf
from hypothesis import given
from hypothesis import strategies as st
from operations import DIFFERENTIABLE

import autograd as ag
from autograd.testing import check_gradients


def dropout(x: Any) -> Any:
    """Apply dropout with the default random stream."""
    return x * ag.random.default_generator.mask(x.shape, 0.5)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_every_operation_is_recomputed_exactly(name: str, data: st.DataObject) -> None:
    operation = DIFFERENTIABLE[name]
    args, static = data.draw(operation.cases)

    def results_and_gradients(f: Any) -> list[Any]:
        inputs = [ag.tensor(a, requires_grad=True) for a in args]
        results = [y for y in ag.flatten(f(*inputs)) if y.requires_grad]
        total = [(y * y).sum() for y in results]
        gradients = ag.gradients(total, inputs, allow_unused=True) if total else ()
        return [t.numpy() for t in (*results, *gradients) if t is not None]

    expected = results_and_gradients(lambda *a: operation.call(*a, **static))
    actual = results_and_gradients(ag.checkpoint(lambda *a: operation.call(*a, **static)))
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_closed_over_parameters_get_their_gradients() -> None:
    w, x = leaf(2, 3), leaf(5, 7)
    layer = ag.checkpoint(lambda x: {"y": ag.tanh(w * x), "w": w, "count": 2})
    out = layer(x)
    assert out["w"] is w
    assert out["count"] == 2
    (out["y"] * w).sum().backward()
    y = np.tanh(w.numpy() * x.numpy())
    np.testing.assert_allclose(w.grad.numpy(), y + w.numpy() * (1 - y * y) * x.numpy())
    np.testing.assert_allclose(x.grad.numpy(), w.numpy() ** 2 * (1 - y * y))


def test_higher_derivatives_of_nested_checkpoints() -> None:
    w = leaf(0.3, -0.5)

    def f(x: Any) -> Any:
        return ag.checkpoint(lambda y: ag.sin(y) * x * w)(x * x)

    check_gradients(f, np.array([0.4, 1.2]))
    check_gradients(ag.checkpoint(f), np.array([0.4, 1.2]))
    check_gradients(lambda x: ag.grad(lambda x: f(x).sum())(x), np.array([0.4, 1.2]))


def test_recomputation_repeats_the_dropout_mask() -> None:
    x = ag.ones(64, requires_grad=True)
    y = ag.checkpoint(dropout)(x)
    before = ag.random.get_state()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())  # type: ignore[union-attr]
    assert 0 < y.sum().item() < 64
    assert ag.random.get_state() == before


def test_second_derivatives_repeat_the_dropout_mask() -> None:
    x = ag.ones(64, requires_grad=True)
    y = ag.checkpoint(lambda x: dropout(x * x * x))(x)
    first: Any = ag.gradients(y.sum(), x, create_graph=True)[0]
    second: Any = ag.gradients(first.sum(), x)[0]
    np.testing.assert_array_equal(first.numpy(), 3 * y.numpy())
    np.testing.assert_array_equal(second.numpy(), 6 * y.numpy())


def test_an_exception_during_recomputation_restores_the_random_stream() -> None:
    calls = []

    def fail_in_recomputation(x: Any) -> Any:
        calls.append(dropout(x))
        if len(calls) > 1:
            raise ZeroDivisionError
        return x * x

    y = ag.checkpoint(fail_in_recomputation)(ag.ones(3, requires_grad=True))
    dropout(y)
    before = ag.random.get_state()
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert ag.random.get_state() == before


def test_intermediate_results_are_freed() -> None:
    references: list[weakref.ref[Any]] = []

    def f(x: Any) -> Any:
        for _ in range(5):
            x = ag.tanh(x)
            references.append(weakref.ref(x.data))
        return x * 2

    gc.disable()
    try:
        y = ag.checkpoint(f)(ag.ones(3, requires_grad=True))
        assert [ref() for ref in references] == [None] * 5
        y.sum().backward()
        assert [ref() for ref in references] == [None] * 10
    finally:
        gc.enable()


def test_nothing_is_recomputed_without_a_graph() -> None:
    calls = []
    f = ag.checkpoint(lambda x: calls.append(1) or x * x)
    with ag.no_grad():
        assert not f(leaf(1, 2)).requires_grad
    assert not f(ag.ones(2)).requires_grad
    assert len(calls) == 2


def test_a_repeated_and_an_unused_result() -> None:
    def f(x: Any) -> Any:
        y = x * x
        return y, y, ag.exp(x)

    x = leaf(1, 2)
    first, second, _ = ag.checkpoint(f)(x)
    (first * 2 + second).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * x.numpy())


def test_a_write_before_the_recomputation_is_an_error() -> None:
    def increment(y: Any, w: Any) -> Any:
        with ag.no_grad():
            w += 1
        return y

    x, w = leaf(1, 2), leaf(3, 4)
    once = ag.checkpoint(lambda x: w * x * x)
    twice = ag.checkpoint(lambda x: ag.checkpoint(lambda x: w * x * x)(ag.exp(x)) * x)
    for f in (once, twice):
        with pytest.raises(RuntimeError, match=r": an array .* was written in place after"):
            increment(f(x), w).sum().backward()
        x.grad = None
        f(x).sum().backward()  # with the new w
        np.testing.assert_allclose(x.grad.numpy(), ag.gradients(f(x).sum(), x)[0].numpy())


@pytest.mark.parametrize("recompute", [ag.checkpoint, None])
def test_a_write_into_a_tensor_that_is_not_a_residual_is_an_error(recompute: Any) -> None:
    """No VJP rule saves b, but the recomputation would use its new value."""
    x, b = leaf(1, 2), leaf(3, 4)

    def step(h: Any, _: Any) -> Any:
        h = ag.tanh(h + b)
        return h, h

    def f(x: Any) -> Any:
        if recompute:
            return recompute(lambda x: step(x, None)[0])(x)
        return ag.scan(step, x, None, length=4, checkpoint=2, compile=False)[0]

    y = f(x)
    with ag.no_grad():
        b *= 2
    with pytest.raises(
        RuntimeError, match=r"an array of shape \(2,\) .* was written in place after"
    ):
        y.sum().backward()
    f(x).sum().backward()


def test_writes_during_the_evaluations_are_allowed() -> None:
    def ramp() -> Any:
        ramp = ag.zeros(2)
        ramp[1] = 3.0
        return ramp

    x, other = leaf(1, 2), ag.zeros(2)
    y = ag.checkpoint(lambda x: ag.checkpoint(lambda x, r: r * x * x)(x, ramp()) * ramp())(x)
    other[0] = 1.0  # not used by the checkpoint
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * 9 * x.numpy() * np.array([0, 1]))


@pytest.mark.parametrize("create_graph", [False, True])
def test_hooks_receive_the_total_gradient_once(create_graph: bool) -> None:
    w, x = leaf(1, 2), leaf(3, 4)
    received = []
    for tensor in (w, x):
        tensor.register_hook(lambda g: received.append(g.tolist()) or g * 10)
    twice = ag.checkpoint(lambda y: ag.checkpoint(lambda y: w * y * x)(y) * w)
    (twice(twice(x)) * w).sum().backward(create_graph=create_graph)
    expected = [5 * w.numpy() ** 4 * x.numpy() ** 3, 3 * w.numpy() ** 5 * x.numpy() ** 2]
    for tensor, gradient in zip((w, x), expected, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), 10 * gradient)
    np.testing.assert_allclose(sorted(received), sorted(gradient.tolist() for gradient in expected))


async def _coroutine(x: Any) -> Any:
    return x * x


async def _async_generator(x: Any) -> Any:
    yield x * x


def _generator(x: Any) -> Any:
    yield x * x


@pytest.mark.parametrize("f", [_coroutine, _async_generator, _generator])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_generators_and_coroutines_are_errors(f: Any) -> None:
    with pytest.raises(TypeError, match=r"f must return its results, got a \w+"):
        ag.checkpoint(f)(leaf(1.0))
