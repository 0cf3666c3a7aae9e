"""Primitives: operations with a forward function and VJP rules.

`ops/declaration.py` creates primitives, and `ops/dispatch.py` the functions that apply them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from inspect import signature
from itertools import chain
from types import CodeType
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array
from ..backend.errors import operation_error
from ..backend.tracer import TracerArray
from .graph import GET_OUTPUT, Node, monitors, recording
from .pytree import flatten
from .tensor import Tensor, snapshot

Rule = Callable[..., Any]
"""A VJP rule: `rule(g, *residuals)` maps the gradient `g` of a result to an argument gradient."""


class Kernels(dict[type, Callable[..., Any]]):
    """The forward function of a primitive for each type of array, added on first use.

    For tracers, this is the `apply` of their class.
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

    def monitored(self, array_type: type) -> Callable[..., Any]:
        """Return a kernel wrapped by all monitors: `__getitem__` while monitors are active."""
        kernel = self.get(array_type) or self.__missing__(array_type)
        for monitor in monitors:
            kernel = monitor.wrap_kernel(self.primitive, array_type, kernel)
        return kernel

    def fallback(self, error: Exception, arrays: Any, static: dict[str, Any]) -> Any:
        """Handle the error of a kernel.

        Apply the primitive to the first tracer among the arguments, if there is one; otherwise
        raise an error that names the operation.
        """
        for value in flatten((arrays, static)):
            if isinstance(value, TracerArray):
                return self[type(value)](*arrays, **static)
        named = operation_error(self.primitive.name, error, arrays)
        raise named from (error.__cause__ if named is error else error)


