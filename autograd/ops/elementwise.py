"""Elementwise operations: arithmetic, exponentials, roots, extremes and rounding.

Each operation is one entry of a table: its VJP rules and its derivative in formulas. In a rule `g`
is the gradient of the result, `x` (or `a`, `b`) are the arguments, and `y` is the result.
"""

from __future__ import annotations

import math
from typing import Any

from .arguments import as_operand
from .creation import astype, zeros_like
from .declaration import elementwise, primitive
from .logic import isfinite, isnan
from .selection import product_or_zero, where

__all__ = [
    "abs",
    "absolute",
    "add",
    "cbrt",
    "ceil",
    "conj",
    "copysign",
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
    "real",
    "real_if_close",
    "reciprocal",
    "remainder",
    "rint",
    "round",
    "sign",
    "sqrt",
    "square",
    "subtract",
    "true_divide",
    "trunc",
]


def zero_gradient(g: Any) -> Any:
    """Return zeros: the rule of functions that are constant almost everywhere.

    The result is 0 even where `g` is infinite, so it is not computed as `0 * g`.
    """
    return zeros_like(g)


_STEPS = "The derivative at the steps is also 0."

# --- arithmetic -----------------------------------------------------------------------------------

add = elementwise("add", lambda g: g, lambda g: g, summary="Sum.", derivative=("1", "1"))
subtract = elementwise(
    "subtract", lambda g: g, lambda g: -g, summary="Difference a - b.", derivative=("1", "-1")
)
multiply = elementwise(
    "multiply",
    lambda g, b: g * b,
    lambda g, a: g * a,
    summary="Product.",
    derivative=("b", "a"),
)
divide = elementwise(
    "divide",
    lambda g, b: g / b,
    lambda g, b, y: -g * y / b,
    summary="Quotient a / b.",
    derivative=("1 / b", "-a / b^2"),
)
true_divide = divide
negative = elementwise("negative", lambda g: -g, summary="Negative.", derivative="-1")
square = elementwise("square", lambda g, x: g * (2 * x), summary="Square.", derivative="2 x")
reciprocal = elementwise(
    "reciprocal", lambda g, y: -g * y * y, summary="Reciprocal 1 / x.", derivative="-1 / x^2"
)


def _power_base(g: Any, a: Any, b: Any) -> Any:
    """Return g b a^(b-1), and 0 where b = 0, even if a is 0 or nan."""
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b != 0 else zeros_like(g)
    is_constant = (b == 0) & ~(absolute(a) > 0)
    return product_or_zero(g * a ** where(is_constant, 0, b - 1.0), b)


def _power_exponent(g: Any, a: Any, y: Any) -> Any:
    """Return g y log(a), 0 where a = 0 and y is finite, and nan where a < 0."""
    if isinstance(a, (int, float)):
        a = zeros_like(y) + a
    is_constant = (a == 0) & isfinite(y)
    return product_or_zero(g * log(where(is_constant, math.e, a)), where(is_constant, 0, y))


power = elementwise(
    "power",
    _power_base,
    _power_exponent,
    summary="Power a^b.",
    derivative=("b a^(b-1)", "a^b log(a)"),
    notes="The derivative by `a` is 0 where b = 0.\n"
    "The derivative by `b` is 0 where a = 0 and the power is finite, and nan where a < 0.",
)
floor_divide = elementwise(
    "floor_divide",
    zero_gradient,
    zero_gradient,
    summary="Quotient rounded down: floor(a / b).",
    derivative=("0", "0"),
    notes=_STEPS,
)
remainder = elementwise(
    "remainder",
    lambda g: g,
    lambda g, a, b: product_or_zero(g, -floor_divide(a, b)),
    summary="Remainder of division, with the sign of `b`.",
    derivative=("1", "-floor(a / b)"),
)
mod = remainder
fmod = elementwise(
    "fmod",
    lambda g: g,
    lambda g, a, b, y: product_or_zero(g, -rint((a - y) / b)),
    summary="Remainder of division, with the sign of `a`.",
    derivative=("1", "-trunc(a / b)"),
)

# --- exponentials, logarithms, roots --------------------------------------------------------------

exp = elementwise("exp", lambda g, y: g * y, summary="Exponential e^x.", derivative="e^x")
exp2 = elementwise(
    "exp2", lambda g, y: g * (y * math.log(2)), summary="Power 2^x.", derivative="2^x log(2)"
)
expm1 = elementwise(
    "expm1", lambda g, y: g * (y + 1), summary="e^x - 1, accurate near 0.", derivative="e^x"
)
log = elementwise("log", lambda g, x: g / x, summary="Natural logarithm.", derivative="1 / x")
log2 = elementwise(
    "log2",
    lambda g, x: g / (x * math.log(2)),
    summary="Logarithm to base 2.",
    derivative="1 / (x log(2))",
)
log10 = elementwise(
    "log10",
    lambda g, x: g / (x * math.log(10)),
    summary="Logarithm to base 10.",
    derivative="1 / (x log(10))",
)
log1p = elementwise(
    "log1p",
    lambda g, x: g / (x + 1),
    summary="log(1 + x), accurate near 0.",
    derivative="1 / (1 + x)",
)
sqrt = elementwise(
    "sqrt",
    lambda g, y: g * 0.5 / y,
    summary="Square root.",
    derivative="1 / (2 sqrt(x))",
    notes="The derivative at 0 is infinite.",
)
cbrt = elementwise(
    "cbrt",
    lambda g, y: g / (3 * y * y),
    summary="Cube root.",
    derivative="1 / (3 cbrt(x)^2)",
    notes="The derivative at 0 is infinite.",
)
hypot = elementwise(
    "hypot",
    lambda g, a, y: product_or_zero(g, a / where(y == 0, 1, y)),
    lambda g, b, y: product_or_zero(g, b / where(y == 0, 1, y)),
    summary="Hypotenuse sqrt(a^2 + b^2), without overflow.",
    derivative=("a / hypot(a, b)", "b / hypot(a, b)"),
    notes="The derivatives at (0, 0) are 0.",
)

