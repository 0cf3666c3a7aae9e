"""Operations element by element: all of calculus as a table, one line per argument.

`g` is the gradient of the result, `x` (or `a`, `b`) the arguments, `y` the result.
"""

from __future__ import annotations

import math
from typing import Any

from ..core.operands import as_operand
from ..core.primitive import elementwise, primitive
from .creation import astype, zeros_like
from .logic import isfinite, isnan
from .selection import product_or_zero, where

__all__ = [
    "abs",
    "absolute",
    "add",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "ceil",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fix",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "hypot",
    "imag",
    "log",
    "log10",
    "log1p",
    "log2",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "power",
    "rad2deg",
    "radians",
    "real",
    "real_if_close",
    "reciprocal",
    "remainder",
    "rint",
    "round",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]


def zero_gradient(g: Any) -> Any:
    """The rule of what is constant almost everywhere: 0, even for an infinite `g`."""
    return zeros_like(g)


# --- arithmetic -----------------------------------------------------------------------------------

add = elementwise("add", lambda g: g, lambda g: g)
subtract = elementwise("subtract", lambda g: g, lambda g: -g)
multiply = elementwise("multiply", lambda g, b: g * b, lambda g, a: g * a)
divide = elementwise("divide", lambda g, b: g / b, lambda g, b, y: -g * y / b)
negative = elementwise("negative", lambda g: -g)
square = elementwise("square", lambda g, x: g * (2 * x))
reciprocal = elementwise("reciprocal", lambda g, y: -g * y * y)


def _power_base(g: Any, a: Any, b: Any) -> Any:
    """b a^(b-1), and 0 where b = 0, even if a is 0 or nan."""
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b != 0 else zeros_like(g)
    constant = (b == 0) & ~(absolute(a) > 0)
    return product_or_zero(g * a ** where(constant, 0, b - 1.0), b)


def _power_exponent(g: Any, a: Any, y: Any) -> Any:
    """y log(a), and 0 where a = 0 if y is finite there; a negative base has no derivative by its
    exponent: nan.
    """
    if isinstance(a, (int, float)):
        a = zeros_like(y) + a
    constant = (a == 0) & isfinite(y)
    return product_or_zero(g * log(where(constant, math.e, a)), where(constant, 0, y))


power = elementwise("power", _power_base, _power_exponent, doc="a to the power b.")
remainder = elementwise(
    "remainder", lambda g: g, lambda g, a, b: product_or_zero(g, -floor_divide(a, b))
)
fmod = elementwise("fmod", lambda g: g, lambda g, a, b, y: product_or_zero(g, -rint((a - y) / b)))
mod = remainder
true_divide = divide

# --- exponentials, logarithms, roots --------------------------------------------------------------

exp = elementwise("exp", lambda g, y: g * y)
expm1 = elementwise("expm1", lambda g, y: g * (y + 1))
log = elementwise("log", lambda g, x: g / x)
log2 = elementwise("log2", lambda g, x: g / (x * math.log(2)))
log10 = elementwise("log10", lambda g, x: g / (x * math.log(10)))
log1p = elementwise("log1p", lambda g, x: g / (x + 1))
exp2 = elementwise("exp2", lambda g, y: g * (y * math.log(2)))
sqrt = elementwise("sqrt", lambda g, y: g * 0.5 / y)
cbrt = elementwise("cbrt", lambda g, y: g / (3 * y * y))
hypot = elementwise(
    "hypot",
    lambda g, a, y: product_or_zero(g, a / where(y == 0, 1, y)),
    lambda g, b, y: product_or_zero(g, b / where(y == 0, 1, y)),
    doc="The root of a^2 + b^2; the derivatives at (0, 0) are 0.",
)

# --- extremes -------------------------------------------------------------------------------------


def _split_ties(g: Any, a: Any, b: Any) -> Any:
    """g where a > b, half of it where they are equal, 0 elsewhere."""
    return where(a == b, 0.5 * g, where(a > b, g, 0))


maximum = elementwise(
    "maximum",
    _split_ties,
    lambda g, a, b: _split_ties(g, b, a),
    doc="Equal elements share the gradient evenly.",
)
minimum = elementwise(
    "minimum",
    lambda g, a, b: _split_ties(g, b, a),
    _split_ties,
    doc="Equal elements share the gradient evenly.",
)
fmax = elementwise(
    "fmax",
    lambda g, a, b: where(isnan(b), g, where(isnan(a), 0, _split_ties(g, a, b))),
    lambda g, a, b: where(isnan(a), g, where(isnan(b), 0, _split_ties(g, b, a))),
    doc="The greater, or the one that is not nan; equal elements share the gradient evenly.",
)
fmin = elementwise(
    "fmin",
    lambda g, a, b: where(isnan(b), g, where(isnan(a), 0, _split_ties(g, b, a))),
    lambda g, a, b: where(isnan(a), g, where(isnan(b), 0, _split_ties(g, a, b))),
    doc="The smaller, or the one that is not nan; equal elements share the gradient evenly.",
)
absolute = elementwise(
    "absolute", lambda g, x: product_or_zero(g, sign(x)), doc="The derivative at 0 is 0."
)
abs = absolute
fabs = elementwise(
    "fabs", lambda g, x: product_or_zero(g, sign(x)), doc="In floating point, of integers too."
)
copysign = elementwise(
    "copysign", lambda g, a, b: product_or_zero(g, sign(a) * copysign(1.0, b)), zero_gradient
)

