"""Derivatives of functions, built on the sweep.

Functions take and return arrays, Tensors, or nested tuples, lists and dicts of them. Given NumPy
arrays or Python floats, these transforms return NumPy arrays or floats; Python floats count as
float64. They nest: a result is recorded in its turn when an outer transform is running, or when an
argument belongs to a recorded graph.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import _graph
from ._graph import enable_grad
from ._tensor import Tensor
from ._tree import flatten, tree_map
from .ops.creation import zeros_like

Function = Callable[..., Any]

_nested: ContextVar[bool] = ContextVar("nested", default=False)
"""Whether a function is being differentiated right now, so that what happens inside must be
recorded.
"""


def gradients(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` (a Tensor or several, summed) with respect to each of `inputs`.

    `grad_outputs` weighs the outputs, one entry for each (None: for outputs of one element).
    Nothing is written to `.grad`. An input that the outputs do not depend on is an error, or gives
    None under `allow_unused`.
    """
    outputs, inputs = flatten(outputs), flatten(inputs)
    weights = (
        grad_outputs if isinstance(grad_outputs, (tuple, list)) else [grad_outputs] * len(outputs)
    )
    if len(weights) != len(outputs):
        raise ValueError(f"there are {len(outputs)} outputs, but {len(weights)} grad_outputs")
    for i, tensor in enumerate(inputs):
        if not isinstance(tensor, Tensor) or tensor._node is None:
            raise RuntimeError(
                f"input {i} does not require a gradient: say so before computing with it"
            )
    seeds = [
        output._seed(weight, create_graph) for output, weight in zip(outputs, weights, strict=True)
    ]
    found = _graph.sweep(seeds, [tensor._node for tensor in inputs], retain_graph, create_graph)
    results = [found.get(tensor._node) for tensor in inputs]
    if None in [r if r is None else 0 for r in results] and not allow_unused:
        unused = next(i for i, result in enumerate(results) if result is None)
        raise RuntimeError(
            f"the outputs do not depend on input {unused}; allow_unused=True gives None for it"
        )
    return tuple(r if r is None or isinstance(r, Tensor) else Tensor(r) for r in results)


def value_and_grad(
    f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Function:
    """The function that returns `(f(...), gradient)`, for an `f` whose result has one element.

    `argnums` says which positional argument (a tuple: several, and then the gradient is a tuple); a
    gradient has its argument's nesting. With `has_aux`, f returns `(value, aux)`, and so does the
    first item of the result.
    """
    positions = argnums if isinstance(argnums, tuple) else (argnums,)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        chosen = {i % len(args): args[i] for i in positions}
        outer = _nested.get() or any(
            isinstance(leaf, Tensor) and leaf._node for leaf in flatten(args)
        )
        token = _nested.set(True)
        try:
            with enable_grad():
                inputs = {i: tree_map(_stand_in, tree) for i, tree in chosen.items()}
                out = f(*[inputs.get(i, arg) for i, arg in enumerate(args)], **kwargs)
                value, aux = out if has_aux else (out, None)
                slopes = _slopes(value, flatten(list(inputs.values())), outer)
        finally:
            _nested.reset(token)
        left = iter(slopes)
        slope = tuple(
            tree_map(lambda leaf: _as_given(leaf, next(left)), tree) for tree in chosen.values()
        )
        value = _as_given(flatten(list(chosen.values()))[0], value if outer else _detached(value))
        return ((value, aux) if has_aux else value), (
            slope if isinstance(argnums, tuple) else slope[0]
        )

    return differentiated


def grad(f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """The function that returns the gradient of `f` alone (with `has_aux`: `(gradient, aux)`); see
    `value_and_grad`.
    """
    both = value_and_grad(f, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, slope = both(*args, **kwargs)
        return (slope, value[1]) if has_aux else slope

    return differentiated


def _slopes(value: Any, leaves: list[Tensor], outer: bool) -> list[Tensor]:
    """The gradient of a function's result with respect to each leaf, 0 where it does not depend on
    it.
    """
    if getattr(value, "size", 1) != 1:
        raise ValueError(
            f"only a result of one element has a gradient; this one has shape {value.shape}"
        )
    found: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if isinstance(value, Tensor) and value._node is not None:
        found = gradients(value, leaves, create_graph=outer, allow_unused=True)
    return [
        zeros_like(leaf.detach()) if s is None else s for leaf, s in zip(leaves, found, strict=True)
    ]


def _stand_in(value: Any) -> Tensor:
    """A node of our own for an argument, so that gradients stop here: a new leaf, or one more step
    of its graph.
    """
    if isinstance(value, Tensor):
        return value * 1 if value._node is not None else value.detach().requires_grad_()
    array = (
        value
        if hasattr(value, "dtype") and not isinstance(value, np.generic)
        else np.asarray(value)
    )
    return Tensor(array).requires_grad_()


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _as_given(like: Any, result: Any) -> Any:
    """A result of the kind of an argument: Tensor, array or float; but a Tensor as long as it is
    being recorded.
    """
    if isinstance(like, Tensor) or not isinstance(result, Tensor) or result._node is not None:
        return result
    return (
        result.data
        if hasattr(like, "dtype") and not isinstance(like, np.generic)
        else result.item()
    )