# --- extremes, absolute values, signs -------------------------------------------------------------


def _split_ties(g: Any, a: Any, b: Any) -> Any:
    """Return g where a > b, g / 2 where a = b, and 0 elsewhere."""
    return where(a == b, 0.5 * g, where(a > b, g, 0))


_TIES = "Equal elements share the gradient evenly."
_TIES_AND_NAN = f"The derivative is 1 where only the other input is nan. {_TIES}"

maximum = elementwise(
    "maximum",
    _split_ties,
    lambda g, a, b: _split_ties(g, b, a),
    summary="Larger of two inputs; nan where an input is nan.",
    derivative=("1 where a > b, else 0", "1 where b > a, else 0"),
    notes=_TIES,
)
minimum = elementwise(
    "minimum",
    lambda g, a, b: _split_ties(g, b, a),
    _split_ties,
    summary="Smaller of two inputs; nan where an input is nan.",
    derivative=("1 where a < b, else 0", "1 where b < a, else 0"),
    notes=_TIES,
)
fmax = elementwise(
    "fmax",
    lambda g, a, b: where(isnan(b), g, where(isnan(a), 0, _split_ties(g, a, b))),
    lambda g, a, b: where(isnan(a), g, where(isnan(b), 0, _split_ties(g, b, a))),
    summary="Larger of two inputs; nan only where both are nan.",
    derivative=("1 where a > b, else 0", "1 where b > a, else 0"),
    notes=_TIES_AND_NAN,
)
fmin = elementwise(
    "fmin",
    lambda g, a, b: where(isnan(b), g, where(isnan(a), 0, _split_ties(g, b, a))),
    lambda g, a, b: where(isnan(a), g, where(isnan(b), 0, _split_ties(g, a, b))),
    summary="Smaller of two inputs; nan only where both are nan.",
    derivative=("1 where a < b, else 0", "1 where b < a, else 0"),
    notes=_TIES_AND_NAN,
)
absolute = elementwise(
    "absolute",
    lambda g, x: product_or_zero(g, sign(x)),
    summary="Absolute value.",
    derivative="sign(x)",
    notes="The derivative at 0 is 0.",
)
abs = absolute
fabs = elementwise(
    "fabs",
    lambda g, x: product_or_zero(g, sign(x)),
    summary="Absolute value as a floating-point number, also for integers.",
    derivative="sign(x)",
    notes="The derivative at 0 is 0.",
)
sign = elementwise(
    "sign",
    zero_gradient,
    summary="Sign: -1, 0 or 1; nan for nan.",
    derivative="0",
    notes="The derivative at 0 is also 0.",
)
copysign = elementwise(
    "copysign",
    lambda g, a, b: product_or_zero(g, sign(a) * copysign(1.0, b)),
    zero_gradient,
    summary="Magnitude of `a` with the sign of `b`.",
    derivative=("sign(a) copysign(1, b)", "0"),
)

# --- rounding: constant almost everywhere, so the gradient is 0 -----------------------------------

floor = elementwise(
    "floor", zero_gradient, summary="Largest integer <= x.", derivative="0", notes=_STEPS
)
ceil = elementwise(
    "ceil", zero_gradient, summary="Smallest integer >= x.", derivative="0", notes=_STEPS
)
trunc = elementwise(
    "trunc", zero_gradient, summary="Integer part: rounded toward 0.", derivative="0", notes=_STEPS
)
fix = trunc
rint = elementwise(
    "rint",
    zero_gradient,
    summary="Nearest integer; halves round to the even neighbor.",
    derivative="0",
    notes=_STEPS,
)


@primitive(x=zero_gradient)
def _round(xp: Any, x: Any, *, decimals: int) -> Any:
    return xp.round(x, decimals)


def round(x: Any, decimals: int = 0) -> Any:
    """Round to a number of decimals.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    decimals : int, default 0
        Number of decimals; negative numbers round to tens, hundreds and so on.

    Returns
    -------
    Tensor or array
        Rounded values of the shape of `x`; a Tensor if `x` is one.

    Notes
    -----
    Halves round to the even neighbor. The derivative is 0, also at the steps.
    """
    return _round(x, decimals=decimals)


# --- complex functions of real inputs -------------------------------------------------------------


def real(x: Any) -> Any:
    """Return the real part of a real input, which is the input itself.

    Parameters
    ----------
    x : Tensor or array_like
        Real input of any shape.

    Returns
    -------
    Tensor or array
        `x`.
    """
    return as_operand(x)


def real_if_close(x: Any, tol: float = 100) -> Any:
    """Return the input, which is real.

    Parameters
    ----------
    x : Tensor or array_like
        Real input of any shape.
    tol : float, default 100
        Unused; for compatibility with NumPy.

    Returns
    -------
    Tensor or array
        `x`.
    """
    return as_operand(x)


def conj(x: Any) -> Any:
    """Return the complex conjugate of a real input, which is the input itself.

    Parameters
    ----------
    x : Tensor or array_like
        Real input of any shape.

    Returns
    -------
    Tensor or array
        `x`; booleans become int8, as in NumPy.
    """
    x = as_operand(x)
    return astype(x, "int8") if x.dtype.kind == "b" else x


imag = elementwise(
    "imag",
    zero_gradient,
    forward=lambda xp, x: xp.zeros_like(x),
    summary="Imaginary part of a real input: 0.",
    derivative="0",
)
