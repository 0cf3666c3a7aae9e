"""Activation functions of neural networks, and the error function."""

from __future__ import annotations

import math
from typing import Any

from .. import backend
from ..core.operands import as_operand
from ..core.primitive import elementwise
from .elementwise import exp, expm1, multiply
from .logic import isinf
from .selection import product_or_zero, where

__all__ = [
    "elu",
    "erf",
    "gelu",
    "leaky_relu",
    "logaddexp",
    "logaddexp2",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
]

sigmoid = elementwise(
    "sigmoid",
    lambda g, y: g * (y - y * y),
    forward=lambda xp, x: backend.of_array(x).sigmoid(x),
    doc="1 / (1 + exp(-x)), precise for negative x too, and never overflowing.",
)
relu = elementwise(
    "relu",
    lambda g, y: where(y > 0, g, 0),
    forward=lambda xp, x: xp.maximum(x, 0),
    doc="max(x, 0); the derivative at 0 is 0.",
)
softplus = elementwise(
    "softplus",
    lambda g, x: g * sigmoid(x),
    forward=lambda xp, x: xp.logaddexp(x, xp.zeros_like(x)),
    doc="log(1 + exp(x)), never overflowing.",
)

erf = elementwise(
    "erf",
    lambda g, x: g * (2 / math.sqrt(math.pi) * exp(-x * x)),
    forward=lambda xp, x: backend.of_array(x).erf(x),
    doc="The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.",
)

logaddexp = elementwise(
    "logaddexp",
    lambda g, a, b: product_or_zero(g, _weight(a, b)),
    lambda g, a, b: product_or_zero(g, _weight(b, a)),
    doc="log(exp(a) + exp(b)), never overflowing.",
)
logaddexp2 = elementwise(
    "logaddexp2",
    lambda g, a, b: product_or_zero(g, _weight(a * math.log(2), b * math.log(2))),
    lambda g, a, b: product_or_zero(g, _weight(b * math.log(2), a * math.log(2))),
    doc="log2(2^a + 2^b), never overflowing.",
)


def _weight(a: Any, b: Any) -> Any:
    """exp(a) / (exp(a) + exp(b)); a half where both are the same infinity."""
    same = isinf(a) & (a == b)
    return sigmoid(where(same, 0, a) - where(same, 0, b))


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where it is positive, negative_slope x elsewhere (so the derivative at 0 is that); `relu`
    for a slope of 0.
    """
    x = as_operand(x)
    if type(negative_slope) in (int, float) and not negative_slope:
        return relu(x)
    return where(x > 0, x, x * negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, alpha (exp(x) - 1) elsewhere (Clevert et al. 2016); `relu` for an
    alpha of 0.
    """
    x = as_operand(x)
    if type(alpha) in (int, float) and not alpha:
        return relu(x)
    positive = x > 0
    return where(positive, x, alpha * expm1(where(positive, 0, x)))


def gelu(x: Any) -> Any:
    """x times the normal distribution function of x (Hendrycks & Gimpel 2016)."""
    return multiply(x, 0.5 * (erf(multiply(x, math.sqrt(0.5))) + 1))


def silu(x: Any) -> Any:
    """x sigmoid(x) (Elfwing et al. 2018)."""
    return multiply(x, sigmoid(x))
