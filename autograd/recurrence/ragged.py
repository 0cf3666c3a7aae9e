"""Sequence lengths of a scan: the number of steps, and the mask of a ragged batch.

The loops that apply the mask are in `scan`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..core import graph
from ..core.pytree import flatten, tree_map
from ..core.tensor import Tensor, unwrap
from ..ops.arguments import as_integer
from ..ops.selection import where


def prepare_inputs(xs: Any, length: int | None) -> tuple[Any, int]:
    """Return `xs` as Tensors, and the number of steps.

    Raises
    ------
    ValueError
        If the leaves of `xs` and `length` disagree on the number of steps, or if there is neither a
        leaf nor a `length`.
    """
    xs = tree_map(lambda x: x if isinstance(x, Tensor) else Tensor(_copy_if_shared(x)), xs)
    lengths = {len(leaf) for leaf in flatten(xs)}
    if length is not None:
        steps = as_integer(length)
        if steps is None or steps < 0:
            raise ValueError(f"scan: length must be a non-negative integer, got {length!r}")
        lengths.add(steps)
    if not lengths:
        raise ValueError("scan: length is required if xs is None")
    if len(lengths) > 1:
        raise ValueError(
            "scan: all leaves of xs and length must agree on the number of steps, "
            f"got {sorted(lengths)}"
        )
    return xs, lengths.pop()


def _copy_if_shared(x: Any) -> Any:
    """Return an array that the caller cannot change before the backward pass."""
    array = backend.of_array(x).asarray(x)
    return array.copy() if array is x and graph.recording.get() else array


class LengthMask:
    """Mask of a ragged batch: True where a sequence is running.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
        The length of each sequence.
    steps : int
        The number of steps T.
    carry : nested arrays, each of shape (B, ...)
        The initial carry, whose batch axis is checked.

    Attributes
    ----------
    array : array of bool, shape (T, B)
        The mask.
    is_full : list of bool, length T
        True for each step at which all sequences are running.
    """

    def __init__(self, lengths: Any, steps: int, carry: Any) -> None:
        array = unwrap(lengths)
        host = np.asarray(backend.of_array(array).to_host(array))
        if host.ndim != 1 or (host.size and host.dtype.kind not in "iu"):
            raise ValueError(
                "scan: lengths must be one integer per sequence, "
                f"got an array of shape {host.shape} and dtype {host.dtype}"
            )
        if host.size and not (host.min() >= 0 and host.max() <= steps):
            raise ValueError(
                f"scan: lengths must be between 0 and {steps}, the number of steps, "
                f"got {host.min()} to {host.max()}"
            )
        for leaf in flatten(carry):
            if leaf.shape[:1] != host.shape:
                raise ValueError(
                    f"scan: lengths has {host.size} entries, but a carry has shape {leaf.shape}; "
                    "its first axis must be the batch axis"
                )
        mask = np.arange(steps)[:, None] < host
        self.is_full = [bool(row.all()) for row in mask]
        leaves = flatten(carry)
        device_backend = backend.of_array(unwrap(leaves[0])) if leaves else backend.current()
        self.array = device_backend.asarray(mask)

    def rows(self, steps: slice) -> Tensor | None:
        """Return the mask of some steps, or None if all sequences are running at each of them."""
        return None if all(self.is_full[steps]) else Tensor(self.array[steps])


def masked_step(mask: Any, carry: Any, new_carry: Any, y: Any) -> tuple[Any, Any]:
    """Return the carry and the output of a step of a ragged batch.

    Parameters
    ----------
    mask : array of bool, shape (B,)
        False for each sequence that has ended: it keeps its `carry`, and its output is 0.
    carry, new_carry, y : nested arrays, each of shape (B, ...)
        The carry before and after the step, and its output.
    """

    def aligned(like: Any) -> Any:
        return mask.reshape((-1,) + (1,) * (like.ndim - 1))

    new_carry = tree_map(lambda new, old: where(aligned(new), new, old), new_carry, carry)
    return new_carry, tree_map(lambda leaf: where(aligned(leaf), leaf, 0), y)
