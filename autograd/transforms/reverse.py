"""Reverse mode: gradients of recorded results, `value_and_grad`, `grad` and `vjp`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core import graph
from ..core.graph import enable_grad
from ..core.pytree import flatten, structure, tree_map
from ..core.tensor import Tensor
from ..ops.creation import zeros_like
from .call import (
    Argnums,
    Call,
    Function,
    argument_positions,
    is_recorded,
    like_arguments,
    select_arguments,
)


def gradients(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of outputs with respect to inputs, without writing to `.grad`.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensors
        Results of recorded operations. The gradients of several outputs are summed.
    inputs : Tensor or sequence of Tensors
        Tensors that require a gradient, anywhere in the graph.
    grad_outputs : array_like or sequence of array_like, optional
        The gradient of each output. None stands for 1, for outputs of one element.
    retain_graph : bool, default False
        Keep the graph for another backward pass.
    create_graph : bool, default False
        Record the backward pass, so that the gradients can be differentiated.
    allow_unused : bool, default False
        Return None for an input that the outputs do not depend on.

    Returns
    -------
    tuple of Tensors
        One gradient per input, of its shape, dtype and device.

    Raises
    ------
    RuntimeError
        If an input does not require a gradient, or the outputs do not depend on it and
        `allow_unused` is False.
    ValueError
        If the number of `grad_outputs` is not the number of `outputs`.

    Examples
    --------
    >>> import autograd as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> ag.gradients((x * x).sum(), x)
    (tensor([2., 4.]),)
    """
    outputs, inputs = (flatten([*t] if isinstance(t, Iterator) else t) for t in (outputs, inputs))
    is_sequence = isinstance(grad_outputs, (tuple, list))
    weights = grad_outputs if is_sequence else [grad_outputs] * len(outputs)
    if len(weights) != len(outputs):
        raise ValueError(
            f"gradients: need one entry in grad_outputs for each of {len(outputs)} outputs, "
            f"got {len(weights)}"
        )
    for i, tensor in enumerate(inputs):
        if not isinstance(tensor, Tensor) or tensor._node is None:
            raise RuntimeError(
                f"gradients: input {i} does not require a gradient; "
                "call requires_grad_() before it is used"
            )
    seeds = [o._seed(w, create_graph) for o, w in zip(outputs, weights, strict=True)]
    by_node = graph.backward_pass(seeds, [t._node for t in inputs], retain_graph, create_graph)
    results = [by_node.get(tensor._node) for tensor in inputs]
    for i, gradient in enumerate(results):
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"gradients: the outputs do not depend on input {i}; "
                "allow_unused=True returns None for it"
            )
    return tuple(r if r is None or isinstance(r, Tensor) else Tensor(r) for r in results)


def weighted_gradients(
    outputs: list[Any], leaves: list[Tensor], weights: list[Any], record: bool
) -> list[Tensor]:
    """Return the gradients of weighted results for each leaf; 0 where they do not depend on it."""
    pairs = [(o, w) for o, w in zip(outputs, weights, strict=True) if is_recorded(o)]
    results: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if pairs:
        tensors, seeds = [o for o, _ in pairs], [w for _, w in pairs]
        with enable_grad():
            results = gradients(tensors, leaves, seeds, True, record, allow_unused=True)
    return [
        zeros_like(x.detach()) if g is None else g for x, g in zip(leaves, results, strict=True)
    ]


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that computes the value and the gradient of `f`.

    Parameters
    ----------
    f : callable
        A function whose result has one element.
    argnums : int or tuple of int, default 0
        The positional arguments to differentiate with respect to.
    has_aux : bool, default False
        True if `f` returns ``(value, aux)``, of which only `value` is differentiated.

    Returns
    -------
    callable
        A function with the arguments of `f` that returns ``(value, gradient)``, or
        ``((value, aux), gradient)`` with `has_aux`. The gradient has the nesting of the argument;
        for a tuple `argnums` it is a tuple. The gradient of an unused argument is 0. The function
        raises ValueError if the result of `f` does not have one element.

    Notes
    -----
    Results that depend on recorded Tensors, such as parameters that `f` closes over, are recorded
    Tensors, even if the arguments are arrays. Call it under `no_grad` to get arrays.

    Examples
    --------
    >>> import autograd as ag
    >>> ag.value_and_grad(lambda x: x**3)(2.0)
    (8.0, 12.0)
    """
    is_tuple, positions = argument_positions(argnums)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        selected = select_arguments(args, positions)
        call = Call(f, args, selected, kwargs)
        value, aux = call.out if has_aux else (call.out, None)
        if structure(value) != "*" or getattr(value, "size", 1) != 1:
            shape = getattr(value, "shape", structure(value))
            raise ValueError(f"grad: the result of f must have one element, got {shape}")
        values = weighted_gradients([value], call.leaves, [None], call.must_record())
        gradient = like_arguments(call, selected.values(), call.detach_derivatives(values))
        value, aux = call.convert(call.detach_results(value)), call.detach_results(aux)
        return (value, aux) if has_aux else value, gradient if is_tuple else gradient[0]

    return differentiated


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that computes the gradient of `f`.

    Parameters
    ----------
    f : callable
        A function whose result has one element.
    argnums : int or tuple of int, default 0
        The positional arguments to differentiate with respect to.
    has_aux : bool, default False
        True if `f` returns ``(value, aux)``, of which only `value` is differentiated.

    Returns
    -------
    callable
        A function with the arguments of `f` that returns the gradient, or ``(gradient, aux)`` with
        `has_aux`; see `value_and_grad`.

    Examples
    --------
    >>> import autograd as ag
    >>> ag.grad(ag.grad(lambda x: x**3))(2.0)
    12.0
    """
    with_value = value_and_grad(f, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradient = with_value(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return differentiated


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """Evaluate a function, and return its result and its vector-Jacobian product.

    Parameters
    ----------
    f : callable
        Function to differentiate.
    *primals : array_like or nested arrays
        The arguments of `f`.

    Returns
    -------
    out : Any
        The result of `f`.
    pullback : callable
        ``pullback(u)``, for `u` with the nesting and shapes of the result, returns u'J as a tuple
        with one entry per primal. It may be called several times, and raises ValueError if `u` has
        another nesting or shape.

    Examples
    --------
    >>> import autograd as ag
    >>> out, pullback = ag.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> out, pullback(1.0)
    (6.0, (3.0, 2.0))
    """
    call = Call(f, primals, dict(enumerate(primals)), {})

    def pullback(u: Any) -> tuple[Any, ...]:
        tree_map(lambda o, w: None, call.out, u)  # raises if the nesting differs
        values = weighted_gradients(call.outputs, call.leaves, flatten(u), call.must_record(u))
        return like_arguments(call, primals, call.detach_derivatives(values, u))

    return tree_map(call.convert, call.detach_results(call.out)), pullback
