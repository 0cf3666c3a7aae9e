"""What a primitive is: a forward rule and its gradient rules, side by side.

    @primitive(x=lambda g, x, y: g * y / x)
    def name(xp, x): ...

The function computes the result from plain arrays, with `xp`, their array module. Its positional
parameters are arrays (the differentiable ones are those that have a rule), its keyword-only
parameters are static. A rule turns `g`, the gradient of the result, into the gradient of one
argument. What else it needs it says by the names of its parameters, and just that is kept until
then:

    x          the argument `x` (a tuple of arrays if it was declared `*x`)
    y          the result
    x_shape    only the shape of `x` (of each, if it was declared `*x`)
    axis       a static parameter

Rules are written in the engine's own operations, which compute on arrays and record on Tensors; so
the gradient of a gradient needs nothing new. A rule need not care about broadcasting or dtypes: the
sweep fits what it returns. One positional rule instead of several named ones returns the gradients
of all arguments at once. A forward function that returns a tuple makes an operation of several
results; `g` and `y` are tuples then.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from . import backend
from ._graph import OUTPUT, Node, recording
from ._tensor import Tensor, asarray
from .backend import Array

Rule = Callable[..., Any]


class Kernels(dict[type, Callable[..., Any]]):
    """The forward function of a primitive for each type of array, found on first use."""

    def __init__(self, forward: Callable[..., Any] | str) -> None:
        self._forward = forward

    def __missing__(self, array_type: type) -> Callable[..., Any]:
        xp = backend.of_type(array_type).xp
        kernel = (
            getattr(xp, self._forward)
            if isinstance(self._forward, str)
            else partial(self._forward, xp)
        )
        self[array_type] = kernel
        return kernel


class Primitive:
    """The rules of one operation, and which values they need (`needs`, in the order of a node's
    `saved`).
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any] | str,
        arguments: list[str],
        rules: dict[str, Rule],
    ) -> None:
        self.name = name
        self.kernels = Kernels(forward)
        self.arguments = arguments
        parameters = {
            argument: list(inspect.signature(rule).parameters)[1:]
            for argument, rule in rules.items()
        }
        self.needs = list(dict.fromkeys(name for names in parameters.values() for name in names))
        picked = {
            argument: (rules[argument], _pick([self.needs.index(n) for n in parameters[argument]]))
            for argument in rules
        }
        self.joint = picked.get("*")
        self.rules = [picked.get(argument, (_no_gradient, _pick([]))) for argument in arguments]
        # Our rules return new arrays, `g` or views; a user's may return anybody's array.
        ours = all(str(rule.__module__).startswith(f"{__package__}.") for rule in rules.values())
        self.fresh = ours and self.joint is None
        self.differentiable = [
            self.joint is not None or argument in rules for argument in arguments
        ]

    def rewrapped(self, node: Node) -> tuple[Any, ...]:
        """What a node saved, with its arguments and result as Tensors again: for rules that are to
        be recorded.
        """

        def rewrap(name: str, value: Any) -> Any:
            if name == "y" and isinstance(value, tuple):
                return tuple([result(r, node, i) for i, r in enumerate(value)])
            if name == "y":
                return Tensor(value, node)
            if name not in self.arguments:
                return value
            if isinstance(value, tuple):
                return tuple(map(_rewrapped, value, node.parents))
            return _rewrapped(value, node.parents[self.arguments.index(name)])

        return tuple(
            rewrap(name, value) for name, value in zip(self.needs, node.saved, strict=True)
        )


def _rewrapped(value: Any, parent: Node | None) -> Any:
    """A saved argument as a Tensor: a plain array too, since CuPy's do not operate on Tensors."""
    return Tensor(value, parent) if hasattr(value, "dtype") else value


def result(array: Array, node: Node, i: int) -> Tensor:
    """The i-th result of an operation of several, as a Tensor."""
    return Tensor(
        array,
        Node(OUTPUT, (node,), i, array.shape, array.dtype) if array.dtype.kind == "f" else None,
    )


