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
results; `g` and `y` are tuples then, and `g` holds None for each result that has no gradient.
A rule returns an array of its argument's shape, or of a larger shape that the argument broadcasts
to. It may return None only if `g` holds None.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from inspect import Parameter, Signature, signature
from itertools import chain
from types import CodeType
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..backend.tracer import TracerArray
from .errors import operation_error
from .graph import GET_OUTPUT, Node, recording
from .operands import as_operand
from .pytree import flatten
from .tensor import Tensor, snapshot

Rule = Callable[..., Any]


class TracingError(BaseException):
    """Raised by arrays that cannot show their values where these are asked for. No Exception: who
    handles those must not take it for an error of his own.
    """


class Kernels(dict[type, Callable[..., Any]]):
    """The forward function of a primitive for each type of array, found on first use; a type may
    bring its own, `apply(primitive, *arrays, **static)`.
    """

    def __init__(self, primitive: Primitive, forward: Callable[..., Any] | str) -> None:
        self.primitive, self.forward = primitive, forward

    def __missing__(self, array_type: type) -> Callable[..., Any]:
        forward = self.forward
        if issubclass(array_type, TracerArray):
            kernel = partial(array_type.apply, self.primitive)
        else:
            xp = backend.of_type(array_type).xp
            kernel = getattr(xp, forward) if isinstance(forward, str) else partial(forward, xp)
        self[array_type] = kernel
        return kernel

    def otherwise(self, error: BaseException, arrays: Any, static: dict[str, Any]) -> Any:
        """What the array module refused: the result if an argument's type has its own way to it, an
        error that names the operation if not.
        """
        for value in flatten((arrays, static)):
            if isinstance(value, TracerArray):
                return self[type(value)](*arrays, **static)
        named = operation_error(self.primitive.name, error, arrays)
        raise named from (error.__cause__ if named is error else error)


