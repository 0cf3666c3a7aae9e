"""A plan as Python code: loops of calls that write into arrays made beforehand.

The code is text, compiled once per plan, and can be read (`autograd.explain` shows it). What is
computed for several steps at once is so for a chunk of them, the arrays of which stay in the cache.
Sums of products over time, which weights get for a gradient, wait for a block of chunks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from .. import backend
from .code import Code
from .kernels import Kernel
from .plan import CONCATENATE, MATMUL, REVERSED, TRANSPOSE, Half, is_view, root
from .program import Op, Symbol, pointwise


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
                    over = [s for s in dying if may_overwrite(op, s) and (s.shape, s.dtype) == key]
                    if over:
                        self.of[out] = self.of[over[0]]
                        dying.remove(over[0])
                    elif free.get(key):
                        self.of[out] = free[key].pop()
                    else:
                        self.new(out)
            for s in dying:
                free.setdefault((s.shape, s.dtype), []).append(self.of[s])


def may_overwrite(op: Op, s: Symbol) -> bool:
    """Whether an operation may write its result over an argument: element by element, and no other
    argument looks at the same array.
    """
    others = [x for x in op.args if isinstance(x, Symbol) and x is not s]
    return op.primitive.pointwise and s in op.args and s not in map(root, others)


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
        self.name, self.half, self.reverse, self.stacks = name, half, reverse, stacks
        self.given, self.constants = given, constants
        self.outs, self.totals, self.rolling = outs, totals, rolling
        self.names = Code(home, half.varies)
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
        readers = Counter(s for op in (*half.before, *half.loop, *half.after) for s in op.inputs)
        readers.update(s for s in self.outs if s is not None)
        self.products = {
            s for s in self.totals if s is not None and not readers[s] and self._as_product(s)
        }
        after -= self.products | half.scattered
        before -= self.products | half.scattered
        factors = {root(x) for s in self.products for x in _factors(s)}
        for s in sorted(factors & (before | inside | after) - set(self.stacks), key=number):
            self.block.new(s)
        later = {root(s) for op in half.after for s in op.inputs}
        later |= {root(s) for s in (*self.outs, *self.totals) if s is not None}
        later |= {root(x) for s in half.scattered if s.op for x in s.op.inputs}
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
        return all(n < i or (n == i and may_overwrite(op, g)) for n in readers)

    def _find_parts(self, ours: set[Symbol], results: set[Symbol]) -> None:
        """Values that go into nothing but a concatenation are made in its place at once."""
        uses = Counter(s for op in (*self.half.loop, *self.half.after) for s in op.inputs)
        for op in self.half.loop:
            if op.primitive is CONCATENATE:
                axis, start = op.static["axis"], 0
                for s in op.args:
                    end = start + s.shape[axis]
                    fits = s in ours and s not in results and uses[s] == 1
                    fits = fits and s not in self.scratch.of and s.dtype == op.outs[0].dtype
                    if fits and pointwise(s.op.primitive):
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
        """The code, and what it wants: `fixed` arrays, `arrays` over a chunk and their `lists` of
        steps, places of the `next` carry in such lists, and arrays over a `block`.
        """
        half, names = self.half, self.names
        loop = [f"note{s.number}[...] = {names.of(s, False)}" for s in self.noted]
        loop += [line for op in half.loop for line in self._at_a_step(op)] + self._handed_on()
        before = [line for op in half.before for line in self._at_once(op)]
        after = [line for op in half.after for line in self._at_once(op)]
        after += [
            f"out{n}[lo:hi] = {names.of(s, True)}" for n, s in enumerate(self.outs) if s is not None
        ]
        sums: list[str] = []
        for n, s in enumerate(self.totals):
            if s is not None:
                if s in half.scattered:
                    after.append(f"t{n} = {self._added_at(s, n)}")
                    continue
                lines = sums if s in self.products else after
                lines.append(f"t{n} = add_up(t{n}, {self._over_time(s)})")
        cut = [f"{names.of(g, False)}[...] = 0" for g, _ in half.carried if self.reverse]
        rolling = range(len(half.carried) if self.rolling else 0)
        ends = [f"{end}{j}" for j in rolling for end in ("first", "last")]
        rolled = [f"first{j}[...] = last{j}" for j in rolling]

        moving = sorted(half.varies, key=number)
        at_once, at_a_step, in_sums = map(_words, ([*before, *after], [*loop, *cut], sums))
        stepwise = [s for s in moving if f"v{s.number}" in at_a_step]
        self.fixed = [s for s in stepwise if self.is_fixed(s)]
        self.lists = [s for s in stepwise if self.is_made(s) and s not in self.fixed]
        called = [s for s in stepwise if s not in self.fixed and s not in self.lists]
        self.arrays = [s for s in moving if f"V{s.number}" in at_once and self.is_made(s)]
        self.next = [j for j in range(len(half.carried)) if f"next{j}" in at_a_step]
        summed = [s for s in moving if f"W{s.number}" in in_sums]
        self.blocks = [s for s in summed if self.is_made(s)]

        looped = [*_named("v", self.lists), *[f"next{j}" for j in self.next]]
        looped += _named("note", self.noted)
        lists = [f"L{n}" for n in range(len(looped))]
        looped += _named("v", called)
        sources = lists + [f"V{s.number}" + "[::-1]" * self.reverse for s in called]
        head = f"for {', '.join(looped)}, in zip({', '.join(sources)}):"
        chunk = [
            "n = hi - lo",
            *_unpacked(_named("V", self.arrays), "arrays"),
            *_unpacked(lists, "lists"),
            *_under("if lo:", rolled),
            *[
                f"V{s.number} = x{s.number}[lo:hi]"
                for s in self.given
                if f"V{s.number}" in at_once or s in called
            ],
            *before,
            *_under(head if looped else "for _ in range(n):", loop),
            *after,
            *_under(
                "if block is not None:",
                _unpacked(_named("W", self.blocks), "block[2]")
                + [
                    f"W{s.number} = x{s.number}[block[0] : block[1]]"
                    for s in summed
                    if s not in self.blocks
                ]
                + sums
                if sums
                else [],
            ),
            *_under("if lo in cuts:", cut),
        ]
        totals = [f"t{n}" for n in range(len(self.totals))]
        once = [names.assigned(op, False) for op in half.once]
        code = [
            *_unpacked(_named("x", self.given), "given"),
            *_unpacked(_named("k", self.constants), "constants"),
            *_unpacked([f"out{n}" for n in range(len(self.outs))], "outs"),
            *_unpacked(_named("v", self.fixed) + ends, "fixed"),
            *once,
            *names.once.values(),
            *[f"{total} = None" for total in totals],
            *_under("for lo, hi, arrays, lists, block in chunks:", chunk),
            f"return [{', '.join(totals)}]",
        ]
        head = f"def {self.name}(given, constants, outs, fixed, chunks, cuts):"
        return "\n".join(_under(head, code))

    def _at_once(self, op: Op) -> list[str]:
        """Lines that do an operation for all steps of a chunk."""
        if not (self.products | self.half.scattered).isdisjoint(op.outs):
            return []  # it is summed over time as a whole
        if is_view(op):
            return [] if self.is_made(op.args[0]) else [self.names.assigned(op, True)]
        if isinstance(op.primitive, Kernel):
            return [self.names.launched(op, True)]
        if op.several:
            return [self.names.assigned(op, True)]
        return self.names.into(op, self.names.of(op.outs[0], True), True, True)

    def _at_a_step(self, op: Op) -> list[str]:
        names = self.names
        if is_view(op):
            return []
        if isinstance(op.primitive, Kernel):
            return [names.launched(op, False)]
        if op.several:
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

    def _added_at(self, s: Symbol, n: int) -> str:
        """The n-th total with the values of a chunk added at their indices."""
        op: Any = s.op
        values, index = self.names.of(op.args[0], True), self.names.of(op.static["index"], True)
        self.names.objects["added_at"] = added_at
        return f"added_at(t{n}, {s.shape}, {index}, {values})"

    def _as_product(self, s: Symbol) -> str | None:
        """The sum over time of products a' b, as one product."""
        factors = _factors(s)
        at_once = s.op in (*self.half.before, *self.half.after)
        if not factors or not at_once or not set(factors) <= self.half.varies:
            return None
        if any(is_view(x.op) and root(x) in self.given for x in factors):
            return None
        left, right = (f"W{x.number}.reshape(-1, {x.shape[1]})" for x in factors)
        return f"{self.names.function('dot')}({left}.T, {right})"


