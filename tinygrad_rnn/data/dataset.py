"""Datasets of arrays, subsets of datasets, and random splits."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

import autograd as ag
from autograd import Tensor

from ..scalars import to_python


class TensorDataset:
    """A dataset of the rows of arrays of equal length.

    An integer index returns a tuple with one row of each array. An integer array of B indices
    returns a tuple with B rows of each array, (B, ...).

    Parameters
    ----------
    *tensors : array_like
        The arrays (n, ...); they are moved to the default device.

    Raises
    ------
    ValueError
        If `tensors` is empty, or if lengths differ.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else ag.tensor(t) for t in tensors)
        if len({len(t) if t.ndim else 0 for t in self.tensors}) != 1:
            shapes = ", ".join(str(t.shape) for t in self.tensors) or "none"
            raise ValueError(f"size mismatch: expected arrays of equal length, got {shapes}")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)


class Subset:
    """A subset of a dataset.

    Parameters
    ----------
    dataset : sequence
        The dataset.
    indices : array_like of int
        Indices of the examples, in order.
    """

    def __init__(self, dataset: Any, indices: npt.ArrayLike) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


def random_split(
    dataset: Any, lengths: Sequence[float], generator: ag.Generator | None = None
) -> list[Subset]:
    """Split a dataset randomly into disjoint subsets.

    Parameters
    ----------
    dataset : sequence
        The dataset.
    lengths : sequence of int or float
        Lengths of the subsets, which sum to the length of the dataset, or fractions that sum to 1.
        Examples that remain after rounding are assigned to the first subsets.
    generator : ag.Generator, optional
        Stream from which the seed is drawn; by default the stream of `ag.manual_seed`.

    Returns
    -------
    list of Subset
        The subsets.

    Raises
    ------
    ValueError
        If the lengths do not sum to the length of the dataset, or the fractions to 1.
    """
    total, lengths = len(dataset), to_python(lengths)
    fractions = [Fraction(length).limit_denominator(10**6) for length in lengths]
    sizes = [int(fraction) for fraction in fractions]
    if sum(fractions) == 1 and total != 1:
        sizes = [int(fraction * total) for fraction in fractions]
        sizes = [size + (number < total - sum(sizes)) for number, size in enumerate(sizes)]
    if sum(sizes) != total or min(fractions) < 0 or any(isinstance(n, float) for n in sizes):
        raise ValueError(
            "lengths must be non-negative integers that sum to the length of the dataset, "
            f"{total}, or fractions that sum to 1, got {list(lengths)}"
        )
    order = ag.Generator(draw_seed(generator)).permutation(total)
    return [Subset(dataset, order[a:b]) for a, b in pairwise([0, *accumulate(sizes)])]


def draw_seed(generator: ag.Generator | None) -> int:
    """Draw a seed from a stream, by default the stream of `ag.manual_seed`."""
    return int((generator or ag.random.default_generator).words(1, "cpu")[0])
