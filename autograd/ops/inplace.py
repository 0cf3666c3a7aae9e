"""Writes in place: assignment to elements, and `+=` and its like.

Every write is noted with the memory that it changes, so that a graph that needs the overwritten
values refuses to be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import backend
from ..core import graph, mutation
from ..core.mutation import memory_owner
from ..core.tensor import Tensor, unwrap
from .creation import astype


def setitem(target: Tensor, index: Any, value: Any) -> None:
    """`target[index] = value`; TypeError where that would lose a gradient.

    Under `no_grad`, `target` may be a leaf or a view of a leaf.
    """
    recorded = target.requires_grad or (isinstance(value, Tensor) and value.requires_grad)
    refused = recorded if graph.recording.get() else not _is_leaf_memory(target)
    if refused:
        raise TypeError(
            "assigning in a recorded graph would lose a gradient; "
            "`x = ag.index_update(x, index, value)` is the differentiable form"
        )
    _begin(target)
    if graph.anomaly_mode.raw() and target.dtype.kind == "f":
        # `astype` is an operation, whose result is checked.
        is_array = hasattr(value, "dtype")
        value = value if is_array else backend.of_array(target._data).asarray(value, "float64")
        value = astype(value, target.dtype)
    target._data[unwrap(index)] = unwrap(value)


def written(operation: Callable[[Any, Any], Any]) -> Callable[[Tensor, Any], Tensor]:
    """Return the in-place form of an operator: it writes into its first operand if nothing is
    recorded; otherwise the name is bound to the recorded result.
    """

    def operator(target: Tensor, other: Any) -> Tensor:
        source = other._node if isinstance(other, Tensor) else None
        if graph.recording.get() and not (target._node is source is None):
            result = operation(target, other)
            if target._node is not None and target._node.primitive is None:
                raise RuntimeError(
                    "a leaf that requires a gradient can be written in place under no_grad() only"
                )
            return result  # type: ignore[no-any-return]
        _begin(target)
        array, operand = target._data, unwrap(other)
        home = backend.of_array(array)
        if hasattr(operand, "dtype") and memory_owner(operand) is memory_owner(array):
            operand = operand.copy()  # CuPy does not notice operands that overlap
        elif isinstance(operand, (list, tuple)):
            operand = home.asarray(operand)
        # TypeError if it would round to integers
        operation.primitive.kernels[type(array)](array, operand, out=array)  # type: ignore
        return target

    return operator


def _is_leaf_memory(target: Tensor) -> bool:
    """True if a write into the tensor leaves its record valid: it has none, or it is a leaf or a
    view of a leaf, which then changes as well.
    """
    node: Any = target._node
    if node is None:
        return True
    while node is not None and node.primitive is not None:
        parents = [parent for parent in node.parents if parent is not None]
        node = parents[0] if len(parents) == 1 else None
    return node is not None and node.residuals is memory_owner(target._data)


def _begin(target: Tensor) -> None:
    """Mark the graphs that saved the memory as stale. This is done before the write, so that an
    interrupt cannot leave a write that is not noted.
    """
    mutation.check_writable()
    mutation.record_write(target._data)
