"""Batches of sequences of different lengths: padded, or packed as in `torch.nn.utils.rnn`.

A packed batch has no padding: its rows are those of all sequences at step 0, then those of the
sequences that still run at step 1, and so on, the longest sequence first. Recurrent layers take and
return it. `lengths=` at a layer's call does the same for a padded batch, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, concatenate, full, index_update, swapaxes, tensor

from ...summary import summary_repr


class PackedSequence(NamedTuple):
    """A ragged batch without its padding. The integers are NumPy's, on the host."""

    data: Tensor
    """The rows (sum of the lengths, ...), step by step."""
    batch_sizes: np.ndarray
    """How many sequences still run at each step: (longest length)."""
    sorted_indices: np.ndarray | None = None
    """For each row of step 0, which of the caller's sequences it begins (None: the same order)."""
    unsorted_indices: np.ndarray | None = None
    """The other way round: `sorted_indices[unsorted_indices]` counts 0, 1, 2, ..."""

    def __repr__(self) -> str:
        return summary_repr(self)

    def lengths(self) -> np.ndarray:
        """The length of each sequence, in the caller's order."""
        alive = np.arange(self.batch_sizes[0]) < self.batch_sizes[:, None]
        lengths: np.ndarray = alive.sum(0)
        return lengths if self.unsorted_indices is None else lengths[self.unsorted_indices]

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """For each row its step, and its sequence in the caller's order."""
        step, column = np.nonzero(np.arange(self.batch_sizes[0]) < self.batch_sizes[:, None])
        return step, column if self.sorted_indices is None else self.sorted_indices[column]


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Leave out the padding of `input`, (T, B, ...) or, with batch_first, (B, T, ...).

    `lengths` are B integers from 1 to T. With `enforce_sorted` they must come in descending order,
    as in PyTorch; without, they may come in any. Raises ValueError for anything else.
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
            f"that is {counts.min()}; lengths= at the layer's call takes empty sequences too"
        )
    if counts.max() > len(xs):
        raise ValueError(f"a sequence of length {counts.max()} does not fit in {len(xs)} steps")
    order = np.argsort(-counts.astype(np.int64), kind="stable")
    if enforce_sorted and (np.diff(counts.astype(np.int64)) > 0).any():
        raise ValueError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True; "
            f"pass enforce_sorted=False. got {counts.tolist()}"
        )
    batch_sizes = (counts > np.arange(counts.max())[:, None]).sum(1)
    indices = (None, None) if enforce_sorted else (order, np.argsort(order))
    packed = PackedSequence(xs, batch_sizes, *indices)
    return packed._replace(data=xs[packed.places()])


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, np.ndarray]:
    """The padded batch (T, B, ...), or (B, T, ...), in the caller's order, and the lengths.

    T is the longest length, or `total_length`; ValueError if that is shorter.
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
    padded = index_update(padding, sequence.places(), data)
    return (swapaxes(padded, 0, 1) if batch_first else padded), sequence.lengths()


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (length, ...), the longest first if `enforce_sorted`."""
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences (length, ...) of a packed batch, in the caller's order."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """A batch (T, B, ...), or (B, T, ...), of sequences (length, ...), T the longest length.

    Raises ValueError for no sequences, for ones that differ in more than their length, and for a
    `padding_side` other than "right" and "left".
    """
    xs = [x if isinstance(x, Tensor) else tensor(x) for x in sequences]
    if not xs:
        raise ValueError("pad_sequence: expected at least one sequence")
    if padding_side not in ("right", "left"):
        raise ValueError(f'padding_side must be "right" or "left", not {padding_side!r}')
    if len({x.shape[1:] for x in xs}) > 1:
        shapes = ", ".join(str(x.shape) for x in xs)
        raise ValueError(f"sequences must agree in all axes but the first, not {shapes}")
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
    """The sequences (length, ...) of a padded batch (T, B, ...), or (B, T, ...)."""
    xs = swapaxes(padded_sequences, 0, 1) if not batch_first else padded_sequences
    return [x[: int(n)] for x, n in zip(xs, lengths, strict=True)]
