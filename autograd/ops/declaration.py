"""Declaration of operations by their forward functions and VJP rules.

`primitive` declares any operation. `elementwise` declares an elementwise operation as one entry of
a table, with a docstring from a template.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from ..core.primitive import Primitive, Rule
from .dispatch import make_operation


def primitive(*joint: Rule, **rules: Rule) -> Callable[[Callable[..., Any]], Any]:
    """Declare an operation by its forward function and VJP rules.

    The forward function computes the result from plain arrays: `forward(xp, x, *, axis=0)`, where
    `xp` is their array module (`numpy` or `cupy`). Positional parameters are arrays, and
    keyword-only ones are static. A tuple as result makes an operation with several results.

    Parameters
    ----------
    *joint : callable
        One rule for all arguments, in place of `rules`, that returns a sequence of gradients.
    **rules : callable
        The VJP rule of each differentiable argument: `rule(g, *residuals)` returns the gradient of
        the argument, given the gradient `g` of the result. The names of its other parameters say
        which values are saved for the backward pass:

        =========== ==========================================
        `x`         the argument `x` (a tuple of arrays for `*x`)
        `x_shape`   the shape of `x` (of each array for `*x`)
        `y`         the result
        `axis`      the static parameter `axis`
        =========== ==========================================

    Returns
    -------
    callable
        Decorator that turns the forward function into the operation.

    Raises
    ------
    TypeError
        If a rule is for an unknown argument, or asks for an unknown value.

    Notes
    -----
    Rules use the operations of `autograd`. These compute on arrays and record on Tensors, so the
    same rule serves derivatives of any order. A gradient may have a larger shape than its argument,
    if the argument broadcasts to it; the backward pass reduces it and casts it to the argument's
    dtype. For an operation with several results, `g` and `y` are tuples, and `g` holds None for
    each result without a gradient. Only then may a rule return None.

    Examples
    --------
    >>> @primitive(x=lambda g, x: g * 3 * x * x)
    ... def cube(xp, x):
    ...     return x * x * x
    """

    def decorate(forward: Callable[..., Any]) -> Any:
        parameters = list(signature(forward).parameters.values())[1:]
        _check_declaration(forward.__name__, parameters, joint, rules)
        static = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        arrays = [p.name for p in parameters if p not in static]
        name, vjps = forward.__name__.strip("_"), {"*": joint[0]} if joint else rules
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        operation = make_operation(Primitive(name, forward, arrays, vjps, variadic), static)
        operation.__doc__, operation.__module__ = forward.__doc__, forward.__module__
        return operation

    return decorate


def _check_declaration(
    name: str, parameters: list[Parameter], joint: tuple[Rule, ...], rules: dict[str, Rule]
) -> None:
    """Raise TypeError if the parameters of a forward function and its VJP rules do not match."""

    def check(condition: bool, problem: str) -> None:
        if not condition:
            raise TypeError(f"{name}: {problem}")

    static = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    arrays = [p.name for p in parameters if p.name not in static]
    value_names = ["y", *arrays, *(f"{array}_shape" for array in arrays), *static]
    for p in parameters:
        check(p.name != "y", "in rules y is the result; rename the parameter y")
        check(
            p.name in static or p.default is p.empty,
            f"{p.name} has a default, so it cannot be an array; make it keyword-only (after a *)",
        )
    for rule in (*joint, *rules.values()):
        for value in list(signature(rule).parameters)[1:]:
            check(
                value in value_names,
                f"a rule asks for {value!r}; there are {', '.join(value_names)}",
            )
    check(
        set(rules) <= set(arrays) and len(joint) <= 1 and not (joint and rules),
        f"rules must be named after array arguments ({', '.join(arrays)}), or be one rule for all",
    )


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
    """Declare an elementwise operation of one argument `x`, or of two arguments `a` and `b`.

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
    arguments = ["x"] if len(rules) == 1 else ["a", "b"]
    vjps = {a: rule for a, rule in zip(arguments, rules, strict=True) if rule is not None}
    primitive = Primitive(name, forward or name, arguments, vjps)
    primitive.pointwise = True
    operation = make_operation(primitive, [])
    template = _UNARY if len(rules) == 1 else _BINARY
    operation.__doc__ = template.format(summary=summary, notes=f"{formulas}\n{notes}".rstrip())
    operation.__module__ = "autograd"  # the public location, as for NumPy's functions
    return operation
