"""Padded and packed ragged batches, as in torch.nn.utils.rnn."""

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
    """Draw sequences (length, 2) of distinct numbers."""
    lengths = draw(st.lists(st.integers(least, 5), min_size=1, max_size=5))
    numbers = iter(np.arange(1.0, 100.0))
    return [np.array([next(numbers) for _ in range(2 * n)]).reshape(n, 2) for n in lengths]


def assert_equal(actual: Any, expected: Any) -> None:
    np.testing.assert_array_equal(
        *(a.numpy() if isinstance(a, ag.Tensor) else np.asarray(a) for a in (actual, expected))
    )


def test_rows_of_a_packed_batch_are_ordered_by_time() -> None:
    a, b, c = np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0]), np.array([6.0])
    packed = pack_sequence([a, b, c], enforce_sorted=False)
    assert_equal(packed.data, [3, 1, 6, 4, 2, 5])
    assert_equal(packed.batch_sizes, [3, 2, 1])
    assert_equal(packed.sorted_indices, [1, 0, 2])
    assert_equal(packed.unsorted_indices, [1, 0, 2])
    in_order = pack_sequence([b, a, c])
    assert_equal(in_order.data, packed.data)
    assert in_order.sorted_indices is in_order.unsorted_indices is None


@given(sequences(), st.booleans(), st.integers(0, 3))
def test_packing_and_padding_are_inverse(
    arrays: list[np.ndarray], batch_first: bool, extra: int
) -> None:
    lengths = [len(x) for x in arrays]
    padded = pad_sequence(arrays, batch_first)
    packed = pack_padded_sequence(padded, lengths, batch_first, enforce_sorted=False)
    assert len(packed.data) == sum(lengths)
    total = max(lengths) + extra
    padded_again, packed_lengths = pad_packed_sequence(packed, batch_first, -1.0, total)
    assert_equal(packed_lengths, lengths)
    expected = np.full((len(lengths), total, 2), -1.0)
    for b, x in enumerate(arrays):
        expected[b, : len(x)] = x
    assert_equal(padded_again, expected if batch_first else expected.swapaxes(0, 1))
    for actual, original in zip(unpack_sequence(packed), arrays, strict=True):
        assert_equal(actual, original)


@given(sequences(), st.booleans())
def test_pack_sequence_equals_pytorch(arrays: list[np.ndarray], enforce_sorted: bool) -> None:
    torch = pytest.importorskip("torch")
    arrays = sorted(arrays, key=len, reverse=True) if enforce_sorted else arrays
    packed = pack_sequence(arrays, enforce_sorted)
    reference = torch.nn.utils.rnn.pack_sequence([torch.tensor(x) for x in arrays], enforce_sorted)
    for actual, expected in zip(packed, reference, strict=True):
        assert (actual is None) == (expected is None)
        assert_equal(0 if actual is None else actual, 0 if expected is None else expected)


@given(sequences(least=0), st.booleans(), st.sampled_from(["left", "right"]))
def test_pad_sequence(arrays: list[np.ndarray], batch_first: bool, side: str) -> None:
    padded = pad_sequence(arrays, batch_first, -1.0, side)
    longest = max(len(x) for x in arrays)
    assert padded.shape == ((len(arrays), longest, 2) if batch_first else (longest, len(arrays), 2))
    rows = padded if batch_first else padded.swapaxes(0, 1)
    for b, x in enumerate(arrays):
        gap = np.full((longest - len(x), 2), -1.0)
        assert_equal(rows[b], np.concatenate([gap, x] if side == "left" else [x, gap]))
    if side == "right":
        lengths = [len(x) for x in arrays]
        unpadded = unpad_sequence(padded, lengths, batch_first)
        for actual, original in zip(unpadded, arrays, strict=True):
            assert_equal(actual, original)


def test_gradients_pass_through_packing() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 3, 2))

    def pack_and_pad(x: Any, y: Any) -> Any:
        packed = pack_sequence([x[:2], y], enforce_sorted=False)
        padded, _ = pad_packed_sequence(packed._replace(data=packed.data**2))
        return padded, pad_sequence([y, x[:1]], padding_side="left")

    check_gradients(pack_and_pad, x, y)


