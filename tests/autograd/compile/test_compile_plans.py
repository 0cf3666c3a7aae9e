"""Caches and warnings of the compiler: its plans know no data, its caches are bounded, its warnings
come once, and what interrupts a run leaves nothing broken behind.
"""

import functools
import gc
import random
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from compiled import B, H, T, check, of_steps, outcome, problem, same, values, weighted
from helpers import at_once, on_device

import autograd as ag
from autograd import compile as compiler
from autograd.compile import cache
from autograd.compile.executors import workspace
from tinygrad_rnn import nn

rnn = of_steps(lambda W, h, x: (ag.tanh(h @ W + x), h))


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """Each test begins without plans, and without anything said, whatever ran before."""
    with (
        mock.patch.object(cache, "plans", cache.Cache()),
        mock.patch.object(cache, "families", cache.Cache()),
        mock.patch.object(cache, "eager_codes", cache.Cache()),
        mock.patch.object(cache, "known_codes", cache.Cache()),
        mock.patch.object(compiler, "_warned", cache.Cache()),
    ):
        yield


def warned(run: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(one.message) for one in caught]


# --- warnings -------------------------------------------------------------------------------------


def test_a_step_that_is_recorded_says_so_once() -> None:
    def reads(W: Any, h: Any, x: Any) -> Any:
        return ag.tanh(h @ W) * h.max().item(), h

    make = of_steps(reads)
    with pytest.warns(UserWarning, match=r"runs .* eagerly: .*host.* compile=False") as caught:
        ag.scan(*make()[:3])
    assert caught[0].filename == __file__
    assert warned(lambda: make().scan()) == []


def test_no_warning_where_it_is_wanted_or_could_not_be_otherwise() -> None:
    def reads(h: Any, x: Any) -> Any:
        return ag.tanh(h) * h.max().item(), h

    h, xs = values(B, H), values(T, B, H)
    assert warned(lambda: ag.scan(reads, h, xs, compile=False)) == []
    assert warned(lambda: ag.scan(reads, h, xs[:1])) == []
    assert warned(lambda: ag.scan(lambda h, x: (h * x, h), h[:0], xs[:, :0])) == []
    with ag.detect_anomaly():
        assert warned(lambda: ag.scan(reads, h, xs)) == []

    def inner(h: Any, x: Any) -> Any:
        return ag.scan(lambda c, r: (ag.tanh(c + r), c), h, ag.stack([x, x]))

    assert warned(lambda: ag.scan(inner, h, xs)) == []

    def fails(h: Any, x: Any) -> Any:
        raise KeyError("custom")

    def failing() -> None:
        with pytest.raises(KeyError) as caught:
            ag.scan(fails, h, xs)
        assert caught.value.__context__ is None

    assert warned(failing) == []


# --- what is kept ---------------------------------------------------------------------------------


@pytest.mark.host
def test_plans_hold_nothing_of_those_who_use_them() -> None:
    """Neither tensors nor their arrays nor nodes nor the step, without the garbage collector."""

    def used() -> list[Any]:
        W, h, xs, mask = values(H, H), values(B, H), values(T, B, H), on_device(np.ones(H))

        def step(h: Any, x: Any) -> Any:
            return ag.tanh(h @ (W @ W.T) + x) * mask, h

        carry, ys = ag.scan(step, h, xs)
        assert ag.explain(step, h, xs).compiled
        (carry.sum() + ys.sum()).backward()
        tensors = [W, h, xs, carry, ys]
        return [weakref.ref(x) for x in (*tensors, *[t.data for t in tensors], mask, step)]

    gc.collect()
    gc.disable()
    try:
        assert [ref() for ref in used() if ref() is not None] == []
    finally:
        gc.enable()


