"""Side effects of the step of a compiled recurrence: all that it may do when it is
recorded. It reads values, draws random numbers, fails; the results, and the errors, are those of
the recorded steps, and `explain` says why it is recorded.
"""

import functools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import (
    B,
    H,
    Problem,
    T,
    check,
    of_steps,
    or_error,
    outcome,
    problem,
    records,
    same,
    values,
)
from helpers import on_device

import autograd as ag
from tinygrad_rnn import nn

Step = Callable[[Any, Any], Any]


# --- what is recorded, and says why ---------------------------------------------------------------


def branch(W: Any, h: Any, x: Any) -> Any:
    h = ag.tanh(h @ W + x)
    if (h[0, 0] > 0) if h[0, 1] < 0 else h.sum() > 0.1:
        return h * 0.5, h
    return -h, x


def loop(W: Any, h: Any, x: Any) -> Any:
    n = 0
    while (h * h).sum() > 0.2 and n < 5:
        h, n = h * 0.6, n + 1
    return ag.tanh(h @ W + x), h


READS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "float": lambda W, h, x: (ag.tanh(h @ W + float(x[0, 0])), h),
    "item": lambda W, h, x: (ag.tanh(h @ W * h.max().item() + x), h),
    "int": lambda W, h, x: (ag.tanh(h @ W + x[:, [int(10 * h.sum()) % 2]]), h),
    "tolist": lambda W, h, x: (ag.tanh(h @ W + x), h * h.detach().tolist()[0][0]),
    "numpy": lambda W, h, x: (ag.tanh(h @ W + x), h * h.numpy().max()),
    "asarray": lambda W, h, x: (ag.tanh(h @ W + x), h * float(np.asarray(h.detach()).max())),
    "data": lambda W, h, x: (ag.tanh(h @ W + x), h * h.data),
    "format": lambda W, h, x: (ag.tanh(h @ W + x) * len(f"{h[0, 0].item():.3}"), h),
    "repr": lambda W, h, x: (ag.tanh(h @ W + x), h * len(repr(h))),
    "if": branch,
    "while": loop,
    "and": lambda W, h, x: (ag.tanh(h @ W + x) if h.sum() and x.max() > 0.3 else h, h),
    "max": lambda W, h, x: (max(h[0], x[0], key=lambda t: t.sum()) + h @ W, None),
    "in": lambda W, h, x: (ag.tanh(h @ W + x) if 0.0 in h[0] else x - h, h),
    "a value of the weights": lambda W, h, x: (ag.tanh(h @ W / W.max().item() + x), h),
}


@pytest.mark.parametrize("step", READS.values(), ids=READS)
def test_a_step_that_reads_a_value(step: Any) -> None:
    make = of_steps(step)
    for order in (1, 2):
        check(make, order=order, calls=2, run=or_error(outcome))


@pytest.mark.parametrize(
    "name", sorted(READS.keys() - {"asarray", "data", "a value of the weights"})
)
def test_a_step_that_reads_a_value_is_recorded(name: str) -> None:
    records(of_steps(READS[name])(), "host|value|read")


