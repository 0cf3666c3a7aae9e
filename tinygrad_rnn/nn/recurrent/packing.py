"""Batches of sequences of different lengths: padded, or packed as in `torch.nn.utils.rnn`.

A packed batch has no padding. Its rows are the first steps of all sequences, then the second steps
of the sequences that are long enough, and so on, the longest sequence first. Recurrent layers
accept and return packed batches. The argument `lengths` of a layer's call has the same effect for a
padded batch, whose sequences may have any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, concatenate, full, index_update, swapaxes, tensor
from autograd.runtime.deprecation import RenamedAttribute

from ...summary import summary_repr


class _PackedFields(NamedTuple):
    data: Tensor
    batch_sizes: np.ndarray
    sorted_indices: np.ndarray | None = None
    unsorted_indices: np.ndarray | None = None


class PackedSequence(_PackedFields):
    """Ragged batch without padding.

    Parameters
    ----------
    data : Tensor, shape (sum of the lengths, ...)
        Rows, step by step.
    batch_sizes : ndarray of int, shape (longest length,)
        Number of sequences that have each step.
    sorted_indices : ndarray of int, shape (B,), optional
        Indices in the caller's batch, the longest sequence first. None if the caller's batch has
        this order.
    unsorted_indices : ndarray of int, shape (B,), optional
        The inverse permutation of `sorted_indices`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return summary_repr(self)

    def lengths(self) -> np.ndarray:
        """Return the length of each sequence, in the caller's order.

        Returns
        -------
        ndarray of int, shape (B,)
        """
        lengths: np.ndarray = self._mask().sum(0)
        return lengths if self.unsorted_indices is None else lengths[self.unsorted_indices]

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the time step and the sequence of each row, in the caller's order.

        Returns
        -------
        steps, sequences : ndarray of int, shape (sum of the lengths,)
        """
        step, column = np.nonzero(self._mask())
        return step, column if self.sorted_indices is None else self.sorted_indices[column]

    places = RenamedAttribute("positions")

    def _mask(self) -> np.ndarray:
        """Return a mask (T, B) of the existing steps, with the longest sequence first."""
        mask: np.ndarray = np.arange(self.batch_sizes[0]) < self.batch_sizes[:, None]
        return mask


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch.

    Parameters
    ----------
    input : Tensor or array_like, shape (T, B, ...)
        Padded batch, (B, T, ...) with batch_first.
    lengths : Tensor or array_like of int, shape (B,)
        Number of steps of each sequence, from 1 to T.
    batch_first : bool, default False
        If True, the batch is the first axis of the input.
    enforce_sorted : bool, default True
        If True, the lengths must be in descending order. If False, they may have any order.

    Returns
    -------
    PackedSequence

    Raises
    ------
    ValueError
        If the lengths are out of range, do not match the batch or are not in descending order.
    """
    xs = input if isinstance(input, Tensor) else tensor(input)
    xs = swapaxes(xs, 0, 1) if batch_first else xs
    counts = np.array(lengths.numpy() if isinstance(lengths, Tensor) else lengths)
    if counts.shape != xs.shape[1:2] or not counts.size or counts.dtype.kind not in "iu":
        raise ValueError(
            f"lengths must be one integer for each sequence: expected `len(lengths)` to be equal "
            f"to batch_size {xs.shape[1]}, at least 1, got lengths of shape {counts.shape} "
            f"{counts.dtype}"
        )
    if counts.min() < 1:
        raise ValueError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            f"that is {counts.min()}; use lengths= at the layer's call for empty sequences"
        )
    if counts.max() > len(xs):
        raise ValueError(
            f"lengths must be at most the {len(xs)} steps of the input, got {counts.max()}"
        )
    order = np.argsort(-counts.astype(np.int64), kind="stable")
    if enforce_sorted and (np.diff(counts.astype(np.int64)) > 0).any():
        raise ValueError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True, "
            f"got {counts.tolist()}; pass enforce_sorted=False for other orders"
        )
    batch_sizes = (counts > np.arange(counts.max())[:, None]).sum(1)
    indices = (None, None) if enforce_sorted else (order, np.argsort(order))
    packed = PackedSequence(xs, batch_sizes, *indices)
    return packed._replace(data=xs[packed.positions()])


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, np.ndarray]:
    """Convert a packed batch to a padded batch.

    Parameters
    ----------
    sequence : PackedSequence
        Packed batch.
    batch_first : bool, default False
        If True, the batch is the first axis of the result.
    padding_value : float, default 0.0
        Value beyond the length of each sequence.
    total_length : int, optional
        Number T of steps of the result. The default is the longest length.

    Returns
    -------
    padded : Tensor, shape (T, B, ...)
        Padded batch in the caller's order, (B, T, ...) with batch_first.
    lengths : ndarray of int, shape (B,)

    Raises
    ------
    ValueError
        If `total_length` is less than the longest length.
    """
    steps = len(sequence.batch_sizes)
    if total_length is not None and total_length < steps:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence, "
            f"but got total_length={total_length} and longest length {steps}"
        )
    data = sequence.data
    shape = (total_length or steps, int(sequence.batch_sizes[0]), *data.shape[1:])
    padding = full(shape, padding_value, data.dtype, data.device)
    padded = index_update(padding, sequence.positions(), data)
    return (swapaxes(padded, 0, 1) if batch_first else padded), sequence.lengths()


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences.

    Parameters
    ----------
    sequences : sequence of Tensor or array_like
        Sequences of shape (length, ...).
    enforce_sorted : bool, default True
        If True, the lengths must be in descending order. If False, they may have any order.

    Returns
    -------
    PackedSequence

    Raises
    ------
    ValueError
        If a sequence is empty, or the lengths are not in descending order with `enforce_sorted`.
    """
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Convert a packed batch to a list of sequences.

    Parameters
    ----------
    packed_sequences : PackedSequence
        Packed batch.

    Returns
    -------
    list of Tensor
        Sequences of shape (length, ...), in the caller's order.
    """
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Pad sequences to the longest length T and stack them.

    Parameters
    ----------
    sequences : sequence of Tensor or array_like
        Sequences of shape (length, ...).
    batch_first : bool, default False
        If True, the batch is the first axis of the result.
    padding_value : float, default 0.0
        Value of the padding.
    padding_side : {"right", "left"}, default "right"
        Side of the padding.

    Returns
    -------
    Tensor, shape (T, B, ...)
        Padded batch, (B, T, ...) with batch_first.

    Raises
    ------
    ValueError
        If the list is empty, the sequences differ in axes other than the first, or `padding_side`
        is invalid.
    """
    xs = [x if isinstance(x, Tensor) else tensor(x) for x in sequences]
    if not xs:
        raise ValueError("pad_sequence: expected at least one sequence")
    if padding_side not in ("right", "left"):
        raise ValueError(f'padding_side must be "right" or "left", got {padding_side!r}')
    if len({x.shape[1:] for x in xs}) > 1:
        shapes = ", ".join(str(x.shape) for x in xs)
        raise ValueError(f"sequences must agree in all axes but the first, got shapes {shapes}")
    lengths = np.array([len(x) for x in xs])
    longest = int(lengths.max())
    sequence, step = np.nonzero(np.arange(longest) < lengths[:, None])
    if padding_side == "left":
        step += (longest - lengths)[sequence]
    rows = concatenate(xs)
    padding = full((longest, len(xs), *rows.shape[1:]), padding_value, rows.dtype, rows.device)
    padded = index_update(padding, (step, sequence), rows)
    return swapaxes(padded, 0, 1) if batch_first else padded  # type: ignore[no-any-return]


def unpad_sequence(
    padded_sequences: Any, lengths: Sequence[int] | np.ndarray, batch_first: bool = False
) -> list[Tensor]:
    """Convert a padded batch to a list of sequences.

    Parameters
    ----------
    padded_sequences : Tensor or array_like, shape (T, B, ...)
        Padded batch, (B, T, ...) with batch_first.
    lengths : sequence of int or ndarray, shape (B,)
        Number of steps of each sequence.
    batch_first : bool, default False
        If True, the batch is the first axis of the input.

    Returns
    -------
    list of Tensor
        Sequences of shape (length, ...).
    """
    xs = swapaxes(padded_sequences, 0, 1) if not batch_first else padded_sequences
    return [x[: int(n)] for x, n in zip(xs, lengths, strict=True)]
