"""Instructions as calls of array functions that write their result into given arrays.

A call is a function and its arguments, among them operands, for which the interpreter substitutes
arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ... import backend
from ...core.primitive import Primitive
from ...core.pytree import flatten, tree_map
from ...ops.activations import relu, sigmoid
from ..loop_program import Instruction, Number, Operand, View
from ..passes.mask_selections import MASKED
from ..schedule import CONCATENATE, SUM

STEPS = object()
"""An argument for which the interpreter substitutes the number of steps."""

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def calls_of(instruction: Instruction, array_backend: backend.Backend) -> list[Call]:
    """Return the calls that run an instruction."""
    inputs = tuple([_number(x, array_backend) for x in instruction.inputs])
    xp, outputs = array_backend.xp, instruction.outputs
    kind, primitive = instruction.kind, instruction.primitive
    if kind == "copy":
        return [(operator.setitem, (outputs[0], ..., *inputs))]
    if kind == "zero":
        return [(operator.setitem, (outputs[0], ..., 0))]
    if kind == "dot":
        return [(xp.dot, (*inputs, outputs[0]))]
    if kind == "add_sum":
        return [(_add_sum, (outputs[0], *inputs, accumulator(outputs[0].buffer.dtype)))]
    if kind == "add_product":
        return [(partial(_add_product, xp.dot), (outputs[0], *inputs))]
    if kind == "add_repeated":
        return [(_add_repeated, (outputs[0], *inputs, STEPS))]
    if kind == "add_scatter":
        return [_add_scatter_call(instruction, inputs, array_backend)]
    assert primitive is not None
    if kind == "kernel":
        return [(primitive.on(array_backend), (*inputs, *outputs))]  # type: ignore[attr-defined]
    return _apply(instruction, primitive, inputs, array_backend)


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the dtype in which arrays of a dtype are summed; None for the same."""
    return np.dtype("float32") if dtype == "float16" else None


def _number(x: Any, array_backend: backend.Backend) -> Any:
    """Return a number as an array, with which array functions are faster; others unchanged."""
    if not isinstance(x, Number):
        return x
    if x.dtype is None:
        return x.value
    return array_backend.asarray(np.array(x.value, x.dtype))


def _apply(
    instruction: Instruction,
    primitive: Primitive,
    inputs: tuple[Any, ...],
    array_backend: backend.Backend,
) -> list[Call]:
    """Return the calls for an application of a primitive."""
    xp, static, (out, *_) = array_backend.xp, instruction.static, instruction.outputs
    kernel = primitive.kernels[array_backend.array_type]
    if primitive.pointwise and kernel is getattr(xp, primitive.name, None):
        if primitive.name in ("maximum", "minimum"):
            return [_with_out(kernel, inputs, out)]
        return [(kernel, (*inputs, out))]
    dtype = out.buffer.dtype
    if primitive is sigmoid.primitive:
        half = _number(Number(0.5, dtype), array_backend)
        return [
            (xp.multiply, (*inputs, half, out)),
            (xp.tanh, (out, out)),
            (xp.multiply, (out, half, out)),
            (xp.add, (out, half, out)),
        ]
    if primitive is relu.primitive:
        return [_with_out(xp.maximum, (*inputs, 0), out)]
    if primitive is MASKED:
        g, mask = inputs
        bits = View("bits", mask.buffer.dtype)
        return [(xp.bitwise_and, (g.viewed(bits), mask, out.viewed(bits)))]
    if primitive is SUM:
        function = array_backend.array_type.sum  # type: ignore[attr-defined]
        arguments = (*inputs, static["axes"], accumulator(dtype), out, static["keepdims"])
        return [(function, arguments)]
    if primitive is CONCATENATE:
        return [(partial(_concatenate, xp, static["axis"]), (out, *inputs))]
    return [_generic(instruction, kernel, inputs)]


def _with_out(function: Callable[..., Any], inputs: tuple[Any, ...], out: Operand) -> Call:
    """Return a call of a function that takes `out` as a keyword only."""
    return lambda a, b, out: function(a, b, out=out), (*inputs, out)


def _concatenate(xp: Any, axis: int, out: Any, *arrays: Any) -> None:
    xp.concatenate(arrays, axis, out)


def _generic(instruction: Instruction, kernel: Callable[..., Any], inputs: tuple[Any, ...]) -> Call:
    """Return a call of the primitive's own kernel, whose results are copied to the outputs."""
    static, outputs = dict(instruction.static), instruction.outputs
    indices = [x for x in flatten(static) if isinstance(x, Operand)]
    count = len(outputs)

    def run(*arrays: Any) -> None:
        results = kernel(*arrays[count : count + len(inputs)], **bind(arrays))
        if not instruction.returns_tuple:
            results = (results,)
        for out, result in zip(arrays, results, strict=False):
            out[...] = result

    def bind(arrays: tuple[Any, ...]) -> dict[str, Any]:
        if not indices:
            return static
        given = dict(zip(map(id, indices), arrays[count + len(inputs) :], strict=True))
        return {name: tree_map(lambda x: given.get(id(x), x), v) for name, v in static.items()}

    return run, (*outputs, *inputs, *indices)


# --- sums over time -------------------------------------------------------------------------------
# A total is a list with the sum so far: None at first.


def _add(total: list[Any], term: Any) -> None:
    if total[0] is None:
        total[0] = term
    else:
        total[0] += term


def _add_sum(total: list[Any], array: Any, dtype: Any) -> None:
    _add(total, array.sum(0, dtype))


def _add_repeated(total: list[Any], array: Any, steps: int) -> None:
    _add(total, array * steps)


def _add_product(dot: Callable[..., Any], total: list[Any], a: Any, b: Any) -> None:
    _add(total, dot(a.T, b))


def _add_scatter_call(
    instruction: Instruction, inputs: tuple[Any, ...], array_backend: backend.Backend
) -> Call:
    index, shape = instruction.static["index"], instruction.static["shape"]
    indices = [x for x in flatten(index) if isinstance(x, Operand)]
    dtype = accumulator(instruction.outputs[0].buffer.dtype)

    def run(total: list[Any], values: Any, *arrays: Any) -> None:
        if total[0] is None:
            total[0] = array_backend.xp.zeros(shape, dtype or values.dtype)
        given = dict(zip(map(id, indices), arrays, strict=True))
        position = tree_map(lambda x: given.get(id(x), x), index)
        array_backend.scatter_add(total[0], position, values.astype(total[0].dtype))

    return run, (*instruction.outputs, *inputs, *indices)
