"""Backward graphs, evaluated step by step, equal the gradients of eager execution."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference_executor as reference
from compiled import B, H, values

import autograd as ag
from autograd.compile.differentiate import differentiate
from autograd.compile.ir import verify
from autograd.compile.step_graph import build_step_graph
from autograd.compile.step_trace import trace_step

pytestmark = pytest.mark.host
T = 4

STEPS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "elman": lambda W, h, x: (ag.tanh(h @ W + x), h * x),
    "gate": lambda W, h, x: (ag.sigmoid(h @ W) * x + h, ag.relu(h)),
    "singular root": lambda W, h, x: (ag.sqrt(ag.where(x > 0, h * h + x, 0.0)), h @ W),
    "steps": lambda W, h, x: (ag.floor(h) + h * x, ag.sign(h @ W)),
    "norm at 0": lambda W, h, x: (h + ag.norm(h * 0, axis=-1, keepdims=True) * (h @ W), x),
    "std at 0": lambda W, h, x: (h + (x * 0).std(-1, keepdims=True) * (h @ W), x),
    "detached": lambda W, h, x: (h.detach() * x + h, (h @ W).detach()),
    "split": lambda W, h, x: (ag.split(h @ W, 2, -1)[0] + x, h[:, ::-1]),
    "one argument twice": lambda W, h, x: (h * h * 0.1 + x * (h @ W), h + h),
}


@pytest.mark.parametrize("name", STEPS)
def test_backward_graphs_equal_eager_gradients(name: str) -> None:
    step, W, h, xs = STEPS[name], values(H, H), values(B, H), values(T, B, H)
    with np.errstate(all="ignore"):
        trace = trace_step(lambda _: lambda h, x: step(W, h, x), (), h, xs, 0)
        traced = build_step_graph(trace)
        captured = [capture.source is not None for capture in traced.captures]
        receives = (True, True, *captured)
        graph = traced.graph
        backward = differentiate(graph, traced.examples, traced.has_gradient, receives)
        verify(graph, backward)
        captures = [trace.log.arrays[capture.number] for capture in traced.captures]
        last, ys, arrays = reference.forward(graph, [h.data], [xs.data], captures)
        d_ys = [np.ones_like(y) for y in ys]
        d_carry, d_captures = reference.backward(
            graph, backward, arrays, [np.ones_like(last[0])], d_ys
        )
        carry, outputs = ag.scan(lambda h, x: step(W, h, x), h, xs, compile=False)
        np.testing.assert_allclose(last[0], carry.numpy(), rtol=1e-12)
        total = [r for r in (carry.sum(), outputs.sum()) if r.requires_grad]
        expected = ag.gradients(total, [h, W], allow_unused=True)
    actual = [d_carry[0], next((d for d, c in zip(d_captures, captured, strict=True) if c), 0)]
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, 0 if b is None else b.numpy(), rtol=1e-11, atol=1e-12)
