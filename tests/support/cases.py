"""Strategies of arguments for the table of operations: arrays in general position, and options."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy

from autograd.testing.strategies import arrays, broadcastable_shapes, indices, layouts, shapes

WHOLE = (-2.0, -1.0, 0.0, 1.0, 2.0)
HALF = (-1.5, -0.5, 0.5, 1.5)
SMALL = (-0.2, -0.1, 0.0, 0.1, 0.2)

Case = tuple[tuple[np.ndarray, ...], dict[str, Any]]  # the arrays, and other arguments by name


def make_case(*args: np.ndarray, **static: Any) -> Case:
    return args, static


def unary(low: float = -2.0, high: float = 2.0, *avoid: float) -> SearchStrategy[Case]:
    return arrays(shapes(), low, high, avoid).map(make_case)


@st.composite
def binary(draw: Any, a: tuple[float, ...] = (-2, 2), b: tuple[float, ...] = (-2, 2)) -> Case:
    """Two arrays that broadcast together; each domain is (low, high, *avoid)."""
    left, right = draw(broadcastable_shapes(2))
    return make_case(draw(arrays(left, a[0], a[1], a[2:])), draw(arrays(right, b[0], b[1], b[2:])))


@st.composite
def without_ties(draw: Any) -> Case:
    """Two arrays that broadcast together and have no similar elements."""
    left, right = draw(broadcastable_shapes(2, max_dims=2))
    a = draw(arrays(left))
    return make_case(a, draw(arrays(right, avoid=tuple(a.ravel()))))


@st.composite
def linspaces(draw: Any) -> Case:
    """Two ends that broadcast together, and the number of samples."""
    ends, _ = draw(binary())
    return make_case(*ends, num=draw(st.integers(0, 4)), endpoint=draw(st.booleans()))


@st.composite
def roundings(draw: Any) -> Case:
    (x,), _ = draw(unary(-2, 2, *HALF))
    return make_case(x, decimals=draw(st.sampled_from([0, -1])))


@st.composite
def divisions(draw: Any) -> Case:
    """Two arrays whose quotients are not near integers."""
    left, right = draw(broadcastable_shapes(2, max_dims=2))
    b = draw(arrays(right, avoid=SMALL))
    quotient = draw(arrays(np.broadcast_shapes(left, right), -2.9, 2.9, (-2, -1, 0, 1, 2)))
    return make_case(np.asarray(quotient * b), b)


def axes(ndim: int) -> SearchStrategy[Any]:
    """Values of `axis`: None, an axis, or a tuple of axes."""
    if not ndim:
        return st.sampled_from([None, ()])
    single = st.integers(-ndim, ndim - 1)
    several = st.lists(st.integers(0, ndim - 1), unique=True).map(tuple)
    return st.none() | single | several


def one_or_all(shape: tuple[int, ...]) -> SearchStrategy[int | None]:
    return st.none() | one_axis(shape) if shape else st.none()


def one_axis(shape: tuple[int, ...]) -> SearchStrategy[int]:
    return st.integers(-len(shape), len(shape) - 1)


@st.composite
def reductions(
    draw: Any, min_elements: int = 1, distinct: bool = False, avoid: tuple[float, ...] = ()
) -> Case:
    """An array and the axes to reduce, which hold at least `min_elements` elements."""
    x = draw(arrays(shapes(), avoid=avoid, distinct=distinct))
    axis = draw(axes(x.ndim))
    assume(_count(x, axis) >= min_elements)
    return make_case(x, axis=axis, keepdims=draw(st.booleans()))


def _count(x: np.ndarray, axis: Any) -> int:
    """Return the number of elements that are reduced to one."""
    reduced = range(x.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    return math.prod(x.shape[a] for a in reduced)


@st.composite
def variances(draw: Any) -> Case:
    (x,), static = draw(reductions())
    return make_case(x, **static, ddof=draw(st.integers(0, min(1, _count(x, static["axis"]) - 1))))


@st.composite
def along_axis(draw: Any, min_length: int = 0) -> Case:
    """An array and one of its axes, of at least `min_length` elements."""
    x = draw(arrays(shapes(min_dims=1)))
    axis = draw(one_axis(x.shape))
    assume(x.shape[axis] >= min_length)
    return make_case(x, axis=axis)


@st.composite
def rearranged(
    draw: Any, /, arguments: Callable[[Any, tuple[int, ...]], dict[str, Any]], **shape: int
) -> Case:
    """An array, and the arguments that `arguments(draw, shape)` draws for it."""
    x = draw(arrays(shapes(**shape)))
    return make_case(x, **arguments(draw, x.shape))


def new_shape(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Another shape with the same number of elements, with or without a -1."""
    if 0 in shape:
        return {"shape": draw(st.sampled_from([(0,), (2, 0), shape]))}
    sides = [n for n in draw(st.permutations(shape)) if n > 1]
    n = draw(st.integers(0, len(sides)))
    merged = [math.prod(sides[:n]), *sides[n:]]
    return {"shape": tuple(draw(st.sampled_from([merged, [-1, *merged[1:]], [*merged, 1]])))}


