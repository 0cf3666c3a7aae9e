"""Gradient checkpointing of a function: free its graph, and recompute it in the backward pass."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import Any

from ..core.modes import eager_execution, operation_log
from ..core.mutation import next_version
from ..core.pytree import tree_map
from ..core.tensor import snapshot
from ..recompute import (
    evaluate_replayable,
    evaluate_unchanged,
    evaluate_with_digests,
    record_as_one_node,
    recorded_since,
)
from ..transforms import is_recorded


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that recomputes `f` during the backward pass instead of storing its graph.

    Parameters
    ----------
    f : callable
        A pure function of arrays, Tensors or nested tuples, lists and dicts of them. It may close
        over Tensors, such as parameters, which get their gradients too.

    Returns
    -------
    callable
        A function with the arguments and results of `f`. It raises TypeError if `f` is a generator
        or coroutine function, whose operations run later.

    Notes
    -----
    This is gradient checkpointing, also called rematerialization: the backward pass evaluates `f` a
    second time and differentiates it [1]_, [2]_. Derivatives of any order are supported. The second
    evaluation repeats the numbers that the first one drew from the default random stream, so that
    dropout repeats its mask.

    Arguments are copied. Arrays and lists that `f` closes over must not change before the backward
    pass, which raises RuntimeError otherwise.

    References
    ----------
    .. [1] A. Griewank and A. Walther, "Algorithm 799: revolve: an implementation of checkpointing
       for the reverse or adjoint mode of computational differentiation", ACM TOMS 26(1), 2000.
    .. [2] T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174, 2016.

    Examples
    --------
    >>> import autograd as ag
    >>> w = ag.tensor(2.0, requires_grad=True)
    >>> ag.checkpoint(lambda x: ag.exp(w * x))(ag.tensor(0.0)).backward()
    >>> w.grad
    tensor(0.)
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        if eager_execution.get() or operation_log.get() is not None:
            return f(*args, **kwargs)

        def call() -> Any:
            return f(*args, **kwargs)

        start = next_version()
        (out, evaluate), digests = evaluate_with_digests(partial(evaluate_replayable, call, call))
        if isinstance(out, (Generator, AsyncGenerator, Awaitable)):
            raise TypeError(
                f"checkpoint: f must return its results, got a {type(out).__name__}, whose "
                "operations run later; checkpoint the functions that it calls"
            )
        inputs = recorded_since(start, out)[1]
        if inputs:
            args, kwargs = tree_map(snapshot, (args, kwargs))
        recompute = partial(evaluate_unchanged, evaluate, digests)
        return record_as_one_node(
            out,
            lambda o: is_recorded(o) and o._node.number > start,
            inputs,
            recompute,
            arguments=(args, kwargs),
        )

    return run
