"""Cases for the table of operations: arrays in general position, with what else a call needs."""

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


@st.composite
def spaced(draw: Any) -> Case:
    """Two ends that broadcast together, and how many numbers to put between them."""
    ends, _ = draw(binary())
    return just(*ends, num=draw(st.integers(0, 4)), endpoint=draw(st.booleans()))


@st.composite
def rounded(draw: Any) -> Case:
    (x,), _ = draw(unary(-2, 2, *HALF))
    return just(x, decimals=draw(st.sampled_from([0, -1])))


@st.composite
def quotients(draw: Any) -> Case:
    """Two arrays, no quotient of which is near a whole number."""
    left, right = draw(broadcastable_shapes(2, max_dims=2))
    b = draw(arrays(right, avoid=SMALL))
    quotient = draw(arrays(np.broadcast_shapes(left, right), -2.9, 2.9, (-2, -1, 0, 1, 2)))
    return just(np.asarray(quotient * b), b)


def axes(ndim: int) -> SearchStrategy[Any]:
    """What `axis` can be: None, one of them, a tuple of them."""
    if not ndim:
        return st.sampled_from([None, ()])
    one = st.integers(-ndim, ndim - 1)
    several = st.lists(st.integers(0, ndim - 1), unique=True).map(tuple)
    return st.none() | one | several


def one_or_all(shape: tuple[int, ...]) -> SearchStrategy[int | None]:
    return st.none() | one_axis(shape) if shape else st.none()


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
def along_axis(draw: Any, least: int = 0) -> Case:
    """An array and one of its axes, at least so long."""
    x = draw(arrays(shapes(min_dims=1)))
    axis = draw(one_axis(x.shape))
    assume(x.shape[axis] >= least)
    return just(x, axis=axis)


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


def nothing(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {}


def several_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"axis": draw(axes(len(shape)))}


def diagonal_number(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"k": draw(st.integers(-3, 3))}


def offset_and_axes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return {"offset": draw(st.integers(-2, 2)), "axis1": first, "axis2": second - len(shape)}


