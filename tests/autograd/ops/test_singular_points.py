"""Derivatives at kinks, ties, poles and overflow: one entry for each convention."""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd as ag
from autograd.testing import check_gradients

INF, NAN = np.inf, np.nan
Function = Callable[[ag.Tensor], ag.Tensor]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def value_and_gradient(f: Function, x: Any) -> tuple[Any, Any]:
    """Return f(x), and the gradient of its sum."""
    t = ag.tensor(np.array(x, float), requires_grad=True)
    y = f(t)
    gradient: Any = ag.gradients(y.sum(), t)[0]
    return y.numpy(), gradient.numpy()


KINKS: dict[str, tuple[Function, Any, Any]] = {
    # name: f, x, f'(x) by convention
    "relu'(0) = 0": (ag.relu, [0.0, -0.0], [0, 0]),
    "abs'(0) = 0": (ag.abs, [0.0, -0.0], [0, 0]),
    "sign' = 0": (ag.sign, [0.0, 2.0], [0, 0]),
    "floor' = 0": (ag.floor, [1.0, 1.5], [0, 0]),
    "ceil' = 0": (ag.ceil, [1.0, 1.5], [0, 0]),
    "clip' = 1 at its limits": (lambda x: ag.clip(x, -1, 1), [-2.0, -1, 0, 1, 2], [0, 1, 1, 1, 0]),
    "norm'(0) = 0": (ag.norm, [0.0, 0.0], [0, 0]),
    "std' of equal elements = 0": (ag.std, [1.5, 1.5, 1.5], [0, 0, 0]),
    "square'(0) = 0": (lambda x: x**2, [0.0], [0]),
    "(x^1)' = 1 at 0": (lambda x: x**1, [0.0], [1]),
    "(x^0)' = 0 at 0": (lambda x: x**0, [0.0], [0]),
    "(x^0)' = 0 at 0, an array": (lambda x: x ** ag.tensor([0.0, 1.0, 2.0]), [0.0] * 3, [0, 1, 0]),
    "(x^0)' = 0 at infinity and nan": (lambda x: x ** ag.tensor([0.0, 0.0]), [INF, NAN], [0, 0]),
    "(x^3)' for negative x": (lambda x: x ** ag.tensor(3.0), [-2.0], [12]),
    "(0^x)' = 0": (lambda x: 0.0**x, [0.5, 2.0], [0, 0]),
    "hypot'(0, 0) = 0": (lambda x: ag.hypot(x, 0.0), [0.0], [0]),
    "hypot'(0, 0) = 0, second argument": (lambda x: ag.hypot(0.0, x), [0.0], [0]),
    "arctan2'(0, 0) = 0": (lambda x: ag.arctan2(x, 0.0), [0.0], [0]),
    "arctan2'(0, 0) = 0, second argument": (lambda x: ag.arctan2(0.0, x), [0.0], [0]),
    "remainder' is minus the quotient": (
        lambda x: ag.remainder(1.0, x),
        [1e-8, -INF],
        [-99999999, 1],
    ),
    "fmod' is minus the quotient": (lambda x: ag.fmod(1.0, x), [1e-8, -INF], [-99999999, 0]),
    "floor' = 0 before an infinite factor": (lambda x: ag.floor(x) * INF, [1.5], [0]),
    "sinc'(0) = 0": (ag.sinc, [0.0], [0]),
    "leaky_relu'(0) = negative_slope": (ag.leaky_relu, [0.0, -1.0, 1.0], [0.01, 0.01, 1]),
    "elu at large numbers": (ag.elu, [-1000.0, 1000.0], [0, 1]),
    "nan_to_num' = 0 where it replaces": (ag.nan_to_num, [NAN, INF, -INF, 1.0], [0, 0, 0, 1]),
    "fmax ignores nan": (lambda x: ag.fmax(x, [NAN, 1, 1]), [1.0, NAN, 1.0], [1, 0, 0.5]),
    "fmin ignores nan": (lambda x: ag.fmin([NAN, 1, 1], x), [1.0, NAN, 1.0], [1, 0, 0.5]),
    "prod with one zero": (ag.prod, [2.0, 0.0, 3.0], [0, 6, 0]),
    "prod with two zeros": (ag.prod, [0.0, 2.0, 0.0], [0, 0, 0]),
    "cumprod with zeros": (ag.cumprod, [2.0, 0.0, 3.0, 0.0], [1, 8, 0, 0]),
    "copysign' is the new sign": (
        lambda x: ag.copysign(x, [1.0, -1, 1, -1]),
        [2.0, 2, -2, -2],
        [1, -1, -1, 1],
    ),
    "sort follows the permutation": (lambda x: ag.sort(x)[0], [1.0, 0.0, 0.0], [0, 1, 0]),
    "median splits the gradient between the middle two": (
        ag.median,
        [3.0, 1.0, 2.0, 2.0],
        [0, 0, 0.5, 0.5],
    ),
    "(0^x)' = 0, an array": (lambda x: ag.tensor([0.0, 0.0]) ** x, [0.0, 2.0], [0, 0]),
}


