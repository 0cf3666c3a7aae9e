"""Tensors that leave the step of a compiled scan, in a list for example, are usable afterwards."""

import contextlib
import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, same, values
from effects import plain, run
from helpers import on_host

import autograd as ag

pytestmark = pytest.mark.filterwarnings("ignore:scan runs", "ignore::RuntimeWarning")

USES: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda t: 2 * t + t * t - t / 3,
    "operations": lambda t: ag.concatenate([ag.tanh(t), ag.exp(t)]).sum(0),
    "a product": lambda t: t @ t.T,
    "indexing": lambda t: t[0, 1:] * t[1:, [1, 0]],
    "numpy": lambda t: t.numpy(),
    "detach": lambda t: t.detach().numpy(),
    "asarray": lambda t: np.asarray(t.detach()),
    "functions of NumPy": lambda t: np.tanh(t),
    "item": lambda t: t[0, 0].item(),
    "tolist": lambda t: t.tolist(),
    "float": lambda t: float(t.sum()),
    "bool": lambda t: bool((t > -9).all()),
    "repr": repr,
    "comparison": lambda t: (t > 0.1).numpy(),
    "shape": lambda t: (t.shape, t.dtype, t.ndim, t.size, len(t), t.device),
    "data": lambda t: on_host(t),
    "copy": lambda t: copy.copy(t.detach()) + copy.deepcopy(t.detach()),
    "no_grad": lambda t: ag.no_grad()(lambda: t * 2 + 1)(),
    "stack": lambda t: ag.stack([t, t]),
    "an in-place write": lambda t: operator.iadd(t.detach() * 1, 1),
    "as a carry": lambda t: ag.scan(
        lambda h, x: (ag.tanh(h + x), h), t.detach(), ag.ones((4, B, H))
    ),
    "as xs": lambda t: ag.scan(lambda h, x: (ag.tanh(h + x), h), ag.zeros(H, float), t.detach()),
    "captured": lambda t: ag.scan(
        lambda h, x: (h * t.detach() + x, h), t.detach() + 1, ag.ones((3, 1), float)
    ),
}


def leaked(compile: bool | None, record: bool) -> list[Any]:
    """Return the inner tensors, carries and inputs that a step appends to a list."""
    tensors: list[Any] = []

    def step(W: Any, h: Any, x: Any) -> Any:
        new, y = plain(W, h, x)
        tensors.extend([new, y, h, x, h @ W])
        return new, y

    W, h, xs = values(H, H), values(B, H), values(T, B, H)
    with contextlib.nullcontext() if record else ag.no_grad():
        ag.scan(lambda h, x: step(W, h, x), h, xs, compile=compile)
    return tensors


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_tensors_that_leave_a_step_are_usable(use: Any, record: bool) -> None:
    actual, expected = leaked(None, record), leaked(False, record)
    assert len(actual) in (5, 10, 5 * T)
    for one, other in zip(actual, expected, strict=False):
        if use is repr:
            assert repr(one.detach()) == repr(other.detach())
            assert repr(one)
        else:
            same(ag.tree_map(without_history, use(one)), ag.tree_map(without_history, use(other)))


def without_history(value: Any) -> Any:
    return value.detach() if isinstance(value, ag.Tensor) else value


def test_the_backward_pass_of_a_tensor_that_leaves_a_step_is_right_or_an_error() -> None:
    def gradients(compile: bool | None) -> Any:
        tensors: list[Any] = []
        W, h, xs = values(H, H), values(B, H), values(T, B, H)

        def step(h: Any, x: Any) -> Any:
            new, y = plain(W, h, x)
            tensors.append(new)
            return new, y

        ag.scan(step, h, xs, compile=compile)
        try:
            return ag.gradients(tensors[0].sum(), [W], allow_unused=True)[0]
        except (RuntimeError, ValueError):
            return None

    found = gradients(None)
    if found is not None:
        same(found, gradients(False))


def test_tensors_that_leave_a_step_hold_no_trace() -> None:
    """Tensors of several calls work together, also in a second scan."""
    tensors: list[Any] = []

    def step(W: Any, h: Any, x: Any) -> Any:
        previous = tensors[-1] if tensors else ag.zeros((B, H), float)
        new, y = plain(W, h + 0 * previous, x)
        tensors.append(new.detach())
        return new, y

    for _ in range(3):
        same(run(step), run(plain, False))
    assert np.isfinite(on_host(sum(tensors[1:], tensors[0]))).all()
