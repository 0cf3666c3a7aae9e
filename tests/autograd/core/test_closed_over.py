"""Transforms of functions that close over tensors of a recorded graph: their results belong to that
graph.
"""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import on_device, on_host

import autograd as ag

Function = Callable[..., Any]

X = np.array([3.0, 4.0])
B = np.array([1.0, 2.0])


def parameter(values: Any = B) -> ag.Tensor:
    return ag.tensor(on_device(np.array(values, np.float64)), requires_grad=True)


def cubes(b: Any) -> Function:
    """Return the function x -> sum(x^3 b)."""
    return lambda x: ag.sum(x * x * x * b)


def ones(n: int = 2) -> Any:
    return on_device(np.ones(n))


# Each transform of `cubes(b)` at x, summed, and its derivative with respect to b.
TRANSFORMS: dict[str, tuple[Function, Any]] = {
    "grad": (lambda f, x: ag.sum(ag.grad(f)(x)), 3 * X**2),
    "value_and_grad": (lambda f, x: ag.value_and_grad(f)(x)[0], X**3),
    "value_and_grad, gradient": (lambda f, x: ag.sum(ag.value_and_grad(f)(x)[1]), 3 * X**2),
    "vjp": (lambda f, x: ag.vjp(f, x)[0], X**3),
    "pullback": (lambda f, x: ag.sum(ag.vjp(f, x)[1](on_device(np.array(2.0)))[0]), 6 * X**2),
    "jvp": (lambda f, x: ag.jvp(f, (x,), (ones(),))[0], X**3),
    "jvp, tangent": (lambda f, x: ag.jvp(f, (x,), (ones(),))[1], 3 * X**2),
    "jacobian": (lambda f, x: ag.sum(ag.jacobian(f)(x)), 3 * X**2),
    "wide jacobian": (
        lambda f, x: ag.sum(ag.jacobian(lambda x: ag.stack([f(x * k) for k in (1, 1, 1)]))(x)),
        9 * X**2,
    ),
    "hessian": (lambda f, x: ag.sum(ag.hessian(f)(x)), 6 * X),
    "hvp": (lambda f, x: ag.sum(ag.hvp(f, (x,), (ones(),))), 6 * X),
    "grad of grad": (lambda f, x: ag.sum(ag.grad(lambda x: ag.sum(ag.grad(f)(x)))(x)), 6 * X),
    "jvp of grad": (lambda f, x: ag.sum(ag.jvp(ag.grad(f), (x,), (ones(),))[1]), 6 * X),
    "grad of jvp": (
        lambda f, x: ag.sum(ag.grad(lambda x: ag.jvp(f, (x,), (ones(),))[1])(x)),
        6 * X,
    ),
    "vjp of vjp": (
        lambda f, x: ag.sum(ag.vjp(lambda x: ag.vjp(f, x)[1](1.0)[0], x)[1](ones())[0]),
        6 * X,
    ),
    "aux": (lambda f, x: ag.grad(lambda x: (ag.sum(x), f(x)), has_aux=True)(x)[1], X**3),
    "checkpoint": (lambda f, x: ag.sum(ag.grad(ag.checkpoint(f))(x)), 3 * X**2),
    "hessian of checkpoint": (lambda f, x: ag.sum(ag.hessian(ag.checkpoint(f))(x)), 6 * X),
}  # fmt: skip
INPUTS: dict[str, Function] = {
    "array": on_device,
    "tensor": lambda x: ag.tensor(on_device(x)),
    "tensor that requires grad": lambda x: ag.tensor(on_device(x), requires_grad=True),
}


