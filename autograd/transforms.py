"""Derivatives of functions, built on the sweep.

Functions take and return arrays, Tensors, or nested tuples, lists and dicts of them. Given NumPy
arrays or Python floats, these transforms return NumPy arrays or floats; Python floats count as
float64. They nest in any mixture: a result is recorded in its turn when an outer transform is
running, or when an argument belongs to a recorded graph.

Forward mode needs no rules of its own. Reverse mode computes u -> u'J, which is linear in u; so its
transpose, taken by reverse mode again, computes v -> Jv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import _graph
from ._graph import enable_grad
from ._tensor import Tensor
from ._tree import flatten, structure, tree_map, unflatten
from .backend import asarray, get_default_dtype
from .ops.creation import zeros_beside, zeros_like
from .ops.shape import reshape, stack

Function = Callable[..., Any]

nested: ContextVar[bool] = ContextVar("nested", default=False)
"""Whether a function is being differentiated right now, so that what happens inside is recorded."""


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
    outputs, inputs = (flatten([*t] if isinstance(t, Iterator) else t) for t in (outputs, inputs))
    many = isinstance(grad_outputs, (tuple, list))
    weights = grad_outputs if many else [grad_outputs] * len(outputs)
    if len(weights) != len(outputs):
        raise ValueError(f"there are {len(outputs)} outputs, but {len(weights)} grad_outputs")
    for i, tensor in enumerate(inputs):
        if not isinstance(tensor, Tensor) or tensor._node is None:
            raise RuntimeError(f"input {i} requires no gradient: say so before computing with it")
    seeds = [o._seed(w, create_graph) for o, w in zip(outputs, weights, strict=True)]
    found = _graph.sweep(seeds, [t._node for t in inputs], retain_graph, create_graph)
    results = [found.get(tensor._node) for tensor in inputs]
    for i, one in enumerate(results):
        if one is None and not allow_unused:
            raise RuntimeError(
                f"the outputs do not depend on input {i}; allow_unused=True gives None for it"
            )
    return tuple(r if r is None or isinstance(r, Tensor) else Tensor(r) for r in results)


# --- between the caller's values and the recorded ones --------------------------------------------


class _Call:
    """A function applied to stand-ins of some of its arguments, and recorded.

    `leaves` are the stand-ins, `outputs` the results, both flat; `out` keeps the results' nesting.
    `record` says whether what is derived from them must be recorded in its turn.
    """

    def __init__(self, f: Function, args: Any, chosen: dict[int, Any], kwargs: Any) -> None:
        self.given = flatten(list(chosen.values()))
        self.record = nested.get() or any(is_recorded(leaf) for leaf in flatten(args))
        with _differentiating():
            inputs = {i: tree_map(_stand_in, tree) for i, tree in chosen.items()}
            self.out = f(*[inputs.get(i, arg) for i, arg in enumerate(args)], **kwargs)
        self.leaves = flatten(list(inputs.values()))

    def returned(self, value: Any) -> Any:
        """A result, or something derived from it, in the kind of the arguments."""
        given = next(iter(self.given), value)
        return self.like(given, value) if isinstance(value, Tensor) else value

    def like(self, given: Any, value: Tensor) -> Any:
        """A value in the kind of what was given, Tensor, array or number; a recorded one stays."""
        value = value if self.record else value.detach()
        if isinstance(given, Tensor) or is_recorded(value):
            return value
        is_number = not hasattr(given, "dtype") or isinstance(given, np.generic)
        return value.item() if is_number and value.size == 1 else value.data


@contextmanager
def _differentiating() -> Iterator[None]:
    token = nested.set(True)
    try:
        with enable_grad():
            yield
    finally:
        nested.reset(token)


def _pull(
    outputs: list[Any], leaves: list[Tensor], weights: list[Any], record: bool
) -> list[Tensor]:
    """Weighted gradients of some results with respect to each leaf; 0 where independent."""
    live = [(o, w) for o, w in zip(outputs, weights, strict=True) if is_recorded(o)]
    found: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if live:
        tensors, seeds = [o for o, _ in live], [w for _, w in live]
        with enable_grad():
            found = gradients(tensors, leaves, seeds, True, record, allow_unused=True)
    return [zeros_like(x.detach()) if g is None else g for x, g in zip(leaves, found, strict=True)]


def is_recorded(value: Any) -> bool:
    return isinstance(value, Tensor) and value._node is not None


def _stand_in(value: Any) -> Tensor:
    """A node of our own for an argument, so that gradients stop here: a new leaf, or one more step
    of the graph that the argument belongs to.
    """
    if isinstance(value, Tensor):
        return value * 1 if value._node is not None else value.detach().requires_grad_()
    return _tensor(value).requires_grad_()


def _tensor(value: Any) -> Tensor:
    """An array or number as a Tensor, unconverted; Python floats as float64."""
    if isinstance(value, Tensor):
        return value
    is_array = hasattr(value, "dtype") and not isinstance(value, np.generic)
    return Tensor(value if is_array else asarray(np.asarray(value)))


def _like_arguments(call: _Call, trees: Any, values: list[Tensor]) -> tuple[Any, ...]:
    """Values, one per leaf, in the nesting and the kinds of the arguments that they belong to."""
    left = iter(values)
    return tuple(tree_map(lambda given: call.like(given, next(left)), tree) for tree in trees)


# --- reverse mode ---------------------------------------------------------------------------------


def value_and_grad(
    f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Function:
    """The function that returns `(f(...), gradient)`, for an `f` whose result has one element.

    `argnums` says which positional argument (a tuple: several, and then the gradient is a tuple); a
    gradient has its argument's nesting. With `has_aux`, f returns `(value, aux)`, and so does the
    first item of the result.
    """
    many = isinstance(argnums, tuple)
    positions = argnums if isinstance(argnums, tuple) else (argnums,)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, positions)
        call = _Call(f, args, chosen, kwargs)
        value, aux = call.out if has_aux else (call.out, None)
        found = getattr(value, "shape", structure(value))
        if structure(value) != "*" or getattr(value, "size", 1) != 1:
            raise ValueError(f"only a result of one element has a gradient; this one is {found}")
        slopes = _pull([value], call.leaves, [None], call.record)
        slope = _like_arguments(call, chosen.values(), slopes)
        value = call.returned(value)
        return (value, aux) if has_aux else value, slope if many else slope[0]

    return differentiated


def _chosen(args: Any, positions: tuple[int, ...]) -> dict[int, Any]:
    for i in positions:
        if not -len(args) <= i < len(args):
            raise ValueError(f"argnums {i} is out of range: there are {len(args)} arguments")
    return {i % len(args): args[i] for i in positions}


def grad(f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """The function that returns the gradient of `f` alone, or `(gradient, aux)` with `has_aux`; see
    `value_and_grad`.
    """
    both = value_and_grad(f, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, slope = both(*args, **kwargs)
        return (slope, value[1]) if has_aux else slope

    return differentiated


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """`out, pullback = vjp(f, *primals)`: the result, and u -> u'J as a tuple, an entry per primal.

    `u` has the nesting of the result; `pullback` may be called again and again.
    """
    call = _Call(f, primals, dict(enumerate(primals)), {})

    def pullback(u: Any) -> tuple[Any, ...]:
        tree_map(lambda o, w: None, call.out, u)  # the same nesting, or an error
        call.record = call.record or nested.get() or any(map(is_recorded, flatten(u)))
        pulled = _pull(flatten(call.out), call.leaves, flatten(u), call.record)
        return _like_arguments(call, primals, pulled)

    return tree_map(call.returned, call.out), pullback


# --- forward mode ---------------------------------------------------------------------------------


def jvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """`out, tangent_out = jvp(f, primals, tangents)`: f's result and Jv, for tuples of arguments.

    `tangents` has the nesting and shapes of `primals`; a result that does not depend on them has
    the tangent 0.
    """
    primals, tangents = _several(primals), _several(tangents)
    tree_map(_check_tangent, primals, tangents)
    call = _Call(f, primals, dict(enumerate(primals)), {})
    push = _pushforward(call)
    call.record = call.record or any(map(is_recorded, flatten(tangents)))
    tangent = unflatten(call.out, map(call.returned, push(flatten(tangents), call.record)))
    return tree_map(call.returned, call.out), tangent


def _several(given: Any) -> tuple[Any, ...]:
    """A tuple; of one, if just one thing is given."""
    return tuple(given) if isinstance(given, (tuple, list, Iterator)) else (given,)


def _check_tangent(primal: Any, tangent: Any) -> None:
    shape, wanted = (tuple(getattr(value, "shape", ())) for value in (tangent, primal))
    if shape != wanted:
        raise ValueError(f"a tangent of shape {shape} for a primal {wanted}")


def _pushforward(call: _Call) -> Callable[[list[Any], bool], list[Tensor]]:
    """v -> Jv, from the transpose of u -> u'J: recorded once at u = 0, swept back for every v."""
    outputs = [_tensor(o) for o in flatten(call.out)]
    kinds = [o.dtype if o.dtype.kind == "f" else get_default_dtype() for o in outputs]
    probes = [
        zeros_like(o.detach(), kind).requires_grad_()
        for o, kind in zip(outputs, kinds, strict=True)
    ]
    with _differentiating():
        pulled = _pull(outputs, call.leaves, list(probes), True)
    return lambda tangents, record: _pull(pulled, probes, tangents, record)


