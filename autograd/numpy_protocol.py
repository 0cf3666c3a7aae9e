"""NumPy's functions on Tensors: `np.tanh(t)` is `ag.tanh(t)`.

NumPy dispatches on its arguments: ufuncs through `__array_ufunc__` (NEP 13), other functions
through `__array_function__` (NEP 18). Both call the operation of the same name, after NumPy's
arguments are translated to the operation's. Functions without a derivative compute on the arrays.
Every other function raises TypeError, because its result would have no gradient.

Limitations: NumPy does not dispatch on the elements of a list that it converts to an array, as in
`np.mean([t, u])`. The result is a plain array, and RuntimeError is raised if a gradient would be
lost. Use `ag.mean([t, u])` or `np.mean(np.stack([t, u]))`. CuPy does not dispatch: `t * array`
works, but `array * t` raises TypeError.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np

from . import backend
from .backend.errors import prefix_error
from .backend.tracer import TracerArray
from .core.pytree import flatten, tree_map
from .core.tensor import Tensor
from .ops import (
    OPERATIONS,
    creation,
    einsum,
    extremes,
    matmul,
    movement,
    public,
    reduction,
    selection,
)
from .ops.arguments import as_operand, as_operands, normalize_axes


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_operand(x)
    n = len(normalize_axes(axis, x.ndim))
    if ((ord is not None or axis is not None) and n not in (1, 2)) or (ord == "fro" and n == 1):
        raise ValueError(f"np.linalg.norm: the norm ord={ord!r} is not defined over {n} axes")
    if ord not in (None, "fro") and not (ord == 2 and n == 1):
        raise TypeError(f"np.linalg.norm: ord must select the Euclidean norm, got ord={ord!r}")
    return reduction.norm(x, axis, keepdims)


def _where(condition: Any, a: Any = None, b: Any = None, /) -> Any:
    if a is None and b is None:
        return np.nonzero(condition)
    if a is None or b is None:
        raise ValueError("np.where: pass both x and y, or neither")
    return selection.where(condition, a, b)


def _outer(a: Any, b: Any) -> Any:
    a, b = as_operands(a, b)
    if not a.ndim == b.ndim == 1:
        raise ValueError(
            f"np.linalg.outer: inputs must be vectors, got shapes {a.shape} and {b.shape}"
        )
    return einsum.outer(a, b)


def _cross(a: Any, b: Any, axis: int = -1) -> Any:
    a, b = as_operands(a, b)
    if not a.shape[axis] == b.shape[axis] == 3:
        raise ValueError(
            "np.linalg.cross: vectors must have 3 elements, "
            f"got shapes {a.shape} and {b.shape} along axis {axis}"
        )
    return einsum.cross(a, b, axis=axis)


_OPERATIONS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): getattr(public, name) for name in OPERATIONS if hasattr(np, name)
} | {
    np.amax: extremes.max,
    np.amin: extremes.min,
    np.linalg.cross: _cross,
    np.linalg.matmul: matmul.matmul,
    np.linalg.norm: _norm,
    np.linalg.outer: _outer,
    np.linalg.tensordot: einsum.tensordot,
    np.lib.stride_tricks.sliding_window_view: movement.sliding_window_view,
    np.where: _where,
}

# Functions without a derivative. They compute on the arrays, with all of NumPy's arguments.
_ARRAY_FUNCTIONS = {
    getattr(np, name)
    for name in (
        *("allclose", "argwhere", "array2string", "array_equal", "array_equiv"),
        *("array_repr", "array_str", "bincount", "can_cast", "common_type", "count_nonzero"),
        *("digitize", "empty_like", "flatnonzero", "full_like", "isclose", "iscomplex"),
        *("iscomplexobj", "isin", "isreal", "isrealobj", "may_share_memory", "min_scalar_type"),
        *("ndim", "nonzero", "ones_like", "result_type", "searchsorted", "shape"),
        *("shares_memory", "size", "zeros_like"),
        *("arange", "eye", "full", "ones", "zeros"),  # dispatched by like=
    )
}
for _function in _ARRAY_FUNCTIONS:
    _OPERATIONS.pop(_function, None)

# Values of arguments that affect NumPy's algorithm but not the result; they are ignored.
_IGNORED_VALUES: dict[str, tuple[Any, ...]] = {
    "argsort.kind": ("quicksort", "heapsort", "mergesort", "stable"),
    "argsort.stable": (True, False),
    "astype.copy": (False,),
    "einsum.optimize": (True, "greedy", "optimal"),
    "median.overwrite_input": (True,),
    "sort.kind": ("quicksort", "heapsort", "mergesort", "stable"),
    "sort.stable": (True, False),
}
# Functions whose `axis` must not be a list in NumPy. The engine's operations accept lists.
_WITHOUT_AXIS_LIST = {np.all, np.any, np.sum, np.prod, np.max, np.min, np.amax, np.amin}
_WITHOUT_AXIS_LIST |= {np.mean, np.std, np.var, np.squeeze, np.linalg.norm}
_UFUNC_DEFAULTS = {
    "casting": "same_kind",
    "order": "K",
    "subok": True,
    "where": True,
}


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    options = {k: v for k, v in options.items() if v is not _UFUNC_DEFAULTS.get(k)}
    if options:  # `array += t` passes out=
        names = ", ".join(options)
        raise TypeError(f"np.{name} of a Tensor returns a new Tensor and does not support {names}=")
    if method != "__call__" or ufunc not in _OPERATIONS:
        raise _unsupported(name)
    return _OPERATIONS[ufunc](*inputs)


def _array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    module = function.__module__.removeprefix("numpy").removeprefix(".")
    name = f"{module}.{function.__name__}" if module else function.__name__
    if function not in _OPERATIONS and function not in _ARRAY_FUNCTIONS:
        raise _unsupported(name)
    try:
        if function in _ARRAY_FUNCTIONS:
            _check_no_gradient(function, args, options)
            tensors = [x for x in flatten((args, options)) if isinstance(x, Tensor)]
            traced = [x for x in tensors if isinstance(x._data, TracerArray)]
            array_backend = backend.of_array((traced or [self])[0]._data)
            function = getattr(array_backend.xp, function.__name__, function)
            return tree_map(_wrap, function(*_unwrap(args), **_unwrap(options)))
        args, options = _translate(name, function, args, options)
        return _OPERATIONS[function](*args, **options)
    except (TypeError, ValueError, IndexError) as error:
        named = error if str(error).startswith("np.") else prefix_error(f"np.{name}", error)
        raise named from (error.__cause__ if named is error else error)


def _unsupported(name: str) -> TypeError:
    """Return an error that names the function and the most similar supported one."""
    supported = sorted(function.__name__ for function in (*_OPERATIONS, *_ARRAY_FUNCTIONS))
    replacements = {"add.reduce": "sum", "multiply.reduce": "prod", "add.accumulate": "cumsum"}
    replacements |= {"average": "mean", "multiply.accumulate": "cumprod"}
    base_name = name.removeprefix("linalg.").partition(".")[0]  # of "add.outer": "add"
    substrings = sorted((k for k in supported if k in base_name), key=len)  # of "nansum": "sum"
    suggestions = substrings[-1:] or get_close_matches(base_name, supported, 1)
    suggestions = [replacements[name]] if name in replacements else suggestions
    return TypeError(
        f"np.{name} of a Tensor is not supported; use "
        + (f"np.{suggestions[0]}, other " if suggestions else "")
        + "operations of `autograd`, or t.numpy() for an array without a gradient"
    )


# --- translation of arguments ---------------------------------------------------------------------


@cache
def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:  # functions in C, before NumPy 2.4
        return inspect.signature(lambda *args, **options: None)


@cache
def _supported_parameters(function: Any) -> dict[str, bool]:
    """Return NumPy's parameters that the operation has, and True for those passed by name.

    Leading parameters (mostly arrays) that have another name in the operation are passed by
    position.
    """
    numpy_parameters = _signature(function).parameters
    parameters = list(inspect.signature(_OPERATIONS[function]).parameters.values())
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    supported: dict[str, bool] = {}
    for name, parameter in zip(numpy_parameters, parameters, strict=False):
        last = [*supported][-1:]
        if last and numpy_parameters[last[0]].kind is inspect.Parameter.VAR_POSITIONAL:
            break
        if name in by_name or (parameter.name in numpy_parameters and parameter.name in by_name):
            break
        supported[name] = False
    return supported | {name: True for name in numpy_parameters if name in by_name}


def _translate(
    name: str, function: Any, args: Any, options: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and keyword arguments of the operation for a call of NumPy's function.

    An argument that the operation does not have raises TypeError, unless it has its default value.
    """
    parameters, supported = _signature(function).parameters, _supported_parameters(function)
    if options.get("kind") is not None and options.get("stable") is not None:
        raise TypeError(f"np.{name}: pass kind= or stable=, but not both")
    by_position: list[Any] = []
    by_name: dict[str, Any] = {}
    for key, value in _signature(function).bind(*args, **options).arguments.items():
        parameter = parameters[key]
        if parameter.kind is parameter.VAR_POSITIONAL:
            by_position += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            by_name.update(value)
        elif supported.get(key) is False:
            by_position.append(value)
        elif value is parameter.default:
            continue
        elif key == "axis" and isinstance(value, list) and function in _WITHOUT_AXIS_LIST:
            raise TypeError(f"np.{name}: axis must be an integer or a tuple, got {value}")
        elif key in supported:
            by_name[key] = value
        elif not any(value is allowed for allowed in _IGNORED_VALUES.get(f"{name}.{key}", ())):
            raise TypeError(f"np.{name} of a Tensor does not support {key}={value!r}")
    return by_position, by_name