# --- trigonometric, hyperbolic --------------------------------------------------------------------

sin = elementwise("sin", lambda g, x: g * cos(x))
cos = elementwise("cos", lambda g, x: -g * sin(x))
tan = elementwise("tan", lambda g, y: g * (1 + y * y))
arcsin = elementwise("arcsin", lambda g, x: g / sqrt(1 - x * x))
arccos = elementwise("arccos", lambda g, x: -g / sqrt(1 - x * x))
arctan = elementwise("arctan", lambda g, x: g / (1 + x * x))


def _over_square(g: Any, a: Any, b: Any) -> Any:
    """g a / (a^2 + b^2), where the squares may be too large or small; 0 at (0, 0)."""
    r = hypot(a, b)
    r = where(r == 0, 1, r)
    return product_or_zero(g, a / r / r)


arctan2 = elementwise(
    "arctan2",
    lambda g, a, b: _over_square(g, b, a),
    lambda g, a, b: _over_square(-g, a, b),
    doc="The angle of the point (b, a); the derivatives at (0, 0) are 0.",
)
sinh = elementwise("sinh", lambda g, x: g * cosh(x))
cosh = elementwise("cosh", lambda g, x: g * sinh(x))
tanh = elementwise("tanh", lambda g, y: g * (1 - y * y))
arcsinh = elementwise("arcsinh", lambda g, x: g / sqrt(x * x + 1))
arccosh = elementwise("arccosh", lambda g, x: g / sqrt(x * x - 1))
arctanh = elementwise("arctanh", lambda g, x: g / (1 - x * x))


def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return multiply(_as_floats(x), math.pi / 180)


def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return multiply(_as_floats(x), 180 / math.pi)


def _as_floats(x: Any) -> Any:
    """Integers in the floating dtype that NumPy's functions give them."""
    x = as_operand(x)
    return x if x.dtype.kind == "f" else copysign(x, x)


radians, degrees = deg2rad, rad2deg


def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0, where the derivative is 0; derivatives of any order near 0
    come from the series 1 - t^2/6 + t^4/120 - ..., t = pi x.
    """
    t = multiply(x, math.pi)
    small = absolute(t) < 0.1
    s = where(small, t, 0.0)
    s = s * s
    series = 1.0
    for k in (9, 7, 5, 3, 1):  # 1 - s/(2*3) (1 - s/(4*5) (1 - ...)), innermost first
        series = 1.0 - s / ((k + 1) * (k + 2)) * series
    far = where(small, 1.0, t)
    return where(small, series, sin(far) / far)


# --- constant almost everywhere: a gradient of 0 --------------------------------------------------

sign = elementwise("sign", zero_gradient)
floor = elementwise("floor", zero_gradient)
ceil = elementwise("ceil", zero_gradient)
trunc = elementwise("trunc", zero_gradient)
rint = elementwise("rint", zero_gradient)
floor_divide = elementwise("floor_divide", zero_gradient, zero_gradient)
fix = trunc


@primitive(x=zero_gradient)
def _round(xp: Any, x: Any, *, decimals: int) -> Any:
    return xp.round(x, decimals)


def round(x: Any, decimals: int = 0) -> Any:
    """`x` rounded to so many decimals, halves to the even neighbour."""
    return _round(x, decimals=decimals)


# --- complex arithmetic of real tensors -----------------------------------------------------------


def real(x: Any) -> Any:
    """The real part of a real tensor: itself."""
    return as_operand(x)


def real_if_close(x: Any, tol: float = 100) -> Any:
    """Itself: a real tensor has no imaginary part to lose, whatever the tolerance."""
    return as_operand(x)


def conj(x: Any) -> Any:
    """The conjugate of a real tensor: itself, but of booleans int8, as in NumPy."""
    x = as_operand(x)
    return astype(x, "int8") if x.dtype.kind == "b" else x


imag = elementwise(
    "imag",
    zero_gradient,
    forward=lambda xp, x: xp.zeros_like(x),
    doc="The imaginary part of a real tensor: 0.",
)


def angle(x: Any, deg: bool = False) -> Any:
    """The angle of a real tensor in the complex plane: 0, or pi where it is negative (180 with
    `deg`).
    """
    return rad2deg(arctan2(0, x)) if deg else arctan2(0, x)
