"""A compiled recurrence equals the recorded one, outputs and all gradients: of every layer, of
random cells, and of unusual steps.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
from compiled import (
    TOLERANCE,
    B,
    H,
    Problem,
    T,
    check,
    gradients_of,
    or_error,
    outcome,
    same,
    values,
)
from helpers import on_device
from hypothesis import given
from hypothesis import strategies as st
from random_cells import random_cell
from recurrences import EVERYTHING, KINDS, make_case, run

import autograd as ag
from tinygrad_rnn.nn.recurrent import layer

dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
all_kinds = pytest.mark.parametrize("kind", KINDS)

# --- layers ---------------------------------------------------------------------------------------

RAGGED_EVERYTHING = {**EVERYTHING, "lengths": [5, 0, 3]}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without biases": {"bias": False},
    "without states": {"states": False},
    "two layers": {"num_layers": 2},
    "both directions": {"bidirectional": True},
    "batch first": {"batch_first": True, "num_layers": 2},
    "without a batch": {"unbatched": True, "B": 1, "bidirectional": True},
    "lengths": {"lengths": [5, 0, 3], "bidirectional": True},
    "lengths, all equal": {"lengths": [4, 4, 4]},
    "dropout": {"num_layers": 3, "dropout": 0.5},
    "variational": {"num_layers": 2, "dropout": 0.5, "variational": True},
    "recurrent dropout": {"recurrent_dropout": 0.5},
    "zoneout": {"zoneout": 0.3, "lengths": [5, 0, 3]},
    "learned initial state": {"learn_initial_state": True, "states": False},
    "detach_every": {"detach_every": 2},
    "checkpoint": {"checkpoint": 2, "lengths": [5, 0, 3]},
    "checkpoint sqrt": {"checkpoint": "sqrt", "bidirectional": True},
    "memory budget": {"memory_budget": 40_000},
    "everything": RAGGED_EVERYTHING,
    "everything, checkpoint": RAGGED_EVERYTHING | {"checkpoint": 2},
    "everything, detach_every": RAGGED_EVERYTHING | {"detach_every": 2, "states": True},
}
Run = tuple[Any, list[Any], Any]


def evaluated(kind: str, dtype: str, training: bool = True, order: int = 1, **options: Any) -> Run:
    """Outputs and states of a layer, the gradients by input, states and weights, and where the
    random stream is afterwards.
    """
    if kind == "minGRU":
        options.pop("recurrent_dropout", None)
    T = options.pop("T", 5)
    case = make_case(kind, T, **options)
    layer = case.layer.to(dtype).train(training)
    x, hx = ag.tree_map(lambda leaf: leaf.astype(dtype).requires_grad_(), (case.x, case.hx))
    ag.manual_seed(0)
    out = run(case._replace(x=x, hx=hx))
    stream = ag.random.get_state()
    return out, gradients_of(out, [x, *ag.flatten(hx), *layer.parameters()], order), stream


def check_layer(kind: str, dtype: str = "float64", **options: Any) -> None:
    ours, theirs = (evaluated(kind, dtype, compile=c, **options) for c in (None, False))
    same(ours[:2], theirs[:2], TOLERANCE[dtype])
    assert ours[2] == theirs[2]


@dtypes
@all_kinds
@pytest.mark.parametrize("training", [True, False])
def test_every_layer_with_everything(kind: str, dtype: str, training: bool) -> None:
    check_layer(kind, dtype, training=training, **RAGGED_EVERYTHING)


@dtypes
@pytest.mark.parametrize("kind", ["GRU", "reset before", "peephole"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option(kind: str, dtype: str, options: dict[str, Any]) -> None:
    check_layer(kind, dtype, **options)


@dtypes
@all_kinds
@pytest.mark.parametrize(("T", "B"), [(1, 1), (2, 3), (3, 0), (1, 0), (50, 2)])
def test_every_length_and_batch(kind: str, dtype: str, T: int, B: int) -> None:
    check_layer(kind, dtype, T=T, B=B, seed=4)  # no state that is normalized is nearly constant


@dtypes
def test_a_long_sequence(dtype: str) -> None:
    check_layer("GRU", dtype, T=1000, B=2)


@all_kinds
def test_second_derivatives_of_layers(kind: str) -> None:
    check_layer(kind, order=2, T=3, lengths=[3, 0, 2])


def test_second_derivatives_with_everything() -> None:
    for more in ({}, {"checkpoint": 2}, {"detach_every": 2}):
        check_layer("LSTM", order=2, T=4, **RAGGED_EVERYTHING | {"lengths": [4, 0, 3]} | more)


@contextmanager
def plans() -> Iterator[list[Any]]:
    """Collect how every recurrence of the layers inside the block is executed."""
    seen: list[Any] = []

    def spy(*arguments: Any, **options: Any) -> Any:
        seen.append(ag.explain(*arguments, **options))
        return ag.scan(*arguments, **options)

    with mock.patch.object(layer, "scan", spy):
        yield seen


@pytest.mark.host
@all_kinds
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_layer_and_option_compiles(kind: str, options: dict[str, Any]) -> None:
    with plans() as seen:
        evaluated(kind, "float32", **options)
    cells = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    assert [plan.why for plan in seen] == [""] * cells
    assert all(plan.compiled and str(plan) for plan in seen)


# --- random cells ---------------------------------------------------------------------------------

cells = st.randoms(use_true_random=False).map(random_cell)


@given(cells)
def test_random_cells(cell: Any) -> None:
    check(cell.make, calls=2)


@given(cells)
def test_second_derivatives_of_random_cells(cell: Any) -> None:
    check(cell.make, order=2)


@pytest.mark.parametrize("count", [80, pytest.param(200, marks=pytest.mark.thorough)])
def test_nearly_all_cells_compile(count: int) -> None:
    """In float32 too; the cells are fixed, so that no value is at a kink by chance."""
    recorded = []
    for seed in range(count):
        cell = random_cell(random.Random(seed))
        for dtype, tolerance in TOLERANCE.items():
            check(lambda cell=cell, dtype=dtype: cell.make(dtype), tolerance)
        plan = cell.make().explain()
        assert plan.compiled == (not plan.why)
        if not plan.compiled and "on the host" not in plan.why:  # indices, where they wrap around
            recorded.append(f"{cell}\n# {plan.why}")
    assert len(recorded) <= count // 20, "\n\n".join(recorded)


@given(cells, st.data())
def test_gradients_by_some_inputs_only(cell: Any, data: Any) -> None:
    """Of which others are frozen, or only not asked for."""
    keep = data.draw(st.lists(st.booleans(), min_size=9, max_size=9))
    frozen = data.draw(st.booleans())

    def make() -> Problem:
        problem = cell.make()
        chosen = [t for t, kept in zip(problem.inputs, keep * 9, strict=False) if kept]
        for tensor in problem.inputs if frozen else ():
            tensor.requires_grad = any(tensor is one for one in chosen)
        return problem._replace(inputs=chosen)

    check(make)


# --- unusual steps ----------------------------------------------------------------

UNUSUAL: dict[str, Callable[..., Any]] = {}
"""Each a function of a square weight W, a vector v, and the inputs xs, that makes a step, a carry
and xs."""


def unusual(make: Callable[..., Any]) -> Callable[..., Any]:
    UNUSUAL[make.__name__.replace("_", " ")] = make
    return make


def one_step(step: Callable[..., Any], carry: tuple[int, ...] = (B, H)) -> Callable[..., Any]:
    """A problem of a step(W, v, h, x), with a usual carry."""
    return lambda W, v, xs: (lambda h, x: step(W, v, h, x), values(*carry), xs)


UNUSUAL |= {
    "W of W": one_step(lambda W, v, h, x: (ag.tanh(x + h @ (W @ W.T) * v[0]), W.sum())),
    "y is x": one_step(lambda W, v, h, x: (ag.tanh(x + h @ W), x)),
    "y is the old carry": one_step(lambda W, v, h, x: (ag.tanh(x + h @ W), h)),
    "y does not depend on anything": one_step(lambda W, v, h, x: (ag.sin(h + x), ag.ones(3))),
    "y depends on a weight only": one_step(lambda W, v, h, x: (ag.sin(h + x), W)),
    "y is detached": one_step(lambda W, v, h, x: (ag.sin(h + x @ W), h.detach())),
    "y is a number": one_step(lambda W, v, h, x: (ag.sin(h + x @ W), 2.0)),
    "y is a row of a table": one_step(lambda W, v, h, x: (ag.sin(h + x), W[0])),
    "y is of no dimension": one_step(lambda W, v, h, x: (ag.sin(h @ W + x), (h * h).sum())),
    "y is of integers": one_step(lambda W, v, h, x: (ag.sin(h @ W + x), ag.argmax(h, axis=-1))),
    "y is of truth values": one_step(lambda W, v, h, x: (ag.sin(h @ W + x), h > 0.1)),
    "one tensor, twice": one_step(lambda W, v, h, x: (ag.sin(h @ W + x), (n := h * x, n))),
    "the carry is unchanged": one_step(lambda W, v, h, x: (h, h * x @ W)),
    "the carry is x": one_step(lambda W, v, h, x: (x, h * x @ W)),
    "the carry is a weight": one_step(lambda W, v, h, x: (v, h * x @ W)),
    "the carry is a constant": one_step(lambda W, v, h, x: (ag.ones((B, H), float), h * x @ W)),
    "the carry is detached": one_step(lambda W, v, h, x: (ag.tanh(h @ W + x).detach(), h)),
    "the carry begins narrow": one_step(lambda W, v, h, x: (ag.tanh(h * v + x), h.sum()), (H,)),
    "the carry is wider than x": one_step(lambda W, v, h, x: (ag.tanh(h * v + x), h), (4, B, H)),
    "the parts change places": lambda W, v, xs: (
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
    "exact ties": one_step(
        lambda W, v, h, x: (ag.maximum(ag.round(4 * x @ W), ag.round(4 * h)) / 4, ag.relu(h - h))
    ),
    "an array": one_step(
        lambda W, v, h, x: (ag.tanh(h @ W + x * on_device(np.array([0.5, 2.0]))), h)
    ),
    "NumPy's functions": one_step(
        lambda W, v, h, x: (np.tanh(x + h @ W), np.concatenate([h, x], axis=-1))
    ),
    "writing by index_update": one_step(
        lambda W, v, h, x: (ag.index_update(ag.tanh(h @ W), (slice(None), 0), x[:, 0]), h[:, ::-1])
    ),
    "indices that repeat": one_step(lambda W, v, h, x: (ag.tanh(h[:, [0, 0]] @ W + x), h[[0, 0]])),
    "einsum": one_step(lambda W, v, h, x: (ag.tanh(ag.einsum("bi,ij->bj", h, W) * x), None)),
    "attention": one_step(
        lambda W, v, h, x: (ag.softmax(h @ W @ h.T, axis=-1) @ x, ag.outer(v, h[0]))
    ),
    "sorting": one_step(lambda W, v, h, x: (ag.sort(h @ W, axis=0) * x, ag.cumsum(h, axis=0))),
    "a scan in a scan": one_step(
        lambda W, v, h, x: ag.scan(lambda c, r: (ag.tanh(c * v + r), c), h[0], h @ W + x)[::-1]
    ),
    "a scan in a scan, one carry": one_step(
        lambda W, v, h, x: (
            h + ag.scan(lambda c, r: (ag.tanh(c * v + r), None), h[0], h @ W * x)[0],
            None,
        )
    ),
    "a gradient in a step": one_step(
        lambda W, v, h, x: (h - ag.grad(lambda k: (ag.tanh(k @ W + x) ** 2).sum())(h), None)
    ),
    "a checkpoint in a step": one_step(
        lambda W, v, h, x: (ag.checkpoint(lambda a, b: ag.tanh(a @ W + b))(h, x), h)
    ),
}


@unusual
def a_weight_made_outside(W: Any, v: Any, xs: Any) -> Any:
    made = ag.tanh(W)
    return lambda h, x: (ag.tanh(x + h @ made), h @ made), values(B, H), xs


@unusual
def choices_that_are_fed_back(W: Any, v: Any, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, token = carry
        h = ag.tanh(h @ W + W[token])
        return (h, ag.argmax(h, axis=-1)), (token, ag.log_softmax(h, axis=-1))

    return step, (h0(), ag.tensor([0, 1, 1])), xs


@unusual
def partly_without_gradients(W: Any, v: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        with ag.no_grad():
            gate = ag.sigmoid(h @ W)
        return ag.tanh(gate * x + h * v), gate

    return step, h0(), xs


@unusual
def operations_of_ones_own(W: Any, v: Any, xs: Any) -> Any:
    @ag.primitive(x=lambda g, x, slope: g * 3 * slope * x * x)
    def cube(xp: Any, x: Any, *, slope: float) -> Any:
        return slope * x * x * x

    return lambda h, x: (cube(ag.tanh(h @ W + x), slope=0.3), cube(h, slope=v.size)), h0(), xs


@unusual
def dicts_whose_order_changes(W: Any, v: Any, xs: Any) -> Any:
    def step(s: Any, x: Any) -> Any:
        return {"c": s["h"] * v, "h": ag.tanh(s["c"] @ W + x)}, s["h"]

    return step, {"h": h0(), "c": values(B, H, seed=1)}, xs


def h0() -> Any:
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

    check(problem, order=order, run=or_error(outcome) if "lengths" in options else outcome)
