"""The activations of the parts of a small value become one activation of the whole value."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from step_graphs import StepBuilder, check_pass, names

import autograd as ag
from autograd.compile.passes import merge_activations, sigmoid_as_tanh
from autograd.compile.schedule import Schedule
from autograd.ops.matmul import _linear

pytestmark = pytest.mark.host

SIZE, BATCH = 4, 2


def gates(*activations: Any, then: Any = None) -> Schedule:
    """Return the schedule of a step that sums activations of the parts of a product.

    `then` adds operations: it receives the builder, the parts and their activations, and returns
    the output.
    """
    b = StepBuilder((BATCH, SIZE))
    weight = b.capture(len(activations) * SIZE, SIZE)
    parts = b.split(b.apply(_linear, b.carry, weight), len(activations))
    results = [b.apply(f, part) for f, part in zip(activations, parts, strict=True)]
    total = b.x
    for result in results:
        total = b.apply(ag.add, total, result)
    return b.schedule(total, total if then is None else then(b, parts, results))


def test_sigmoids_and_tanh_are_merged() -> None:
    after = check_pass(merge_activations, gates(ag.sigmoid, ag.tanh, ag.sigmoid), exact=False)
    expected = ["linear", "multiply", "tanh", "multiply", "add", "split", "add", "add", "add"]
    assert names(after.forward.body) == expected
    (_, factors), (_, rest) = after.graph.constants[1:]
    np.testing.assert_array_equal(factors, np.repeat([0.5, 1, 0.5], SIZE))
    np.testing.assert_array_equal(rest, np.repeat([0.5, 0, 0.5], SIZE))


def test_sigmoids_alone_need_no_arrays_of_factors() -> None:
    after = check_pass(merge_activations, gates(ag.sigmoid, ag.sigmoid), exact=False)
    assert not after.graph.constants
    assert names(after.forward.body)[1:5] == ["multiply", "tanh", "multiply", "add"]


def test_tanh_alone_is_not_scaled() -> None:
    after = check_pass(merge_activations, gates(ag.tanh, ag.tanh))
    assert names(after.forward.body) == ["linear", "tanh", "split", "add", "add"]


def test_sigmoids_as_tanh_are_merged_without_scaling_the_argument() -> None:
    schedule = sigmoid_as_tanh(gates(ag.sigmoid, ag.tanh, ag.sigmoid))
    after = check_pass(merge_activations, schedule, exact=False)
    expected = ["linear", "tanh", "multiply", "add", "split", "add", "add", "add"]
    assert names(after.forward.body) == expected


def test_parts_with_other_readers_are_still_computed() -> None:
    schedule = gates(ag.sigmoid, ag.tanh, then=lambda b, parts, _: b.apply(ag.exp, parts[0]))
    after = check_pass(merge_activations, schedule, exact=False)
    assert names(after.graph.ops).count("tanh") == 1
    assert names(after.graph.ops).count("split") == 2


@pytest.mark.parametrize("kind", ["tanh", "half"])
def test_intermediate_results_that_others_read_are_still_computed(kind: str) -> None:
    """A sigmoid as tanh, of which an intermediate result is an output, too."""
    b = StepBuilder((BATCH, SIZE))
    parts = b.split(b.apply(_linear, b.carry, b.capture(2 * SIZE, SIZE)), 2)
    y = b.apply(ag.tanh, parts[0])
    half = b.apply(ag.multiply, y, 0.5)
    gate = b.apply(ag.add, half, 0.5)
    h = b.apply(ag.add, gate, b.apply(ag.tanh, parts[1]))
    check_pass(merge_activations, b.schedule(h, y if kind == "tanh" else half), exact=False)


@pytest.mark.parametrize("numbers", [(0.5, 0.25), (0.25, 0.5), (2.0, 0.5)])
def test_multiples_of_tanh_other_than_sigmoid(numbers: tuple[float, float]) -> None:
    b = StepBuilder((BATCH, SIZE))
    parts = b.split(b.apply(_linear, b.carry, b.capture(2 * SIZE, SIZE)), 2)
    gate = b.apply(ag.add, b.apply(ag.multiply, b.apply(ag.tanh, parts[0]), numbers[0]), numbers[1])
    h = b.apply(ag.add, gate, b.apply(ag.tanh, parts[1]))
    after = check_pass(merge_activations, b.schedule(h, h))
    assert names(after.forward.body) == ["linear", "tanh", "split", "multiply", "add", "add"]


@pytest.mark.parametrize("activations", [(ag.tanh, ag.exp), (ag.relu, ag.sigmoid)])
def test_other_activations_stay(activations: Any) -> None:
    schedule = gates(*activations)
    assert merge_activations(schedule) is schedule


def test_two_activations_of_one_part_stay() -> None:
    schedule = gates(ag.tanh, ag.tanh, then=lambda b, parts, _: b.apply(ag.sigmoid, parts[0]))
    assert merge_activations(schedule) is schedule


def test_large_values_stay(monkeypatch: Any) -> None:
    schedule = gates(ag.tanh, ag.tanh)
    module = import_module("autograd.compile.passes.merge_activations")
    monkeypatch.setattr(module, "MAX_SIZE", 2 * BATCH * SIZE - 1)
    assert merge_activations(schedule) is schedule
    monkeypatch.setattr(module, "MAX_SIZE", 2 * BATCH * SIZE)
    assert merge_activations(schedule) is not schedule
