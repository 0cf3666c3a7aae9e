"""Results without a gradient are None for the rules, never zeros, which an infinite factor would
turn into nan; and what rules return is checked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import leaf, on_device, on_host

import autograd as ag
from autograd.testing import check_gradients

Function = Callable[..., Any]
BY = pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")


def infinite(x: Any) -> Any:
    """0, with an infinite derivative by its inner argument."""
    return ag.sqrt(x * 0)


def doubled_and_infinite(x: Any) -> Any:
    return x * 2, infinite(x)


def last_of(x: Any, **options: Any) -> Any:
    """The last carry of a recurrence whose ys, unused, have infinite derivatives."""
    xs = ag.stack([x, x, x])
    return ag.scan(lambda h, t: (h + t, infinite(t) * h), x, xs, **options)[0]


def ys_of(x: Any, **options: Any) -> Any:
    """The ys of a recurrence of which a part of the last carry, unused, has."""
    xs = ag.stack([x, x, x])
    step = lambda h, t: ((h[0] + t, infinite(t)), h[0] * 2)  # noqa: E731
    return ag.scan(step, (x, x), xs, **options)[1]


@ag.primitive(
    x=lambda g, x: sum(
        one * factor for one, factor in zip(g, (2, np.inf), strict=True) if one is not None
    )
)
def of_two_results(xp: Any, x: Any) -> Any:
    return 2 * x, 0 * x


UNUSED: dict[str, tuple[Function, float]] = {
    "checkpoint": (lambda x: ag.checkpoint(doubled_and_infinite)(x)[0], 2),
    "checkpoint in a checkpoint": (
        lambda x: ag.checkpoint(lambda x: ag.checkpoint(doubled_and_infinite)(x))(x)[0],
        2,
    ),
    "nested results": (
        lambda x: ag.checkpoint(lambda x: {"a": [x * 2], "b": (infinite(x), x * 3)})(x)["a"][0],
        2,
    ),
    "compiled scan": (last_of, 4),
    "recorded scan": (lambda x: last_of(x, compile=False), 4),
    "checkpointed scan": (lambda x: last_of(x, checkpoint=2), 4),
    "scan in a checkpoint": (lambda x: ag.checkpoint(last_of)(x), 4),
    "ys of a compiled scan": (ys_of, 2 * (3 + 3)),
    "ys of a recorded scan": (lambda x: ys_of(x, compile=False), 2 * (3 + 3)),
    "ys of a checkpointed scan": (lambda x: ys_of(x, checkpoint=2), 2 * (3 + 3)),
    "primitive": (lambda x: of_two_results(x)[0], 2),
}


@BY
@pytest.mark.parametrize("name", UNUSED)
def test_unused_results_of_several_have_no_gradient(name: str) -> None:
    f, expected = UNUSED[name]
    x = leaf(3.0, 4.0)
    f(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [expected] * 2
    (slope,) = ag.gradients(f(x).sum(), x, create_graph=True)
    assert slope.tolist() == [expected] * 2
    (slope,) = ag.vjp(lambda x: f(x).sum(), x)[1](1.0)
    assert slope.tolist() == [expected] * 2


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
    "behind a cut": (
        lambda scan: scan(lambda h, k, x, w: ((h * x, k), w), detach_every=2)[0][0],
        ["xs"],
    ),
    "reverse": (lambda scan: scan(lambda h, k, x, w: ((h, k), h * w), reverse=True)[1], ["h", "w"]),
}


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("compile", [False, True])
def test_what_only_unused_results_of_a_scan_depend_on_has_no_gradient(
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


@BY
@pytest.mark.parametrize("wrapped", [lambda f: f, ag.checkpoint], ids=["plain", "checkpoint"])
@pytest.mark.parametrize("part", [0, 1])
def test_a_part_of_an_array_that_nobody_uses(wrapped: Any, part: int) -> None:
    """Its elements get 0; what was split or stacked is one array."""
    for parts in (lambda x: ag.split(x, 2), lambda x: ag.unstack(x.reshape(2, 2))):
        x = leaf(1.0, 2.0, 3.0, 4.0)
        f = wrapped(lambda x, parts=parts: parts(x * x)[part])
        f(x).sum().backward()
        expected = np.where(np.arange(4) // 2 == part, 2.0 * np.arange(1, 5), 0)
        np.testing.assert_array_equal(on_host(x.grad), expected)
        check_gradients(f, np.array([1.0, 2.0, 3.0, 4.0]))


@BY
@pytest.mark.parametrize("wrapped", [lambda f: f, ag.checkpoint], ids=["plain", "checkpoint"])
def test_other_arguments_have_no_tangent_in_a_jacobian(wrapped: Any) -> None:
    """The derivative by the second argument is infinite."""
    f = wrapped(lambda x, y: ag.stack([x * 2, x * 3 + ag.sqrt(y), x * 4]))
    by_x, by_y = ag.jacobian(f, (0, 1))(on_device(np.array(1.0)), on_device(np.array(0.0)))
    assert by_x.tolist() == [2.0, 3.0, 4.0]
    assert by_y.tolist() == [0.0, np.inf, 0.0]


def test_a_rule_gets_none_for_results_without_a_gradient() -> None:
    given: list[Any] = []

    def rule(g: Any) -> Any:
        given.append([one is None for one in g])
        return next(one for one in g if one is not None)

    own = ag.primitive(x=rule)(lambda xp, x: (x * 1, x * 1, x * 1))
    for used in ([1], [0, 2], [0, 1, 2]):
        results = own(leaf(1.0))
        ag.stack([results[i] for i in used]).sum().backward()
        assert given.pop() == [i not in used for i in range(3)]


def test_a_rule_that_ignores_missing_gradients_is_told_about_them() -> None:
    own = ag.primitive(x=lambda g: g[0] + g[1])(lambda xp, x: (x * 1, x * 1))
    with pytest.raises(TypeError, match=r"(?s)gradient rule of <lambda>.*None.*\[1\]"):
        own(leaf(1.0))[0].backward()


@pytest.mark.filterwarnings("ignore:scan records every step")
@pytest.mark.parametrize("rule", [lambda g: g[0] + g[1], lambda g: 0, lambda g: g[0].sum()])
def test_a_wrong_rule_does_not_stop_a_scan_that_is_not_differentiated(rule: Any) -> None:
    own = ag.primitive(x=rule)(lambda xp, x: (x * 1, x * 1))
    last, _ = ag.scan(lambda h, _: (own(h)[0], None), leaf(1.0, 2.0), None, length=3)
    with pytest.raises((TypeError, ValueError), match="gradient rule of <lambda>"):
        last.sum().backward()


def test_a_rule_of_several_results_may_return_none_if_it_was_given_none() -> None:
    @ag.primitive(a=lambda g: g[0], b=lambda g: g[1])
    def both(xp: Any, a: Any, b: Any) -> Any:
        return a * 1, b * 1

    a, b = leaf(1.0), leaf(2.0)
    both(a, b)[1].backward()
    assert a.grad is None
    assert b.grad is not None
    assert b.grad.tolist() == [1.0]


# --- what rules return ----------------------------------------------------------------------------

WRONG: dict[str, tuple[Function, str]] = {
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
WAYS: dict[str, Function] = {
    "backward": lambda f, x: f(x).sum().backward(),
    "create_graph": lambda f, x: f(x).sum().backward(create_graph=True),
    "gradients": lambda f, x: ag.gradients(f(x).sum(), x),
    "grad": lambda f, x: ag.grad(lambda x: f(x).sum())(x),
    "jvp": lambda f, x: ag.jvp(f, (x,), (ag.ones_like(x),)),
    "checkpoint": lambda f, x: ag.checkpoint(f)(x).sum().backward(),
    "scan": lambda f, x: ag.scan(lambda h, _: (f(h), None), x, None, length=3)[0].sum().backward(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", WRONG)
def test_what_a_rule_returns_is_checked(name: str, way: str) -> None:
    rule, found = WRONG[name]

    @ag.primitive(a=lambda g: g, b=rule)
    def own(xp: Any, a: Any, b: Any) -> Any:
        return a + b

    x = ag.tensor(on_device(np.ones((2, 3))), requires_grad=True)
    message = rf"rule of own returned (an )?{found}.* for argument b of shape \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        WAYS[way](lambda x: own(1.0, x), x)


@pytest.mark.parametrize("made", [lambda g: g * 1j, lambda g: (g > 0).astype("S1")])
@pytest.mark.host
def test_a_rule_returns_real_numbers(made: Function) -> None:
    own = ag.primitive(x=made)(lambda xp, x: x * 1)
    with pytest.raises(ValueError, match=r"rule of <lambda> returned an array .* argument x"):
        own(leaf(1.0, 2.0)).sum().backward()


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (lambda g: [g], "1 gradients for 2"),
        (lambda g: (g, g, g), "3 gradients for 2"),
        (lambda g: g, "a .* for 2"),
        (lambda g: None, "a NoneType for 2"),
    ],
)
def test_a_rule_for_all_arguments_returns_one_gradient_for_each(rule: Any, found: str) -> None:
    own = ag.primitive(rule)(lambda xp, a, b: a + b)
    with pytest.raises(ValueError, match=f"rule of <lambda> returned {found} arguments"):
        own(leaf(1.0, 2.0), leaf(1.0, 2.0)).sum().backward()


def test_a_rule_for_all_arguments_names_the_one_that_does_not_fit() -> None:
    own = ag.primitive(lambda g: (g, g.sum()))(lambda xp, a, b: a + b)
    with pytest.raises(ValueError, match=r"for argument b of shape \(2,\)"):
        own(leaf(1.0, 2.0), leaf(1.0, 2.0)).sum().backward()
    own = ag.primitive(lambda g: (g, None, g))(lambda xp, *xs: xs[0] + xs[1] + xs[2])
    with pytest.raises(ValueError, match=r"returned None for argument 1 of shape \(2,\)"):
        own(*[leaf(1.0, 2.0) for _ in range(3)]).sum().backward()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3), (4, 2, 1)])
def test_a_rule_may_return_a_shape_that_its_argument_broadcasts_to(shape: Any) -> None:
    for small in [(), (1,), shape[-1:], (1, *shape[1:])]:
        x = ag.tensor(on_device(np.ones(small)), requires_grad=True)
        own = ag.primitive(x=lambda g: g * 2)(lambda xp, x, *, shape: x + xp.ones(shape))
        own(x, shape=shape).sum().backward()
        np.testing.assert_array_equal(
            on_host(x.grad), np.full(small, 2.0 * np.prod(shape) / x.size)
        )
