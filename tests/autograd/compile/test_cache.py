"""Plans are found by signatures and declarations; steps that differ are remembered as eager."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, values

import autograd as ag
from autograd.compile import PureStep, cache

pytestmark = pytest.mark.host


@pytest.fixture(autouse=True)
def _empty_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "plans",
        "families",
        "related_families",
        "pure_plans",
        "eager_codes",
        "known_codes",
    ):
        monkeypatch.setattr(cache, name, cache.Cache())


def test_a_known_step_runs_once_per_call() -> None:
    calls: list[Any] = []

    def step(h: Any, x: Any) -> Any:
        calls.append(None)
        return ag.tanh(h + x), h

    counts = []
    for _ in range(3):
        ag.scan(step, values(B, H), values(T, B, H))
        counts.append(len(calls))
    assert counts == [2, 3, 4]


def test_floats_become_captures_at_the_second_value() -> None:
    def last(factor: float, compile: bool | None = None) -> Any:
        step = lambda h, x: (ag.tanh(factor * h + x), h)  # noqa: E731
        return ag.scan(step, values(B, H), values(T, B, H), compile=compile)[0].numpy()

    for factor in (0.5, 0.25, -1.0, 0.0, 0.5):
        np.testing.assert_allclose(last(factor), last(factor, False), rtol=1e-13)
    assert cache.plan_count() == 2


def test_a_step_that_differs_runs_eagerly_and_is_not_traced_again() -> None:
    def ys() -> Any:
        numbers = itertools.cycle([0.5, 2.0])
        draw = lambda: next(numbers)  # noqa: E731
        return ag.scan(lambda h, x: (h * draw() + x, h), values(B, H), values(T, B, H))[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = ys(), ys()
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert cache.plan_count() == 0


def test_a_pure_step_is_not_called_again() -> None:
    calls: list[Any] = []

    def last(W: Any, xs: Any) -> Any:
        def function(h: Any, x: Any) -> Any:
            calls.append(None)
            return ag.tanh(h @ W + x), h

        step = PureStep(function, key="elman", captures=(W,))
        return ag.scan(step, values(B, H), xs)[0]

    for seed in range(3):
        W, xs = values(H, H, seed=seed), values(T + seed, B, H, seed=seed)
        expected = ag.scan(lambda h, x, W=W: (ag.tanh(h @ W + x), h), values(B, H), xs)[0]
        actual = last(W, xs)
        np.testing.assert_array_equal(actual.numpy(), expected.numpy())
        for a, b in zip(
            ag.gradients(actual.sum(), [W, xs]), ag.gradients(expected.sum(), [W, xs]), strict=True
        ):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert len(calls) == 2


def test_a_pure_step_with_an_undeclared_capture_is_traced_at_every_call() -> None:
    def last(W: Any) -> Any:
        step = PureStep(lambda h, x: (ag.tanh(h @ W + x), h), key="undeclared", captures=())
        return ag.scan(step, values(B, H), values(T, B, H))[0].numpy()

    assert not np.array_equal(last(values(H, H)), last(values(H, H, seed=1)))


def test_vjp_rules_that_read_a_variable() -> None:
    """The behavior of a rule is part of the key of a plan."""
    strength = [1.0]

    @ag.primitive(x=lambda g: -strength[0] * g)
    def reversed_gradient(xp: Any, x: Any) -> Any:
        return x.copy()

    def gradient(compile: bool) -> Any:
        w = ag.tensor(0.5, requires_grad=True, dtype=float)
        end, _ = ag.scan(
            lambda h, x: (reversed_gradient(ag.tanh(h * w + x)), None),
            ag.zeros(3, float),
            ag.ones((4, 3), float),
            compile=compile,
        )
        return ag.gradients(end.sum(), [w])[0].item()

    for strength[0] in (1.0, 0.25):
        assert gradient(True) == pytest.approx(gradient(False), rel=1e-12)


def test_a_precompute_that_mixes_steps() -> None:
    """The results are different if it is applied step by step."""
    xs = ag.tensor([[1.0], [2.0], [6.0]])
    options = {"precompute": lambda xs: xs - xs.mean(0)}

    def results(compile: bool) -> Any:
        return ag.scan(lambda c, x: (c + 2 * x * x, x), ag.zeros(1), xs, compile=compile, **options)

    with pytest.warns(UserWarning, match="of one step than of several"):
        _, ys = results(True)
    assert ys.tolist() == results(False)[1].tolist() == [[-2.0], [-1.0], [3.0]]
