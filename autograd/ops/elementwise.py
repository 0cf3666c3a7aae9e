"""Operations element by element: all of calculus as a table, one line per argument.

`g` is the gradient of the result, `x` (or `a`, `b`) the arguments, `y` the result.
"""

from __future__ import annotations

from typing import Any

from .._primitive import elementwise, primitive

__all__ = [
    "abs",
    "absolute",
    "add",
    "arctan",
    "astype",
    "bitwise_and",
    "bitwise_or",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "greater",
    "greater_equal",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_and",
    "logical_not",
    "logical_or",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "reciprocal",
    "relu",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "where",
]


# --- arithmetic -----------------------------------------------------------------------------------

add = elementwise("add", lambda g: g, lambda g: g)
subtract = elementwise("subtract", lambda g: g, lambda g: -g)
multiply = elementwise("multiply", lambda g, b: g * b, lambda g, a: g * a)
divide = elementwise("divide", lambda g, b: g / b, lambda g, b, y: -g * y / b)
negative = elementwise("negative", lambda g: -g)
square = elementwise("square", lambda g, x: g * (2 * x))
reciprocal = elementwise("reciprocal", lambda g, y: -g * y * y)


def _power_base(g: Any, a: Any, b: Any) -> Any:
    """b a^(b-1), and 0 where b = 0, whatever a is."""
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b != 0 else g * 0
    return g * (b * a ** where(b == 0, 1, b - 1))


def _power_exponent(g: Any, a: Any, y: Any) -> Any:
    """y log(a), and 0 where a = 0; a negative base has no derivative by its exponent: nan."""
    return g * y * log(where(a == 0, 1, a))


power = elementwise("power", _power_base, _power_exponent, doc="a to the power b.")

# --- exponentials, logarithms, roots --------------------------------------------------------------

exp = elementwise("exp", lambda g, y: g * y)
expm1 = elementwise("expm1", lambda g, y: g * (y + 1))
log = elementwise("log", lambda g, x: g / x)
log2 = elementwise("log2", lambda g, x: g / (x * 0.6931471805599453))
log10 = elementwise("log10", lambda g, x: g / (x * 2.302585092994046))
log1p = elementwise("log1p", lambda g, x: g / (x + 1))
sqrt = elementwise("sqrt", lambda g, y: g * 0.5 / y)


def _share(g: Any, a: Any, b: Any) -> Any:
    """g where a > b, half of it where they are equal, 0 elsewhere."""
    return 0.5 * (g * (a > b) + g * (a >= b))


maximum = elementwise(
    "maximum",
    _share,
    lambda g, a, b: _share(g, b, a),
    doc="Equal elements share the gradient evenly.",
)
minimum = elementwise(
    "minimum",
    lambda g, a, b: _share(g, b, a),
    _share,
    doc="Equal elements share the gradient evenly.",
)
absolute = elementwise("absolute", lambda g, x: g * sign(x), doc="The derivative at 0 is 0.")
abs = absolute

# --- trigonometric, hyperbolic --------------------------------------------------------------------

sin = elementwise("sin", lambda g, x: g * cos(x))
cos = elementwise("cos", lambda g, x: -g * sin(x))
tan = elementwise("tan", lambda g, y: g * (1 + y * y))
arctan = elementwise("arctan", lambda g, x: g / (1 + x * x))
sinh = elementwise("sinh", lambda g, x: g * cosh(x))
cosh = elementwise("cosh", lambda g, x: g * sinh(x))
tanh = elementwise("tanh", lambda g, y: g * (1 - y * y))

# --- what networks use ----------------------------------------------------------------------------


def _sigmoid(xp: Any, x: Any) -> Any:
    y = xp.tanh(x * 0.5)
    y *= 0.5
    y += 0.5
    return y


sigmoid = elementwise(
    "sigmoid",
    lambda g, y: g * (y * (1 - y)),
    forward=_sigmoid,
    doc="1 / (1 + exp(-x)), computed as (1 + tanh(x/2)) / 2, which never overflows.",
)
relu = elementwise(
    "relu",
    lambda g, y: g * (y > 0),
    forward=lambda xp, x: xp.maximum(x, 0),
    doc="max(x, 0); the derivative at 0 is 0.",
)
softplus = elementwise(
    "softplus",
    lambda g, x: g * sigmoid(x),
    forward=lambda xp, x: xp.logaddexp(x, xp.zeros_like(x)),
    doc="log(1 + exp(x)), never overflowing.",
)

# --- constant almost everywhere: a gradient of 0 --------------------------------------------------

sign = elementwise("sign", lambda g: 0 * g)
floor = elementwise("floor", lambda g: 0 * g)
ceil = elementwise("ceil", lambda g: 0 * g)

# --- truth values: no gradient --------------------------------------------------------------------

isnan = elementwise("isnan", None)
isinf = elementwise("isinf", None)
isfinite = elementwise("isfinite", None)
logical_not = elementwise("logical_not", None)
invert = elementwise("invert", None)
equal = elementwise("equal", None, None)
not_equal = elementwise("not_equal", None, None)
less = elementwise("less", None, None)
less_equal = elementwise("less_equal", None, None)
greater = elementwise("greater", None, None)
greater_equal = elementwise("greater_equal", None, None)
logical_and = elementwise("logical_and", None, None)
logical_or = elementwise("logical_or", None, None)
bitwise_and = elementwise("bitwise_and", None, None)
bitwise_or = elementwise("bitwise_or", None, None)

# --- selection and conversion ---------------------------------------------------------------------


@primitive(
    a=lambda g, condition: where(condition, g, 0), b=lambda g, condition: where(condition, 0, g)
)
def where(xp: Any, condition: Any, a: Any, b: Any) -> Any:
    """`a` where `condition` holds, else `b`, with broadcasting. The branch not taken gets the
    gradient 0, never nan.
    """
    return xp.where(condition, a, b)


def _inside(g: Any, x: Any, low: Any, high: Any) -> Any:
    g = g if low is None else g * (x >= low)
    return g if high is None else g * (x <= high)


@primitive(x=_inside)
def _clip(xp: Any, x: Any, *, low: Any, high: Any) -> Any:
    return xp.clip(x, low, high)


def clip(x: Any, a_min: float | None = None, a_max: float | None = None) -> Any:
    """`x` limited to [a_min, a_max] (numbers); the gradient is 1 inside, the limits included, and 0
    outside.
    """
    return _clip(x, low=a_min, high=a_max)


@primitive(x=lambda g: g)  # the sweep casts the gradient back
def _astype(xp: Any, x: Any, *, dtype: Any) -> Any:
    return x.astype(dtype)


def astype(x: Any, dtype: Any) -> Any:
    """`x` in another dtype; the gradient comes back in its own."""
    return x if x.dtype == dtype else _astype(x, dtype=dtype)
