"""Derivatives of functions, built on the sweep.

Functions take and return arrays, Tensors, or nested tuples, lists and dicts of them. Given NumPy
arrays or Python floats, these transforms return NumPy arrays or floats; Python floats count as
float64. Transforms nest in any mixture. While recording is on, a result that depends on a tensor
outside the call that requires grad, an argument or one that the function closes over, is part of
the recorded graph; it is a Tensor then, whatever the arguments are. Under `no_grad`, no result is.

Forward mode needs no rules of its own. Reverse mode computes u -> u'J, which is linear in u; so its
transpose, taken by reverse mode again, computes v -> Jv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .backend import asarray, get_default_dtype
from .core import graph
from .core.graph import Node, enable_grad
from .core.mutation import next_version
from .core.pytree import flatten, structure, tree_map, unflatten
from .core.tensor import Tensor
from .ops.arguments import check_integer
from .ops.creation import zeros_like, zeros_on_device_of
from .ops.joining import stack
from .ops.shape import reshape

Function = Callable[..., Any]
Argnums = int | tuple[int, ...] | list[int]


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
    found = graph.backward_pass(seeds, [t._node for t in inputs], retain_graph, create_graph)
    results = [found.get(tensor._node) for tensor in inputs]
    for i, one in enumerate(results):
        if one is None and not allow_unused:
            raise RuntimeError(
                f"the outputs do not depend on input {i}; allow_unused=True gives None for it"
            )
    return tuple(r if r is None or isinstance(r, Tensor) else Tensor(r) for r in results)


# --- between the caller's values and the recorded ones --------------------------------------------


class _Call:
    """A function applied to copies of some of its arguments that have nodes of their own.

    `leaves` are the copies, `outputs` the results, both flat; `out` has the nesting of the results.
    `outer` holds the nodes of the results that depend on a node outside the call.
    """

    def __init__(self, f: Function, args: Any, chosen: dict[int, Any], kwargs: Any) -> None:
        self.given = flatten(list(chosen.values()))
        self.start = next_version()
        with enable_grad():
            inputs = {i: tree_map(_with_node, tree) for i, tree in chosen.items()}
            self.out = f(*[inputs.get(i, arg) for i, arg in enumerate(args)], **kwargs)
        self.leaves = flatten(list(inputs.values()))
        self.outputs = flatten(self.out)
        self.outer = graph.dependents_since(self.start, _nodes(self.outputs))

    def records(self, weights: Any = ()) -> bool:
        """True if derivatives of the results, with these weights, must be recorded."""
        return graph.recording.get() and bool(self.outer or _nodes(flatten(weights)))

    def settled(self, values: list[Tensor], weights: Any = ()) -> list[Tensor]:
        """Derivatives, detached where they depend neither on a node outside nor on `weights`."""
        outer = graph.dependents_since(self.start, _nodes(values), {*_nodes(flatten(weights))})
        return [_settled(value, outer) for value in values]

    def results(self, tree: Any) -> Any:
        """Results of the function, detached where they depend on nothing outside."""
        if not _nodes(flatten(tree)):
            return tree
        return tree_map(lambda leaf: _settled(leaf, self.outer), tree)

    def returned(self, value: Any) -> Any:
        """A result, or something derived from it, in the kind of the arguments."""
        given = next(iter(self.given), value)
        return self.like(given, value) if isinstance(value, Tensor) else value

    def like(self, given: Any, value: Tensor) -> Any:
        """A value in the kind of what was given, Tensor, array or number; a recorded one stays."""
        if isinstance(given, Tensor) or is_recorded(value):
            return value
        is_number = not hasattr(given, "dtype") or isinstance(given, np.generic)
        return value.item() if is_number and not value.ndim else value.data


def _nodes(values: list[Any]) -> list[Node]:
    """The nodes of the recorded values."""
    return [value._node for value in values if is_recorded(value)]


def _settled(value: Any, outer: set[Node]) -> Any:
    """A value, detached unless recording is on and its node is in `outer`."""
    if is_recorded(value) and not (graph.recording.get() and value._node in outer):
        return value.detach()
    return value


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


def _with_node(value: Any) -> Tensor:
    """An argument with a new node, at which gradients stop: a new leaf, or one more operation of
    the graph that the argument belongs to.
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


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that returns `(f(...), gradient)`, for an `f` whose result has one element.

    `argnums` says which positional argument (a tuple: several, and then the gradient is a tuple); a
    gradient has its argument's nesting. With `has_aux`, f returns `(value, aux)`, and so does the
    first item of the result.

    Results that depend on recorded tensors, such as parameters that `f` closes over, are recorded
    Tensors, even if the arguments are arrays; call under `no_grad` to get arrays.
    """
    many, positions = _positions(argnums)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, positions)
        call = _Call(f, args, chosen, kwargs)
        value, aux = call.out if has_aux else (call.out, None)
        found = getattr(value, "shape", structure(value))
        if structure(value) != "*" or getattr(value, "size", 1) != 1:
            raise ValueError(f"only a result of one element has a gradient; this one is {found}")
        gradients = call.settled(_pull([value], call.leaves, [None], call.records()))
        gradient = _like_arguments(call, chosen.values(), gradients)
        value, aux = call.returned(call.results(value)), call.results(aux)
        return (value, aux) if has_aux else value, gradient if many else gradient[0]

    return differentiated


def _positions(argnums: Argnums) -> tuple[bool, tuple[int, ...]]:
    """True if `argnums` names several arguments, and their positions."""
    many = isinstance(argnums, (tuple, list))
    numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    return many, tuple([check_integer("argnums", number) for number in numbers])


def _chosen(args: Any, positions: tuple[int, ...]) -> dict[int, Any]:
    for i in positions:
        if not -len(args) <= i < len(args):
            raise ValueError(f"argnums {i} is out of range: there are {len(args)} arguments")
    return {i % len(args): args[i] for i in positions}


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
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
        pulled = _pull(call.outputs, call.leaves, flatten(u), call.records(u))
        return _like_arguments(call, primals, call.settled(pulled, u))

    return tree_map(call.returned, call.results(call.out)), pullback


# --- forward mode ---------------------------------------------------------------------------------


def jvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """`out, tangent_out = jvp(f, primals, tangents)`: f's result and Jv, for tuples of arguments.

    `tangents` has the nesting and shapes of `primals`; a result that does not depend on them has
    the tangent 0.
    """
    primals, tangents = _several(primals), _several(tangents)
    tree_map(_check_tangent, primals, tangents)
    call = _Call(f, primals, dict(enumerate(primals)), {})
    pulled, probes = _transpose(call)
    pushed = _pull(pulled, probes, flatten(tangents), call.records(tangents))
    pushed = call.settled(pushed, tangents)
    tangent = unflatten(call.out, map(call.returned, pushed))
    return tree_map(call.returned, call.results(call.out)), tangent


def _several(given: Any) -> tuple[Any, ...]:
    """A tuple; of one, if just one thing is given."""
    return tuple(given) if isinstance(given, (tuple, list, Iterator)) else (given,)


def _check_tangent(primal: Any, tangent: Any) -> None:
    shape, wanted = (tuple(getattr(value, "shape", ())) for value in (tangent, primal))
    if shape != wanted:
        raise ValueError(f"a tangent of shape {shape} for a primal {wanted}")


def _transpose(call: _Call) -> tuple[list[Tensor], list[Tensor]]:
    """The recorded product u'J at u = 0, one entry per leaf, and u, one entry per result. Its own
    backward pass, from v, yields Jv.
    """
    outputs = [_tensor(o) for o in call.outputs]
    kinds = [o.dtype if o.dtype.kind == "f" else get_default_dtype() for o in outputs]
    probes = [
        zeros_like(o.detach(), kind).requires_grad_()
        for o, kind in zip(outputs, kinds, strict=True)
    ]
    with enable_grad():
        return _pull(outputs, call.leaves, list(probes), True), probes


# --- whole matrices -------------------------------------------------------------------------------


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """The function that returns df/dx of shape (*f(x).shape, *x.shape).

    For a nested result and argument: the nesting of the result, each leaf replaced by the nesting
    of the argument (a tuple of them for a tuple of `argnums`). It takes one sweep per element of
    the results or of the arguments, whichever are fewer.
    """
    many, positions = _positions(argnums)

    def matrix(*args: Any, **kwargs: Any) -> Any:
        chosen = _chosen(args, positions)
        call = _Call(f, args, chosen, kwargs)
        blocks = _blocks(call, [_tensor(o) for o in call.outputs])
        settled = iter(call.settled([block for row in blocks for block in row]))
        rows = [
            _like_arguments(call, chosen.values(), [next(settled) for _ in row]) for row in blocks
        ]
        return unflatten(call.out, [row if many else row[0] for row in rows])

    return matrix


def _blocks(call: _Call, outputs: list[Tensor]) -> list[list[Tensor]]:
    """The blocks of the Jacobian: [output][leaf], of shape (*output.shape, *leaf.shape)."""
    record = call.records()
    if sum(o.size for o in outputs) <= sum(x.size for x in call.leaves):
        by_output = []
        for o in outputs:
            lines = [_pull([o], call.leaves, [unit], record) for unit in _units(o)]
            by_output.append(
                [_joined([line[k] for line in lines], o, x) for k, x in enumerate(call.leaves)]
            )
        return by_output
    pulled, probes = _transpose(call)
    by_leaf = []
    for product, x in zip(pulled, call.leaves, strict=True):
        lines = [_pull([product], probes, [unit], record) for unit in _units(x)]
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
    return (
        reshape(stack(line), shape)
        if line
        else zeros_on_device_of(inner.detach(), shape, inner.dtype)
    )


def _moved(block: Tensor, count: int) -> Tensor:
    """The first `count` axes behind the others."""
    return block.transpose(*range(count, block.ndim), *range(count)) if block.ndim else block


def hessian(f: Function, argnums: Argnums = 0) -> Function:
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
