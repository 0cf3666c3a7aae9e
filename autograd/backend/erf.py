"""Error function by rational approximations, within 2 ulp of the exact value.

References
----------
Sun Microsystems 1993, fdlibm, `s_erf.c`, for |x| < 27/32.
W. J. Cody 1969, "Rational Chebyshev approximations for the error function", Mathematics of
Computation 23, for larger |x|.
"""

from __future__ import annotations

from typing import Any

BLOCK = 1 << 14
"""Elements per block: temporaries fit into the cache."""

_SMALL_LIMIT = 0.84375
_SATURATION = 6.0  # erf(x) rounds to 1 for larger x

# Coefficients of polynomials, highest power first: in x^2 for |x| < _SMALL_LIMIT, else in |x|.
_SMALL_NUMERATOR = (
    -2.37630166566501626084e-05,
    -5.77027029648944159157e-03,
    -2.84817495755985104766e-02,
    -3.25042107247001499370e-01,
    1.28379167095512558561e-01,
)
_SMALL_DENOMINATOR = (
    -3.96022827877536812320e-06,
    1.32494738004321644526e-04,
    5.08130628187576562776e-03,
    6.50222499887672944485e-02,
    3.97917223959155352819e-01,
    1.0,
)
_LARGE_NUMERATOR = (
    2.15311535474403846343e-08,
    5.64188496988670089180e-01,
    8.88314979438837594118e00,
    6.61191906371416294775e01,
    2.98635138197400131132e02,
    8.81952221241769090411e02,
    1.71204761263407058314e03,
    2.05107837782607146532e03,
    1.23033935479799725272e03,
)
_LARGE_DENOMINATOR = (
    1.0,
    1.57449261107098347253e01,
    1.17693950891312499305e02,
    5.37181101862009857509e02,
    1.62138957456669018874e03,
    3.29079923573345962678e03,
    4.36261909014324715820e03,
    3.43936767414372163696e03,
    1.23033935480374942043e03,
)


def erf(xp: Any, x: Any) -> Any:
    """Return the error function of a vector in single or double precision."""
    y = xp.empty(x.shape, x.dtype)
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        values, is_large = _erf_small(xp.clip(block, -1, 1)), ~(xp.absolute(block) < _SMALL_LIMIT)
        # Double precision: the error in float32 would be 2.2 ulp.
        values[is_large] = _erf_large(xp, block[is_large].astype("float64"))
        y[start : start + BLOCK] = values
    return y


def _erf_small(x: Any) -> Any:
    """Return x + x P(x^2) / Q(x^2); the quotient is small, so its rounding errors hardly matter."""
    square = x * x
    y = _polynomial(_SMALL_NUMERATOR, square)
    y /= _polynomial(_SMALL_DENOMINATOR, square)
    y *= x
    y += x
    return y


def _erf_large(xp: Any, x: Any) -> Any:
    """Return 1 - exp(-x^2) P(|x|) / Q(|x|), with the sign of x."""
    z = xp.minimum(xp.absolute(x), _SATURATION)
    y = _polynomial(_LARGE_NUMERATOR, z)
    y /= _polynomial(_LARGE_DENOMINATOR, z)
    y *= xp.exp(-z * z)
    return xp.copysign(1 - y, x)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """Evaluate a polynomial by Horner's rule."""
    y = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        y += coefficient
        y *= x
    y += coefficients[-1]
    return y
