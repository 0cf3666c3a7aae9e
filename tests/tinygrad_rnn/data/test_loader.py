"""Loaders: the content and order of batches, and resuming from any position."""

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers import on_host
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from tinygrad_rnn import data
from tinygrad_rnn.data.loader import BATCHES_PER_POOL

sizes = st.integers(1, 40), st.integers(1, 9)
flags = st.booleans(), st.booleans(), st.booleans()


def make_loader(n: int, size: int, shuffle: bool, drop: bool, bucketed: bool, seed: int = 3) -> Any:
    """Return a loader of the numbers 0 to n - 1."""
    lengths = [(7 * i) % 5 for i in range(n)] if bucketed else None
    return data.DataLoader(
        range(n),
        size,
        shuffle,
        drop_last=drop and size <= n,
        generator=ag.Generator(seed),
        lengths=lengths,
    )


def to_lists(batches: Any) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@given(*sizes, *flags)
def test_an_epoch_has_every_example_once(
    n: int, size: int, shuffle: bool, drop: bool, bucketed: bool
) -> None:
    loader = make_loader(n, size, shuffle, drop, bucketed)
    for _ in range(2):
        batches = to_lists(loader)
        numbers = [number for batch in batches for number in batch]
        assert len(batches) == len(loader)
        assert len(set(numbers)) == len(numbers)
        if drop and size <= n:
            assert {len(batch) for batch in batches} == {size}
            assert len(numbers) == n - n % size
        else:
            assert len(numbers) == n
        if not (shuffle or bucketed):
            assert numbers == sorted(numbers)


@given(*sizes, *flags, st.integers(0, 60))
def test_a_loader_resumes_from_any_position(
    n: int, size: int, shuffle: bool, drop: bool, bucketed: bool, batches_read: int
) -> None:
    """A copy that restores the state after some batches continues like the original."""
    original = make_loader(n, size, shuffle, drop, bucketed)

    def stream(loader: Any) -> Any:
        while True:
            yield from loader

    batches = stream(original)
    for _ in range(batches_read):
        next(batches)
    state = json.loads(json.dumps(original.state_dict()))
    copy = make_loader(n, size, shuffle, drop, bucketed, seed=99)
    copy.load_state_dict(state)
    rest = stream(copy)
    for _ in range(2 * len(original) + 1):
        assert next(rest).tolist() == next(batches).tolist()
    assert copy.state_dict() == original.state_dict()


def test_the_next_epoch_follows_the_last_batch() -> None:
    original, copy = (make_loader(10, 3, True, False, False) for _ in range(2))
    to_lists(original)
    copy.load_state_dict(original.state_dict())
    assert to_lists(copy) == to_lists(original) != []


def test_orders_depend_on_the_seed_and_the_epoch() -> None:
    one, other = (make_loader(30, 4, True, False, False, seed) for seed in (1, 2))
    first, second = to_lists(one), to_lists(one)
    assert first != second
    assert first != to_lists(other)
    same_seed = make_loader(30, 4, True, False, False, 1)
    assert [to_lists(same_seed), to_lists(same_seed)] == [first, second]


def test_the_order_follows_manual_seed() -> None:
    orders = []
    for seed in (5, 5, 6):
        ag.manual_seed(seed)
        orders.append(to_lists(data.DataLoader(range(50), 7, True)))
    assert orders[0] == orders[1] != orders[2]


def test_all_orders_are_equally_likely() -> None:
    """Three examples over many epochs: chi-squared is below its 99.9% quantile at 5 degrees."""
    loader = data.DataLoader(range(3), 3, True, generator=ag.Generator(0))
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(1200):
        (order,) = to_lists(loader)
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 6
    assert sum((n - 200) ** 2 / 200 for n in counts.values()) < 20.5


def test_batches_have_similar_lengths_if_lengths_are_given() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 4 * BATCHES_PER_POOL)
    unsorted = data.DataLoader(lengths, 4, True, generator=ag.Generator(0))
    by_length = data.DataLoader(lengths, 4, True, generator=ag.Generator(0), lengths=lengths)

    def padding(loader: Any) -> int:
        return sum(4 * max(batch) - sum(batch) for batch in to_lists(loader))

    assert padding(by_length) < padding(unsorted) / 10
    maxima = [max(batch) for batch in to_lists(by_length)]
    assert maxima != sorted(maxima)


def test_a_replaced_iteration_raises() -> None:
    loader = data.DataLoader(range(4))
    abandoned = iter(loader)
    next(abandoned)
    next(iter(loader))
    with pytest.raises(RuntimeError, match="iterator is stale"):
        next(abandoned)