def _factors(s: Symbol) -> tuple[Symbol, ...]:
    """a and b of a product a' b of matrices; nothing for other values."""
    if s.op is None or s.op.primitive is not MATMUL:
        return ()
    a, b = s.op.args
    turned = a.op
    if turned is None or not a.ndim == b.ndim == 2:
        return ()
    swaps = turned.primitive is TRANSPOSE and turned.static["axes"] == (1, 0)
    return (turned.args[0], b) if swaps or turned.primitive is REVERSED else ()


number = attrgetter("number")


def add_up(total: Any, more: Any) -> Any:
    """The sum so far, and more; written over the first."""
    if total is None:
        return more
    total += more
    return total


def added_at(total: Any, shape: tuple[int, ...], index: Any, values: Any) -> Any:
    """The same for values that belong to some places of it."""
    home = backend.of(values)
    if total is None:
        total = home.xp.zeros(shape, values.dtype)
    home.scatter_add(total, index, values)
    return total


def _words(lines: list[str]) -> set[str]:
    return set(re.findall(r"\w+", "\n".join(lines)))


def _named(letter: str, symbols: Iterable[Symbol]) -> list[str]:
    return [f"{letter}{s.number}" for s in symbols]


def _unpacked(names: list[str], source: str) -> list[str]:
    return [f"{', '.join(names)}, = {source}"] if names else []


def _under(head: str, lines: list[str]) -> list[str]:
    """A statement with what it governs; nothing if there is nothing to govern."""
    return [head, *[f"    {line}" for line in lines]] if lines else []
