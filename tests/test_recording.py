"""What is recorded and what is not; gradients of intermediate results; `gradients`."""

import asyncio
from typing import Any

import numpy as np
import pytest
from helpers import in_thread, leaf

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


@pytest.mark.parametrize("context", [ag.no_grad, ag.enable_grad])
def test_an_exception_leaves_no_recording_state_behind(context: Any) -> None:
    def fail(x: Any = None) -> None:
        with context():
            raise ZeroDivisionError

    for run in (fail, context()(fail), lambda: ag.grad(fail)(1.0)):
        with pytest.raises(ZeroDivisionError):
            run()
        assert is_recording()
        assert isinstance(ag.grad(lambda x: x * x)(3.0), float)  # a Tensor if still nested


def test_threads_do_not_see_each_others_no_grad() -> None:
    seen = []
    with ag.no_grad():
        in_thread(lambda: seen.append(is_recording()))
    assert seen == [True]


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


def test_gradients_carry_history_only_if_asked() -> None:
    x = leaf(2.0)
    (x * x * x).backward()
    assert x.grad is not None
    assert not x.grad.requires_grad
    (slope,) = ag.gradients(x * x * x, x, create_graph=True)
    assert slope is not None
    curvature: Any = ag.gradients(slope, x)[0]
    assert curvature.tolist() == [12.0]


def test_history_can_be_asked_for_under_no_grad() -> None:
    x = leaf(2.0)
    y = x * x * x
    with ag.no_grad():
        (slope,) = ag.gradients(y, x, create_graph=True)
    assert slope is not None
    assert slope.requires_grad


# --- intermediate results -------------------------------------------------------------------------


def test_an_intermediate_gradient_is_kept_only_if_asked() -> None:
    x = leaf(3.0)
    kept, dropped = x * 2, x * 5
    kept.retain_grad()
    (kept * dropped).backward()
    assert kept.grad.tolist() == [15.0]
    assert dropped.grad is None


def test_a_hook_sees_the_whole_gradient_once() -> None:
    x, seen = leaf(3.0), []
    y = x * 1
    y.register_hook(lambda gradient: seen.append(gradient.item()))
    (y * y + y).backward()
    assert seen == [7.0]


def test_what_a_hook_returns_replaces_the_gradient() -> None:
    x = leaf(3.0)
    y = x * 2
    y.register_hook(lambda gradient: gradient * 10)
    remove = y.register_hook(lambda gradient: gradient * 1000)
    remove()
    y.backward()
    assert x.grad.tolist() == [20.0]


# --- gradients() ----------------------------------------------------------------------------------


def test_gradients_writes_nothing_to_grad() -> None:
    x = leaf(3.0)
    found: Any = ag.gradients(x * x, x)
    assert found[0].tolist() == [6.0]
    assert x.grad is None


def test_gradients_of_weighted_outputs_by_any_tensor() -> None:
    x = leaf(1.0, 2.0)
    middle = x * x
    found: Any = ag.gradients(
        [middle * 3, x], [middle, x], [np.array([1.0, 2]), np.array([10.0, 20])]
    )
    assert [g.tolist() for g in found] == [[3.0, 6.0], [16.0, 44.0]]


def test_gradients_of_an_input_that_is_not_used() -> None:
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match=r"do not depend on input 1; allow_unused=True"):
        ag.gradients(x * x, [x, other], retain_graph=True)
    found: Any = ag.gradients(x * x, [x, other], allow_unused=True)
    assert found[0].tolist() == [2.0]
    assert found[1] is None


def test_gradients_visits_only_what_lies_between() -> None:
    x, other, seen = leaf(1.0), leaf(1.0), []
    aside = other * other
    aside.register_hook(lambda gradient: seen.append(gradient))
    ag.gradients(x * aside, x)
    assert not seen
