"""Batches of examples, in an order that can be resumed from any position.

The batches of an epoch are a function of the epoch's number and of the loader's seed, since the
stream of random numbers is counter-based. A position in the data therefore consists of two
integers, the epoch and the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import autograd as ag
from autograd.runtime.deprecation import moved_names

from ..scalars import check_count, to_python
from .collation import Collate, collate
from .dataset import TensorDataset, draw_seed

Indices = npt.NDArray[np.int64]

BATCHES_PER_POOL = 50
"""Number of batches whose examples are sorted by length together, with the option `lengths`."""


class Batches(Protocol):
    """Batches by index, created on access."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> Any: ...


class Loader:
    """Base class of the loaders.

    Each iteration yields the batches of the next epoch. A subclass defines `batches`.

    Attributes
    ----------
    epoch : int
        Number of the current epoch, from 1; 0 before the first.
    position : int
        Number of batches of the epoch that have been yielded.
    """

    epoch, position = 0, 0
    _resumed = False
    _current: Batches | None = None

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 1.

        Returns
        -------
        Batches
            The batches, by index.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of batches in the current epoch, or in epoch 1 before iteration."""
        return len(self.batches(1) if self._current is None else self._current)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch, or the rest of a restored epoch."""
        if not self._resumed:
            self.epoch, self.position = self.epoch + 1, 0
            self._current = self.batches(self.epoch)
        self._resumed = False
        assert self._current is not None
        return self._remaining(self.epoch, self._current)

    def _remaining(self, epoch: int, batches: Batches) -> Iterator[Any]:
        for number in range(self.position, len(batches)):
            batch = batches[number]
            if self.epoch != epoch or self._resumed:
                raise RuntimeError(
                    "this iterator is stale: a new iteration of the loader has started, or its "
                    "state was restored"
                )
            self.position = number + 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the position.

        Returns
        -------
        dict
            The state, as JSON values.
        """
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a position; the next iteration continues from it.

        Parameters
        ----------
        state : dict
            A state that `state_dict` returned.

        Raises
        ------
        ValueError
            If the state is not valid.
        """
        epoch, position = (check_count(name, state[name], 0) for name in ("epoch", "position"))
        self.epoch, self.position = epoch, position
        self._current = self.batches(self.epoch) if self.epoch > 0 else None
        self._resumed = self._current is not None and self.position < len(self._current)


class DataLoader(Loader):
    """Batches of the examples of a dataset, like `torch.utils.data.DataLoader`.

    The position can be saved and restored: a loader with the same dataset and options continues
    with the next batch.

    Parameters
    ----------
    dataset : sequence
        Has a length and returns examples by index.
    batch_size : int, optional
        Number of examples in a batch; None yields the items of the dataset as batches.
    shuffle : bool, default False
        Use a different random order in every epoch.
    drop_last : bool, default False
        Drop the last batch of an epoch if it is smaller.
    collate_fn : callable, optional
        Converts a list of examples to a batch; `collate` by default. `pad_collate` supports
        sequences of different lengths.
    generator : ag.Generator, optional
        Stream from which the seed of the shuffling is drawn; by default the stream of
        `ag.manual_seed`. Equal seeds give equal orders on every device.
    lengths : array_like of int, optional
        Lengths of the examples. Batches then consist of examples of similar length, which reduces
        padding: the examples of every 50 batches are sorted by length, and with `shuffle` the
        batches are shuffled afterwards.

    Raises
    ------
    ValueError
        If the dataset is empty, or if an option is invalid.

    Examples
    --------
    >>> from tinygrad_rnn import data
    >>> loader = data.DataLoader(range(5), batch_size=2)
    >>> [batch.tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
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
            raise ValueError(f"batch_size should be a positive integer or None, got {batch_size!r}")
        if batch_size is None and (drop_last or collate_fn or lengths is not None):
            raise ValueError(
                "batch_size=None yields the items of the dataset as batches, so drop_last, "
                "collate_fn and lengths must not be given"
            )
        if not len(dataset):
            raise ValueError("the dataset is empty")
        if lengths is not None and len(lengths) != len(dataset):
            raise ValueError(
                f"lengths must have one entry per example, got {len(lengths)} for {len(dataset)} "
                "examples"
            )
        if drop_last and len(dataset) < (batch_size or 1):
            raise ValueError(
                f"{len(dataset)} examples do not fill a batch of {batch_size}; use drop_last=False"
            )
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.collate_fn = drop_last, collate_fn
        self._lengths = None if lengths is None else np.asarray(lengths)
        self._seed = draw_seed(generator) if shuffle else 0

    def __len__(self) -> int:
        size, examples = self.batch_size or 1, len(self.dataset)
        return examples // size if self.drop_last else -(-examples // size)

    def batches(self, epoch: int) -> Batches:
        examples, size = len(self.dataset), self.batch_size or 1
        # Each epoch has a separate section of the stream.
        stream = ag.Generator(self._seed)
        stream.state = {"seed": self._seed, "block": epoch * (-(-2 * examples // 4) + 2)}
        order = stream.permutation(examples) if self.shuffle else np.arange(examples)
        if self._lengths is not None:
            pools = np.split(
                order, range(BATCHES_PER_POOL * size, examples, BATCHES_PER_POOL * size)
            )
            order = np.concatenate([p[np.argsort(self._lengths[p], kind="stable")] for p in pools])
        groups = np.split(order, range(size, examples, size))[: len(self)]
        if self._lengths is not None and self.shuffle:
            groups = [groups[number] for number in stream.permutation(len(groups))]
        return _LazyBatches(self._batch, groups)

    def _batch(self, indices: Indices) -> Any:
        if self.batch_size is None:
            return self.dataset[int(indices[0])]
        if self.collate_fn is None and isinstance(self.dataset, TensorDataset):
            return self.dataset[indices]
        return (self.collate_fn or collate)([self.dataset[int(index)] for index in indices])

    def state_dict(self) -> dict[str, Any]:
        """Return the position, the seed and the number of examples.

        Returns
        -------
        dict
            The state, as JSON values.
        """
        return {**super().state_dict(), "seed": self._seed, "examples": len(self.dataset)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a position; the next iteration continues from it.

        Parameters
        ----------
        state : dict
            A state that `state_dict` returned.

        Raises
        ------
        ValueError
            If the state is not valid, or is from a dataset of another size.
        """
        if state["examples"] != len(self.dataset):
            raise ValueError(
                f"the state is from a dataset of {state['examples']} examples, but this dataset "
                f"has {len(self.dataset)}"
            )
        self._seed = check_count("seed", state["seed"], 0)
        super().load_state_dict(state)


