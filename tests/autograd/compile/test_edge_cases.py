"""Compiled scans of unusual steps equal eager execution.

The steps have results and carries of all kinds, single elements, and numbers among arrays.
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
    outcome,
    result_or_error,
    same,
    values,
    weighted_problems,
)
from helpers import on_device

import autograd as ag
from autograd.compile.executors import workspace

UNUSUAL: dict[str, Callable[..., Any]] = {}
"""Functions of a square weight W, a vector v and inputs xs that return a step, a carry and xs."""


def unusual(make: Callable[..., Any]) -> Callable[..., Any]:
    UNUSUAL[make.__name__.replace("_", " ")] = make
    return make


def plain_step(step: Callable[..., Any], carry: tuple[int, ...] = (B, H)) -> Callable[..., Any]:
    """Return the entry of a step(W, v, h, x)."""
    return lambda W, v, xs: (lambda h, x: step(W, v, h, x), values(*carry), xs)


UNUSUAL |= {
    "W of W": plain_step(lambda W, v, h, x: (ag.tanh(x + h @ (W @ W.T) * v[0]), W.sum())),
    "y is x": plain_step(lambda W, v, h, x: (ag.tanh(x + h @ W), x)),
    "y is the old carry": plain_step(lambda W, v, h, x: (ag.tanh(x + h @ W), h)),
    "y does not depend on anything": plain_step(lambda W, v, h, x: (ag.sin(h + x), ag.ones(3))),
    "y depends on a weight only": plain_step(lambda W, v, h, x: (ag.sin(h + x), W)),
    "y is detached": plain_step(lambda W, v, h, x: (ag.sin(h + x @ W), h.detach())),
    "y is a number": plain_step(lambda W, v, h, x: (ag.sin(h + x @ W), 2.0)),
    "y is a row of a table": plain_step(lambda W, v, h, x: (ag.sin(h + x), W[0])),
    "y has no dimension": plain_step(lambda W, v, h, x: (ag.sin(h @ W + x), (h * h).sum())),
    "y consists of integers": plain_step(
        lambda W, v, h, x: (ag.sin(h @ W + x), ag.argmax(h, axis=-1))
    ),
    "y consists of booleans": plain_step(lambda W, v, h, x: (ag.sin(h @ W + x), h > 0.1)),
    "one tensor, twice": plain_step(lambda W, v, h, x: (ag.sin(h @ W + x), (n := h * x, n))),
    "the carry is unchanged": plain_step(lambda W, v, h, x: (h, h * x @ W)),
    "the carry is x": plain_step(lambda W, v, h, x: (x, h * x @ W)),
    "the carry is a weight": plain_step(lambda W, v, h, x: (v, h * x @ W)),
    "the carry is a constant": plain_step(lambda W, v, h, x: (ag.ones((B, H), float), h * x @ W)),
    "the carry is detached": plain_step(lambda W, v, h, x: (ag.tanh(h @ W + x).detach(), h)),
    "the carry begins narrow": plain_step(lambda W, v, h, x: (ag.tanh(h * v + x), h.sum()), (H,)),
    "the carry is wider than x": plain_step(lambda W, v, h, x: (ag.tanh(h * v + x), h), (4, B, H)),
    "the leaves of the carry are exchanged": lambda W, v, xs: (
        lambda hc, x: ((hc[1], ag.tanh(hc[0] @ W + x)), hc[0]),
        (values(B, H), values(B, H, seed=1)),
        xs,
    ),
    "the carry is one tensor twice": lambda W, v, xs: (
        lambda hc, x: ((ag.tanh(hc[1] @ W + x), hc[0] * v), hc),
        (values(B, H),) * 2,
        xs,
    ),
    "the carry is a number": lambda W, v, xs: (lambda h, x: (h * 0.5 + x @ W, h + x), 0.5, xs),
    "the carry counts": lambda W, v, xs: (
        lambda hn, x: ((ag.tanh(hn[0] + x @ W), hn[1] + 1), hn[0] * (1 / (hn[1] + 1.0))),
        (values(B, H), ag.tensor(0)),
        xs,
    ),
    "the carry becomes wider in dtype": lambda W, v, xs: (
        lambda h, x: (ag.tanh(h + x @ W), h.sum()),
        values(B, H).astype("float32").detach().requires_grad_(),
        xs,
    ),
    "the carry is None": lambda W, v, xs: (lambda h, x: (None, ag.tanh(x @ W)), None, xs),
    "exact ties": plain_step(
        lambda W, v, h, x: (ag.maximum(ag.round(4 * x @ W), ag.round(4 * h)) / 4, ag.relu(h - h))
    ),
    "an array": plain_step(
        lambda W, v, h, x: (ag.tanh(h @ W + x * on_device(np.array([0.5, 2.0]))), h)
    ),
    "NumPy's functions": plain_step(
        lambda W, v, h, x: (np.tanh(x + h @ W), np.concatenate([h, x], axis=-1))
    ),
    "writing by index_update": plain_step(
        lambda W, v, h, x: (ag.index_update(ag.tanh(h @ W), (slice(None), 0), x[:, 0]), h[:, ::-1])
    ),
    "indices that repeat": plain_step(
        lambda W, v, h, x: (ag.tanh(h[:, [0, 0]] @ W + x), h[[0, 0]])
    ),
    "einsum": plain_step(lambda W, v, h, x: (ag.tanh(ag.einsum("bi,ij->bj", h, W) * x), None)),
    "attention": plain_step(
        lambda W, v, h, x: (ag.softmax(h @ W @ h.T, axis=-1) @ x, ag.outer(v, h[0]))
    ),
    "sorting": plain_step(lambda W, v, h, x: (ag.sort(h @ W, axis=0) * x, ag.cumsum(h, axis=0))),
    "a scan in a scan": plain_step(
        lambda W, v, h, x: ag.scan(lambda c, r: (ag.tanh(c * v + r), c), h[0], h @ W + x)[::-1]
    ),
    "a scan in a scan, one carry": plain_step(
        lambda W, v, h, x: (
            h + ag.scan(lambda c, r: (ag.tanh(c * v + r), None), h[0], h @ W * x)[0],
            None,
        )
    ),
    "a gradient in a step": plain_step(
        lambda W, v, h, x: (h - ag.grad(lambda k: (ag.tanh(k @ W + x) ** 2).sum())(h), None)
    ),
    "a checkpoint in a step": plain_step(
        lambda W, v, h, x: (ag.checkpoint(lambda a, b: ag.tanh(a @ W + b))(h, x), h)
    ),
}


@unusual
def a_weight_computed_outside(W: Any, v: Any, xs: Any) -> Any:
    weight = ag.tanh(W)
    return lambda h, x: (ag.tanh(x + h @ weight), h @ weight), values(B, H), xs


@unusual
def choices_that_are_fed_back(W: Any, v: Any, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, token = carry
        h = ag.tanh(h @ W + W[token])
        return (h, ag.argmax(h, axis=-1)), (token, ag.log_softmax(h, axis=-1))

    return step, (initial_carry(), ag.tensor([0, 1, 1])), xs


@unusual
def partly_without_gradients(W: Any, v: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        with ag.no_grad():
            gate = ag.sigmoid(h @ W)
        return ag.tanh(gate * x + h * v), gate

    return step, initial_carry(), xs


@unusual
def custom_operations(W: Any, v: Any, xs: Any) -> Any:
    @ag.primitive(x=lambda g, x, factor: g * 3 * factor * x * x)
    def cube(xp: Any, x: Any, *, factor: float) -> Any:
        return factor * x * x * x

    return (
        lambda h, x: (cube(ag.tanh(h @ W + x), factor=0.3), cube(h, factor=v.size)),
        initial_carry(),
        xs,
    )


@unusual
def dicts_whose_order_changes(W: Any, v: Any, xs: Any) -> Any:
    def step(s: Any, x: Any) -> Any:
        return {"c": s["h"] * v, "h": ag.tanh(s["c"] @ W + x)}, s["h"]

    return step, {"h": initial_carry(), "c": values(B, H, seed=1)}, xs


def initial_carry() -> Any:
    return values(B, H)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": [6, 0, 2]}], ids=str)
@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_steps(make: Any, options: dict[str, Any], order: int) -> None:
    def problem() -> Problem:
        W, v, xs = values(H, H), values(H), values(T, B, H)
        step, carry, xs = make(W, v, xs)
        inputs = [t for t in ag.flatten((W, v, carry, xs)) if getattr(t, "requires_grad", False)]
        return Problem(step, carry, xs, list(dict.fromkeys(inputs)), options)

    check(problem, order=order, run=result_or_error(outcome) if "lengths" in options else outcome)


# --- elements, numbers and names ------------------------------------------------------------------


Step = Callable[[Any, Any, Any], Any]


def vector_problems(step: Step) -> Callable[[], Problem]:
    """Return a function that makes problems of a step(W, h, x) without a batch."""

    def make() -> Problem:
        W, h, xs = values(H, H), values(H), values(T, H)
        return Problem(lambda h, x: step(W, h, x), h, xs, [W, h, xs])

    return make


def elements_by_unstack(W: Any, h: Any, x: Any) -> Any:
    a, b = ag.unstack(ag.tanh(h @ W))
    return ag.stack([ag.tanh(a * b + x[0]), b * 0.5 + a]), None


def elements_of_a_temporary(W: Any, h: Any, x: Any) -> Any:
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
        elements_of_a_temporary,
        elements_by_index,
        a_weight_of_one_element,
        numbers_among_arrays,
        new_axes,
    ],
)
def test_elements_and_numbers(step: Step) -> None:
    check(vector_problems(step), order=2)
    assert vector_problems(step)().explain().compiled


def test_a_carry_of_no_dimension_over_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "CHUNK_BYTES", 1)

    def results(compile: bool | None) -> Any:
        with ag.no_grad():
            return ag.scan(lambda h, x: (ag.tanh(h + x), h), values(), values(T), compile=compile)

    last, ys = results(None)
    assert isinstance(last.data, np.ndarray) or last.device != "cpu"
    same((last, ys), results(False))


def test_gates_of_integers() -> None:
    """The sigmoid of an integer is a float."""

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

    check(weighted_problems(step))


@pytest.mark.parametrize("name", ["n", "lo", "zip", "x0", "tanh", "dot", "forward", "<lambda>"])
def test_operations_may_have_any_name(name: str) -> None:
    def triple(xp: Any, x: Any) -> Any:
        return 3.0 * x

    triple.__name__ = name
    operation = ag.primitive(x=lambda g: 3 * g)(triple)

    def step(W: Any, h: Any, x: Any) -> Any:
        return ag.tanh(operation(h @ W) + operation(x)), ag.linear(operation(ag.tanh(h)), W)

    check(weighted_problems(step), order=2)
    assert weighted_problems(step)().explain().compiled


def test_operations_of_one_result_in_a_tuple() -> None:
    @ag.primitive(x=lambda g: 3 * g[0])
    def triple(xp: Any, x: Any) -> Any:
        return (3.0 * x,)

    def step(W: Any, h: Any, x: Any) -> Any:
        return ag.tanh(triple(h @ W)[0] + triple(x)[0]), triple(ag.tanh(h))[0]

    check(weighted_problems(step), order=2)


@pytest.mark.parametrize("get_y", [lambda h, new: h, lambda h, new: new], ids=["old", "new"])
def test_a_step_that_enables_recording_inside_no_grad(get_y: Any) -> None:
    """The carry has a history as in eager execution; the ys are stacked without recording."""

    def results(compile: bool | None) -> Any:
        W, carry, xs = values(H, H), values(B, H), values(T, B, H)

        def step(h: Any, x: Any) -> Any:
            with ag.enable_grad():
                new = ag.tanh(h @ W + x)
            return new, get_y(h, new)

        with ag.no_grad():
            out = ag.scan(step, carry, xs, compile=compile)
        return out, gradients_of(out, [W, carry, xs])

    same(results(None), results(False))


def test_an_inner_gradient_of_values_without_a_history() -> None:
    """Its leaf is created in the step, and the results of the scan do not depend on it."""

    def make() -> Problem:
        W, h, xs = values(H, H), values(B, H), values(T, B, H).detach()

        def step(h: Any, x: Any) -> Any:
            gradient = ag.grad(lambda k: ag.sum(ag.tanh(k @ W)))(ag.sin(x))
            return ag.tanh(h @ W + gradient), gradient * h

        return Problem(step, h, xs, [W, h])

    check(make, order=2)
    assert make().explain().compiled