def new_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    single = st.integers(-len(shape) - 1, len(shape))
    several = st.sets(st.integers(0, len(shape) + 1), min_size=2, max_size=2).map(tuple)
    return {"axis": draw(single | several)}


def no_arguments(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {}


def several_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"axis": draw(axes(len(shape)))}


def diagonal_number(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"k": draw(st.integers(-3, 3))}


def offset_and_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return {"offset": draw(st.integers(-2, 2)), "axis1": first, "axis2": second - len(shape)}


def rotation(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return {"k": draw(st.integers(-2, 5)), "axes": (first, second)}


def rolls(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    axis = draw(axes(len(shape)).filter(lambda axis: axis != ()))
    shift = st.integers(-4, 4)
    if isinstance(axis, tuple):
        return {"shift": tuple(draw(shift) for _ in axis), "axis": axis}
    return {"shift": draw(shift), "axis": axis}


def axis_and_start(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"axis": draw(one_axis(shape)), "start": draw(st.integers(-len(shape), len(shape)))}


def repetitions(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Numbers of repetitions: one for all elements, or one for each position."""
    axis = draw(one_or_all(shape))
    n = math.prod(shape) if axis is None else shape[axis]
    times = st.integers(0, 3)
    return {"repeats": draw(times | st.lists(times, min_size=n, max_size=n)), "axis": axis}


def tilings(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    times = st.integers(0, 2)
    return {"reps": draw(times | st.lists(times, max_size=4).map(tuple))}


def paddings(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    widths = st.tuples(st.integers(0, 3), st.integers(0, 3))
    pad_width = draw(st.integers(0, 2) | st.tuples(*[widths] * len(shape)).filter(len))
    modes = ["edge", "reflect", "symmetric", "wrap"] if math.prod(shape) else []
    mode = draw(st.sampled_from(["constant", *modes]))
    constant = {"constant_values": draw(st.sampled_from([0, 0.5]))} if mode == "constant" else {}
    return {"pad_width": pad_width, "mode": mode, **constant}


def windows(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    lengths = tuple(draw(st.integers(1, n)) for n in shape)
    axis = draw(one_axis(shape))
    return draw(
        st.sampled_from(
            [
                {"window_shape": lengths, "axis": None},
                {"window_shape": lengths[axis], "axis": axis},
                {"window_shape": lengths[:1], "axis": (0,)},
            ]
        )
    )


def differences(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"n": draw(st.integers(0, 3)), "axis": draw(one_axis(shape))}


def gradient_arguments(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    several = st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1).map(tuple)
    axis = draw(st.none() | one_axis(shape) | several)
    sampled = range(len(shape)) if axis is None else np.ravel(axis)
    assume(all(shape[a] >= 2 for a in sampled))
    return {"spacing": draw(st.sampled_from([1.0, 0.5])), "axis": axis}


def source_and_destination(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"source": draw(one_axis(shape)), "destination": draw(one_axis(shape))}


def two_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"axis1": draw(one_axis(shape)), "axis2": draw(one_axis(shape))}


def single_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
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
def sequences(draw: Any, equal: bool, min_dims: int = 1) -> Case:
    """Arrays of one shape and an axis; unless `equal`, their lengths along it differ."""
    shape = draw(shapes(min_dims=min_dims))
    axis = draw(one_axis(shape) if not equal else st.integers(-len(shape) - 1, len(shape)))
    several = []
    for _ in range(draw(st.integers(1, 3))):
        sides = list(shape)
        if not equal:
            sides[axis] = draw(st.integers(0, 3))
        several.append(draw(arrays(tuple(sides))))
    return make_case(*several, axis=axis)


def equal_shapes() -> SearchStrategy[Case]:
    """Arrays of one shape."""
    return sequences(equal=True, min_dims=0).map(lambda case: make_case(*case[0]))


@st.composite
def splits(draw: Any, min_dims: int = 1, axis: int | None = None, equal: bool = True) -> Case:
    """An array and its number of parts or split indices; also the axis unless it is passed."""
    x = draw(arrays(shapes(min_dims=min_dims, max_side=6)))
    along = draw(one_axis(x.shape)) if axis is None else min(axis, x.ndim - 1)
    n = x.shape[along]
    parts = st.sampled_from([k for k in range(1, max(n, 1) + 2) if n % k == 0 or not equal])
    indices = st.lists(st.integers(0, n), min_size=1, max_size=3).map(sorted).map(tuple)
    return make_case(x, sections=draw(parts | indices), **({"axis": along} if axis is None else {}))


@st.composite
def appends(draw: Any) -> Case:
    """Two arrays that can be concatenated along an axis, or without an axis."""
    axis = draw(st.none() | st.integers(0, 2))
    if axis is None:
        return make_case(draw(arrays(shapes())), draw(arrays(shapes())), axis=None)
    sides = list(draw(shapes(min_dims=axis + 1)))
    x = draw(arrays(tuple(sides)))
    sides[axis] = draw(st.integers(0, 3))
    return make_case(x, draw(arrays(tuple(sides))), axis=axis)


@st.composite
def sortings(draw: Any, kth: bool = False, any_dtype: bool = False) -> Case:
    """An array and an axis or None; with `kth` also a position in the order along the axis."""
    x = (
        draw(few_values(shape=shapes()))[0][0]
        if any_dtype
        else draw(arrays(shapes(), distinct=True))
    )
    axis = draw(one_or_all(x.shape))
    n = x.size if axis is None else x.shape[axis]
    assume(n or not kth)
    position = {"kth": draw(st.integers(-n, n - 1))} if kth else {}
    return make_case(x, **position, axis=axis)


@st.composite
def top_elements(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1), distinct=True))
    axis = draw(one_axis(x.shape))
    return make_case(x, k=draw(st.integers(0, x.shape[axis])), axis=axis)


@st.composite
def extremes_with_indices(draw: Any) -> Case:
    """An array that is not empty, and an axis or None."""
    x = draw(arrays(shapes(min_side=1), distinct=True))
    return make_case(x, axis=draw(one_or_all(x.shape)))


# --- products -------------------------------------------------------------------------------------


@st.composite
def contractions(draw: Any, second_last: bool) -> Case:
    """Two arrays to contract over the last axis, or the second last axis of the second array."""
    n = draw(st.integers(0, 3))
    left, right = draw(shapes(max_dims=2)), draw(shapes(max_dims=2))
    right = (*right[:-1], n, *right[-1:]) if second_last else (*right, n)
    scalar = draw(st.sampled_from([None, None, None, 0, 1]))
    drawn = [() if scalar == i else side for i, side in enumerate(((*left, n), right))]
    return make_case(*[draw(arrays(shape)) for shape in drawn])


def independent_arrays(**shape: int) -> SearchStrategy[Case]:
    """Two arrays of independent shapes."""
    return st.builds(make_case, arrays(shapes(**shape)), arrays(shapes(**shape)))


@st.composite
def equal_sizes(draw: Any) -> Case:
    shape = draw(shapes())
    return make_case(draw(arrays(shape)), draw(arrays(draw(st.sampled_from([shape, shape[::-1]])))))


@st.composite
def tensordots(draw: Any) -> Case:
    """Two arrays and the axes over which `tensordot` sums."""
    common = draw(shapes(max_dims=2))
    left = (*draw(shapes(max_dims=1)), *common)
    right = (*common, *draw(shapes(max_dims=1)))
    count = len(common)
    listed = [
        list(range(-count, 0)),
        list(range(count)),
    ]
    return make_case(
        draw(arrays(left)), draw(arrays(right)), axes=draw(st.sampled_from([count, listed]))
    )


@st.composite
def vectors_of_three(draw: Any) -> Case:
    """Arrays of vectors of length 3 along the first or the last axis."""
    left, right = draw(broadcastable_shapes(2, max_dims=2))
    if draw(st.booleans()) and len(left) == len(right):
        return make_case(draw(arrays((3, *left))), draw(arrays((3, *right))), axis=0)
    return make_case(draw(arrays((*left, 3))), draw(arrays((*right, 3))), axis=-1)


@st.composite
def convolutions(draw: Any) -> Case:
    vectors = arrays(shapes(1, 1, min_side=1, max_side=5))
    mode = draw(st.sampled_from(["full", "same", "valid"]))
    return make_case(draw(vectors), draw(vectors), mode=mode)


@st.composite
def sums_of_products(draw: Any) -> Case:
    """Subscripts of `einsum` and operands."""
    expressions = [
        *("ij,jk->ik", "ij,jk", "i,j->ji", "i,i", "bij,bjk->bik", "ij,j,ik->k", "i,j,k->"),
        *("ij->", "ji", "ij->j", "ii", "ii->i", "iij->j", "iii,i->i", "i,jj->i"),
        *("...", "...i->i...", "...ij,...jk->...ik", "i...,...->...i", "...i,...i", " ij , j -> i"),
    ]
    subscripts = draw(st.sampled_from(expressions))
    inputs = subscripts.replace(" ", "").partition("->")[0].split(",")
    side = {c: draw(st.sampled_from([0, 1, 2, 2, 3, 3])) for c in subscripts if c.isalpha()}
    dots = draw(broadcastable_shapes(len(inputs), max_dims=2))
    operands = []
    for labels, extra in zip(inputs, dots, strict=True):
        first, ellipsis, last = labels.partition("...")
        shape = (*[side[c] for c in first], *(extra if ellipsis else ()))
        operands.append(draw(arrays((*shape, *[side[c] for c in last]))))
    return make_case(*operands, subscripts=subscripts)


@st.composite
def matrices(draw: Any) -> Case:
    signature = np.matmul.signature
    batched = hnp.mutually_broadcastable_shapes(signature=signature, min_side=0, max_side=3)
    square = st.sampled_from([2, 3]).map(lambda n: ((n, n), (n, n)))
    drawn = draw(batched.map(lambda shapes: shapes.input_shapes) | square)
    return make_case(*[draw(arrays(shape)) for shape in drawn])


@st.composite
def layers(draw: Any) -> Case:
    out_features, in_features = draw(shapes(2, 2))
    leading = draw(shapes(max_dims=2))
    return make_case(
        draw(arrays((*leading, in_features))), draw(arrays((out_features, in_features)))
    )


@st.composite
def choices(draw: Any) -> Case:
    condition, left, right = draw(broadcastable_shapes(3))
    mask = draw(hnp.arrays(np.bool_, condition))
    return make_case(draw(arrays(left)), draw(arrays(right)), condition=mask)


@st.composite
def clippings(draw: Any) -> Case:
    low, high = draw(st.sampled_from([(-1.0, 1), (None, 0.5), (-0.5, None), (1, -1)]))
    kinks = [limit for limit in (low, high) if limit is not None]
    return make_case(draw(arrays(shapes(), avoid=kinks)), a_min=low, a_max=high)


@st.composite
def takes(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    axis = draw(one_or_all(x.shape))
    n = x.size if axis is None else x.shape[axis]
    index_shapes = shapes(max_dims=2) if n else st.sampled_from([(0,), (2, 0)])
    indices = hnp.arrays(np.int64, index_shapes, elements=st.integers(-n, max(n - 1, 0)))
    return make_case(x, indices=draw(indices), axis=axis)


@st.composite
def takes_along_axis(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    axis = draw(one_or_all(x.shape))
    n = x.size if axis is None else x.shape[axis]
    lengths = [0] if axis is None else [draw(st.sampled_from([1, n])) for n in x.shape]
    lengths[axis or 0] = draw(st.integers(0, 4 if n else 0))
    entries = st.integers(-n, max(n - 1, 0))
    return make_case(
        x, indices=draw(hnp.arrays(np.int64, tuple(lengths), elements=entries)), axis=axis
    )


@st.composite
def getitems(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    return make_case(x, index=draw(indices(x.shape)))


@st.composite
def updates(draw: Any) -> Case:
    """An array, an index without repetitions, and the new values."""
    x = draw(arrays(shapes()))
    masks = hnp.arrays(np.bool_, x.shape)
    index = draw(hnp.basic_indices(x.shape, allow_newaxis=True) | masks)
    shape = x[index].shape
    return make_case(x, draw(arrays(draw(st.sampled_from([shape, shape[1:], ()])))), index=index)


@st.composite
def expansions(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    return make_case(x, shape=np.broadcast_shapes(x.shape, draw(broadcastable_to(x.shape))))


@st.composite
def broadcastable_to(draw: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(draw(hnp.broadcastable_shapes(shape, min_side=0, max_side=3, max_dims=4)))


# --- with ties and special values -----------------------------------------------------------------

_FEW_VALUES = {  # values that are often equal, or special
    np.bool_: st.booleans(),
    np.int64: st.integers(-2, 2),
    np.uint8: st.integers(0, 2),
    np.float32: st.sampled_from([-1.0, 0.0, 1.0, 2.5, np.inf, -np.inf, np.nan]),
}


@st.composite
def few_values(draw: Any, count: int = 1, kinds: str = "biuf", shape: Any = None) -> Case:
    """Arrays that broadcast together, with few different values, of a dtype of these kinds."""
    dtype = draw(st.sampled_from([dtype for dtype in _FEW_VALUES if np.dtype(dtype).kind in kinds]))
    drawn = draw(broadcastable_shapes(count)) if shape is None else [draw(shape)] * count
    several = [draw(hnp.arrays(dtype, side, elements=_FEW_VALUES[dtype])) for side in drawn]
    return make_case(*[draw(layouts())(array) for array in several])


@st.composite
def extremes(draw: Any) -> Case:
    (x,), _ = draw(few_values(shape=shapes()))
    axis = draw(one_or_all(x.shape))
    assume(_count(x, axis))
    return make_case(x, axis=axis)
