"""Cases for the table of operations: arrays in general position, with what else a call needs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy

from autograd.testing.strategies import arrays, broadcastable_shapes, indices, shapes

Case = tuple[tuple[np.ndarray, ...], dict[str, Any]]  # the arrays, and all other arguments by name


def just(*args: np.ndarray, **static: Any) -> Case:
    return args, static


def unary(low: float = -2.0, high: float = 2.0, *avoid: float) -> SearchStrategy[Case]:
    return arrays(shapes(), low, high, avoid).map(just)


@st.composite
def binary(draw: Any, a: tuple[float, ...] = (-2, 2), b: tuple[float, ...] = (-2, 2)) -> Case:
    """Two arrays that broadcast together; each domain is (low, high, *avoid)."""
    left, right = draw(broadcastable_shapes(2))
    return just(draw(arrays(left, a[0], a[1], a[2:])), draw(arrays(right, b[0], b[1], b[2:])))


@st.composite
def unequal(draw: Any) -> Case:
    """Two arrays that broadcast together, no number of the one near one of the other."""
    left, right = draw(broadcastable_shapes(2, max_dims=2))
    a = draw(arrays(left))
    return just(a, draw(arrays(right, avoid=tuple(a.ravel()))))


def axes(ndim: int) -> SearchStrategy[Any]:
    """What `axis` can be: None, one of them, a tuple of them."""
    if not ndim:
        return st.sampled_from([None, ()])
    one = st.integers(-ndim, ndim - 1)
    several = st.lists(st.integers(0, ndim - 1), unique=True).map(tuple)
    return st.none() | one | several


def one_axis(shape: tuple[int, ...]) -> SearchStrategy[int]:
    return st.integers(-len(shape), len(shape) - 1)


@st.composite
def reductions(
    draw: Any, least: int = 1, distinct: bool = False, avoid: tuple[float, ...] = ()
) -> Case:
    """An array and the axes to reduce, which hold at least so many elements."""
    x = draw(arrays(shapes(), avoid=avoid, distinct=distinct))
    axis = draw(axes(x.ndim))
    assume(_count(x, axis) >= least)
    return just(x, axis=axis, keepdims=draw(st.booleans()))


def _count(x: np.ndarray, axis: Any) -> int:
    """How many elements are reduced to one."""
    reduced = range(x.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    return math.prod(x.shape[a] for a in reduced)


@st.composite
def variances(draw: Any) -> Case:
    (x,), static = draw(reductions())
    return just(x, **static, ddof=draw(st.integers(0, min(1, _count(x, static["axis"]) - 1))))


@st.composite
def along_axis(draw: Any, min_side: int = 0) -> Case:
    x = draw(arrays(shapes(min_dims=1, min_side=min_side)))
    return just(x, axis=draw(one_axis(x.shape)))


@st.composite
def rearranged(
    draw: Any, /, how: Callable[[Any, tuple[int, ...]], dict[str, Any]], **shape: int
) -> Case:
    """An array, and arguments that `how(draw, shape)` finds for it."""
    x = draw(arrays(shapes(**shape)))
    return just(x, **how(draw, x.shape))


def new_shape(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """The same number of elements in another shape, with or without a -1."""
    if 0 in shape:
        return {"shape": draw(st.sampled_from([(0,), (2, 0), shape]))}
    sides = [n for n in draw(st.permutations(shape)) if n > 1]
    cut = draw(st.integers(0, len(sides)))
    merged = [math.prod(sides[:cut]), *sides[cut:]]
    return {"shape": tuple(draw(st.sampled_from([merged, [-1, *merged[1:]], [*merged, 1]])))}


def new_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    places = st.integers(-len(shape) - 1, len(shape))
    two = st.sets(st.integers(0, len(shape) + 1), min_size=2, max_size=2).map(tuple)
    return {"axis": draw(places | two)}


def source_and_destination(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"source": draw(one_axis(shape)), "destination": draw(one_axis(shape))}


def two_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"axis1": draw(one_axis(shape)), "axis2": draw(one_axis(shape))}


def ones(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Some of the axes of length 1; None for all."""
    single = [a for a, n in enumerate(shape) if n == 1]
    some = st.lists(st.sampled_from(single), unique=True).map(tuple) if single else st.just(())
    return {"axis": draw(st.none() | some)}


