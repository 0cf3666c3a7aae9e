"""Splits move from the results of elementwise operations to their arguments."""

from typing import Any

import pytest
from step_graphs import StepBuilder, check_pass, names

import autograd as ag
from autograd.compile.ir import Op
from autograd.compile.passes import sink_splits
from autograd.compile.passes.sink_splits import MAX_DEPTH
from autograd.compile.schedule import SPLIT
from autograd.ops.matmul import _linear

pytestmark = pytest.mark.host


def body(schedule: Any) -> list[str]:
    return names(schedule.forward.body)


def product(b: StepBuilder, rows: int = 6) -> Any:
    """Return the product of the carry with a weight."""
    return b.apply(_linear, b.carry, b.capture(rows, b.carry.shape[-1]))


def test_split_of_a_sum_becomes_sums_of_parts() -> None:
    b = StepBuilder((2, 3))
    total = b.apply(ag.add, product(b), b.capture(6))
    first, second = b.split(total, 2)
    h = b.apply(ag.multiply, first, second)
    after = check_pass(sink_splits, b.schedule(h, h))
    assert names(after.forward.hoisted) == ["split"]  # of the capture
    assert body(after) == ["linear", "split", "add", "add", "multiply"]


def test_arguments_that_broadcast_along_the_axis_are_not_split() -> None:
    b = StepBuilder((2, 3))
    total = b.apply(ag.add, b.apply(ag.multiply, product(b), 2.0), b.capture(2, 1))
    first, second = b.split(total, 2)
    h = b.apply(ag.multiply, first, second)
    after = check_pass(sink_splits, b.schedule(h, h))
    assert names(after.forward.ops).count("split") == 1


def test_an_axis_of_length_1_is_not_split() -> None:
    b = StepBuilder((2, 1))
    (part,) = b.split(b.apply(ag.multiply, product(b, 1), b.x), 1)
    after = check_pass(sink_splits, b.schedule(part, part))
    assert body(after) == ["linear", "multiply"]


def test_an_argument_that_is_read_twice_is_split_once() -> None:
    b = StepBuilder((2, 3))
    whole = product(b)
    first, second = b.split(b.apply(ag.multiply, whole, whole), 2)
    h = b.apply(ag.multiply, first, second)
    after = check_pass(sink_splits, b.schedule(h, h))
    assert body(after) == ["linear", "split", "multiply", "multiply", "multiply"]


def test_a_value_with_other_readers_is_split_itself() -> None:
    b = StepBuilder((2, 3))
    total = b.apply(ag.add, product(b), 1.0)
    first, second = b.split(total, 2)
    h = b.apply(ag.multiply, first, second)
    schedule = b.schedule(h, b.apply(ag.exp, total))
    after = check_pass(sink_splits, schedule)
    assert body(after) == body(schedule)


def test_operations_without_an_expression_are_not_moved() -> None:
    b = StepBuilder((2, 3))
    first, second = b.split(product(b), 2)
    h = b.apply(ag.multiply, first, second)
    schedule = b.schedule(h, h)
    assert body(check_pass(sink_splits, schedule)) == body(schedule)


def test_splits_along_the_first_axis() -> None:
    b = StepBuilder((4, 3))
    total = b.apply(ag.add, b.apply(ag.multiply, b.carry, b.x), b.capture(3))
    outs = tuple([b.value((2, 3)) for _ in range(2)])
    b.ops.append(Op(SPLIT, (total,), {"indices": (2,), "axis": 0}, outs, True))
    h = b.apply(ag.add, b.carry, b.x)
    after = check_pass(sink_splits, b.schedule(h, b.apply(ag.multiply, *outs)))
    assert names(after.forward.ops).count("add") == 3
    assert not after.forward.hoisted


def test_the_depth_is_limited() -> None:
    b = StepBuilder((2, 3))
    total = product(b)
    for _ in range(MAX_DEPTH + 7):
        total = b.apply(ag.sin, total)
    first, second = b.split(total, 2)
    h = b.apply(ag.multiply, first, second)
    after = check_pass(sink_splits, b.schedule(h, h))
    found = body(after)
    assert found.index("split") == 1 + 7
    assert found[8:].count("sin") == 2 * MAX_DEPTH