def test_caches_are_bounded() -> None:
    with (
        mock.patch.object(cache, "MAX_PLANS", 3),
        mock.patch.object(cache, "plans", cache.Cache()) as plans,
        mock.patch.object(cache, "known_codes", cache.Cache()) as codes,
        mock.patch.object(compiler, "_warned", cache.Cache()) as said,
    ):
        for n in range(8):
            W, h, xs = values(n + 1, n + 1), values(2, n + 1), values(3, 2, n + 1)
            names = {"ag": ag, "W": W}
            ag.scan(eval("lambda h, x: (ag.tanh(h @ W + x), h)", names), h, xs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ag.scan(eval(f"lambda h, x: (h, ({'x, ' * n} {n}))", names), h, xs)
        assert len(plans) == 3
        assert all(len(cache) <= 3 for cache in (codes, said))


def test_unused_workspaces_are_few() -> None:
    """A workspace serves several lengths; as many exist as were in use at a time."""
    pool = workspace._unused
    pool.clear()
    graphs = [rnn().scan() for _ in range(3)]
    assert pool == []
    graphs.clear()
    assert len(pool) == 3
    outcome(rnn())
    assert len(pool) == 3
    for steps in (T - 1, T + 1, T + 2):
        outcome(rnn()._replace(xs=values(steps, B, H), inputs=[]))
    assert len(pool) == 3
    outcome(rnn()._replace(xs=values(3 * T, B, H), inputs=[]))
    assert sorted(w.layout.capacity for w in pool) == [8, 8, 8, 32]
    with mock.patch.object(workspace, "POOL_BYTES", pool[-1].nbytes):
        outcome(rnn()._replace(xs=values(3 * T, B, H), inputs=[]))
        assert [w.layout.capacity for w in pool] == [32]
    with mock.patch.object(workspace, "POOL_BYTES", 0):
        outcome(rnn())
    assert [w.layout.capacity for w in pool] == [32]


# --- interruptions and threads --------------------------------------------------------------------


class Interrupted(BaseException):
    pass


def raising(*_: Any, **__: Any) -> Any:
    raise Interrupted


@pytest.mark.parametrize("loop", [0, 1])
@pytest.mark.parametrize("after", [0, 2])
def test_an_interrupted_run_leaves_nothing_broken(loop: int, after: int) -> None:
    one = rnn()
    expected = outcome(one, False)
    same(outcome(one), expected)
    ((calls, _),) = workspace._unused[-1].loops[loop]._bodies.values()
    ((calls, _),) = workspace._unused[-1].loops[loop]._bodies.values()
    place = -1 - after if loop else after  # a backward pass of few steps runs the last calls
    real, calls[place] = calls[place], (raising, ())
    with pytest.raises(Interrupted):
        outcome(one)
    calls[place] = real
    same(outcome(one), expected)


def test_an_interrupted_trace_leaves_the_engine_usable() -> None:
    seen: list[int] = []

    def step(h: Any, x: Any) -> Any:
        seen.append(1)
        raise Interrupted

    with pytest.raises(Interrupted):
        ag.scan(step, values(B, H), values(T, B, H))
    assert seen == [1]
    one = rnn()
    with ag.no_grad():
        one.xs[0] = 0.0  # nothing refuses writes any more
    check(rnn)


@pytest.mark.host
def test_threads_that_meet_a_step_for_the_first_time_at_once() -> None:
    W = values(5, 5)
    carry, xs = values(B, 5), values(T, B, 5)
    one = problem(lambda h, x: (ag.tanh(h @ W + x), h))
    one = one._replace(carry=carry, xs=xs, inputs=[W, carry, xs])
    expected, found = outcome(one, False), []
    at_once([lambda: found.append(outcome(one)) for _ in range(6)])
    same(found, [expected] * 6)


@pytest.mark.host
def test_threads_that_go_back_through_one_graph_at_once() -> None:
    one = rnn()
    expected = outcome(one, False)[1]
    carry, ys = one.scan()
    out = [carry, ys]
    found: list[Any] = []

    def work(factor: float) -> None:
        total = weighted(out) * factor
        for _ in range(20):
            slopes = ag.gradients(total, one.inputs, retain_graph=True)
            found.append([slope / factor for slope in slopes])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        at_once([functools.partial(work, factor) for factor in (1.0, 2.0, -3.0, 0.5)])
    finally:
        sys.setswitchinterval(interval)
    for slopes in found:
        same(slopes, expected)


# --- state that a step can reach ------------------------------------------------------------------

COUNT = 0


def counts_globally(h: Any) -> Any:
    global COUNT
    COUNT += 1
    return h * COUNT


def reaching(kept: Any, use: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    return lambda h: use(kept, h)


REACHED: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "a global": lambda: counts_globally,
    "NumPy's generator": lambda: reaching(
        np.random.default_rng(0), lambda kept, h: h * on_device(kept.random(H))
    ),
    "an old one of NumPy's": lambda: reaching(
        np.random.RandomState(0),
        lambda kept, h: h * on_device(kept.randn(H)),
    ),
    "Python's generator": lambda: reaching(random.Random(0), lambda kept, h: h * kept.random()),
}


@pytest.mark.parametrize("make", REACHED.values(), ids=REACHED)
def test_state_that_is_reached_in_other_ways(make: Any) -> None:
    def results(compile: bool | None) -> Any:
        global COUNT
        COUNT = 0
        use = make()
        one = of_steps(lambda W, h, x: (ag.tanh(use(h) @ W + x), h))()
        return [outcome(one, compile), outcome(one, compile)], COUNT

    use = make()
    assert not of_steps(lambda W, h, x: (use(h) @ W, h))().explain().compiled
    same(results(None), results(False))


def test_large_collections_in_reach_do_not_hinder() -> None:
    data = [[n] for n in range(20_000)]
    check(of_steps(lambda W, h, x: (ag.tanh(h @ W + x) * data[1][0], h)))
    assert of_steps(lambda W, h, x: (ag.tanh(h @ W + x) * data[1][0], h))().explain().compiled


# --- explain --------------------------------------------------------------------------------------


def test_an_explanation_reads_like_the_plan() -> None:
    W = values(H, H)
    one = problem(lambda h, x: (ag.tanh(h @ W + ag.sin(x @ W.T)), ag.cos(h)), W)
    text = str(one.explain())
    before, rest = text.split("forward, at every step")
    stepwise, after = rest.split("forward, for all steps of a chunk at once, after its loop")
    assert "sin" in before
    assert "tanh" in stepwise
    assert "sin" not in stepwise
    assert "cos" in after
    assert "residuals: " in after
    assert "history" in after
    assert "backward, from the last step" in after
    with ag.no_grad():
        assert "backward, from the last step" not in str(one.explain())


def test_explaining_changes_nothing() -> None:
    one = of_steps(lambda W, h, x: (nn.functional.dropout(h, 0.5) @ W + x, h))()
    before = ag.random.get_state()
    explanation = one.explain()
    assert len(repr(explanation).splitlines()) == len(str(explanation).splitlines()) == 1
    assert ag.random.get_state() == before


def test_layers_say_whether_they_compile() -> None:
    assert "compile" not in repr(nn.LSTM(2, 3))
    assert "compile=False" in repr(nn.LSTM(2, 3, compile=False))
    assert "compile=True" in repr(nn.Recurrent(nn.GRUCell(2, 3), compile=True))
