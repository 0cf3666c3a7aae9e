"""The table of all public operations: what NumPy calls them, and arguments that suit them.

`check_forward`, `check_derivatives` and `check_dtypes` are what the suite asks of each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays, broadcastable_shapes, indices, shapes

Case = tuple[tuple[np.ndarray, ...], dict[str, Any]]  # the arrays, and all other arguments by name


@dataclass(frozen=True)
class Operation:
    """An operation, the same in NumPy, and cases to try them on."""

    call: Callable[..., Any]
    reference: Callable[..., Any]
    cases: SearchStrategy[Case]


# --- what is asked of each ----------------------------------------------------------------------------------


def check_forward(operation: Operation, case: Case) -> None:
    """Its values are NumPy's, on Tensors and on arrays; it returns a Tensor if it was given one, and then only."""
    args, static = case
    expected = ag.flatten(operation.reference(*args, **static))
    on_tensors = ag.flatten(operation.call(*map(ag.Tensor, args), **static))
    on_arrays = ag.flatten(operation.call(*args, **static))
    for tensor, array, value in zip(on_tensors, on_arrays, expected, strict=True):
        assert isinstance(tensor, ag.Tensor)
        assert not isinstance(array, ag.Tensor)
        assert tensor.shape == value.shape
        assert tensor.dtype == value.dtype
        np.testing.assert_allclose(tensor.numpy(), value, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(array, tensor.numpy())


def check_derivatives(operation: Operation, case: Case) -> None:
    """Its derivatives of first and second order are those of finite differences."""
    args, static = case
    check_gradients(lambda *tensors: operation.call(*tensors, **static), *args)


def check_dtypes(operation: Operation, case: Case, dtypes: list[Any]) -> None:
    """Results are of NumPy's dtypes; each gradient, of both orders, is of its own tensor's, and right."""
    args, static = case
    given = [a.astype(dtype) for a, dtype in zip(args, dtypes, strict=False)]
    expected = ag.flatten(operation.reference(*given, **static))
    results = ag.flatten(operation.call(*map(ag.Tensor, given), **static))
    assert [r.dtype for r in results] == [e.dtype for e in expected]
    precise = two_orders(operation, [a.astype(np.float64) for a in given], static)
    for i, slope in enumerate(two_orders(operation, given, static)):
        if slope is not None:
            assert slope.dtype == given[i % len(given)].dtype
            if np.float16 not in dtypes:
                np.testing.assert_allclose(slope.numpy(), precise[i].numpy(), rtol=1e-4, atol=1e-4)


def two_orders(operation: Operation, args: list[np.ndarray], static: dict[str, Any]) -> list[Any]:
    """The gradients of a scalar of the results by all arguments, and those of a scalar of these."""
    tensors = [ag.tensor(a, requires_grad=True) for a in args]
    found: list[Any] = []
    scalar = _sum_of_squares(ag.flatten(operation.call(*tensors, **static)))
    while scalar.requires_grad and len(found) < 2 * len(tensors):
        slopes = ag.gradients(scalar, tensors, create_graph=True, allow_unused=True)
        found += slopes
        scalar = _sum_of_squares([slope for slope in slopes if slope is not None])
    return found


def _sum_of_squares(tensors: list[Any]) -> Any:
    return sum(((t * t).sum() for t in tensors), ag.tensor(0.0))


# --- kinds of cases -----------------------------------------------------------------------------------------


def just(*args: np.ndarray, **static: Any) -> Case:
    return args, static


def unary(low: float = -2.0, high: float = 2.0, *avoid: float) -> SearchStrategy[Case]:
    return arrays(shapes(), low, high, avoid).map(just)


@st.composite
def binary(draw: Any, a: tuple[float, ...] = (-2, 2), b: tuple[float, ...] = (-2, 2)) -> Case:
    """Two arrays that broadcast together; each domain is (low, high, *avoid)."""
    left, right = draw(broadcastable_shapes(2))
    return just(draw(arrays(left, *a[:2], avoid=a[2:])), draw(arrays(right, *b[:2], avoid=b[2:])))


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
    draw: Any, how: Callable[[Any, tuple[int, ...]], dict[str, Any]], **shape: int
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
    return {"shape": tuple(draw(st.sampled_from([merged, [-1, *merged[1:]], merged + [1]])))}


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


def joined(several: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a list of arrays, as one of many arguments."""
    return lambda *arrays, axis: several(arrays, axis)


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


def write(x: np.ndarray, value: np.ndarray, index: Any) -> np.ndarray:
    y = x.copy()
    y[index] = value
    return y


@st.composite
def expansions(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    return just(x, shape=np.broadcast_shapes(x.shape, draw(broadcastable_to(x.shape))))


@st.composite
def broadcastable_to(draw: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(draw(hnp.broadcastable_shapes(shape, min_side=0, max_side=3, max_dims=4)))


# --- the table ----------------------------------------------------------------------------------------------


def _entry(name: str, cases: Any, reference: Any = None, call: Any = None) -> Operation:
    """Cases for a function; unless given, it and its reference are those of this name in ag and np."""
    return Operation(call or getattr(ag, name), reference or getattr(np, name), cases)


_WHOLE = (-2.0, -1.0, 0.0, 1.0, 2.0)

DIFFERENTIABLE = {
    name: _entry(name, *(entry if isinstance(entry, tuple) else (entry,)))
    for name, entry in {
        # elementwise
        "abs": unary(-2, 2, 0),
        "absolute": unary(-2, 2, 0),
        "add": binary(),
        "arctan": unary(),
        "astype": (unary().map(lambda case: just(*case[0], dtype=np.float64)), np.ndarray.astype),
        "ceil": unary(-2, 2, *_WHOLE),
        "clip": limits(),
        "cos": unary(),
        "cosh": unary(),
        "divide": binary(b=(-2, 2, -0.2, -0.1, 0, 0.1, 0.2)),
        "exp": unary(),
        "expm1": unary(),
        "floor": unary(-2, 2, *_WHOLE),
        "log": unary(0.3, 3),
        "log10": unary(0.3, 3),
        "log1p": unary(-0.7, 2),
        "log2": unary(0.3, 3),
        "maximum": unequal(),
        "minimum": unequal(),
        "multiply": binary(),
        "negative": unary(),
        "power": binary(a=(0.3, 2)),
        "reciprocal": unary(-2, 2, -0.2, -0.1, 0, 0.1, 0.2),
        "relu": (unary(-2, 2, 0), lambda x: np.where(x > 0, x, 0)),
        "sigmoid": (unary(), lambda x: 1 / (1 + np.exp(-x))),
        "sign": unary(-2, 2, 0),
        "sin": unary(),
        "sinh": unary(),
        "softplus": (unary(), lambda x: np.log(1 + np.exp(x))),
        "sqrt": unary(0.3, 3),
        "square": unary(),
        "subtract": binary(),
        "tan": unary(-1, 1),
        "tanh": unary(),
        "where": (
            choices(),
            lambda a, b, condition: np.where(condition, a, b),
            lambda a, b, condition: ag.where(condition, a, b),
        ),
        # reductions
        "log_softmax": (
            along_axis(1),
            lambda x, axis: x - np.log(np.exp(x).sum(axis, keepdims=True)),
        ),
        "logsumexp": (reductions(), lambda x, **over: np.log(np.sum(np.exp(x), **over))),
        "max": reductions(distinct=True),
        "mean": reductions(),
        "min": reductions(distinct=True),
        "norm": (reductions(0, avoid=(0.0,)), lambda x, **over: np.sqrt(np.sum(x * x, **over))),
        "softmax": (along_axis(1), lambda x, axis: np.exp(x) / np.exp(x).sum(axis, keepdims=True)),
        "std": variances(),
        "sum": reductions(0),
        "var": variances(),
        # shapes
        "broadcast_to": expansions(),
        "concatenate": (lists(equal=False), joined(np.concatenate), joined(ag.concatenate)),
        "expand_dims": rearranged(new_axes),
        "moveaxis": rearranged(source_and_destination, min_dims=1),
        "ravel": rearranged(lambda draw, shape: {}),
        "reshape": (
            rearranged(new_shape),
            lambda x, shape: np.reshape(x, shape),
            lambda x, shape: ag.reshape(x, *shape),
        ),
        "split": (
            splits(),
            lambda x, sections, axis: tuple(np.split(x, sections, axis)),
        ),
        "squeeze": rearranged(ones, max_side=2),
        "stack": (lists(equal=True), joined(np.stack), joined(ag.stack)),
        "swapaxes": rearranged(two_axes, min_dims=1),
        "transpose": (
            rearranged(permutation) | rearranged(permutation, min_dims=3, min_side=1),
            lambda x, axes: np.transpose(x, axes),
            lambda x, axes: ag.transpose(x, axes),
        ),
        "unstack": (along_axis(), lambda x, axis: tuple(np.moveaxis(x, axis, 0))),
        # indices
        "getitem": (readings(), lambda x, index: x[index], lambda x, index: x[index]),
        "index_update": (
            writings(),
            write,
            lambda x, value, index: ag.index_update(x, index, value),
        ),
        "take": (rows(), lambda x, indices: np.take(x, indices, 0)),
        "take_along_axis": picks(),
        # products
        "linear": (layers(), lambda x, weight: x @ weight.T),
        "matmul": matrices(),
    }.items()
}


# --- without gradients --------------------------------------------------------------------------------------

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


NOT_DIFFERENTIABLE = {
    name: _entry(name, cases)
    for name, cases in {
        "argmax": extremes(),
        "argmin": extremes(),
        "bitwise_and": alike(2, "biu"),
        "bitwise_or": alike(2, "biu"),
        "equal": alike(2),
        "greater": alike(2),
        "greater_equal": alike(2),
        "invert": alike(1, "biu"),
        "isfinite": alike(),
        "isinf": alike(),
        "isnan": alike(),
        "less": alike(2),
        "less_equal": alike(2),
        "logical_and": alike(2),
        "logical_not": alike(),
        "logical_or": alike(2),
        "not_equal": alike(2),
        "ones_like": alike(),
        "zeros_like": alike(),
    }.items()
}
