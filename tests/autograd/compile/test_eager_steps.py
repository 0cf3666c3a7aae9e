"""Steps that are not compiled: results equal eager execution, and `explain` gives the reason."""

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
    check,
    check_eager,
    outcome,
    result_or_error,
    same,
    weighted_problems,
)
from helpers import on_device

import autograd as ag
from tinygrad_rnn import nn


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
    make = weighted_problems(step)
    for order in (1, 2):
        check(make, order=order, calls=2, run=result_or_error(outcome))


@pytest.mark.parametrize(
    "name", sorted(READS.keys() - {"asarray", "data", "a value of the weights"})
)
def test_the_reason_of_a_step_that_reads_a_value(name: str) -> None:
    check_eager(weighted_problems(READS[name])(), "host|value|read")


DRAWS: dict[str, Callable[[Any], Any]] = {
    "dropout": lambda h: nn.functional.dropout(h, 0.5),
    "a mask": lambda h: (
        h * ag.random.default_generator.mask(h.shape, 0.5, h.device).astype(h.dtype)
    ),
    "uniform": lambda h: h * ag.random.default_generator.uniform(h.shape, dtype=h.dtype),
    "a custom stream": lambda h: h * ag.Generator(3).uniform(h.shape, dtype=h.dtype),
    "a number of Python": lambda h: h * random.random(),
    "an array of NumPy": lambda h: h * on_device(np.random.random(h.shape)),  # noqa: NPY002
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_step_that_draws_random_numbers(draw: Any) -> None:
    def results(compile: bool | None) -> Any:
        one = weighted_problems(lambda W, h, x: (ag.tanh(draw(h) @ W + x), h))()
        ag.manual_seed(5)
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        found = outcome(one, compile), outcome(one, compile)
        return found, ag.random.get_state(), random.random(), np.random.random()  # noqa: NPY002

    actual, expected = results(None), results(False)
    same(actual[0], expected[0])
    assert actual[1:] == expected[1:]


@pytest.mark.parametrize("name", ["dropout", "a mask", "uniform"])
def test_the_reason_of_a_step_that_draws_random_numbers(name: str) -> None:
    check_eager(weighted_problems(lambda W, h, x: (ag.tanh(DRAWS[name](h) @ W + x), h))(), "random")


def test_steps_inside_detect_anomaly() -> None:
    def step(W: Any, h: Any, x: Any) -> Any:
        return ag.sqrt(h - 0.2) @ W + x, h  # a nan, in this line

    def error(compile: bool | None) -> str:
        with ag.detect_anomaly(), np.errstate(all="ignore"):
            with pytest.raises(FloatingPointError, match=f"{Path(__file__).name}:") as caught:
                weighted_problems(step)().scan(compile)
            return str(caught.value)

    assert error(None) == error(False)
    with ag.detect_anomaly():
        check_eager(weighted_problems(READS["data"])(), "anomal")
        check_eager(weighted_problems(lambda W, h, x: (ag.tanh(h @ W + x), h))(), "anomal")


def test_hooks_on_inner_tensors() -> None:
    def results(compile: bool | None) -> Any:
        seen: list[Any] = []

        def step(W: Any, h: Any, x: Any) -> Any:
            h = ag.tanh(h @ W + x)
            h.register_hook(lambda g: seen.append(g) or g * 0.5)
            inner = h * x
            inner.retain_grad()
            return inner, h

        return outcome(weighted_problems(step)(), compile), seen

    same(results(None), results(False))


def test_the_reason_of_a_step_with_hooks() -> None:
    def step(W: Any, h: Any, x: Any) -> Any:
        h = ag.tanh(h @ W + x)
        h.register_hook(lambda g: g * 0.5)
        return h, h

    check_eager(weighted_problems(step)(), "hook")


def test_compile_false_is_a_reason() -> None:
    one = weighted_problems(lambda W, h, x: (ag.tanh(h @ W + x), h))()
    plan = one.explain()
    assert plan.compiled
    assert plan.why == ""
    assert "tanh" in str(plan)
    check_eager(one._replace(options={"compile": False}), "compile=False")


DISABLED = """
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
@pytest.mark.parametrize(("value", "printed"), [("0", "False True"), ("1", "True False")])
def test_the_environment_disables_the_compiler(value: str, printed: str) -> None:
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"AUTOGRAD_COMPILE": value, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", DISABLED], env=environment, cwd=root, capture_output=True
    )
    assert done.stdout.decode().splitlines() == [printed, "True"] * 2, done