@pytest.mark.parametrize("convention", KINKS)
def test_conventions(convention: str) -> None:
    f, x, gradient = KINKS[convention]
    np.testing.assert_array_equal(value_and_gradient(f, x)[1], gradient)


STABLE: dict[str, tuple[Function, Any, Any, Any]] = {
    # name: f, x, f(x), f'(x)
    "tanh": (ag.tanh, [-1000.0, 1000], [-1, 1], [0, 0]),
    "sigmoid": (ag.sigmoid, [-1000.0, 1000], [0, 1], [0, 0]),
    "softplus": (ag.softplus, [-1000.0, 1000], [0, 1000], [0, 1]),
    "log_softmax": (lambda x: ag.log_softmax(x)[0], [1000.0, -1000], 0, [0, 0]),
    "softmax": (lambda x: ag.softmax(x)[0], [-1000.0, 1000], 0, [0, 0]),
    "softmax of a masked entry": (lambda x: ag.softmax(x)[0], [0.0, -INF], 1, [0, 0]),
    "logsumexp": (ag.logsumexp, [1000.0, 1000], 1000 + np.log(2), [0.5, 0.5]),
    "logsumexp of -inf": (ag.logsumexp, [-INF, -INF], -INF, [0, 0]),
    "logsumexp with -inf": (ag.logsumexp, [-INF, 3.0], 3, [0, 1]),
    "logaddexp": (lambda x: ag.logaddexp(x, 1000.0), [1000.0], 1000 + np.log(2), 0.5),
    "logaddexp of -inf": (lambda x: ag.logaddexp(x, -INF), [-INF, 0.0], [-INF, 0], [0.5, 1]),
    "logaddexp2 of -inf": (lambda x: ag.logaddexp2(x, -INF), [-INF, 0.0], [-INF, 0], [0.5, 1]),
    "silu": (ag.silu, [-1000.0, 1000], [0, 1000], [0, 1]),
    "gelu": (ag.gelu, [-1000.0, 1000], [0, 1000], [0, 1]),
    "erf": (ag.erf, [-1000.0, 1000], [-1, 1], [0, 0]),
    "arctan2": (lambda x: ag.arctan2(x, x.data), [1e-200, 1e200], np.pi / 4, [5e199, 5e-201]),
    "angle": (ag.angle, [INF, -INF], [0, np.pi], [0, 0]),
    "imag": (ag.imag, [INF, NAN], [0, 0], [0, 0]),
    "log1p": (ag.log1p, [1e-20], 1e-20, [1]),
    "expm1": (ag.expm1, [1e-20], 1e-20, [1]),
}


@pytest.mark.parametrize("name", STABLE)
def test_stable_functions_do_not_overflow(name: str) -> None:
    f, x, value, gradient = STABLE[name]
    actual = value_and_gradient(f, x)
    np.testing.assert_allclose(actual[0], value, rtol=1e-15)
    np.testing.assert_allclose(actual[1], gradient, rtol=1e-15)


def test_powers_of_0_have_an_infinite_derivative_at_negative_exponents() -> None:
    with np.errstate(divide="ignore"):
        for base in (0.0, ag.tensor([0.0, 0.0])):
            gradient = value_and_gradient(lambda x, base=base: base**x, [-1.0, 1.0])[1]
            assert gradient.tolist() == [-INF, 0]


def test_mixed_derivatives_of_a_power_at_exponent_0() -> None:
    check_gradients(ag.power, np.array([2.0, 0.5]), np.array([0.0, 0.0]))


def test_logsumexp_of_infinity_is_infinity() -> None:
    assert ag.logsumexp(ag.tensor([INF, 1.0])).item() == INF


