"""Mutation tests: each replaces one rule by a wrong one, which the checks of the suite must detect.

References
----------
DeMillo, Lipton & Sayward 1978, "Hints on test data selection".
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import instead, with_rule
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from operations import DIFFERENTIABLE, check_derivatives, check_dtypes, check_forward

import autograd as ag
from autograd.core.install import operations
from autograd.ops import extremes, indexing, joining, matmul, reduction, shape, softmax
from tests.autograd.ops import test_singular_points

Patch = pytest.MonkeyPatch
Rule = Callable[..., Any]


# --- replacement of a rule ------------------------------------------------------------------------


def instead_of_joint(operation: Any, wrong: Callable[[Rule], Rule]) -> Any:
    """Return a patch that replaces the joint rule of all arguments."""

    def patch(monkeypatch: Patch) -> None:
        rule = wrong(operation.primitive.rules["*"])
        monkeypatch.setattr(operation.primitive, "vjp", with_rule(operation, "*", rule))

    return patch


def attribute(owner: Any, name: str, wrong: Callable[[Any], Any]) -> Any:
    return lambda monkeypatch: monkeypatch.setattr(owner, name, wrong(getattr(owner, name)))


def backend_method(name: str, wrong: Callable[[Any], Any]) -> Any:
    """Return a patch that replaces a method of the backend under test."""
    return lambda monkeypatch: attribute(type(ag.backend.current()), name, wrong)(monkeypatch)


def constant(x: Any) -> Any:
    """Detach a Tensor: the first order is correct, the second is wrong."""
    return x.detach() if isinstance(x, ag.Tensor) else x


def if_square(change: Callable[[Any], Any]) -> Callable[[Rule], Rule]:
    """Change only square gradients, whose shape does not reveal the error."""

    def wrong(rule: Rule) -> Rule:
        def changed_rule(*args: Any) -> Any:
            gradient = rule(*args)
            is_square = gradient.ndim > 1 and gradient.shape[-1] == gradient.shape[-2]
            return change(gradient) if is_square else gradient

        return changed_rule

    return wrong


def transpose_result(x: Any) -> Any:
    return ag.swapaxes(x, -1, -2)


# --- wrong central functions ----------------------------------------------------------------------


def unbroadcast_first(unbroadcast: Any) -> Any:
    """Return an unbroadcasting function that takes the first copy instead of the sum."""

    def wrong(g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        if 0 not in g.shape:
            for _ in range(g.ndim - len(shape)):
                g = g[0]
            for axis, n in enumerate(shape):
                if n == 1 and g.shape[axis] > 1:
                    g = ag.expand_dims(ag.unstack(g, axis)[0], axis)
        return unbroadcast(g, shape, dtype)

    return wrong


def unbroadcast_uncast(unbroadcast: Any) -> Any:
    return lambda g, shape, dtype: unbroadcast(g, shape, g.dtype)


def overwrite(scatter_add: Any) -> Any:
    def wrong(self: Any, target: Any, index: Any, values: Any) -> None:
        target[index] = values

    return wrong


def roll_gradients(rule: Rule) -> Rule:
    """Return a rule that shifts the gradients of several results by one."""
    return lambda g, *residuals: rule((*g[1:], g[0]), *residuals)


# --- search for a failing case --------------------------------------------------------------------


def search(check: Callable[[str, st.DataObject], None]) -> Callable[[str], Any]:
    """Return a check of a named operation on more cases than in one run of the suite."""

    def check_operation(name: str) -> Callable[[], None]:
        @settings(
            max_examples=500,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            print_blob=False,
        )
        @given(data=st.data())
        def run(data: st.DataObject) -> None:
            check(name, data)

        return run

    return check_operation


@search
def derivatives(name: str, data: st.DataObject) -> None:
    check_derivatives(DIFFERENTIABLE[name], data.draw(DIFFERENTIABLE[name].cases))


@search
def values(name: str, data: st.DataObject) -> None:
    check_forward(DIFFERENTIABLE[name], data.draw(DIFFERENTIABLE[name].cases))


@search
def dtypes(name: str, data: st.DataObject) -> None:
    case = data.draw(DIFFERENTIABLE[name].cases)
    check_dtypes(DIFFERENTIABLE[name], case, [np.float32, np.float64])


def convention(name: str) -> Callable[[], None]:
    return lambda: test_singular_points.test_conventions(name)


def ties(f: Any, *rest: Any) -> Callable[[], None]:
    values_with_ties = np.array([[1.0, 1.0, 0.0]])
    return lambda: f.hypothesis.inner_test(values_with_ties, *rest)


MUTATIONS: dict[str, tuple[Any, Callable[[], None]]] = {
    "sign": (instead(ag.tanh, lambda rule: lambda g, y: -rule(g, y)), derivatives("tanh")),
    "factor 2": (instead(ag.square, lambda rule: lambda g, x: g * x), derivatives("square")),
    "an inexact constant": (
        instead(ag.log2, lambda rule: lambda g, x: g / (x * 0.69315)),
        derivatives("log2"),
    ),
    "a dropped argument": (
        instead(ag.multiply, lambda rule: lambda g, a: None, argument=1),
        derivatives("multiply"),
    ),
    "a dropped factor": (
        instead(ag.power, lambda rule: lambda g, a, y: g * y, argument=1),
        derivatives("power"),
    ),
    "a dropped term": (
        instead(softmax._log_softmax, lambda rule: lambda g, y, axis: g),
        derivatives("log_softmax"),
    ),
    "swapped branches": (
        instead(ag.where, lambda rule: lambda g, c: rule(g, ~c), argument=1),
        derivatives("where"),
    ),
    "no limits": (
        instead(ag.ops.selection._clip, lambda rule: lambda g, *_: g),
        derivatives("clip"),
    ),
    "half precision": (
        instead(ag.sigmoid, lambda rule: lambda g, y: rule(g, y.astype(np.float16))),
        derivatives("sigmoid"),
    ),
    "missing unbroadcast": (
        attribute(operations, "unbroadcast", unbroadcast_first),
        derivatives("add"),
    ),
    "wrong dtype": (attribute(operations, "unbroadcast", unbroadcast_uncast), dtypes("multiply")),
    "transposed product": (
        instead(matmul._matmul, if_square(transpose_result)),
        derivatives("matmul"),
    ),
    "transposed weight": (
        instead(matmul._linear, if_square(transpose_result), argument=1),
        derivatives("linear"),
    ),
    "wrong axis": (instead(reduction._sum, if_square(transpose_result)), derivatives("sum")),
    "the permutation, not its inverse": (
        instead(shape._transpose, lambda rule: lambda g, axes: ag.transpose(g, axes)),
        derivatives("transpose"),
    ),
    "n - 1": (
        attribute(reduction, "element_count", lambda f: lambda *args: f(*args) - 1),
        values("mean"),
    ),
    "stack in wrong order": (
        instead_of_joint(joining._stack, lambda rule: lambda g, axis: rule(g, axis)[::-1]),
        derivatives("stack"),
    ),
    "split off by one": (instead(joining._split, roll_gradients), derivatives("split")),
    "unstack off by one": (instead(joining._unstack, roll_gradients), derivatives("unstack")),
    "scatter that overwrites": (
        backend_method("scatter_add", overwrite),
        derivatives("getitem"),
    ),
    "overwritten rows": (backend_method("scatter_add", overwrite), derivatives("take")),
    "a gradient for overwritten elements": (
        instead(indexing._index_update, lambda rule: lambda g, index: g),
        derivatives("index_update"),
    ),
    "wrong only at the second order": (
        instead(ag.exp, lambda rule: lambda g, y: g * constant(y)),
        derivatives("exp"),
    ),
    "the incoming gradient detached": (
        instead(ag.sin, lambda rule: lambda g, x: rule(constant(g), x)),
        derivatives("sin"),
    ),
    "ties give all to the first": (
        instead(ag.maximum, lambda rule: lambda g, a, b: g * (a >= b)),
        ties(
            test_singular_points.test_ties_of_elementwise_extremes_split_the_gradient_evenly,
            "maximum",
        ),
    ),
    "ties give all to each": (
        instead(extremes._max, lambda rule: lambda g, x, y, axes: g * (x == x.max())),
        ties(test_singular_points.test_ties_of_reductions_split_the_gradient_evenly, None, "max"),
    ),
    "relu'(0) = 1": (
        instead(ag.relu, lambda rule: lambda g, y: g * (y >= 0)),
        convention("relu'(0) = 0"),
    ),
    "abs'(0) = 1": (
        instead(ag.absolute, lambda rule: lambda g, x: g * (2 * (x >= 0) - 1)),
        convention("abs'(0) = 0"),
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_rule_is_detected(mutation: str, monkeypatch: Patch) -> None:
    patch, check = MUTATIONS[mutation]
    patch(monkeypatch)
    with np.errstate(all="ignore"), pytest.raises((AssertionError, ValueError)):
        check()  # ValueError: a shape is wrong too
