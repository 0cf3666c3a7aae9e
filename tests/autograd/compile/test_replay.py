"""Derivatives of compiled scans that need a recorded graph are computed from the graph of the call.

Higher derivatives, jvp, drawings and exact replays do not call the step again: what it closes over
may have changed since.
"""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, same, values
from helpers import on_host

import autograd as ag
from tinygrad_rnn import nn


class Problem:
    """A scan whose step reads a float, a list, an attribute, a weight and a function."""

    def __init__(self) -> None:
        self.W, self.h, self.xs = values(H, H), values(B, H), values(T, B, H)
        self.scale, self.factors = 0.5, [0.3, 0.7]
        self.box = SimpleNamespace(shift=0.2, function=ag.tanh)
        self.inputs = [self.W, self.h, self.xs]

    def run(self, compile: bool | None, count: Any = None, **options: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            if count is not None:
                count()
            z = self.scale * (h @ self.W) + x * self.factors[1] + self.box.shift
            h = self.box.function(z)
            return h, h * x * self.factors[0]

        return ag.scan(step, self.h, self.xs, compile=compile, **options)

    def change(self) -> None:
        """Replace everything that the step reads."""
        self.scale, self.box.shift, self.box.function = 0.9, -1.0, ag.sin
        self.factors[:] = [2.0, -2.0]
        self.W = values(H, H, seed=5)


def total(out: Any) -> Any:
    return (out[0] ** 2).sum() + (out[1] ** 3).sum()


def second_derivative(problem: Problem, out: Any) -> Any:
    first = ag.gradients(total(out), problem.inputs, create_graph=True)
    problem.change()
    return first, ag.gradients(sum((g**2).sum() for g in first), problem.inputs)


def third_derivative(problem: Problem, out: Any) -> Any:
    first = ag.gradients(total(out), problem.inputs, create_graph=True)
    second = ag.gradients(first[0].sum(), problem.inputs, create_graph=True)
    problem.change()
    return ag.gradients(second[0].sum() + second[2].sum(), problem.inputs)


def gradient_twice(problem: Problem, out: Any) -> Any:
    first = ag.gradients(total(out), problem.inputs, retain_graph=True)
    problem.change()
    return first, ag.gradients(total(out), problem.inputs, create_graph=True)


def gradient_of_one_result(problem: Problem, out: Any) -> Any:
    problem.change()
    return ag.gradients(out[0].sum(), problem.inputs, allow_unused=True)


def drawing(problem: Problem, out: Any) -> Any:
    return [ag.draw(leaf).svg for leaf in out]


WORK: dict[str, Callable[[Problem, Any], Any]] = {
    "second derivative": second_derivative,
    "third derivative": third_derivative,
    "gradient twice": gradient_twice,
    "gradient of one result": gradient_of_one_result,
    "drawing": drawing,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"reverse": True},
    "lengths": {"lengths": [T, 0, 3]},
    "detach_every": {"detach_every": 2},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_changes_after_a_call_have_no_effect(work: Any, options: dict[str, Any]) -> None:
    """The results are those of eager execution, which has recorded the call."""

    def results(compile: bool | None) -> Any:
        problem = Problem()
        out = problem.run(compile, **options)
        problem.change()
        return work(problem, out)

    expected = results(False)
    for _ in range(2):
        same(results(None), expected, ragged="lengths" in options)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_the_step_is_not_called_again(work: Any, options: dict[str, Any]) -> None:
    problem, counter = Problem(), itertools.count()
    out = problem.run(None, lambda: next(counter), **options)
    before = next(counter)
    work(problem, out)
    assert next(counter) == before + 1


def test_the_second_derivative_of_the_example_after_a_float_changed() -> None:
    def results(compile: bool | None) -> float:
        w, factor = ag.tensor(0.5, dtype=float, requires_grad=True), 0.5

        def step(h: Any, x: Any) -> Any:
            h = ag.tanh(factor * h * w + x)
            return h, h

        last, _ = ag.scan(step, ag.ones(2, float), ag.ones((3, 2), float), compile=compile)
        factor = 2.0
        (gradient,) = ag.gradients(last.sum(), [w], create_graph=True)
        return gradient.item()

    assert results(None) == pytest.approx(results(False), rel=1e-12)


@pytest.mark.parametrize("checkpoint", [2, 4, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_segments_are_recomputed_without_the_step(checkpoint: int, reverse: bool) -> None:
    """Recomputation uses the graph and the captures of the call."""
    problem, reference = Problem(), Problem()
    calls: list[None] = []
    out = problem.run(None, lambda: calls.append(None), checkpoint=checkpoint, reverse=reverse)
    expected = ag.gradients(total(reference.run(False, reverse=reverse)), reference.inputs)
    problem.change()
    count = len(calls)
    same(ag.gradients(total(out), problem.inputs), expected)
    assert len(calls) == count


def test_a_module_that_changes_after_a_call() -> None:
    """Its options, and parameters that are assigned."""

    def results(compile: bool | None) -> Any:
        ag.manual_seed(0)
        cell = nn.RNNCell(H, H, dtype="float64")
        layer = nn.Recurrent(cell, compile=compile)
        x = values(T, B, H)
        y, _ = layer(x)
        parameters = list(layer.parameters())
        cell.nonlinearity = "relu"
        layer.weight_hh_l0 = nn.Parameter(on_host(layer.weight_hh_l0) * 3)
        first = ag.gradients((y * y).sum(), [x, *parameters], create_graph=True)
        return ag.gradients(sum((g * g).sum() for g in first), [x, *parameters])

    same(results(None), results(False))


def test_weights_that_are_written_after_a_call_are_noticed() -> None:
    """In-place writes before the backward pass are errors, as in eager execution."""
    for order in (1, 2):
        for compile in (None, False):
            problem = Problem()
            out = problem.run(compile)
            with ag.no_grad():
                problem.W *= 2
            with pytest.raises(RuntimeError, match="in place"):
                ag.gradients(total(out), problem.inputs, create_graph=order == 2)


@pytest.mark.parametrize("written", ["carry", "xs"])
@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}, {"checkpoint": 2, "reverse": True}])
def test_writes_to_the_carry_and_xs_after_a_call(written: str, options: dict[str, Any]) -> None:
    """Compiled execution gives the gradient of the call or the error of eager execution."""

    def results(compile: bool | None) -> Any:
        problem = Problem()
        h, xs = problem.h * 1.5, problem.xs * 0.5
        problem.h, problem.xs = h.detach(), xs.detach()
        out = problem.run(compile, **options)
        with ag.no_grad():
            target = problem.h if written == "carry" else problem.xs
            target *= 0
        try:
            return ag.gradients(total(out), [problem.W])
        except RuntimeError:
            return None

    expected, found = results(False), results(None)
    untouched = Problem()
    untouched.h, untouched.xs = (untouched.h * 1.5).detach(), (untouched.xs * 0.5).detach()
    right = ag.gradients(total(untouched.run(False)), [untouched.W])
    for one in (expected, found):
        if one is not None:
            same(one, right)