@pytest.mark.parametrize("f", [ag.softmax, ag.log_softmax, ag.logsumexp])
def test_undefined_rows_do_not_affect_other_rows(f: Any) -> None:
    x = np.array([[-INF, -INF], [1.0, 2.0], [INF, 1.0]])
    with np.errstate(invalid="ignore"):  # inf - inf
        value, gradient = value_and_gradient(lambda t: f(t, axis=-1), x)
    defined = value_and_gradient(lambda t: f(t, axis=-1), x[1:2])
    np.testing.assert_array_equal(value[1:2], defined[0])
    np.testing.assert_array_equal(gradient[1:2], defined[1])


def test_the_derivative_of_the_square_root_is_infinite_at_0() -> None:
    with np.errstate(divide="ignore"):
        assert value_and_gradient(ag.sqrt, [0.0, 4.0])[1].tolist() == [INF, 0.25]


@pytest.mark.parametrize("f", [ag.sqrt, ag.log, ag.reciprocal])
def test_where_excludes_unselected_values_from_the_gradient(f: Function) -> None:
    def guarded(x: ag.Tensor) -> Any:
        valid = x > 0
        return ag.where(valid, f(ag.where(valid, x, 1)), 0)

    assert value_and_gradient(guarded, [-1.0, 0.0])[1].tolist() == [0, 0]


def test_where_ignores_nan_in_the_other_branch() -> None:
    gradient = value_and_gradient(lambda x: ag.where(x < 0, x, ag.tensor([NAN, NAN])), [-1.0, 1.0])[
        1
    ]
    assert gradient.tolist() == [1, 0]


# --- ties -----------------------------------------------------------------------------------------

values = st.sampled_from([-1.0, 0.0, 1.0])
matrices = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=values)


@given(x=matrices, axis=st.sampled_from([None, 0, 1]), extreme=st.sampled_from(["max", "min"]))
def test_ties_of_reductions_split_the_gradient_evenly(
    x: np.ndarray, axis: Any, extreme: str
) -> None:
    is_extreme = x == getattr(np, extreme)(x, axis, keepdims=True)
    gradient = value_and_gradient(lambda t: getattr(ag, extreme)(t, axis), x)[1]
    np.testing.assert_allclose(
        gradient, is_extreme / is_extreme.sum(axis, keepdims=True), rtol=1e-15
    )


@given(x=matrices, extreme=st.sampled_from(["maximum", "minimum"]))
def test_ties_of_elementwise_extremes_split_the_gradient_evenly(
    x: np.ndarray, extreme: str
) -> None:
    y = np.zeros_like(x)
    f = getattr(ag, extreme)
    gradient = value_and_gradient(lambda t: f(t, ag.tensor(y)), x)[1]
    other = value_and_gradient(lambda t: f(ag.tensor(x), t), y)[1]
    assert ((gradient == 0.5) == (x == y)).all()
    np.testing.assert_array_equal(gradient + other, 1)


@pytest.mark.parametrize("f", [ag.max, ag.norm, ag.std, ag.relu, ag.abs])
def test_second_derivatives_are_finite_at_kinks(f: Any) -> None:
    x = ag.zeros(3, requires_grad=True)
    gradient: Any = ag.gradients(f(x).sum(), x, create_graph=True)[0]
    if gradient.requires_grad:
        (second,) = ag.gradients((gradient * gradient).sum(), x, allow_unused=True)
        assert second is None or np.isfinite(second.numpy()).all()


@given(st.integers(1, 5))
def test_half_precision_accumulates_in_single_precision(n: int) -> None:
    x = ag.full((n * 10_000,), 0.1, np.float16)
    assert x.mean().item() == np.float16(0.1)
    assert x.var().item() == 0
    assert ag.norm(x * 0.1).item() == pytest.approx(0.01 * np.sqrt(n * 10_000), rel=2e-3)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_sigmoid_is_accurate_for_negative_inputs(dtype: Any, rtol: float) -> None:
    x = np.array([-1, -15, -17, -20, -38, -80, 0, 20], dtype)
    expected = [1 / (1 + math.exp(-float(value))) for value in x]
    t = ag.tensor(x, requires_grad=True)
    y = ag.sigmoid(t)
    np.testing.assert_allclose(y.numpy(), expected, rtol)
    y.sum().backward()
    assert t.grad is not None
    gradients = [s * (1 - s) for s in expected]
    np.testing.assert_allclose(t.grad.numpy()[:-1], gradients[:-1], 10 * rtol)
