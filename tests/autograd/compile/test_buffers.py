"""Buffer allocation: which values share a buffer, and which must not."""

from typing import Any

import numpy as np
import pytest
from graphs import GraphBuilder
from loop_graphs import CONCATENATE, GETITEM, GRAPHS, LINEAR, MATMUL, REVERSED, B, H, graphs

import autograd as ag
from autograd.compile.buffers import Buffer, LoopBuffers, allocate_histories, allocate_loop
from autograd.compile.ir import producers
from autograd.compile.schedule import Schedule, build_schedule

pytestmark = pytest.mark.host


def allocation(schedule: Schedule, backward: bool) -> tuple[LoopBuffers, list[Buffer]]:
    buffers: list[Buffer] = []

    def new_buffer(kind: Any, shape: Any, dtype: Any, extra_steps: int = 0) -> Buffer:
        buffers.append(Buffer(len(buffers), kind, shape, dtype, extra_steps))
        return buffers[-1]

    histories = allocate_histories(schedule, new_buffer)
    loop = schedule.backward if backward else schedule.forward
    assert loop is not None
    return (
        allocate_loop(loop, schedule.producers, histories, {}, new_buffer, backward=backward),
        buffers,
    )


def forward_allocation(b: GraphBuilder, carry: Any, new_carry: Any, xs: Any = ()) -> Any:
    graph = b.forward(carry, new_carry, xs)
    return allocation(build_schedule(graph, None), False)[0].locations["step"]


def test_elementwise_results_overwrite_their_argument() -> None:
    b = GraphBuilder()
    h = b.value(B, H)
    first = b.op(ag.exp, h)
    second = b.op(ag.sin, first)
    third = b.op(ag.negative, second)
    places = forward_allocation(b, [h], [third])
    assert places[first] == places[second]
    assert places[third].offset == 1  # the carry of the next step


def test_products_and_reversed_views_do_not_overwrite() -> None:
    b = GraphBuilder()
    h, W = b.value(B, H), b.constant(np.eye(H))
    first = b.op(ag.exp, h)
    product = b.op(LINEAR, first, W)
    mirrored = b.op(GETITEM, product, index=(slice(None), slice(None, None, -1)))
    total = b.op(ag.add, product, mirrored)
    places = forward_allocation(b, [h], [b.op(ag.negative, total)])
    assert places[first] != places[product]
    assert places[product] != places[total]
    assert places[first] == places[total]  # which is not read any more


def test_values_that_are_read_again_keep_their_buffer() -> None:
    b = GraphBuilder()
    h = b.value(B, H)
    first = b.op(ag.exp, h)
    second = b.op(ag.sin, first)
    third = b.op(ag.multiply, first, second)
    places = forward_allocation(b, [h], [b.op(ag.negative, third)])
    assert places[first] != places[second]
    assert places[third] in (places[first], places[second])


def test_a_carried_gradient_is_overwritten_after_its_last_reader() -> None:
    def places(reads_again: bool) -> tuple[Any, Any]:
        b = GraphBuilder()
        h, c, w = (b.value(B, H) for _ in range(3))
        graph = b.forward([h, c], [c, h], [], [w])
        g, k = b.value(B, H), b.value(B, H)
        d = b.op(ag.multiply, g, w)
        e = b.op(ag.add, k, b.op(ag.sin, g if reads_again else d))
        schedule = build_schedule(graph, b.backward([g, k], [d, e], [], [], [None]))
        locations = allocation(schedule, True)[0].locations["step"]
        return locations[g], locations[d]

    old, new = places(reads_again=True)
    assert old != new
    old, new = places(reads_again=False)
    assert old == new


def test_sections_of_a_concatenation_have_no_other_reader() -> None:
    def sections(reads_again: bool) -> Any:
        b = GraphBuilder()
        h = b.value(B, H)
        first, second = b.op(ag.exp, h), b.op(ag.sin, h)
        whole = b.op(CONCATENATE, first, second, axis=1)
        result = b.op(GETITEM, whole, index=(slice(None), slice(0, None, 2)))
        result = b.op(ag.add, result, first) if reads_again else b.op(ag.exp, result)
        graph = b.forward([h], [result])
        found = allocation(build_schedule(graph, None), False)[0].sections
        return {value: (s.start, s.stop) for value, s in found.items()}, first, second

    found, first, second = sections(reads_again=False)
    assert found == {first: (0, H), second: (H, 2 * H)}
    found, _, second = sections(reads_again=True)
    assert found == {second: (H, 2 * H)}


def test_gradients_of_weights_are_products_over_blocks() -> None:
    graph, backward = graphs("elman")
    schedule = build_schedule(graph, backward)
    found, buffers = allocation(schedule, True)
    d_W, d_U = backward.d_captures
    (gradient,) = {a for a, _ in found.products.values()}
    assert found.products == {d_W: (gradient, graph.xs[0]), d_U: (gradient, graph.carry[0])}
    (block,) = [buffer for buffer in buffers if buffer.kind == "block"]
    assert found.locations["block"][gradient].buffer is block
    assert found.locations["step"][gradient].buffer is block


def test_products_that_are_read_at_a_step_are_computed_at_a_step() -> None:
    b = GraphBuilder()
    h, x = b.value(H, H), b.value(H, H)
    graph = b.forward([h], [b.op(ag.multiply, h, x)], [x], [w := b.value(H, H)])
    g = b.value(H, H)
    product = b.op(MATMUL, b.op(REVERSED, x), h)
    d = b.op(ag.add, g, b.op(ag.multiply, product, w))
    schedule = build_schedule(graph, b.backward([g], [d], [], [None], [product]))
    assert allocation(schedule, True)[0].products == {}


@pytest.mark.parametrize("name", GRAPHS)
def test_buffers_have_the_shape_and_dtype_of_their_values(name: str) -> None:
    schedule = build_schedule(*graphs(name))
    computed = producers([*schedule.forward.ops, *schedule.graph.ops])
    for backward in (False, True):
        found, _ = allocation(schedule, backward)
        for span, locations in found.locations.items():
            for value, location in locations.items():
                buffer = location.buffer
                assert (buffer.shape, buffer.dtype) == (value.shape, value.dtype)
                if span == "block":
                    assert buffer.kind in ("history", "block")
                assert location.offset == 0 or value in computed