# --- forward mode ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_jacobian_vector_products(options: dict[str, Any]) -> None:
    def results(compile: bool | None) -> Any:
        def function(W: Any, h: Any, xs: Any) -> Any:
            return ag.scan(
                lambda h, x: (ag.tanh(0.5 * h @ W + x), h * x), h, xs, compile=compile, **options
            )

        primals = values(H, H), values(B, H), values(T, B, H)
        tangents = tuple(values(*p.shape, seed=1).detach() for p in primals)
        found = ag.jvp(function, primals, tangents)
        scalar = lambda *args: total(function(*args))  # noqa: E731
        return found, ag.hvp(scalar, primals, tangents), ag.grad(scalar, (0, 1, 2))(*primals)

    actual, expected = results(None), results(False)
    same(actual, expected, ragged="lengths" in options)


def test_jacobians_and_hessians() -> None:
    def results(compile: bool | None) -> Any:
        def last(w: Any) -> Any:
            return ag.scan(
                lambda h, x: (ag.tanh(h * w + x), h), ag.ones(2, float), XS, compile=compile
            )[0]

        return ag.jacobian(last)(ag.tensor(W2)), ag.hessian(lambda w: last(w).sum())(ag.tensor(W2))

    XS, W2 = ag.tensor(np.linspace(-1, 1, 8).reshape(4, 2)), np.array([0.3, -0.6])
    same(results(None), results(False))
