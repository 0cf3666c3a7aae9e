"""Side effects of the steps of compiled scans.

A step that reads a value on the host, or does anything else that a graph cannot hold, runs eagerly:
each side effect happens exactly once per step, in order. A step whose side effects cannot be
detected is compiled, and its effects happen in the traced steps only. In no case is the content of
an object damaged or restored.
"""

import contextlib
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, gradients_of, same, values
from effects import EFFECTS, STATES, calls, plain, run
from helpers import on_device, on_host

import autograd as ag

pytestmark = pytest.mark.filterwarnings("ignore:scan runs", "ignore::RuntimeWarning")

names = pytest.mark.parametrize("name", EFFECTS)


@names
def test_effects_of_a_compiled_step_happen_in_the_traced_steps_only(name: str) -> None:
    expected = run(plain, False)
    counts = []
    for used in (1, 2, 3):
        act, state = EFFECTS[name]()

        def step(W: Any, h: Any, x: Any, act: Any = act) -> Any:
            act()
            return plain(W, h, x)

        inputs = values(H, H), values(B, H), values(T, B, H)
        for _ in range(used):
            same(run(step, inputs=inputs), expected)
        counts.append(state())
    if name in ("call a cached function", "move in an ordered dict", "pop from a list"):
        return  # the state does not determine the number of calls
    if name == "append to a deque":
        assert all(item == 0 for items in counts for item in items)
        return
    once, twice, three_times = (calls(name, state) for state in counts)
    assert once in (0, 1, 2, T)
    assert twice - once in (0, 1, 2, T)
    assert three_times - twice in (0, 1, T)


@names
def test_contents_are_neither_damaged_nor_restored(name: str) -> None:
    """The object works as before, and a second scan continues where the first one ended."""
    act, state = EFFECTS[name]()
    seen = []

    def step(W: Any, h: Any, x: Any) -> Any:
        act()
        seen.append(None)
        return plain(W, h, x)

    run(step)
    act()
    run(step)
    calls_made = len(seen) + 1
    assert state() == STATES[name](calls_made)


# --- flags: what makes a step run eagerly ---------------------------------------------------------


def swallow(function: Callable[[], Any]) -> Any:
    """Return the result of a function, or None, whatever it raises."""
    try:
        return function()
    except:  # noqa: E722
        return None


def write(tensor: Any) -> None:
    with ag.no_grad():
        tensor *= 0.5


def write_items(tensor: Any) -> None:
    with ag.no_grad():
        tensor[..., 0] = 0.25


def inner_backward(h: Any) -> Any:
    leaf = h.detach().requires_grad_()
    with ag.enable_grad():
        ag.tanh(leaf * leaf).sum().backward()
    return leaf.grad


def anomaly(h: Any) -> Any:
    with ag.detect_anomaly():
        return ag.sin(h)


