"""The functions that apply primitives: unwrap Tensors, compute, and record.

There is one for operations of one array, one for two arrays, and one for all others. The first two
are faster equivalents of the general one, without loops.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from ..backend.errors import operation_error
from ..core.graph import Node, recording
from ..core.primitive import Primitive, record_operation
from ..core.tensor import Tensor, snapshot
from .arguments import as_operand

_NUMBERS = frozenset((bool, int, float))


def make_operation(primitive: Primitive, static: list[Parameter]) -> Any:
    """Return the function that users call to apply a primitive.

    `static` are its keyword-only parameters. The primitive is an attribute of the function.
    """
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


def _unary(primitive: Primitive, defaults: dict[str, Any]) -> Callable[..., Any]:
    kernels, save_residuals = primitive.kernels, primitive.save_residuals
    has_residuals = bool(primitive.residual_names)
    (differentiable,) = primitive.differentiable

    def operation(x: Any, **static: Any) -> Any:
        if static and not defaults:
            raise TypeError(f"{primitive.name} takes no options, got {', '.join(static)}")
        if not isinstance(x, Tensor):
            x = x if type(x) in kernels else _convert(primitive.name, x)
            if not isinstance(x, Tensor):
                return kernels[type(x)](x, **static)
        array = x._data
        kernel = kernels[type(array)]
        try:
            y = kernel(array, **static) if static else kernel(array)
        except Exception as error:
            y = kernels.fallback(error, (array,), static)
        parent = x._node if differentiable else None
        if type(y) is not type(array) or y.dtype.kind != "f":
            return record_operation(primitive, (parent,), (array,), y, {**defaults, **static})
        if parent is None or not recording.raw():
            return Tensor(y)
        parents = (parent,)
        residuals = ()
        if has_residuals:
            residuals = save_residuals((array,), y, {**defaults, **static}, parents)
        return Tensor(y, Node(primitive, parents, residuals, y.shape, y.dtype))

    return operation


def _binary(primitive: Primitive) -> Callable[[Any, Any], Any]:
    kernels, save_residuals = primitive.kernels, primitive.save_residuals
    has_residuals = bool(primitive.residual_names)
    a_differentiable, b_differentiable = primitive.differentiable

    def operation(a: Any, b: Any) -> Any:
        first = a
        a_parent = b_parent = None
        tensors = 0
        if isinstance(a, Tensor):
            tensors += 1
            if a_differentiable:
                a_parent = a._node
            a = a._data
        elif type(a) not in kernels and (operand := _convert(primitive.name, a, b)) is not a:
            return operation(operand, b)
        if isinstance(b, Tensor):
            tensors += 1
            if b_differentiable:
                b_parent = b._node
            b = b._data
        elif type(b) not in kernels and (operand := _convert(primitive.name, b, a)) is not b:
            return operation(first, operand)
        array_type = type(b) if type(a) in _NUMBERS else type(a)
        try:
            y = kernels[array_type](a, b)
        except Exception as error:
            y = kernels.fallback(error, (a, b), {})
        if not tensors:
            return y
        parents = (a_parent, b_parent)
        has_plain_array = tensors == 1 and type(a) not in _NUMBERS and type(b) not in _NUMBERS
        if type(y) is not array_type or y.dtype.kind != "f":
            return record_operation(primitive, parents, (a, b), y, {}, has_plain_array)
        if a_parent is b_parent is None or not recording.raw():
            return Tensor(y)
        residuals = save_residuals((a, b), y, None, parents) if has_residuals else ()
        residuals = snapshot(residuals, y) if has_plain_array else residuals
        return Tensor(y, Node(primitive, parents, residuals, y.shape, y.dtype))

    return operation


def _general(primitive: Primitive, defaults: dict[str, Any]) -> Callable[..., Any]:
    kernels, name = primitive.kernels, primitive.name
    all_differentiable = primitive.variadic and primitive.differentiable[0]
    differentiable = {i for i, flag in enumerate(primitive.differentiable) if flag}

    def operation(*arguments: Any, **static: Any) -> Any:
        arrays, parents, has_tensor, array_type = [], [], False, None
        for i, x in enumerate(arguments):
            parent = None
            if isinstance(x, Tensor):
                has_tensor = True
                parent = x._node if all_differentiable or i in differentiable else None
                x = x._data
            elif type(x) not in kernels and not hasattr(x, "dtype") and type(x) not in _NUMBERS:
                like = next((a for a in arguments if hasattr(a, "dtype")), None)
                return operation(*[_convert(name, a, like) for a in arguments], **static)
            if array_type is None and type(x) not in _NUMBERS:
                array_type = type(x)
            arrays.append(x)
            parents.append(parent)
        try:
            y = kernels[array_type or float](*arrays, **static)
        except Exception as error:
            y = kernels.fallback(error, arrays, static)
        if not has_tensor:
            return y
        has_plain_arrays = any(parents) and any(
            type(x) not in _NUMBERS and not isinstance(x, Tensor) for x in arguments
        )
        static = {**defaults, **static}
        return record_operation(
            primitive, tuple(parents), tuple(arrays), y, static, has_plain_arrays
        )

    return operation


def _convert(name: str, value: Any, like: Any = None) -> Any:
    """Return an argument of operation `name` that is not an array as an array or Tensor.

    Numbers stay numbers, which adopt the dtype of the array operands.
    """
    if type(value) in _NUMBERS:
        return value
    try:
        return as_operand(value, like)
    except (TypeError, ValueError) as error:
        raise operation_error(name, error, ()) from error
