"""Elementwise operations that follow one another as one kernel, for devices that take such text.

On a GPU a call costs the launch of a kernel, and so does every pass over arrays that a kernel could
have kept in registers. Each primitive of the table has an expression in C; a group of operations of
one shape becomes the lines of a kernel as `cupy.ElementwiseKernel` takes it: lists of parameters,
and what is done with one element of each. Primitives that are not in the table run as array calls.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from itertools import count
from typing import Any

import numpy as np

from .. import backend
from ..core.primitive import Primitive
from ..ops import activations, creation, elementwise, logic, selection, trigonometric
from .plan import SPLIT, Half, is_view
from .program import NUMBERS, Op, Symbol
from .trace import Step

_INTEGERS = (8, "signed char"), (16, "short"), (32, "int"), (64, "long long")
C_TYPES = {
    **{f"float{n}": c for n, c in ((16, "float16"), (32, "float"), (64, "double"))},
    **{f"int{n}": c for n, c in _INTEGERS},
    **{f"uint{n}": f"unsigned {c.split()[-1] if n == 8 else c}" for n, c in _INTEGERS},
    "bool": "bool",
}

# --- the table ------------------------------------------------------------------------------------

# Expressions of `x`, or of `a` and `b`, as constants of the type `T` that the result has, or float
# where that is float16: rounded after every operation, as the array module does.
EXACT = {  # of all types
    "add": "a + b",
    "subtract": "a - b",
    "multiply": "a * b",
    "negative": "-x",
    "square": "x * x",
    "maximum": "a > b || a != a ? a : b",  # nan wins
    "minimum": "a < b || a != a ? a : b",
    "fmax": "a >= b || b != b ? a : b",  # nan loses
    "fmin": "a <= b || b != b ? a : b",
    "sign": "x != x ? x : (T)((x > 0) - (x < 0))",
    "relu": "x > 0 || x != x ? x : (T)0",
    "where": "condition != 0 ? a : b",
    "bitwise_and": "a & b",
    "bitwise_or": "a | b",
    "bitwise_xor": "a ^ b",
    "invert": "(T)-1 ^ x",  # of a truth value: not
}
FLOATING = {  # of floating types
    "divide": "a / b",
    "product_or_zero": "(b != 0 ? a : (T)0) * b",
    "reciprocal": "1 / x",
    "sigmoid": "1 / (1 + exp(-x))",
    "logaddexp": "a == b ? a + (T)0.6931471805599453 : a > b ? a + log1p(exp(b - a)) : "
    "a < b ? b + log1p(exp(a - b)) : a - b",
    "softplus": "x > 0 ? x + log1p(exp(-x)) : log1p(exp(x))",
    "remainder": "fmod(a, b) == 0 ? copysign((T)0, b) : "
    "(fmod(a, b) < 0) != (b < 0) ? fmod(a, b) + b : fmod(a, b)",
    **{name: f"{name}(a, b)" for name in ("copysign", "fmod", "hypot")},
    "arctan2": "atan2(a, b)",
    "absolute": "fabs(x)",
    **{f"arc{name}": f"a{name}(x)" for name in ("cos", "sin", "tan", "cosh", "sinh", "tanh")},
    **{
        name: f"{name}(x)"
        for name in (
            *("cbrt", "ceil", "cos", "cosh", "erf", "exp", "exp2", "expm1", "fabs", "floor"),
            *("log", "log10", "log1p", "log2", "rint", "sin", "sinh", "sqrt", "tan", "tanh"),
            "trunc",
        )
    },
}
JUDGING = {  # truth values; T is the type that the arguments have in common
    "equal": "a == b",
    "not_equal": "a != b",
    "less": "a < b",
    "less_equal": "a <= b",
    "greater": "a > b",
    "greater_equal": "a >= b",
    "logical_and": "a != 0 && b != 0",
    "logical_or": "a != 0 || b != 0",
    "logical_xor": "(a != 0) != (b != 0)",
    "logical_not": "x == 0",
    "isnan": "x != x",
    "isinf": "x == x && x - x != 0",
    "isfinite": "x - x == 0",
}


def _power(op: Op) -> str:
    square = type(op.args[1]) in NUMBERS and op.args[1] == 2
    return "a * a" if square else "pow(a, b)"


def _clip(op: Op) -> str | None:
    """The maximum with one limit, then the minimum with the other."""
    code = "x"
    for limit, sign in ((op.static["low"], "<"), (op.static["high"], ">")):
        if limit is not None:
            number = _number(limit, op.outs[0].dtype)
            if number is None or limit != limit:
                return None
            code = f"({code}) {sign} {number} ? {number} : {code}"
    return code


def _astype(op: Op) -> str | None:
    """Return the code of a cast; None for nan and large values, which differ between devices."""
    to, of = op.outs[0].dtype.kind, op.args[0].dtype.kind
    if to == "b":
        return "x != 0"
    return None if to in "iu" and of == "f" else "(T)x"


def _by_primitive(table: dict[str, Any]) -> dict[Primitive, Any]:
    modules = (elementwise, trigonometric, activations, logic, selection, creation)
    operations = {name: operation for module in modules for name, operation in vars(module).items()}
    return {operations[name].primitive: rule for name, rule in table.items()}


floating = _by_primitive(
    {
        **FLOATING,
        "power": _power,
        "_clip": _clip,
        "_round": lambda op: None if op.static["decimals"] else "rint(x)",
    }
)
judging = _by_primitive(JUDGING)
TABLE: dict[Primitive, str | Callable[[Op], str | None]] = {
    **_by_primitive({**EXACT, "_astype": _astype}),
    **floating,
    **judging,
}
"""The expression of a primitive; or what it is for an operation, None where there is none."""


# --- an operation as a line -----------------------------------------------------------------------


def line(op: Op) -> str | None:
    """`const float v5 = v3 * v4;`, or None for what is not to be part of a kernel."""
    if op.primitive not in TABLE:
        return None
    (out,), numbers = op.outs, [x for x in op.args if not isinstance(x, Symbol)]
    symbols = [x for x in op.args if isinstance(x, Symbol)]
    if any(s.dtype.name not in C_TYPES for s in (out, *symbols)):
        return None
    if op.primitive in floating and out.dtype.kind != "f":
        return None
    rule, kind = TABLE[op.primitive], out.dtype
    code = rule if isinstance(rule, str) else rule(op)
    if code is None:
        return None
    if op.primitive in judging:
        kind = np.result_type(*[s.dtype for s in symbols], *numbers)
        if kind.kind == "f" and all(s.dtype.kind != "f" for s in symbols) and not numbers:
            return None  # of 64-bit integers with and without sign
    values = {"T": _computed(kind)}
    for name, x in zip(op.primitive.arguments, op.args, strict=True):
        as_it_is = name == "condition" or op.primitive is creation._astype.primitive
        value = _value(x, x.dtype if as_it_is and isinstance(x, Symbol) else kind)
        if value is None:
            return None
        values[name] = value
    code = re.sub(r"[A-Za-z_]\w*", lambda word: values.get(word[0], word[0]), code)
    return f"const {C_TYPES[out.dtype.name]} {out} = {code};"


def _computed(dtype: Any) -> str:
    """The type that is computed in."""
    return "float" if dtype == np.float16 else C_TYPES[dtype.name]


def _value(x: Any, dtype: Any) -> str | None:
    """An argument as a value of this type."""
    if not isinstance(x, Symbol):
        return _number(x, dtype)
    same = x.dtype == dtype and dtype != np.float16
    return repr(x) if same else f"({_computed(dtype)}){x}"


def _number(x: Any, dtype: Any) -> str | None:
    try:
        with np.errstate(over="ignore"):
            value = np.array(x, dtype).item()
    except OverflowError:
        return None
    if dtype.kind == "f" and not np.isfinite(value):
        code = "fabs(sqrt(-1.0))" if value != value else "log(0.0)" if value < 0 else "-log(0.0)"
    elif dtype.kind in "iu" and abs(value) >= 1 << 31:
        return None
    else:
        code = repr(value).lower()
    return f"({_computed(dtype)}){code}" if dtype.kind != "b" else code


# --- groups ---------------------------------------------------------------------------------------

ROOM = 3900
"""Bytes that the parameters of a kernel may have; CUDA allows 4096, and CuPy adds an index."""

DEEP = 50
"""Maximum length of a chain of operations through which splits move to the arguments."""


class Kernel(Primitive):
    """A group of operations: `inputs`, `outputs` and `code` as an elementwise kernel has them."""

    def __init__(self, name: str, ops: list[Op], ins: list[Symbol], outs: list[Symbol]) -> None:
        super().__init__(name, _unused, [], {})
        self.pointwise = True
        self.ops = ops
        self.inputs = ", ".join(f"{s.dtype.name} {s}" for s in ins)
        self.outputs = ", ".join(f"{s.dtype.name} out{s.number}" for s in outs)
        # What is written may lie where something is read: everything is computed before.
        self.code = "\n".join([*map(str, map(line, ops)), *[f"out{s.number} = {s};" for s in outs]])

    def on(self, home: backend.Backend) -> Any:
        """The kernel as a function of arrays, those that it reads and those that it writes."""
        return home.elementwise_kernel(self.inputs, self.outputs, self.code, self.name)

    def __str__(self) -> str:
        lines = [f"{self.name}({self.inputs})", f"-> {self.outputs}", *self.code.split("\n")]
        return "\n    ".join(lines)

    def __repr__(self) -> str:
        return f"Kernel({self.name}({self.inputs}) -> {self.outputs}, {len(self.ops)} operations)"


def on_paper(home: backend.Backend, fuses: bool) -> backend.Backend:
    """A backend that is like another but takes kernels, or does not: for plans that are read."""
    paper = copy(home)
    paper.supports_kernels = fuses
    paper.elementwise_kernel = lambda *text: text  # type: ignore
    return paper


def _unused(xp: Any) -> None:
    """The code calls the kernel instead."""


def fused(half: Half, name: str) -> None:
    """Put kernels in the place of elementwise operations before, in and after the loop."""
    sections = [half.once, half.before, half.loop, half.after]
    readers: dict[Symbol, set[Op]] = {}
    for op in [op for section in sections for op in section]:
        for s in op.inputs:
            readers.setdefault(s, set()).add(op)
    numbers = count()

    def ends(group: list[Op]) -> tuple[list[Symbol], list[Symbol]]:
        """Return the inputs of a group, and the results that other operations read."""
        made = dict.fromkeys(s for op in group for s in op.outs)
        ins = dict.fromkeys(s for op in group for s in op.inputs if s not in made)
        within = set(group)
        return list(ins), [s for s in made if s in half.wanted or readers.get(s, set()) - within]

    def fits(group: list[Op]) -> bool:
        arrays = sum(map(len, ends(group)))
        each: int = 16 * (group[0].outs[0].ndim + 2)
        return arrays * each <= ROOM

    def kernels(ops: list[Op]) -> Iterable[Op]:
        """Operations, all of one shape, as kernels with room for their parameters."""
        groups: list[list[Op]] = []
        for op in ops:
            if groups and fits([*groups[-1], op]):
                groups[-1].append(op)
            else:
                groups.append([op])
        for group, (ins, outs) in [(group, ends(group)) for group in groups]:
            made = Op(Kernel(f"{name}{next(numbers)}", group, ins, outs), tuple(ins), {}, True)
            made.outs = tuple(outs)
            for s in outs:
                s.op = made
            yield made

    for section in sections[1:]:
        section[:] = [op for some in _together(section) for op in (
            kernels(some) if isinstance(some, list) else [some]
        )]  # fmt: skip


def _together(ops: Sequence[Op]) -> Iterable[Op | list[Op]]:
    """Return the operations in another order, with lists of operations that can be one kernel.

    The level of an operation is one above the operations that it has to wait for. A kernel need not
    wait for its own operations: elementwise operations whose results have one shape.
    """
    made = {s: op for op in ops for s in op.outs}
    shapes = {op: op.outs[0].shape for op in ops if line(op) is not None}
    levels: dict[Op, int] = {}
    for op in ops:
        found = [-1 if is_view(op) else 0]
        for s in op.inputs:
            if (maker := made.get(s)) is not None:
                same = maker in shapes and shapes[maker] == shapes.get(op)
                found.append(levels[maker] + (not same and not is_view(op)))
        levels[op] = max(found)
    groups: dict[Any, list[Op]] = {}
    for op in sorted(ops, key=lambda op: (levels[op], is_view(op))):
        groups.setdefault((levels[op], shapes.get(op, op)), []).append(op)
    for group in groups.values():
        yield group if group[0] in shapes else group[0]


def by_parts(step: Step) -> list[Op]:
    """Return the operations of the forward pass with splits moved from elementwise results to their
    arguments: operations on the parts have the shape of the parts, and can be one kernel.
    """
    ops = step.program.ops[: step.forward_ops]
    made: list[Op] = []
    parts: dict[Any, tuple[Symbol, ...]] = {}
    readers = Counter(s for op in ops for s in op.inputs)

    def split(x: Symbol, like: Op, axis: int, outs: tuple[Symbol, ...], depth: int) -> None:
        """Write down what makes the parts of x along an axis, which is counted from the last."""
        parts[x, like.static["indices"], axis] = outs
        op = x.op
        if op is None or readers[x] > 1 or depth == DEEP or line(op) is None:
            static = {**like.static, "axis": x.ndim + axis}
            made.append(Op(SPLIT, (x,), static, several=True).giving(outs))
            return
        args = []
        for a in op.args:
            if isinstance(a, Symbol) and a.ndim >= -axis and a.shape[axis] == x.shape[axis] > 1:
                key = a, like.static["indices"], axis
                if key not in parts:
                    split(a, like, axis, tuple([_part(a, s, axis) for s in outs]), depth + 1)
                args.append(parts[key])
            else:
                args.append((a,) * len(outs))
        for out, *one in zip(outs, *args, strict=True):
            made.append(Op(op.primitive, tuple(one), op.static).giving((out,)))

    for op in ops:
        if op.primitive is SPLIT:
            (x,) = op.args
            split(x, op, op.static["axis"] - x.ndim, op.outs, 0)
        else:
            made.append(op)
    return made


def _part(x: Symbol, like: Symbol, axis: int) -> Symbol:
    """A symbol for a part of x that is as long as another part."""
    shape = list(x.shape)
    shape[axis] = like.shape[axis]
    return x.program.symbol(x.program, tuple(shape), x.dtype, None)
