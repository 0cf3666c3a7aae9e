"""Declaration of elementwise operations, with docstrings from one template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import primitive
from ..core.primitive import Rule

_UNARY = """{summary}

Computed element by element.

Parameters
----------
x : Tensor or array_like
    Input of any shape.

Returns
-------
Tensor or array
    Result of the shape of `x`, in NumPy's dtype; a Tensor if `x` is one.

Raises
------
TypeError
    If `x` does not hold real numbers or booleans.

Notes
-----
{notes}
"""
_BINARY = """{summary}

Computed element by element, with broadcasting.

Parameters
----------
a, b : Tensor or array_like
    Inputs, of shapes that broadcast together.

Returns
-------
Tensor or array
    Result of the broadcast shape, in NumPy's dtype; a Tensor if an input is one.

Raises
------
TypeError
    If an input does not hold real numbers or booleans.
ValueError
    If the shapes do not broadcast together.
DeviceError
    If the inputs are on different devices.

Notes
-----
{notes}
"""


def elementwise(
    name: str,
    *rules: Rule | None,
    summary: str,
    derivative: str | tuple[str, str] | None = None,
    notes: str = "",
    forward: Callable[..., Any] | None = None,
) -> Any:
    """Declare an operation of one argument `x`, or of two, `a` and `b`.

    Parameters
    ----------
    name : str
        Name of the operation, and of NumPy's function unless `forward` is given.
    *rules : callable or None
        VJP rule of each argument; None if the result has no gradient.
    summary : str
        First line of the docstring.
    derivative : str or tuple of str, optional
        Derivative by each argument, in formulas.
    notes : str, optional
        Conventions at singular points, and references.
    forward : callable, optional
        Forward function of the array module and the arrays.

    Returns
    -------
    callable
        The operation.
    """
    if derivative is None:
        formulas = "The result has no gradient."
    elif isinstance(derivative, str):
        formulas = f"Derivative: ``{derivative}``."
    else:
        formulas = "Derivative by `a`: ``{}``; by `b`: ``{}``.".format(*derivative)
    operation = primitive.elementwise(name, *rules, forward=forward)
    template = _UNARY if len(rules) == 1 else _BINARY
    operation.__doc__ = template.format(summary=summary, notes=f"{formulas}\n{notes}".rstrip())
    operation.__module__ = "autograd"  # the public location, as NumPy's functions have it
    return operation