class Primitive:
    """One operation: its forward function, and its rules, each under the argument that it is for
    (under "*" the one rule for all).

    `needs` names the values that a node saves for the rules. Two functions are made of them:
    `keep(arrays, y, static, parents)` takes these values, and `pull(g, saved, parents)` gives the
    gradient of each argument; both leave out (None) what only arguments without a parent need. For
    `multiply`, whose rules are a: (g, b) and b: (g, a), they are

        keep = (arrays[1] if parents[0] else None, arrays[0] if parents[1] else None)
        pull = (rule_a(g, saved[0]) if parents[0] else None,
                rule_b(g, saved[1]) if parents[1] else None)

    `fresh_gradients` is True if the rules always return new arrays, to which no other reference
    exists: the backward pass then adds to them in place and need not copy them for `.grad`.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any] | str,
        arguments: list[str],
        rules: dict[str, Rule],
        variadic: bool = False,
    ) -> None:
        self.name = name
        self.kernels = Kernels(self, forward)
        self.pointwise = False
        self.fresh_gradients = False
        self.arguments = arguments
        self.rules = rules
        self.variadic = variadic
        self.differentiable = ["*" in rules or argument in rules for argument in arguments]
        asked = {key: list(signature(rule).parameters)[1:] for key, rule in rules.items()}
        self.residual_names = list(dict.fromkeys(chain.from_iterable(asked.values())))

        def if_wanted(code: str, keys: list[str]) -> str:
            if keys == list(rules):
                return code  # a node has some parent
            parents = " or ".join(f"parents[{arguments.index(key)}]" for key in keys)
            return f"{code} if {parents} else None"

        def call(key: str) -> str:
            values = [f", residuals[{self.residual_names.index(name)}]" for name in asked[key]]
            return f"rule_{key.strip('*')}(g{''.join(values)})"

        kept = [
            if_wanted(_value(name, arguments, variadic), [k for k in rules if name in asked[k]])
            for name in self.residual_names
        ]
        pulled = [if_wanted(call(a), [a]) if a in rules else "None" for a in arguments]
        names = {"snapshot": snapshot}
        self.save_residuals = _function("arrays, y, static, parents", _tuple(kept), names)
        self.vjp = _function(
            "g, residuals, parents",
            f"one_each({call('*')}, parents)" if "*" in rules else _tuple(pulled),
            {"one_each": partial(_one_each, name)}
            | {f"rule_{key.strip('*')}": rule for key, rule in rules.items()},
        )

    def residuals_as_tensors(self, node: Node) -> tuple[Any, ...]:
        """What a node saved, with its arguments and result as Tensors again: for rules that are to
        be recorded.
        """

        def rewrap(name: str, value: Any) -> Any:
            if name == "y" and isinstance(value, tuple):
                return tuple([select_output(r, node, i) for i, r in enumerate(value)])
            if name == "y":
                return Tensor(value, node)
            if name not in self.arguments:
                return value
            if isinstance(value, tuple):
                return tuple(map(_rewrapped, value, node.parents))
            return _rewrapped(value, node.parents[self.arguments.index(name)])

        return tuple(
            rewrap(name, value)
            for name, value in zip(self.residual_names, node.residuals, strict=True)
        )


def _value(name: str, arguments: list[str], variadic: bool) -> str:
    """The code of the value that a rule calls `name`."""
    argument = name if name in arguments else name.removesuffix("_shape")
    if argument not in arguments:
        return "y" if name == "y" else f"snapshot(static[{name!r}], y)"
    if variadic:
        return "arrays" if name == argument else "tuple([array.shape for array in arrays])"
    array = f"arrays[{arguments.index(argument)}]"
    return array if name == argument else f"{array}.shape"


def _tuple(items: list[str]) -> str:
    return f"({''.join(f'{item}, ' for item in items)})"


@cache
def _code(text: str) -> CodeType:
    return compile(text, __file__, "eval")  # `__file__` counts it to the engine


def _function(parameters: str, body: str, names: dict[str, Any]) -> Callable[..., Any]:
    """A function made of code."""
    made: Callable[..., Any] = eval(_code(f"lambda {parameters}: {body}"), names)
    return made


def _one_each(name: str, gradients: Any, parents: tuple[Node | None, ...]) -> Any:
    if not isinstance(gradients, (tuple, list)) or len(gradients) != len(parents):
        several = isinstance(gradients, (tuple, list))
        found = f"{len(gradients)} gradients" if several else f"a {type(gradients).__name__}"
        raise ValueError(
            f"the gradient rule of {name} returned {found} for {len(parents)} arguments; "
            "it must return a tuple or list with one gradient for each"
        )
    return gradients


def _rewrapped(value: Any, parent: Node | None) -> Any:
    """A saved argument as a Tensor: a plain array too, since CuPy's do not operate on Tensors."""
    return Tensor(value, parent) if hasattr(value, "dtype") else value


def select_output(array: Array, node: Node, i: int) -> Tensor:
    """The i-th result of an operation of several, as a Tensor."""
    differentiable = array.dtype.kind == "f"
    made = Node(GET_OUTPUT, (node,), i, array.shape, array.dtype) if differentiable else None
    return Tensor(array, made)


_NUMBERS = frozenset((bool, int, float))


def _converted(name: str, value: Any, beside: Any = None) -> Any:
    """An argument of the operation `name` that is not an array: numbers stay weak, lists become
    arrays or Tensors.
    """
    if type(value) in _NUMBERS:
        return value
    try:
        return as_operand(value, beside)
    except (TypeError, ValueError) as error:
        raise operation_error(name, error, ()) from error


def _is_raw(*arguments: Any) -> bool:
    """True if some argument is an array of the caller."""
    return any(type(x) not in _NUMBERS and not isinstance(x, Tensor) for x in arguments)


# --- applying, to one, two, any number of arguments: take the arrays out, compute, record ---------


def _unary(primitive: Primitive, defaults: dict[str, Any]) -> Callable[..., Any]:
    kernels, save_residuals, residual_names = (
        primitive.kernels,
        primitive.save_residuals,
        primitive.residual_names,
    )
    (differentiable,) = primitive.differentiable

    def operation(x: Any, **static: Any) -> Any:
        if static and not defaults:
            raise TypeError(f"{primitive.name} takes an array only, no {', '.join(static)}")
        if not isinstance(x, Tensor):
            x = x if type(x) in kernels else _converted(primitive.name, x)
            if not isinstance(x, Tensor):
                return kernels[type(x)](x, **static)
        array = x._data
        kernel = kernels[type(array)]
        try:
            y = kernel(array, **static) if static else kernel(array)
        except (Exception, TracingError) as error:
            y = kernels.otherwise(error, (array,), static)
        parent = x._node if differentiable else None
        if type(y) is not type(array) or y.dtype.kind != "f":
            return record_operation(primitive, (parent,), (array,), y, {**defaults, **static})
        if parent is None or not recording.raw():
            return Tensor(y)
        parents = (parent,)
        residuals = (
            save_residuals((array,), y, {**defaults, **static}, parents) if residual_names else ()
        )
        return Tensor(y, Node(primitive, parents, residuals, y.shape, y.dtype))

    return operation


