"""Jacobians and Hessians, one row or column per backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.pytree import unflatten
from ..core.tensor import Tensor
from ..ops.creation import zeros_like, zeros_on_device_of
from ..ops.joining import stack
from ..ops.shape import reshape
from .call import (
    Argnums,
    Call,
    Function,
    argument_positions,
    as_tensor,
    like_arguments,
    select_arguments,
)
from .forward import transpose_call
from .reverse import grad, weighted_gradients


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """Return a function that computes the Jacobian of `f`.

    Parameters
    ----------
    f : callable
        Function to differentiate.
    argnums : int or tuple of int, default 0
        The positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        A function with the arguments of `f` that returns an array of shape
        ``(*f(x).shape, *x.shape)``. For nested results and arguments, it returns the nesting of the
        result, in which each leaf is replaced by the nesting of the argument (by a tuple of them
        for a tuple `argnums`).

    Notes
    -----
    The computation takes one backward pass per element of the result or of the arguments,
    whichever are fewer.

    Examples
    --------
    >>> import autograd as ag
    >>> import numpy as np
    >>> ag.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    is_tuple, positions = argument_positions(argnums)

    def matrix(*args: Any, **kwargs: Any) -> Any:
        selected = select_arguments(args, positions)
        call = Call(f, args, selected, kwargs)
        blocks = _blocks(call, [as_tensor(o) for o in call.outputs])
        values = iter(call.detach_derivatives([block for row in blocks for block in row]))
        rows = [
            like_arguments(call, selected.values(), [next(values) for _ in row]) for row in blocks
        ]
        return unflatten(call.out, [row if is_tuple else row[0] for row in rows])

    return matrix


def _blocks(call: Call, outputs: list[Tensor]) -> list[list[Tensor]]:
    """Return the blocks [output][leaf] of the Jacobian, of shape (*output.shape, *leaf.shape)."""
    record = call.must_record()
    if sum(o.size for o in outputs) <= sum(x.size for x in call.leaves):
        by_output = []
        for o in outputs:
            rows = [weighted_gradients([o], call.leaves, [v], record) for v in _unit_vectors(o)]
            by_output.append(
                [_join([row[k] for row in rows], o, x) for k, x in enumerate(call.leaves)]
            )
        return by_output
    products, probes = transpose_call(call)
    by_leaf = []
    for product, x in zip(products, call.leaves, strict=True):
        columns = [weighted_gradients([product], probes, [v], record) for v in _unit_vectors(x)]
        blocks = [_join([column[i] for column in columns], x, o) for i, o in enumerate(outputs)]
        by_leaf.append([_move_first_axes_last(block, x.ndim) for block in blocks])
    return [list(row) for row in zip(*by_leaf, strict=True)]


def _unit_vectors(like: Tensor) -> Iterator[Tensor]:
    """Yield the unit vectors of the space of a Tensor."""
    for i in range(like.size):
        vector = zeros_like(like.detach())
        vector.data.reshape(-1)[i : i + 1] = 1
        yield vector


def _join(rows: list[Tensor], outer: Tensor, inner: Tensor) -> Any:
    """Stack rows of the shape of `inner`, one per element of `outer`."""
    shape = (*outer.shape, *inner.shape)
    if not rows:
        return zeros_on_device_of(inner.detach(), shape, inner.dtype)
    return reshape(stack(rows), shape)


def _move_first_axes_last(block: Tensor, count: int) -> Tensor:
    return block.transpose(*range(count, block.ndim), *range(count)) if block.ndim else block


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """Return a function that computes the second derivatives of `f`.

    Parameters
    ----------
    f : callable
        A function whose result has one element.
    argnums : int or tuple of int, default 0
        The positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        A function with the arguments of `f` that returns the Jacobian of the gradient, of shape
        ``(*x.shape, *x.shape)``; see `jacobian` for nested arguments and several `argnums`.

    Examples
    --------
    >>> import autograd as ag
    >>> import numpy as np
    >>> ag.hessian(lambda x: ag.prod(x))(np.array([2.0, 3.0]))
    array([[0., 1.],
           [1., 0.]])
    """
    return jacobian(grad(f, argnums), argnums)
