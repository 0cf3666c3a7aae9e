"""Writes in place: assignment to elements, and `+=` and its like.

Every write is noted, so that a graph that saved what is overwritten refuses to be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _graph, _writes, backend
from .._tensor import Tensor, _arrays


def setitem(target: Tensor, index: Any, value: Any) -> None:
    """`target[index] = value`; TypeError where that would lose a gradient."""
    recording = _graph.recording.get()
    node, source = target._node, value._node if isinstance(value, Tensor) else None
    if (node is not None and (recording or node.primitive)) or (source and recording):
        raise TypeError(
            "assigning in a recorded graph would lose a gradient; "
            "`x = ag.index_update(x, index, value)` is the differentiable form"
        )
    _writes.begin()
    target._data[_arrays(index)] = _arrays(value)
    _noted(target)


def written(operation: Callable[[Any, Any], Any]) -> Callable[[Tensor, Any], Tensor]:
    """An operator in place: where nothing is recorded it writes; otherwise the name is bound to the
    result.
    """

    def operator(target: Tensor, other: Any) -> Tensor:
        result = operation(target, other)
        if result._node is None:
            _writes.begin()
            # copyto refuses to round to integers
            backend.of(target._data).xp.copyto(target._data, result._data)
            _noted(target)
            return target
        if target._node is not None and target._node.primitive is None:
            raise RuntimeError(
                "a leaf that requires a gradient can be written in place under no_grad() only"
            )
        return result  # type: ignore[no-any-return]

    return operator


def _noted(target: Tensor) -> None:
    """Graphs that saved the array are stale, and those that begin with this leaf."""
    _writes.note(target._data)
    if target._node is not None and target._node.watch is not None:
        target._node.watch.written = _writes.last
