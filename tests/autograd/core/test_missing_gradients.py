"""Missing gradients and the results of rules.

Rules receive None for results without a gradient, never zeros, which an infinite factor would turn
into nan. The gradients that rules return are checked.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import leaf, on_device, on_host

import autograd as ag
from autograd.testing import check_gradients

Function = Callable[..., Any]
IGNORE_WARNINGS = pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")


def zero_with_infinite_gradient(x: Any) -> Any:
    """Return 0, with an infinite derivative with respect to x."""
    return ag.sqrt(x * 0)


def double_and_zero(x: Any) -> Any:
    return x * 2, zero_with_infinite_gradient(x)


def last_carry(x: Any, **options: Any) -> Any:
    """Return the last carry of a scan whose unused ys have infinite derivatives."""
    xs = ag.stack([x, x, x])
    return ag.scan(lambda h, t: (h + t, zero_with_infinite_gradient(t) * h), x, xs, **options)[0]


def scan_outputs(x: Any, **options: Any) -> Any:
    """Return the ys of a scan; an unused part of its last carry has infinite derivatives."""
    xs = ag.stack([x, x, x])
    step = lambda h, t: ((h[0] + t, zero_with_infinite_gradient(t)), h[0] * 2)  # noqa: E731
    return ag.scan(step, (x, x), xs, **options)[1]


@ag.primitive(
    x=lambda g, x: sum(
        gradient * factor
        for gradient, factor in zip(g, (2, np.inf), strict=True)
        if gradient is not None
    )
)
def two_results(xp: Any, x: Any) -> Any:
    return 2 * x, 0 * x


UNUSED_RESULTS: dict[str, tuple[Function, float]] = {
    "checkpoint": (lambda x: ag.checkpoint(double_and_zero)(x)[0], 2),
    "checkpoint in a checkpoint": (
        lambda x: ag.checkpoint(lambda x: ag.checkpoint(double_and_zero)(x))(x)[0],
        2,
    ),
    "nested results": (
        lambda x: ag.checkpoint(
            lambda x: {"a": [x * 2], "b": (zero_with_infinite_gradient(x), x * 3)}
        )(x)["a"][0],
        2,
    ),
    "compiled scan": (last_carry, 4),
    "eager scan": (lambda x: last_carry(x, compile=False), 4),
    "checkpointed scan": (lambda x: last_carry(x, checkpoint=2), 4),
    "scan in a checkpoint": (lambda x: ag.checkpoint(last_carry)(x), 4),
    "ys of a compiled scan": (scan_outputs, 2 * (3 + 3)),
    "ys of an eager scan": (lambda x: scan_outputs(x, compile=False), 2 * (3 + 3)),
    "ys of a checkpointed scan": (lambda x: scan_outputs(x, checkpoint=2), 2 * (3 + 3)),
    "primitive": (lambda x: two_results(x)[0], 2),
}


@IGNORE_WARNINGS
@pytest.mark.parametrize("name", UNUSED_RESULTS)
def test_unused_results_have_no_gradient(name: str) -> None:
    f, expected = UNUSED_RESULTS[name]
    x = leaf(3.0, 4.0)
    f(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [expected] * 2
    (gradient,) = ag.gradients(f(x).sum(), x, create_graph=True)
    assert gradient.tolist() == [expected] * 2
    (gradient,) = ag.vjp(lambda x: f(x).sum(), x)[1](1.0)
    assert gradient.tolist() == [expected] * 2


SCANS: dict[str, tuple[Function, list[str]]] = {
    # name: loss of scan, the arguments (of h, k, xs, w) that have a gradient
    "a carry": (lambda scan: scan(lambda h, k, x, w: ((h * x, k * w), h))[0][0], ["h", "xs"]),
    "the other carry": (
        lambda scan: scan(lambda h, k, x, w: ((h * x, k * w), h))[0][1],
        ["k", "w"],
    ),
    "the ys": (lambda scan: scan(lambda h, k, x, w: ((h, k * w), h * x))[1], ["h", "xs"]),
    "exchanged carries": (lambda scan: scan(lambda h, k, x, w: ((k * x, h), w))[0][0], ["k", "xs"]),
    "a carry without history": (
        lambda scan: scan(lambda h, k, x, w: ((x, h), k * w))[0][1],
        ["xs"],
    ),
    "after a detach point": (
        lambda scan: scan(lambda h, k, x, w: ((h * x, k), w), detach_every=2)[0][0],
        ["xs"],
    ),
    "reverse": (lambda scan: scan(lambda h, k, x, w: ((h, k), h * w), reverse=True)[1], ["h", "w"]),
}


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("compile", [False, True])
def test_arguments_that_affect_only_unused_results_of_a_scan_have_no_gradient(
    name: str, compile: bool
) -> None:
    f, expected = SCANS[name]
    h, k, xs, w = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(1.0, 2.0, 3.0), leaf(5.0, 6.0)

    def scan(step: Function, **options: Any) -> Any:
        with_w = lambda carry, x: step(*carry, x, w)  # noqa: E731
        return ag.scan(with_w, (h, k), xs.reshape(3, 1), compile=compile, **options)

    f(scan).sum().backward()
    arguments = {"h": h, "k": k, "xs": xs, "w": w}
    assert [name for name, t in arguments.items() if t.grad is not None] == expected


@IGNORE_WARNINGS
@pytest.mark.parametrize("wrapper", [lambda f: f, ag.checkpoint], ids=["plain", "checkpoint"])
@pytest.mark.parametrize("part", [0, 1])
def test_an_unused_part_of_an_array_has_zero_gradient(wrapper: Any, part: int) -> None:
    """The array that was split has one gradient."""
    for parts in (lambda x: ag.split(x, 2), lambda x: ag.unstack(x.reshape(2, 2))):
        x = leaf(1.0, 2.0, 3.0, 4.0)
        f = wrapper(lambda x, parts=parts: parts(x * x)[part])
        f(x).sum().backward()
        expected = np.where(np.arange(4) // 2 == part, 2.0 * np.arange(1, 5), 0)
        np.testing.assert_array_equal(on_host(x.grad), expected)
        check_gradients(f, np.array([1.0, 2.0, 3.0, 4.0]))


@IGNORE_WARNINGS
@pytest.mark.parametrize("wrapper", [lambda f: f, ag.checkpoint], ids=["plain", "checkpoint"])
def test_other_arguments_have_no_tangent_in_a_jacobian(wrapper: Any) -> None:
    """The derivative with respect to the second argument is infinite."""
    f = wrapper(lambda x, y: ag.stack([x * 2, x * 3 + ag.sqrt(y), x * 4]))
    x_jacobian, y_jacobian = ag.jacobian(f, (0, 1))(
        on_device(np.array(1.0)), on_device(np.array(0.0))
    )
    assert x_jacobian.tolist() == [2.0, 3.0, 4.0]
    assert y_jacobian.tolist() == [0.0, np.inf, 0.0]


def test_a_rule_receives_none_for_results_without_a_gradient() -> None:
    received: list[Any] = []

    def rule(g: Any) -> Any:
        received.append([gradient is None for gradient in g])
        return next(gradient for gradient in g if gradient is not None)

    operation = ag.primitive(x=rule)(lambda xp, x: (x * 1, x * 1, x * 1))
    for used in ([1], [0, 2], [0, 1, 2]):
        results = operation(leaf(1.0))
        ag.stack([results[i] for i in used]).sum().backward()
        assert received.pop() == [i not in used for i in range(3)]


def test_the_error_of_a_rule_mentions_missing_gradients() -> None:
    operation = ag.primitive(x=lambda g: g[0] + g[1])(lambda xp, x: (x * 1, x * 1))
    with pytest.raises(TypeError, match=r"(?s)VJP rule of <lambda>.*None.*\[1\]"):
        operation(leaf(1.0))[0].backward()


@pytest.mark.filterwarnings("ignore:scan runs .* eagerly")
@pytest.mark.parametrize("rule", [lambda g: g[0] + g[1], lambda g: 0, lambda g: g[0].sum()])
def test_a_wrong_rule_does_not_stop_a_scan_that_is_not_differentiated(rule: Any) -> None:
    operation = ag.primitive(x=rule)(lambda xp, x: (x * 1, x * 1))
    last, _ = ag.scan(lambda h, _: (operation(h)[0], None), leaf(1.0, 2.0), None, length=3)
    with pytest.raises((TypeError, ValueError), match="VJP rule of <lambda>"):
        last.sum().backward()


def test_a_rule_may_return_none_for_a_missing_gradient() -> None:
    @ag.primitive(a=lambda g: g[0], b=lambda g: g[1])
    def copy_both(xp: Any, a: Any, b: Any) -> Any:
        return a * 1, b * 1

    a, b = leaf(1.0), leaf(2.0)
    copy_both(a, b)[1].backward()
    assert a.grad is None
    assert b.grad is not None
    assert b.grad.tolist() == [1.0]


# --- the gradients that rules return --------------------------------------------------------------

INVALID_GRADIENTS: dict[str, tuple[Function, str]] = {
    "a scalar": (lambda g: g.sum(), r"array of shape \(\)"),
    "a shorter axis": (lambda g: g[:, :1], r"array of shape \(2, 1\)"),
    "an axis less": (lambda g: g[0], r"array of shape \(3,\)"),
    "a longer axis": (lambda g: ag.concatenate([g, g]), r"array of shape \(4, 3\)"),
    "no element": (lambda g: g[:0], r"array of shape \(0, 3\)"),
    "None": (lambda g: None, "None"),
    "zero": (lambda g: 0, "0"),
    "a number": (lambda g: 2.0, r"2\.0"),
    "a list": (lambda g: [g], "a list"),
    "a tuple": (lambda g: (g, g), "a tuple"),
    "text": (lambda g: "g", "a str"),
}
TRANSFORMS: dict[str, Function] = {
    "backward": lambda f, x: f(x).sum().backward(),
    "create_graph": lambda f, x: f(x).sum().backward(create_graph=True),
    "gradients": lambda f, x: ag.gradients(f(x).sum(), x),
    "grad": lambda f, x: ag.grad(lambda x: f(x).sum())(x),
    "jvp": lambda f, x: ag.jvp(f, (x,), (ag.ones_like(x),)),
    "checkpoint": lambda f, x: ag.checkpoint(f)(x).sum().backward(),
    "scan": lambda f, x: ag.scan(lambda h, _: (f(h), None), x, None, length=3)[0].sum().backward(),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", INVALID_GRADIENTS)
def test_the_gradient_of_a_rule_is_checked(name: str, transform: str) -> None:
    rule, received = INVALID_GRADIENTS[name]

    @ag.primitive(a=lambda g: g, b=rule)
    def operation(xp: Any, a: Any, b: Any) -> Any:
        return a + b

    x = ag.tensor(on_device(np.ones((2, 3))), requires_grad=True)
    message = rf"rule of operation returned (an )?{received}.* for argument b of shape \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        TRANSFORMS[transform](lambda x: operation(1.0, x), x)


@pytest.mark.parametrize("rule", [lambda g: g * 1j, lambda g: (g > 0).astype("S1")])
@pytest.mark.host
def test_a_rule_must_return_real_numbers(rule: Function) -> None:
    operation = ag.primitive(x=rule)(lambda xp, x: x * 1)
    with pytest.raises(ValueError, match=r"rule of <lambda> returned an array .* argument x"):
        operation(leaf(1.0, 2.0)).sum().backward()


@pytest.mark.parametrize(
    ("rule", "received"),
    [
        (lambda g: [g], "1 gradients for 2"),
        (lambda g: (g, g, g), "3 gradients for 2"),
        (lambda g: g, "a .* for 2"),
        (lambda g: None, "a NoneType for 2"),
    ],
)
def test_a_rule_for_all_arguments_must_return_one_gradient_each(rule: Any, received: str) -> None:
    operation = ag.primitive(rule)(lambda xp, a, b: a + b)
    with pytest.raises(ValueError, match=f"rule of <lambda> returned {received} arguments"):
        operation(leaf(1.0, 2.0), leaf(1.0, 2.0)).sum().backward()


def test_the_error_of_a_rule_for_all_arguments_names_the_argument() -> None:
    operation = ag.primitive(lambda g: (g, g.sum()))(lambda xp, a, b: a + b)
    with pytest.raises(ValueError, match=r"for argument b of shape \(2,\)"):
        operation(leaf(1.0, 2.0), leaf(1.0, 2.0)).sum().backward()
    operation = ag.primitive(lambda g: (g, None, g))(lambda xp, *xs: xs[0] + xs[1] + xs[2])
    with pytest.raises(ValueError, match=r"returned None for argument 1 of shape \(2,\)"):
        operation(*[leaf(1.0, 2.0) for _ in range(3)]).sum().backward()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3), (4, 2, 1)])
def test_a_rule_may_return_a_shape_that_its_argument_broadcasts_to(shape: Any) -> None:
    for small_shape in [(), (1,), shape[-1:], (1, *shape[1:])]:
        x = ag.tensor(on_device(np.ones(small_shape)), requires_grad=True)
        operation = ag.primitive(x=lambda g: g * 2)(lambda xp, x, *, shape: x + xp.ones(shape))
        operation(x, shape=shape).sum().backward()
        np.testing.assert_array_equal(
            on_host(x.grad), np.full(small_shape, 2.0 * np.prod(shape) / x.size)
        )
