"""Gradients through compiled scans: accumulated, of higher order, through transforms."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from compiled import H, gradients_of, same, values, weighted, weighted_problems
from hypothesis import given
from recurrences import KINDS, Case, assert_close, make_case, random_cases, run

import autograd as ag
from autograd.testing import check_gradients


def step(W: Any, h: Any, x: Any) -> Any:
    h = ag.tanh(h @ W + x) * ag.sigmoid(x)
    return h, (h * x, h[:, 0])


tanh_step = weighted_problems(step)


everything = {"num_layers": 2, "bidirectional": True, "lengths": [4, 0, 2]}


some_kinds = pytest.mark.parametrize("kind", ["LSTM", "reset before", "layer norm"])


def run_layer(case: Case, compile: bool | None = None) -> Any:
    """Return the results of a layer, and the tensors with respect to which it is differentiated."""
    case.layer.scan_options["compile"] = compile
    x, hx = ag.tree_map(lambda leaf: leaf.detach().requires_grad_(), (case.x, case.hx))
    return run(case._replace(x=x, hx=hx)), [x, *ag.flatten(hx), *case.layer.parameters()]


@some_kinds
def test_two_backward_passes_through_one_graph(kind: str) -> None:
    (y, state), inputs = run_layer(make_case(kind, **everything))
    total = weighted([y, *ag.flatten(state)])
    first, second = (ag.gradients(total, inputs, retain_graph=keep) for keep in (True, False))
    for a, b in zip(first, second, strict=True):
        assert (a.numpy() == b.numpy()).all()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        total.backward()


def test_gradients_accumulate_in_grad() -> None:
    def results(compile: bool | None) -> Any:
        instance = tanh_step()
        for _ in range(2):
            weighted(ag.flatten(instance.scan(compile))).backward()
        return [t.grad for t in instance.inputs]

    same(results(None), results(False))


@pytest.mark.parametrize("kind", KINDS)
def test_third_derivatives(kind: str) -> None:
    actual, expected = (
        gradients_of(*run_layer(make_case(kind, T=2, B=2, lengths=[2, 1]), compile), 3)
        for compile in (None, False)
    )
    same(actual, expected)


@given(random_cases(most=2, kinds=["GRU", "LSTM", "Jordan"]))
def test_finite_differences_in_both_modes(case: Case) -> None:
    """With respect to inputs and states, in reverse and forward mode."""

    def f(x: Any, *leaves: Any) -> Any:
        remaining = iter(leaves)
        return run(case._replace(x=x, hx=ag.tree_map(lambda _: next(remaining), case.hx)))

    check_gradients(f, case.x, *ag.flatten(case.hx), order=2)


def test_finite_differences_of_a_weight() -> None:
    carry, xs = values(3, H).detach(), values(4, 3, H).detach()
    for options in ({}, {"reverse": True, "lengths": [4, 0, 2]}, {"checkpoint": 2}):
        check_gradients(
            lambda W, x, o=options: ag.scan(partial(step, W), carry, x, **o), values(H, H), xs
        )


TRANSFORMS: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {
    "grad": lambda f, W: ag.grad(f)(W),
    "grad of grad": lambda f, W: ag.grad(lambda W: ag.grad(f)(W)[0, 0])(W),
    "vjp": lambda f, W: ag.vjp(f, W)[1](ag.tensor(np.array(2.0))),
    "jvp": lambda f, W: ag.jvp(f, (W,), (W * 2,)),
    "jvp of grad": lambda f, W: ag.jvp(ag.grad(f), (W,), (W * 2,)),
    "grad of jvp": lambda f, W: ag.grad(lambda W: ag.jvp(f, (W,), (W * 2,))[1])(W),
    "hvp": lambda f, W: ag.hvp(f, (W,), (W * 2,)),
    "hessian": lambda f, W: ag.hessian(f)(W),
    "jacobian": lambda f, W: ag.jacobian(lambda W: ag.stack([f(W), f(W * 2)]))(W),
    "checkpoint": lambda f, W: ag.grad(ag.checkpoint(f))(W),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms(transform: Any) -> None:
    carry, xs = values(3, H), values(4, 3, H)

    def results(compile: bool | None) -> Any:
        def f(W: Any) -> Any:
            return weighted(ag.flatten(ag.scan(partial(step, W), carry, xs, compile=compile)))

        return transform(f, values(H, H).detach())

    same(results(None), results(False))


OUTPUTS: dict[str, Callable[[Any], Any]] = {
    "only the carry": lambda out: out[0],
    "only the ys": lambda out: out[1],
    "only some ys": lambda out: out[1][1],
    "one step of the ys": lambda out: out[1][0][2],
    "two sums": lambda out: (out[0].sum(), out[1][0].sum()),
    "the carry, twice": lambda out: (out[0], out[0] * 2, out[1][0]),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("select", OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_that_are_not_used(select: Any, order: int) -> None:
    actual, expected = (
        gradients_of(select(instance.scan(c)), instance.inputs, order)
        for c, instance in ((None, tanh_step()), (False, tanh_step()))
    )
    same(actual, expected)


def test_gradients_at_the_results_and_hooks_on_them() -> None:
    def results(compile: bool | None) -> Any:
        instance, seen = tanh_step(), []
        carry, ys = instance.scan(compile)
        carry.retain_grad()
        ys[0].register_hook(lambda g: seen.append(g) or g * 2)
        instance.inputs[1].register_hook(lambda g: g * 3)
        gradients = gradients_of([carry, ys, carry * ys[0].sum()], instance.inputs)
        return gradients, seen, carry.grad

    same(results(None), results(False))


def test_without_recording_there_is_no_graph() -> None:
    instance = tanh_step()
    expected = instance.scan(False)
    with ag.no_grad():
        out = instance.scan()
    assert not any(leaf.requires_grad for leaf in ag.flatten(out))
    for actual, eager in zip(ag.flatten(out), ag.flatten(expected), strict=True):
        assert_close(actual, eager, 1e-11)
    for tensor in instance.inputs:
        tensor.requires_grad = False
    assert not any(leaf.requires_grad for leaf in ag.flatten(instance.scan()))
    with pytest.raises(RuntimeError):
        instance.scan()[0].sum().backward()