class _LazyBatches:
    """The results of a function for a sequence of arguments, computed on access."""

    def __init__(self, create: Callable[[Any], Any], arguments: Sequence[Any]) -> None:
        self._create, self._arguments = create, arguments

    def __len__(self) -> int:
        return len(self._arguments)

    def __getitem__(self, number: int) -> Any:
        return self._create(self._arguments[number])


class GeneratedBatches(Loader):
    """Batches that a function generates on demand.

    The random numbers of a batch depend only on the seed, the epoch and the batch's index. No batch
    is repeated, and resumed training receives the same batches.

    Parameters
    ----------
    make : callable
        `make(rng)` returns one batch; `rng` is a NumPy generator.
    per_epoch : int, default 100
        Number of batches in an epoch.
    generator : ag.Generator, optional
        Stream from which the seed is drawn; by default the stream of `ag.manual_seed`.

    Raises
    ------
    ValueError
        If `per_epoch` is below 1.

    Examples
    --------
    >>> from tinygrad_rnn import data
    >>> loader = data.GeneratedBatches(lambda rng: rng.normal(size=(20, 32)), per_epoch=2)
    >>> [batch.shape for batch in loader]
    [(20, 32), (20, 32)]
    """

    def __init__(
        self,
        make: Callable[[np.random.Generator], Any],
        per_epoch: int = 100,
        generator: ag.Generator | None = None,
    ) -> None:
        if to_python(per_epoch) < 1:
            raise ValueError(f"per_epoch must be at least 1, got {per_epoch}")
        self.make, self.per_epoch, self._seed = make, to_python(per_epoch), draw_seed(generator)

    def batches(self, epoch: int) -> Batches:
        return _LazyBatches(
            lambda number: self.make(np.random.default_rng([self._seed, epoch, number])),
            range(self.per_epoch),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the position and the seed.

        Returns
        -------
        dict
            The state, as JSON values.
        """
        return {**super().state_dict(), "seed": self._seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._seed = check_count("seed", state["seed"], 0)
        super().load_state_dict(state)


__getattr__ = moved_names(
    __name__,
    {
        "Generated": f"{__name__}.GeneratedBatches",
        "Subset": "tinygrad_rnn.data.Subset",
        "pad_collate": "tinygrad_rnn.data.pad_collate",
        "random_split": "tinygrad_rnn.data.random_split",
    },
)
