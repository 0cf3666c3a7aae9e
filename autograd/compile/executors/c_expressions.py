"""C expressions of elementwise primitives: one table for all executors that generate C or CUDA.

An operation becomes one statement that computes one element of its result. Primitives without an
expression run as calls of array functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.primitive import Primitive
from ...ops import activations, creation, elementwise, logic, selection, trigonometric
from ..ir import NUMBERS, Op, Value

_INTEGERS = (8, "signed char"), (16, "short"), (32, "int"), (64, "long long")
C_TYPES = {
    **{f"float{n}": c for n, c in ((16, "float16"), (32, "float"), (64, "double"))},
    **{f"int{n}": c for n, c in _INTEGERS},
    **{f"uint{n}": f"unsigned {c.split()[-1] if n == 8 else c}" for n, c in _INTEGERS},
    "bool": "bool",
}

# --- the table ------------------------------------------------------------------------------------

# Expressions of the arguments `x`, or `a` and `b`, which are constants of the type `T` of the
# result (float for float16). Every operation is rounded, as in the array module.
EXACT = {  # all dtypes
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
    "invert": "(T)-1 ^ x",  # logical not for booleans
}
FLOATING = {  # floating dtypes
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
COMPARISONS = {  # boolean results; T is the common type of the arguments
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
    """Return the maximum with the lower limit, then the minimum with the upper one."""
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
    to, source = op.outs[0].dtype.kind, op.args[0].dtype.kind
    if to == "b":
        return "x != 0"
    return None if to in "iu" and source == "f" else "(T)x"


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
comparisons = _by_primitive(COMPARISONS)
TABLE: dict[Primitive, str | Callable[[Op], str | None]] = {
    **_by_primitive({**EXACT, "_astype": _astype}),
    **floating,
    **comparisons,
}
"""The expression of a primitive, or a function of the operation that returns it, or None without an
expression.
"""


# --- statements -----------------------------------------------------------------------------------


def statement(op: Op) -> str | None:
    """Return an operation as a statement, such as `const float v5 = v3 * v4;`; None without one."""
    if op.primitive not in TABLE:
        return None
    (out,), numbers = op.outs, [x for x in op.args if not isinstance(x, Value)]
    values = [x for x in op.args if isinstance(x, Value)]
    if any(s.dtype.name not in C_TYPES for s in (out, *values)):
        return None
    if op.primitive in floating and out.dtype.kind != "f":
        return None
    rule, kind = TABLE[op.primitive], out.dtype
    code = rule if isinstance(rule, str) else rule(op)
    if code is None:
        return None
    if op.primitive in comparisons:
        kind = np.result_type(*[s.dtype for s in values], *numbers)
        if kind.kind == "f" and all(s.dtype.kind != "f" for s in values) and not numbers:
            return None  # 64-bit integers with and without sign have no common integer type
    names = {"T": _c_type(kind)}
    for name, x in zip(op.primitive.arguments, op.args, strict=True):
        keeps_dtype = name == "condition" or op.primitive is creation._astype.primitive
        argument = _argument(x, x.dtype if keeps_dtype and isinstance(x, Value) else kind)
        if argument is None:
            return None
        names[name] = argument
    code = re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), code)
    return f"const {C_TYPES[out.dtype.name]} {out} = {code};"


def _c_type(dtype: Any) -> str:
    """Return the C type in which a dtype is computed."""
    return "float" if dtype == np.float16 else C_TYPES[dtype.name]


def _argument(x: Any, dtype: Any) -> str | None:
    """Return an argument as an expression of a dtype."""
    if not isinstance(x, Value):
        return _number(x, dtype)
    same = x.dtype == dtype and dtype != np.float16
    return repr(x) if same else f"({_c_type(dtype)}){x}"


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
    return f"({_c_type(dtype)}){code}" if dtype.kind != "b" else code
