"""An operation as a line of Python, in three places: once, at a step, or over all steps of a chunk.

`k7` is a value that is the same at every step, `V7` one over the steps of a chunk, `v7` one at a
step.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from .. import backend
from ..ops.activations import relu
from .gates import OPENED, SCALED, SIGMOID, Sections, along
from .plan import (
    BROADCAST,
    CONCATENATE,
    LINEAR,
    MATMUL,
    RESHAPE,
    REVERSED,
    STACK,
    SUM,
    TRANSPOSE,
    along_time,
)
from .program import Op, Symbol, pointwise
from .trace import MASKED

RELU = relu.primitive
HALF = ((0.5, 1),)


def accumulator(s: Any) -> str | None:
    """Return the dtype in which an array or symbol is added up: None for its own."""
    return "float32" if s.dtype == "float16" else None


class Code:
    """The names of values in the code, and the objects that the code refers to by name."""

    def __init__(self, home: backend.Backend, varies: set[Symbol]) -> None:
        self.backend, self.varies = home, varies
        self.objects: dict[str, Any] = {}
        self.once: dict[str, str] = {}
        self.numbers: dict[Any, str] = {}

    def of(self, x: Any, batch: bool) -> str:
        """A value, number or static parameter as code."""
        if isinstance(x, Symbol):
            if x not in self.varies:
                return f"k{x.number}"
            return f"V{x.number}" if batch else f"v{x.number}"
        if isinstance(x, tuple):
            return f"({''.join(f'{self.of(item, batch)}, ' for item in x)})"
        if type(x) in (int, bool) or x is None or (type(x) is float and math.isfinite(x)):
            return repr(x)
        name = f"p{len(self.objects)}"
        self.objects[name] = x
        return name

    def function(self, name: str) -> str:
        """A function of the array module."""
        self.objects[name] = getattr(self.backend.xp, name)
        return name

    def number(self, x: float, dtype: Any) -> str:
        """A number as an array, which is quicker to compute with."""
        key = x or repr(x), dtype  # -0.0 is not 0.0
        name = self.numbers.setdefault(key, f"c{len(self.numbers)}")
        self.objects[name] = self.backend.asarray(np.array(x, dtype))
        return name

    def in_order(self, matrix: Symbol) -> str:
        """A matrix that is the same at every step, in the order of its rows in memory."""
        name = self.of(matrix, False)
        self.once[f"{name}_C"] = f"{name}_C = {self.function('ascontiguousarray')}({name})"
        return f"{name}_C"

    def turned(self, weight: Symbol) -> str:
        """The transpose of a matrix, laid out as such if it is the same at every step."""
        name = self.of(weight, False)
        if weight in self.varies:
            return f"{name}.T"
        self.once[f"{name}_T"] = f"{name}_T = {self.function('ascontiguousarray')}({name}.T)"
        return f"{name}_T"

    def kernel(self, op: Op) -> str:
        """The function that computes it, by a name that the code has for nothing else."""
        kernel = op.primitive.kernels[self.backend.array_type]
        name = "_" + re.sub(r"\W", "", op.primitive.name)  # "<lambda>" is one, too
        while self.objects.get(name, kernel) is not kernel:
            name += "_"
        self.objects[name] = kernel
        return name

    def args(self, op: Op, batch: bool) -> list[str]:
        """The arguments; over time, those of fewer dimensions than others get axes in between."""
        found = []
        like = op.outs[0].dtype
        weak = pointwise(op.primitive) and like.kind == "f"
        weak = weak and all(x.dtype == like for x in op.args if isinstance(x, Symbol))
        ranks = [x.ndim for x in op.args if isinstance(x, Symbol)]
        rank = max([*ranks, op.outs[0].ndim])
        align = pointwise(op.primitive) or op.primitive in (MATMUL, BROADCAST)
        for x in op.args:
            code = self.of(x, batch)
            if weak and type(x) in (int, float):
                code = self.number(x, like)
            if batch and align and isinstance(x, Symbol) and x in self.varies and x.ndim < rank:
                code += f"[:, {'None, ' * (rank - x.ndim)}...]"
            elif batch and op.primitive in (CONCATENATE, STACK) and x not in self.varies:
                code = f"{self.function('broadcast_to')}({code}, (n, *{getattr(x, 'shape', ())}))"
            found.append(code)
        return found

    def static(self, op: Op, batch: bool) -> dict[str, Any]:
        static = along_time(op, self.varies) if batch else op.static
        assert static is not None
        return static

    # --- an operation as an expression, or into an array that is there ----------------------------

    def expression(self, op: Op, batch: bool) -> str:
        """The result, or the tuple of them."""
        args, static = self.args(op, batch), self.static(op, batch)
        if op.primitive is LINEAR:
            return f"{self.function('matmul')}({args[0]}, {self.turned(op.args[1])})"
        if op.primitive in (RESHAPE, BROADCAST):
            shape = ", ".join(["n"] * batch + [str(n) for n in op.outs[0].shape])
            if op.primitive is RESHAPE:
                return f"{args[0]}.reshape(({shape}))"
            return f"{self.function('broadcast_to')}({args[0]}, ({shape},))"
        if op.primitive is REVERSED:
            axes = ", ".join(str(a) for a in range(op.outs[0].ndim, 0, -1))
            return f"{args[0]}.transpose(0, {axes})" if batch else f"{args[0]}.T"
        if op.primitive is TRANSPOSE:
            return f"{args[0]}.transpose({', '.join(map(str, static['axes']))})"
        if op.primitive is SCALED:
            factors, _ = self._factors(static["sections"], op.outs[0].dtype, static["axis"])
            return f"{self.function('multiply')}({args[0]}, {factors})"
        named = [f"{name}={self.of(value, batch)}" for name, value in static.items()]
        return f"{self.kernel(op)}({', '.join([*args, *named])})"

    def into(self, op: Op, out: str, batch: bool, in_order: bool) -> list[str]:
        """Lines that write the result into `out`, which lies `in_order` in memory or does not."""
        args, static = self.args(op, batch), self.static(op, batch)
        xp = self.function
        primitive, kernel = op.primitive, op.primitive.kernels[self.backend.array_type]
        if primitive.pointwise and kernel is getattr(self.backend.xp, primitive.name, None):
            # As a keyword: maximum and minimum take it no other way.
            key = "out=" if primitive.name in ("maximum", "minimum") else ""
            return [f"{xp(primitive.name)}({', '.join(args)}, {key}{out})"]
        if primitive is SCALED:
            factors, _ = self._factors(static["sections"], op.outs[0].dtype, static["axis"])
            return [f"{xp('multiply')}({args[0]}, {factors}, {out})"]
        if primitive is SIGMOID:
            half, _ = self._factors(HALF, op.outs[0].dtype)
            first = f"{xp('multiply')}({args[0]}, {half}, {out})"
            return [first, *self._opened(op, out, out, HALF)]
        if primitive is OPENED:
            return self._opened(op, args[0], out, static["sections"])
        if primitive is MASKED:
            (g, bits), view = args, self.of(op.args[1].dtype, batch)
            return [f"{xp('bitwise_and')}({g}.view({view}), {bits}, {out}.view({view}))"]
        if primitive is RELU:
            return [f"{xp('maximum')}({args[0]}, 0, out={out})"]
        if primitive is LINEAR and op.args[0].ndim >= (1 if batch else 2) and in_order:
            x, weight = args
            rows, columns = op.args[1].shape
            if batch or op.args[0].ndim > 2:
                x, out = f"{x}.reshape(-1, {columns})", f"{out}.reshape(-1, {rows})"
            turned = f"{weight}.T" if batch else self.turned(op.args[1])
            return [f"{xp('dot')}({x}, {turned}, {out})"]
        if primitive is MATMUL and in_order and op.args[0].ndim == op.args[1].ndim == 2:
            a, b = args
            if not batch:
                b = b if op.args[1] in self.varies else self.in_order(op.args[1])
                return [f"{xp('dot')}({a}, {b}, {out})"]
            if op.args[1] not in self.varies:
                rows, columns = op.args[1].shape
                a, out = f"{a}.reshape(-1, {rows})", f"{out}.reshape(-1, {columns})"
                return [f"{xp('dot')}({a}, {b}, {out})"]
        if primitive is SUM:
            axes, keep = self.of(static["axes"], batch), static["keepdims"]
            return [f"{args[0]}.sum({axes}, {accumulator(op.outs[0])!r}, {out}, {keep})"]
        if primitive is CONCATENATE:
            return [f"{xp('concatenate')}(({', '.join(args)},), {static['axis']}, {out})"]
        return [f"{out}[...] = {self.expression(op, batch)}"]

    def _opened(self, op: Op, x: str, out: str, sections: Sections) -> list[str]:
        """f tanh(x) + 1 - f for factors f."""
        xp = self.function
        factors, rest = self._factors(sections, op.outs[0].dtype)
        return [
            f"{xp('tanh')}({x}, {out})",
            f"{xp('multiply')}({out}, {factors}, {out})",
            f"{xp('add')}({out}, {rest}, {out})",
        ]

    def _factors(self, sections: Sections, dtype: Any, axis: int = -1) -> tuple[str, str]:
        """Factors f of sections of an axis, and 1 - f; numbers, if f is one."""
        if len({factor for factor, _ in sections}) == 1:
            factor = sections[0][0]
            return self.number(factor, dtype), self.number(1 - factor, dtype)
        factors = along(sections, axis, dtype)
        return self.of(self.backend.asarray(factors), False), self.of(
            self.backend.asarray(1 - factors), False
        )

    def launched(self, op: Op, batch: bool) -> str:
        """A line that calls a kernel, with the arrays that it writes after those that it reads."""
        self.objects[op.primitive.name] = op.primitive.on(self.backend)
        outs = [self.of(out, batch) for out in op.outs]
        return f"{op.primitive.name}({', '.join([*self.args(op, batch), *outs])})"

    def look(self, op: Op, array: Any, n: int | None) -> list[Any]:
        """The results of an operation that only looks at an array, over n steps or (None) one."""
        if n is None:  # over one step: a view of one element must be an array, not a number
            return [made[0, ...] for made in self.look(op, array[None], 1)]
        static = along_time(op, {op.args[0]})
        assert static is not None
        if op.primitive is REVERSED:
            return [array.transpose(0, *range(array.ndim - 1, 0, -1))]
        if op.primitive in (RESHAPE, BROADCAST):
            shape = (n, *op.outs[0].shape)
            if op.primitive is BROADCAST:
                array = array.reshape(n, *(1,) * (len(shape) - array.ndim), *array.shape[1:])
            static = {"shape": shape}
        made = op.primitive.kernels[self.backend.array_type](array, **static)
        return list(made) if isinstance(made, tuple) else [made]

    def assigned(self, op: Op, batch: bool) -> str:
        """A line that gives the results their names."""
        names = ", ".join(self.of(out, batch) for out in op.outs)
        return f"{names}{',' * op.several} = {self.expression(op, batch)}"
