"""Compiled scans at singular points: unused results, and selections around sqrt, log and division.

Gradients equal eager execution without checkpoints, and are 0, infinite, nan or None at the same
places. A factor that is infinite is never multiplied by the gradient 0 of an unused result, and
what is not selected has a gradient of exactly 0.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compiled import weighted
from helpers import on_host
from recurrences import assert_close

import autograd as ag

Function = Callable[[Any], Any]

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

XS = [[0.0, 0.4], [0.3, 0.0], [0.0, 0.0], [0.7, 0.2], [0.0, 0.9]]
"""Inputs (T, B) with zeros, also at the first step and at a whole step."""


@pytest.fixture(autouse=True)
def _ignore_floating_point_errors() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def kind(array: np.ndarray) -> np.ndarray:
    """Return 0 for zeros, 3 for nan, the sign times 2 for infinities, and 1 for other numbers."""
    return np.select(
        [np.isnan(array), np.isinf(array), array == 0], [3.0, 2 * np.sign(array), 0.0], 1.0
    )


def assert_same_kind(actual: Any, expected: Any) -> None:
    """Check that results are None, 0, infinite and nan at the same places, and close elsewhere."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert (one is None) == (other is None)
        if other is not None:
            one, other = on_host(one), on_host(other)
            np.testing.assert_array_equal(kind(one), kind(other))
            numbers = np.isfinite(other)
            assert_close(one[numbers], other[numbers])


def results(
    step: Callable[..., Any],
    carry: Any,
    loss: Callable[[Any, Any], list[Any]],
    compile: bool | None,
    order: int = 1,
    **options: Any,
) -> list[Any]:
    """Return the results of a scan of `step(w, carry, x)`, and the gradients of some of them by
    the weight, the carry and xs.
    """
    w = ag.tensor(np.array(0.5), requires_grad=True)
    leaves = [ag.tensor(np.array(c), requires_grad=True) for c in carry]
    xs = ag.tensor(np.array(XS), requires_grad=True)
    given = leaves[0] if len(leaves) == 1 else tuple(leaves)
    last, ys = ag.scan(lambda h, x: step(w, h, x), given, xs, compile=compile, **options)
    inputs, found = [w, *leaves, xs], loss(last, ys)
    for n in range(order):
        found = [t for t in found if t is not None and t.requires_grad]
        if not found:
            break
        found = ag.gradients(weighted(found), inputs, create_graph=n < order - 1, allow_unused=True)
    return [*ag.flatten((last, ys)), *found]


def compiles(step: Callable[..., Any], carry: Any) -> bool:
    w, leaves = ag.tensor(np.array(0.5)), [ag.tensor(np.array(c)) for c in carry]
    given = leaves[0] if len(leaves) == 1 else tuple(leaves)
    return bool(ag.explain(lambda h, x: step(w, h, x), given, ag.tensor(np.array(XS))).compiled)


def check(step: Callable[..., Any], carry: Any, loss: Any, order: int = 1, **options: Any) -> None:
    """Compare compiled execution with eager execution, whose scan has no checkpoints."""
    assert compiles(step, carry)
    without = {k: v for k, v in options.items() if k not in ("checkpoint", "memory_budget")}
    expected = results(step, carry, loss, False, order, **without)
    if without != options:
        assert_same_kind(results(step, carry, loss, False, order, **options), expected)
    for _ in range(2):  # a new plan, and a known one
        assert_same_kind(results(step, carry, loss, None, order, **options), expected)


# --- unused results -------------------------------------------------------------------------------

SINGULAR: dict[str, Function] = {
    "sqrt": ag.sqrt,
    "log": ag.log,
    "division": lambda a: 1 / a,
    "power": lambda a: a**0.25,
    "arccos": lambda a: ag.arccos(1 - a),
    "sqrt of a row": lambda a: ag.sqrt(a * ag.sum(a)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"reverse": True},
    "detach_every": {"detach_every": 2},
    "lengths": {"lengths": [5, 2]},
    "lengths, reverse": {"lengths": [0, 4], "reverse": True},
    "checkpoint": {"checkpoint": 2},
    "checkpoint, reverse": {"checkpoint": 2, "reverse": True},
    "checkpoint, lengths": {"checkpoint": 2, "lengths": [3, 5]},
    "checkpoint, detach_every": {"checkpoint": 3, "detach_every": 2},
    "checkpoint sqrt": {"checkpoint": "sqrt"},
}
H0, C0 = [0.1, 0.2], [0.0, 0.3]

Case = tuple[Callable[..., Any], list[list[float]], Callable[[Any, Any], list[Any]]]
"""A function of f that makes a step(w, carry, x); the carry; the results to differentiate."""

