"""Unused outputs and carries get no gradient, so that their singular points do not matter."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag

T, B, N = 5, 2, 3


def output(w: Any) -> Callable[..., Any]:
    return lambda h, x: (ag.tanh(h + w + x), ag.sqrt(x * w))


def one_output_of_two(w: Any) -> Callable[..., Any]:
    return lambda h, x: (ag.tanh(h + w + x), {"used": h * w + x, "unused": ag.log(h * x) / x})


def carry(w: Any) -> Callable[..., Any]:
    return lambda h, x: ((ag.tanh(h[0] + w + x), ag.sqrt(h[1] * w)), h[0] * w)


def carry_that_forgets(w: Any) -> Callable[..., Any]:
    return lambda h, x: ((ag.tanh(h[0] + w + x), ag.sqrt(x * w)), h[0] * w)


def gradients(step: Any, use: str, **options: Any) -> list[Any]:
    w, x = ag.tensor(0.5, requires_grad=True), ag.zeros((T, B, N), requires_grad=True)
    start = ag.ones((B, N), requires_grad=True)
    initial = (start, ag.zeros((B, N)) * w) if "carry" in step.__name__ else start
    last, ys = ag.scan(step(w), initial, x, **options)
    h, y = ag.flatten(last)[0].sum(), ag.flatten(ys)[0].sum()
    loss = {"carry": h, "outputs": y, "both": h + y}[use]
    found = ag.gradients(loss, [w, start, x], allow_unused=True)
    return [None if g is None else g.numpy() for g in found]


@pytest.mark.parametrize("memory", [{}, {"checkpoint": 2}, {"memory_budget": 5000}], ids=str)
@pytest.mark.parametrize("compile", [None, False])
@pytest.mark.parametrize(
    "options", [{}, {"reverse": True}, {"detach_every": 2}, {"lengths": [3, 5]}], ids=str
)
@pytest.mark.parametrize("step", [output, one_output_of_two, carry, carry_that_forgets])
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_gradients_are_finite(step: Any, options: Any, compile: Any, memory: Any) -> None:
    for use in ("carry", "outputs", "both"):
        if step is output and use != "carry":
            continue
        expected = gradients(step, use, compile=False, **options)
        actual = gradients(step, use, compile=compile, **options, **memory)
        assert expected[0] is not None
        for a, b in zip(actual, expected, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert np.isfinite(b).all()
                np.testing.assert_allclose(a, b, rtol=1e-5)
