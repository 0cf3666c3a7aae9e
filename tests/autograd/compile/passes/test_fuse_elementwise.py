"""Elementwise operations of one shape become fused kernels."""

from importlib import import_module
from typing import Any

import pytest
from step_graphs import StepBuilder, check_pass, names

import autograd as ag
from autograd.compile.executors.cuda import FusedKernel
from autograd.compile.ir import Op
from autograd.compile.passes import fuse_elementwise
from autograd.ops.indexing import _getitem
from autograd.ops.matmul import _linear

pytestmark = pytest.mark.host


def kernel(op: Op) -> FusedKernel:
    assert isinstance(op.primitive, FusedKernel)
    return op.primitive


def test_body_becomes_one_kernel() -> None:
    b = StepBuilder((2, 3))
    h = b.apply(ag.tanh, b.apply(ag.add, b.apply(ag.multiply, b.carry, b.x), b.capture(3)))
    schedule = b.schedule(h, h)
    after = check_pass(fuse_elementwise, schedule)
    (op,) = after.forward.body
    assert names(kernel(op).ops) == ["multiply", "add", "tanh"]
    assert set(op.args) == {b.carry, b.x, b.captures[0]}
    assert op.outs == (h,)
    assert names(schedule.forward.body) == ["multiply", "add", "tanh"]


def test_results_that_others_read_are_outputs() -> None:
    b = StepBuilder((2, 3))
    first = b.apply(ag.add, b.carry, b.x)
    product = b.apply(_linear, first, b.capture(3, 3))
    h = b.apply(ag.sin, product)
    h = b.apply(ag.add, b.apply(ag.exp, h), b.apply(ag.cos, first))
    after = check_pass(fuse_elementwise, b.schedule(h, h))
    one, dot, two = after.forward.body
    assert first in one.outs
    assert dot.primitive is _linear.primitive
    assert two.outs == (h,)


def test_each_section_has_kernels_but_the_hoisted_one() -> None:
    b = StepBuilder((2, 3))
    scale = b.apply(ag.exp, b.capture(3))
    x = b.apply(ag.cos, b.apply(ag.sin, b.x))
    h = b.apply(ag.tanh, b.apply(ag.add, b.apply(ag.multiply, b.carry, scale), x))
    y = b.apply(ag.sin, b.apply(ag.exp, h))
    after = check_pass(fuse_elementwise, b.schedule(h, y))
    assert names(after.forward.hoisted) == ["exp"]
    sections = after.forward.prologue, after.forward.body, after.forward.epilogue
    assert [names(ops) for ops in sections] == [["forward0"], ["forward1"], ["forward2"]]


def test_both_passes_are_fused() -> None:
    b = StepBuilder((2, 3))
    h = b.apply(ag.tanh, b.apply(ag.add, b.carry, b.x))
    n = len(b.ops)
    factor = b.apply(ag.subtract, 1.0, b.apply(ag.square, h))
    b.apply(ag.multiply, b.apply(ag.add, b.d_carry, b.d_y), factor)
    after = check_pass(fuse_elementwise, b.schedule(h, h, n))
    assert after.backward is not None
    assert names(after.forward.body) == ["forward0"]
    assert names(after.backward.prologue) == ["backward0"]
    assert names(after.backward.body) == ["backward1"]
    assert h in after.forward.results


def test_shapes_are_not_mixed() -> None:
    b = StepBuilder((2, 3))
    rows = b.apply(ag.cos, b.carry)
    row = b.apply(ag.sin, b.apply(_getitem, b.carry, index=(slice(0, 1),)))
    h = b.apply(ag.add, rows, row)
    after = check_pass(fuse_elementwise, b.schedule(h, h))
    shapes = [
        {out.shape for inner in kernel(op).ops for out in inner.outs}
        for op in after.forward.body
        if isinstance(op.primitive, FusedKernel)
    ]
    assert all(len(found) == 1 for found in shapes)
    assert {shape for found in shapes for shape in found} == {(1, 3), (2, 3)}


def test_operations_without_an_expression_stay() -> None:
    @ag.primitive(x=lambda g, x: g * 3 * x * x)
    def cube(xp: Any, x: Any) -> Any:
        return x * x * x

    b = StepBuilder((2, 3))
    total = b.apply(cube, b.apply(ag.add, b.apply(ag.sin, b.carry), b.x))
    h = b.apply(ag.cos, b.apply(ag.exp, total))
    after = check_pass(fuse_elementwise, b.schedule(h, h))
    assert names(after.forward.body) == ["forward0", "cube", "forward1"]


def test_parameters_of_a_kernel_are_limited(monkeypatch: Any) -> None:
    b = StepBuilder((2, 3))
    total = b.carry
    for _ in range(40):
        total = b.apply(ag.add, total, b.apply(ag.multiply, b.x, b.capture(3)))
    schedule = b.schedule(total, total)
    module = import_module("autograd.compile.passes.fuse_elementwise")
    counts = []
    for limit in (3900, 640):
        monkeypatch.setattr(module, "PARAMETER_BYTES", limit)
        after = check_pass(fuse_elementwise, schedule)
        for op in (*after.forward.prologue, *after.forward.body):
            assert (len(op.args) + len(op.outs)) * 16 * (2 + 2) <= limit
        counts.append(len(after.forward.prologue) + len(after.forward.body))
    assert counts[0] < counts[1]