# Layers


@given(sequences(), st.booleans(), st.sampled_from([nn.RNN, nn.GRU, nn.LSTM]))
def test_layers_accept_and_return_packed_sequences(
    arrays: list[np.ndarray], bidirectional: bool, make: Any
) -> None:
    """Results equal those with lengths=, in the caller's order, regardless of batch_first."""
    lengths = [len(x) for x in arrays]
    layer = make(2, 3, 2, bidirectional=bidirectional, dtype="float64")
    hx = ag.tree_map(
        lambda leaf: ag.tensor(np.random.default_rng(0).normal(size=leaf.shape)),
        layer(pad_sequence(arrays))[1],
    )
    y, state = layer(pad_sequence(arrays), hx, lengths=lengths)
    packed = pack_sequence(arrays, enforce_sorted=False)
    for layer.batch_first in (False, True):
        z, last = layer(packed, hx)
        assert isinstance(z, PackedSequence)
        assert z._replace(data=None) == packed._replace(data=None)
        assert_close(pad_packed_sequence(z)[0], y)
        ag.tree_map(assert_close, last, state)


def test_constructing_a_packed_sequence() -> None:
    """`PackedSequence(data, batch_sizes)` has the order of its data."""
    packed = PackedSequence(ag.tensor(np.arange(8.0).reshape(4, 2)), np.array([2, 1, 1]))
    y, h = nn.GRU(2, 3, dtype="float64")(packed)
    assert_equal(h[0], y.data[np.array([3, 1])])


def test_gradients_of_a_packed_sequence() -> None:
    x = ag.tensor(np.ones((3, 2, 2)), requires_grad=True)
    y, h = nn.GRU(2, 3, dtype="float64")(pack_padded_sequence(x, [3, 1]))
    sum_of_squares(y.data, h).backward()
    assert x.grad is not None
    assert (x.grad.numpy() != 0).any(-1).tolist() == [[True, True], [True, False], [True, False]]


def test_utils_exports_the_functions() -> None:
    assert nn.utils.pad_sequence is nn.utils.rnn.pad_sequence is pad_sequence


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: pack_padded_sequence(x, [1, 3]), "sorted in decreasing order when `enforce_s"),
        (lambda x: pack_padded_sequence(x, [3, 0]), "Length of all samples has to be greater than"),
        (lambda x: pack_padded_sequence(x, [4, 1]), "at most the 3 steps of the input, got 4"),
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
            "contains its lengths",
        ),
        (lambda x: nn.GRU(3, 3)(pack_padded_sequence(x, [3, 1])), "Expected 3, got 2"),
        (
            lambda x: nn.GRU(2, 3)(pack_padded_sequence(x, [3, 1]), ag.zeros((1, 3, 3))),
            r"Expected hidden size \(1, 2, 3\), got \(1, 3, 3\)",
        ),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(ag.zeros((3, 2, 2)))


@pytest.mark.parametrize(
    ("lengths", "order"),
    [([2, 3, 2, 3], [1, 3, 0, 2]), ([1, 1, 1], [0, 1, 2]), ([1, 2, 2], [1, 2, 0])],
)
def test_sorting_by_length_is_stable(lengths: list[int], order: list[int]) -> None:
    packed = pack_padded_sequence(np.zeros((3, len(lengths), 1)), lengths, enforce_sorted=False)
    assert packed.sorted_indices is not None
    assert packed.sorted_indices.tolist() == order


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "int8"])
def test_unsorted_lengths_of_any_integer_type(dtype: str) -> None:
    lengths = np.array([2, 3], dtype)
    with pytest.raises(ValueError, match=r"sorted in decreasing order .* got \[2, 3\]"):
        pack_padded_sequence(np.zeros((3, 2, 1)), lengths)
    packed = pack_padded_sequence(np.zeros((3, 2, 1)), lengths, enforce_sorted=False)
    assert packed.sorted_indices is not None
    assert packed.sorted_indices.tolist() == [1, 0]
