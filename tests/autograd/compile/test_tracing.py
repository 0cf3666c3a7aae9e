"""Tracing by execution: what a log contains, what closes it, and that results stay valid."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import B, H, values

import autograd as ag
from autograd.compile.ir import verify
from autograd.compile.step_graph import build_step_graph
from autograd.compile.step_trace import StepTrace, trace_step

pytestmark = pytest.mark.host

Step = Callable[[Any, Any], Any]


def traced(step: Step, h: Any = None, xs: Any = None) -> StepTrace:
    h = values(B, H) if h is None else h
    return trace_step(lambda _: step, (), h, values(4, B, H) if xs is None else xs, 0)


def test_a_step_is_logged_once_and_its_results_are_real() -> None:
    W = values(H, H)
    trace = traced(lambda h, x: (ag.tanh(h @ W + x), h @ W))
    assert [entry.primitive.name for entry in trace.log.entries] == ["matmul", "add", "tanh"]
    assert trace.reason == ""
    h, x = values(B, H).numpy(), values(4, B, H).numpy()[0]
    new_carry, y = trace.ordinary_results()
    np.testing.assert_allclose(new_carry.numpy(), np.tanh(h @ W.numpy() + x))
    np.testing.assert_allclose(y.numpy(), h @ W.numpy())


def test_repeated_operations_have_results_in_own_memory() -> None:
    trace = traced(lambda h, x: (h + x, h + x))
    assert len(trace.log.entries) == 1
    new_carry, y = trace.ordinary_results()
    assert new_carry.data is not y.data


def test_the_graph_has_one_value_for_each_array_and_node() -> None:
    W = values(H, H)
    trace = traced(lambda h, x: (h * 0.5 + x @ W, x @ W.detach()))
    traced_graph = build_step_graph(trace)
    verify(traced_graph.graph)
    assert [capture.source for capture in traced_graph.captures] == [0]
    products = [op for op in traced_graph.graph.ops if op.primitive.name == "matmul"]
    assert sorted(op.differentiated for op in products) == [(True, False), (True, True)]


def test_variants_of_one_operation_differ_in_their_gradient_flow() -> None:
    trace = traced(lambda h, x: (h * x, h.detach() * x))
    graph = build_step_graph(trace).graph
    assert {op.differentiated for op in graph.ops} == {(True, True), (False, True)}


FLAGS: dict[str, tuple[Step, str]] = {
    "item": (lambda h, x: (h * h.max().item(), x), "host"),
    "bool": (lambda h, x: (h if h.sum() > 0 else x, x), "host"),
    "data": (lambda h, x: (h + h.data, x), "array"),
    "repr": (lambda h, x: (h * len(repr(h)), x), "host"),
    "requires_grad": (lambda h, x: (h * h.requires_grad, x), "requires a gradient"),
    "is_leaf": (lambda h, x: (h * h.is_leaf, x), "leaf"),
    "grad": (lambda h, x: (h, x if h.grad is None else h), "gradient"),
    "dropout": (lambda h, x: (h * ag.random.default_generator.uniform(()), x), "random"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_a_use_that_cannot_be_logged_closes_the_log(name: str) -> None:
    step, reason = FLAGS[name]
    trace = traced(step)
    assert reason in trace.reason
    assert not trace.log.is_open
    ag.manual_seed(0)
    actual = traced(step).ordinary_results()
    ag.manual_seed(0)
    expected = step(values(B, H), values(4, B, H)[0])
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_carry_without_a_node_has_none_after_the_step() -> None:
    h = values(B, H).detach()
    carry, y = traced(lambda h, x: (h * 2, x * h.max().item()), h).ordinary_results()
    assert not carry.requires_grad
    assert y.requires_grad


def test_the_graph_of_used_results_leads_to_the_inputs() -> None:
    h, xs, W = values(B, H), values(4, B, H), values(H, H)
    carry, _ = traced(lambda h, x: (ag.tanh(h @ W + x), h.max().item()), h, xs).ordinary_results()
    actual = ag.gradients(carry.sum(), [h, xs, W])
    expected = ag.gradients(ag.tanh(h @ W + xs[0]).sum(), [h, xs, W])
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())


def test_writes_in_place_happen() -> None:
    total = ag.zeros((B, H), float)

    def step(h: Any, x: Any) -> Any:
        with ag.no_grad():
            total[...] = total + x.detach()
        return h + x, h

    trace = traced(step)
    assert "in place" in trace.reason
    np.testing.assert_allclose(total.numpy(), values(4, B, H).numpy()[0])
