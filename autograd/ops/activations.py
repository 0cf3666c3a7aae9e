"""Activation functions of neural networks, and functions of the same family.

`erf` is part of GELU. `logaddexp` generalizes `softplus`, and its derivative is a sigmoid.
"""

from __future__ import annotations

import math
from typing import Any

from .. import backend
from .arguments import as_operand
from .declaration import elementwise
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
    summary="Logistic sigmoid 1 / (1 + e^-x).",
    derivative="sigmoid(x) (1 - sigmoid(x))",
    notes="Accurate for negative x; never overflows.",
)
relu = elementwise(
    "relu",
    lambda g, y: where(y > 0, g, 0),
    forward=lambda xp, x: xp.maximum(x, 0),
    summary="Rectified linear unit max(x, 0).",
    derivative="1 where x > 0, else 0",
    notes="The derivative at 0 is 0.",
)
softplus = elementwise(
    "softplus",
    lambda g, x: g * sigmoid(x),
    forward=lambda xp, x: xp.logaddexp(x, xp.zeros_like(x)),
    summary="Softplus log(1 + e^x).",
    derivative="sigmoid(x)",
    notes="Never overflows.",
)
erf = elementwise(
    "erf",
    lambda g, x: g * (2 / math.sqrt(math.pi) * exp(-x * x)),
    forward=lambda xp, x: backend.of_array(x).erf(x),
    summary="Error function: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.",
    derivative="2 / sqrt(pi) e^(-x^2)",
)


def _weight(a: Any, b: Any) -> Any:
    """Return e^a / (e^a + e^b), and 1/2 where both are the same infinity."""
    is_tie = isinf(a) & (a == b)
    return sigmoid(where(is_tie, 0, a) - where(is_tie, 0, b))


logaddexp = elementwise(
    "logaddexp",
    lambda g, a, b: product_or_zero(g, _weight(a, b)),
    lambda g, a, b: product_or_zero(g, _weight(b, a)),
    summary="Logarithm of a sum of exponentials, log(e^a + e^b).",
    derivative=("sigmoid(a - b)", "sigmoid(b - a)"),
    notes="Never overflows. Equal infinities share the gradient evenly.",
)
logaddexp2 = elementwise(
    "logaddexp2",
    lambda g, a, b: product_or_zero(g, _weight(a * math.log(2), b * math.log(2))),
    lambda g, a, b: product_or_zero(g, _weight(b * math.log(2), a * math.log(2))),
    summary="Logarithm of a sum of powers, log2(2^a + 2^b).",
    derivative=("1 / (1 + 2^(b-a))", "1 / (1 + 2^(a-b))"),
    notes="Never overflows. Equal infinities share the gradient evenly.",
)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """Leaky rectified linear unit: x if x > 0, else negative_slope x.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    negative_slope : float, default 0.01
        Derivative for x <= 0.

    Returns
    -------
    Tensor or array
        Result of the shape of `x`; a Tensor if `x` is one.

    Notes
    -----
    The derivative at 0 is `negative_slope`.

    References
    ----------
    Maas, Hannun & Ng 2013, "Rectifier nonlinearities improve neural network acoustic models".
    """
    x = as_operand(x)
    if type(negative_slope) in (int, float) and not negative_slope:
        return relu(x)
    return where(x > 0, x, x * negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """Exponential linear unit: x if x > 0, else alpha (e^x - 1).

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.
    alpha : float, default 1.0
        Magnitude of the limit for x to minus infinity.

    Returns
    -------
    Tensor or array
        Result of the shape of `x`; a Tensor if `x` is one.

    Notes
    -----
    The derivative at 0 is `alpha`.

    References
    ----------
    Clevert, Unterthiner & Hochreiter 2016, "Fast and accurate deep network learning by exponential
    linear units".
    """
    x = as_operand(x)
    if type(alpha) in (int, float) and not alpha:
        return relu(x)
    positive = x > 0
    return where(positive, x, alpha * expm1(where(positive, 0, x)))


def gelu(x: Any) -> Any:
    """Gaussian error linear unit: x times the normal distribution function of x.

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
    Computed with `erf`, without the tanh approximation.

    References
    ----------
    Hendrycks & Gimpel 2016, "Gaussian error linear units".
    """
    return multiply(x, 0.5 * (erf(multiply(x, math.sqrt(0.5))) + 1))


def silu(x: Any) -> Any:
    """Sigmoid linear unit x sigmoid(x), also called swish.

    Parameters
    ----------
    x : Tensor or array_like
        Input of any shape.

    Returns
    -------
    Tensor or array
        Result of the shape of `x`; a Tensor if `x` is one.

    References
    ----------
    Elfwing, Uchibe & Doya 2018, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning".
    """
    return multiply(x, sigmoid(x))