FLAGS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "float, with a bare except": lambda h, x, o: swallow(lambda: float(h.sum())) or 1.0,
    "item, with a bare except": lambda h, x, o: swallow(lambda: h.max().item()) or 1.0,
    "int, with a bare except": lambda h, x, o: swallow(lambda: 1 + int(9 * x.max())) or 0.5,
    "bool, with a bare except": lambda h, x, o: 0.5 if swallow(lambda: bool(h.sum() > 0)) else 2.0,
    "tolist, with a bare except": lambda h, x, o: (swallow(h.tolist) or [[1.0]])[0][0],
    "numpy, with a bare except": lambda h, x, o: on_device(
        swallow(h.detach().numpy) * 2 if swallow(h.detach().numpy) is not None else np.ones(H)
    ),
    "asarray, with a bare except": lambda h, x, o: (
        1.0 if swallow(lambda: np.asarray(h.detach())) is None else 0.5
    ),
    "index, with a bare except": lambda h, x, o: (
        swallow(lambda: [0.3, 0.6, 0.9][(h.sum() > 0).astype("int64")]) or 0.1
    ),
    "dlpack, with a bare except": lambda h, x, o: (
        1.0 if swallow(h.detach().__dlpack__) is None else 0.5
    ),
    "data": lambda h, x, o: 0.5 if isinstance(h.data, type(o.data)) else 2.0,
    "data of x": lambda h, x, o: float(on_host(x).max()),
    "repr": lambda h, x, o: 0.5 if "0." in repr(h) else 2.0,
    "str": lambda h, x, o: len(str(h)) / 100,
    "format": lambda h, x, o: len(f"{h.sum().detach():.3f}") / 10,
    "in": lambda h, x, o: 0.5 if 7.0 in h[0] else 1.5,
    "sorted": lambda h, x, o: sorted([h[0, 0], x[0, 0]])[0],
    "while": lambda h, x, o: next(n for n in itertools.count(1) if not h.sum() > n) * 0.5,
    "requires_grad of the carry": lambda h, x, o: 0.5 if h.requires_grad else 2.0,
    "requires_grad of a carry without a history": lambda h, x, o: 0.5 if h.requires_grad else 2.0,
    "requires_grad of x": lambda h, x, o: 0.5 if x.requires_grad else 2.0,
    "requires_grad of a result": lambda h, x, o: 0.5 if (h * x).requires_grad else 2.0,
    "is_leaf": lambda h, x, o: 0.5 if h.is_leaf else 2.0,
    "grad": lambda h, x, o: 0.5 if swallow(lambda: h.grad) is None else 2.0,
    "an inner backward": lambda h, x, o: inner_backward(h),
    "an in-place write to the carry": lambda h, x, o: write(h) or 0.5,
    "an in-place write to x": lambda h, x, o: write(x) or 0.5,
    "an in-place write to items of the carry": lambda h, x, o: write_items(h) or 0.5,
    "an in-place write to an outer tensor": lambda h, x, o: write(o) or o + 0,
    "an in-place write to items of an outer tensor": lambda h, x, o: write_items(o) or o + 0,
    "detect_anomaly": lambda h, x, o: anomaly(h),
    "a number of random": lambda h, x, o: random.random(),
    "a number of NumPy": lambda h, x, o: float(np.random.random()),  # noqa: NPY002
    "numbers of NumPy": lambda h, x, o: on_device(np.random.random(H)),  # noqa: NPY002
    "Gaussian numbers": lambda h, x, o: random.gauss(),
}


