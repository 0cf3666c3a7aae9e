"""Recurrences folded in pictures of the graph: what is hidden, and that nothing else is."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from svg import Seen, elman, folds, leaf, operations, programs, read

import autograd as ag
from tinygrad_rnn import nn


@pytest.mark.parametrize("steps", [5, 6, 100])
def test_a_loop_is_its_first_and_its_last_step_with_the_others_folded(steps: int) -> None:
    last, names = elman(steps)
    seen = read(ag.draw(last, names))
    ((hidden, each),) = folds(seen)
    assert hidden == steps - 2
    assert sorted(each) == ["add", "linear", "linear", "tanh"]
    assert Counter(seen.titles)["tanh"] == 2
    assert seen.links["W", f"… {hidden} equal steps …"] == f"×{hidden}"


def test_short_loops_and_unfolded_ones_are_drawn_in_full() -> None:
    for steps, fold in [(1, True), (2, True), (4, True), (30, False)]:
        seen = read(ag.draw(elman(steps)[0], fold=fold))
        assert not folds(seen)
        assert operations(seen)["tanh"] == steps


def test_the_four_gates_of_a_cell_are_no_loop() -> None:
    x, w = leaf(1, 3), leaf(3, 3)
    gates = [ag.sigmoid(ag.linear(x, w)) for _ in range(4)]
    assert not folds(read(ag.draw(gates)))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_is_folded_between_unstack_and_stack(reverse: bool) -> None:
    cell, xs = nn.LSTMCell(2, 3), leaf(100, 4, 2)
    state = cell.initial_state(4)
    _, ys = ag.scan(cell.step, state, cell.precompute(xs), reverse=reverse)
    seen = read(ag.draw(ys.sum(), cell))
    ((hidden, each),) = folds(seen)
    fold = "… 98 equal steps …"
    assert hidden == 98
    assert Counter(each)["sigmoid"] == 3
    assert seen.links["unstack", fold] == "1…98"
    assert seen.links[fold, "stack"] == "×98"
    assert seen.links["weight_hh", fold] == "×98"
    assert seen.box("unstack")[1] == "100 × (4, 12) float32"


def test_every_layer_and_the_loss_of_every_step_fold_by_themselves() -> None:
    lstm = nn.LSTM(2, 3, num_layers=2)
    ys, _ = lstm(ag.ones((20, 1, 2)))
    loss = sum((y * y).sum() for y in ys)
    assert sorted(steps for steps, _ in folds(read(ag.draw(loss)))) == [18, 18, 18]


@given(st.integers(5, 12), st.data())
def test_a_step_that_differs_is_always_in_sight(steps: int, data: st.DataObject) -> None:
    odd = data.draw(st.integers(0, steps - 1))
    seen = read(ag.draw(elman(steps, odd)[0]))
    assert seen.titles.count("sin") == 1
    assert operations(seen) == {"sin": 1, "tanh": steps - 1, "linear": 2 * steps, "add": steps}


def long_chain(step: Any) -> Seen:
    """x = step(x, t), twelve times."""
    x = leaf(2, 2)
    for t in range(12):
        x = step(x, t)
    return read(ag.draw(x))


UNEVEN = (0, 0, 1, 0, 2, 1, 4, 0, 3, 1, 6, 2)


def test_steps_with_other_leaves_exponents_axes_or_arguments_are_not_equal() -> None:
    leaves, slices = [leaf(2, 2) for _ in range(12)], ag.unstack(leaf(12, 2, 2))
    assert folds(long_chain(lambda x, t: x * slices[t]))
    assert not folds(long_chain(lambda x, t: x * slices[UNEVEN[t]]))
    assert not folds(long_chain(lambda x, t: x * leaves[t]))
    assert not folds(long_chain(lambda x, t: x ** (t + 1)))
    assert not folds(long_chain(lambda x, t: ag.stack([x[0], x[1]], axis=UNEVEN[t] % 2)))
    assert not folds(long_chain(lambda x, t: 1 - x if UNEVEN[t] % 2 else x - 1))


def test_steps_that_reach_back_unevenly_are_not_equal() -> None:
    kept = [leaf(2, 2)]

    def step(x: Any, t: int) -> Any:
        kept.append(ag.tanh(x) + kept[UNEVEN[t]])
        return kept[-1]

    assert not folds(long_chain(step))


def test_steps_of_other_shapes_are_not_equal() -> None:
    x = leaf(1)
    growing = [x + ag.ones(size) for size in range(1, 9)]
    seen = read(ag.draw(ag.stack([y.sum() for y in growing])))
    assert seen.titles.count("sum") == seen.titles.count("add") == 8


def test_the_first_step_stays_in_sight_whatever_stands_before_it() -> None:
    x = ag.exp(leaf(2))
    for _ in range(8):
        x = ag.sin(ag.tanh(x))
    seen = read(ag.draw(x))
    assert folds(seen) == [(6, ["tanh", "sin"])]
    assert seen.titles.count("tanh") == 2


def test_indices_that_advance_evenly_are_equal_steps() -> None:
    xs = leaf(40, 2)
    assert folds(read(ag.draw(sum(ag.tanh(xs[t]) for t in range(0, 40, 2)))))
    assert not folds(read(ag.draw([xs[t * t] for t in range(6)])))


def test_named_and_asked_results_are_not_hidden() -> None:
    x = leaf(2)
    ys = [x]
    for _ in range(20):
        ys.append(ag.tanh(ys[-1]))
    seen = read(ag.draw([ys[-1], ys[10]], {"y5": ys[5]}))
    assert "y5 = tanh" in seen.titles
    assert len(seen.bold) == 2
    assert operations(seen).total() == 20


@given(programs())
def test_folding_hides_nothing_but_what_it_counts(tensors: list[ag.Tensor]) -> None:
    folded, full = read(ag.draw(tensors)), read(ag.draw(tensors, fold=False))
    assert operations(folded) == operations(full)
    assert folded.roles.count("leaf") == full.roles.count("leaf")
