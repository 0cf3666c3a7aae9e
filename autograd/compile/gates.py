"""Sigmoid gates in few calls: sigmoid(x) = (1 + tanh(x / 2)) / 2.

Halving is exact, so it may be done anywhere: where x is a sum of products, to their weights, once
for all steps. And where all parts of a small value are gates, tanh of the whole is one call.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ..core.primitive import Primitive
from ..ops import elementwise
from ..ops.activations import sigmoid
from ..ops.trigonometric import tanh
from .plan import LINEAR, MATMUL, SPLIT
from .program import Op, Symbol
from .trace import Step

SIGMOID, TANH = sigmoid.primitive, tanh.primitive

Sections = tuple[tuple[float, int], ...]
"""Factors along an axis, each with the number of entries that it is for."""

SMALL = 2048
"""Elements of a value that is quicker to compute with than to call functions for its parts."""


def along(sections: Sections, axis: int, dtype: Any) -> Any:
    """The factors as an array, for this axis, counted from the last."""
    each = np.repeat([f for f, _ in sections], [size for _, size in sections]).astype(dtype)
    return each.reshape(-1, *(1,) * (-1 - axis))


def _scaled(xp: Any, x: Any, *, sections: Sections, axis: int) -> Any:
    return x * xp.asarray(along(sections, axis, x.dtype))


def _opened(xp: Any, x: Any, *, sections: Sections) -> Any:
    factors = xp.asarray(along(sections, -1, x.dtype))
    return xp.tanh(x) * factors + (1 - factors)


SCALED = Primitive("scaled", _scaled, ["x"], {})
"""x times the factors of sections of an axis."""
OPENED = Primitive("opened", _opened, ["x"], {})
"""Of sections of the last axis with factor 1/2, sigmoid(2x); tanh(x) of those with factor 1."""
for _primitive in (SCALED, OPENED):
    _primitive.pointwise = True

WAYS: dict[Primitive, list[tuple[int, ...]]] = {
    elementwise.add.primitive: [(0, 1)],
    elementwise.subtract.primitive: [(0, 1)],
    elementwise.multiply.primitive: [(0,), (1,)],
    LINEAR: [(1,)],
    MATMUL: [(1,)],
}
"""The arguments of an operation whose scaling scales its result."""


def in_few_calls(step: Step) -> list[Op]:
    """Return the operations of the forward pass, with gates in as few calls as possible."""
    return _together(_Halving(step).ops)


class _Halving:
    """The operations (`ops`), with x / 2 in place of x for what is a sigmoid's argument and nothing
    else, where that costs nothing at a step.

    `passing` are the values that can be multiples of what they were, since their arguments can.
    Which of them are is for their readers to say, and so the last operation comes first; `scales`
    has their factors.
    """

    def __init__(self, step: Step) -> None:
        program = step.program
        forward = program.ops[: step.forward_ops]
        uses = Counter(s for op in program.ops for s in op.inputs)
        gradients = [*step.d_carry, *step.d_xs, *step.d_parents]
        uses.update([*step.new, *step.ys, *[d for d in gradients if d is not None]])
        self.follows, self.passing = set(step.carry), set[Symbol]()
        for op in forward:
            if not self.follows.isdisjoint(op.inputs):
                self.follows.update(op.outs)
            if self._passes_on(op):
                self.passing.update(s for s in op.outs if uses[s] == 1)
        self.scales: dict[Symbol, Sections] = {}
        self.ops: list[Op] = []
        for op in reversed(forward):
            self._add(op)
        self.ops.reverse()

    def _add(self, op: Op) -> None:
        """An operation, rewritten, and before it what it needs then."""
        x, primitive, static = op.args[0], op.primitive, op.static
        args = list(op.args)
        scaled: dict[int, Sections] = {}
        if primitive is SIGMOID and x in self.follows and self._is_free(x, x.shape[-1:]):
            half: Sections = ((0.5, x.shape[-1]),)
            primitive, static, scaled = OPENED, {"sections": half}, {0: half}
        elif primitive is SPLIT and not self.scales.keys().isdisjoint(op.outs):
            parts = [self.scales.get(s, ((1.0, s.shape[-1]),)) for s in op.outs]
            scaled = {0: sum(parts, ())}
        elif op.outs[0] in self.scales:
            scaled = dict.fromkeys(self._way(op), self.scales[op.outs[0]])
        before = []
        for i, factors in scaled.items():
            if args[i] in self.passing and primitive is not LINEAR:
                self.scales[args[i]] = factors
            else:
                before.append(_scale(args[i], factors, -2 if primitive is LINEAR else -1))
                args[i] = before[-1].outs[0]
        self.ops += [Op(primitive, tuple(args), static, op.several).giving(op.outs), *before]

    def _is_free(self, x: Any, length: tuple[int, ...], reader: Any = None) -> bool:
        """True if a value can be scaled at no cost per step, by factors for its last axis of the
        given length or for the rows of `linear`'s weights: its arguments can, or it does not
        depend on the carry.
        """
        if not isinstance(x, Symbol) or x.dtype.kind != "f":
            return False
        axis = x.ndim - (2 if reader is LINEAR else 1)
        if axis < 0 or x.shape[axis : axis + 1] != length:
            return False
        return x not in self.follows or (x in self.passing and reader is not LINEAR)

    def _passes_on(self, op: Op) -> bool:
        """True if the results of an operation can be scaled."""
        if op.primitive is SPLIT and op.static["axis"] == op.args[0].ndim - 1:
            return self._is_free(op.args[0], op.args[0].shape[-1:])
        return bool(self._way(op))

    def _way(self, op: Op) -> tuple[int, ...]:
        """Those arguments that are scaled for the result to be; none, if that cannot be."""
        length = op.outs[0].shape[-1:]
        for way in WAYS.get(op.primitive, ()):
            if all(self._is_free(op.args[i], length, op.primitive) for i in way):
                return way
        return ()


def _scale(x: Symbol, factors: Sections, axis: int) -> Op:
    return _like(x, SCALED, sections=factors, axis=axis)


def _like(x: Symbol, primitive: Primitive, **static: Any) -> Op:
    """An operation on a value, with a result of its shape and dtype."""
    made = x.program.symbol(x.program, x.shape, x.dtype, None)
    return Op(primitive, (x,), static).giving((made,))


def _together(ops: list[Op]) -> list[Op]:
    """Return the operations with one activation for a small split value if all of its parts are
    gates or arguments of tanh: calls cost more than elements there.
    """
    made: list[Op] = []
    users: dict[Symbol, list[Op]] = {}
    for op in ops:
        for s in op.inputs:
            users.setdefault(s, []).append(op)
    done: set[Op] = set()
    for op in ops:
        if op in done:
            continue
        made.append(op)
        x = op.args[0]
        if op.primitive is not SPLIT or x.size > SMALL or op.static["axis"] != x.ndim - 1:
            continue
        gates = [[u for u in users.get(s, ()) if u.primitive in FACTORS] for s in op.outs]
        if x.dtype.kind != "f" or not all(len(one) == 1 for one in gates):
            continue
        sections = tuple([(FACTORS[u.primitive], u.outs[0].shape[-1]) for (u,) in gates])
        if any(u.primitive is SIGMOID for (u,) in gates):
            halves = [
                (0.5 if u.primitive is SIGMOID else 1.0, u.outs[0].shape[-1]) for (u,) in gates
            ]
            made.append(_scale(x, tuple(halves), -1))
            (x,) = made[-1].outs
        made.append(_like(x, OPENED, sections=sections))
        parts = tuple([u.outs[0] for (u,) in gates])
        made.append(Op(SPLIT, made[-1].outs, op.static, several=True).giving(parts))
        done.update(u for (u,) in gates)
    return made


FACTORS = {SIGMOID: 0.5, OPENED: 0.5, TANH: 1.0}
