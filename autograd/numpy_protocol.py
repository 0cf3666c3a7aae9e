"""NumPy's own functions on Tensors: `np.tanh(t)` is `ag.tanh(t)`, `np.concatenate([t, u])`
likewise.

NumPy asks its arguments before it computes: ufuncs through `__array_ufunc__` (NEP 13), all others
through `__array_function__` (NEP 18). Both are answered by the operation of the same name, with the
arguments under NumPy's names brought to ours. What has no derivative by nature is computed on the
arrays. All else is an error: an array computed behind the engine's back would have no gradient.

CuPy does not ask: `t * array` works, `array * t` is a TypeError there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from typing import Any

import numpy as np

from . import backend
from ._tensor import Tensor
from ._tree import tree_map
from .ops import (
    creation,
    elementwise,
    indexing,
    linalg,
    movement,
    ordering,
    products,
    reduction,
    shape,
)

_MODULES = (creation, elementwise, indexing, linalg, movement, ordering, products, reduction, shape)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, "fro") and not (ord == 2 and (x.ndim == 1 or isinstance(axis, int))):
        raise TypeError(f"np.linalg.norm: ord={ord!r} is not supported, only the Euclidean norm is")
    return reduction.norm(x, axis, keepdims)


_OPERATIONS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): getattr(module, name)
    for module in _MODULES
    for name in module.__all__
    if hasattr(np, name)
} | {
    np.amax: reduction.max,
    np.amin: reduction.min,
    np.linalg.cross: products.cross,
    np.linalg.matmul: linalg.matmul,
    np.linalg.norm: _norm,
    np.linalg.outer: products.outer,
    np.linalg.tensordot: products.tensordot,
    np.lib.stride_tricks.sliding_window_view: movement.sliding_window_view,
}

_PLAIN = {  # without a derivative by nature: computed on the arrays
    getattr(np, name)
    for name in (
        *("allclose", "argwhere", "array2string", "array_equal", "array_equiv"),
        *("array_repr", "array_str", "bincount", "can_cast", "common_type", "count_nonzero"),
        *("digitize", "empty_like", "flatnonzero", "full_like", "isclose", "iscomplex"),
        *("iscomplexobj", "isin", "isreal", "isrealobj", "may_share_memory", "min_scalar_type"),
        *("ndim", "nonzero", "result_type", "searchsorted", "shape", "shares_memory", "size"),
    )
}

# Arguments that change how NumPy computes, not what.
_IMMATERIAL = frozenset(("copy", "kind", "optimize", "overwrite_input", "stable"))


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if options:  # `array += t` asks for out=
        raise TypeError(
            f"np.{name} of a Tensor takes no {', '.join(options)}=: the result is a new Tensor"
        )
    if method != "__call__" or ufunc not in _OPERATIONS:
        raise _unsupported(name)
    return _OPERATIONS[ufunc](*inputs)


def _array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    if function in _PLAIN:
        function = getattr(backend.of(self._data).xp, function.__name__, function)
        return tree_map(_wrapped, function(*_unwrapped(args), **_unwrapped(options)))
    module = function.__module__.removeprefix("numpy").removeprefix(".")
    name = f"{module}.{function.__name__}" if module else function.__name__
    if function not in _OPERATIONS:
        raise _unsupported(name)
    args, options = _translated(name, function, args, options)
    return _OPERATIONS[function](*args, **options)


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


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@cache
def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:  # written in C, before NumPy 2.4
        return inspect.signature(lambda *args, **options: None)


def _translated(
    name: str, function: Any, args: Any, options: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments in NumPy's order and names in those of our operation: what both call alike goes by
    name, the others (the arrays mostly) by position.

    Raises TypeError for an argument that we do not have, unless it says the default.
    """
    signature, ours = _signature(function), _signature(_OPERATIONS[function]).parameters
    theirs, places = signature.parameters, list(ours.values())
    by_position: list[Any] = []
    by_name: dict[str, Any] = {}
    for key, value in signature.bind(*args, **options).arguments.items():
        parameter, i = theirs[key], list(theirs).index(key)
        place = places[i] if i < len(places) else None
        variadic = any(p.kind is p.VAR_POSITIONAL for p in places[: i + 1])
        if parameter.kind is parameter.VAR_POSITIONAL:
            by_position += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            by_name.update(value)
        elif key in ours and ours[key].kind in _BY_NAME:
            by_name[key] = value
        elif parameter.kind is not parameter.KEYWORD_ONLY and (
            variadic or (place and (place.kind not in _BY_NAME or place.name not in theirs))
        ):
            by_position.append(value)
        elif key not in _IMMATERIAL and value is not parameter.default:
            raise TypeError(f"np.{name} of a Tensor takes no {key}=")
    return by_position, by_name


# --- on plain arrays ------------------------------------------------------------------------------


def _unwrapped(value: Any) -> Any:
    return tree_map(lambda leaf: leaf._data if isinstance(leaf, Tensor) else leaf, value)


def _wrapped(value: Any) -> Any:
    """Arrays as Tensors; numbers, dtypes and text as they are."""
    is_array = hasattr(value, "dtype") and not isinstance(value, np.generic)
    return Tensor(value) if is_array else value


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
