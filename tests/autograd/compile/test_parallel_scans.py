"""Compiled scans of one step in several threads."""

import functools
import sys
import threading
from functools import partial
from typing import Any

import pytest
from compiled import B, T, gradients_of, outcome, problem, same, values, weighted, weighted_problems
from helpers import at_once
from recurrences import Case, make_case, run

import autograd as ag

rnn = weighted_problems(lambda W, h, x: (ag.tanh(h @ W + x), h))


def step(W: Any, h: Any, x: Any) -> Any:
    h = ag.tanh(h @ W + x) * ag.sigmoid(x)
    return h, (h * x, h[:, 0])


tanh_step = weighted_problems(step)


everything = {"num_layers": 2, "bidirectional": True, "lengths": [4, 0, 2]}


def run_layer(case: Case, compile: bool | None = None) -> Any:
    """Return the results of a layer, and the tensors with respect to which it is differentiated."""
    case.layer.scan_options["compile"] = compile
    x, hx = ag.tree_map(lambda leaf: leaf.detach().requires_grad_(), (case.x, case.hx))
    return run(case._replace(x=x, hx=hx)), [x, *ag.flatten(hx), *case.layer.parameters()]


def test_threads_that_run_one_layer() -> None:
    case = make_case("GRU", T=6, **everything | {"lengths": [6, 0, 3]})
    cases = [case._replace(x=case.x * factor) for factor in (1.0, -0.5, 0.3, 2.0)]
    expected = [gradients_of(*run_layer(case, compile=False)) for case in cases]
    found: list[Any] = [[] for _ in cases]
    case.layer.scan_options["compile"] = None

    def work(i: int) -> None:
        for _ in range(5):
            found[i].append(gradients_of(*run_layer(cases[i])))

    at_once([partial(work, i) for i in range(len(cases))])
    for actual, gradients in zip(found, expected, strict=True):
        same(actual, [gradients] * 5)


def test_backward_in_another_thread() -> None:
    instance = tanh_step()
    expected = gradients_of(instance.scan(False), instance.inputs)
    out, found = instance.scan(), []
    thread = threading.Thread(target=lambda: found.append(gradients_of(out, instance.inputs)))
    thread.start()
    thread.join()
    same(found, [expected])


@pytest.mark.host
def test_threads_that_compile_one_step_at_the_same_time() -> None:
    W = values(5, 5)
    carry, xs = values(B, 5), values(T, B, 5)
    instance = problem(lambda h, x: (ag.tanh(h @ W + x), h))
    instance = instance._replace(carry=carry, xs=xs, inputs=[W, carry, xs])
    expected, found = outcome(instance, False), []
    at_once([lambda: found.append(outcome(instance)) for _ in range(6)])
    same(found, [expected] * 6)


@pytest.mark.host
def test_backward_passes_through_one_graph_in_several_threads() -> None:
    instance = rnn()
    expected = outcome(instance, False)[1]
    carry, ys = instance.scan()
    out = [carry, ys]
    found: list[Any] = []

    def work(factor: float) -> None:
        total = weighted(out) * factor
        for _ in range(20):
            gradients = ag.gradients(total, instance.inputs, retain_graph=True)
            found.append([gradient / factor for gradient in gradients])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        at_once([functools.partial(work, factor) for factor in (1.0, 2.0, -3.0, 0.5)])
    finally:
        sys.setswitchinterval(interval)
    for gradients in found:
        same(gradients, expected)
