"""Sequence lengths of a scan: the number of steps, and the mask of a ragged batch.

The loops that apply the mask are in `scan`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..backend.tracer import TracerArray
from ..compile.traced_array import without_log
from ..core import graph
from ..core.pytree import flatten, tree_map
from ..core.tensor import Tensor, unwrap
from ..ops.arguments import as_integer
from ..ops.creation import full
from ..ops.selection import where


def prepare_carry(carry: Any, xs: Any) -> Any:
    """Return an initial carry with Tensors in place of arrays and floats.

    A float gets the dtype of the floating Tensors among the carry and `xs`, as in an operation on
    them. Integers stay as they are, because their dtype depends on the step.
    """
    if _all_tensors(carry):
        return carry
    carry = tree_map(lambda x: _as_tensor(x) if hasattr(x, "dtype") else x, carry)
    leaves = flatten((carry, xs))
    return tree_map(lambda x: _float_as_tensor(x, leaves) if type(x) is float else x, carry)


def _all_tensors(tree: Any) -> bool:
    """True if all leaves are Tensors, and none was stored by a step that was traced."""
    leaves = flatten(tree)
    return all(
        isinstance(leaf, Tensor) and not isinstance(leaf._data, TracerArray) for leaf in leaves
    )


def _float_as_tensor(x: float, leaves: list[Any]) -> Tensor:
    """Return a float in the common floating dtype of some leaves, and on their device."""
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.dtype.kind == "f"]
    dtype = np.result_type(*[leaf.dtype for leaf in tensors]) if tensors else None
    return full((), x, dtype, tensors[0].device if tensors else None)


def _as_tensor(x: Any) -> Tensor:
    """Return an array as a Tensor that the caller cannot change before the backward pass."""
    if isinstance(x, Tensor):
        return without_log(x)
    array = backend.of_array(x).asarray(x)
    return Tensor(array.copy() if array is x and graph.recording.get() else array)


def prepare_inputs(xs: Any, length: int | None) -> tuple[Any, int]:
    """Return `xs` as Tensors, and the number of steps.

    Raises
    ------
    ValueError
        If the leaves of `xs` and `length` disagree on the number of steps, or if there is neither a
        leaf nor a `length`.
    """
    xs = xs if _all_tensors(xs) else tree_map(_as_tensor, xs)
    lengths = {len(leaf._data) for leaf in flatten(xs)}
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
    xs : nested arrays, each of shape (T, B, ...) or (T,)
        The inputs, whose batch axis is checked.

    Attributes
    ----------
    array : array of bool, shape (T, B)
        The mask.
    is_full : list of bool, length T
        True for each step at which all sequences are running.
    """

    def __init__(self, lengths: Any, steps: int, carry: Any, xs: Any) -> None:
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
            shape = getattr(leaf, "shape", ())
            if shape[:1] != host.shape:
                raise ValueError(
                    f"scan: lengths has {host.size} entries, but a carry has shape {shape}; "
                    "its first axis must be the batch axis"
                )
        for leaf in flatten(xs):
            if leaf.ndim > 1 and leaf.shape[1:2] != host.shape:
                raise ValueError(
                    f"scan: lengths has {host.size} entries, but xs has a leaf of shape "
                    f"{leaf.shape}; its second axis must be the batch axis"
                )
        self.batch_shape = host.shape
        mask = np.arange(steps)[:, None] < host
        self.is_full = [bool(row.all()) for row in mask]
        leaves = flatten(carry)
        device_backend = backend.of_array(unwrap(leaves[0])) if leaves else backend.current()
        self.array = device_backend.asarray(mask)

    def rows(self, steps: slice) -> Tensor | None:
        """Return the mask of some steps, or None if all sequences are running at each of them."""
        return None if all(self.is_full[steps]) else Tensor(self.array[steps])

    def check_outputs(self, y: Any) -> None:
        """Raise ValueError if a leaf of the output of a step has no batch axis."""
        for leaf in flatten(y):
            shape = getattr(leaf, "shape", ())
            if shape[:1] != self.batch_shape:
                raise ValueError(
                    f"scan: with lengths, the first axis of each output of the step must be the "
                    f"batch axis of size {self.batch_shape[0]}, got an output of shape {shape}; "
                    "return values for each sequence, and reduce the ys after the scan"
                )


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

    def masked(leaf: Any) -> Any:
        return where(aligned(leaf), leaf, False if leaf.dtype == bool else 0)

    new_carry = tree_map(lambda new, old: where(aligned(new), new, old), new_carry, carry)
    return new_carry, tree_map(masked, y)
