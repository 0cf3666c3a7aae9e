"""The node of a compiled scan: its parents, its results, and gradients that do not exist."""

from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, gradients_of, same, values

import autograd as ag
from autograd.compile.scan_node import SCAN

pytestmark = pytest.mark.host


def test_a_compiled_scan_is_one_node() -> None:
    W, h, xs = values(H, H), values(B, H), values(T, B, H)
    carry, ys = ag.scan(lambda h, x: (ag.tanh(h @ W + x), h), h, xs)
    (node,) = {result._node.parents[0] for result in (carry, ys)}
    assert node.primitive is SCAN
    assert set(node.parents) == {h._node, xs._node, W._node}


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"detach_every": 2}], ids=str)
@pytest.mark.parametrize("order", [1, 2])
def test_an_unused_output_with_infinite_derivatives_has_no_effect(order: int, options: Any) -> None:
    def results(compile: bool | None) -> Any:
        w, xs = values(H), ag.zeros((T, B, H), float)
        step = lambda h, x: (ag.tanh(h + w + x), ag.sqrt(x * w))  # noqa: E731
        with np.errstate(all="ignore"):
            carry, _ = ag.scan(step, values(B, H), xs, compile=compile, **options)
            return gradients_of(carry, [w], order)

    same(results(None), results(False))


def test_a_carry_whose_dtype_changes_at_the_first_step_is_compiled_from_the_second() -> None:
    def results(compile: bool | None) -> Any:
        W, xs = values(H, H), values(T, B, H)
        h = ag.zeros((B, H), "float32")
        out = ag.scan(lambda h, x: (ag.tanh(h @ W + x), h.sum()), h, xs, compile=compile)
        return out, gradients_of(out, [W, xs])

    same(results(None), results(False))


def test_the_graph_is_replayed_with_the_values_of_the_call() -> None:
    factor = 0.5
    W = values(H, H)
    carry, _ = ag.scan(lambda h, x: (ag.tanh(factor * h @ W + x), h), values(B, H), values(T, B, H))
    expected = ag.gradients(carry.sum(), [W], retain_graph=True)[0].numpy()
    factor = 2.0
    actual = ag.gradients(carry.sum(), [W], create_graph=True)[0].numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_gradients_of_reversed_inputs_are_contiguous() -> None:
    xs = ag.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    carry, _ = ag.scan(lambda c, x: (ag.tanh(c + x), None), ag.zeros(2), xs, reverse=True)
    carry.sum().backward()
    assert xs.grad.numpy().flags.c_contiguous
