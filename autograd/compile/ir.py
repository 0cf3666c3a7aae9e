"""The intermediate representation (IR) of one step of a scan: values, operations and graphs.

`step_graph` produces a `StepGraph` and `differentiate` the `BackwardGraph` that belongs to it. Both
are immutable: a pass that changes something returns a new object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any

import numpy as np

from .. import backend
from ..core.primitive import Primitive
from ..core.pytree import flatten, tree_map
from ..ops.creation import _astype
from ..ops.elementwise import _round
from ..ops.selection import _clip, where

NUMBERS = (bool, int, float)
_BROADCASTING = {operation.primitive for operation in (_astype, _clip, _round, where)}


def is_pointwise(primitive: Primitive) -> bool:
    """True if a primitive is elementwise and broadcasts its arguments."""
    return primitive.pointwise or primitive in _BROADCASTING


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Value:
    """An array of one step, of known shape and dtype. Values are compared by identity.

    `number` names the value in printed graphs.
    """

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"v{self.number}"


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Op:
    """One application of a primitive.

    Attributes
    ----------
    primitive : Primitive
        The operation.
    args : tuple of Value or number
        The array arguments.
    static : dict
        The static parameters. Arrays among them, such as indices, are Values.
    outs : tuple of Value
        The results.
    returns_tuple : bool
        True if the primitive returns a tuple, which may have one item.
    differentiated : tuple of bool
        For each argument, True if gradients flow through it.
    """

    primitive: Primitive
    args: tuple[Any, ...]
    static: Mapping[str, Any]
    outs: tuple[Value, ...]
    returns_tuple: bool = False
    differentiated: tuple[bool, ...] = ()

    @property
    def inputs(self) -> list[Value]:
        """The values that the operation reads, also as static parameters."""
        return [x for x in flatten((self.args, dict(self.static))) if isinstance(x, Value)]

    def __repr__(self) -> str:
        static = "".join(f", {name}={value}" for name, value in self.static.items())
        outs = ", ".join(map(repr, self.outs))
        return f"{outs} = {self.primitive.name}({', '.join(map(repr, self.args))}{static})"


@dataclass(frozen=True, eq=False)
class StepGraph:
    """The operations of one step, forward.

    Attributes
    ----------
    backend : Backend
        The backend of the arrays.
    ops : tuple of Op
        The operations in the order of execution.
    carry, xs : tuple of Value
        The leaves of the carry and of x that the step reads.
    captures : tuple of Value
        Loop-invariant arrays that the step reads: parameters and other arrays from outside. Every
        call of the scan binds them.
    constants : tuple of (Value, array)
        Arrays that the step creates with the same contents each time.
    new_carry, ys : tuple of Value
        The results; `new_carry` in the order of `carry`.
    """

    backend: backend.Backend
    ops: tuple[Op, ...]
    carry: tuple[Value, ...]
    xs: tuple[Value, ...]
    captures: tuple[Value, ...]
    constants: tuple[tuple[Value, Any], ...]
    new_carry: tuple[Value, ...]
    ys: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class BackwardGraph:
    """The operations of the backward pass of one step. They read values of the `StepGraph`.

    Attributes
    ----------
    ops : tuple of Op
        The operations in the order of execution.
    constants : tuple of (Value, array)
        Arrays that VJP rules create.
    d_new_carry, d_ys : tuple of Value or None
        Gradients of the results, which the backward pass receives; None where a result has none.
    d_carry, d_xs, d_captures : tuple of Value or None
        Gradients of the inputs; None where an input has none. The gradients of captures are those
        of one step, and are summed over the steps.
    """

    ops: tuple[Op, ...]
    constants: tuple[tuple[Value, Any], ...]
    d_new_carry: tuple[Value | None, ...]
    d_ys: tuple[Value | None, ...]
    d_carry: tuple[Value | None, ...]
    d_xs: tuple[Value | None, ...]
    d_captures: tuple[Value | None, ...]


def producers(ops: Iterable[Op]) -> dict[Value, Op]:
    """Return the operation that computes each value."""
    return {out: op for op in ops for out in op.outs}


def unused_numbers(graph: StepGraph, backward: BackwardGraph | None = None) -> Iterator[int]:
    """Return the numbers that no value of the graphs has, ascending: for new values."""
    ops, constants = graph.ops, graph.constants
    values = [*graph.carry, *graph.xs, *graph.captures]
    if backward is not None:
        ops, constants = (*ops, *backward.ops), (*constants, *backward.constants)
        values += [g for g in (*backward.d_new_carry, *backward.d_ys) if g is not None]
    values += [value for value, _ in constants]
    values += [out for op in ops for out in op.outs]
    return count(1 + max([value.number for value in values], default=-1))


def verify(graph: StepGraph, backward: BackwardGraph | None = None) -> None:
    """Raise ValueError unless every value is defined once, and before its first use."""
    inputs = [*graph.carry, *graph.xs, *graph.captures, *(v for v, _ in graph.constants)]
    defined = _check_ops(graph.ops, inputs, [*graph.new_carry, *graph.ys])
    if len(graph.new_carry) != len(graph.carry):
        raise ValueError(f"{len(graph.carry)} carries, but {len(graph.new_carry)} new ones")
    if backward is not None:
        gradients = [*backward.d_new_carry, *backward.d_ys]
        received = [v for v in gradients if v is not None]
        constants = [v for v, _ in backward.constants]
        results = [*backward.d_carry, *backward.d_xs, *backward.d_captures]
        returned = [v for v in results if v is not None]
        _check_ops(backward.ops, [*defined, *received, *constants], returned)


def _check_ops(
    ops: Iterable[Op], inputs: Iterable[Value], results: Iterable[Value]
) -> dict[Value, None]:
    defined = dict.fromkeys(inputs)
    for op in ops:
        for value in op.inputs:
            if value not in defined:
                raise ValueError(f"{op} reads {value} before it is computed")
        for out in op.outs:
            if out in defined:
                raise ValueError(f"{op} computes {out} a second time")
            defined[out] = None
    for value in results:
        if value not in defined:
            raise ValueError(f"the result {value} is not computed")
    return defined


def evaluate(ops: Iterable[Op], arrays: dict[Value, Any], array_backend: backend.Backend) -> None:
    """Compute the operations on arrays, and add their results to `arrays`."""

    def lookup(x: Any) -> Any:
        return arrays[x] if isinstance(x, Value) else x

    for op in ops:
        kernel = op.primitive.kernels[array_backend.array_type]
        static = {name: tree_map(lookup, value) for name, value in op.static.items()}
        result = kernel(*map(lookup, op.args), **static)
        results = result if op.returns_tuple else (result,)
        arrays.update(zip(op.outs, results, strict=True))
