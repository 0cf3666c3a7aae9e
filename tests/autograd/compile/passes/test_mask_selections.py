"""Selections of the backward pass become bitwise operations with masks."""

from typing import Any

import numpy as np
import pytest
from step_graphs import StepBuilder, check_pass, names

import autograd as ag
from autograd.compile.passes import mask_selections
from autograd.compile.passes.mask_selections import MASKED

pytestmark = pytest.mark.host


def relu_step(dtype: str = "float64", *, zero: Any = 0, swapped: bool = False) -> Any:
    """Return the schedule of h = relu(h + x) with a selection in the backward pass."""
    b = StepBuilder((3,), dtype)
    total = b.apply(ag.add, b.carry, b.x)
    h = b.apply(ag.relu, total)
    condition = b.apply(ag.greater, total, 0)
    n = len(b.ops)
    g = b.apply(ag.add, b.d_carry, b.d_y)
    args = (zero, g) if swapped else (g, zero)
    b.apply(ag.where, condition, *args)
    return b.schedule(h, h, n)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_selection_becomes_mask(dtype: str) -> None:
    after = check_pass(mask_selections, relu_step(dtype))
    assert after.backward is not None
    assert names(after.backward.prologue) == ["greater", "bit_mask"]  # for many steps at once
    assert names(after.backward.body) == ["add", "masked"]


@pytest.mark.parametrize("options", [{"zero": 1}, {"zero": 0.0}, {"swapped": True}])
def test_other_selections_stay(options: dict[str, Any]) -> None:
    schedule = relu_step(**options)
    assert mask_selections(schedule) is schedule


def test_selection_of_the_forward_pass_stays() -> None:
    b = StepBuilder((3,))
    h = b.apply(ag.where, b.apply(ag.greater, b.carry, 0), b.x, 0)
    schedule = b.schedule(h, h)
    assert mask_selections(schedule) is schedule


def test_selections_by_one_condition_share_a_mask() -> None:
    b = StepBuilder((3,))
    condition = b.apply(ag.greater, b.carry, 0)
    h = b.apply(ag.add, b.carry, b.x)
    n = len(b.ops)
    first = b.apply(ag.where, condition, b.d_carry, 0)
    b.apply(ag.add, first, b.apply(ag.where, condition, b.d_y, 0))
    after = check_pass(mask_selections, b.schedule(h, h, n))
    assert after.backward_graph is not None
    assert names(after.backward_graph.ops).count("bit_mask") == 1
    assert names(after.backward_graph.ops).count("masked") == 2


def test_mask_selects_infinite_and_nan_gradients() -> None:
    g = np.array([np.inf, -np.inf, np.nan, 1.0, np.inf, np.nan])
    mask = -np.array([1, 1, 1, 0, 0, 0], "int64")
    found = MASKED.kernels[np.ndarray](g, mask)
    np.testing.assert_array_equal(found, [np.inf, -np.inf, np.nan, 0, 0, 0])