def turn(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return {"k": draw(st.integers(-2, 5)), "axes": (first, second)}


def shifts(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    axis = draw(axes(len(shape)).filter(lambda axis: axis != ()))
    shift = st.integers(-4, 4)
    if isinstance(axis, tuple):
        return {"shift": tuple(draw(shift) for _ in axis), "axis": axis}
    return {"shift": draw(shift), "axis": axis}


def axis_and_start(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"axis": draw(one_axis(shape)), "start": draw(st.integers(-len(shape), len(shape)))}


def repetitions(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """How often to repeat each element: the same for all, or one number for each place."""
    axis = draw(one_or_all(shape))
    n = math.prod(shape) if axis is None else shape[axis]
    times = st.integers(0, 3)
    return {"repeats": draw(times | st.lists(times, min_size=n, max_size=n)), "axis": axis}


def tiles(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
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


def slopes(draw: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    several = st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1).map(tuple)
    axis = draw(st.none() | one_axis(shape) | several)
    sampled = range(len(shape)) if axis is None else np.ravel(axis)
    assume(all(shape[a] >= 2 for a in sampled))
    return {"spacing": draw(st.sampled_from([1.0, 0.5])), "axis": axis}


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
def lists(draw: Any, equal: bool, min_dims: int = 1) -> Case:
    """Arrays of one shape and an axis; unless `equal`, of several lengths along it."""
    shape = draw(shapes(min_dims=min_dims))
    axis = draw(one_axis(shape) if not equal else st.integers(-len(shape) - 1, len(shape)))
    made = []
    for _ in range(draw(st.integers(1, 3))):
        sides = list(shape)
        if not equal:
            sides[axis] = draw(st.integers(0, 3))
        made.append(draw(arrays(tuple(sides))))
    return just(*made, axis=axis)


def alike_lists() -> SearchStrategy[Case]:
    """Arrays of one shape."""
    return lists(equal=True, min_dims=0).map(lambda case: just(*case[0]))


@st.composite
def splits(draw: Any, min_dims: int = 1, axis: int | None = None, equal: bool = True) -> Case:
    """An array to be cut at indices or into so many parts, `equal` or not; the axis is one of the
    arguments unless it is given.
    """
    x = draw(arrays(shapes(min_dims=min_dims, max_side=6)))
    along = draw(one_axis(x.shape)) if axis is None else min(axis, x.ndim - 1)
    n = x.shape[along]
    parts = st.sampled_from([k for k in range(1, max(n, 1) + 2) if n % k == 0 or not equal])
    cuts = st.lists(st.integers(0, n), min_size=1, max_size=3).map(sorted).map(tuple)
    return just(x, sections=draw(parts | cuts), **({"axis": along} if axis is None else {}))


@st.composite
def appended(draw: Any) -> Case:
    """Two arrays and an axis along which they fit, or None."""
    axis = draw(st.none() | st.integers(0, 2))
    if axis is None:
        return just(draw(arrays(shapes())), draw(arrays(shapes())), axis=None)
    sides = list(draw(shapes(min_dims=axis + 1)))
    x = draw(arrays(tuple(sides)))
    sides[axis] = draw(st.integers(0, 3))
    return just(x, draw(arrays(tuple(sides))), axis=axis)


@st.composite
def ordered(draw: Any, kth: bool = False, any_dtype: bool = False) -> Case:
    """An array and an axis of it, or None; with `kth` also a place in the order along it."""
    x = draw(alike(shape=shapes()))[0][0] if any_dtype else draw(arrays(shapes(), distinct=True))
    axis = draw(one_or_all(x.shape))
    n = x.size if axis is None else x.shape[axis]
    assume(n or not kth)
    place = {"kth": draw(st.integers(-n, n - 1))} if kth else {}
    return just(x, **place, axis=axis)


@st.composite
def greatest(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1), distinct=True))
    axis = draw(one_axis(x.shape))
    return just(x, k=draw(st.integers(0, x.shape[axis])), axis=axis)


@st.composite
def peaks(draw: Any) -> Case:
    """An array with an element, and an axis or None."""
    x = draw(arrays(shapes(min_side=1), distinct=True))
    return just(x, axis=draw(one_or_all(x.shape)))


# --- products -------------------------------------------------------------------------------------


@st.composite
def contracted(draw: Any, second_last: bool) -> Case:
    """Two arrays, the last axis of the one as long as the last (but one) of the other."""
    n = draw(st.integers(0, 3))
    before, behind = draw(shapes(max_dims=2)), draw(shapes(max_dims=2))
    right = (*behind[:-1], n, *behind[-1:]) if second_last else (*behind, n)
    scalar = draw(st.sampled_from([None, None, None, 0, 1]))
    found = [() if scalar == i else side for i, side in enumerate(((*before, n), right))]
    return just(*[draw(arrays(shape)) for shape in found])


def two(**shape: int) -> SearchStrategy[Case]:
    """Two arrays whose shapes have nothing in common."""
    return st.builds(just, arrays(shapes(**shape)), arrays(shapes(**shape)))


@st.composite
def of_one_size(draw: Any) -> Case:
    shape = draw(shapes())
    return just(draw(arrays(shape)), draw(arrays(draw(st.sampled_from([shape, shape[::-1]])))))


@st.composite
def common_axes(draw: Any) -> Case:
    """Two arrays and the axes over which `tensordot` sums."""
    common = draw(shapes(max_dims=2))
    left = (*draw(shapes(max_dims=1)), *common)
    right = (*common, *draw(shapes(max_dims=1)))
    count = len(common)
    listed = [
        list(range(-count, 0)),
        list(range(count)),
    ]
    return just(
        draw(arrays(left)), draw(arrays(right)), axes=draw(st.sampled_from([count, listed]))
    )


@st.composite
def space_vectors(draw: Any) -> Case:
    """Arrays of vectors of length 3 along one axis, counted from the front or from behind."""
    left, right = draw(broadcastable_shapes(2, max_dims=2))
    if draw(st.booleans()) and len(left) == len(right):
        return just(draw(arrays((3, *left))), draw(arrays((3, *right))), axis=0)
    return just(draw(arrays((*left, 3))), draw(arrays((*right, 3))), axis=-1)


@st.composite
def signals(draw: Any) -> Case:
    vectors = arrays(shapes(1, 1, min_side=1, max_side=5))
    mode = draw(st.sampled_from(["full", "same", "valid"]))
    return just(draw(vectors), draw(vectors), mode=mode)


@st.composite
def sums_of_products(draw: Any) -> Case:
    """Operands that suit an expression of Einstein's."""
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
        before, ellipsis, behind = labels.partition("...")
        shape = (*[side[c] for c in before], *(extra if ellipsis else ()))
        operands.append(draw(arrays((*shape, *[side[c] for c in behind]))))
    return just(*operands, subscripts=subscripts)


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
def takes(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    axis = draw(one_or_all(x.shape))
    n = x.size if axis is None else x.shape[axis]
    found = shapes(max_dims=2) if n else st.sampled_from([(0,), (2, 0)])
    indices = hnp.arrays(np.int64, found, elements=st.integers(-n, max(n - 1, 0)))
    return just(x, indices=draw(indices), axis=axis)


@st.composite
def picks(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    axis = draw(one_or_all(x.shape))
    n = x.size if axis is None else x.shape[axis]
    lengths = [0] if axis is None else [draw(st.sampled_from([1, n])) for n in x.shape]
    lengths[axis or 0] = draw(st.integers(0, 4 if n else 0))
    found = draw(hnp.arrays(np.int64, tuple(lengths), elements=st.integers(-n, max(n - 1, 0))))
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
    made = [draw(hnp.arrays(dtype, one, elements=_FEW[dtype])) for one in found]
    return just(*[draw(layouts())(array) for array in made])


@st.composite
def extremes(draw: Any) -> Case:
    (x,), _ = draw(alike(shape=shapes()))
    axis = draw(one_or_all(x.shape))
    assume(_count(x, axis))
    return just(x, axis=axis)
