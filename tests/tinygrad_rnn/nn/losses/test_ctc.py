"""CTC loss: all alignments, padding, reductions, errors."""

import math
from itertools import groupby, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from tinygrad_rnn.nn import functional as F

seeds = st.integers(0, 2**32 - 1)


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    """Merge repeated classes and remove blanks."""
    return [symbol for symbol, _ in groupby(path) if symbol != blank]


@given(st.integers(0, 4), st.integers(1, 3), st.data())
def test_ctc_sums_over_all_alignments(T: int, C: int, data: st.DataObject) -> None:
    blank = data.draw(st.integers(0, C - 1))
    labels = st.sampled_from([c for c in range(C) if c != blank] or [blank])
    target = data.draw(st.lists(labels, max_size=3 if C > 1 else 0))
    log_p = np.log(np.random.default_rng(data.draw(seeds)).dirichlet(np.ones(C), T))
    total = sum(
        math.exp(sum(log_p[t, symbol] for t, symbol in enumerate(path)))
        for path in product(range(C), repeat=T)
        if collapsed(path, blank) == target
    )
    loss = F.ctc_loss(ag.tensor(log_p), np.array(target, int), T, len(target), blank, "sum")
    expected = -math.log(total) if total else math.inf
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_padding_does_not_affect_ctc() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 2, 3))
    x = ag.tensor(scores, requires_grad=True)
    targets = np.array([[1, 2, -7], [2, 99, 99]])  # arbitrary padding
    batch_losses = F.ctc_loss(
        ag.log_softmax(x), targets, [5, 3], ag.tensor([2, 1]), reduction="none"
    )
    batch_losses.sum().backward()
    assert x.grad is not None
    assert not x.grad.numpy()[3:, 1].any()
    for n, (steps, labels) in enumerate(((5, [1, 2]), (3, [2]))):
        single = F.ctc_loss(
            ag.log_softmax(ag.tensor(scores[:steps, n])),
            labels,
            steps,
            len(labels),
            reduction="sum",
        )
        assert single.item() == pytest.approx(batch_losses[n].item(), rel=1e-12)


def test_mean_reduction_divides_by_target_lengths() -> None:
    log_p = ag.log_softmax(ag.tensor(np.random.default_rng(0).normal(size=(5, 3, 4))))
    arguments = np.array([[1, 2, 3], [1, 0, 0], [0, 0, 0]]), [5, 5, 5], [3, 1, 0]
    losses = F.ctc_loss(log_p, *arguments, reduction="none").numpy()
    mean = F.ctc_loss(log_p, *arguments).item()
    assert mean == pytest.approx((losses / [3, 1, 1]).mean(), rel=1e-12)


def test_a_target_too_long_for_its_input_has_infinite_loss() -> None:
    x = ag.tensor(np.zeros((2, 2, 3)), requires_grad=True)
    arguments = np.array([[1, 1], [1, 2]]), [2, 2], [2, 2]  # a repeated label requires a blank
    assert F.ctc_loss(x, *arguments, reduction="none").tolist() == [math.inf, 0]
    F.ctc_loss(x, *arguments, reduction="sum", zero_infinity=True).backward()
    assert x.grad is not None
    assert not x.grad.numpy()[:, 0].any()
    assert x.grad.numpy()[:, 1].sum() == -2


log_probs = ag.tensor(np.zeros((4, 2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((log_probs[0, 0], [1], 1, 1), r"\(T, N, C\), or \(T, C\) without a batch, got \(3,\)"),
        (
            (log_probs, [[1], [2]], [4, 5], [1, 1]),
            "input_lengths to have value at most 4, but got 5",
        ),
        (
            (log_probs, [[1], [2]], [4, -1], [1, 1]),
            "input_lengths must be non-negative integers, got -1",
        ),
        ((log_probs, [[1], [2]], [4], [1, 1]), r"input_lengths must be one integer .* 2 sequences"),
        ((log_probs, [[1], [2]], [4, 4], [1.0, 1.0]), "target_lengths must be one integer"),
        (
            (log_probs, [[1], [2]], [4, 4], [1, 2]),
            r"2 sequences of lengths \[1, 2\], got shape \(2, 1\)",
        ),
        ((log_probs, [1, 2, 1], [4, 4], [1, 1]), r"2 sequences .* got shape \(3,\)"),
        ((log_probs, [[1], [3]], [4, 4], [1, 1]), "labels from 0 to 2 .*, got 3"),
        ((log_probs, [[1], [-1]], [4, 4], [1, 1]), "labels from 0 to 2 .*, got -1"),
        ((log_probs, [[1], [0]], [4, 4], [1, 1]), "must not contain the blank, 0"),
        (
            (log_probs, [[1], [2]], [4, 4], [1, 1], 3),
            "blank must be in label range: from 0 to 2, got 3",
        ),
    ],
)
def test_ctc_errors(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        F.ctc_loss(*arguments)
