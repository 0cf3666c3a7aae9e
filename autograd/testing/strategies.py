"""Hypothesis strategies for inputs of operations: shapes, arrays, layouts, indices and programs.

The numbers in `arrays` come from a seed and are in general position: without ties or round values,
and away from kinks. Only shapes shrink. Ties and singular points need separate tests.
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
"""Minimum distance of numbers from the kinks in `avoid`."""


# --- shapes ---------------------------------------------------------------------------------------


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> SearchStrategy[Shape]:
    """Draw shapes, including shapes of 0-d and empty arrays, and shapes with equal lengths.

    Parameters
    ----------
    min_dims, max_dims : int, default 0 and 3
        Bounds of the number of axes.
    min_side, max_side : int, default 0 and 3
        Bounds of the lengths of the axes.

    Returns
    -------
    SearchStrategy of tuple of int
        Strategy of shapes.
    """
    positive = [*range(max(min_side, 1), max_side + 1)]
    sides = st.sampled_from(2 * positive + [0] if min_side == 0 else positive)
    any_sides = st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)
    dims = st.integers(min_dims, max_dims)
    return any_sides | st.builds(lambda side, n: (side,) * n, sides, dims)


def broadcastable_shapes(
    n: int, max_dims: int = 3, max_side: int = 3
) -> SearchStrategy[tuple[Shape, ...]]:
    """Draw shapes that broadcast together, including shapes of 0-d and empty arrays.

    Parameters
    ----------
    n : int
        Number of shapes.
    max_dims : int, default 3
        Maximum number of axes.
    max_side : int, default 3
        Maximum length of an axis.

    Returns
    -------
    SearchStrategy of tuple of tuple of int
        Strategy of `n` shapes.
    """
    broadcastable = hnp.mutually_broadcastable_shapes(
        num_shapes=n, max_dims=max_dims, min_side=0, max_side=max_side
    )
    return broadcastable.map(lambda shapes: shapes.input_shapes)


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
    """Draw arrays of numbers in an interval, in any memory layout.

    Parameters
    ----------
    draw : callable
        Passed by hypothesis.
    shape : tuple of int or SearchStrategy
        Shape of the arrays.
    low, high : float, default -2.0 and 2.0
        Interval.
    avoid : sequence of float, optional
        Kinks; numbers differ from them by at least 0.05.
    distinct : bool, default False
        Draw numbers that differ by at least (high - low - 0.1 len(avoid)) / (2 size).
    dtype : dtype_like, default float64
        Dtype of the arrays.

    Returns
    -------
    SearchStrategy of array
        Strategy of arrays.

    Raises
    ------
    ValueError
        If `avoid` excludes the whole interval.
    """
    lengths = draw(shape) if isinstance(shape, SearchStrategy) else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    unit = rng.uniform(size=lengths)
    if distinct:
        ranks = rng.permutation(unit.size).reshape(lengths)
        unit = (ranks + 0.25 + unit / 2) / max(unit.size, 1)
    layout = draw(layouts())
    return layout(np.asarray(_spread(unit, low, high, avoid), dtype))


def _spread(unit: Array, low: float, high: float, avoid: Sequence[float]) -> Array:
    """Map numbers in [0, 1] to [low, high] without the neighborhoods of `avoid`."""
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
        raise ValueError(
            f"avoid must leave numbers between {low} and {high} (margin {MARGIN}), got {avoid}"
        )
    before = np.cumsum([0.0, *np.subtract(ends, starts)])
    position = unit * before[-1]
    piece = np.searchsorted(before[1:-1], position, side="right")
    return np.asarray(starts)[piece] + (position - before[piece])


def layouts() -> SearchStrategy[Callable[[Array], Array]]:
    """Draw functions that copy an array to another memory layout.

    Returns
    -------
    SearchStrategy of callable
        Strategy of functions for C order, Fortran order, strides with gaps, and negative strides.
    """
    return st.sampled_from([_contiguous, _fortran, _with_gaps, _reversed])


def _contiguous(array: Array) -> Array:
    return array.copy()


def _fortran(array: Array) -> Array:
    return array.copy(order="F")


def _with_gaps(array: Array) -> Array:
    larger: Array = np.zeros([2 * n for n in array.shape], array.dtype)
    view = larger[(..., *[slice(None, None, 2)] * array.ndim)]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    reverse = (..., *[slice(None, None, -1)] * array.ndim)
    return array[reverse].copy()[reverse]


# --- indices --------------------------------------------------------------------------------------


def indices(shape: Shape) -> SearchStrategy[Any]:
    """Draw indices of arrays of a shape.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array to index.

    Returns
    -------
    SearchStrategy
        Strategy of integers, slices with positive and negative steps, newaxis, ellipsis, integer
        arrays of several dtypes with negative and repeated entries, boolean masks, and mixtures.
    """
    without_masks = hnp.basic_indices(shape, allow_newaxis=True) | _mixed_indices(shape)
    if not shape:
        return without_masks
    masked = st.integers(1, len(shape)).map(lambda k: shape[:k])
    masks = masked.flatmap(lambda part: hnp.arrays(np.bool_, part))
    return without_masks | masks | _rows(shape[0], shapes(min_dims=1, max_dims=2))


@st.composite
def _rows(draw: Draw, n: int, result: SearchStrategy[Shape]) -> Array:
    """Draw an array of indices along an axis of length n."""
    dtype = draw(st.sampled_from([np.int64, np.int32, np.int8, np.uint8]))
    shape = draw(result) if n else (0,)
    low = 0 if dtype is np.uint8 else -n
    return draw(hnp.arrays(dtype, shape, elements=st.integers(low, max(n - 1, 0))))


@st.composite
def _mixed_indices(draw: Draw, shape: Shape) -> tuple[Any, ...]:
    """Draw slices and index arrays of one shape, with a newaxis or an ellipsis at some position."""
    common = draw(shapes(max_dims=2, min_side=1))
    parts: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        slices = st.slices(n)
        parts.append(draw(slices | _rows(n, st.just(common)) if n else slices))
    extra = draw(st.sampled_from([(), (None,), (...,)]))
    # The parts index the first axes, so an ellipsis comes last unless they index all axes.
    is_last = extra == (...,) and len(parts) < len(shape)
    position = len(parts) if is_last else draw(st.integers(0, len(parts)))
    return (*parts[:position], *extra, *parts[position:])


# --- programs -------------------------------------------------------------------------------------


def _sine_by_unstack(a: Any) -> Any:
    """Return sin(a) as one of several results of an operation."""
    return ops.joining.unstack(ops.joining.stack([a, -a, ops.trigonometric.sin(a)]))[2]


# Smooth steps that broadcast. Values and derivatives remain of magnitude 1 after many steps.
_STEPS: dict[str, Callable[..., Any]] = {
    "average": lambda a, b: (a + b) / 2,
    "bell": lambda a: ops.elementwise.exp(-a * a),
    "difference": lambda a, b: (a - b) / 2,
    "ends": lambda a: ops.reduction.mean(ops.indexing.take(a, [0, -1, 0]), keepdims=True) * a,
    "flip": lambda a: ops.movement.flip(a),
    "gate": lambda a, b: a * ops.activations.sigmoid(b),
    "middle": lambda a: ops.reduction.mean(a, -1 if a.ndim else None, keepdims=True),
    "outwards": _sine_by_unstack,
    "product": lambda a, b: a * b / 4,
    "quotient": lambda a, b: a / (2 + b * b),
    "running": lambda a: ops.cumulative.cumsum(a, -1) / a.shape[-1] if a.ndim else a,
    "sin": ops.trigonometric.sin,
    "softmax": lambda a: ops.softmax.softmax(a) if a.ndim else a,
    "tanh of sum": lambda a, b: ops.trigonometric.tanh(a + b),
}


@dataclass(frozen=True)
class Program:
    """Function of several arrays, as a list of steps.

    Each step takes any of the inputs and results of earlier steps. The program returns the values
    that no step uses.

    Parameters
    ----------
    inputs : int
        Number of arrays.
    steps : tuple of (str, tuple of int)
        Name of each step, and the numbers of the values that it takes.
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
    """Draw programs whose values are used several times, and arrays to run them on.

    Parameters
    ----------
    draw : callable
        Passed by hypothesis.
    min_steps, max_steps : int, default 3 and 15
        Bounds of the number of steps.

    Returns
    -------
    SearchStrategy of (Program, tuple of array)
        Strategy of programs with their inputs.
    """
    count = draw(st.integers(1, 3))
    steps: list[tuple[str, tuple[int, ...]]] = []
    for n in range(draw(st.integers(min_steps, max_steps))):
        name = draw(st.sampled_from(sorted(_STEPS)))
        operand = st.integers(0, count + n - 1)
        arity = len(signature(_STEPS[name]).parameters)
        steps.append((name, tuple(draw(operand) for _ in range(arity))))
    broadcastable = hnp.mutually_broadcastable_shapes(num_shapes=count, min_side=1, max_side=3)
    input_shapes = draw(broadcastable.map(lambda shapes: shapes.input_shapes))
    return Program(count, tuple(steps)), tuple(draw(arrays(shape)) for shape in input_shapes)