DRAWS: dict[str, Callable[[Any], Any]] = {
    "dropout": lambda h: nn.functional.dropout(h, 0.5),
    "a mask": lambda h: (
        h * ag.random.default_generator.mask(h.shape, 0.5, h.device).astype(h.dtype)
    ),
    "uniform": lambda h: h * ag.random.default_generator.uniform(h.shape, dtype=h.dtype),
    "a custom stream": lambda h: h * ag.Generator(3).uniform(h.shape, dtype=h.dtype),
    "a number of Python's": lambda h: h * random.random(),
    "NumPy's": lambda h: h * on_device(np.random.random(h.shape)),  # noqa: NPY002
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_step_that_draws_random_numbers(draw: Any) -> None:
    def results(compile: bool | None) -> Any:
        one = of_steps(lambda W, h, x: (ag.tanh(draw(h) @ W + x), h))()
        ag.manual_seed(5)
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        found = outcome(one, compile), outcome(one, compile)
        return found, ag.random.get_state(), random.random(), np.random.random()  # noqa: NPY002

    ours, theirs = results(None), results(False)
    same(ours[0], theirs[0])
    assert ours[1:] == theirs[1:]


@pytest.mark.parametrize("name", ["dropout", "a mask", "uniform"])
def test_a_step_that_draws_random_numbers_is_recorded(name: str) -> None:
    records(of_steps(lambda W, h, x: (ag.tanh(DRAWS[name](h) @ W + x), h))(), "random")


def test_under_detect_anomaly_steps_are_recorded() -> None:
    def step(W: Any, h: Any, x: Any) -> Any:
        return ag.sqrt(h - 0.2) @ W + x, h  # a nan, in this line

    def error(compile: bool | None) -> str:
        with ag.detect_anomaly(), np.errstate(all="ignore"):
            with pytest.raises(FloatingPointError, match=f"{Path(__file__).name}:") as caught:
                of_steps(step)().scan(compile)
            return str(caught.value)

    assert error(None) == error(False)
    with ag.detect_anomaly():
        records(of_steps(READS["data"])(), "anomal")
        records(of_steps(lambda W, h, x: (ag.tanh(h @ W + x), h))(), "anomal")


def test_hooks_on_inner_tensors() -> None:
    def results(compile: bool | None) -> Any:
        seen: list[Any] = []

        def step(W: Any, h: Any, x: Any) -> Any:
            h = ag.tanh(h @ W + x)
            h.register_hook(lambda g: seen.append(g) or g * 0.5)
            inner = h * x
            inner.retain_grad()
            return inner, h

        return outcome(of_steps(step)(), compile), seen

    same(results(None), results(False))


def test_a_step_with_hooks_is_recorded() -> None:
    def step(W: Any, h: Any, x: Any) -> Any:
        h = ag.tanh(h @ W + x)
        h.register_hook(lambda g: g * 0.5)
        return h, h

    records(of_steps(step)(), "hook")


def test_compile_false_is_a_reason() -> None:
    one = of_steps(lambda W, h, x: (ag.tanh(h @ W + x), h))()
    plan = one.explain()
    assert plan.compiled
    assert plan.why == ""
    assert "tanh" in str(plan)
    records(one._replace(options={"compile": False}), "compile=False")


SWITCHED_OFF = """
import autograd as ag
from tinygrad_rnn import nn
step = lambda h, x: (ag.tanh(h + x), h)
for compile in (None, True):
    plan = ag.explain(step, ag.zeros(2), ag.ones((3, 2)), compile=compile)
    print(plan.compiled, "AUTOGRAD_COMPILE" in plan.why)
    carry, _ = ag.scan(step, ag.zeros(2), ag.ones((3, 2)), compile=compile)
    print(carry.tolist() == ag.scan(step, ag.zeros(2), ag.ones((3, 2)), compile=False)[0].tolist())
"""


@pytest.mark.host
@pytest.mark.parametrize(("switch", "says"), [("0", "False True"), ("1", "True False")])
def test_the_environment_switches_it_off(switch: str, says: str) -> None:
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"AUTOGRAD_COMPILE": switch, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", SWITCHED_OFF], env=environment, cwd=root, capture_output=True
    )
    assert done.stdout.decode().splitlines() == [says, "True"] * 2, done


# --- errors ---------------------------------------------------------------------------------------


def at(n: int, fails: Callable[[Any, Any], Any]) -> Callable[[Any], Step]:
    """A step that fails when it is called for the n-th time."""

    def make(W: Any) -> Step:
        calls: list[int] = []

        def step(h: Any, x: Any) -> Any:
            calls.append(n)
            return fails(h, x) if len(calls) == n else (ag.tanh(h @ W + x), h)

        return step

    return make


def raise_error(h: Any, x: Any) -> Any:
    raise KeyError("custom")


FAILURES: dict[str, Callable[[Any, Any], Any]] = {
    "custom": raise_error,
    "shapes": lambda h, x: (h @ ag.ones((3, 3), dtype=float), h),
    "shapes that do not broadcast": lambda h, x: (h + ag.ones(5), h),
    "an index": lambda h, x: (h[:, 7], h),
    "a name": lambda h, x: undefined,  # type: ignore[name-defined]  # noqa: F821
    "an attribute": lambda h, x: (h.nonsense, h),
    "no pair": lambda h, x: h,
    "None": lambda h, x: None,
    "another nesting of the carry": lambda h, x: ((h, h), h),
    "another nesting of y": lambda h, x: (h, (h, h)),
    "another shape of y": lambda h, x: (h, h[0]),
    "an argument": lambda h, x: (ag.softmax(h, axis=5), h),
    "assignment": lambda h, x: h.__setitem__(0, 1.0),
}


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("fails", FAILURES.values(), ids=FAILURES)
def test_errors_are_those_of_the_recorded_steps(fails: Any, n: int) -> None:
    def make() -> Problem:
        W = values(H, H)
        return problem(at(n, fails)(W), W)

    check(make, run=or_error(outcome))


