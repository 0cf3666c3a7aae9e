"""A plan for all batch sizes: results, derivatives and exact replays at further sizes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import H, same, values

import autograd as ag
from autograd.compile import PureStep, cache

pytestmark = pytest.mark.host
T, SIZES = 4, (2, 3, 5, 7)


@pytest.fixture(autouse=True)
def _empty_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plans", "families", "related_families", "pure_plans"):
        monkeypatch.setattr(cache, name, cache.Cache())


def step_of(W: Any, batch: int) -> Callable[[Any, Any], Any]:
    """Return a step whose static parameters depend on the batch size."""

    def step(h: Any, x: Any) -> Any:
        z = ag.concatenate([h, x]).reshape(2 * batch, H) @ W
        h = ag.tanh(z[:batch] + z.reshape(2, batch, H)[1])
        return h, (h * h).reshape(-1) + ag.broadcast_to(W[0, 0], (batch * H,))

    return step


def pure_step_of(W: Any, batch: int) -> PureStep:
    def bind(captures: tuple[Any, ...]) -> tuple[Any, None]:
        return step_of(captures[0], batch), None

    return PureStep(step_of(W, batch), "batch sizes", (W,), bind)


STEPS: dict[str, Any] = {"traced": step_of, "pure": pure_step_of}


def inputs(batch: int) -> list[Any]:
    return [values(H, H), values(batch, H), values(T, batch, H)]


def total(out: Any) -> Any:
    return out[0].sum() + (out[1] ** 2).sum()


def second_derivatives(run: Any, leaves: list[Any]) -> Any:
    first = ag.gradients(total(run(*leaves)), leaves, create_graph=True)
    return first, ag.gradients(sum((g * g).sum() for g in first), leaves)


def directional(run: Any, leaves: list[Any]) -> Any:
    return ag.jvp(run, tuple(leaves), tuple([ag.ones_like(x) for x in leaves]))


def not_finite(run: Any, leaves: list[Any]) -> Any:
    leaves[2] = ag.tensor(np.where(np.arange(H) == 1, np.inf, leaves[2].numpy()))
    leaves[2].requires_grad_()
    out = run(*leaves)
    return out, ag.gradients((out[1] * np.inf).sum(), leaves)


def one_result(run: Any, leaves: list[Any]) -> Any:
    return ag.gradients(run(*leaves)[0].sum(), leaves, allow_unused=True)


WORK = [second_derivatives, directional, not_finite, one_result]


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"detach_every": 2}], ids=str)
@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("kind", STEPS)
def test_derivatives_at_further_sizes(kind: str, work: Any, options: dict[str, Any]) -> None:
    """A third size uses the plan of two others; its replays have the shapes of the third."""
    for n, batch in enumerate((*SIZES, 3)):

        def run(W: Any, h: Any, xs: Any, batch: int = batch, compile: bool | None = None) -> Any:
            return ag.scan(STEPS[kind](W, batch), h, xs, compile=compile, **options)

        def eager(*leaves: Any, run: Any = run) -> Any:
            return run(*leaves, compile=False)

        with np.errstate(all="ignore"):
            actual, expected = work(run, inputs(batch)), work(eager, inputs(batch))
        assert ag.tree_map(np.shape, actual) == ag.tree_map(np.shape, expected)
        for one, other in zip(ag.flatten(actual), ag.flatten(expected), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-12)
        if n == 1:
            count = cache.plan_count()
    assert cache.plan_count() == count


@pytest.mark.parametrize("kind", STEPS)
def test_one_plan_is_left_of_two(kind: str) -> None:
    for batch in SIZES:
        W, h, xs = inputs(batch)
        ag.scan(STEPS[kind](W, batch), h, xs)
    assert cache.plan_count() == 1


def test_floats_and_batch_sizes_may_change_together() -> None:
    W, counts = values(H, H), []
    for n, batch in enumerate((*SIZES, *range(8, 20))):
        h, xs = values(batch, H), values(T, batch, H)
        scale = 0.1 * n

        def step(h: Any, x: Any, scale: float = scale) -> Any:
            return ag.tanh(h @ W * scale + x), h

        same(ag.scan(step, h, xs), ag.scan(step, h, xs, compile=False))
        counts.append(cache.plan_count())
    assert counts[-1] == counts[3]


def test_numbers_that_are_not_proportional_prevent_a_common_plan() -> None:
    for batch in SIZES:
        W, h, xs = inputs(batch)

        def step(h: Any, x: Any, W: Any = W, batch: int = batch) -> Any:
            return ag.tanh(h @ W * (batch * batch) + x), h.mean(0)

        actual, expected = ag.scan(step, h, xs), ag.scan(step, h, xs, compile=False)
        same((*actual, *ag.gradients(total(actual), [W, h, xs])),
             (*expected, *ag.gradients(total(expected), [W, h, xs])))  # fmt: skip
    assert cache.plan_count() == len(SIZES)


def test_the_choice_between_constant_floats_is_part_of_the_plan() -> None:
    """Where all numbers are floats, no array determines their dtype."""
    h, xs = values(3, H), values(T, 3, H)
    for number in (1.0, 2.0, 3.0):

        def step(h: Any, x: Any, number: float = number) -> Any:
            return ag.where(x > 0, number, -1.0) * h, h

        same(ag.scan(step, h, xs), ag.scan(step, h, xs, compile=False))


def test_size_one_has_its_own_plan() -> None:
    for batch in (2, 3, 1, 4, 1):
        W, h, xs = inputs(batch)
        actual = ag.scan(step_of(W, batch), h, xs)
        same(actual, ag.scan(step_of(W, batch), h, xs, compile=False))
    assert cache.plan_count() == 2
