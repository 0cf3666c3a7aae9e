"""Selections of gradients as bitwise operations.

The VJP rules of selections return `where(condition, g, 0)`, for which array modules need a new
array and much time. The same result is the bitwise "and" of g and a mask, which has all bits set
where the condition holds. The mask does not depend on g, so it is often computed for many steps at
once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...core.primitive import Primitive
from ...ops.selection import where
from ..ir import Op, Value
from ..schedule import Schedule, build_schedule
from .new_ops import NewOps


def _bit_mask(xp: Any, x: Any, *, dtype: Any) -> Any:
    return -x.astype(dtype)


def _masked(xp: Any, g: Any, mask: Any) -> Any:
    return (g.view(mask.dtype) & mask).view(g.dtype)


BIT_MASK = Primitive("bit_mask", _bit_mask, ["x"], {})
"""Integers with all bits set where x holds."""
MASKED = Primitive("masked", _masked, ["g", "mask"], {})
"""g where the bits of the mask are set, and 0 elsewhere."""
BIT_MASK.pointwise = MASKED.pointwise = True


def mask_selections(schedule: Schedule) -> Schedule:
    """Replace the selections of the backward pass by bitwise operations."""
    backward = schedule.backward_graph
    if backward is None or not any(map(_selects_gradient, backward.ops)):
        return schedule
    new, ops = NewOps(schedule), list[Op]()
    masks: dict[Any, Value] = {}
    for op in backward.ops:
        if not _selects_gradient(op):
            ops.append(op)
            continue
        condition, g, _ = op.args
        dtype = np.dtype(f"i{g.dtype.itemsize}")
        if (condition, dtype) not in masks:
            mask = masks[condition, dtype] = new.value(condition.shape, dtype)
            ops.append(Op(BIT_MASK, (condition,), {"dtype": dtype}, (mask,)))
        ops.append(Op(MASKED, (g, masks[condition, dtype]), {}, op.outs))
    return build_schedule(schedule.graph, replace(backward, ops=tuple(ops)))


def _selects_gradient(op: Op) -> bool:
    """True for `where(condition, g, 0)` of a g with the shape and dtype of the result."""
    if op.primitive is not where.primitive:
        return False
    condition, g, zero = op.args
    if not (isinstance(condition, Value) and isinstance(g, Value)) or type(zero) is not int:
        return False
    (out,) = op.outs
    is_same = (g.shape, g.dtype) == (out.shape, out.dtype)
    return zero == 0 and is_same and condition.dtype == bool and g.dtype.name in _MASKABLE


_MASKABLE = ("float16", "float32", "float64")
