"""The table of all public operations: what NumPy calls them, and cases that suit them.

`check_forward`, `check_derivatives` and `check_dtypes` are what the suite asks of each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import (
    Case,
    alike,
    along_axis,
    binary,
    choices,
    expansions,
    extremes,
    just,
    layers,
    limits,
    lists,
    matrices,
    new_axes,
    new_shape,
    ones,
    permutation,
    picks,
    readings,
    rearranged,
    reductions,
    rows,
    source_and_destination,
    splits,
    two_axes,
    unary,
    unequal,
    variances,
    writings,
)
from helpers import on_device
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
    return lambda *arrays, axis: several(arrays, axis)


def write(x: np.ndarray, value: np.ndarray, index: Any) -> np.ndarray:
    y = x.copy()
    y[index] = value
    return y


def _entry(name: str, cases: Any, reference: Any = None, call: Any = None) -> Operation:
    """Cases; unless given, the function and its reference are those of this name in ag and np."""
    return Operation(call or getattr(ag, name), reference or getattr(np, name), cases)


_WHOLE = (-2.0, -1.0, 0.0, 1.0, 2.0)
_SMALL = (-0.2, -0.1, 0.0, 0.1, 0.2)

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
        "divide": binary(b=(-2, 2, *_SMALL)),
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
        "reciprocal": unary(-2, 2, *_SMALL),
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
            lambda a, b, condition: ag.where(on_device(condition), a, b),
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
