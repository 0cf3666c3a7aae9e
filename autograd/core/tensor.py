"""The Tensor: an array with a place in the recorded graph.

This module defines the data of a Tensor, its node in the graph, and its gradient. The operators,
array methods and conversions are defined in `ops/tensor_methods.py`, because they are operations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..backend import Array
from ..backend.tracer import TracerArray
from ..runtime.context import ContextVariable, run_locked
from . import graph
from .graph import Node, unshared
from .install import operations
from .mutation import memory_owner, next_version

if TYPE_CHECKING:
    from ..ops.tensor_methods import TensorMethods
else:
    TensorMethods = object  # `core.install` adds the methods

Axis = int | tuple[int, ...] | list[int] | None


class Tensor(TensorMethods):
    """Array that can record the operations applied to it, for automatic differentiation.

    `autograd.tensor` creates Tensors, and so does every operation on a Tensor. The constructor
    does not convert its arguments.

    Parameters
    ----------
    data : array
        Array of a backend, shared with the tensor.
    node : Node, optional
        Place in the recorded graph.
    """

    __slots__ = ("__weakref__", "_data", "_node")

    def __init__(self, data: Array, node: Node | None = None) -> None:
        self._data = data
        self._node = node

    @property
    def data(self) -> Array:
        """Array of the backend. The backward pass does not detect writes into it."""
        _observe(self, "it reads the array of a tensor")
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        value = unwrap(value)
        if not self.is_leaf:
            raise RuntimeError("cannot replace the data of a recorded result; detach() it first")
        array = backend.of_array(value).asarray(value)
        if self._node is not None:
            if array.dtype.kind != "f":
                raise TypeError(f"a tensor that requires a gradient cannot hold {array.dtype} data")
            self._node.shape, self._node.dtype = array.shape, array.dtype
            self._node.residuals = memory_owner(array)
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(self._data.ndim)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self._data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        dtype: np.dtype[Any] = self._data.dtype
        return dtype

    # --- place in the graph -----------------------------------------------------------------------

    @property
    def is_leaf(self) -> bool:
        """True unless a recorded operation created this tensor."""
        _observe(self, "it reads whether a tensor is a leaf")
        return self._node is None or self._node.primitive is None

    @property
    def requires_grad(self) -> bool:
        """True if operations on this tensor are recorded."""
        _observe(self, "it reads whether a tensor requires a gradient")
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Set whether this leaf requires a gradient.

        Parameters
        ----------
        value : bool
            True to record operations on this tensor.

        Returns
        -------
        Tensor
            This tensor.

        Raises
        ------
        TypeError
            If the tensor is not of a floating dtype.
        RuntimeError
            If `value` is False and the tensor is a recorded result.
        """
        _observe(self, "it sets whether a tensor requires a gradient")
        if value:
            return self._as_leaf()
        if not value:
            if not self.is_leaf:
                raise RuntimeError(
                    "a recorded result requires its gradient; detach() gives a tensor that does not"
                )
            self._node = None
        return self

    def _as_leaf(self) -> Tensor:
        """Record operations on this tensor; return it."""
        if self._node is None:
            if self.dtype.kind != "f":
                raise TypeError(
                    f"only floating tensors have gradients, got {self.dtype}: use astype"
                )
            node = Node(None, (), memory_owner(self._data), self.shape, self.dtype)
            node.accumulator = Accumulator(retains_grad=True)
            self._node = node
        return self

    def detach(self) -> Tensor:
        """Return a tensor that shares this array but not its history.

        Returns
        -------
        Tensor
            Leaf that does not require a gradient.
        """
        return Tensor(self._data)

    def _copy_data(self) -> Tensor:
        """Return a tensor at the same place in the graph with a copy of the array."""
        return Tensor(self._data.copy(), self._node)

    # --- gradients --------------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """Gradient accumulated by `backward`, or None.

        It has the shape, dtype and device of this tensor, and can be assigned.
        """
        _observe(self, "it reads the gradient of a tensor")
        accumulator = None if self._node is None else self._node.accumulator
        return None if accumulator is None else accumulator.gradient

    @grad.setter
    def grad(self, value: Any) -> None:
        _observe(self, "it sets the gradient of a tensor")
        if value is not None:
            if not isinstance(value, Tensor):
                value = Tensor(backend.of_array(self._data).asarray(value))
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(
                    f"grad must have the shape and dtype of its tensor, {self.shape} {self.dtype}, "
                    f"got {value.shape} {value.dtype}"
                )
            self.requires_grad_()
        if self._node is not None and (value is not None or self._node.accumulator is not None):
            self._accumulator("grad").gradient = value

    def _accumulator(self, purpose: str) -> Accumulator:
        """Return the object that receives this tensor's gradient; create it if necessary."""
        _observe(self, "it adds a hook to a tensor, or retains its gradient")
        if self._node is None:
            raise RuntimeError(f"{purpose}: this tensor does not require a gradient")
        self._node.accumulator = self._node.accumulator or Accumulator()
        return self._node.accumulator  # type: ignore[no-any-return]

    def retain_grad(self) -> None:
        """Accumulate the gradient of this intermediate result in `grad`, as for leaves.

        Raises
        ------
        RuntimeError
            If the tensor does not require a gradient.
        """
        self._accumulator("retain_grad").retains_grad = True

    def register_hook(self, hook: Callable[[Tensor], Any]) -> Callable[[], None]:
        """Call a function with the gradient of this tensor when it is complete.

        Parameters
        ----------
        hook : callable
            Function of the gradient, a Tensor of this tensor's shape. A result other than None
            replaces the gradient.

        Returns
        -------
        callable
            Function without arguments that removes the hook.

        Raises
        ------
        RuntimeError
            If the tensor does not require a gradient.
        """
        hooks, key = self._accumulator("register_hook").hooks, next_version()
        hooks[key] = hook
        return lambda: hooks.pop(key, None) and None

    def backward(
        self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Run the backward pass: add gradients to `grad` of every leaf this tensor depends on.

        Parameters
        ----------
        gradient : Tensor or array_like, optional
            Gradient of a later scalar with respect to this tensor, of this tensor's shape. The
            default is 1, for tensors of one element.
        retain_graph : bool
            If False, the graph is freed during the pass and cannot be used again.
        create_graph : bool
            If True, the computation of the gradients is recorded, for higher derivatives. This
            implies `retain_graph`.

        Raises
        ------
        RuntimeError
            If no tensor that this one depends on requires a gradient, if `gradient` is needed but
            missing, if the graph was freed, or if an array that it needs was overwritten.
        ValueError
            If `gradient` does not have this tensor's shape.

        Notes
        -----
        With `create_graph`, the `grad` of a leaf holds a graph that refers to the leaf. Only the
        garbage collector frees this reference cycle; `autograd.gradients` and `autograd.grad` do
        not create one.
        """
        _observe(self, "it runs a backward pass")
        seed = self._seed(gradient, create_graph)
        graph.backward_pass([seed], retain_graph=retain_graph, create_graph=create_graph)

    def _seed(self, gradient: Any, create_graph: bool) -> tuple[Node, Any]:
        """Return this tensor's node and the gradient with which a backward pass starts there."""
        if self._node is None:
            raise RuntimeError(
                "nothing to differentiate: no tensor that this one depends on requires a gradient"
            )
        array_backend = backend.of_array(self._data)
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(
                    "backward without a gradient needs a tensor of one element, got shape "
                    f"{self.shape}: pass gradient=, of the same shape, or reduce it first (.sum())"
                )
            gradient = array_backend.xp.ones(self.shape, self.dtype)
        if not isinstance(gradient, Tensor):
            gradient = Tensor(array_backend.asarray(gradient))
        if gradient.shape != self.shape:
            raise ValueError(
                f"gradient must have the shape of the tensor, {self.shape}, got {gradient.shape}"
            )
        return self._node, gradient if create_graph else gradient._data

    def __reduce__(self) -> Any:
        """Copy or pickle a leaf, with the attributes of a subclass but without its gradient."""
        _observe(self, "it copies a tensor")
        if not self.is_leaf:
            raise TypeError("a recorded result cannot be copied or pickled; detach() it first")
        attributes = getattr(self, "__dict__", None)
        return _rebuild, (type(self), self._data, self.requires_grad), attributes


def _observe(tensor: Tensor, reason: str) -> None:
    """Tell the tracer of a scan step, if there is one, of a use that it cannot log."""
    if isinstance(tensor._data, TracerArray):
        tensor._data.observe(tensor, reason)


def _rebuild(tensor_class: type[Tensor], data: Array, requires_grad: bool) -> Tensor:
    """Return the leaf that `Tensor.__reduce__` described."""
    leaf = tensor_class.__new__(tensor_class)
    leaf._data, leaf._node = data, None
    return leaf.requires_grad_(requires_grad)


class Accumulator:
    """Receives the complete gradient of a leaf, or of a result with hooks or `retain_grad`.

    Attributes
    ----------
    gradient : Tensor or None
        The value of `Tensor.grad`: the sum of the gradients of all backward passes.
    hooks : dict
        Functions that are called with the gradient first and may replace it.
    """

    __slots__ = ("gradient", "hooks", "retains_grad")

    def __init__(self, retains_grad: bool = False) -> None:
        self.gradient: Tensor | None = None
        self.hooks: dict[int, Callable[[Tensor], Any]] = {}
        self.retains_grad = retains_grad

    def receive(self, node: Node, gradient: Any, owned: bool, accumulate: bool) -> tuple[Any, bool]:
        """Run the hooks and, if asked, accumulate the gradient of a backward pass.

        `gradient` is an array, or a Tensor if the pass is recorded. `owned` is True if no other
        reference to it exists. Return the new values of both.
        """
        for hook in list(self.hooks.values()) if self.hooks else ():
            gradient = unshared(gradient, owned)  # the hook may keep it or write into it
            is_tensor = isinstance(gradient, Tensor)
            replacement, owned = hook(gradient if is_tensor else Tensor(gradient)), False
            if replacement is not None:
                shape = getattr(replacement, "shape", replacement)
                if shape != node.shape:
                    raise ValueError(
                        f"a hook must return a Tensor of the gradient's shape, {node.shape}, or "
                        f"None for no change, got {shape}"
                    )
                if not is_tensor:
                    replacement = unwrap(replacement)
                elif not isinstance(replacement, Tensor):
                    replacement = Tensor(replacement)
                gradient = operations.unbroadcast(replacement, node.shape, node.dtype)
        if accumulate and self.retains_grad:
            run_locked(_accumulation, partial(self._add, gradient, owned))
        return gradient, owned

    def _add(self, gradient: Any, owned: bool) -> None:
        if self.gradient is None:
            gradient = unshared(gradient, owned)
        gradient = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
        # Not in place: the caller may refer to the old gradient.
        self.gradient = gradient if self.gradient is None else self.gradient + gradient


_accumulation = threading.Lock()  # threads may share a leaf


def unwrap(value: Any) -> Any:
    """Return `value` with Tensors replaced by their arrays, also in (nested) tuples."""
    if isinstance(value, tuple):
        return tuple(unwrap(item) for item in value)
    return value._data if isinstance(value, Tensor) else value


snapshot_observer: ContextVariable[Callable[[Any], None] | None] = ContextVariable(
    "snapshot_observer", default=None
)
"""Function that is called with each copy of `snapshot` while a checkpointed function runs."""

_CONSTANTS = frozenset((bool, int, float, str, type(None), type(...), type))


def snapshot(value: Any, y: Any = None) -> Any:
    """Return a copy of the lists and arrays in an argument that the backward pass needs.

    The caller may change them, and unlike Tensors they have no version counters. Slices get fixed
    bounds. If the result `y` of the operation is a tracer, arrays become constants of its
    computation.
    """
    kind = type(value)
    if kind in _CONSTANTS:
        return value
    if kind is tuple and _CONSTANTS.issuperset(map(type, value)):
        return value
    if kind is slice:
        bounds = value.start, value.stop, value.step
        return slice(*[b if type(b) in _CONSTANTS else index(b) for b in bounds])
    if kind is tuple or kind is list:
        copy = kind([snapshot(item, y) for item in value])
    elif kind is dict:
        copy = {key: snapshot(item, y) for key, item in value.items()}
    elif not hasattr(kind, "dtype") or issubclass(kind, (Tensor, TracerArray)):
        return value
    else:
        first = y[0] if type(y) is tuple else y
        copy = first.constant(value) if isinstance(first, TracerArray) else value.copy()
    if (observer := snapshot_observer.get()) is not None:
        observer(copy)
    return copy
