"""The table of all public operations: what NumPy calls them, and cases that suit them.

`check_forward`, `check_derivatives`, `check_dtypes` and `check_integers` are what the suite asks of
each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cases
import numpy as np
from cases import HALF, SMALL, WHOLE, Case, just, rearranged, unary
from helpers import on_device
from hypothesis import reject
from hypothesis.strategies import SearchStrategy

import autograd as ag
from autograd.testing import check_gradients


@dataclass(frozen=True)
class Operation:
    """An operation, the same in NumPy, and cases to try them on."""

    call: Callable[..., Any]
    reference: Callable[..., Any]
    cases: SearchStrategy[Case]


# --- what is asked of each ------------------------------------------------------------------------


def check_forward(operation: Operation, case: Case) -> None:
    """Its values are NumPy's, and Tensors only if it was given Tensors."""
    args, static = case
    expected = ag.flatten(operation.reference(*args, **static))
    arrays = [on_device(a) for a in args]
    on_tensors = ag.flatten(operation.call(*map(ag.Tensor, arrays), **static))
    on_arrays = ag.flatten(operation.call(*arrays, **static))
    for tensor, array, value in zip(on_tensors, on_arrays, expected, strict=True):
        assert isinstance(tensor, ag.Tensor)
        assert not isinstance(array, ag.Tensor)
        assert tensor.shape == value.shape
        assert tensor.dtype == value.dtype
        np.testing.assert_allclose(tensor.numpy(), value, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(ag.Tensor(array).numpy(), tensor.numpy())


def check_derivatives(operation: Operation, case: Case) -> None:
    """Its derivatives of first and second order are those of finite differences."""
    args, static = case
    check_gradients(lambda *tensors: operation.call(*tensors, **static), *args)


def check_dtypes(operation: Operation, case: Case, dtypes: list[Any]) -> None:
    """Results are of NumPy's dtypes; gradients, of both orders, of their tensor's, and right."""
    args, static = case
    given = [a.astype(dtype) for a, dtype in zip(args, dtypes, strict=False)]
    expected = ag.flatten(operation.reference(*given, **static))
    results = ag.flatten(operation.call(*map(ag.tensor, given), **static))
    assert [r.dtype for r in results] == [e.dtype for e in expected]
    precise = two_orders(operation, [a.astype(np.float64) for a in given], static)
    for i, slope in enumerate(two_orders(operation, given, static)):
        if slope is not None:
            assert slope.dtype == given[i % len(given)].dtype
            if np.float16 not in dtypes:
                np.testing.assert_allclose(slope.numpy(), precise[i].numpy(), rtol=1e-4, atol=1e-4)


def check_integers(operation: Operation, case: Case, dtype: Any) -> None:
    """Integers give what NumPy gives, in a dtype that is no narrower."""
    args, static = case
    given = [np.asarray(np.abs(np.rint(a)), dtype) for a in args]
    try:
        expected = ag.flatten(operation.reference(*given, **static))
    except (ValueError, TypeError, OverflowError):
        reject()
    results = ag.flatten(operation.call(*map(ag.tensor, given), **static))
    for result, value in zip(results, expected, strict=True):
        assert np.can_cast(np.asarray(value).dtype, result.dtype)
        rough = 1e-2 if np.asarray(value).dtype == np.float16 else 1e-12
        np.testing.assert_allclose(result.numpy(), value, rtol=rough, atol=rough)
        assert not result.requires_grad


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


# --- the table ------------------------------------------------------------------------------------


def joined(several: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a list of arrays, as one of many arguments."""
    return lambda *arrays, **static: several(arrays, *static.values())


def in_order(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose arguments have other names in NumPy."""
    return lambda *arrays, **static: f(*arrays, *static.values())


def greatest(x: np.ndarray, k: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    places = np.take(order, np.arange(k), axis)
    return np.take_along_axis(x, places, axis), places


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.result_type(x.dtype, np.float16)])(x)


def write(x: np.ndarray, value: np.ndarray, index: Any) -> np.ndarray:
    y = x.copy()
    y[index] = value
    return y


def _entry(name: str, tried: Any, reference: Any = None, call: Any = None) -> Operation:
    """Cases; unless given, the function and its reference are those of this name in ag and np."""
    return Operation(call or getattr(ag, name), reference or getattr(np, name), tried)


DIFFERENTIABLE = {
    name: _entry(name, *(entry if isinstance(entry, tuple) else (entry,)))
    for name, entry in {
        # elementwise
        "abs": unary(-2, 2, 0),
        "absolute": unary(-2, 2, 0),
        "add": cases.binary(),
        "angle": unary(-2, 2, 0),
        "arccos": unary(-0.9, 0.9),
        "arccosh": unary(1.2, 3),
        "arcsin": unary(-0.9, 0.9),
        "arcsinh": unary(),
        "arctan": unary(),
        "arctan2": cases.binary(a=(0.3, 2)),
        "arctanh": unary(-0.8, 0.8),
        "astype": (unary().map(lambda case: just(*case[0], dtype=np.float64)), np.ndarray.astype),
        "cbrt": unary(-2, 2, *SMALL),
        "ceil": unary(-2, 2, *WHOLE),
        "clip": cases.limits(),
        "conj": unary(),
        "copysign": cases.binary(a=(-2, 2, 0), b=(-2, 2, 0)),
        "cos": unary(),
        "cosh": unary(),
        "deg2rad": unary(),
        "degrees": unary(),
        "divide": cases.binary(b=(-2, 2, *SMALL)),
        "elu": (unary(-2, 2, 0), lambda x: np.where(x > 0, x, np.expm1(x))),
        "erf": (unary(), erf),
        "exp": unary(),
        "exp2": unary(),
        "expm1": unary(),
        "fabs": unary(-2, 2, 0),
        "fix": unary(-2, 2, *WHOLE),
        "floor": unary(-2, 2, *WHOLE),
        "floor_divide": cases.quotients(),
        "fmax": cases.unequal(),
        "fmin": cases.unequal(),
        "fmod": cases.quotients(),
        "gelu": (unary(), lambda x: x * (1 + erf(x / 2**0.5)) / 2),
        "hypot": cases.binary(a=(-2, 2, *SMALL)),
        "imag": unary(),
        "leaky_relu": (unary(-2, 2, 0), lambda x: np.where(x > 0, x, 0.01 * x)),
        "log": unary(0.3, 3),
        "log10": unary(0.3, 3),
        "log1p": unary(-0.7, 2),
        "log2": unary(0.3, 3),
        "logaddexp": cases.binary(),
        "logaddexp2": cases.binary(),
        "maximum": cases.unequal(),
        "minimum": cases.unequal(),
        "mod": cases.quotients(),
        "multiply": cases.binary(),
        "nan_to_num": unary(),
        "negative": unary(),
        "power": cases.binary(a=(0.3, 2)),
        "rad2deg": unary(),
        "radians": unary(),
        "real": unary(),
        "real_if_close": unary(),
        "reciprocal": unary(-2, 2, *SMALL),
        "relu": (unary(-2, 2, 0), lambda x: np.where(x > 0, x, 0)),
        "remainder": cases.quotients(),
        "rint": unary(-2, 2, *HALF),
        "round": cases.rounded(),
        "select": (
            cases.choices(),
            lambda a, b, condition: np.select([condition, ~condition], [a, b]),
            lambda a, b, condition: ag.select(
                [on_device(c) for c in (condition, ~condition)], [a, b]
            ),
        ),
        "sigmoid": (unary(), lambda x: 1 / (1 + np.exp(-1.0 * x))),
        "sign": unary(-2, 2, 0),
        "silu": (unary(), lambda x: x / (1 + np.exp(-1.0 * x))),
        "sin": unary(),
        "sinc": unary(),
        "sinh": unary(),
        "softplus": (unary(), lambda x: np.log(1 + np.exp(x))),
        "sqrt": unary(0.3, 3),
        "square": unary(),
        "subtract": cases.binary(),
        "tan": unary(-1, 1),
        "tanh": unary(),
        "true_divide": cases.binary(b=(-2, 2, *SMALL)),
        "trunc": unary(-2, 2, *WHOLE),
        "where": (
            cases.choices(),
            lambda a, b, condition: np.where(condition, a, b),
            lambda a, b, condition: ag.where(on_device(condition), a, b),
        ),
        # reductions
        "log_softmax": (
            cases.along_axis(1),
            lambda x, axis: x - np.log(np.exp(x).sum(axis, keepdims=True)),
        ),
        "logsumexp": (cases.reductions(), lambda x, **over: np.log(np.sum(np.exp(x), **over))),
        "max": cases.reductions(distinct=True),
        "mean": cases.reductions(),
        "min": cases.reductions(distinct=True),
        "norm": (
            cases.reductions(0, avoid=(0.0,)),
            lambda x, **over: np.sqrt(np.sum(np.abs(x) ** 2.0, **over)),
        ),
        "softmax": (
            cases.along_axis(1),
            lambda x, axis: np.exp(x) / np.exp(x).sum(axis, keepdims=True),
        ),
        "std": cases.variances(),
        "sum": cases.reductions(0),
        "var": cases.variances(),
        # shapes
        "append": cases.appended(),
        "array_split": (cases.splits(equal=False), in_order(np.array_split)),
        "atleast_1d": unary(),
        "atleast_2d": unary(),
        "atleast_3d": unary(),
        "broadcast_to": cases.expansions(),
        "column_stack": (cases.alike_lists(), joined(np.column_stack), joined(ag.column_stack)),
        "concatenate": (cases.lists(equal=False), joined(np.concatenate), joined(ag.concatenate)),
        "diag": rearranged(cases.diagonal_number, min_dims=1, max_dims=2),
        "diagonal": rearranged(cases.offset_and_axes, min_dims=2),
        "diff": rearranged(cases.differences, min_dims=1),
        "dsplit": (cases.splits(min_dims=3, axis=2), in_order(np.dsplit)),
        "dstack": (cases.alike_lists(), joined(np.dstack), joined(ag.dstack)),
        "expand_dims": rearranged(cases.new_axes),
        "flip": rearranged(cases.several_axes),
        "fliplr": rearranged(cases.nothing, min_dims=2),
        "flipud": rearranged(cases.nothing, min_dims=1),
        "gradient": (
            rearranged(cases.slopes, min_dims=1, max_side=4),
            lambda x, spacing, axis: np.gradient(x, spacing, axis=axis),
        ),
        "hsplit": (cases.splits(axis=1), in_order(np.hsplit)),
        "hstack": (cases.alike_lists(), joined(np.hstack), joined(ag.hstack)),
        "linspace": cases.spaced(),
        "moveaxis": rearranged(cases.source_and_destination, min_dims=1),
        "pad": rearranged(cases.paddings),
        "ravel": rearranged(lambda draw, shape: {}),
        "repeat": rearranged(cases.repetitions),
        "reshape": (
            rearranged(cases.new_shape),
            lambda x, shape: np.reshape(x, shape),
            lambda x, shape: ag.reshape(x, *shape),
        ),
        "roll": rearranged(cases.shifts),
        "rollaxis": rearranged(cases.axis_and_start, min_dims=1),
        "rot90": rearranged(cases.turn, min_dims=2),
        "sliding_window_view": (
            rearranged(cases.windows, min_dims=1, min_side=1, max_side=4),
            np.lib.stride_tricks.sliding_window_view,
        ),
        "split": (cases.splits(), in_order(np.split)),
        "squeeze": rearranged(cases.ones, max_side=2),
        "stack": (cases.lists(equal=True, min_dims=0), joined(np.stack), joined(ag.stack)),
        "swapaxes": rearranged(cases.two_axes, min_dims=1),
        "tile": rearranged(cases.tiles),
        "trace": rearranged(cases.offset_and_axes, min_dims=2),
        "transpose": (
            rearranged(cases.permutation) | rearranged(cases.permutation, min_dims=3, min_side=1),
            lambda x, axes: np.transpose(x, axes),
            lambda x, axes: ag.transpose(x, axes),
        ),
        "tril": rearranged(cases.diagonal_number, min_dims=1),
        "triu": rearranged(cases.diagonal_number, min_dims=1),
        "unstack": (cases.along_axis(), lambda x, axis: tuple(np.moveaxis(x, axis, 0))),
        "vsplit": (cases.splits(min_dims=2, axis=0), in_order(np.vsplit)),
        "vstack": (cases.alike_lists(), joined(np.vstack), joined(ag.vstack)),
        # order
        "cumprod": cases.ordered(),
        "cumsum": cases.ordered(),
        "max_with_indices": (cases.peaks(), lambda x, axis: (x.max(axis), x.argmax(axis))),
        "min_with_indices": (cases.peaks(), lambda x, axis: (x.min(axis), x.argmin(axis))),
        "median": cases.reductions(distinct=True).filter(  # NumPy's fails where nothing is left
            lambda case: case[1]["axis"] != () and case[0][0].size > 0
        ),
        "partition": (
            cases.ordered(kth=True),
            lambda x, kth, axis: np.take_along_axis(x, np.argpartition(x, kth, axis), axis),
        ),
        "prod": cases.reductions(0),
        "sort": cases.ordered(),
        "top_k": (cases.greatest(), greatest),
        # indices
        "getitem": (cases.readings(), lambda x, index: x[index], lambda x, index: x[index]),
        "index_update": (
            cases.writings(),
            write,
            lambda x, value, index: ag.index_update(x, index, value),
        ),
        "take": cases.takes(),
        "take_along_axis": cases.picks(),
        # products
        "convolve": cases.signals(),
        "cross": cases.space_vectors(),
        "dot": cases.contracted(second_last=True),
        "einsum": (
            cases.sums_of_products(),
            lambda *operands, subscripts: np.einsum(subscripts, *operands),
            lambda *operands, subscripts: ag.einsum(subscripts, *operands),
        ),
        "inner": cases.contracted(second_last=False),
        "kron": cases.two(max_dims=2),
        "linear": (cases.layers(), lambda x, weight: x @ weight.T),
        "matmul": cases.matrices(),
        "outer": cases.two(max_dims=2),
        "tensordot": cases.common_axes(),
        "vdot": cases.of_one_size(),
    }.items()
}


NOT_DIFFERENTIABLE = {
    name: _entry(name, *(entry if isinstance(entry, tuple) else (entry,)))
    for name, entry in {
        "all": (
            cases.reductions(0),
            lambda x, **over: np.all(x > 0, **over),
            lambda x, **over: ag.all(x > 0, **over),
        ),
        "any": (
            cases.reductions(0),
            lambda x, **over: np.any(x > 0, **over),
            lambda x, **over: ag.any(x > 0, **over),
        ),
        "argmax": cases.extremes(),
        "argmin": cases.extremes(),
        "argpartition": cases.ordered(kth=True, any_dtype=True),
        "argsort": (
            cases.ordered(any_dtype=True),
            lambda x, axis: np.argsort(x, axis, stable=True),
        ),
        "bitwise_and": cases.alike(2, "biu"),
        "bitwise_or": cases.alike(2, "biu"),
        "bitwise_xor": cases.alike(2, "biu"),
        "equal": cases.alike(2),
        "greater": cases.alike(2),
        "greater_equal": cases.alike(2),
        "invert": cases.alike(1, "biu"),
        "isfinite": cases.alike(),
        "isinf": cases.alike(),
        "isnan": cases.alike(),
        "isneginf": cases.alike(),
        "isposinf": cases.alike(),
        "less": cases.alike(2),
        "less_equal": cases.alike(2),
        "logical_and": cases.alike(2),
        "logical_not": cases.alike(),
        "logical_or": cases.alike(2),
        "logical_xor": cases.alike(2),
        "not_equal": cases.alike(2),
        "ones_like": cases.alike(),
        "signbit": cases.alike(),
        "zeros_like": cases.alike(),
    }.items()
}