def flagged(flag: Any, act: Callable[[], Any], compile: bool | None, record: bool) -> Any:
    """Run a step with a flag and an effect twice. Return the results, and the tensors."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    W, h, xs, outer = values(H, H), values(B, H), values(T, B, H), values(H, seed=3)
    if flag is FLAGS["requires_grad of a carry without a history"]:
        h = h.detach()

    def step(h: Any, x: Any) -> Any:
        factor = flag(h, x, outer)
        act()
        h = ag.tanh(h @ W + x) * factor
        return h, h * x

    found: list[Any] = []
    with contextlib.nullcontext() if record else ag.no_grad():
        for _ in range(2):
            out = ag.scan(step, h, xs, compile=compile)
            found.append((out, gradients_of(out, [W, h, xs]) if record else None))
    return found, [on_host(t).copy() for t in (h, xs, outer)]


@pytest.mark.parametrize("flag", FLAGS.values(), ids=FLAGS)
def test_a_flagged_step_runs_eagerly(flag: Any) -> None:
    """Its results, writes and number of calls are those of eager execution."""
    record = "write" not in str(flag.__code__.co_names)  # which recorded tensors refuse
    counts = []
    found = []
    for compile in (None, False):
        count = itertools.count()
        found.append(flagged(flag, lambda count=count: next(count), compile, record))
        counts.append(next(count))
    assert counts == [2 * T, 2 * T]
    same(found[0][0], found[1][0])
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)


COMMON_FLAGS = {
    name: FLAGS[name]
    for name in ("float, with a bare except", "requires_grad of the carry", "repr")
}


@names
@pytest.mark.parametrize("flag", COMMON_FLAGS.values(), ids=COMMON_FLAGS)
def test_each_effect_of_a_flagged_step_happens_once_per_step(name: str, flag: Any) -> None:
    act, state = EFFECTS[name]()

    def step(W: Any, h: Any, x: Any) -> Any:
        act()
        return plain(W, h * flag(h, x, None), x)

    def step_that_acts_last(W: Any, h: Any, x: Any) -> Any:
        out = plain(W, h * flag(h, x, None), x)
        act()
        return out

    run(step)
    run(step_that_acts_last, lengths=[T, 1, 3])
    run(step)
    assert state() == STATES[name](3 * T)


@pytest.mark.parametrize("flag", COMMON_FLAGS.values(), ids=COMMON_FLAGS)
def test_effects_happen_in_order(flag: Any) -> None:
    """The numbers of the steps, and what a step sees of the effects of the steps before."""
    seen: list[Any] = []

    def step(W: Any, h: Any, x: Any) -> Any:
        seen.append((len(seen), float(on_host(x)[0, 0])))
        return plain(W, h * flag(h, x, None), x)

    xs = on_host(values(T, B, H))[:, 0, 0].tolist()
    run(step)
    run(step, reverse=True)
    assert seen == list(enumerate([*xs, *xs[::-1]]))


def test_hooks_of_inner_tensors_are_called_once_per_step() -> None:
    def results(compile: bool | None) -> Any:
        seen: list[Any] = []

        def step(W: Any, h: Any, x: Any) -> Any:
            new, y = plain(W, h, x)
            new.register_hook(lambda g: seen.append(on_host(g).copy()))
            return new, y

        out = run(step, compile)
        return out, seen

    actual, expected = results(None), results(False)
    assert len(actual[1]) == T
    same(actual, expected)


def test_inner_tensors_that_retain_their_gradients() -> None:
    def results(compile: bool | None) -> Any:
        inner_tensors: list[Any] = []

        def step(W: Any, h: Any, x: Any) -> Any:
            inner = ag.sin(h * x)
            inner.retain_grad()
            inner_tensors.append(inner)
            return plain(W, inner + h, x)

        W, h, xs = values(H, H), values(B, H), values(T, B, H)
        last, ys = ag.scan(lambda h, x: step(W, h, x), h, xs, compile=compile)
        (last.sum() + ys.sum()).backward()
        return [on_host(inner.grad) for inner in inner_tensors], W.grad

    actual, expected = results(None), results(False)
    assert len(actual[0]) == T
    same(actual, expected)


def test_an_inner_tensor_used_outside_of_a_flagged_step() -> None:
    """Its gradient is the one of eager execution, also at the first step."""

    def results(compile: bool | None) -> Any:
        inner_tensors: list[Any] = []
        W, h, xs = values(H, H), values(B, H), values(T, B, H)

        def step(h: Any, x: Any) -> Any:
            if h.requires_grad:
                inner_tensors.append(ag.sin(h @ W))
            return plain(W, h, x)

        last, _ = ag.scan(step, h, xs, compile=compile)
        total = sum((n + 1) * t.sum() for n, t in enumerate(inner_tensors)) + last.sum()
        return ag.gradients(total, [W, h, xs])

    same(results(None), results(False))


@pytest.mark.parametrize("compile", [None, False])
def test_an_exception_in_a_later_step_leaves_the_effects_of_the_steps_before(compile: Any) -> None:
    seen: list[int] = []
    last = float(on_host(values(T, B, H))[3, 0, 0])

    def step(W: Any, h: Any, x: Any) -> Any:
        seen.append(len(seen))
        if float(on_host(x)[0, 0]) == last:
            raise KeyError("custom")
        return plain(W, h, x)

    with pytest.raises(KeyError, match="custom"):
        run(step, compile)
    assert seen == [0, 1, 2, 3]


def test_an_exception_in_the_first_step_calls_it_once() -> None:
    for error in (KeyError("custom"), KeyboardInterrupt(), SystemExit()):
        seen: list[int] = []

        def step(W: Any, h: Any, x: Any, seen: list[int] = seen, error: Any = error) -> Any:
            seen.append(0)
            raise error

        with pytest.raises(type(error)):
            run(step)
        assert seen == [0]
        same(run(plain), run(plain, False))