def _pick(positions: list[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """A function that takes these positions out of a tuple, as a tuple, at C speed.

    `itemgetter` does that for two or more; for fewer, a slice makes it return a tuple too.
    """
    if len(positions) > 1:
        return itemgetter(*positions)
    start = positions[0] if positions else 0
    return itemgetter(slice(start, start + len(positions)))


def _no_gradient(g: Any) -> None:
    """The rule of an argument that has no gradient, such as a condition or an index."""


def describe(value: Any) -> str:
    """An argument in an error message: its shape and dtype."""
    return f"{value.shape} {value.dtype}" if hasattr(value, "dtype") else repr(value)


def failure(name: str, error: Exception, arrays: Any) -> Exception:
    """`error`, saying which operation failed and on what."""
    homes = {backend.of(a).device for a in arrays if hasattr(a, "dtype")}
    if len(homes) > 1:
        return backend.DeviceError(
            f"{name}: arguments on different devices, {' and '.join(sorted(homes))}; "
            f"move one with .to({min(homes)!r})"
        )
    message = f"{name}({', '.join(map(describe, arrays))}): {error}"
    return type(error)(message) if isinstance(error, (ValueError, TypeError, IndexError)) else error


_NUMBERS = frozenset((bool, int, float))


def _array(value: Any) -> Array:
    """An operand that is no Tensor: numbers stay weak, arrays stay as they are, lists become
    arrays.
    """
    if type(value) in _NUMBERS:
        return value
    array = value if hasattr(value, "dtype") else asarray(value)
    if array.dtype.kind == "c":
        raise TypeError(f"complex arrays are not supported (got {array.shape} {array.dtype})")
    return array


# --- applying, to one, two, any number of arguments: take the arrays out, compute, record ---------


def elementwise(
    name: str, *rules: Rule | None, forward: Callable[..., Any] | None = None, doc: str = ""
) -> Any:
    """A primitive of one argument `x` or two, `a` and `b`: NumPy's function of this name unless
    `forward` is given.

    One rule per argument, None where there is no gradient:
    `elementwise("multiply", lambda g, b: g * b, lambda g, a: g * a)`.
    """
    arguments = ["x"] if len(rules) == 1 else ["a", "b"]
    given = {
        argument: rule for argument, rule in zip(arguments, rules, strict=True) if rule is not None
    }
    primitive = Primitive(name, forward or name, arguments, given)
    operation: Any = _unary(primitive) if len(rules) == 1 else _binary(primitive)
    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"{name}({', '.join(arguments)}), element by element. {doc}".rstrip()
    operation.primitive = primitive
    return operation


def _unary(primitive: Primitive) -> Callable[[Any], Any]:
    kernels = primitive.kernels
    keeps_x, keeps_y = "x" in primitive.needs, "y" in primitive.needs
    x_first = primitive.needs[:1] == ["x"]
    differentiable = primitive.differentiable[0]

    def operation(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return kernels[type(x)](_array(x))
        data = x._data
        try:
            y = kernels[type(data)](data)
        except Exception as error:
            raise failure(primitive.name, error, (data,)) from error
        if type(y) is not type(data):  # NumPy gives scalars for 0-d results
            y = backend.of(data).asarray(y)
        node = x._node
        if node is None or not differentiable or not recording.get():
            return Tensor(y)
        if keeps_x:
            saved: tuple[Any, ...] = ((data, y) if x_first else (y, data)) if keeps_y else (data,)
        else:
            saved = (y,) if keeps_y else ()
        return Tensor(y, Node(primitive, (node,), saved, y.shape, y.dtype))

    return operation


def _binary(primitive: Primitive) -> Callable[[Any, Any], Any]:
    kernels, needs = primitive.kernels, primitive.needs
    by_rule = [
        [name in inspect.signature(rule).parameters for name in needs]
        for rule, _ in primitive.rules
    ]
    # which values to keep when only `a` wants its gradient (1), only `b` (2), or both (3)
    kept = {1: by_rule[0], 2: by_rule[1], 3: [True] * len(needs)}
    order = [("a", "b", "y").index(name) for name in needs]
    a_weight, b_weight = primitive.differentiable[0] * 1, primitive.differentiable[1] * 2

    def operation(a: Any, b: Any) -> Any:
        a_node = b_node = None
        is_tensor = False
        if isinstance(a, Tensor):
            is_tensor = True
            a_node = a._node
            a = a._data
        elif type(a) not in _NUMBERS:
            a = _array(a)
        if isinstance(b, Tensor):
            is_tensor = True
            b_node = b._node
            b = b._data
        elif type(b) not in _NUMBERS:
            b = _array(b)
        try:
            y = kernels[type(a) if type(a) not in _NUMBERS else type(b)](a, b)
        except Exception as error:
            raise failure(primitive.name, error, (a, b)) from error
        if not is_tensor:
            return y
        if isinstance(y, np.generic):  # NumPy gives scalars for 0-d results
            y = backend.of(y).asarray(y)
        wanted = (a_node is not None and a_weight) + (b_node is not None and b_weight)
        if not wanted or not recording.get():
            return Tensor(y)
        values = (a, b, y)
        saved = tuple([values[i] if keep else None for i, keep in zip(order, kept[wanted])])
        return Tensor(y, Node(primitive, (a_node, b_node), saved, y.shape, y.dtype))

    return operation


def primitive(*joint: Rule, **rules: Rule) -> Callable[[Callable[..., Any]], Any]:
    """Declare an operation by its forward function, with its gradient rules: see the head of this
    file.

    >>> @primitive(x=lambda g, x: g * 3 * x * x)
    ... def cube(xp, x):
    ...     return x * x * x
    """

    def decorate(forward: Callable[..., Any]) -> Any:
        parameters = list(inspect.signature(forward).parameters.values())[1:]
        arrays = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        defaults = {
            p.name: p.default
            for p in parameters
            if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
        }
        fixed = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        known = ["y", *arrays, *(f"{name}_shape" for name in arrays), *fixed]
        for p in parameters:
            if p.name in arrays and p.default is not p.empty:
                raise TypeError(
                    f"{forward.__name__}: {p.name} has a default, so it is no array; "
                    "make it keyword-only (after a *)"
                )
        for rule in (*joint, *rules.values()):
            for name in list(inspect.signature(rule).parameters)[1:]:
                if name not in known:
                    raise TypeError(
                        f"{forward.__name__}: a rule asks for {name!r}; "
                        f"there are {', '.join(known)}"
                    )
        unknown = set(rules) - set(arrays)
        if unknown or len(joint) > 1 or (joint and rules):
            raise TypeError(
                f"{forward.__name__}: rules must be named after array arguments "
                f"({', '.join(arrays)}), or be one rule for all"
            )
        if any(p.name == "y" for p in parameters):
            raise TypeError(f"{forward.__name__}: in rules y is the result; rename the parameter y")
        name = forward.__name__.strip("_")
        operation = _general(
            Primitive(name, forward, arrays, {"*": joint[0]} if joint else rules),
            variadic,
            defaults,
        )
        operation.__name__ = operation.__qualname__ = name
        operation.__doc__ = forward.__doc__
        operation.__module__ = forward.__module__
        return operation

    return decorate


def _general(primitive: Primitive, variadic: bool, defaults: dict[str, Any]) -> Any:
    kernels = primitive.kernels
    differentiable = primitive.differentiable
    keep = [_keeper(name, primitive.arguments, variadic) for name in primitive.needs]

    def operation(*arguments: Any, **static: Any) -> Any:
        is_tensor = [isinstance(argument, Tensor) for argument in arguments]
        arrays = tuple([a._data if is_t else _array(a) for a, is_t in zip(arguments, is_tensor)])
        array_type = next((type(a) for a in arrays if type(a) not in _NUMBERS), float)
        try:
            y = kernels[array_type](*arrays, **static)
        except Exception as error:
            raise failure(primitive.name, error, arrays) from error
        if True not in is_tensor:
            return y
        several = type(y) is tuple
        if several:
            y = tuple([backend.of(r).asarray(r) for r in y])
        elif isinstance(y, np.generic):
            y = backend.of(y).asarray(y)
        parents: tuple[Node | None, ...] = ()
        if recording.get():
            parents = tuple(
                [
                    a._node if is_t and (variadic or differentiable[i]) else None
                    for i, (a, is_t) in enumerate(zip(arguments, is_tensor))
                ]
            )
        if not any(parents) or not (several or y.dtype.kind == "f"):
            return tuple([Tensor(r) for r in y]) if several else Tensor(y)
        static = {**defaults, **static}
        saved = tuple([k(arrays, y, static) for k in keep])
        if not several:
            return Tensor(y, Node(primitive, parents, saved, y.shape, y.dtype))
        node = Node(
            primitive, parents, saved, tuple([r.shape for r in y]), tuple([r.dtype for r in y])
        )
        return tuple([result(r, node, i) for i, r in enumerate(y)])

    operation.primitive = primitive  # type: ignore[attr-defined]
    return operation


def _keeper(
    name: str, arguments: list[str], variadic: bool
) -> Callable[[tuple[Array, ...], Any, dict[str, Any]], Any]:
    """How to find the value that a rule calls `name`."""
    if name == "y":
        return lambda arrays, y, static: y
    shape = name.endswith("_shape") and name.removesuffix("_shape") in arguments
    if not shape and name not in arguments:
        return lambda arrays, y, static: static[name]
    if variadic:
        return (
            (lambda arrays, y, static: tuple([a.shape for a in arrays]))
            if shape
            else (lambda arrays, y, static: arrays)
        )
    i = arguments.index(name.removesuffix("_shape") if shape else name)
    return (
        (lambda arrays, y, static: arrays[i].shape)
        if shape
        else (lambda arrays, y, static: arrays[i])
    )
