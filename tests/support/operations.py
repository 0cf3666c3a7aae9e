"""Table of all public operations, with their references in NumPy and strategies of arguments.

The suite applies `check_forward`, `check_derivatives`, `check_dtypes` and `check_integers` to each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cases
import numpy as np
from cases import HALF, SMALL, WHOLE, Case, make_case, rearranged, unary
from helpers import on_device
from hypothesis import reject
from hypothesis.strategies import SearchStrategy

import autograd as ag
from autograd.testing import check_gradients


@dataclass(frozen=True)
class Operation:
    """An operation, its reference in NumPy, and a strategy of their arguments."""

    call: Callable[..., Any]
    reference: Callable[..., Any]
    cases: SearchStrategy[Case]


# --- checks ---------------------------------------------------------------------------------------


def check_forward(operation: Operation, case: Case) -> None:
    """Check that values are NumPy's, and that results are Tensors only if arguments are."""
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
    """Check that derivatives of first and second order equal finite differences."""
    args, static = case
    check_gradients(lambda *tensors: operation.call(*tensors, **static), *args)


def check_dtypes(operation: Operation, case: Case, dtypes: list[Any]) -> None:
    """Check dtypes of results, and dtypes and values of gradients of both orders."""
    args, static = case
    inputs = [a.astype(dtype) for a, dtype in zip(args, dtypes, strict=False)]
    expected = ag.flatten(operation.reference(*inputs, **static))
    results = ag.flatten(operation.call(*map(ag.tensor, inputs), **static))
    assert [r.dtype for r in results] == [e.dtype for e in expected]
    precise = two_orders(operation, [a.astype(np.float64) for a in inputs], static)
    for i, gradient in enumerate(two_orders(operation, inputs, static)):
        if gradient is not None:
            assert gradient.dtype == inputs[i % len(inputs)].dtype
            if np.float16 not in dtypes:
                np.testing.assert_allclose(
                    gradient.numpy(), precise[i].numpy(), rtol=1e-4, atol=1e-4
                )


def check_integers(operation: Operation, case: Case, dtype: Any) -> None:
    """Check that integers give NumPy's values, in a dtype of at least the same precision."""
    args, static = case
    inputs = [np.asarray(np.abs(np.rint(a)), dtype) for a in args]
    try:
        expected = ag.flatten(operation.reference(*inputs, **static))
    except (ValueError, TypeError, OverflowError):
        reject()
    results = ag.flatten(operation.call(*map(ag.tensor, inputs), **static))
    for result, value in zip(results, expected, strict=True):
        assert np.can_cast(np.asarray(value).dtype, result.dtype)
        tolerance = 1e-2 if np.asarray(value).dtype == np.float16 else 1e-12
        np.testing.assert_allclose(result.numpy(), value, rtol=tolerance, atol=tolerance)
        assert not result.requires_grad


def two_orders(operation: Operation, args: list[np.ndarray], static: dict[str, Any]) -> list[Any]:
    """Return the gradients of a scalar of the results, and the gradients of a scalar of these."""
    tensors = [ag.tensor(a, requires_grad=True) for a in args]
    computed: list[Any] = []
    scalar = _sum_of_squares(ag.flatten(operation.call(*tensors, **static)))
    while scalar.requires_grad and len(computed) < 2 * len(tensors):
        gradients = ag.gradients(scalar, tensors, create_graph=True, allow_unused=True)
        computed += gradients
        scalar = _sum_of_squares([gradient for gradient in gradients if gradient is not None])
    return computed


def _sum_of_squares(tensors: list[Any]) -> Any:
    return sum(((t * t).sum() for t in tensors), ag.tensor(0.0))


# --- the table ------------------------------------------------------------------------------------


def of_sequence(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of several arrays for a function of a list of arrays."""
    return lambda *arrays, **static: f(arrays, *static.values())


def by_position(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that passes all arguments by position."""
    return lambda *arrays, **static: f(*arrays, *static.values())


def top_elements(x: np.ndarray, k: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    indices = np.take(order, np.arange(k), axis)
    return np.take_along_axis(x, indices, axis), indices


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.result_type(x.dtype, np.float16)])(x)


