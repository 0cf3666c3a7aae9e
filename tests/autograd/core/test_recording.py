"""Recording modes, hooks and gradients of intermediate results, and `gradients`."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers import at_once, in_thread, leaf, on_device

import autograd as ag


def is_recording() -> bool:
    return bool((leaf(1.0) * 1).requires_grad)


def test_no_grad_and_enable_grad_nest() -> None:
    with ag.no_grad():
        with ag.enable_grad():
            assert is_recording()
        assert not is_recording()
    assert is_recording()


def test_no_grad_decorates() -> None:
    assert not ag.no_grad()(is_recording)()
    assert is_recording()


def fail(*_: Any) -> Any:
    raise ZeroDivisionError


def fail_in_a_context(*_: Any) -> Any:
    with ag.no_grad(), ag.enable_grad(), ag.detect_anomaly():
        raise ZeroDivisionError


def fail_in_backward(x: Any) -> Any:
    """Compute a result whose VJP rule fails."""
    return ag.primitive(x=lambda g: fail())(lambda xp, x: x * 1)(x)


def fail_later() -> Callable[[Any], Any]:
    """Return a function whose second call fails."""
    calls = iter([lambda x: x * x])
    return lambda x: next(calls, fail_in_a_context)(x)


def add_failing_hook(x: Any) -> Any:
    y = x * 1
    y.register_hook(fail)
    return y


record_always = ag.enable_grad()  # a decorator, for a graph also inside no_grad
tensor_init = ag.Tensor.__init__

FAILURES: dict[str, Callable[[], Any]] = {
    "no_grad": ag.no_grad()(fail),
    "enable_grad": ag.enable_grad()(fail),
    "detect_anomaly": fail_in_a_context,
    "grad": lambda: ag.grad(fail)(1.0),
    "grad in grad": lambda: ag.grad(lambda x: ag.grad(fail_in_a_context)(x))(1.0),
    "value_and_grad": lambda: ag.value_and_grad(fail_in_a_context)(1.0),
    "vjp": lambda: ag.vjp(fail, 1.0),
    "a pullback": lambda: ag.vjp(fail_in_backward, 1.0)[1](1.0),
    "jvp": lambda: ag.jvp(fail, (1.0,), (1.0,)),
    "jvp, backward pass": lambda: ag.jvp(fail_in_backward, (1.0,), (1.0,)),
    "jacobian": lambda: ag.jacobian(fail)(1.0),
    "hessian": lambda: ag.hessian(fail)(1.0),
    "hvp": lambda: ag.hvp(fail, (1.0,), (1.0,)),
    "checkpoint": lambda: ag.checkpoint(fail)(leaf(1.0)),
    "checkpoint, recomputation": lambda: record_always(ag.checkpoint(fail_later()))(
        leaf(1.0)
    ).backward(),
    "checkpoint in grad, recomputation": lambda: ag.grad(ag.checkpoint(fail_later()))(1.0),
    "scan": lambda: ag.scan(fail, leaf(1.0), leaf(1.0, 2.0)),
    "scan in grad": lambda: ag.grad(lambda c: ag.scan(fail, c, leaf(1.0)))(1.0),
    "backward": lambda: record_always(fail_in_backward)(leaf(1.0)).backward(),
    "backward with history": lambda: record_always(fail_in_backward)(leaf(1.0)).backward(
        create_graph=True
    ),
    "a hook": lambda: record_always(add_failing_hook)(leaf(1.0)).backward(),
    "a forward function": lambda: ag.primitive()(lambda xp, x: fail())(leaf(1.0)),
}


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_an_exception_restores_the_recording_mode(failure: Any, recording: bool) -> None:
    with ag.enable_grad() if recording else ag.no_grad():
        with pytest.raises(ZeroDivisionError):
            failure()
        assert is_recording() == recording
        assert isinstance(ag.grad(lambda x: x * x)(3.0), float)  # a Tensor inside another transform
        assert ag.Tensor.__init__ is tensor_init  # no anomaly detection
    assert is_recording()


def test_threads_do_not_see_each_others_no_grad() -> None:
    seen = []
    with ag.no_grad():
        in_thread(lambda: seen.append(is_recording()))
    assert seen == [True]


@pytest.mark.parametrize(
    ("context", "expected_mode"), [(ag.no_grad, False), (ag.enable_grad, True)]
)
@pytest.mark.parametrize("first_leaves_early", [True, False])
def test_a_decorated_function_runs_in_two_threads_at_once(
    context: Any, expected_mode: bool, first_leaves_early: bool
) -> None:
    entered = [threading.Event(), threading.Event()]
    left = [threading.Event(), threading.Event()]
    seen = []

    @context()
    def work(number: int) -> None:
        entered[number].set()
        assert entered[1 - number].wait(10)
        if (number == 0) != first_leaves_early:
            assert left[1 - number].wait(10)
        seen.append(is_recording())

    def run(number: int) -> None:
        if number == 1:
            assert entered[0].wait(10)
        work(number)
        left[number].set()
        seen.append(is_recording())

    at_once([partial(run, 0), partial(run, 1)])
    assert sorted(seen) == sorted([expected_mode, expected_mode, True, True])


@pytest.mark.parametrize(
    ("context", "expected_mode"), [(ag.no_grad, False), (ag.enable_grad, True)]
)
def test_a_decorated_function_may_call_itself(context: Any, expected_mode: bool) -> None:
    seen = []

    @context()
    def work(depth: int) -> None:
        with ag.enable_grad() if depth % 2 else ag.no_grad():
            if depth:
                work(depth - 1)
        seen.append(is_recording())

    work(4)
    assert seen == [expected_mode] * 5
    assert is_recording()


def test_threads_do_not_see_each_others_transforms() -> None:
    seen = []

    def outer(x: Any) -> Any:
        in_thread(lambda: seen.append(ag.grad(lambda y: y * y)(3.0)))
        return x * x

    ag.grad(outer)(1.0)
    assert isinstance(seen[0], float)  # within a transform it would be a Tensor


def nonlinear_loss(w: Any, x: Any) -> Any:
    """Compute a nonlinear function with a scan and a checkpoint."""
    carry, ys = ag.scan(lambda c, row: (ag.tanh(c * w + row), ag.sin(c)), w, x)
    return (ag.checkpoint(lambda c: ag.exp(-c * c) * w)(carry)).sum() + ys.sum()


def by_backward(w: Any, x: Any) -> Any:
    """Return the gradient by a leaf of this thread, through operations on the shared leaf."""
    local_leaf = ag.tensor(x, requires_grad=True)
    (gradient,) = ag.gradients(nonlinear_loss(w, local_leaf), local_leaf)
    return gradient


DERIVATIVES: dict[str, Callable[[Any, Any], Any]] = {
    "gradients by the shared leaf": lambda w, x: ag.gradients(nonlinear_loss(w, x), w)[0],
    "gradients by a leaf of the thread": by_backward,
    "gradients of gradients": lambda w, x: ag.gradients(
        ag.gradients(nonlinear_loss(w, x), w, create_graph=True)[0].sum(), w
    )[0],
    "grad": lambda w, x: ag.grad(lambda x: nonlinear_loss(w.detach(), x))(x),
    "jvp": lambda w, x: ag.jvp(nonlinear_loss, (w.detach(), x), (x[0], x))[1],
}


@pytest.mark.parametrize("derivative", DERIVATIVES.values(), ids=DERIVATIVES)
def test_eight_threads_differentiate_at_once(derivative: Any) -> None:
    w = leaf(0.3, -0.8)
    inputs = [ag.tensor(np.random.default_rng(i).normal(size=(5, 2))) for i in range(8)]
    expected = [derivative(w, x).tolist() for x in inputs]
    results: list[Any] = [[] for _ in inputs]

    def work(i: int) -> None:
        results[i] = [derivative(w, inputs[i]).tolist() for _ in range(5)]

    at_once([partial(work, i) for i in range(8)])
    assert results == [[result] * 5 for result in expected]


def test_a_shared_leaf_accumulates_gradients_of_eight_threads() -> None:
    x = leaf(1.0)

    def work() -> None:
        for _ in range(100):
            (x * 1.0).backward()

    at_once([work] * 8)
    assert x.grad.tolist() == [800.0]


def test_tasks_do_not_see_each_others_no_grad() -> None:
    async def silent(entered: asyncio.Event, leave: asyncio.Event) -> None:
        with ag.no_grad():
            entered.set()
            await leave.wait()

    async def both() -> bool:
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(silent(entered, leave))
        await entered.wait()
        seen = is_recording()
        leave.set()
        await task
        return seen

    assert asyncio.run(both())


def test_gradients_are_recorded_only_with_create_graph() -> None:
    x = leaf(2.0)
    (x * x * x).backward()
    assert x.grad is not None
    assert not x.grad.requires_grad
    (derivative,) = ag.gradients(x * x * x, x, create_graph=True)
    assert derivative is not None
    second: Any = ag.gradients(derivative, x)[0]
    assert second.tolist() == [12.0]


def test_create_graph_records_under_no_grad() -> None:
    x = leaf(2.0)
    y = x * x * x
    with ag.no_grad():
        (derivative,) = ag.gradients(y, x, create_graph=True)
    assert derivative is not None
    assert derivative.requires_grad


# --- intermediate results -------------------------------------------------------------------------


def test_an_intermediate_gradient_is_retained_on_request() -> None:
    x = leaf(3.0)
    retained, other = x * 2, x * 5
    retained.retain_grad()
    (retained * other).backward()
    assert retained.grad.tolist() == [15.0]
    assert other.grad is None


def test_a_hook_receives_the_complete_gradient_once() -> None:
    x, seen = leaf(3.0), []
    y = x * 1
    y.register_hook(lambda gradient: seen.append(gradient.item()))
    (y * y + y).backward()
    assert seen == [7.0]


def test_the_result_of_a_hook_replaces_the_gradient() -> None:
    x = leaf(3.0)
    y = x * 2
    y.register_hook(lambda gradient: gradient * 10)
    remove = y.register_hook(lambda gradient: gradient * 1000)
    remove()
    y.backward()
    assert x.grad.tolist() == [20.0]


def test_a_hook_may_write_into_the_gradient() -> None:
    a, b, c = leaf(1.0, 2.0), leaf(1.0, 2.0), ag.tensor(np.array([3.0, 4.0]))

    def halve(gradient: ag.Tensor) -> ag.Tensor:
        gradient *= 0.5
        return gradient

    b.register_hook(halve)
    ((a + b) * c).sum().backward()
    assert b.grad.tolist() == [1.5, 2.0]
    assert a.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("replacement", [ag.ones(3), ag.ones((3, 2)), 1.0, [1.0, 1.0]])
def test_the_result_of_a_hook_must_have_the_shape_of_the_gradient(replacement: Any) -> None:
    x = leaf(1.0, 2.0)
    x.register_hook(lambda gradient: replacement)
    with pytest.raises(
        ValueError, match=r"a hook must return a Tensor of the gradient.s shape, \(2,\)"
    ):
        (x * x).sum().backward()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("kind", [on_device, ag.tensor])
def test_a_hook_may_return_an_array_or_a_tensor(kind: Any, create_graph: bool) -> None:
    x = leaf(1.0, 2.0)
    x.register_hook(lambda gradient: kind(np.array([5.0, 6.0])))
    (x * x).sum().backward(create_graph=create_graph)
    assert isinstance(x.grad, ag.Tensor)
    assert x.grad.tolist() == [5.0, 6.0]
    x.grad = None


# --- gradients() ----------------------------------------------------------------------------------


def test_gradients_does_not_change_grad() -> None:
    x = leaf(3.0)
    gradients: Any = ag.gradients(x * x, x)
    assert gradients[0].tolist() == [6.0]
    assert x.grad is None


def test_gradients_of_weighted_outputs_with_respect_to_any_tensor() -> None:
    x = leaf(1.0, 2.0)
    middle = x * x
    gradients: Any = ag.gradients(
        [middle * 3, x], [middle, x], [np.array([1.0, 2]), np.array([10.0, 20])]
    )
    assert [g.tolist() for g in gradients] == [[3.0, 6.0], [16.0, 44.0]]


def test_gradients_of_an_input_that_is_not_used() -> None:
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match=r"do not depend on input 1; allow_unused=True"):
        ag.gradients(x * x, [x, other], retain_graph=True)
    gradients: Any = ag.gradients(x * x, [x, other], allow_unused=True)
    assert gradients[0].tolist() == [2.0]
    assert gradients[1] is None


def test_gradients_accepts_generators() -> None:
    x, y = leaf(3.0), leaf(4.0)
    gradients: Any = ag.gradients((t * t for t in (x, y)), (t for t in (x, y)))
    assert [g.tolist() for g in gradients] == [[6.0], [8.0]]


def test_gradients_visits_only_nodes_between_outputs_and_inputs() -> None:
    x, other, seen = leaf(1.0), leaf(1.0), []
    side_branch = other * other
    side_branch.register_hook(lambda gradient: seen.append(gradient))
    ag.gradients(x * side_branch, x)
    assert not seen