def test_a_dataset_of_tensors(device: str) -> None:
    xs, ys = np.arange(10.0).reshape(5, 2), np.arange(5)
    dataset = data.TensorDataset(xs, ag.tensor(ys))
    (first, one), (second, other), (third, last) = data.DataLoader(dataset, 2)
    assert first.device == one.device == device
    assert first.dtype == np.float64
    np.testing.assert_array_equal(on_host(ag.concatenate((first, second, third))), xs)
    np.testing.assert_array_equal(on_host(ag.concatenate((one, other, last))), ys)
    x, y = dataset[3]
    assert (x.tolist(), y.item()) == ([6.0, 7.0], 3)


def test_items_can_be_batches() -> None:
    batches = ["a", "b", "c"]
    assert list(data.DataLoader(batches, batch_size=None)) == batches


def test_examples_are_collated_by_type(device: str) -> None:
    examples = [
        {"x": np.array([1.0, 2.0], np.float32), "y": (3, 0.5, "a"), "t": ag.tensor([True])},
        {"x": np.array([3.0, 4.0], np.float32), "y": (4, 1.5, "b"), "t": ag.tensor([False])},
    ]
    assert data.collate([np.bool_(True), np.bool_(False)]).tolist() == [True, False]
    batch = data.collate(examples)
    assert batch["x"].dtype == np.float32
    assert batch["x"].device == batch["t"].device == device
    assert batch["x"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    numbers, fractions, words = batch["y"]
    assert (numbers.tolist(), fractions.tolist(), words) == ([3, 4], [0.5, 1.5], ["a", "b"])
    assert (numbers.dtype, fractions.dtype) == (np.int64, np.float32)
    assert batch["t"].tolist() == [[True], [False]]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_padding_preserves_every_step(lengths: list[int], batch_first: bool, tensors: bool) -> None:
    sequences = [np.full((n, 2), i + 1, np.float32) for i, n in enumerate(lengths)]
    examples = [(ag.tensor(s) if tensors else s, i) for i, s in enumerate(sequences)]
    collate = partial(data.pad_collate, batch_first=batch_first, padding_value=-7)
    padded, counts, labels = collate(examples)
    assert (counts.tolist(), labels.tolist()) == (lengths, list(range(len(lengths))))
    rows = padded.numpy() if batch_first else padded.numpy().swapaxes(0, 1)
    assert rows.shape == (len(lengths), max(lengths), 2)
    for row, sequence, length in zip(rows, sequences, lengths, strict=True):
        np.testing.assert_array_equal(row[:length], sequence)
        assert (row[length:] == -7).all()


def test_two_ragged_fields_have_separate_lengths_and_padding(device: str) -> None:
    examples = [(np.array([1, 2, 3]), np.array([4])), (np.array([5]), np.array([6, 7]))]
    x, nx, y, ny = data.pad_collate(examples, padding_value=(0, -100))
    assert x.tolist() == [[1, 5], [2, 0], [3, 0]]
    assert y.tolist() == [[4, 6], [-100, 7]]
    assert (nx.tolist(), ny.tolist()) == ([3, 1], [1, 2])
    assert (x.dtype, x.device) == (np.int64, device)


def test_integers_and_floats_are_padded_as_floats() -> None:
    padded, _ = data.pad_collate([np.array([1, 2]), np.array([0.5, 1.5, 2.5])])
    assert padded.tolist() == [[1, 0.5], [2, 1.5], [0, 2.5]]


def test_single_sequences_are_padded() -> None:
    padded, lengths = data.pad_collate([[1.0, 2.0], [3.0, 4.0, 5.0]])
    assert padded.dtype == np.float32  # the dtype of Python floats
    assert padded.shape == (3, 2)
    assert lengths.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [([6, 4], [6, 4]), ([0.6, 0.4], [6, 4]), ([1 / 3, 1 / 3, 1 / 3], [4, 3, 3]), ([1.0], [10])],
)
def test_random_split(lengths: list[float], expected: list[int]) -> None:
    parts = data.random_split(range(10), lengths, ag.Generator(1))
    assert [len(part) for part in parts] == expected
    numbers = [part[i] for part in parts for i in range(len(part))]
    assert sorted(numbers) == list(range(10))
    assert numbers != sorted(numbers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.DataLoader([]), "the dataset is empty"),
        (lambda: data.DataLoader([1], 0), "positive integer or None, got 0"),
        (lambda: data.DataLoader([1], True), "positive integer or None, got True"),
        (lambda: data.DataLoader([1], 2, drop_last=True), "1 examples do not fill a batch of 2"),
        (lambda: data.DataLoader([1], lengths=[1, 2]), "got 2 for 1 examples"),
        (lambda: data.DataLoader([1], None, drop_last=True), "must not be given"),
        (lambda: data.TensorDataset(), "got none"),
        (lambda: data.TensorDataset(np.ones(2), np.ones(3)), r"\(2,\), \(3,\)"),
        (lambda: data.collate([np.ones(2), np.ones(3)]), "collate_fn=data.pad_collate"),
        (lambda: data.pad_collate([np.ones((2, 1)), np.ones((2, 3))]), "all axes but the first"),
        (lambda: data.random_split(range(4), [1, 2]), "sum to the length of the dataset, 4"),
        (lambda: data.random_split(range(4), [0.5, 0.4]), "fractions that sum to 1"),
        (lambda: data.random_split(range(4), [5, -1]), "non-negative integers"),
    ],
)
def test_invalid_arguments_raise(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_position_in_other_data_raises() -> None:
    state = data.DataLoader(range(5)).state_dict()
    with pytest.raises(ValueError, match="of 5 examples, but this dataset has 6"):
        data.DataLoader(range(6)).load_state_dict(state)


@pytest.mark.parametrize("examples", [1, 2, 3, 7, 30, 257])
@pytest.mark.parametrize("by_length", [False, True])
def test_streams_of_different_epochs_do_not_overlap(
    monkeypatch: pytest.MonkeyPatch, examples: int, by_length: bool
) -> None:
    """Overlapping sections would correlate the orders."""
    sections: list[tuple[int, int]] = []
    words = ag.Generator.words

    def record_words(self: ag.Generator, count: int, device: str | None = None) -> Any:
        start = self.state["block"]
        result = words(self, count, device)
        sections.append((start, self.state["block"]))
        return result

    loader = data.DataLoader(
        range(examples), 2, shuffle=True, lengths=range(examples) if by_length else None
    )
    monkeypatch.setattr(ag.Generator, "words", record_words)
    for epoch in range(1, 9):
        loader.batches(epoch)
    assert len(sections) == 8 * (1 + by_length)
    for (start, end), (following, _) in zip(sorted(sections), sorted(sections)[1:], strict=False):
        assert start < end <= following


@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_iteration_is_stale_after_a_position_was_restored(position: int) -> None:
    loader = data.DataLoader(range(12), 3)
    batches = iter(loader)
    next(batches)
    loader.load_state_dict(loader.state_dict() | {"position": position})
    with pytest.raises(RuntimeError, match="iterator is stale"):
        next(batches)
    assert [batch.tolist() for batch in loader] == [
        list(range(start, start + 3)) for start in range(3 * position, 12, 3)
    ]


@pytest.mark.parametrize("values", [[1], [1, 2], [3, 1, 2]])
def test_examples_of_equal_length_keep_their_order(values: list[int]) -> None:
    lengths = np.resize(values, 200)
    batches = data.DataLoader(range(200), 4, lengths=lengths)
    order = np.concatenate([batch.numpy() for batch in batches])
    assert order.tolist() == sorted(range(200), key=lambda example: int(lengths[example]))


@pytest.mark.parametrize(
    ("fractions", "total", "sizes"),
    [
        ([0.37, 0.63], 100, [37, 63]),
        ([0.001, 0.999], 2000, [2, 1998]),
        ([1 / 3, 1 / 3, 1 / 3], 10, [4, 3, 3]),
        ([5 / 17, 12 / 17], 34, [10, 24]),
    ],
)
def test_fractions_of_any_denominator_split_exactly(
    fractions: list[float], total: int, sizes: list[int]
) -> None:
    parts = data.random_split(range(total), fractions)
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices.tolist()) == list(range(total))


@pytest.mark.parametrize("per_epoch", [1, 3])
def test_generated_batches_are_distinct_and_reproducible(per_epoch: int) -> None:
    def make(seed: int) -> data.GeneratedBatches:
        generator = ag.Generator(seed)
        return data.GeneratedBatches(lambda rng: int(rng.integers(2**62)), per_epoch, generator)

    one = make(1)
    epochs = [list(one) for _ in range(4)]
    assert len({batch for epoch in epochs for batch in epoch}) == 4 * per_epoch
    same_seed, other = make(1), make(2)
    assert [list(same_seed) for _ in range(4)] == epochs
    assert not set(other) & set(epochs[0])
    other.load_state_dict({**same_seed.state_dict(), "epoch": 2, "position": 0})
    assert list(other) == epochs[1]
