"""Folding of repeated steps in drawings: which steps are folded, and which are drawn."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from svg import ParsedDrawing, elman, folds, leaf, operations, parse, programs

import autograd as ag
from tinygrad_rnn import nn


@pytest.mark.parametrize("steps", [5, 6, 100])
def test_a_loop_is_drawn_as_first_step_fold_and_last_step(steps: int) -> None:
    last, names = elman(steps)
    parsed = parse(ag.draw(last, names))
    ((hidden, each),) = folds(parsed)
    assert hidden == steps - 2
    assert sorted(each) == ["add", "linear", "linear", "tanh"]
    assert Counter(parsed.titles)["tanh"] == 2
    assert parsed.links["W", f"… {hidden} equal steps …"] == f"×{hidden}"


def test_short_and_unfolded_loops_are_drawn_in_full() -> None:
    for steps, fold in [(1, True), (2, True), (4, True), (30, False)]:
        parsed = parse(ag.draw(elman(steps)[0], fold=fold))
        assert not folds(parsed)
        assert operations(parsed)["tanh"] == steps


def test_the_four_gates_of_a_cell_are_not_folded() -> None:
    x, w = leaf(1, 3), leaf(3, 3)
    gates = [ag.sigmoid(ag.linear(x, w)) for _ in range(4)]
    assert not folds(parse(ag.draw(gates)))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_is_folded_between_unstack_and_stack(reverse: bool) -> None:
    cell, xs = nn.LSTMCell(2, 3), leaf(100, 4, 2)
    state = cell.initial_state(4)
    _, ys = ag.scan(cell.step, state, cell.precompute(xs), reverse=reverse)
    parsed = parse(ag.draw(ys.sum(), cell))
    ((hidden, each),) = folds(parsed)
    fold = "… 98 equal steps …"
    assert hidden == 98
    assert Counter(each)["sigmoid"] == 3
    assert parsed.links["unstack", fold] == "1…98"
    assert parsed.links[fold, "stack"] == "×98"
    assert parsed.links["weight_hh", fold] == "×98"
    assert parsed.box("unstack")[1] == "100 × (4, 12) float32"


def test_layers_and_losses_are_folded_separately() -> None:
    lstm = nn.LSTM(2, 3, num_layers=2)
    ys, _ = lstm(ag.ones((20, 1, 2)))
    loss = sum((y * y).sum() for y in ys)
    assert sorted(steps for steps, _ in folds(parse(ag.draw(loss)))) == [18, 18, 18]


@given(st.integers(5, 12), st.data())
def test_a_step_that_differs_is_drawn(steps: int, data: st.DataObject) -> None:
    exception = data.draw(st.integers(0, steps - 1))
    parsed = parse(ag.draw(elman(steps, exception)[0]))
    assert parsed.titles.count("sin") == 1
    assert operations(parsed) == {"sin": 1, "tanh": steps - 1, "linear": 2 * steps, "add": steps}


def long_chain(step: Any) -> ParsedDrawing:
    """Draw the result of twelve applications of x = step(x, t)."""
    x = leaf(2, 2)
    for t in range(12):
        x = step(x, t)
    return parse(ag.draw(x))


UNEVEN = (0, 0, 1, 0, 2, 1, 4, 0, 3, 1, 6, 2)


def test_steps_with_different_leaves_or_static_arguments_are_not_folded() -> None:
    leaves, slices = [leaf(2, 2) for _ in range(12)], ag.unstack(leaf(12, 2, 2))
    assert folds(long_chain(lambda x, t: x * slices[t]))
    assert not folds(long_chain(lambda x, t: x * slices[UNEVEN[t]]))
    assert not folds(long_chain(lambda x, t: x * leaves[t]))
    assert not folds(long_chain(lambda x, t: x ** (t + 1)))
    assert not folds(long_chain(lambda x, t: ag.stack([x[0], x[1]], axis=UNEVEN[t] % 2)))
    assert not folds(long_chain(lambda x, t: 1 - x if UNEVEN[t] % 2 else x - 1))


def test_steps_with_irregular_connections_are_not_folded() -> None:
    states = [leaf(2, 2)]

    def step(x: Any, t: int) -> Any:
        states.append(ag.tanh(x) + states[UNEVEN[t]])
        return states[-1]

    assert not folds(long_chain(step))


def test_steps_of_different_shapes_are_not_folded() -> None:
    x = leaf(1)
    growing = [x + ag.ones(size) for size in range(1, 9)]
    parsed = parse(ag.draw(ag.stack([y.sum() for y in growing])))
    assert parsed.titles.count("sum") == parsed.titles.count("add") == 8


def test_the_first_step_is_drawn_whatever_precedes_it() -> None:
    x = ag.exp(leaf(2))
    for _ in range(8):
        x = ag.sin(ag.tanh(x))
    parsed = parse(ag.draw(x))
    assert folds(parsed) == [(6, ["tanh", "sin"])]
    assert parsed.titles.count("tanh") == 2


def test_steps_with_evenly_advancing_indices_are_folded() -> None:
    xs = leaf(40, 2)
    assert folds(parse(ag.draw(sum(ag.tanh(xs[t]) for t in range(0, 40, 2)))))
    assert not folds(parse(ag.draw([xs[t * t] for t in range(6)])))


def test_named_and_requested_results_are_drawn() -> None:
    x = leaf(2)
    ys = [x]
    for _ in range(20):
        ys.append(ag.tanh(ys[-1]))
    parsed = parse(ag.draw([ys[-1], ys[10]], {"y5": ys[5]}))
    assert "y5 = tanh" in parsed.titles
    assert len(parsed.bold) == 2
    assert operations(parsed).total() == 20


@given(programs())
def test_folds_count_all_operations_that_they_replace(tensors: list[ag.Tensor]) -> None:
    folded, full = parse(ag.draw(tensors)), parse(ag.draw(tensors, fold=False))
    assert operations(folded) == operations(full)
    assert folded.roles.count("leaf") == full.roles.count("leaf")
