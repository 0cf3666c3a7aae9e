"""A plan as Python code: loops of calls that write into arrays made beforehand.

The code is text, compiled once per plan, and can be read (`autograd.explain` shows it). In it `k7`
is a value that is the same at every step, `V7` one over all steps of a chunk, and `v7` one at a
step. A chunk is so many steps that what is computed for all of them at once stays in the cache.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from operator import attrgetter
from typing import Any

import numpy as np

from .. import backend
from ..ops.elementwise import _astype, relu, sigmoid, where
from .plan import (
    BROADCAST,
    CONCATENATE,
    GATES,
    LINEAR,
    MATMUL,
    RESHAPE,
    REVERSED,
    SPLIT,
    STACK,
    SUM,
    TRANSPOSE,
    UNSTACK,
    Half,
    along_time,
    is_view,
    root,
)
from .program import Op, Symbol, pointwise

CHUNK = 1 << 20
"""About so many bytes of arrays belong to a chunk."""

SIGMOID, RELU, WHERE, ASTYPE = (f.primitive for f in (sigmoid, relu, where, _astype))


class Names:
    """How values are called in the code, and the objects that the code refers to by name."""

    def __init__(self, home: backend.Backend, varies: set[Symbol]) -> None:
        self.home, self.varies = home, varies
        self.objects: dict[str, Any] = {}
        self.once: dict[str, str] = {}
        self.numbers: dict[tuple[float, Any], str] = {}

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
        self.objects[name] = getattr(self.home.xp, name)
        return name

    def number(self, x: float, dtype: Any) -> str:
        """A number as an array, which is quicker to compute with."""
        name = self.numbers.setdefault((x, dtype), f"c{len(self.numbers)}")
        self.objects[name] = self.home.asarray(np.array(x, dtype))
        return name

    def turned(self, weight: Symbol) -> str:
        """The transpose of a matrix, laid out as such if it is the same at every step."""
        name = self.of(weight, False)
        if weight in self.varies:
            return f"{name}.T"
        self.once[f"{name}_T"] = f"{name}_T = {self.function('ascontiguousarray')}({name}.T)"
        return f"{name}_T"

    def kernel(self, op: Op) -> str:
        kernel = op.primitive.kernels[self.home.array_type]
        name = f"{op.primitive.name}_" if op.primitive.name in self.objects else op.primitive.name
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
                code = f"{self.function('broadcast_to')}({code}, (n, *{x.shape}))"
            found.append(code)
        return found

    def static(self, op: Op, batch: bool) -> dict[str, Any]:
        static = along_time(op, self.varies) if batch else op.static
        assert static is not None
        return static

    # --- an operation as an expression, or into an array that is there -------------------------------

    def expression(self, op: Op, batch: bool) -> str:
        """The result, or the tuple of them."""
        args, static = self.args(op, batch), self.static(op, batch)
        if op.primitive is LINEAR:
            return f"{self.function('matmul')}({args[0]}, {self.turned(op.args[1])})"
        if op.primitive in (RESHAPE, BROADCAST):
            shape = ", ".join("n" if s is None else str(s) for s in _tuple(static["shape"], op))
            if op.primitive is RESHAPE:
                return f"{args[0]}.reshape({shape})"
            return f"{self.function('broadcast_to')}({args[0]}, ({shape},))"
        if op.primitive is REVERSED:
            axes = ", ".join(str(a) for a in range(op.outs[0].ndim, 0, -1))
            return f"{args[0]}.transpose(0, {axes})" if batch else f"{args[0]}.T"
        if op.primitive is TRANSPOSE:
            return f"{args[0]}.transpose({', '.join(map(str, static['axes']))})"
        named = [f"{name}={self.of(value, batch)}" for name, value in static.items()]
        return f"{self.kernel(op)}({', '.join([*args, *named])})"

    def into(self, op: Op, out: str, batch: bool, in_order: bool) -> list[str]:
        """Lines that write the result into `out`, which lies `in_order` in memory or does not."""
        args, static = self.args(op, batch), self.static(op, batch)
        xp = self.function
        primitive, kernel = op.primitive, op.primitive.kernels[self.home.array_type]
        if isinstance(kernel, np.ufunc) or (
            primitive.pointwise and kernel is getattr(self.home.xp, primitive.name, None)
        ):
            # As a keyword: maximum and minimum take it no other way.
            key = "out=" if primitive.name in ("maximum", "minimum") else ""
            return [f"{xp(primitive.name)}({', '.join(args)}, {key}{out})"]
        if primitive is SIGMOID:  # (1 + tanh(x / 2)) / 2
            half = self.number(0.5, op.outs[0].dtype)
            return [
                f"{xp('multiply')}({args[0]}, {half}, {out})",
                f"{xp('tanh')}({out}, {out})",
                f"{xp('multiply')}({out}, {half}, {out})",
                f"{xp('add')}({out}, {half}, {out})",
            ]
        if primitive is GATES:
            return self._gates(op, args[0], out)
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
                return [f"{xp('dot')}({a}, {b}, {out})"]
            if op.args[1] not in self.varies:
                rows, columns = op.args[1].shape
                a, out = f"{a}.reshape(-1, {rows})", f"{out}.reshape(-1, {columns})"
                return [f"{xp('dot')}({a}, {b}, {out})"]
        if primitive is SUM:
            axes, keep = self.of(static["axes"], batch), static["keepdims"]
            return [f"{args[0]}.sum({axes}, None, {out}, {keep})"]
        if primitive is CONCATENATE:
            return [f"{xp('concatenate')}(({', '.join(args)},), {static['axis']}, {out})"]
        return [f"{out}[...] = {self.expression(op, batch)}"]

    def _gates(self, op: Op, x: str, out: str) -> list[str]:
        """sigmoid and tanh of sections: s tanh(s x) + t, with s and t 1/2 for sigmoid, 1 and 0 for
        tanh.
        """
        dtype, scale, shift = op.outs[0].dtype, [], []
        for is_sigmoid, size in op.static["sections"]:
            scale += [0.5 if is_sigmoid else 1.0] * size
            shift += [0.5 if is_sigmoid else 0.0] * size
        s, t = f"s{op.outs[0].number}", f"t{op.outs[0].number}_"
        self.objects[s] = self.home.asarray(np.array(scale, dtype))
        self.objects[t] = self.home.asarray(np.array(shift, dtype))
        xp = self.function
        return [
            f"{xp('multiply')}({x}, {s}, {out})",
            f"{xp('tanh')}({out}, {out})",
            f"{xp('multiply')}({out}, {s}, {out})",
            f"{xp('add')}({out}, {t}, {out})",
        ]

    def look(self, op: Op, array: Any, n: int | None) -> list[Any]:
        """The results of an operation that only looks at an array, over n steps or (None) one."""
        static = along_time(op, {op.args[0]}) if n is not None else op.static
        assert static is not None
        if op.primitive is REVERSED:
            return [array.T if n is None else array.transpose(0, *range(array.ndim - 1, 0, -1))]
        if op.primitive in (RESHAPE, BROADCAST):
            shape = op.outs[0].shape if n is None else (n, *op.outs[0].shape)
            if op.primitive is BROADCAST and n is not None:
                array = array.reshape(n, *(1,) * (len(shape) - array.ndim), *array.shape[1:])
            static = {"shape": shape}
        made = op.primitive.kernels[self.home.array_type](array, **static)
        return list(made) if isinstance(made, tuple) else [made]

    def assigned(self, op: Op, batch: bool) -> str:
        """A line that gives the results their names."""
        names = ", ".join(self.of(out, batch) for out in op.outs)
        several = "," if op.primitive in (SPLIT, UNSTACK) or len(op.outs) > 1 else ""
        return f"{names}{several} = {self.expression(op, batch)}"


def _tuple(shape: Any, op: Op) -> tuple[Any, ...]:
    return shape if shape[:1] == (None,) else op.outs[0].shape


class Places:
    """Arrays, each the place of one value after another: a value whose last reader has been takes
    its place along only until then.
    """

    def __init__(self) -> None:
        self.arrays: list[tuple[tuple[int, ...], Any]] = []  # their shapes and dtypes
        self.of: dict[Symbol, int] = {}

    def new(self, s: Symbol) -> int:
        self.arrays.append((s.shape, s.dtype))
        self.of[s] = len(self.arrays) - 1
        return self.of[s]

    def settle(self, ops: list[Op], ours: set[Symbol], lasting: set[Symbol]) -> None:
        """Places for `ours` among the results of these operations; the `lasting` keep theirs."""
        last: dict[Symbol, int] = {}
        for i, op in enumerate(ops):
            for s in op.inputs:
                last[root(s)] = i
        free: dict[Any, list[int]] = {}
        for i, op in enumerate(ops):
            dying = [
                s
                for s in dict.fromkeys(map(root, op.inputs))
                if last[s] == i and s in ours and s in self.of and s not in lasting
            ]
            if not is_view(op):
                for out in op.outs:
                    if out not in ours or out in self.of:
                        continue
                    key = (out.shape, out.dtype)
                    over = [
                        s
                        for s in dying
                        if op.primitive.pointwise and s in op.args and (s.shape, s.dtype) == key
                    ]
                    if over:
                        self.of[out] = self.of[over[0]]
                        dying.remove(over[0])
                    elif free.get(key):
                        self.of[out] = free[key].pop()
                    else:
                        self.new(out)
            for s in dying:
                free.setdefault((s.shape, s.dtype), []).append(self.of[s])


class Loop:
    """The code of one half of a plan, and which arrays it wants.

    Values have their places in stacks, for every step, which both halves see (`stacks` names for
    each value the stack and how many steps it is ahead in it); in arrays of a chunk; or, within the
    loop, in `scratch`, of one step.
    """

    def __init__(
        self,
        name: str,
        half: Half,
        home: backend.Backend,
        given: list[Symbol],
        constants: list[Symbol],
        stacks: dict[Symbol, tuple[Symbol, int]],
        outs: list[Symbol | None],
        totals: list[Symbol | None],
        reverse: bool = False,
        rolling: bool = False,
    ) -> None:
        self.rolling = rolling
        self.name, self.half, self.reverse, self.stacks = name, half, reverse, stacks
        self.given, self.constants = given, constants
        self.outs, self.totals = outs, totals
        self.names = Names(home, half.varies)
        self.block, self.chunk, self.scratch = Places(), Places(), Places()
        self.parts: dict[Symbol, tuple[Symbol, int, int, int]] = {}
        self._settle()
        self.source = self._write()
        self.names.objects["add_up"] = add_up
        exec(compile(self.source, f"<{name} of a compiled scan>", "exec"), self.names.objects)
        self.run = self.names.objects[name]

    # --- places -----------------------------------------------------------------------------------

    def _settle(self) -> None:
        half = self.half
        before = {s for op in half.before for s in op.outs if not is_view(op)}
        after = {s for op in half.after for s in op.outs if not is_view(op)}
        inside = {s for op in half.loop for s in op.outs if not is_view(op)}
        readers = Counter(s for op in half.after for s in op.inputs)
        readers.update(s for s in self.outs if s is not None)
        self.products = {
            s for s in self.totals if s is not None and not readers[s] and self._as_product(s)
        }
        after -= self.products
        factors = {root(x) for s in self.products for x in _factors(s)}
        for s in sorted(factors & (before | inside | after) - set(self.stacks), key=number):
            self.block.new(s)
        later = {root(s) for op in half.after for s in op.inputs}
        later |= {root(s) for s in (*self.outs, *self.totals) if s is not None}
        in_loop = {root(s) for op in half.loop for s in op.inputs}
        results = {root(s) for _, s in half.carried if s is not None}
        elsewhere = {*self.stacks, *self.block.of}
        for s in sorted(inside & later - elsewhere, key=number):
            self.chunk.new(s)
        # What an earlier step hands on has one place for all steps; who reads it later needs each.
        self.noted = [g for g, _ in half.carried if self.reverse and g in later | factors]
        for g in self.noted:
            (self.block if g in factors else self.chunk).new(g)
        lasting = later | in_loop | results
        self.chunk.settle(half.before, before - elsewhere, lasting)
        self.chunk.settle(half.after, after - elsewhere, later & after)
        if self.reverse:  # on the way back what is carried has one place, written at every step
            for g, d in half.carried:
                n = self.scratch.new(g)
                if d in inside - elsewhere - set(self.chunk.of) and self._may_replace(g, d):
                    self.scratch.of[d] = n
        ours = inside - elsewhere - set(self.chunk.of)
        self._find_parts(ours, results)
        for whole, *_ in self.parts.values():
            if whole in ours and whole not in self.scratch.of:
                self.scratch.new(whole)
        carried = {s for pair in half.carried for s in pair if s is not None}
        wholes = {whole for whole, *_ in self.parts.values()}
        self.scratch.settle(half.loop, ours - set(self.parts), results | carried | wholes)

    def _may_replace(self, g: Symbol, d: Symbol) -> bool:
        """Whether the operation that makes `d` may write it over the gradient `g`."""
        op = d.op
        if op is None or (d.shape, d.dtype) != (g.shape, g.dtype):
            return False
        i = self.half.loop.index(op)
        readers = [n for n, one in enumerate(self.half.loop) if g in map(root, one.inputs)]
        results = [root(s) for _, s in self.half.carried if s is not None]
        if g in results:
            return False
        return all(n < i or (n == i and op.primitive.pointwise and g in op.args) for n in readers)

    def _find_parts(self, ours: set[Symbol], results: set[Symbol]) -> None:
        """Values that go into nothing but a concatenation are made in its place at once."""
        uses: dict[Symbol, int] = {}
        for op in (*self.half.loop, *self.half.after):
            for s in op.inputs:
                uses[s] = uses.get(s, 0) + 1
        for op in self.half.loop:
            if op.primitive is CONCATENATE:
                axis, start = op.static["axis"], 0
                for s in op.args:
                    end = start + s.shape[axis]
                    fits = s in ours and s not in results and uses[s] == 1
                    if fits and s not in self.scratch.of and s.dtype == op.outs[0].dtype:
                        if pointwise(s.op.primitive):
                            self.parts[s] = (op.outs[0], axis, start, end)
                    start = end

    def is_made(self, s: Symbol) -> bool:
        """Whether the array over a chunk's steps is there beforehand."""
        s = root(s)
        return (
            s in self.stacks
            or s in self.chunk.of
            or s in self.block.of
            or (s in self.parts and self.is_made(self.parts[s][0]))
        )

    def is_fixed(self, s: Symbol) -> bool:
        """Whether the array is one and the same at every step."""
        s = root(s)
        return s in self.scratch.of or (s in self.parts and self.is_fixed(self.parts[s][0]))

    # --- code -------------------------------------------------------------------------------------

    def _write(self) -> str:
        half, names, of = self.half, self.names, self.names.of
        before = [line for op in half.before for line in self._at_once(op)]
        loop = [f"note{s.number}[...] = {of(s, False)}" for s in self.noted]
        loop += [line for op in half.loop for line in self._at_a_step(op)] + self._handed_on()
        after = [
            line
            for op in half.after
            if self.products.isdisjoint(op.outs)
            for line in self._at_once(op)
        ]
        for n, s in enumerate(self.outs):
            if s is not None:
                after.append(f"out{n}[lo:hi] = {of(s, True)}")
        sums: list[str] = []
        for n, s in enumerate(self.totals):
            if s is not None:
                lines = sums if s in self.products else after
                lines.append(f"t{n} = add_up(t{n}, {self._over_time(s)})")
        cut = []
        if self.reverse:
            zeros = [f"    {of(g, False)}[...] = 0" for g, _ in half.carried]
            cut = ["if lo in cuts:", *zeros] if zeros else []
        if self.rolling and half.carried:
            rolled = [f"    first{j}[...] = last{j}" for j in range(len(half.carried))]
            before = ["if lo:", *rolled, *before]
        at_once, stepwise = _words([*before, *after]), _words(loop)
        self.ends = [f"{end}{j}" for j in range(len(half.carried)) for end in ("first", "last")]
        self.ends = self.ends if self.rolling else []
        moving = sorted(half.varies, key=lambda s: s.number)
        in_loop = [s for s in moving if f"v{s.number}" in stepwise]
        in_loop_or_cut = stepwise | _words(cut)
        self.fixed = [s for s in moving if f"v{s.number}" in in_loop_or_cut and self.is_fixed(s)]
        self.lists = [s for s in in_loop if self.is_made(s) and s not in self.fixed]
        called = [s for s in in_loop if s not in self.fixed and s not in self.lists]
        self.arrays = [s for s in moving if f"V{s.number}" in at_once and self.is_made(s)]
        self.next = [j for j in range(len(half.carried)) if f"next{j}" in stepwise]
        looped = [f"v{s.number}" for s in self.lists] + [f"next{j}" for j in self.next]
        looped += [f"note{s.number}" for s in self.noted]
        made = len(looped)
        sources = [f"L{n}" for n in range(made)]
        looped += [f"v{s.number}" for s in called]
        sources += [f"V{s.number}" + "[::-1]" * self.reverse for s in called]
        slices = [
            f"V{s.number} = x{s.number}[lo:hi]"
            for s in self.given
            if f"V{s.number}" in at_once or s in called
        ]
        self.blocks = [s for s in moving if f"W{s.number}" in _words(sums)]
        if sums:
            own = [s for s in self.blocks if self.is_made(s)]
            views = [s for s in self.blocks if s not in own]
            self.blocks = own
            sums = [
                *_unpacked([f"W{s.number}" for s in own], "block[2]"),
                *[f"W{s.number} = x{s.number}[block[0] : block[1]]" for s in views],
                *sums,
            ]
            sums = ["if block is not None:", *[f"    {line}" for line in sums]]
        once = [names.assigned(op, False) for op in half.once]
        body = [
            "n = hi - lo",
            *_unpacked([f"V{s.number}" for s in self.arrays], "arrays"),
            *_unpacked(sources[:made], "lists"),
            *slices,
            *before,
        ]
        if loop:
            head = f"for {', '.join(looped)}, in zip({', '.join(sources)}):" if looped else ""
            body += [head or "for _ in range(n):", *[f"    {line}" for line in loop]]
        code = [
            *_unpacked([f"x{s.number}" for s in self.given], "given"),
            *_unpacked([f"k{s.number}" for s in self.constants], "constants"),
            *_unpacked([f"out{n}" for n in range(len(self.outs))], "outs"),
            *_unpacked([f"v{s.number}" for s in self.fixed] + self.ends, "fixed"),
            *once,
            *names.once.values(),
            *[f"t{n} = None" for n in range(len(self.totals))],
            "for lo, hi, arrays, lists, block in chunks:",
            *[f"    {line}" for line in [*body, *after, *sums, *cut]],
            f"return [{', '.join(f't{n}' for n in range(len(self.totals)))}]",
        ]
        head = f"def {self.name}(given, constants, outs, fixed, chunks, cuts):"
        return "\n".join([head, *[f"    {line}" for line in code]])

    def _at_once(self, op: Op) -> list[str]:
        """Lines that do an operation for all steps of a chunk."""
        if is_view(op):
            return [] if self.is_made(op.args[0]) else [self.names.assigned(op, True)]
        if len(op.outs) > 1:
            return [self.names.assigned(op, True)]
        return self.names.into(op, self.names.of(op.outs[0], True), True, True)

    def _at_a_step(self, op: Op) -> list[str]:
        names = self.names
        if is_view(op):
            return []
        if len(op.outs) > 1:
            outs = [f"{names.of(s, False)}[...] = several[{i}]" for i, s in enumerate(op.outs)]
            return [f"several = {names.expression(op, False)}", *outs]
        (out,) = op.outs
        mine = {
            s for s in op.args if isinstance(s, Symbol) and self.parts.get(s, (None,))[0] is out
        }
        if op.primitive is CONCATENATE and mine:
            lines, start, before = [], 0, ":, " * op.static["axis"]
            for s in op.args:
                end = start + s.shape[op.static["axis"]]
                if s not in mine:
                    place = f"{names.of(out, False)}[{before}{start}:{end}]"
                    lines.append(f"{place} = {names.of(s, False)}")
                start = end
            return lines
        return names.into(op, names.of(out, False), False, out not in self.parts)

    def _handed_on(self) -> list[str]:
        """Lines that put what a step hands on where the next one gets it."""
        lines, copies = [], []
        carried = {symbol for symbol, _ in self.half.carried}
        for j, (symbol, result) in enumerate(self.half.carried):
            place = self.names.of(symbol, False)
            if not self.reverse:
                if result is not None and self.stacks.get(result) != (symbol, 1):
                    copies.append(f"next{j}[...] = {self.names.of(result, False)}")
            elif result is None:
                copies.append(f"{place}[...] = 0")
            elif self.scratch.of.get(result) != self.scratch.of[symbol]:
                source = self.names.of(result, False)
                if root(result) in carried and result is not symbol:
                    lines.append(f"h{j} = {source}.copy()")
                    source = f"h{j}"
                copies.append(f"{place}[...] = {source}")
        return lines + copies

    def _over_time(self, s: Symbol) -> str:
        """The sum of a value over the steps of a chunk."""
        if s not in self.names.varies:
            return f"{self.names.of(s, True)} * n"
        return self._as_product(s) or f"{self.names.of(s, True)}.sum(0)"

    def _as_product(self, s: Symbol) -> str | None:
        """The sum over time of products a' b, as one product."""
        factors = _factors(s)
        if not factors or s.op not in self.half.after or not set(factors) <= self.half.varies:
            return None
        if any(is_view(x.op) and root(x) in self.given for x in factors):
            return None
        left, right = (f"W{x.number}.reshape(-1, {n})" for x, n in zip(factors, s.shape))
        return f"{self.names.function('dot')}({left}.T, {right})"


def _factors(s: Symbol) -> tuple[Symbol, ...]:
    """a and b of a product a' b of matrices; nothing for other values."""
    if s.op is None or s.op.primitive is not MATMUL:
        return ()
    a, b = s.op.args
    return (a.op.args[0], b) if a.op is not None and a.op.primitive is REVERSED else ()


number = attrgetter("number")


def add_up(total: Any, more: Any) -> Any:
    """The sum so far, and more; written over the first."""
    if total is None:
        return more
    total += more
    return total


def _words(lines: list[str]) -> set[str]:
    return set(re.findall(r"\w+", "\n".join(lines)))


def _unpacked(names: list[str], source: str) -> list[str]:
    return [f"{', '.join(names)}, = {source}"] if names else []
