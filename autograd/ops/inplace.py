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
    """Return the in-place form of an operator: it writes into its first operand if nothing is
    recorded; otherwise the name is bound to the recorded result.
    """
    name = operation.primitive.name  # type: ignore[attr-defined]

    def operator(target: Tensor, other: Any) -> Tensor:
        source = other._node if isinstance(other, Tensor) else None
        if _graph.recording.get() and not (target._node is source is None):
            result = operation(target, other)
            if target._node is not None and target._node.primitive is None:
                raise RuntimeError(
                    "a leaf that requires a gradient can be written in place under no_grad() only"
                )
            return result  # type: ignore[no-any-return]
        _writes.begin()
        array, operand = target._data, _arrays(other)
        home = backend.of(array)
        if hasattr(operand, "dtype") and _writes.owner(operand) is _writes.owner(array):
            operand = operand.copy()  # CuPy does not notice operands that overlap
        elif isinstance(operand, (list, tuple)):
            operand = home.asarray(operand)
        getattr(home.xp, name)(array, operand, out=array)  # TypeError if it would round to integers
        _noted(target)
        return target

    return operator


def _noted(target: Tensor) -> None:
    """Graphs that saved the array are stale, and those that begin with this leaf."""
    _writes.note(target._data)
    if target._node is not None and target._node.watch is not None:
        target._node.watch.written = _writes.last
