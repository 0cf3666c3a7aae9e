"""Transforms of functions, nested in any combination, against finite differences and each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import on_device, on_host
from hypothesis import given
from hypothesis import strategies as st
from operations import DIFFERENTIABLE

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays, shapes

Function = Callable[..., Any]

vectors = arrays(shapes(1, 1, min_side=1, max_side=4)).map(on_device)


def normal(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Return normal random numbers as an array of the device."""
    return on_device(np.random.default_rng(seed).normal(size=shape))


def ones(n: int) -> Any:
    return on_device(np.ones(n))


def objective(x: Any) -> Any:
    """Return a scalar with derivatives of every order in all directions."""
    return ag.sum(ag.sin(x) * ag.cumsum(x)) * ag.exp(-ag.mean(x * x))


def directional_difference(f: Function, x: Any, v: Any, step: float = 1e-5) -> Any:
    """Return the derivative of f at x in the direction v, by finite differences."""
    return (on_host(f(x + step * v)) - on_host(f(x - step * v))) / (2 * step)


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-7) -> None:
    np.testing.assert_allclose(on_host(actual), on_host(expected), rtol=tolerance, atol=tolerance)


def assert_equal(actual: Any, expected: Any) -> None:
    np.testing.assert_array_equal(on_host(actual), on_host(expected))


def inner_product(xs: Any, ys: Any) -> Any:
    """Return the sum of the inner products of pairs of arrays."""
    return sum(np.vdot(on_host(x), on_host(y)) for x, y in zip(xs, ys, strict=True))


# --- forward mode against reverse mode ------------------------------------------------------------


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_forward_mode_is_the_transpose_of_reverse_mode(name: str, data: st.DataObject) -> None:
    """<u, J v> = <J' u, v>."""
    operation = DIFFERENTIABLE[name]
    args, static = data.draw(operation.cases)
    args = tuple(map(on_device, args))

    def f(*arguments: Any) -> list[Any]:
        return [y for y in ag.flatten(operation.call(*arguments, **static)) if y.dtype.kind == "f"]

    vs = [normal(a.shape, i) for i, a in enumerate(args)]
    out, tangents = ag.jvp(f, args, vs)
    vjp_out, pullback = ag.vjp(f, *args)
    us = [normal(y.shape, 10 + i) for i, y in enumerate(out)]
    gradients = pullback(us)
    for y, vjp_y, tangent in zip(out, vjp_out, tangents, strict=True):
        assert_equal(y, vjp_y)
        assert (tangent.shape, tangent.dtype) == (y.shape, y.dtype)
    expected = inner_product(gradients, vs)
    assert inner_product(us, tangents) == pytest.approx(expected, rel=1e-9, abs=1e-9)


# --- against finite differences -------------------------------------------------------------------


@given(x=vectors, seed=st.integers(0, 99))
def test_every_transform_equals_finite_differences(x: Any, seed: int) -> None:
    v = normal(x.shape, seed)
    gradient = ag.grad(objective)(x)
    derivative = directional_difference(objective, x, v)
    assert_close(gradient @ v, derivative)
    assert_close(ag.jvp(objective, (x,), (v,))[1], derivative)
    assert_close(ag.vjp(objective, x)[1](1.0)[0], gradient)
    assert_close(ag.jacobian(objective)(x), gradient)
    assert_close(ag.value_and_grad(objective)(x)[0], objective(x))
    product = directional_difference(ag.grad(objective), x, v)
    assert_close(ag.hvp(objective, (x,), (v,)), product)
    assert_close(ag.hessian(objective)(x) @ v, product)


@given(x=arrays(shapes(max_dims=2)).map(on_device), size=st.integers(0, 3))
def test_tall_and_wide_jacobians(x: Any, size: int) -> None:
    weights = normal((size, x.size))

    def f(x: Any) -> Any:
        return ag.tanh(ag.matmul(weights, ag.ravel(x)))

    actual = ag.jacobian(f)(x)
    assert actual.shape == (size, *x.shape)
    expected = (1 - ag.tanh(ag.matmul(weights, x.ravel())) ** 2)[:, None] * weights
    assert_close(actual, expected.reshape(actual.shape))


