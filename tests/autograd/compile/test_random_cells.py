"""Compiled scans of random cells equal eager execution: outputs and all gradients."""

import random
from typing import Any

import pytest
from compiled import (
    TOLERANCE,
    Problem,
    check,
)
from hypothesis import given
from hypothesis import strategies as st
from random_cells import random_cell

cells = st.randoms(use_true_random=False).map(random_cell)


@given(cells)
def test_random_cells(cell: Any) -> None:
    check(cell.make, calls=2)


@given(cells)
def test_second_derivatives_of_random_cells(cell: Any) -> None:
    check(cell.make, order=2)


@pytest.mark.parametrize("count", [80, pytest.param(200, marks=pytest.mark.thorough)])
def test_nearly_all_cells_compile(count: int) -> None:
    """Also in float32. The cells are fixed: random ones may have values at a kink."""
    eager = []
    for seed in range(count):
        cell = random_cell(random.Random(seed))
        for dtype, tolerance in TOLERANCE.items():
            check(lambda cell=cell, dtype=dtype: cell.make(dtype), tolerance)
        plan = cell.make().explain()
        assert plan.compiled == (not plan.why)
        if not plan.compiled and "on the host" not in plan.why:  # indices that wrap around
            eager.append(f"{cell}\n# {plan.why}")
    assert len(eager) <= count // 20, "\n\n".join(eager)


@given(cells, st.data())
def test_gradients_of_some_inputs_only(cell: Any, data: Any) -> None:
    """The other inputs are frozen, or the gradients do not include them."""
    selected = data.draw(st.lists(st.booleans(), min_size=9, max_size=9))
    frozen = data.draw(st.booleans())

    def make() -> Problem:
        problem = cell.make()
        chosen = [t for t, flag in zip(problem.inputs, selected * 9, strict=False) if flag]
        for tensor in problem.inputs if frozen else ():
            tensor.requires_grad = any(tensor is other for other in chosen)
        return problem._replace(inputs=chosen)

    check(make)