class Primitive:
    """One operation: its forward function and its VJP rules.

    Parameters
    ----------
    name : str
        Name in error messages and drawings.
    forward : callable or str
        Function of the array module and the arguments, or the name of the module's own function.
    arguments : list of str
        Names of the array arguments.
    rules : dict of str to Rule
        The VJP rule of each differentiable argument, or under "*" one rule that returns the
        gradients of all arguments. The parameters of a rule after `g` name its residuals.
    variadic : bool
        True if the operation takes any number of arrays, all under one name.

    Attributes
    ----------
    residual_names : list of str
        Names of the residuals of all rules.
    save_residuals, vjp : callable
        Functions generated from the rules. `save_residuals(arrays, y, static, parents)` returns the
        residuals, and `vjp(g, residuals, parents)` the gradient of each argument. Values that only
        arguments without a parent need are replaced by None. For `multiply`, with the rules
        `a=lambda g, b: g * b` and `b=lambda g, a: g * a`, they evaluate

            (arrays[1] if parents[0] else None, arrays[0] if parents[1] else None)
            (rule_a(g, residuals[0]) if parents[0] else None,
             rule_b(g, residuals[1]) if parents[1] else None)
    pointwise : bool
        True if each element of the result depends only on the same element of each argument.
    fresh_gradients : bool
        True if the rules always return new arrays. The backward pass then adds to them in place.
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
        names = {key: list(signature(rule).parameters)[1:] for key, rule in rules.items()}
        self.residual_names = list(dict.fromkeys(chain.from_iterable(names.values())))

        def if_required(code: str, keys: list[str]) -> str:
            """Return code for a value that is needed only by the rules of the arguments `keys`."""
            if keys == list(rules):
                return code  # a node has at least one parent
            parents = " or ".join(f"parents[{arguments.index(key)}]" for key in keys)
            return f"{code} if {parents} else None"

        def call(key: str) -> str:
            values = [f", residuals[{self.residual_names.index(name)}]" for name in names[key]]
            return f"rule_{key.strip('*')}(g{''.join(values)})"

        residuals = [
            if_required(
                _residual_code(name, arguments, variadic), [k for k in rules if name in names[k]]
            )
            for name in self.residual_names
        ]
        gradients = [if_required(call(a), [a]) if a in rules else "None" for a in arguments]
        self.save_residuals = _function(
            "arrays, y, static, parents", _tuple_code(residuals), {"snapshot": snapshot}
        )
        self.vjp = _function(
            "g, residuals, parents",
            f"checked({call('*')}, parents)" if "*" in rules else _tuple_code(gradients),
            {"checked": partial(_check_joint_gradients, name)}
            | {f"rule_{key.strip('*')}": rule for key, rule in rules.items()},
        )

    def residuals_as_tensors(self, node: Node) -> tuple[Any, ...]:
        """Return the residuals of a node, with its arguments and results as Tensors.

        The Tensors connect recorded VJP rules to the graph.
        """

        def rewrap(name: str, value: Any) -> Any:
            if name == "y" and isinstance(value, tuple):
                return tuple([select_output(y, node, i) for i, y in enumerate(value)])
            if name == "y":
                return Tensor(value, node)
            if name not in self.arguments:
                return value
            if isinstance(value, tuple):
                return tuple(map(_rewrap_argument, value, node.parents))
            return _rewrap_argument(value, node.parents[self.arguments.index(name)])

        return tuple(
            rewrap(name, value)
            for name, value in zip(self.residual_names, node.residuals, strict=True)
        )


def _rewrap_argument(value: Any, parent: Node | None) -> Any:
    """Return an array as a Tensor even without a parent: CuPy arrays do not accept Tensors."""
    return Tensor(value, parent) if hasattr(value, "dtype") else value


def _residual_code(name: str, arguments: list[str], variadic: bool) -> str:
    """Return code for the value that VJP rules call `name`."""
    argument = name if name in arguments else name.removesuffix("_shape")
    if argument not in arguments:
        return "y" if name == "y" else f"snapshot(static[{name!r}], y)"
    if variadic:
        return "arrays" if name == argument else "tuple([array.shape for array in arrays])"
    array = f"arrays[{arguments.index(argument)}]"
    return array if name == argument else f"{array}.shape"


def _tuple_code(items: list[str]) -> str:
    return f"({''.join(f'{item}, ' for item in items)})"


@cache
def _compile(text: str) -> CodeType:
    return compile(text, __file__, "eval")  # with `__file__`, tracebacks count it to the engine


def _function(parameters: str, body: str, names: dict[str, Any]) -> Callable[..., Any]:
    """Compile an expression to a function of `parameters`, with `names` as globals."""
    function: Callable[..., Any] = eval(_compile(f"lambda {parameters}: {body}"), names)
    return function


def _check_joint_gradients(name: str, gradients: Any, parents: tuple[Node | None, ...]) -> Any:
    """Return the result of a rule for all arguments, or raise ValueError for a wrong number."""
    is_sequence = isinstance(gradients, (tuple, list))
    if not is_sequence or len(gradients) != len(parents):
        received = f"{len(gradients)} gradients" if is_sequence else f"a {type(gradients).__name__}"
        raise ValueError(
            f"the VJP rule of {name} returned {received} for {len(parents)} arguments; "
            "it must return a tuple or list with one gradient for each"
        )
    return gradients


# --- recording ------------------------------------------------------------------------------------


def record_operation(
    primitive: Primitive,
    parents: tuple[Node | None, ...],
    arrays: tuple[Array, ...],
    y: Any,
    static: dict[str, Any],
    has_plain_arrays: bool = False,
) -> Any:
    """Return the result of an operation as a Tensor, or several results as a tuple of Tensors.

    The result has a node if a parent requires a gradient. `has_plain_arrays` is True if some of
    `arrays` belong to the caller, who may change them.
    """
    is_tuple = type(y) in (tuple, list)
    results = [  # NumPy returns scalars for 0-d results
        np.asarray(r) if isinstance(r, np.generic) else r for r in (y if is_tuple else (y,))
    ]
    y = tuple(results) if is_tuple else results[0]
    if not is_tuple and y.dtype.kind not in "biuf":
        raise operation_error(primitive.name, TypeError(f"the result is {y.dtype}"), arrays)
    if not any(parents) or not recording.raw() or not (is_tuple or y.dtype.kind == "f"):
        return tuple(map(Tensor, y)) if is_tuple else Tensor(y)
    residuals = primitive.save_residuals(arrays, y, static, parents)
    residuals = snapshot(residuals, y) if has_plain_arrays else residuals
    if not is_tuple:
        return Tensor(y, Node(primitive, parents, residuals, y.shape, y.dtype))
    shapes, dtypes = tuple([r.shape for r in y]), tuple([r.dtype for r in y])
    node = Node(primitive, parents, residuals, shapes, dtypes)
    return tuple([select_output(r, node, i) for i, r in enumerate(y)])


def select_output(array: Array, node: Node, i: int) -> Tensor:
    """Return the i-th result of an operation with several results as a Tensor."""
    if array.dtype.kind != "f":
        return Tensor(array)
    return Tensor(array, Node(GET_OUTPUT, (node,), i, array.shape, array.dtype))