def index_update(x: np.ndarray, value: np.ndarray, index: Any) -> np.ndarray:
    y = x.copy()
    y[index] = value
    return y


def _entry(name: str, arguments: Any, reference: Any = None, call: Any = None) -> Operation:
    """Return an entry; by default the functions of this name in `ag` and `np`."""
    return Operation(call or getattr(ag, name), reference or getattr(np, name), arguments)


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
        "astype": (
            unary().map(lambda case: make_case(*case[0], dtype=np.float64)),
            np.ndarray.astype,
        ),
        "cbrt": unary(-2, 2, *SMALL),
        "ceil": unary(-2, 2, *WHOLE),
        "clip": cases.clippings(),
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
        "floor_divide": cases.divisions(),
        "fmax": cases.without_ties(),
        "fmin": cases.without_ties(),
        "fmod": cases.divisions(),
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
        "maximum": cases.without_ties(),
        "minimum": cases.without_ties(),
        "mod": cases.divisions(),
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
        "remainder": cases.divisions(),
        "rint": unary(-2, 2, *HALF),
        "round": cases.roundings(),
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
        "append": cases.appends(),
        "array_split": (cases.splits(equal=False), by_position(np.array_split)),
        "atleast_1d": unary(),
        "atleast_2d": unary(),
        "atleast_3d": unary(),
        "broadcast_to": cases.expansions(),
        "column_stack": (
            cases.equal_shapes(),
            of_sequence(np.column_stack),
            of_sequence(ag.column_stack),
        ),
        "concatenate": (
            cases.sequences(equal=False),
            of_sequence(np.concatenate),
            of_sequence(ag.concatenate),
        ),
        "diag": rearranged(cases.diagonal_number, min_dims=1, max_dims=2),
        "diagonal": rearranged(cases.offset_and_axes, min_dims=2),
        "diff": rearranged(cases.differences, min_dims=1),
        "dsplit": (cases.splits(min_dims=3, axis=2), by_position(np.dsplit)),
        "dstack": (cases.equal_shapes(), of_sequence(np.dstack), of_sequence(ag.dstack)),
        "expand_dims": rearranged(cases.new_axes),
        "flip": rearranged(cases.several_axes),
        "fliplr": rearranged(cases.no_arguments, min_dims=2),
        "flipud": rearranged(cases.no_arguments, min_dims=1),
        "gradient": (
            rearranged(cases.gradient_arguments, min_dims=1, max_side=4),
            lambda x, spacing, axis: np.gradient(x, spacing, axis=axis),
        ),
        "hsplit": (cases.splits(axis=1), by_position(np.hsplit)),
        "hstack": (cases.equal_shapes(), of_sequence(np.hstack), of_sequence(ag.hstack)),
        "linspace": cases.linspaces(),
        "moveaxis": rearranged(cases.source_and_destination, min_dims=1),
        "pad": rearranged(cases.paddings),
        "ravel": rearranged(lambda draw, shape: {}),
        "repeat": rearranged(cases.repetitions),
        "reshape": (
            rearranged(cases.new_shape),
            lambda x, shape: np.reshape(x, shape),
            lambda x, shape: ag.reshape(x, *shape),
        ),
        "roll": rearranged(cases.rolls),
        "rollaxis": rearranged(cases.axis_and_start, min_dims=1),
        "rot90": rearranged(cases.rotation, min_dims=2),
        "sliding_window_view": (
            rearranged(cases.windows, min_dims=1, min_side=1, max_side=4),
            np.lib.stride_tricks.sliding_window_view,
        ),
        "split": (cases.splits(), by_position(np.split)),
        "squeeze": rearranged(cases.single_axes, max_side=2),
        "stack": (
            cases.sequences(equal=True, min_dims=0),
            of_sequence(np.stack),
            of_sequence(ag.stack),
        ),
        "swapaxes": rearranged(cases.two_axes, min_dims=1),
        "tile": rearranged(cases.tilings),
        "trace": rearranged(cases.offset_and_axes, min_dims=2),
        "transpose": (
            rearranged(cases.permutation) | rearranged(cases.permutation, min_dims=3, min_side=1),
            lambda x, axes: np.transpose(x, axes),
            lambda x, axes: ag.transpose(x, axes),
        ),
        "tril": rearranged(cases.diagonal_number, min_dims=1),
        "triu": rearranged(cases.diagonal_number, min_dims=1),
        "unstack": (cases.along_axis(), lambda x, axis: tuple(np.moveaxis(x, axis, 0))),
        "vsplit": (cases.splits(min_dims=2, axis=0), by_position(np.vsplit)),
        "vstack": (cases.equal_shapes(), of_sequence(np.vstack), of_sequence(ag.vstack)),
        # order
        "cumprod": cases.sortings(),
        "cumsum": cases.sortings(),
        "max_with_indices": (
            cases.extremes_with_indices(),
            lambda x, axis: (x.max(axis), x.argmax(axis)),
        ),
        "min_with_indices": (
            cases.extremes_with_indices(),
            lambda x, axis: (x.min(axis), x.argmin(axis)),
        ),
        "median": cases.reductions(distinct=True).filter(  # NumPy fails for empty results
            lambda case: case[1]["axis"] != () and case[0][0].size > 0
        ),
        "partition": (
            cases.sortings(kth=True),
            lambda x, kth, axis: np.take_along_axis(x, np.argpartition(x, kth, axis), axis),
        ),
        "prod": cases.reductions(0),
        "sort": cases.sortings(),
        "top_k": (cases.top_elements(), top_elements),
        # indices
        "getitem": (cases.getitems(), lambda x, index: x[index], lambda x, index: x[index]),
        "index_update": (
            cases.updates(),
            index_update,
            lambda x, value, index: ag.index_update(x, index, value),
        ),
        "take": cases.takes(),
        "take_along_axis": cases.takes_along_axis(),
        # products
        "convolve": cases.convolutions(),
        "cross": cases.vectors_of_three(),
        "dot": cases.contractions(second_last=True),
        "einsum": (
            cases.sums_of_products(),
            lambda *operands, subscripts: np.einsum(subscripts, *operands),
            lambda *operands, subscripts: ag.einsum(subscripts, *operands),
        ),
        "inner": cases.contractions(second_last=False),
        "kron": cases.independent_arrays(max_dims=2),
        "linear": (cases.layers(), lambda x, weight: x @ weight.T),
        "matmul": cases.matrices(),
        "outer": cases.independent_arrays(max_dims=2),
        "tensordot": cases.tensordots(),
        "vdot": cases.equal_sizes(),
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
        "argpartition": cases.sortings(kth=True, any_dtype=True),
        "argsort": (
            cases.sortings(any_dtype=True),
            lambda x, axis: np.argsort(x, axis, stable=True),
        ),
        "bitwise_and": cases.few_values(2, "biu"),
        "bitwise_or": cases.few_values(2, "biu"),
        "bitwise_xor": cases.few_values(2, "biu"),
        "equal": cases.few_values(2),
        "greater": cases.few_values(2),
        "greater_equal": cases.few_values(2),
        "invert": cases.few_values(1, "biu"),
        "isfinite": cases.few_values(),
        "isinf": cases.few_values(),
        "isnan": cases.few_values(),
        "isneginf": cases.few_values(),
        "isposinf": cases.few_values(),
        "less": cases.few_values(2),
        "less_equal": cases.few_values(2),
        "logical_and": cases.few_values(2),
        "logical_not": cases.few_values(),
        "logical_or": cases.few_values(2),
        "logical_xor": cases.few_values(2),
        "not_equal": cases.few_values(2),
        "ones_like": cases.few_values(),
        "signbit": cases.few_values(),
        "zeros_like": cases.few_values(),
    }.items()
}
