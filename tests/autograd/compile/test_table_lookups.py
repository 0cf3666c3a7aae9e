"""Compiled scans of steps that look up rows of a table, such as an embedding."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import (
    B,
    H,
    Problem,
    T,
    check,
    values,
)

import autograd as ag

ROWS = 5


TABLES: dict[str, tuple[tuple[int, ...], Callable[[Any, Any, Any], Any]]] = {
    "by rows": ((ROWS, H), lambda E, i, h: E[i]),
    "from the end": ((ROWS, H), lambda E, i, h: E[i - ROWS]),
    "by take": ((ROWS, H), lambda E, i, h: ag.take(E, i, axis=0)),
    "by several rows": ((ROWS, H), lambda E, i, h: E[ag.stack([i, ROWS - 1 - i])].sum(0)),
    "by rows and columns": ((ROWS, H), lambda E, i, h: E[i, i % H].reshape(B, 1)),
    "by a row of a row": ((2, ROWS, H), lambda E, i, h: E[1, i]),
    "by one row": ((ROWS, H), lambda E, i, h: E[i[0]]),
    "by the state": ((ROWS, H), lambda E, i, h: E[(h[:, 0] > 0).astype("int64") + i % 2]),
}


OTHER_TABLES: dict[str, tuple[tuple[int, ...], Callable[[Any, Any, Any], Any]]] = {
    "by columns": ((H, ROWS), lambda E, i, h: E[:, i].T),
    "twice": ((ROWS, H), lambda E, i, h: E[i] * E[i % 2]),
    "by rows and one column": ((ROWS, H), lambda E, i, h: E[i, i[0] % H].reshape(B, 1)),
    "and another": ((2, ROWS, H), lambda E, i, h: ag.tanh(E[0][i]) * ag.tanh(E[1][i % 2])),
    "and another twice": ((2, ROWS, H), lambda E, i, h: E[0][i] + (e := E[1])[i] + e[i % 2]),
    "that differs": ((ROWS, H), lambda E, i, h: (E * h[0])[i]),
}


def lookup_problem(name: str, order: str = "h") -> Problem:
    shape, lookup = (TABLES | OTHER_TABLES)[name]
    E, W, h = values(*shape), values(H, H), values(B, H, seed=1)
    ids = ag.tensor(np.random.default_rng(0).integers(0, ROWS, (T, B)))

    def step(h: Any, i: Any) -> Any:
        new = ag.tanh(lookup(E, i, h) + h @ W)
        return new, (new if order == "h" else lookup(E, i, h) * 2)

    return Problem(step, h, ids, [E, W, h])


@pytest.mark.parametrize("name", sorted(TABLES | OTHER_TABLES))
@pytest.mark.parametrize("order", ["h", "y"])
def test_results_and_gradients(name: str, order: str) -> None:
    check(functools.partial(lookup_problem, name, order))


@pytest.mark.parametrize("name", TABLES)
def test_the_gradient_of_a_table_is_computed_for_many_steps_at_once(name: str) -> None:
    plan = lookup_problem(name).explain()
    if not plan.compiled:  # indices that wrap around are read on the host
        assert "on the host" in plan.why
        assert ag.zeros(1).device != "cpu"
        return
    text = str(plan)
    assert "scatter" not in text.partition("backward, at every step")[2].partition("\n\n")[0]
    assert text.count("add_scatter(") == 1
