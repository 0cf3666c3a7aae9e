"""NumPy's own functions on Tensors: `np.tanh(t)` is `ag.tanh(t)`, `np.concatenate([t, u])`
likewise.

NumPy asks its arguments before it computes: ufuncs through `__array_ufunc__` (NEP 13), all others
through `__array_function__` (NEP 18). Both are answered by the operation of the same name. Where
there is none, the answer is an error: an array computed behind the engine's back would have no
gradient.

CuPy does not ask: `t * array` works, `array * t` is a TypeError there.
"""

from __future__ import annotations

from typing import Any

from ._tensor import Tensor
from .ops import elementwise, indexing, linalg, reduction, shape

_OPERATIONS = {
    name: getattr(module, name)
    for module in (elementwise, indexing, linalg, reduction, shape)
    for name in module.__all__
}


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    if options:  # `array += t` asks for out=
        raise TypeError(
            f"np.{name} of a Tensor takes no {', '.join(options)}=: the result is a new Tensor"
        )
    return _answer(name, inputs, options)


def _array_function(self: Tensor, function: Any, types: Any, args: Any, options: Any) -> Any:
    return _answer(function.__name__, args, options)


def _answer(name: str, args: Any, options: dict[str, Any]) -> Any:
    operation = _OPERATIONS.get(name)
    if operation is None:
        raise TypeError(
            f"np.{name} has no differentiable form here; use operations of `autograd`, "
            "or t.numpy() for a plain array without a gradient"
        )
    return operation(*args, **options)


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
