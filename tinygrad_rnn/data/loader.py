"""Batches of examples, epoch after epoch, in an order that can be gone through again from anywhere.

What an epoch holds is a function of its number, and of the loader's seed: the stream of random
numbers is counter-based, so nothing needs to be drawn to know what comes later. So a position in
the data is two integers, the epoch and the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import autograd as ag
from autograd import Tensor

from ..scalars import check_count, to_python

Indices = npt.NDArray[np.int64]
Collate = Callable[[list[Any]], Any]

BATCHES_PER_POOL = 50
"""So many batches' examples are sorted by length together where lengths are given."""


class Batches(Protocol):
    """Batches by number, each made when it is asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> Any: ...


class Loader:
    """Iterating gives the batches of one epoch, and then of the next; `state_dict` says where.

    A loader says in `batches` what an epoch holds.
    """

    epoch, position = 0, 0
    """The number of the epoch that began last (from 1 on), and how many of its batches are out."""
    _resumed = False
    _current: Batches | None = None

    def batches(self, epoch: int) -> Batches:
        """What an epoch holds."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Batches in this epoch, or the first if none has begun."""
        return len(self.batches(1) if self._current is None else self._current)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or what was left of the one that `load_state_dict` set."""
        if not self._resumed:
            self.epoch, self.position = self.epoch + 1, 0
            self._current = self.batches(self.epoch)
        self._resumed = False
        assert self._current is not None
        return self._rest(self.epoch, self._current)

    def _rest(self, epoch: int, batches: Batches) -> Iterator[Any]:
        for number in range(self.position, len(batches)):
            batch = batches[number]
            if self.epoch != epoch or self._resumed:
                raise RuntimeError("this epoch's iteration is over: the loader was iterated anew")
            self.position = number + 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The position, as JSON values."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on where `state` was taken: with the next batch of that epoch, or
        with the next epoch if there is none. ValueError for numbers that are not a position.
        """
        epoch, position = (check_count(name, state[name], 0) for name in ("epoch", "position"))
        self.epoch, self.position = epoch, position
        self._current = self.batches(self.epoch) if self.epoch > 0 else None
        self._resumed = self._current is not None and self.position < len(self._current)


class DataLoader(Loader):
    """The examples of a dataset in batches, as in `torch.utils.data`.

    dataset: has a length and gives examples by number. batch_size: examples in a batch; None takes
        the dataset's items for batches. shuffle: another order in every epoch. drop_last: leave a
        smaller last batch out.
    collate_fn: makes a batch of a list of examples (default: `collate`; for sequences of different
        lengths there is `pad_collate`).
    generator: where the seed of the shuffling is drawn from (default: the stream of
        `ag.manual_seed`). Same seed, same orders, on every device.
    lengths: of the examples. Batches are then made of examples of similar length, which saves
        padding: of the order, shuffled or not, `BATCHES_PER_POOL` batches' worth at a time is
        sorted by length, and with `shuffle` the batches are shuffled in turn.

    `state_dict` says where in which epoch the loader is, and the order; another loader of the same
    dataset and options that takes it goes on with the very next batch.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        collate_fn: Collate | None = None,
        generator: ag.Generator | None = None,
        lengths: Any = None,
    ) -> None:
        batch_size = to_python(batch_size)
        if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
            raise ValueError(f"batch_size should be a positive integer or None, not {batch_size!r}")
        if batch_size is None and (drop_last or collate_fn or lengths is not None):
            raise ValueError(
                "batch_size=None takes the dataset's items for batches: drop_last, collate_fn and "
                "lengths have nothing to do"
            )
        if not len(dataset):
            raise ValueError("the dataset is empty")
        if lengths is not None and len(lengths) != len(dataset):
            raise ValueError(f"{len(lengths)} lengths for {len(dataset)} examples")
        if drop_last and len(dataset) < (batch_size or 1):
            raise ValueError(
                f"{len(dataset)} examples fill no batch of {batch_size}: drop_last=False"
            )
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.collate_fn = drop_last, collate_fn
        self._lengths = None if lengths is None else np.asarray(lengths)
        self._seed = _seed(generator) if shuffle else 0

    def __len__(self) -> int:
        size, examples = self.batch_size or 1, len(self.dataset)
        return examples // size if self.drop_last else -(-examples // size)

    def batches(self, epoch: int) -> Batches:
        examples, size = len(self.dataset), self.batch_size or 1
        # Each epoch has its own part of the stream: the next one begins where the last one ended.
        stream = ag.Generator(self._seed)
        stream.state = {"seed": self._seed, "block": epoch * (-(-2 * examples // 4) + 2)}
        order = stream.permutation(examples) if self.shuffle else np.arange(examples)
        if self._lengths is not None:
            pools = np.split(
                order, range(BATCHES_PER_POOL * size, examples, BATCHES_PER_POOL * size)
            )
            order = np.concatenate([p[np.argsort(self._lengths[p], kind="stable")] for p in pools])
        parts = np.split(order, range(size, examples, size))[: len(self)]
        if self._lengths is not None and self.shuffle:
            parts = [parts[number] for number in stream.permutation(len(parts))]
        return _Lazily(self._batch, parts)

    def _batch(self, indices: Indices) -> Any:
        if self.batch_size is None:
            return self.dataset[int(indices[0])]
        if self.collate_fn is None and isinstance(self.dataset, TensorDataset):
            return self.dataset[indices]
        return (self.collate_fn or collate)([self.dataset[int(index)] for index in indices])

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "seed": self._seed, "examples": len(self.dataset)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on where `state` was taken; ValueError if that was in a dataset
        of another size.
        """
        if state["examples"] != len(self.dataset):
            raise ValueError(
                f"the position is one in {state['examples']} examples, but the dataset has "
                f"{len(self.dataset)}"
            )
        self._seed = check_count("seed", state["seed"], 0)
        super().load_state_dict(state)


