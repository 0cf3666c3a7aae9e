"""The instructions of loop programs."""

from typing import Any

import numpy as np
import pytest
from graphs import GraphBuilder
from loop_graphs import CONCATENATE, GRAPHS, MATMUL, TRANSPOSE, B, H, graphs

import autograd as ag
from autograd.compile.loop_program import Instruction, LoopProgram
from autograd.compile.lowering import lower
from autograd.compile.schedule import build_schedule

pytestmark = pytest.mark.host


def program(name: str) -> LoopProgram:
    return lower(build_schedule(*graphs(name)))


def kinds(instructions: tuple[Instruction, ...]) -> list[str]:
    return [one.primitive.name if one.primitive else one.kind for one in instructions]


def test_the_program_of_an_elman_network() -> None:
    elman = program("elman")
    forward, backward = elman.loops
    assert kinds(forward.hoisted) == ["copy"]  # the transposed recurrent weights
    assert kinds(forward.prologue) == ["dot"]
    assert kinds(forward.body) == ["dot", "add", "tanh"]
    assert kinds(forward.epilogue) == ["copy"]  # the output
    assert kinds(backward.prologue) == ["multiply", "subtract"]
    assert kinds(backward.body) == ["add", "multiply", "dot"]
    assert kinds(backward.epilogue) == ["dot"]  # the gradient of x, in the returned array
    assert kinds(backward.block) == ["add_product", "add_product"]
    assert backward.epilogue[0].outputs[0].buffer is elman.d_xs[0]
    lines = str(elman).split("\n")
    assert any(line.strip().startswith("history") and " + 1] = tanh(" in line for line in lines)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_body_reads_no_loop_invariant_argument(name: str) -> None:
    for loop in program(name).loops:
        for instruction in loop.body:
            for operand in instruction.operands:
                assert operand.buffer.kind not in ("capture", "output", "total")
                assert operand.span == ("whole" if operand.buffer.kind in FIXED else "step")


FIXED = ("hoisted", "constant")


@pytest.mark.parametrize("name", GRAPHS)
def test_instructions_read_buffers_that_have_been_written(name: str) -> None:
    """Each buffer is written before it is read: in an earlier section, pass or instruction."""
    found = program(name)
    arguments = [*found.xs, *found.captures, *found.carry, *[b for b, _ in found.constants]]
    written: set[Any] = {*arguments, *found.d_ys, *found.d_carry}
    for loop in found.loops:
        for instruction in loop.instructions:
            inputs = {x.buffer for x in instruction.operands} - {
                x.buffer for x in instruction.outputs
            }
            assert inputs <= written, instruction
            written.update(x.buffer for x in instruction.outputs)
    results = [*found.ys, *found.d_xs, *found.d_captures]
    assert {b for b in results if b is not None} <= written


def test_parts_of_a_concatenation_are_computed_in_their_place() -> None:
    _, backward = program("gates").loops
    wholes = [x for one in backward.body for x in one.outputs if x.views]
    starts = [view.argument[1].start for x in wholes for view in x.views]
    assert sorted(starts) == [0, H, 2 * H]  # one of them has other readers, too
    assert CONCATENATE.primitive not in [one.primitive for one in backward.body]


def test_swapped_gradients_go_through_a_temporary() -> None:
    swapped = program("swapped_carry")
    _, backward = swapped.loops
    copies = [one for one in backward.body if one.kind == "copy"]
    targets = [one.outputs[0].buffer for one in copies]
    sources = [one.inputs[0].buffer for one in copies]  # type: ignore[union-attr]
    for i, target in enumerate(targets):
        if target in swapped.d_carry:
            assert target not in sources[i + 1 :]


def test_views_without_rows_are_copied_before_a_product() -> None:
    b = GraphBuilder()
    h, x, W = b.value(2, B, H), b.value(B, 2, H), b.value(H, H)
    product = b.op(MATMUL, b.op(TRANSPOSE, x, axes=(1, 0, 2)), W)
    graph = b.forward([h], [b.op(ag.add, h, product)], [x], [W])
    assert kinds(lower(build_schedule(graph, None)).forward.prologue) == ["copy", "dot"]


def test_numbers_have_the_dtype_of_floating_results() -> None:
    b = GraphBuilder()
    h, n = b.value(B, H, dtype="float32"), b.value(B, H, dtype="int64")
    new = b.op(ag.multiply, h, 2.0)
    graph = b.forward([h, n], [new, b.op(ag.add, n, 1)], [], [])
    first, second = lower(build_schedule(graph, None)).forward.body
    assert [x.dtype for x in (first.inputs[1], second.inputs[1])] == [  # type: ignore[union-attr]
        np.dtype("float32"),
        None,
    ]
