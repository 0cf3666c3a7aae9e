"""Conversion of lists of examples to batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import autograd as ag
from autograd import Tensor

Collate = Callable[[list[Any]], Any]


def collate(examples: list[Any]) -> Any:
    """Convert a list of examples to a batch.

    Arrays and Tensors are stacked along a new first axis, and numbers become a vector. Tuples,
    lists and dicts are collated entry by entry. Other values, such as strings, stay a list.

    Parameters
    ----------
    examples : list
        The examples.

    Returns
    -------
    Any
        The batch.

    Raises
    ------
    ValueError
        If arrays differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> x, label = collate([(np.zeros(3), 1), (np.ones(3), 0)])
    >>> x.shape, label.tolist()
    ((2, 3), [1, 0])
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
                f"expected arrays of equal shape, got {shapes}; for sequences of different lengths "
                "use DataLoader(..., collate_fn=data.pad_collate)"
            )
        return ag.stack(examples) if isinstance(first, Tensor) else ag.tensor(np.stack(examples))
    if isinstance(first, (bool, int, float, np.number, np.bool_)):
        return ag.tensor(examples)
    return examples


def pad_collate(
    examples: list[Any], batch_first: bool = False, padding_value: float | Sequence[float] = 0
) -> Any:
    """Convert examples with sequences of different lengths to a padded batch.

    Each field that contains sequences gives two entries of the batch: the padded array and the
    lengths, an integer array (B,) on the host for the `lengths` argument of recurrent layers. For
    example, `(sequence, label)` gives `(padded, lengths, labels)`.

    Parameters
    ----------
    examples : list
        The examples: sequences (length, ...), or tuples of sequences and numbers.
    batch_first : bool, default False
        Return padded arrays (B, T, ...) instead of (T, B, ...).
    padding_value : float or sequence of float, default 0
        The padding value: one for all fields, or one per field.

    Returns
    -------
    tuple
        The entries of the batch.

    Raises
    ------
    ValueError
        If sequences differ in an axis other than the first.

    Examples
    --------
    >>> padded, lengths, labels = pad_collate([([1, 2, 3], 0), ([4], 1)])
    >>> padded.tolist(), lengths.tolist(), labels.tolist()
    ([[1, 4], [2, 0], [3, 0]], [3, 1], [0, 1])
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
    """Return padded sequences and their lengths.

    The padding happens on the host, where examples usually are; Tensors return to their device.
    """
    device = sequences[0].device if isinstance(sequences[0], Tensor) else None
    arrays = [
        (s if isinstance(s, Tensor) else ag.tensor(s, device="cpu")).numpy() for s in sequences
    ]
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = ", ".join(sorted({str(array.shape) for array in arrays}))
        raise ValueError(f"sequences must agree in all axes but the first, got {shapes}")
    lengths = np.array([len(array) for array in arrays])
    shape = len(arrays), lengths.max(), *arrays[0].shape[1:]
    padded = np.full(shape, value, np.result_type(*arrays))
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    order = padded if batch_first else np.ascontiguousarray(padded.swapaxes(0, 1))
    return ag.tensor(order, device=device), lengths
