"""Dropout on recurrent connections and zoneout, for `Recurrent`."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from autograd import (
    Tensor,
    enable_grad,
    flatten,
    full,
    gradients,
    ones_like,
    random,
    tree_map,
    where,
    zeros,
)

from .. import functional
from .cell import Cell

Step = Callable[[Any, Any], tuple[Any, Any]]


def dropout_mask(like: Tensor, p: float) -> Tensor:
    """Return a mask in the shape of `like`: 0 with probability p, otherwise 1 / (1 - p)."""
    return functional.dropout(ones_like(like), p)


def with_recurrent_mask(cell: Any, mask: Tensor) -> Any:
    """Return a copy of the cell, with the same parameters, that masks the last output."""
    cell = copy(cell)
    cell.recurrent_mask = mask
    return cell


@enable_grad()
def uses_recurrent_mask(cell: Cell) -> bool:
    """True if a step of the cell depends on the recurrent mask."""
    state = cell.initial_state(1)
    h = flatten(state)[0]
    mask = ones_like(h).requires_grad_()
    masked = with_recurrent_mask(cell, mask)
    x = masked.precompute(zeros((1, cell.input_size), h.dtype, h.device))
    new_state, y = masked.step(state, x)
    total: Any = sum(leaf.sum() for leaf in flatten((y, new_state)))
    if not total.requires_grad:
        return False
    return gradients(total, [mask], allow_unused=True)[0] is not None


def zoneout_masks(rates: tuple[float, ...], training: bool, state: Any, steps: int) -> Any:
    """Return the zoneout mask of each Tensor of the state, with the steps as first axis.

    A mask is boolean in training. In evaluation it is the zoneout probability, of shape (steps,).
    """
    next_rate = iter(rates)

    def mask(leaf: Tensor) -> Tensor:
        rate = next(next_rate)
        if not training:
            return full((steps,), rate, leaf.dtype, leaf.device)
        return random.default_generator.mask((steps, *leaf.shape), rate, leaf.device)

    return tree_map(mask, state)


def _preserve(mask: Tensor, old: Tensor, new: Tensor) -> Any:
    """Return the old state where a boolean mask is True; for a probability, the expected state."""
    return where(mask, old, new) if mask.dtype == bool else mask * old + (1 - mask) * new


def with_zoneout(step: Step, precompute: Callable[[Any], Any]) -> tuple[Step, Callable[[Any], Any]]:
    """Return a cell's functions with zoneout; their input is a pair (x, zoneout masks).

    An output that is a part of the new state becomes that part after zoneout.
    """

    def zoneout_step(state: Any, x_and_mask: Any) -> tuple[Any, Any]:
        x, mask = x_and_mask
        new_state, y = step(state, x)
        mixed_state = tree_map(_preserve, mask, state, new_state)
        for new, mixed in zip(flatten(new_state), flatten(mixed_state), strict=True):
            if y is new:
                y = mixed
        return mixed_state, y

    return zoneout_step, lambda xs_and_masks: (precompute(xs_and_masks[0]), xs_and_masks[1])
