"""NumPy's own functions on Tensors: `np.tanh(t)` is `ag.tanh(t)`, `np.concatenate([t, u])`
likewise.

NumPy asks its arguments before it computes: ufuncs through `__array_ufunc__` (NEP 13), all others
through `__array_function__` (NEP 18). Both are answered by the operation of the same name, with the
arguments under NumPy's names brought to ours. What has no derivative by nature is computed on the
arrays. All else is an error: an array computed behind the engine's back would have no gradient.

NumPy does not ask the elements of a list that it makes an array of, as in `np.mean([t, u])`: the
result is a plain array, and RuntimeError is raised if a gradient would be lost. `ag.mean([t, u])`
is the function to use, or `np.mean(np.stack([t, u]))`. CuPy does not ask at all: `t * array` works,
`array * t` is a TypeError there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np

from . import backend
from .core.errors import prefix_error
from .core.operands import as_operand, as_operands
from .core.pytree import flatten, tree_map
from .core.tensor import Tensor
from .ops import MODULES, creation, einsum, extremes, matmul, movement, reduction, selection
from .ops.arguments import normalize_axes


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_operand(x)
    n = len(normalize_axes(axis, x.ndim))
    if ((ord is not None or axis is not None) and n not in (1, 2)) or (ord == "fro" and n == 1):
        raise ValueError(f"np.linalg.norm: the norm {ord!r} is not defined over {n} axes")
    if ord not in (None, "fro") and not (ord == 2 and n == 1):
        raise TypeError(f"np.linalg.norm: ord={ord!r} is not supported, only the Euclidean norm is")
    return reduction.norm(x, axis, keepdims)


def _where(condition: Any, a: Any = None, b: Any = None, /) -> Any:
    if a is None and b is None:
        return np.nonzero(condition)
    if a is None or b is None:
        raise ValueError("np.where: give both x and y, or neither")
    return selection.where(condition, a, b)


def _outer(a: Any, b: Any) -> Any:
    a, b = as_operands(a, b)
    if not a.ndim == b.ndim == 1:
        raise ValueError(f"np.linalg.outer: two vectors are needed, got {a.shape} and {b.shape}")
    return einsum.outer(a, b)


def _cross(a: Any, b: Any, axis: int = -1) -> Any:
    a, b = as_operands(a, b)
    if not a.shape[axis] == b.shape[axis] == 3:
        raise ValueError(f"np.linalg.cross: vectors of 3 are needed, got {a.shape} and {b.shape}")
    return einsum.cross(a, b, axis=axis)


_OPERATIONS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if hasattr(np, name)
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

_PLAIN = {  # without a derivative by nature: computed on the arrays, with all of NumPy's arguments
    getattr(np, name)
    for name in (
        *("allclose", "argwhere", "array2string", "array_equal", "array_equiv"),
        *("array_repr", "array_str", "bincount", "can_cast", "common_type", "count_nonzero"),
        *("digitize", "empty_like", "flatnonzero", "full_like", "isclose", "iscomplex"),
        *("iscomplexobj", "isin", "isreal", "isrealobj", "may_share_memory", "min_scalar_type"),
        *("ndim", "nonzero", "ones_like", "result_type", "searchsorted", "shape"),
        *("shares_memory", "size", "zeros_like"),
        *("arange", "eye", "full", "ones", "zeros"),  # by like=
    )
}
for _function in _PLAIN:
    _OPERATIONS.pop(_function, None)

# Arguments that change how NumPy computes, not what, and the values that they may have.
_IMMATERIAL: dict[str, tuple[Any, ...]] = {
    "argsort.kind": ("quicksort", "heapsort", "mergesort", "stable"),
    "argsort.stable": (True, False),
    "astype.copy": (False,),
    "einsum.optimize": (True, "greedy", "optimal"),
    "median.overwrite_input": (True,),
    "sort.kind": ("quicksort", "heapsort", "mergesort", "stable"),
    "sort.stable": (True, False),
}
# Functions whose `axis` must not be a list in NumPy, though it may be in ours.
_ONE_OR_TUPLE = {np.all, np.any, np.sum, np.prod, np.max, np.min, np.amax, np.amin}
_ONE_OR_TUPLE |= {np.mean, np.std, np.var, np.squeeze, np.linalg.norm}
_UFUNC_DEFAULTS = {
    "casting": "same_kind",
    "order": "K",
    "subok": True,
    "where": True,
}


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    options = {k: v for k, v in options.items() if v is not _UFUNC_DEFAULTS.get(k)}
    if options:  # `array += t` asks for out=
        raise TypeError(
            f"np.{name} of a Tensor takes no {', '.join(options)}=: the result is a new Tensor"
        )
    if method != "__call__" or ufunc not in _OPERATIONS:
        raise _unsupported(name)
    return _OPERATIONS[ufunc](*inputs)


def _array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    module = function.__module__.removeprefix("numpy").removeprefix(".")
    name = f"{module}.{function.__name__}" if module else function.__name__
    if function not in _OPERATIONS and function not in _PLAIN:
        raise _unsupported(name)
    try:
        if function in _PLAIN:
            _refuse_gradients(function, args, options)
            function = getattr(backend.of_array(self._data).xp, function.__name__, function)
            return tree_map(_wrapped, function(*_unwrapped(args), **_unwrapped(options)))
        args, options = _translated(name, function, args, options)
        return _OPERATIONS[function](*args, **options)
    except (TypeError, ValueError, IndexError) as error:
        named = error if str(error).startswith("np.") else prefix_error(f"np.{name}", error)
        raise named from (error.__cause__ if named is error else error)


def _unsupported(name: str) -> TypeError:
    """An error that names the function and the nearest thing that works."""
    known = sorted(function.__name__ for function in (*_OPERATIONS, *_PLAIN))
    same_work = {"add.reduce": "sum", "multiply.reduce": "prod", "add.accumulate": "cumsum"}
    same_work |= {"average": "mean", "multiply.accumulate": "cumprod"}
    last = name.removeprefix("linalg.").partition(".")[0]  # of "add.outer": "add"
    part = sorted((k for k in known if k in last), key=len)[-1:]  # "sum" of "nansum"
    near = [same_work[name]] if name in same_work else part or get_close_matches(last, known, 1)
    return TypeError(
        f"np.{name} has no differentiable form here; use "
        + (f"np.{near[0]}, other " if near else "")
        + "operations of `autograd`, or t.numpy() for a plain array without a gradient"
    )


# --- NumPy's arguments as ours --------------------------------------------------------------------


@cache
def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:  # written in C, before NumPy 2.4
        return inspect.signature(lambda *args, **options: None)


@cache
def _names(function: Any) -> dict[str, bool]:
    """NumPy's parameters that our operation has: True for those passed by name, False for the
    leading ones (arrays, mostly), which are called otherwise here and are passed by position.
    """
    theirs = _signature(function).parameters
    ours = list(inspect.signature(_OPERATIONS[function]).parameters.values())
    by_name = {p.name for p in ours if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    names: dict[str, bool] = {}
    for name, place in zip(theirs, ours, strict=False):
        if names and theirs[[*names][-1]].kind is inspect.Parameter.VAR_POSITIONAL:
            break
        if name in by_name or (place.name in theirs and place.name in by_name):
            break
        names[name] = False
    return names | {name: True for name in theirs if name in by_name}


def _translated(
    name: str, function: Any, args: Any, options: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments in NumPy's order and by NumPy's names in those of our operation.

    Raises TypeError for an argument that we do not have, unless it has its default value.
    """
    parameters, names = _signature(function).parameters, _names(function)
    if options.get("kind") is not None and options.get("stable") is not None:
        raise TypeError(f"np.{name} of a Tensor takes kind= or stable=, not both")
    by_position: list[Any] = []
    by_name: dict[str, Any] = {}
    for key, value in _signature(function).bind(*args, **options).arguments.items():
        parameter = parameters[key]
        if parameter.kind is parameter.VAR_POSITIONAL:
            by_position += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            by_name.update(value)
        elif names.get(key) is False:
            by_position.append(value)
        elif value is parameter.default:
            continue
        elif key == "axis" and isinstance(value, list) and function in _ONE_OR_TUPLE:
            raise TypeError(f"np.{name}: axis must be an integer or a tuple, got {value}")
        elif key in names:
            by_name[key] = value
        elif not any(value is allowed for allowed in _IMMATERIAL.get(f"{name}.{key}", ())):
            raise TypeError(f"np.{name} of a Tensor takes no {key}={value!r}")
    return by_position, by_name


# --- on plain arrays ------------------------------------------------------------------------------


def _refuse_gradients(function: Any, args: Any, options: dict[str, Any]) -> None:
    """Raise TypeError if the result would depend on values whose gradient it does not have."""
    given = {"full": args, "arange": args, "full_like": args[1:], "bincount": args[1:]}
    named = [options[key] for key in ("fill_value", "weights") if key in options]
    for value in flatten([given.get(function.__name__, ()), named]):
        if isinstance(value, Tensor) and value.requires_grad:
            raise TypeError(
                f"np.{function.__name__} has no gradient by fill_value, weights or bounds here: "
                "detach() them"
            )


def _unwrapped(value: Any) -> Any:
    return tree_map(lambda leaf: leaf._data if isinstance(leaf, Tensor) else leaf, value)


def _wrapped(value: Any) -> Any:
    """Arrays as Tensors; numbers, dtypes and text as they are."""
    is_array = hasattr(value, "dtype") and not isinstance(value, (np.generic, type))
    return Tensor(creation.check_real(value)) if is_array else value


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