# --- functions without a derivative ---------------------------------------------------------------


def _check_no_gradient(function: Any, args: Any, options: dict[str, Any]) -> None:
    """Raise TypeError if the result depends on a Tensor that requires a gradient."""
    by_position = {"full": args, "arange": args, "full_like": args[1:], "bincount": args[1:]}
    by_name = [options[key] for key in ("fill_value", "weights") if key in options]
    for value in flatten([by_position.get(function.__name__, ()), by_name]):
        if isinstance(value, Tensor) and value.requires_grad:
            raise TypeError(
                f"np.{function.__name__} of a Tensor has no gradient with respect to fill_value, "
                "weights or bounds: detach() them"
            )


def _unwrap(value: Any) -> Any:
    return tree_map(lambda leaf: leaf._data if isinstance(leaf, Tensor) else leaf, value)


def _wrap(value: Any) -> Any:
    """Return arrays as Tensors, and numbers, dtypes and strings unchanged."""
    is_array = hasattr(value, "dtype") and not isinstance(value, (np.generic, type))
    return Tensor(creation.check_real(value)) if is_array else value


def install(tensor_class: type) -> None:
    """Define the methods of both protocols on the class of Tensors."""
    tensor_class.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
    tensor_class.__array_function__ = _array_function  # type: ignore[attr-defined]
