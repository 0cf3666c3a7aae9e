"""Schedules: the section of each operation, and the residuals."""

from dataclasses import replace
from typing import Any

import pytest
from graphs import GraphBuilder
from loop_graphs import (
    BROADCAST,
    GETITEM,
    LINEAR,
    RESHAPE,
    SCATTER,
    SPLIT,
    SUM,
    TAKE,
    B,
    H,
    I,
    graphs,
)

import autograd as ag
from autograd.compile.ir import producers
from autograd.compile.schedule import (
    LoopSchedule,
    along_time,
    build_schedule,
    is_view,
    root,
    with_forward_ops,
)

pytestmark = pytest.mark.host


def names(ops: Any) -> list[str]:
    return [op.primitive.name for op in ops]


def sections(loop: LoopSchedule) -> list[list[str]]:
    return [names(ops) for ops in (loop.hoisted, loop.prologue, loop.body, loop.epilogue)]


def test_sections_of_the_forward_pass() -> None:
    b = GraphBuilder()
    h, x, w, W = b.value(B, H), b.value(B, I), b.value(B, H), b.value(H, I)
    scale = b.op(ag.exp, w)
    a = b.op(ag.multiply, b.op(LINEAR, x, W), scale)
    new = b.op(ag.tanh, b.op(ag.add, h, a))
    y = b.op(ag.cos, new)
    b.op(ag.sin, new)  # no result depends on it
    schedule = build_schedule(b.forward([h], [new], [x], [w, W], [y]), None)
    linear = LINEAR.primitive.name
    expected = [["exp"], [linear, "multiply"], ["add", "tanh"], ["cos"]]
    assert sections(schedule.forward) == expected
    assert schedule.forward.varying.isdisjoint({w, W, scale})
    assert schedule.backward is None
    assert schedule.residuals == ()


def test_operations_without_a_form_over_time_run_step_by_step() -> None:
    b = GraphBuilder()
    h, x, weight = b.value(B, H), b.value(B, I), b.value(H, I)
    product = b.op(LINEAR, x, weight)  # the weight varies
    graph = b.forward([h], [b.op(ag.add, h, b.op(ag.exp, product))], [x, weight])
    assert sections(build_schedule(graph, None).forward)[1] == []


def test_residuals_are_no_views_and_vary() -> None:
    b = GraphBuilder()
    h, x, w = b.value(B, H), b.value(B, H), b.value(B, H)
    scale = b.op(ag.exp, w)
    new = b.op(ag.tanh, b.op(ag.multiply, h, scale))
    part, _ = b.op(SPLIT, new, indices=(1,), axis=1)
    graph = b.forward([h], [b.op(ag.add, new, x)], [x], [w])
    g = b.value(B, H)
    wide = b.op(BROADCAST, part, shape=(B, H))
    d = b.op(ag.multiply, b.op(ag.multiply, g, wide), scale)
    backward = b.backward([g], [d], [], [d], [None])
    schedule = build_schedule(graph, backward)
    assert schedule.residuals == (new,)
    assert schedule.backward is not None
    assert names(schedule.backward.hoisted) == ["exp"]  # again, instead of a residual


def test_gradients_that_nothing_requests_are_not_scheduled() -> None:
    graph, backward = graphs("gates")
    absent = replace(backward, d_carry=(None, None), d_xs=(None,), d_captures=(None,))
    schedule = build_schedule(graph, absent)
    assert schedule.backward is None
    assert schedule.residuals == ()


def test_rewritten_operations_are_scheduled_again() -> None:
    b = GraphBuilder()
    h, x = b.value(B, H), b.value(B, H)
    new = b.op(ag.add, h, b.op(ag.sin, x))
    schedule = build_schedule(b.forward([h], [new], [x]), None)
    assert sections(schedule.forward) == [[], ["sin"], ["add"], []]
    after_carry = b.op(ag.multiply, h, h)
    (multiply,) = b.ops
    addition = replace(schedule.graph.ops[1], args=(after_carry, x))
    rewritten = with_forward_ops(schedule, [multiply, addition])
    assert sections(rewritten.forward) == [[], [], ["multiply", "add"], []]
    assert rewritten.graph.ops == (multiply, addition)


@pytest.mark.parametrize("index", ["varies", "invariant", "slice"])
def test_scatters_over_many_steps(index: str) -> None:
    """One scatter-add over many steps needs index arrays that vary."""
    b = GraphBuilder()
    h, n, k = b.value(B, H), b.value(B, dtype="int64"), b.value(B, dtype="int64")
    graph = b.forward([h], [b.op(ag.exp, h)], [n], [k])
    g = b.value(B, H)
    where: Any = {"varies": n, "invariant": k, "slice": slice(0, B)}[index]
    d = b.op(SCATTER, g, index=where, shape=(5, H))
    schedule = build_schedule(graph, b.backward([g], [g], [], [None], [d]))
    assert schedule.backward is not None
    assert schedule.backward.scattered == ({d} if index == "varies" else set())


def test_views_and_roots() -> None:
    b = GraphBuilder()
    h = b.value(2, 3)
    flat = b.op(RESHAPE, h, shape=(6,))
    part = b.op(GETITEM, flat, index=slice(0, 6, 2))
    again = b.op(RESHAPE, part, shape=(1, 3))
    rows = b.op(TAKE, h, indices=b.value(2, dtype="int64"), axis=0)
    produced_by = producers(b.ops)
    assert [is_view(produced_by[v], produced_by) for v in (flat, part, again, rows)] == [
        *(True, True),
        False,  # a reshaped view may be a copy
        False,
    ]
    assert not is_view(None, produced_by)
    assert root(part, produced_by) is h
    assert root(again, produced_by) is again


def test_static_parameters_over_time() -> None:
    b = GraphBuilder()
    h, n, table = b.value(B, H), b.value(B, dtype="int64"), b.value(7, H)
    varying = {h, n}

    def static(operation: Any, *args: Any, **parameters: Any) -> Any:
        b.op(operation, *args, **parameters)
        return along_time(b.ops[-1], varying)

    assert static(SUM, h, axes=(1,), keepdims=True) == {"axes": (2,), "keepdims": True}
    assert static(SPLIT, h, indices=(1,), axis=1) == {"indices": (1,), "axis": 2}
    assert static(GETITEM, h, index=0) == {"index": (slice(None), 0)}
    assert static(TAKE, table, indices=n, axis=0) == {"indices": n, "axis": 0}
    assert static(TAKE, h, indices=n, axis=0) is None
    assert static(GETITEM, table, index=(n,)) is None