UNUSED: dict[str, Case] = {
    "y": (
        lambda f: lambda w, h, x: (ag.tanh(h + w + x), f(x * w)),
        [H0],
        lambda last, ys: [last],
    ),
    "a leaf of y": (
        lambda f: lambda w, h, x: (ag.tanh(h + w + x), {"a": h * x, "b": [f(x * w), h]}),
        [H0],
        lambda last, ys: [last, ys["a"]],
    ),
    "all but one leaf of y": (
        lambda f: lambda w, h, x: (ag.tanh(h * w + x), (f(x * w), h * w, f(h * x))),
        [H0],
        lambda last, ys: [ys[1]],
    ),
    "the last carry": (
        lambda f: lambda w, h, x: (f(x * w), x * w + 0 * x),
        [C0],
        lambda last, ys: [ys],
    ),
    "a leaf of the carry": (
        lambda f: lambda w, hc, x: ((ag.tanh(hc[0] + w + x), f(x * w)), hc[0] * x),
        [H0, C0],
        lambda last, ys: [last[0], ys],
    ),
    "a leaf of the carry that feeds itself": (
        lambda f: lambda w, hc, x: ((ag.tanh(hc[0] * w + x), f(hc[1] * x)), hc[0]),
        [H0, C0],
        lambda last, ys: [last[0]],
    ),
    "a leaf of the carry that y reads": (
        lambda f: lambda w, hc, x: ((ag.tanh(hc[0] * w + x), f(x * w)), hc[1] * x),
        [H0, C0],
        lambda last, ys: [last[0]],
    ),
    "a function of the new carry": (
        lambda f: lambda w, h, x: (h * x * w, f(h * x * w)),
        [H0],
        lambda last, ys: [last],
    ),
}


@pytest.mark.parametrize("function", SINGULAR.values(), ids=SINGULAR)
@pytest.mark.parametrize("case", UNUSED.values(), ids=UNUSED)
def test_unused_results(case: Case, function: Function) -> None:
    make, carry, loss = case
    check(make(function), carry, loss)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("function", [ag.sqrt, ag.log], ids=["sqrt", "log"])
@pytest.mark.parametrize("case", UNUSED.values(), ids=UNUSED)
def test_unused_results_with_options(
    case: Case, function: Function, options: dict[str, Any]
) -> None:
    make, carry, loss = case
    check(make(function), carry, loss, **options)


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": [5, 2]}], ids=str)
@pytest.mark.parametrize("case", UNUSED.values(), ids=UNUSED)
def test_carries_that_are_used_beyond_a_detach_point_only(
    case: Case, options: dict[str, Any], every: int
) -> None:
    """At a detach point the gradient of a carry is None, not 0, although all results are used."""
    make, carry, _ = case
    for function in (ag.sqrt, ag.log):
        check(make(function), carry, lambda *out: ag.flatten(out), detach_every=every, **options)


@pytest.mark.parametrize("name", ["y", "a leaf of the carry", "a function of the new carry"])
@pytest.mark.parametrize("function", [SINGULAR["sqrt"], SINGULAR["log"]], ids=["sqrt", "log"])
def test_second_derivatives_with_unused_results(name: str, function: Function) -> None:
    make, carry, loss = UNUSED[name]
    check(make(function), carry, loss, order=2)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_example_of_the_user_guide_has_a_finite_gradient(options: dict[str, Any]) -> None:
    """The gradient by w does not depend on an output that the loss does not use."""
    w = ag.tensor(0.5, requires_grad=True)
    if "lengths" in options:
        options = options | {"lengths": [4, 4]}
    last, _ = ag.scan(
        lambda h, x: (ag.tanh(h + w + x), ag.sqrt(x * w)),
        ag.zeros((2,)),
        ag.zeros((4, 2)),
        **options,
    )
    (gradient,) = ag.gradients(last.sum(), [w])
    assert np.isfinite(gradient.item())
    if options.keys() <= {"reverse", "checkpoint", "lengths"}:
        assert gradient.item() == pytest.approx(0.7153, abs=1e-4)


def test_results_that_are_used_at_some_steps_only() -> None:
    """The other steps have the gradient 0, not None: eager execution gives nan as well."""
    make, carry, _ = UNUSED["y"]
    check(make(ag.sqrt), carry, lambda last, ys: [last, ys[1, :1]])
    check(make(ag.sqrt), carry, lambda last, ys: [ys[3]])


# --- selections -----------------------------------------------------------------------------------

SELECTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "where": lambda z, x: ag.where(x > 0, z, 0.0),
    "where, of the other branch": lambda z, x: ag.where(x <= 0, 0.0, z),
    "where, against a number": lambda z, x: ag.where(x > 0, z, 1.0),
    "where, of one tensor twice": lambda z, x: ag.where(x > 0, z, z * z),
    "where, at a value of z": lambda z, x: ag.where(z > 0.05, z, 0.0),
    "maximum": lambda z, x: ag.maximum(z, 0.0),
    "minimum": lambda z, x: ag.minimum(z, 0.2),
    "clip": lambda z, x: ag.clip(z, 0.05, 0.3),
    "clip at 0": lambda z, x: ag.clip(z, 0.0, 0.3),
    "relu": lambda z, x: ag.relu(z),
    "leaky relu": lambda z, x: ag.leaky_relu(z),
    "abs": lambda z, x: ag.abs(z),
    "sign": lambda z, x: ag.sign(z),
    "floor": lambda z, x: ag.floor(z),
    "trunc": lambda z, x: ag.trunc(z),
    "round": lambda z, x: ag.round(z),
    "floor_divide": lambda z, x: z // 0.3,
    "remainder": lambda z, x: z % 0.3,
    "norm": lambda z, x: ag.stack([ag.norm(z), ag.norm(z[1:])]),
    "std": lambda z, x: ag.std(ag.stack([z, z]), axis=0),
    "max": lambda z, x: z - ag.max(z),
    "a mask": lambda z, x: z * (x > 0),
    "index": lambda z, x: ag.stack([z[0], 0 * z[0]]),
}
AROUND: dict[str, Callable[[Function, Any, Any, Any, Any], Any]] = {
    "f of a selection, in y": lambda f, s, w, h, x: (ag.tanh(h * w + x), f(s(h * w + x, x))),
    "f of a selection, of inputs": lambda f, s, w, h, x: (h * w + x, f(s(x * w, x))),
    "f of a selection, in the carry": lambda f, s, w, h, x: (f(s(h * w + x, x)), h),
    "a selection of f, in y": lambda f, s, w, h, x: (h * w + x, s(f(x * w), x)),
    "a selection of f, in the carry": lambda f, s, w, h, x: (s(f(h * x), x) * w, h),
    "between products": lambda f, s, w, h, x: (w * f(s(h * x, x)) * x, h * w),
}
FUNCTIONS = {name: SINGULAR[name] for name in ("sqrt", "log", "division")}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_selections_around_singular_functions(
    selection: Any, around: Any, function: Function
) -> None:
    def step(w: Any, h: Any, x: Any) -> Any:
        return around(function, selection, w, h, x)

    check(step, [[0.2, 0.0]], lambda last, ys: [last, ys])


@pytest.mark.parametrize("options", list(OPTIONS.values())[1:], ids=list(OPTIONS)[1:])
@pytest.mark.parametrize("name", ["where", "relu", "sign", "norm", "std"])
def test_selections_with_options(name: str, options: dict[str, Any]) -> None:
    selection = SELECTIONS[name]

    def step(w: Any, h: Any, x: Any) -> Any:
        return ag.sqrt(selection(h * w + x, x)), ag.log(selection(x * w, x) + x)

    check(step, [[0.0, 0.3]], lambda last, ys: [last, ys], **options)
    check(step, [[0.0, 0.3]], lambda last, ys: [last], **options)


def test_a_step_that_selects_behind_a_square_root_is_finite() -> None:
    """The square root of 0 is not selected, so its infinite derivative has no effect."""
    w = ag.tensor(np.array(0.5), requires_grad=True)

    def step(h: Any, x: Any) -> Any:
        return ag.tanh(h + x), ag.sqrt(ag.where(x > 0, h * w + x, 0.0))

    for compile in (None, False):
        _, ys = ag.scan(step, ag.zeros(2, float), ag.tensor(XS, dtype=float), compile=compile)
        ys = ag.where(ag.tensor(XS, dtype=float) > 0, ys, 0.0)
        (gradient,) = ag.gradients(ys.sum(), [w])
        assert np.isfinite(gradient.item())


# --- infinities and nan as numbers ----------------------------------------------------------------

SPECIAL: dict[str, Callable[[Any, Any, Any], Any]] = {
    "infinite gate": lambda w, h, x: (ag.tanh(h + x / 0.0), ag.sigmoid(x / 0.0) * w),
    "nan in y": lambda w, h, x: (h * w + x, (x - x) / x * w),
    "inf times 0": lambda w, h, x: (h * w, ag.log(x) * h),
    "softmax of infinities": lambda w, h, x: (ag.softmax(ag.log(x) + h, axis=-1) * w, h),
    "logaddexp of infinities": lambda w, h, x: (h * w, ag.logaddexp(ag.log(x), ag.log(h * x))),
    "an infinite carry": lambda w, h, x: (h + 1 / (x * w), h),
    "exp of a large number": lambda w, h, x: (ag.tanh(ag.exp(1000 * x) * w - h), ag.exp(900 * x)),
    "products with 0": lambda w, h, x: (h * w * x, h * x * h),
    "hypot at 0": lambda w, h, x: (ag.hypot(h * x, x) * w, ag.hypot(x, 0 * x)),
}


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": [5, 2]}], ids=str)
@pytest.mark.parametrize("step", SPECIAL.values(), ids=SPECIAL)
def test_infinities_and_nan(step: Any, options: dict[str, Any]) -> None:
    check(step, [[0.0, 0.3]], lambda last, ys: [last, ys], **options)
    check(step, [[0.0, 0.3]], lambda last, ys: [last], **options)
