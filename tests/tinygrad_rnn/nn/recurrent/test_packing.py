"""Ragged batches, padded and packed, as in torch.nn.utils.rnn."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrences import assert_close, sum_of_squares

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn import nn
from tinygrad_rnn.nn.recurrent.packing import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)


@st.composite
def sequences(draw: st.DrawFn, least: int = 1) -> list[np.ndarray]:
    """Some sequences (length, 2) of different numbers, the first row of the first 1, 2."""
    lengths = draw(st.lists(st.integers(least, 5), min_size=1, max_size=5))
    numbers = iter(np.arange(1.0, 100.0))
    return [np.array([next(numbers) for _ in range(2 * n)]).reshape(n, 2) for n in lengths]


def same(ours: Any, theirs: Any) -> None:
    np.testing.assert_array_equal(
        *(a.numpy() if isinstance(a, ag.Tensor) else np.asarray(a) for a in (ours, theirs))
    )


def test_a_packed_batch_is_ordered_by_time() -> None:
    a, b, c = np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0]), np.array([6.0])
    packed = pack_sequence([a, b, c], enforce_sorted=False)
    same(packed.data, [3, 1, 6, 4, 2, 5])
    same(packed.batch_sizes, [3, 2, 1])
    same(packed.sorted_indices, [1, 0, 2])
    same(packed.unsorted_indices, [1, 0, 2])
    in_order = pack_sequence([b, a, c])
    same(in_order.data, packed.data)
    assert in_order.sorted_indices is in_order.unsorted_indices is None


@given(sequences(), st.booleans(), st.integers(0, 3))
def test_packing_and_padding_undo_each_other(
    given_: list[np.ndarray], batch_first: bool, more: int
) -> None:
    lengths = [len(x) for x in given_]
    padded = pad_sequence(given_, batch_first)
    packed = pack_padded_sequence(padded, lengths, batch_first, enforce_sorted=False)
    assert len(packed.data) == sum(lengths)
    total = max(lengths) + more
    again, found = pad_packed_sequence(packed, batch_first, -1.0, total)
    same(found, lengths)
    expected = np.full((len(lengths), total, 2), -1.0)
    for b, x in enumerate(given_):
        expected[b, : len(x)] = x
    same(again, expected if batch_first else expected.swapaxes(0, 1))
    for ours, theirs in zip(unpack_sequence(packed), given_, strict=True):
        same(ours, theirs)


@given(sequences(), st.booleans())
def test_packs_as_pytorch_does(given_: list[np.ndarray], enforce_sorted: bool) -> None:
    torch = pytest.importorskip("torch")
    given_ = sorted(given_, key=len, reverse=True) if enforce_sorted else given_
    ours = pack_sequence(given_, enforce_sorted)
    theirs = torch.nn.utils.rnn.pack_sequence([torch.tensor(x) for x in given_], enforce_sorted)
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine is None) == (its is None)
        same(mine if mine is not None else 0, its if its is not None else 0)


@given(sequences(least=0), st.booleans(), st.sampled_from(["left", "right"]))
def test_pad_sequence(given_: list[np.ndarray], batch_first: bool, side: str) -> None:
    padded = pad_sequence(given_, batch_first, -1.0, side)
    longest = max(len(x) for x in given_)
    assert padded.shape == ((len(given_), longest, 2) if batch_first else (longest, len(given_), 2))
    rows = padded if batch_first else padded.swapaxes(0, 1)
    for b, x in enumerate(given_):
        gap = np.full((longest - len(x), 2), -1.0)
        same(rows[b], np.concatenate([gap, x] if side == "left" else [x, gap]))
    if side == "right":
        lengths = [len(x) for x in given_]
        for ours, theirs in zip(unpad_sequence(padded, lengths, batch_first), given_, strict=True):
            same(ours, theirs)


def test_gradients_pass_through_packing() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 3, 2))

    def there_and_back(x: Any, y: Any) -> Any:
        packed = pack_sequence([x[:2], y], enforce_sorted=False)
        padded, _ = pad_packed_sequence(packed._replace(data=packed.data**2))
        return padded, pad_sequence([y, x[:1]], padding_side="left")

    check_gradients(there_and_back, x, y)


# Layers


@given(sequences(), st.booleans(), st.sampled_from([nn.RNN, nn.GRU, nn.LSTM]))
def test_a_layer_takes_and_returns_packed_sequences(
    given_: list[np.ndarray], bidirectional: bool, make: Any
) -> None:
    """The same as with lengths=, states in the caller's order; batch_first does not matter."""
    lengths = [len(x) for x in given_]
    layer = make(2, 3, 2, bidirectional=bidirectional, dtype="float64")
    hx = ag.tree_map(
        lambda leaf: ag.tensor(np.random.default_rng(0).normal(size=leaf.shape)),
        layer(pad_sequence(given_))[1],
    )
    y, state = layer(pad_sequence(given_), hx, lengths=lengths)
    packed = pack_sequence(given_, enforce_sorted=False)
    for layer.batch_first in (False, True):
        z, last = layer(packed, hx)
        assert isinstance(z, PackedSequence)
        assert z._replace(data=None) == packed._replace(data=None)
        assert_close(pad_packed_sequence(z)[0], y)
        ag.tree_map(assert_close, last, state)


