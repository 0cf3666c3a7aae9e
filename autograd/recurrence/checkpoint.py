"""`checkpoint`: drop the recorded graph of a function and recompute it in the backward pass.

Reference: Griewank & Walther 2000, "Algorithm 799: revolve".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import Any

from ..core.mutation import next_version
from ..core.pytree import tree_map
from ..core.tensor import snapshot
from ..recompute import (
    eager_execution,
    evaluate_unchanged,
    evaluate_with_digests,
    record_as_one_node,
    recorded_since,
    replayable,
)
from ..transforms import is_recorded


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but its inner record is dropped at once and made again when backward
    arrives: memory for one more evaluation.

    The default random stream is put back for the second evaluation, so that dropout drops the same;
    `f` must be a pure function otherwise: arrays and lists that it closes over must not change
    before the backward pass (arguments may, they are copied). Tensors that it takes from around it,
    such as parameters, get their gradients too. Derivatives of any order go through it.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        if eager_execution.get():
            return f(*args, **kwargs)
        again = replayable(lambda: f(*args, **kwargs))
        start = next_version()
        out, digests = evaluate_with_digests(lambda: f(*args, **kwargs))
        if isinstance(out, (Generator, AsyncGenerator, Awaitable)):
            raise TypeError(
                f"checkpoint takes functions that return their results, got a {type(out).__name__} "
                "of operations that run later; checkpoint the functions that it calls"
            )
        inputs = recorded_since(start, out)[1]
        if inputs:
            args, kwargs = tree_map(snapshot, (args, kwargs))
        again = partial(evaluate_unchanged, again, digests)
        return record_as_one_node(
            out, lambda o: is_recorded(o) and o._node.number > start, inputs, again
        )

    return run
