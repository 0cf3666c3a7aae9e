"""Compiled recurrences of steps that are legal, and odd: values of one element, numbers among
arrays, operations of odd names, errors that a step handles itself.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import (
    B,
    H,
    Problem,
    T,
    check,
    gradients_of,
    of_steps,
    problem,
    records,
    same,
    values,
)

import autograd as ag
from autograd.compile.executors import workspace

Step = Callable[[Any, Any, Any], Any]


def of_vectors(step: Step) -> Callable[[], Problem]:
    """Makes problems of a step(W, h, x) without a batch."""

    def make() -> Problem:
        W, h, xs = values(H, H), values(H), values(T, H)
        return Problem(lambda h, x: step(W, h, x), h, xs, [W, h, xs])

    return make


def elements_by_unstack(W: Any, h: Any, x: Any) -> Any:
    a, b = ag.unstack(ag.tanh(h @ W))
    return ag.stack([ag.tanh(a * b + x[0]), b * 0.5 + a]), None


def elements_of_what_is_not_kept(W: Any, h: Any, x: Any) -> Any:
    first, second = ag.unstack(ag.take(h, np.array([1, 0])))
    return ag.tanh(ag.stack([second, first]) @ W + x), None


def elements_by_index(W: Any, h: Any, x: Any) -> Any:
    taken = ag.take(h, np.array([1, 0]))
    return ag.tanh(taken[0] * h + taken[1] * x @ W), None


def a_weight_of_one_element(W: Any, h: Any, x: Any) -> Any:
    return ag.tanh(h * W[:1, :1].reshape(()) + x), W[0, :1].reshape(())


def numbers_among_arrays(W: Any, h: Any, x: Any) -> Any:
    return ag.tanh(h * ag.stack([h.sum(), 1.0]) + x @ W), ag.stack([x.sum(), 1.0])


def new_axes(W: Any, h: Any, x: Any) -> Any:
    return ag.tanh(h[None] @ W)[0] + x, h[..., None]


@pytest.mark.parametrize(
    "step",
    [
        elements_by_unstack,
        elements_of_what_is_not_kept,
        elements_by_index,
        a_weight_of_one_element,
        numbers_among_arrays,
        new_axes,
    ],
)
def test_elements_and_numbers(step: Step) -> None:
    check(of_vectors(step), order=2)
    assert of_vectors(step)().explain().compiled


def test_a_carry_of_no_dimension_over_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "CHUNK_BYTES", 1)

    def results(compile: bool | None) -> Any:
        with ag.no_grad():
            return ag.scan(lambda h, x: (ag.tanh(h + x), h), values(), values(T), compile=compile)

    last, ys = results(None)
    assert isinstance(last.data, np.ndarray) or last.device != "cpu"
    same((last, ys), results(False))


def test_gates_of_integers() -> None:
    """They are floats, other than the integers."""

    def step(carry: Any, x: Any) -> Any:
        h, n = carry
        a, b = ag.split(n, 2, axis=-1)
        return (ag.tanh(h * ag.sigmoid(a) + x * ag.tanh(b)), n + 1), None

    def make() -> Problem:
        h, xs = values(B, H), values(T, B, H)
        return Problem(step, (h, ag.tensor(np.arange(-4, 8).reshape(B, 2 * H))), xs, [h, xs])

    check(make)


@pytest.mark.parametrize(("first", "second"), [(0.0, -0.0), (-0.0, 0.0)])
def test_zeros_of_both_signs(first: float, second: float) -> None:
    def step(W: Any, h: Any, x: Any) -> Any:
        return ag.tanh(h @ W + x) * ag.copysign(h, first), ag.copysign(x, second)

    check(of_steps(step))


@pytest.mark.parametrize("name", ["n", "lo", "zip", "x0", "tanh", "dot", "forward", "<lambda>"])
def test_operations_may_have_any_name(name: str) -> None:
    def triple(xp: Any, x: Any) -> Any:
        return 3.0 * x

    triple.__name__ = name
    operation = ag.primitive(x=lambda g: 3 * g)(triple)

    def step(W: Any, h: Any, x: Any) -> Any:
        return ag.tanh(operation(h @ W) + operation(x)), ag.linear(operation(ag.tanh(h)), W)

    check(of_steps(step), order=2)
    assert of_steps(step)().explain().compiled


def test_operations_of_one_result_in_a_tuple() -> None:
    @ag.primitive(x=lambda g: 3 * g[0])
    def triple(xp: Any, x: Any) -> Any:
        return (3.0 * x,)

    def step(W: Any, h: Any, x: Any) -> Any:
        return ag.tanh(triple(h @ W)[0] + triple(x)[0]), triple(ag.tanh(h))[0]

    check(of_steps(step), order=2)


def test_a_step_that_handles_every_error_is_not_misled() -> None:
    """Computations with a value that cannot be read during the trace are not part of the trace."""

    def step(h: Any, x: Any) -> Any:
        try:
            scale = float(h.max())
        except Exception:
            scale = 1.0
        return ag.tanh(scale * h + x), None

    with pytest.warns(UserWarning, match="reads a value"):
        check(lambda: problem(step))
    records(problem(step), "reads a value")


@pytest.mark.parametrize("y_of", [lambda h, new: h, lambda h, new: new], ids=["old", "new"])
def test_a_step_that_records_where_nothing_is_recorded(y_of: Any) -> None:
    """Its carry has a history, as if recorded; the ys are stacked outside of it."""

    def results(compile: bool | None) -> Any:
        W, carry, xs = values(H, H), values(B, H), values(T, B, H)

        def step(h: Any, x: Any) -> Any:
            with ag.enable_grad():
                new = ag.tanh(h @ W + x)
            return new, y_of(h, new)

        with ag.no_grad():
            out = ag.scan(step, carry, xs, compile=compile)
        return out, gradients_of(out, [W, carry, xs])

    same(results(None), results(False))


def test_an_inner_gradient_by_values_without_a_history() -> None:
    """Its leaf is created in the step, and the results of the scan do not depend on it."""

    def make() -> Problem:
        W, h, xs = values(H, H), values(B, H), values(T, B, H).detach()

        def step(h: Any, x: Any) -> Any:
            slope = ag.grad(lambda k: ag.sum(ag.tanh(k @ W)))(ag.sin(x))
            return ag.tanh(h @ W + slope), slope * h

        return Problem(step, h, xs, [W, h])

    check(make, order=2)
    assert make().explain().compiled