@pytest.mark.parametrize("input_type", INPUTS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_results_of_transforms_depend_on_closed_over_tensors(name: str, input_type: str) -> None:
    derive, expected = TRANSFORMS[name]
    b = parameter()
    result = derive(cubes(b), INPUTS[input_type](X.copy()))
    assert isinstance(result, ag.Tensor)
    assert result.requires_grad
    (result + b.sum()).backward()
    np.testing.assert_allclose(on_host(b.grad), expected + 1, rtol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_second_derivatives_by_closed_over_tensors(name: str) -> None:
    """The functions are linear in the square of b."""
    derive, expected = TRANSFORMS[name]
    b = parameter()
    (first,) = ag.gradients(derive(cubes(b * b), on_device(X.copy())), b, create_graph=True)
    np.testing.assert_allclose(on_host(first), expected * 2 * B, rtol=1e-12)
    (second,) = ag.gradients(first.sum(), b)
    np.testing.assert_allclose(on_host(second), expected * 2, rtol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_nothing_is_recorded_under_no_grad(name: str) -> None:
    derive, _ = TRANSFORMS[name]
    b = parameter()
    for convert in INPUTS.values():
        with ag.no_grad():
            assert not getattr(derive(cubes(b), convert(X.copy())), "requires_grad", False)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "aux"])
def test_results_are_arrays_if_no_closed_over_tensor_requires_grad(name: str) -> None:
    derive, _ = TRANSFORMS[name]
    assert not isinstance(derive(cubes(on_device(B)), on_device(X.copy())), ag.Tensor)
    assert not isinstance(derive(cubes(ag.tensor(on_device(B))), on_device(X.copy())), ag.Tensor)


def test_only_results_that_depend_on_the_outer_graph_are_recorded() -> None:
    b = parameter()
    value, gradient = ag.value_and_grad(lambda x: ag.sum(x * x) + ag.sum(b))(on_device(X))
    assert value.requires_grad
    assert not isinstance(gradient, ag.Tensor)
    out, pullback = ag.vjp(lambda x: (x * x, x * b), on_device(X))
    assert [isinstance(o, ag.Tensor) for o in out] == [False, True]
    assert pullback((ones(), ones()))[0].requires_grad
    (value, aux), gradient = ag.value_and_grad(
        lambda x: (ag.sum(x), {"recorded": x * b, "independent": x * 2, "text": "a"}), has_aux=True
    )(on_device(X))
    assert not isinstance(value, ag.Tensor)
    assert not isinstance(gradient, ag.Tensor)
    assert aux["recorded"].requires_grad
    assert not aux["independent"].requires_grad
    assert aux["text"] == "a"


def test_a_weight_of_the_pullback_that_requires_grad() -> None:
    _, pullback = ag.vjp(lambda x: x * x, on_device(X))
    u = parameter()
    (gradient,) = pullback(u * 3)
    gradient.sum().backward()
    np.testing.assert_allclose(on_host(u.grad), 6 * X)
    assert not isinstance(pullback(ones())[0], ag.Tensor)
    with ag.no_grad():
        _, pullback = ag.vjp(cubes(u), on_device(X))
    u.grad = None
    pullback(on_device(np.array(1.0)))[0].sum().backward()
    np.testing.assert_allclose(on_host(u.grad), 3 * X**2)


def test_a_tangent_that_requires_grad() -> None:
    v = parameter()
    out, tangent = ag.jvp(lambda x: x * x, (on_device(X),), (v * 3,))
    assert not isinstance(out, ag.Tensor)
    tangent.sum().backward()
    np.testing.assert_allclose(on_host(v.grad), 6 * X)


def test_a_tensor_closed_over_by_the_second_derivative_only() -> None:
    b = parameter()

    def f(x: Any) -> Any:
        return ag.sum(ag.grad(lambda z: ag.sum(z * z * z))(x) * b)

    g = ag.grad(f)(on_device(X))
    g.sum().backward()
    np.testing.assert_allclose(on_host(b.grad), 6 * X)


@pytest.mark.parametrize("options", [{}, {"compile": False}, {"checkpoint": 2}])
@pytest.mark.parametrize("order", [1, 2])
def test_tensors_closed_over_by_the_step_of_a_scan(options: dict[str, Any], order: int) -> None:
    """sum(h_5) for h' = b h x, h_0 = x: x^6 b^5."""
    b = parameter([1.1, 0.9])

    def f(x: Any) -> Any:
        xs = ag.stack([x] * 5)
        return ag.sum(ag.scan(lambda h, x: (b * h * x, None), x, xs, **options)[0])

    x = np.array([0.7, 1.2])
    derive = ag.grad(f) if order == 1 else ag.grad(lambda x: ag.sum(ag.grad(f)(x)))
    g = derive(ag.tensor(on_device(x)))
    (g.sum() + b.sum()).backward()
    power = 6 * x**5 if order == 1 else 30 * x**4
    np.testing.assert_allclose(on_host(b.grad), power * 5 * on_host(b.detach()) ** 4 + 1)


def test_a_gradient_penalty_trains_the_weights() -> None:
    """The penalty (|df/dx| - 1)^2 of f = v' tanh(W x), against finite differences in W."""
    rng = np.random.default_rng(0)
    x, v, start = rng.normal(size=(5, 3)), rng.normal(size=4), rng.normal(size=(4, 3))

    def penalty(w: Any) -> Any:
        gradients = ag.grad(lambda x: ag.sum(ag.tanh(x @ w.T) @ on_device(v)))(
            ag.tensor(on_device(x))
        )
        return ag.sum((ag.sum(gradients**2, 1) ** 0.5 - 1) ** 2)

    ag.testing.check_gradients(penalty, start)
    gradients = (1 - np.tanh(x @ start.T) ** 2) * v @ start
    expected = ((np.linalg.norm(gradients, axis=1) - 1) ** 2).sum()
    assert penalty(parameter(start)).item() == pytest.approx(expected)


def test_a_physics_informed_loss_has_the_gradient_of_its_closed_form() -> None:
    """The residual u'' + u of u = a sin(c t): a (1 - c^2) sin(c t)."""
    a, c = parameter(2.0), parameter(1.5)
    t = np.linspace(0, 1, 7)
    u = lambda t: ag.sum(a * ag.sin(c * t))  # noqa: E731
    loss = 0.0
    for time in t:
        second = ag.grad(ag.grad(u))(time)
        loss = loss + (second + u(time)) ** 2
    loss.backward()
    s, k = np.sin(1.5 * t), np.cos(1.5 * t)
    r = 2 * (1 - 1.5**2) * s
    assert a.grad.item() == pytest.approx((2 * r * (1 - 1.5**2) * s).sum())
    c_gradient = 2 * (-3.0 * s + (1 - 1.5**2) * t * k)
    assert c.grad.item() == pytest.approx((2 * r * c_gradient).sum())


def test_graphs_of_unrecorded_results_are_freed_immediately() -> None:
    b = parameter()
    seen: list[Any] = []

    def f(x: Any) -> Any:
        y = x * x * b
        seen.append(weakref.ref(y._data))
        return ag.sum(y)

    gc.disable()
    try:
        with ag.no_grad():
            ag.grad(f)(on_device(X))
            ag.value_and_grad(f)(ag.tensor(on_device(X)))
            ag.jvp(f, (on_device(X),), (ones(),))
        result = ag.grad(f)(on_device(X))
        del result
        assert [ref() for ref in seen] == [None] * len(seen)
    finally:
        gc.enable()