def _binary(primitive: Primitive) -> Callable[[Any, Any], Any]:
    kernels, save_residuals, residual_names = (
        primitive.kernels,
        primitive.save_residuals,
        primitive.residual_names,
    )
    a_differentiable, b_differentiable = primitive.differentiable

    def operation(a: Any, b: Any) -> Any:
        given = a
        a_parent = b_parent = None
        tensors = 0
        if isinstance(a, Tensor):
            tensors += 1
            if a_differentiable:
                a_parent = a._node
            a = a._data
        elif type(a) not in kernels and (converted := _converted(primitive.name, a, b)) is not a:
            return operation(converted, b)
        if isinstance(b, Tensor):
            tensors += 1
            if b_differentiable:
                b_parent = b._node
            b = b._data
        elif type(b) not in kernels and (converted := _converted(primitive.name, b, a)) is not b:
            return operation(given, converted)
        array_type = type(b) if type(a) in _NUMBERS else type(a)
        try:
            y = kernels[array_type](a, b)
        except (Exception, TracingError) as error:
            y = kernels.otherwise(error, (a, b), {})
        if not tensors:
            return y
        parents = (a_parent, b_parent)
        is_raw = tensors == 1 and type(a) not in _NUMBERS and type(b) not in _NUMBERS
        if type(y) is not array_type or y.dtype.kind != "f":
            return record_operation(primitive, parents, (a, b), y, {}, is_raw)
        if a_parent is b_parent is None or not recording.raw():
            return Tensor(y)
        residuals = save_residuals((a, b), y, None, parents) if residual_names else ()
        residuals = snapshot(residuals, y) if is_raw else residuals
        return Tensor(y, Node(primitive, parents, residuals, y.shape, y.dtype))

    return operation


def _general(primitive: Primitive, defaults: dict[str, Any]) -> Callable[..., Any]:
    kernels, every = primitive.kernels, primitive.variadic and primitive.differentiable[0]
    wanted = {i for i, one in enumerate(primitive.differentiable) if one}

    def operation(*arguments: Any, **static: Any) -> Any:
        arrays, parents, is_tensor, array_type = [], [], False, None
        for i, x in enumerate(arguments):
            parent = None
            if isinstance(x, Tensor):
                is_tensor = True
                parent = x._node if every or i in wanted else None
                x = x._data
            elif type(x) not in kernels and not hasattr(x, "dtype") and type(x) not in _NUMBERS:
                beside = next((a for a in arguments if hasattr(a, "dtype")), None)
                return operation(
                    *[_converted(primitive.name, a, beside) for a in arguments], **static
                )
            if array_type is None and type(x) not in _NUMBERS:
                array_type = type(x)
            arrays.append(x)
            parents.append(parent)
        try:
            y = kernels[array_type or float](*arrays, **static)
        except (Exception, TracingError) as error:
            y = kernels.otherwise(error, arrays, static)
        if not is_tensor:
            return y
        is_raw = any(parents) and _is_raw(*arguments)
        static = {**defaults, **static}
        return record_operation(primitive, tuple(parents), tuple(arrays), y, static, is_raw)

    return operation