def test_rules_of_ones_own_that_read_a_variable() -> None:
    """The behavior of a rule is part of the key of a plan."""
    strength = [1.0]

    @ag.primitive(x=lambda g: -strength[0] * g)
    def reversed_gradient(xp: Any, x: Any) -> Any:
        return x.copy()

    def slope(compile: bool) -> Any:
        w = ag.tensor(0.5, requires_grad=True, dtype=float)
        end, _ = ag.scan(
            lambda h, x: (reversed_gradient(ag.tanh(h * w + x)), None),
            ag.zeros(3, float),
            ag.ones((4, 3), float),
            compile=compile,
        )
        return ag.gradients(end.sum(), [w])[0].item()

    for strength[0] in (1.0, 0.25):
        assert slope(True) == pytest.approx(slope(False), rel=1e-12)


def test_a_precompute_that_looks_along_time() -> None:
    """It is not made step by step, where it would be something else."""
    xs = ag.tensor([[1.0], [2.0], [6.0]])
    options = {"precompute": lambda xs: xs - xs.mean(0)}

    def ends(compile: bool) -> Any:
        return ag.scan(lambda c, x: (c + 2 * x * x, x), ag.zeros(1), xs, compile=compile, **options)

    with pytest.warns(UserWarning, match="of one step than of several"):
        _, ys = ends(True)
    assert ys.tolist() == ends(False)[1].tolist() == [[-2.0], [-1.0], [3.0]]


# --- tables ---------------------------------------------------------------------------------------

ROWS = 5
TABLES: dict[str, tuple[tuple[int, ...], Callable[[Any, Any, Any], Any]]] = {
    "by rows": ((ROWS, H), lambda E, i, h: E[i]),
    "from the end": ((ROWS, H), lambda E, i, h: E[i - ROWS]),
    "by take": ((ROWS, H), lambda E, i, h: ag.take(E, i, axis=0)),
    "by several rows": ((ROWS, H), lambda E, i, h: E[ag.stack([i, ROWS - 1 - i])].sum(0)),
    "by rows and columns": ((ROWS, H), lambda E, i, h: E[i, i % H].reshape(B, 1)),
    "by a row of a row": ((2, ROWS, H), lambda E, i, h: E[1, i]),
    "by one row": ((ROWS, H), lambda E, i, h: E[i[0]]),
    "by the state": ((ROWS, H), lambda E, i, h: E[(h[:, 0] > 0).astype("int64") + i % 2]),
}
OTHERS: dict[str, tuple[tuple[int, ...], Callable[[Any, Any, Any], Any]]] = {
    "by columns": ((H, ROWS), lambda E, i, h: E[:, i].T),
    "twice": ((ROWS, H), lambda E, i, h: E[i] * E[i % 2]),
    "by rows and one column": ((ROWS, H), lambda E, i, h: E[i, i[0] % H].reshape(B, 1)),
    "and another": ((2, ROWS, H), lambda E, i, h: ag.tanh(E[0][i]) * ag.tanh(E[1][i % 2])),
    "and another twice": ((2, ROWS, H), lambda E, i, h: E[0][i] + (e := E[1])[i] + e[i % 2]),
    "that differs": ((ROWS, H), lambda E, i, h: (E * h[0])[i]),
}


def looking_up(name: str, order: str = "h") -> Problem:
    shape, look = (TABLES | OTHERS)[name]
    E, W, h = values(*shape), values(H, H), values(B, H, seed=1)
    ids = ag.tensor(np.random.default_rng(0).integers(0, ROWS, (T, B)))

    def step(h: Any, i: Any) -> Any:
        new = ag.tanh(look(E, i, h) + h @ W)
        return new, (new if order == "h" else look(E, i, h) * 2)

    return Problem(step, h, ids, [E, W, h])


@pytest.mark.parametrize("name", sorted(TABLES | OTHERS))
@pytest.mark.parametrize("order", ["h", "y"])
def test_a_table_is_read(name: str, order: str) -> None:
    check(functools.partial(looking_up, name, order))


@pytest.mark.parametrize("name", TABLES)
def test_the_gradient_of_a_table_is_added_up_over_many_steps(name: str) -> None:
    plan = looking_up(name).explain()
    if not plan.compiled:  # where arrays wrap around, indices are looked at
        assert "on the host" in plan.why
        assert ag.zeros(1).device != "cpu"
        return
    text = str(plan)
    assert "scatter" not in text.partition("backward, at every step")[2].partition("\n\n")[0]
    assert text.count("add_scatter(") == 1
