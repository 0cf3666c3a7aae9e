"""L-BFGS: convergence, the line search and its end, and stored secant pairs."""

from typing import Any

import numpy as np
import pytest
from helpers import parameters

import autograd as ag
from tinygrad_rnn import nn, optim
from tinygrad_rnn.optim.lbfgs import LineSearchPoint, strong_wolfe


@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
def test_lbfgs_finds_the_minimum_of_a_narrow_valley(line_search_fn: str | None) -> None:
    """Rosenbrock's function, where steepest descent fails."""
    (p,) = parameters([-0.5, 0.5] if line_search_fn is None else [-1.2, 1.0])
    optimizer = optim.LBFGS(
        [p], lr=0.5, max_iter=100, tolerance_change=0.0, line_search_fn=line_search_fn
    )

    def closure() -> Any:
        optimizer.zero_grad()
        value = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        value.backward()
        return value

    first = closure().item()
    assert optimizer.step(closure).item() == first
    for _ in range(5):
        optimizer.step(closure)
    np.testing.assert_allclose(p.numpy(), [1, 1], atol=1e-5)


def probed_steps(losses: Any, derivatives: Any, probes: int) -> list[float]:
    """Return the step sizes that a line search from (0, 0) with derivative -1 probes."""
    steps: list[float] = []

    def probe(t: float) -> LineSearchPoint:
        steps.append(t)
        return LineSearchPoint(t, losses(t), ag.zeros(1), derivatives(t))

    strong_wolfe(probe, LineSearchPoint(0.0, 0.0, ag.zeros(1), -1.0), 1.0, 0.0, probes)
    return steps


def test_a_search_that_twice_lands_near_the_same_end_moves_away_from_it() -> None:
    """For a loss of 10 t with derivative 20, the cubic always leads to 4% of t."""
    _, first, second, third = probed_steps(lambda t: 10 * t, lambda t: 20.0, 3)
    assert first < 0.1
    assert second == pytest.approx(0.1 * first)
    assert third == pytest.approx(second * first)


def test_a_search_narrows_its_bracket_where_the_loss_rises_again() -> None:
    """The third loss is low enough and still falling, but higher than the second."""
    steps: list[float] = []

    def loss(t: float) -> float:
        steps.append(t)
        return -float(t) if len(steps) < 3 else -1.5 * steps[0]

    probed = probed_steps(loss, lambda t: -1.0, 4)
    assert probed[0] < probed[1] < probed[2]
    assert probed[1] < probed[3] < probed[2]


def test_lbfgs_stops_after_max_eval_evaluations_and_at_a_minimum() -> None:
    calls = 0
    (p,) = parameters([3.0, 1.0])
    optimizer = optim.LBFGS([p], lr=0.1, max_iter=10, max_eval=4)

    def closure() -> Any:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        value = (p**2).sum()
        value.backward()
        return value

    optimizer.step(closure)
    assert calls == 4
    p.data = np.zeros(2)
    optimizer.step(closure)
    assert calls == 5
    assert p.tolist() == [0, 0]


@pytest.mark.parametrize(("max_iter", "calls"), [(1, 1), (3, 3)])
def test_lbfgs_does_not_evaluate_the_loss_after_its_last_step(max_iter: int, calls: int) -> None:
    (p,) = parameters([3.0, 1.0])
    optimizer = optim.LBFGS([p], lr=0.1, max_iter=max_iter)
    losses = []

    def closure() -> Any:
        optimizer.zero_grad()
        value = (p**2).sum()
        value.backward()
        losses.append(value)
        return value

    optimizer.step(closure)
    assert len(losses) == calls


@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
@pytest.mark.parametrize("size", [1e18, 1e22, 1e30])
def test_lbfgs_converges_for_losses_of_any_scale(size: float, line_search_fn: str | None) -> None:
    """Squares of the larger gradients overflow in single precision."""
    p = nn.Parameter(np.array([3.0, -2.0, 1.0, 0.5], "float32"))
    scale = np.float32(size)
    optimizer = optim.LBFGS(
        [p], 1.0, 30, tolerance_grad=0, tolerance_change=0, line_search_fn=line_search_fn
    )

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p * ag.tensor([1, 2, 3, 4], dtype="float32")).sum() * scale
        loss.backward()
        return loss

    first = float(optimizer.step(closure))
    assert float(closure()) < 1e-3 * first


def minimize(loss: Any, start: float, **options: Any) -> Any:
    """Take one step on a function of one number; return the result and the optimizer's state."""
    (p,) = parameters([start])
    optimizer = optim.LBFGS([p], max_eval=50, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        value = loss(p).sum()
        value.backward()
        return value

    optimizer.step(closure)
    return p.item(), optimizer.state[p]


@pytest.mark.parametrize(("start", "end"), [(0.125, 0.0625), (0.5, 0.25), (4.0, 3.5), (-8.0, -7.5)])
def test_the_first_step_is_at_most_the_gradient_and_at_most_lr_long(
    start: float, end: float
) -> None:
    assert minimize(lambda p: p * p / 2, start, lr=0.5, max_iter=1)[0] == end


@pytest.mark.parametrize(("curvature", "pairs"), [(1e-12, 0), (-1e-3, 0), (0.0, 0), (1e-6, 1)])
def test_only_pairs_of_positive_curvature_are_stored(curvature: float, pairs: int) -> None:
    _, state = minimize(lambda p: p + curvature / 2 * p * p, 0.0, max_iter=2)
    assert len(state["steps"]) == len(state["changes"]) == pairs


@pytest.mark.parametrize(("lr", "iterations"), [(1e-10, 1), (1e-9, 1), (1e-7, 3)])
def test_a_step_ends_when_parameters_change_less_than_the_tolerance(
    lr: float, iterations: int
) -> None:
    """The loss changes by a large amount."""
    _, state = minimize(lambda p: 1e12 * p, 0.0, lr=lr, max_iter=3)
    assert state["n_iter"] == iterations