def record_operation(
    primitive: Primitive,
    parents: tuple[Node | None, ...],
    arrays: tuple[Array, ...],
    y: Any,
    static: dict[str, Any],
    is_raw: bool = False,
) -> Any:
    """The result as a Tensor, or several as a tuple of them, with a node if one is wanted. `is_raw`
    is True if some of the arrays are the caller's.
    """
    several = type(y) in (tuple, list)
    results = [  # NumPy gives scalars for results of no dimension
        backend.of_array(r).asarray(r) if isinstance(r, np.generic) else r
        for r in (y if several else (y,))
    ]
    y = tuple(results) if several else results[0]
    if not several and y.dtype.kind not in "biuf":
        raise operation_error(primitive.name, TypeError(f"the result is {y.dtype}"), arrays)
    if not any(parents) or not recording.raw() or not (several or y.dtype.kind == "f"):
        return tuple(map(Tensor, y)) if several else Tensor(y)
    residuals = primitive.save_residuals(arrays, y, static, parents)
    residuals = snapshot(residuals, y) if is_raw else residuals
    if not several:
        return Tensor(y, Node(primitive, parents, residuals, y.shape, y.dtype))
    shapes, dtypes = tuple([r.shape for r in y]), tuple([r.dtype for r in y])
    node = Node(primitive, parents, residuals, shapes, dtypes)
    return tuple([select_output(r, node, i) for i, r in enumerate(y)])


# --- declaring ------------------------------------------------------------------------------------


def elementwise(
    name: str, *rules: Rule | None, forward: Callable[..., Any] | None = None, doc: str = ""
) -> Any:
    """A primitive of one argument `x` or two, `a` and `b`: NumPy's function of this name unless
    `forward` is given.

    One rule per argument, None where there is no gradient:
    `elementwise("multiply", lambda g, b: g * b, lambda g, a: g * a)`.
    """
    arguments = ["x"] if len(rules) == 1 else ["a", "b"]
    given = {a: rule for a, rule in zip(arguments, rules, strict=True) if rule is not None}
    made = Primitive(name, forward or name, arguments, given)
    made.pointwise = True
    operation = _operation(made, [])
    operation.__doc__ = f"{name}({', '.join(arguments)}), element by element. {doc}".rstrip()
    return operation


def primitive(*joint: Rule, **rules: Rule) -> Callable[[Callable[..., Any]], Any]:
    """Declare an operation by its forward function, with its gradient rules: see the head of this
    file.

    >>> @primitive(x=lambda g, x: g * 3 * x * x)
    ... def cube(xp, x):
    ...     return x * x * x
    """

    def decorate(forward: Callable[..., Any]) -> Any:
        def check(right: bool, problem: str) -> None:
            if not right:
                raise TypeError(f"{forward.__name__}: {problem}")

        parameters = list(signature(forward).parameters.values())[1:]
        static = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        arrays = [p.name for p in parameters if p not in static]
        known = ["y", *arrays, *(f"{name}_shape" for name in arrays), *(p.name for p in static)]
        for p in parameters:
            check(p.name != "y", "in rules y is the result; rename the parameter y")
            check(
                p in static or p.default is p.empty,
                f"{p.name} has a default, so it is no array; make it keyword-only (after a *)",
            )
        for rule in (*joint, *rules.values()):
            for name in list(signature(rule).parameters)[1:]:
                check(name in known, f"a rule asks for {name!r}; there are {', '.join(known)}")
        check(
            set(rules) <= set(arrays) and len(joint) <= 1 and not (joint and rules),
            f"rules must be named after array arguments ({', '.join(arrays)}), "
            "or be one rule for all",
        )
        name = forward.__name__.strip("_")
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        made = Primitive(name, forward, arrays, {"*": joint[0]} if joint else rules, variadic)
        operation = _operation(made, static)
        operation.__doc__ = forward.__doc__
        operation.__module__ = forward.__module__
        return operation

    return decorate


def _operation(primitive: Primitive, static: list[Parameter]) -> Any:
    """The function that users call."""
    kind: Any = Parameter.VAR_POSITIONAL if primitive.variadic else Parameter.POSITIONAL_ONLY
    arrays = [Parameter(name, kind) for name in primitive.arguments]
    defaults = {p.name: p.default for p in static}
    count = 0 if primitive.variadic else len(arrays)
    operation: Any
    if count == 1:
        operation = _unary(primitive, defaults)
    elif count == 2 and not static:
        operation = _binary(primitive)
    else:
        operation = _general(primitive, defaults)
    operation.__signature__ = Signature([*arrays, *static])
    operation.__name__ = operation.__qualname__ = primitive.name
    operation.primitive = primitive
    return operation
