"""Hypothesis strategies for what operations are tried on: shapes, arrays, layouts and indices; and
for whole programs.

The numbers in `arrays` come from a seed and are in general position: no ties, no round values, none
near a kink. What shrinks is shapes. Ties and singular points deserve tests that name them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy

from .. import ops
from ..backend import Array

Shape = tuple[int, ...]
Draw = Callable[[SearchStrategy[Any]], Any]

MARGIN = 0.05
"""How far numbers stay away from the kinks given as `avoid`."""


# --- shapes ---------------------------------------------------------------------------------------


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> SearchStrategy[Shape]:
    """Shapes: those of 0-d and (if `min_side` is 0) of empty arrays among them, and those of equal
    sides, from which no axis can be told.
    """
    positive = [*range(max(min_side, 1), max_side + 1)]
    sides = st.sampled_from(2 * positive + [0] if min_side == 0 else positive)
    any_sides = st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)
    dims = st.integers(min_dims, max_dims)
    return any_sides | st.builds(lambda side, n: (side,) * n, sides, dims)


def broadcastable_shapes(
    n: int, max_dims: int = 3, max_side: int = 3
) -> SearchStrategy[tuple[Shape, ...]]:
    """`n` shapes that broadcast together: by leading axes, by axes of length 1, or both; 0-d and
    empty ones too.
    """
    found = hnp.mutually_broadcastable_shapes(
        num_shapes=n, max_dims=max_dims, min_side=0, max_side=max_side
    )
    return found.map(lambda shapes: shapes.input_shapes)


# --- arrays ---------------------------------------------------------------------------------------


@st.composite
def arrays(
    draw: Draw,
    shape: Shape | SearchStrategy[Shape],
    low: float = -2.0,
    high: float = 2.0,
    avoid: Sequence[float] = (),
    distinct: bool = False,
    dtype: Any = np.float64,
) -> Array:
    """Arrays of numbers between `low` and `high`, in any memory layout.

    Numbers stay at least 0.05 away from those in `avoid`; with `distinct` also from each other, by
    (high - low - 0.1 len(avoid)) / (2 size). Raises ValueError if `avoid` leaves nothing.
    """
    lengths = draw(shape) if isinstance(shape, SearchStrategy) else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    unit = rng.uniform(size=lengths)
    if distinct:
        places = rng.permutation(unit.size).reshape(lengths)
        unit = (places + 0.25 + unit / 2) / max(unit.size, 1)
    layout = draw(layouts())
    return layout(np.asarray(_spread(unit, low, high, avoid), dtype))


def _spread(unit: Array, low: float, high: float, avoid: Sequence[float]) -> Array:
    """Numbers of [0, 1] stretched over [low, high] less the neighbourhoods of `avoid`."""
    starts, ends = [], []
    start = low
    for kink in sorted(avoid):
        if start < min(kink - MARGIN, high):
            starts.append(start)
            ends.append(min(kink - MARGIN, high))
        start = max(start, kink + MARGIN)
    if start < high:
        starts.append(start)
        ends.append(high)
    if not starts:
        raise ValueError(f"avoid={avoid} leaves nothing between {low} and {high}")
    before = np.cumsum([0.0, *np.subtract(ends, starts)])
    position = unit * before[-1]
    piece = np.searchsorted(before[1:-1], position, side="right")
    return np.asarray(starts)[piece] + (position - before[piece])


def layouts() -> SearchStrategy[Callable[[Array], Array]]:
    """Functions that return an equal array in C's memory layout, in Fortran's, with gaps, or with
    negative strides.
    """
    return st.sampled_from([_contiguous, _fortran, _with_gaps, _backwards])


def _contiguous(array: Array) -> Array:
    return array.copy()


def _fortran(array: Array) -> Array:
    return array.copy(order="F")


def _with_gaps(array: Array) -> Array:
    wide: Array = np.zeros([2 * n for n in array.shape], array.dtype)
    view = wide[(..., *[slice(None, None, 2)] * array.ndim)]
    view[...] = array
    return view


def _backwards(array: Array) -> Array:
    back = (..., *[slice(None, None, -1)] * array.ndim)
    return array[back].copy()[back]


# --- indices --------------------------------------------------------------------------------------


def indices(shape: Shape) -> SearchStrategy[Any]:
    """What an array of this shape can be indexed with: integers, slices with steps of either sign,
    newaxis, ellipsis, arrays of integers (negative and repeated ones too, of several dtypes),
    boolean masks, and mixtures.
    """
    found = hnp.basic_indices(shape, allow_newaxis=True) | _mixed_indices(shape)
    if not shape:
        return found
    masked = st.integers(1, len(shape)).map(lambda k: shape[:k])
    masks = masked.flatmap(lambda part: hnp.arrays(np.bool_, part))
    return found | masks | _rows(shape[0], shapes(min_dims=1, max_dims=2))


@st.composite
def _rows(draw: Draw, n: int, result: SearchStrategy[Shape]) -> Array:
    """An array of indices along an axis of length n."""
    dtype = draw(st.sampled_from([np.int64, np.int32, np.int8, np.uint8]))
    shape = draw(result) if n else (0,)
    low = 0 if dtype is np.uint8 else -n
    return draw(hnp.arrays(dtype, shape, elements=st.integers(low, max(n - 1, 0))))


@st.composite
def _mixed_indices(draw: Draw, shape: Shape) -> tuple[Any, ...]:
    """Slices and index arrays of one shape, with a newaxis or an ellipsis in some place."""
    common = draw(shapes(max_dims=2, min_side=1))
    parts: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        slices = st.slices(n)
        parts.append(draw(slices | _rows(n, st.just(common)) if n else slices))
    extra = draw(st.sampled_from([(), (None,), (...,)]))
    # Behind an ellipsis stand the last axes: unless all are indexed, nothing may follow it here.
    last = extra == (...,) and len(parts) < len(shape)
    place = len(parts) if last else draw(st.integers(0, len(parts)))
    return (*parts[:place], *extra, *parts[place:])


# --- programs -------------------------------------------------------------------------------------

# Smooth steps that broadcast, and keep numbers and slopes of size 1 however often they are taken.
_STEPS: dict[str, Callable[..., Any]] = {
    "average": lambda a, b: (a + b) / 2,
    "bell": lambda a: ops.elementwise.exp(-a * a),
    "difference": lambda a, b: (a - b) / 2,
    "ends": lambda a: ops.reduction.mean(ops.indexing.take(a, [0, -1, 0]), keepdims=True) * a,
    "flip": lambda a: ops.movement.flip(a),
    "gate": lambda a, b: a * ops.activations.sigmoid(b),
    "middle": lambda a: ops.reduction.mean(a, -1 if a.ndim else None, keepdims=True),
    "outwards": lambda a: ops.joining.unstack(ops.joining.stack([a, -a, ops.trigonometric.sin(a)]))[
        2
    ],
    "product": lambda a, b: a * b / 4,
    "quotient": lambda a, b: a / (2 + b * b),
    "running": lambda a: ops.cumulative.cumsum(a, -1) / a.shape[-1] if a.ndim else a,
    "sin": ops.trigonometric.sin,
    "softmax": lambda a: ops.softmax.softmax(a) if a.ndim else a,
    "tanh of sum": lambda a, b: ops.trigonometric.tanh(a + b),
}


@dataclass(frozen=True)
class Program:
    """A function of several arrays: steps, each on any of the values so far. Its results are the
    values that no step uses.
    """

    inputs: int
    steps: tuple[tuple[str, tuple[int, ...]], ...]

    def __call__(self, *arrays: Any) -> list[Any]:
        values = list(arrays)
        for name, operands in self.steps:
            values.append(_STEPS[name](*[values[i] for i in operands]))
        used = {i for _, operands in self.steps for i in operands}
        return [value for i, value in enumerate(values) if i not in used]

    def __repr__(self) -> str:
        lines = [
            f"x{self.inputs + n} = {name}({', '.join(f'x{i}' for i in operands)})"
            for n, (name, operands) in enumerate(self.steps)
        ]
        return "\n".join([f"inputs x0 to x{self.inputs - 1}", *lines])


@st.composite
def programs(
    draw: Draw, min_steps: int = 3, max_steps: int = 15
) -> tuple[Program, tuple[Array, ...]]:
    """Random programs, in which values are shared and fan out, with arrays to run them on."""
    count = draw(st.integers(1, 3))
    steps: list[tuple[str, tuple[int, ...]]] = []
    for n in range(draw(st.integers(min_steps, max_steps))):
        name = draw(st.sampled_from(sorted(_STEPS)))
        operand = st.integers(0, count + n - 1)
        arity = len(signature(_STEPS[name]).parameters)
        steps.append((name, tuple(draw(operand) for _ in range(arity))))
    fitting = hnp.mutually_broadcastable_shapes(num_shapes=count, min_side=1, max_side=3)
    found = draw(fitting.map(lambda shapes: shapes.input_shapes))
    return Program(count, tuple(steps)), tuple(draw(arrays(shape)) for shape in found)
