"""Trigonometric and hyperbolic functions, their inverses, and conversions of angles.

The entries have the form of `elementwise`: VJP rules, and derivatives in formulas.
"""

from __future__ import annotations

import math
from typing import Any

from .arguments import as_operand
from .declaration import elementwise
from .elementwise import absolute, copysign, hypot, multiply, sqrt
from .selection import product_or_zero, where

__all__ = [
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "rad2deg",
    "radians",
    "sin",
    "sinc",
    "sinh",
    "tan",
    "tanh",
]

sin = elementwise(
    "sin", lambda g, x: g * cos(x), summary="Sine of an angle in radians.", derivative="cos(x)"
)
cos = elementwise(
    "cos", lambda g, x: -g * sin(x), summary="Cosine of an angle in radians.", derivative="-sin(x)"
)
tan = elementwise(
    "tan",
    lambda g, y: g * (1 + y * y),
    summary="Tangent of an angle in radians.",
    derivative="1 + tan(x)^2",
)
arcsin = elementwise(
    "arcsin",
    lambda g, x: g / sqrt(1 - x * x),
    summary="Inverse sine, in [-pi/2, pi/2].",
    derivative="1 / sqrt(1 - x^2)",
)
arccos = elementwise(
    "arccos",
    lambda g, x: -g / sqrt(1 - x * x),
    summary="Inverse cosine, in [0, pi].",
    derivative="-1 / sqrt(1 - x^2)",
)
arctan = elementwise(
    "arctan",
    lambda g, x: g / (1 + x * x),
    summary="Inverse tangent, in [-pi/2, pi/2].",
    derivative="1 / (1 + x^2)",
)


def _over_square(g: Any, a: Any, b: Any) -> Any:
    """Return g a / (a^2 + b^2) without squares, which may overflow; 0 at (0, 0)."""
    r = hypot(a, b)
    r = where(r == 0, 1, r)
    return product_or_zero(g, a / r / r)


arctan2 = elementwise(
    "arctan2",
    lambda g, a, b: _over_square(g, b, a),
    lambda g, a, b: _over_square(-g, a, b),
    summary="Angle of the point with x coordinate `b` and y coordinate `a`, in [-pi, pi].",
    derivative=("b / (a^2 + b^2)", "-a / (a^2 + b^2)"),
    notes="The derivatives at (0, 0) are 0.",
)
sinh = elementwise(
    "sinh", lambda g, x: g * cosh(x), summary="Hyperbolic sine.", derivative="cosh(x)"
)
cosh = elementwise(
    "cosh", lambda g, x: g * sinh(x), summary="Hyperbolic cosine.", derivative="sinh(x)"
)
tanh = elementwise(
    "tanh",
    lambda g, y: g * (1 - y * y),
    summary="Hyperbolic tangent.",
    derivative="1 - tanh(x)^2",
)
arcsinh = elementwise(
    "arcsinh",
    lambda g, x: g / sqrt(x * x + 1),
    summary="Inverse hyperbolic sine.",
    derivative="1 / sqrt(x^2 + 1)",
)
arccosh = elementwise(
    "arccosh",
    lambda g, x: g / sqrt(x * x - 1),
    summary="Inverse hyperbolic cosine, nonnegative.",
    derivative="1 / sqrt(x^2 - 1)",
)
arctanh = elementwise(
    "arctanh",
    lambda g, x: g / (1 - x * x),
    summary="Inverse hyperbolic tangent.",
    derivative="1 / (1 - x^2)",
)


def deg2rad(x: Any) -> Any:
    """Convert angles from degrees to radians.

    Parameters
    ----------
    x : Tensor or array_like
        Angles in degrees, of any shape.

    Returns
    -------
    Tensor or array
        Angles in radians, of the shape of `x`; a Tensor if `x` is one.

    Notes
    -----
    Derivative: ``pi / 180``.
    """
    return multiply(_as_floats(x), math.pi / 180)


def rad2deg(x: Any) -> Any:
    """Convert angles from radians to degrees.

    Parameters
    ----------
    x : Tensor or array_like
        Angles in radians, of any shape.

    Returns
    -------
    Tensor or array
        Angles in degrees, of the shape of `x`; a Tensor if `x` is one.

    Notes
    -----
    Derivative: ``180 / pi``.
    """
    return multiply(_as_floats(x), 180 / math.pi)


def _as_floats(x: Any) -> Any:
    """Cast integers to the floating dtype that NumPy's functions give them."""
    x = as_operand(x)
    return x if x.dtype.kind == "f" else copysign(x, x)


radians, degrees = deg2rad, rad2deg


def sinc(x: Any) -> Any:
    """Normalized sinc function sin(pi x) / (pi x), which is 1 at 0.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.

    Returns
    -------
    Tensor or array
        Result of the shape of `x`; a Tensor if `x` is one.

    Notes
    -----
    Near 0 the function and its derivatives of any order are computed from the series
    1 - t^2/6 + t^4/120 - ... in t = pi x. The derivative at 0 is 0.
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


def angle(x: Any, deg: bool = False) -> Any:
    """Angle of a real number in the complex plane: 0, or pi if it is negative.

    Parameters
    ----------
    x : Tensor or array_like
        Real input of any shape.
    deg : bool, default False
        Return degrees instead of radians.

    Returns
    -------
    Tensor or array
        Angles of the shape of `x`; a Tensor if `x` is one.

    Notes
    -----
    The derivative is 0.
    """
    return rad2deg(arctan2(0, x)) if deg else arctan2(0, x)
