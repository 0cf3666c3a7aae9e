"""In-place writes: assignment to elements, and operators such as `+=`.

Every write advances the version counter of the memory that it changes, so that the backward pass
raises an error if it needs the overwritten values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import backend
from ..backend.tracer import TracerArray
from ..core import graph, mutation
from ..core.mutation import memory_owner
from ..core.tensor import Tensor, unwrap
from .creation import astype


def setitem(target: Tensor, index: Any, value: Any) -> None:
    """Execute `target[index] = value`.

    Raises TypeError if the assignment would lose a gradient. Under `no_grad`, `target` may be a
    leaf or a view of a leaf.
    """
    _leave_trace(target, value)
    if graph.recording.get():
        value_requires_grad = isinstance(value, Tensor) and value.requires_grad
        loses_gradient = target.requires_grad or value_requires_grad
    else:
        loses_gradient = not _is_leaf_memory(target)
    if loses_gradient:
        raise TypeError(
            "assigning in a recorded graph would lose a gradient; "
            "`x = ag.index_update(x, index, value)` is the differentiable form"
        )
    _record_write(target)
    if graph.anomaly_mode.raw() and target.dtype.kind == "f":
        # `astype` is an operation, whose result is checked for nan and infinities.
        is_array = hasattr(value, "dtype")
        value = value if is_array else backend.of_array(target._data).asarray(value, "float64")
        value = astype(value, target.dtype)
    target._data[unwrap(index)] = unwrap(value)


def in_place_operator(operation: Callable[[Any, Any], Any]) -> Callable[[Tensor, Any], Tensor]:
    """Return the in-place form of a binary operator.

    The operator writes into its first operand if no graph is recorded. Otherwise it returns a new
    Tensor, to which Python binds the name of the first operand.
    """

    def operator(target: Tensor, other: Any) -> Tensor:
        if isinstance(target._data, TracerArray) or isinstance(
            getattr(other, "_data", None), TracerArray
        ):
            return _traced_operator(operation, target, other)
        other_node = other._node if isinstance(other, Tensor) else None
        if graph.recording.get() and not (target._node is other_node is None):
            return _recorded_operator(operation, target, other)
        _record_write(target)
        array, operand = target._data, unwrap(other)
        if hasattr(operand, "dtype") and memory_owner(operand) is memory_owner(array):
            operand = operand.copy()  # CuPy does not notice operands that overlap
        elif isinstance(operand, (list, tuple)):
            operand = backend.of_array(array).asarray(operand)
        # `out` raises TypeError if the result would be rounded to integers.
        operation.primitive.kernels[type(array)](array, operand, out=array)  # type: ignore
        return target

    return operator


def _recorded_operator(operation: Callable[[Any, Any], Any], target: Tensor, other: Any) -> Tensor:
    """Return the result of an in-place operator as a new Tensor."""
    result: Tensor = operation(target, other)
    node = target._node
    if node is not None and node.primitive is None and node.residuals is not None:
        raise RuntimeError(
            "a leaf that requires a gradient can be written in place under no_grad() only"
        )
    return result


def _traced_operator(operation: Callable[[Any, Any], Any], target: Tensor, other: Any) -> Tensor:
    """Apply an in-place operator in a scan step that is being traced.

    The operator is an ordinary operation if it would be recorded, and a write otherwise.
    """
    operands = [x for x in (target, other) if isinstance(x, Tensor) and x._node is not None]
    if graph.recording.get() and any(
        not isinstance(x._data, TracerArray) or x._data.is_recorded(x._node) for x in operands
    ):
        return _recorded_operator(operation, target, other)
    _leave_trace(target, other)
    return in_place_operator(operation)(target, other)


def _leave_trace(*values: Any) -> None:
    """Tell the tracer of a scan step, if there is one, of a write in place."""
    for x in values:
        if isinstance(x, Tensor) and isinstance(x._data, TracerArray):
            x._data.observe(x, "it writes into a tensor in place")


def _is_leaf_memory(target: Tensor) -> bool:
    """True if a write invalidates no graph.

    The Tensor is not recorded, or it is a leaf or a view of a leaf, which changes with it.
    """
    node: Any = target._node
    if node is None:
        return True
    while node is not None and node.primitive is not None:
        parents = [parent for parent in node.parents if parent is not None]
        node = parents[0] if len(parents) == 1 else None
    return node is not None and node.residuals is memory_owner(target._data)


def _record_write(target: Tensor) -> None:
    """Invalidate the graphs that saved the memory of `target`.

    This precedes the write, so that an interrupt cannot leave a write that is not recorded.
    """
    mutation.record_write(target._data)