def test_second_derivatives_of_several_arguments() -> None:
    def f(x: Any, y: Any) -> Any:
        return ag.sum(x * x * y)

    x, y = normal((2,)), normal((2,), 1)
    (xx, xy), (yx, yy) = ag.hessian(f, (0, 1))(x, y)
    assert_close(xx, ag.diag(2 * y))
    assert_close(xy, ag.diag(2 * x))
    assert_close(yx, ag.diag(2 * x))
    assert_close(yy, np.zeros((2, 2)))
    by_x, by_y = ag.hvp(f, (x, y), (x, y))
    assert_close(by_x, 2 * y * x + 2 * x * y)
    assert_close(by_y, 2 * x * x)


# --- nested in any combination --------------------------------------------------------------------


def by_reverse(f: Function) -> Function:
    return ag.grad(f)


def by_forward(f: Function) -> Function:
    return lambda x: ag.jvp(f, (x,), (1.0,))[1]


def by_pullback(f: Function) -> Function:
    return lambda x: ag.vjp(f, x)[1](1.0)[0]


def by_jacobian(f: Function) -> Function:
    return ag.jacobian(f)


def by_checkpoint(f: Function) -> Function:
    return ag.grad(ag.checkpoint(f))


TRANSFORMS = st.sampled_from([by_reverse, by_forward, by_pullback, by_jacobian, by_checkpoint])