def permutation(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    signed = [
        a - len(shape) * draw(st.booleans()) for a in draw(st.permutations(range(len(shape))))
    ]
    return {"axes": draw(st.sampled_from([tuple(signed), tuple(signed), None]))}


@st.composite
def lists(draw: Any, equal: bool) -> Case:
    """Arrays of one shape and an axis; unless `equal`, of several lengths along it."""
    shape = draw(shapes(min_dims=1))
    axis = draw(one_axis(shape) if not equal else st.integers(-len(shape) - 1, len(shape)))
    made = []
    for _ in range(draw(st.integers(1, 3))):
        sides = list(shape)
        if not equal:
            sides[axis] = draw(st.integers(0, 3))
        made.append(draw(arrays(tuple(sides))))
    return just(*made, axis=axis)


@st.composite
def splits(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1, max_side=6)))
    axis = draw(one_axis(x.shape))
    n = x.shape[axis]
    parts = st.sampled_from([k for k in range(1, max(n, 1) + 1) if n % k == 0])
    cuts = st.lists(st.integers(0, n), min_size=1, max_size=3).map(sorted).map(tuple)
    return just(x, sections=draw(parts | cuts), axis=axis)


@st.composite
def matrices(draw: Any) -> Case:
    signature = np.matmul.signature
    fitting = hnp.mutually_broadcastable_shapes(signature=signature, min_side=0, max_side=3)
    square = st.sampled_from([2, 3]).map(lambda n: ((n, n), (n, n)))
    found = draw(fitting.map(lambda shapes: shapes.input_shapes) | square)
    return just(*[draw(arrays(shape)) for shape in found])


@st.composite
def layers(draw: Any) -> Case:
    outside, inside = draw(shapes(2, 2))
    leading = draw(shapes(max_dims=2))
    return just(draw(arrays((*leading, inside))), draw(arrays((outside, inside))))


@st.composite
def choices(draw: Any) -> Case:
    condition, left, right = draw(broadcastable_shapes(3))
    chosen = draw(hnp.arrays(np.bool_, condition))
    return just(draw(arrays(left)), draw(arrays(right)), condition=chosen)


@st.composite
def limits(draw: Any) -> Case:
    low, high = draw(st.sampled_from([(-1.0, 1), (None, 0.5), (-0.5, None), (1, -1)]))
    kinks = [limit for limit in (low, high) if limit is not None]
    return just(draw(arrays(shapes(), avoid=kinks)), a_min=low, a_max=high)


@st.composite
def rows(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    n = len(x)
    return just(
        x, indices=draw(hnp.arrays(np.int64, shapes(max_dims=2), elements=st.integers(-n, n - 1)))
    )


@st.composite
def picks(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    axis = draw(one_axis(x.shape))
    lengths = [draw(st.sampled_from([1, n])) for n in x.shape]
    lengths[axis] = draw(st.integers(0, 4))
    n = x.shape[axis]
    found = draw(hnp.arrays(np.int64, tuple(lengths), elements=st.integers(-n, n - 1)))
    return just(x, indices=found, axis=axis)


@st.composite
def readings(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    return just(x, index=draw(indices(x.shape)))


@st.composite
def writings(draw: Any) -> Case:
    """An array, what is written into it, and where: no place twice."""
    x = draw(arrays(shapes()))
    masks = hnp.arrays(np.bool_, x.shape)
    index = draw(hnp.basic_indices(x.shape, allow_newaxis=True) | masks)
    shape = x[index].shape
    return just(x, draw(arrays(draw(st.sampled_from([shape, shape[1:], ()])))), index=index)


@st.composite
def expansions(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    return just(x, shape=np.broadcast_shapes(x.shape, draw(broadcastable_to(x.shape))))


@st.composite
def broadcastable_to(draw: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(draw(hnp.broadcastable_shapes(shape, min_side=0, max_side=3, max_dims=4)))


# --- with ties, and peculiar numbers --------------------------------------------------------------

_FEW = {  # elements that are often equal, or peculiar
    np.bool_: st.booleans(),
    np.int64: st.integers(-2, 2),
    np.uint8: st.integers(0, 2),
    np.float32: st.sampled_from([-1.0, 0.0, 1.0, 2.5, np.inf, -np.inf, np.nan]),
}


@st.composite
def alike(draw: Any, count: int = 1, kinds: str = "biuf", shape: Any = None) -> Case:
    """Arrays that broadcast together, of few different elements and of a dtype of these kinds."""
    dtype = draw(st.sampled_from([dtype for dtype in _FEW if np.dtype(dtype).kind in kinds]))
    found = draw(broadcastable_shapes(count)) if shape is None else [draw(shape)] * count
    return just(*[draw(hnp.arrays(dtype, one, elements=_FEW[dtype])) for one in found])


@st.composite
def extremes(draw: Any) -> Case:
    (x,), _ = draw(alike(shape=shapes(min_side=1)))
    return just(x, axis=draw(st.none() | one_axis(x.shape) if x.ndim else st.none()))
