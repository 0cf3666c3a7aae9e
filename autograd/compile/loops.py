"""A plan as Python code: loops of calls that write into preallocated arrays.

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
from .code import Code, accumulator
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
    """True if an operation may write its result over an argument: it is elementwise, and no other
    argument is a view of the same array.
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
        """A place for every value that is written somewhere."""
        half = self.half
        self.products = self._products()
        summed = self.products | half.scattered
        before, inside, after = (
            {s for op in ops for s in op.outs if not is_view(op)} - summed
            for ops in (half.before, half.loop, half.after)
        )
        factors = {root(x) for s in self.products for x in _factors(s)}
        later, results = self._read_later(), {root(s) for _, s in half.carried if s is not None}

        for s in sorted(factors & (before | inside | after) - set(self.stacks), key=number):
            self.block.new(s)
        elsewhere = {*self.stacks, *self.block.of}
        for s in sorted(inside & later - elsewhere, key=number):
            self.chunk.new(s)
        # A carried gradient has one buffer for all steps; operations after the loop need every one.
        self.noted = [g for g, _ in half.carried if self.reverse and g in later | factors]
        for g in self.noted:
            (self.block if g in factors else self.chunk).new(g)
        in_loop = {root(s) for op in half.loop for s in op.inputs}
        self.chunk.settle(half.before, before - elsewhere, later | in_loop | results)
        self.chunk.settle(half.after, after - elsewhere, later & after)
        self._settle_at_a_step(inside - elsewhere - set(self.chunk.of), results)

    def _settle_at_a_step(self, ours: set[Symbol], results: set[Symbol]) -> None:
        """Allocate buffers for values that are not read after their step."""
        carried = self.half.carried
        if self.reverse:  # in the backward pass the carry has one buffer, written at every step
            for g, d in carried:
                n = self.scratch.new(g)
                if d in ours and self._may_replace(g, d):
                    self.scratch.of[d] = n
        self._find_parts(ours, results)
        wholes = [whole for whole, *_ in self.parts.values()]
        for whole in wholes:
            if whole in ours and whole not in self.scratch.of:
                self.scratch.new(whole)
        lasting = {*results, *wholes, *[s for pair in carried for s in pair if s is not None]}
        self.scratch.settle(self.half.loop, ours - set(self.parts), lasting)

    def _products(self) -> set[Symbol]:
        """Return the totals that are one product over many steps, not read at single steps."""
        half = self.half
        read = {s for op in (*half.before, *half.loop, *half.after) for s in op.inputs}
        only_summed = {s for s in self.totals if s is not None} - read - set(self.outs)
        return {s for s in only_summed if self._as_product(s)}

    def _read_later(self) -> set[Symbol]:
        """Return the values that are read for all steps of a chunk after its loop."""
        half = self.half
        results = [s for s in (*self.outs, *self.totals) if s is not None]
        added = [op for op in half.before if not half.scattered.isdisjoint(op.outs)]
        return set(map(root, [*results, *[s for op in (*half.after, *added) for s in op.inputs]]))

    def _may_replace(self, g: Symbol, d: Symbol) -> bool:
        """True if the operation that computes `d` may write it over the gradient `g`."""
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
        """True if the array over the steps of a chunk is preallocated."""
        s = root(s)
        return (
            s in self.stacks
            or s in self.chunk.of
            or s in self.block.of
            or (s in self.parts and self.is_made(self.parts[s][0]))
        )

    def is_fixed(self, s: Symbol) -> bool:
        """True if all steps use one array."""
        s = root(s)
        return s in self.scratch.of or (s in self.parts and self.is_fixed(self.parts[s][0]))

    # --- code -------------------------------------------------------------------------------------

    def _write(self) -> str:
        """The code: chunk after chunk, between what is done once and the totals."""
        half, names = self.half, self.names
        totals = [f"t{n}" for n in range(len(self.totals))]
        chunk = self._of_a_chunk()
        rolling = range(len(half.carried) if self.rolling else 0)
        ends = [f"{end}{j}" for j in rolling for end in ("first", "last")]
        code = [
            *_unpacked(_named("x", self.given), "given"),
            *_unpacked(_named("k", self.constants), "constants"),
            *_unpacked([f"out{n}" for n in range(len(self.outs))], "outs"),
            *_unpacked(_named("v", self.fixed) + ends, "fixed"),
            *[names.assigned(op, False) for op in half.once],
            *names.once.values(),
            *[f"{total} = None" for total in totals],
            *_under("for lo, hi, arrays, lists, block in chunks:", chunk),
            f"return [{', '.join(totals)}]",
        ]
        head = f"def {self.name}(given, constants, outs, fixed, chunks, cuts):"
        return "\n".join(_under(head, code))

    def _of_a_chunk(self) -> list[str]:
        """Lines for the steps of a chunk: what is done at once before and after their loop."""
        half, names = self.half, self.names
        loop = [f"note{s.number}[...] = {names.of(s, False)}" for s in self.noted]
        loop += [line for op in half.loop for line in self._at_a_step(op)] + self._handed_on()
        before = [line for op in half.before for line in self._at_once(op)]
        after = [line for op in half.after for line in self._at_once(op)]
        after += [
            f"out{n}[lo:hi] = {names.of(s, True)}" for n, s in enumerate(self.outs) if s is not None
        ]
        after += self._summed(of_products=False)
        sums = self._summed(of_products=True)
        cut = [f"{names.of(g, False)}[...] = 0" for g, _ in half.carried if self.reverse]
        self._want([*before, *after], [*loop, *cut], sums)
        rolled = [f"first{j}[...] = last{j}" for j in range(len(half.carried)) if self.rolling]
        lists = [f"L{n}" for n in range(len(self.lists) + len(self.next) + len(self.noted))]
        return [
            "n = hi - lo",
            *_unpacked(_named("V", self.arrays), "arrays"),
            *_unpacked(lists, "lists"),
            *_under("if lo:", rolled),
            *[f"V{s.number} = x{s.number}[lo:hi]" for s in self.slices],
            *before,
            *_under(self._head(lists), loop),
            *after,
            *_under("if block is not None:", sums and [*self._of_a_block(), *sums]),
            *_under("if lo in cuts:", cut),
        ]

    def _summed(self, of_products: bool) -> list[str]:
        """Lines that add to the totals, of a chunk's steps or, those of products, of a block's."""
        return [
            f"t{n} = {self._added_at(s, n)}"
            if s in self.half.scattered
            else f"t{n} = add_up(t{n}, {self._over_time(s)})"
            for n, s in enumerate(self.totals)
            if s is not None and (s in self.products) is of_products
        ]

    def _want(self, at_once: list[str], at_a_step: list[str], in_sums: list[str]) -> None:
        """Note the names that the lines use: `fixed` arrays; `arrays` over a chunk, and `lists` of
        their steps; `slices` of inputs, of which some are `called` step by step; places of
        the `next` carry; arrays over a block, which are there (`blocks`) or given.
        """
        moving = sorted(self.half.varies, key=number)
        words = [_words(lines) for lines in (at_a_step, at_once, in_sums)]
        stepwise, over_chunk, summed = (
            [s for s in moving if f"{letter}{s.number}" in spoken]
            for letter, spoken in zip("vVW", words, strict=True)
        )
        self.fixed = [s for s in stepwise if self.is_fixed(s)]
        self.lists = [s for s in stepwise if self.is_made(s) and s not in self.fixed]
        self.called = [s for s in stepwise if s not in self.fixed and s not in self.lists]
        self.arrays = [s for s in over_chunk if self.is_made(s)]
        self.slices = [s for s in self.given if s in over_chunk or s in self.called]
        self.next = [j for j in range(len(self.half.carried)) if f"next{j}" in words[0]]
        self.blocks = [s for s in summed if self.is_made(s)]
        self.given_to_block = [s for s in summed if s not in self.blocks]

    def _head(self, lists: list[str]) -> str:
        """The head of the loop over steps."""
        looped = [*_named("v", self.lists), *[f"next{j}" for j in self.next]]
        looped += [*_named("note", self.noted), *_named("v", self.called)]
        sources = lists + [f"V{s.number}" + "[::-1]" * self.reverse for s in self.called]
        if not looped:
            return "for _ in range(n):"
        return f"for {', '.join(looped)}, in zip({', '.join(sources)}):"

    def _of_a_block(self) -> list[str]:
        """Lines that name the arrays over a block."""
        given = [f"W{s.number} = x{s.number}[block[0] : block[1]]" for s in self.given_to_block]
        return _unpacked(_named("W", self.blocks), "block[2]") + given

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
        """Return lines that write the carry where the next step reads it."""
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
        return self._as_product(s) or f"{self.names.of(s, True)}.sum(0, {accumulator(s)!r})"

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
    """Add values to some places of a total."""
    home = backend.of_array(values)
    if total is None:
        total = home.xp.zeros(shape, accumulator(values) or values.dtype)
    home.scatter_add(total, index, values.astype(total.dtype))
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
