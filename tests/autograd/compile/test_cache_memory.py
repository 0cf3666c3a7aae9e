"""Memory of the caches of compiled scans: no references to data, and few entries."""

import gc
import warnings
import weakref
from typing import Any
from unittest import mock

import numpy as np
import pytest
from compiled import B, H, T, outcome, values, weighted_problems
from helpers import on_device

import autograd as ag
from autograd import compile as compiler
from autograd.compile import cache
from autograd.compile.executors import workspace

rnn = weighted_problems(lambda W, h, x: (ag.tanh(h @ W + x), h))


@pytest.mark.host
def test_plans_hold_no_references_to_the_data_of_calls() -> None:
    """Tensors, arrays, nodes and the step are freed without the garbage collector."""

    def references() -> list[Any]:
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
        assert [ref() for ref in references() if ref() is not None] == []
    finally:
        gc.enable()


def test_caches_are_bounded() -> None:
    with (
        mock.patch.object(cache, "MAX_PLANS", 3),
        mock.patch.object(cache, "plans", cache.Cache()) as plans,
        mock.patch.object(cache, "known_codes", cache.Cache()) as codes,
        mock.patch.object(compiler, "_warned", cache.Cache()) as warned,
    ):
        for n in range(8):
            W, h, xs = values(n + 1, n + 1), values(2, n + 1), values(3, 2, n + 1)
            names = {"ag": ag, "W": W}
            ag.scan(eval("lambda h, x: (ag.tanh(h @ W + x), h)", names), h, xs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ag.scan(eval(f"lambda h, x: (h, ({'x, ' * n} {n}))", names), h, xs)
        assert len(plans) == 3
        assert all(len(cache) <= 3 for cache in (codes, warned))


def test_unused_workspaces_are_few() -> None:
    """A workspace serves several lengths, and the pool has as many as were in use at a time."""
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