def test_a_packed_sequence_made_by_hand() -> None:
    """`PackedSequence(data, batch_sizes)` is in the order of its data."""
    packed = PackedSequence(ag.tensor(np.arange(8.0).reshape(4, 2)), np.array([2, 1, 1]))
    y, h = nn.GRU(2, 3, dtype="float64")(packed)
    same(h[0], y.data[np.array([3, 1])])


def test_a_packed_sequence_has_gradients() -> None:
    x = ag.tensor(np.ones((3, 2, 2)), requires_grad=True)
    y, h = nn.GRU(2, 3, dtype="float64")(pack_padded_sequence(x, [3, 1]))
    sum_of_squares(y.data, h).backward()
    assert x.grad is not None
    assert (x.grad.numpy() != 0).any(-1).tolist() == [[True, True], [True, False], [True, False]]


def test_utils_has_the_names_too() -> None:
    assert nn.utils.pad_sequence is nn.utils.rnn.pad_sequence is pad_sequence


# What does not fit


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: pack_padded_sequence(x, [1, 3]), "sorted in decreasing order when `enforce_s"),
        (lambda x: pack_padded_sequence(x, [3, 0]), "Length of all samples has to be greater than"),
        (lambda x: pack_padded_sequence(x, [4, 1]), "length 4 does not fit in 3 steps"),
        (lambda x: pack_padded_sequence(x, [3]), r"expected `len\(lengths\)` to be equal to batch"),
        (lambda x: pack_padded_sequence(x, [3.0, 1.0]), "one integer for each sequence"),
        (lambda x: pack_padded_sequence(x[:, :0], []), "batch_size 0, at least 1"),
        (
            lambda x: pad_packed_sequence(pack_padded_sequence(x, [3, 1]), total_length=2),
            "Expected total_length to be at least the length of the longest .* total_length=2",
        ),
        (lambda x: pad_sequence([]), "at least one sequence"),
        (lambda x: pad_sequence([x[0], x[0, :, :1]]), "agree in all axes but the first"),
        (lambda x: pad_sequence([x], padding_side="top"), "padding_side must be"),
        (
            lambda x: nn.GRU(2, 3)(pack_padded_sequence(x, [3, 1]), lengths=[3, 1]),
            "knows its lengths",
        ),
        (lambda x: nn.GRU(3, 3)(pack_padded_sequence(x, [3, 1])), "Expected 3, got 2"),
        (
            lambda x: nn.GRU(2, 3)(pack_padded_sequence(x, [3, 1]), ag.zeros((1, 3, 3))),
            r"Expected hidden size \(1, 2, 3\), got \(1, 3, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(ag.zeros((3, 2, 2)))


@pytest.mark.parametrize(
    ("lengths", "order"),
    [([2, 3, 2, 3], [1, 3, 0, 2]), ([1, 1, 1], [0, 1, 2]), ([1, 2, 2], [1, 2, 0])],
)
def test_sequences_of_the_same_length_keep_their_order(
    lengths: list[int], order: list[int]
) -> None:
    packed = pack_padded_sequence(np.zeros((3, len(lengths), 1)), lengths, enforce_sorted=False)
    assert packed.sorted_indices is not None
    assert packed.sorted_indices.tolist() == order


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "int8"])
def test_lengths_of_any_integer_type_must_descend(dtype: str) -> None:
    lengths = np.array([2, 3], dtype)
    with pytest.raises(ValueError, match=r"sorted in decreasing order .* got \[2, 3\]"):
        pack_padded_sequence(np.zeros((3, 2, 1)), lengths)
    packed = pack_padded_sequence(np.zeros((3, 2, 1)), lengths, enforce_sorted=False)
    assert packed.sorted_indices is not None
    assert packed.sorted_indices.tolist() == [1, 0]