@given(transforms=st.lists(TRANSFORMS, max_size=4), x=st.floats(-2, 2))
def test_any_combination_up_to_the_fourth_order(transforms: list[Any], x: float) -> None:
    """Derivatives of exp(x) sin(x) = Im exp((1 + i) x)."""

    def f(x: Any) -> Any:
        return ag.exp(x) * ag.sin(x)

    for transform in transforms:
        f = transform(f)
    expected = ((1 + 1j) ** len(transforms) * np.exp((1 + 1j) * x)).imag
    assert float(f(x)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(outer=TRANSFORMS, inner=TRANSFORMS, x=st.floats(-2, 2))
def test_inner_and_outer_variables_are_not_confused(outer: Any, inner: Any, x: float) -> None:
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(x) == pytest.approx(1)
    assert outer(lambda x: x * inner(lambda y: x * y)(2.0))(x) == pytest.approx(2 * x)
    assert outer(lambda x: inner(lambda y: x * y * y)(x))(x) == pytest.approx(4 * x)
    assert outer(lambda x: inner(lambda _: x * x)(x))(x) == pytest.approx(0)


@given(x=vectors)
def test_reverse_over_forward_is_forward_over_reverse(x: Any) -> None:
    v = normal(x.shape)
    product = ag.hvp(objective, (x,), (v,))
    assert_close(ag.grad(lambda x: ag.jvp(objective, (x,), (v,))[1])(x), product)
    assert_close(ag.grad(lambda x: ag.sum(ag.grad(objective)(x) * v))(x), product)
    twice = ag.jvp(lambda x: ag.jvp(objective, (x,), (v,))[1], (x,), (v,))[1]
    assert_close(twice, product @ v)


def test_results_are_recorded_for_an_outer_backward_pass() -> None:
    x = ag.tensor(normal((3,)), requires_grad=True)
    check_gradients(lambda x: ag.grad(objective)(x), x)
    check_gradients(lambda x, v: ag.jvp(objective, (x,), (v,))[1], x, normal((3,), 1), order=1)
    check_gradients(lambda x, u: ag.vjp(ag.sin, x)[1](u)[0], x, normal((3,), 1))
    check_gradients(lambda x: ag.jacobian(ag.cumprod)(x), x, order=1)
    assert ag.grad(objective)(x).requires_grad
    assert not ag.grad(objective)(x.detach()).requires_grad


def test_recorded_tangents() -> None:
    x, v = normal((3,)), ag.tensor(normal((3,), 1), requires_grad=True)
    _, tangent = ag.jvp(ag.sin, (ag.tensor(x),), (v,))
    assert_close(ag.gradients(tangent.sum(), v)[0], ag.cos(x))


# --- types of arguments and results ---------------------------------------------------------------


def test_nested_containers() -> None:
    params = {"w": normal((2, 3)), "rest": [normal((2,)), (2.0,)], "none": None}

    def f(p: Any, x: Any) -> Any:
        return ag.sum(ag.tanh(p["w"] @ x + p["rest"][0])) * p["rest"][1][0]

    x = normal((3,), 1)
    gradient = ag.grad(f)(params, x)
    derivative = 1 - ag.tanh(params["w"] @ x + params["rest"][0]) ** 2
    assert gradient["none"] is None
    assert_close(gradient["w"], 2 * ag.outer(derivative, x))
    assert_close(gradient["rest"][0], 2 * derivative)
    assert isinstance(gradient["rest"][1], tuple)
    assert_close(gradient["rest"][1][0], f(params, x) / 2)
    out, tangent = ag.jvp(lambda p: {"y": f(p, x), "c": 1.0}, (params,), (gradient,))
    assert tangent["c"] == 0
    assert_close(tangent["y"], inner_product(ag.flatten(gradient), ag.flatten(gradient)))
    assert_close(out["y"], f(params, x))
    blocks = ag.jacobian(lambda p: [p["w"] @ x, p["rest"][0]])(params)
    assert_close(blocks[0]["w"], np.einsum("ij,k->ijk", np.eye(2), on_host(x)))
    assert_close(blocks[1]["rest"][0], np.eye(2))
    assert_close(blocks[1]["w"], np.zeros((2, 2, 3)))


@pytest.mark.parametrize(
    "argument",
    [
        2.0,
        np.float32(2),
        np.ones(2, np.float32),
        on_device(np.full(3, 2.0)),
        on_device(np.full((), 2.0)),
        ag.ones(2),
    ],
)
def test_results_have_the_type_of_the_argument(argument: Any) -> None:
    def f(x: Any) -> Any:
        return ag.sum(ag.square(x))

    result_type = float if isinstance(argument, (float, np.float32)) else type(argument)
    value, gradient = ag.value_and_grad(f)(argument)
    _, tangent = ag.jvp(ag.square, (argument,), (argument,))
    (vector_product,) = ag.vjp(ag.square, argument)[1](argument)
    for result in (gradient, tangent, vector_product, ag.hvp(f, (argument,), (argument,))):
        assert isinstance(result, result_type)
        is_float = result_type is float
        assert is_float or getattr(result, "dtype", None) == getattr(argument, "dtype", None)
    assert not isinstance(value, ag.Tensor) or result_type is ag.Tensor


def test_python_floats_count_as_float64() -> None:
    assert ag.grad(ag.exp)(0.1) == np.exp(0.1)


def test_unused_arguments_have_the_gradient_0() -> None:
    x = normal((3,))
    assert ag.grad(lambda x, y: y * 2, (0, 1))(1.0, 3.0) == (0, 2)
    assert_equal(ag.grad(lambda x: 5.0)(x), np.zeros(3))
    assert_equal(ag.jvp(lambda x: ones(2), (x,), (x,))[1], np.zeros(2))
    assert_equal(ag.jacobian(lambda x: ones(2))(x), np.zeros((2, 3)))
    assert_equal(ag.hessian(lambda x: ag.sum(x))(x), np.zeros((3, 3)))
    assert_equal(ag.vjp(lambda x: ones(2), x)[1](ones(2))[0], np.zeros(3))


def test_integers_among_the_results_have_the_tangent_0() -> None:
    x = normal((4,))
    (_, indices), (tangent, index_tangent) = ag.jvp(lambda x: ag.top_k(x, 2), (x,), (x,))
    assert_equal(tangent, x[indices])
    assert_equal(index_tangent, np.zeros(2))
    assert ag.jacobian(ag.argsort)(x).tolist() == np.zeros((4, 4)).tolist()


def test_auxiliary_results() -> None:
    def f(x: Any) -> Any:
        return ag.sum(x * x), {"doubled": 2 * x, "text": "unchanged"}

    gradient, aux = ag.grad(f, has_aux=True)(ones(2))
    assert gradient.tolist() == [2, 2]
    assert aux["text"] == "unchanged"
    (value, aux), _ = ag.value_and_grad(f, has_aux=True)(ones(2))
    assert value == 2
    assert aux["text"] == "unchanged"


def test_argnums_and_keyword_arguments() -> None:
    def f(a: Any, b: Any, c: Any, *, power: int) -> Any:
        return a * b**power * c

    assert ag.grad(f, -1)(2.0, 3.0, 4.0, power=2) == 18
    assert ag.grad(f, (1, 0))(2.0, 3.0, 4.0, power=2) == (48, 36)
    assert ag.grad(f, (-3,))(2.0, 3.0, 4.0, power=2) == (36,)
    assert ag.jacobian(f, (2, 0))(2.0, 3.0, 4.0, power=2) == (18, 36)


def test_one_argument_needs_no_tuple() -> None:
    x = ones(2)
    assert_equal(ag.jvp(ag.square, x, x)[1], [2.0, 2.0])
    assert_equal(ag.hvp(lambda t: (t**3).sum(), x, x), [6.0, 6.0])


def test_a_pullback_may_be_called_several_times() -> None:
    x, u = normal((3,)), normal((3,), 1)
    out, pullback = ag.vjp(lambda x: {"y": x * x}, x)
    first, second = pullback({"y": u}), pullback({"y": u})
    assert_equal(first[0], second[0])
    assert_equal(first[0], 2 * x * u)
    assert type(out["y"]) is type(x)


def test_arguments_are_not_modified() -> None:
    x = ag.tensor([1.0, 2.0])
    ag.grad(lambda x: ag.sum(x * x))(x)
    assert not x.requires_grad
    y = ag.tensor([1.0, 2.0], requires_grad=True)
    ag.grad(lambda y: ag.sum(y * y))(y)
    assert y.grad is None


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ag.grad(ag.sin)(ones(3)), r"one element.*\(3,\)"),
        (lambda: ag.grad(lambda x: (x, x))(1.0), r"one element.*\(\*, \*\)"),
        (lambda: ag.grad(lambda x: None)(1.0), "one element.*None"),
        (lambda: ag.grad(ag.sin, 1)(1.0), "argnums 1 is out of range: there are 1"),
        (lambda: ag.grad(ag.sin, -2)(1.0), "argnums -2 is out of range"),
        (lambda: ag.jvp(ag.sin, (ones(3),), (ones(2),)), r"a tangent must .* \(3,\), got \(2,\)"),
        (lambda: ag.jvp(ag.sin, (ones(3),), ()), "differ"),
        (lambda: ag.vjp(ag.sin, ones(3))[1]((ones(3),)), "differ"),
        (lambda: ag.vjp(ag.sin, ones(3))[1](ones(2)), r"\(3,\), got \(2,\)"),
    ],
)
def test_error_messages(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("transform", [ag.grad, ag.jacobian, ag.hessian, by_forward, by_pullback])
def test_derivatives_with_respect_to_integers_are_errors(transform: Any) -> None:
    with pytest.raises(TypeError, match="float"):
        transform(lambda x: x * x)(np.int64(3))


@pytest.mark.parametrize("transform", [by_reverse, by_forward, by_jacobian, by_checkpoint])
def test_an_exception_restores_the_state(transform: Any) -> None:
    def fail(x: Any) -> Any:
        with ag.no_grad():
            raise ZeroDivisionError

    x = ag.tensor(1.0, requires_grad=True)
    with pytest.raises(ZeroDivisionError):
        transform(lambda x: x * transform(fail)(x))(x)
    assert (x * 2).requires_grad
    assert not ag.grad(ag.sin)(x.detach()).requires_grad  # no transform is active
    with ag.no_grad():
        with pytest.raises(ZeroDivisionError):
            transform(fail)(x)
        assert not (x * 2).requires_grad


def test_transforms_work_under_no_grad() -> None:
    with ag.no_grad():
        assert ag.hessian(lambda x: ag.sum(x**3))(ones(1)).tolist() == [[6]]