class _Lazily:
    """The results of a function for each of some arguments."""

    def __init__(self, make: Callable[[Any], Any], arguments: Sequence[Any]) -> None:
        self._make, self._arguments = make, arguments

    def __len__(self) -> int:
        return len(self._arguments)

    def __getitem__(self, number: int) -> Any:
        return self._make(self._arguments[number])


class GeneratedBatches(Loader):
    """Batches that are made when they are asked for: `make(rng)`, so many to an epoch.

    rng: a NumPy generator of each batch's own, which follows from the seed, the epoch and the
        batch's number; so no batch comes twice, and a resumed training sees the very same ones.
    generator: where the seed is drawn from (default: the stream of `ag.manual_seed`).
    """

    def __init__(
        self,
        make: Callable[[np.random.Generator], Any],
        per_epoch: int = 100,
        generator: ag.Generator | None = None,
    ) -> None:
        if to_python(per_epoch) < 1:
            raise ValueError(f"an epoch has at least one batch, not {per_epoch}")
        self.make, self.per_epoch, self._seed = make, to_python(per_epoch), _seed(generator)

    def batches(self, epoch: int) -> Batches:
        return _Lazily(
            lambda number: self.make(np.random.default_rng([self._seed, epoch, number])),
            range(self.per_epoch),
        )

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "seed": self._seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._seed = check_count("seed", state["seed"], 0)
        super().load_state_dict(state)