# --- whole matrices -------------------------------------------------------------------------------


def jacobian(f: Function, argnums: int | tuple[int, ...] = 0) -> Function:
    """The function that returns df/dx of shape (*f(x).shape, *x.shape).

    For a nested result and argument: the nesting of the result, each leaf replaced by the nesting
    of the argument (a tuple of them for a tuple of `argnums`). It takes one sweep per element of
    the results or of the arguments, whichever are fewer.
    """
    positions = argnums if isinstance(argnums, tuple) else (argnums,)

    def matrix(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, positions)
        call = _Call(f, args, chosen, kwargs)
        outputs = [_tensor(o) for o in flatten(call.out)]
        rows = [_like_arguments(call, chosen.values(), row) for row in _blocks(call, outputs)]
        return unflatten(call.out, [row if isinstance(argnums, tuple) else row[0] for row in rows])

    return matrix


def _blocks(call: _Call, outputs: list[Tensor]) -> list[list[Tensor]]:
    """The blocks of the Jacobian: [output][leaf], of shape (*output.shape, *leaf.shape)."""
    if sum(o.size for o in outputs) <= sum(x.size for x in call.leaves):
        by_output = []
        for o in outputs:
            lines = [_pull([o], call.leaves, [unit], call.record) for unit in _units(o)]
            by_output.append(
                [_joined([line[k] for line in lines], o, x) for k, x in enumerate(call.leaves)]
            )
        return by_output
    push = _pushforward(call)
    by_leaf = []
    for k, x in enumerate(call.leaves):
        zero = [zeros_like(other.detach()) for other in call.leaves]
        lines = [push([*zero[:k], unit, *zero[k + 1 :]], call.record) for unit in _units(x)]
        columns = [_joined([line[i] for line in lines], x, o) for i, o in enumerate(outputs)]
        by_leaf.append([_moved(column, x.ndim) for column in columns])
    return [list(row) for row in zip(*by_leaf, strict=True)]


def _units(like: Tensor) -> Iterator[Tensor]:
    """The unit vectors of a tensor's space."""
    for i in range(like.size):
        unit = zeros_like(like.detach())
        unit.data.reshape(-1)[i : i + 1] = 1
        yield unit


def _joined(line: list[Tensor], outer: Tensor, inner: Tensor) -> Any:
    shape = (*outer.shape, *inner.shape)
    return reshape(stack(line), shape) if line else zeros_beside(inner.detach(), shape, inner.dtype)


def _moved(block: Tensor, count: int) -> Tensor:
    """The first `count` axes behind the others."""
    return block.transpose(*range(count, block.ndim), *range(count)) if block.ndim else block


def hessian(f: Function, argnums: int | tuple[int, ...] = 0) -> Function:
    """The function that returns the second derivatives, the Jacobian of the gradient."""
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Function, primals: Any, tangents: Any) -> Any:
    """The Hessian of f times a vector, by forward mode over reverse mode, without the matrix.

    For one primal its product, for several a tuple.
    """
    primals = _several(primals)
    slopes = grad(f, tuple(range(len(primals))))
    product = jvp(slopes, primals, tangents)[1]
    return product[0] if len(primals) == 1 else product
