"""New elementwise operations, for passes that replace operations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...core.primitive import Primitive
from ...ops import elementwise
from ..ir import Op, Value, unused_numbers
from ..schedule import SPLIT, Schedule

ADD, MULTIPLY = elementwise.add.primitive, elementwise.multiply.primitive

Sections = tuple[tuple[float, int], ...]
"""Factors along an axis, each with the number of elements to which it applies."""


class NewOps:
    """Creates operations on the values of a schedule.

    Attributes
    ----------
    constants : list of (Value, array)
        Constants that the operations read.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.constants: list[tuple[Value, Any]] = []
        self._backend = schedule.graph.backend
        self._numbers = unused_numbers(schedule.graph, schedule.backward_graph)

    def value(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Value:
        """Return a new value."""
        return Value(next(self._numbers), shape, dtype)

    def apply(self, primitive: Primitive, x: Value, *args: Any, out: Value | None = None) -> Op:
        """Return an elementwise operation; without `out`, its result is a new value like `x`."""
        result = self.value(x.shape, x.dtype) if out is None else out
        return Op(primitive, (x, *args), {}, (result,))

    def scale(self, x: Value, sections: Sections, axis: int) -> Op:
        """Return the product of `x` and the factors of sections of an axis."""
        return self.apply(MULTIPLY, x, self.factors(sections, axis, x.dtype))

    def factors(self, sections: Sections, axis: int, dtype: np.dtype[Any]) -> float | Value:
        """Return factors along an axis, which is negative: a number if all factors are equal."""
        numbers = [factor for factor, _ in sections]
        if len(set(numbers)) == 1:
            return numbers[0]
        array = np.repeat(numbers, [size for _, size in sections]).astype(dtype)
        array = array.reshape(-1, *(1,) * (-1 - axis))
        constant = self.value(array.shape, dtype)
        self.constants.append((constant, self._backend.asarray(array)))
        return constant


def splits_last_axis(op: Op) -> bool:
    """True for a split along the last axis."""
    return op.primitive is SPLIT and op.static["axis"] % op.args[0].ndim == op.args[0].ndim - 1


def count_reads(schedule: Schedule) -> Counter[Value]:
    """Return how often each value is read: by operations of both passes, or as a result."""
    graph, backward = schedule.graph, schedule.backward_graph
    reads = Counter(value for op in graph.ops for value in op.inputs)
    reads.update((*graph.new_carry, *graph.ys))
    if backward is not None:
        reads.update(value for op in backward.ops for value in op.inputs)
        gradients = (*backward.d_carry, *backward.d_xs, *backward.d_captures)
        reads.update(d for d in gradients if d is not None)
    return reads