class TensorDataset:
    """Examples that are the rows of arrays or Tensors of the same length: tuples of one row each.

    An array of numbers gives a batch at once: rows (B, ...) of each. Arrays are brought to the
    default device. Raises ValueError for none, or for lengths that differ.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else ag.tensor(t) for t in tensors)
        if len({len(t) if t.ndim else 0 for t in self.tensors}) != 1:
            shapes = ", ".join(str(t.shape) for t in self.tensors) or "nothing"
            raise ValueError(f"size mismatch: arrays of the same length are needed, not {shapes}")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)


class Subset:
    """The examples of a dataset that have the given numbers, in this order."""

    def __init__(self, dataset: Any, indices: npt.ArrayLike) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


def random_split(
    dataset: Any, lengths: Sequence[float], generator: ag.Generator | None = None
) -> list[Subset]:
    """Parts of a dataset, drawn at random: `lengths` are numbers of examples that sum to all of
    them, or fractions that sum to 1 (what they leave over goes to the first parts, one each).
    """
    total, lengths = len(dataset), to_python(lengths)
    shares = [Fraction(length).limit_denominator(10**6) for length in lengths]
    sizes = [int(share) for share in shares]
    if sum(shares) == 1 and total != 1:
        sizes = [int(share * total) for share in shares]
        sizes = [size + (number < total - sum(sizes)) for number, size in enumerate(sizes)]
    if sum(sizes) != total or min(shares) < 0 or any(isinstance(n, float) for n in sizes):
        raise ValueError(
            "the lengths must be whole numbers that sum to the length of the dataset, "
            f"{total}, or fractions that sum to 1, not {list(lengths)}"
        )
    order = ag.Generator(_seed(generator)).permutation(total)
    return [Subset(dataset, order[a:b]) for a, b in pairwise([0, *accumulate(sizes)])]


def _seed(generator: ag.Generator | None) -> int:
    """A seed from a stream, by default that of `ag.manual_seed`."""
    return int((generator or ag.random.default_generator).words(1, "cpu")[0])


def collate(examples: list[Any]) -> Any:
    """A batch of examples, along a new first axis: arrays and Tensors are stacked, numbers become
    a vector, tuples, lists and dicts are gone through, and what else there is (strings) stays a
    list.

    ValueError for arrays whose shapes differ.
    """
    first = examples[0]
    if isinstance(first, (tuple, list)):
        return tuple(collate(list(field)) for field in zip(*examples, strict=True))
    if isinstance(first, dict):
        return {key: collate([example[key] for example in examples]) for key in first}
    if isinstance(first, (Tensor, np.ndarray)):
        if len({example.shape for example in examples}) > 1:
            shapes = ", ".join(sorted({str(example.shape) for example in examples}))
            raise ValueError(
                f"the examples of a batch have different shapes: {shapes}; for sequences of "
                "different lengths give the loader collate_fn=data.pad_collate"
            )
        return ag.stack(examples) if isinstance(first, Tensor) else ag.tensor(np.stack(examples))
    if isinstance(first, (bool, int, float, np.number, np.bool_)):
        return ag.tensor(examples)
    return examples


def pad_collate(
    examples: list[Any], batch_first: bool = False, padding_value: float | Sequence[float] = 0
) -> Any:
    """A batch of ragged examples. An example is a sequence (length, ...), or a tuple of sequences
    and numbers.

    A sequence becomes two entries of the batch: the padded (T, B, ...), or (B, T, ...), and the
    lengths, B integers on the host, as `lengths=` of recurrent layers takes them. So `(sequence,
    label)` gives `(padded, lengths, labels)`, and two sequences give `(padded, lengths, padded,
    lengths)`. `padding_value` is one for all sequences or one for each field, as in
    `partial(pad_collate, padding_value=(0, -100))`.
    """
    if not isinstance(examples[0], tuple):
        examples = [(example,) for example in examples]
    fields = list(zip(*examples, strict=True))
    values = (
        [padding_value] * len(fields) if isinstance(padding_value, (int, float)) else padding_value
    )
    batch: list[Any] = []
    for field, value in zip(fields, values, strict=True):
        if np.ndim(field[0]) if not isinstance(field[0], Tensor) else field[0].ndim:
            batch += _padded(field, value, batch_first)
        else:
            batch.append(collate(list(field)))
    return tuple(batch)


def _padded(
    sequences: Sequence[Any], value: float, batch_first: bool
) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """Sequences side by side, and their lengths. It is done on the host, where examples come from;
    Tensors go back to their device.
    """
    device = sequences[0].device if isinstance(sequences[0], Tensor) else None
    arrays = [
        (s if isinstance(s, Tensor) else ag.tensor(s, device="cpu")).numpy() for s in sequences
    ]
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(sorted({str(array.shape) for array in arrays}))
        raise ValueError(f"sequences must agree in all axes but the first, not {shapes}")
    lengths = np.array([len(array) for array in arrays])
    shape = len(arrays), lengths.max(), *arrays[0].shape[1:]
    padded = np.full(shape, value, np.result_type(*arrays))
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    order = padded if batch_first else np.ascontiguousarray(padded.swapaxes(0, 1))
    return ag.tensor(order, device=device), lengths
