"""The Tensor: an array that remembers how it was made.

This file declares what a Tensor has. Its operators and array methods are declared with their
signatures only; `ops` writes them and binds them here, because they are nothing but the operations
of the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..backend import Array
from ..backend.tracer import TracerArray
from ..runtime.context import ContextVariable
from . import graph
from .graph import Accumulator, Node
from .mutation import memory_owner, next_version

Axis = int | tuple[int, ...] | list[int] | None
Scalar = bool | int | float


if TYPE_CHECKING:
    from ..ops.tensor_methods import TensorMethods
else:
    TensorMethods = object


class Tensor(TensorMethods):
    """An array with a place in the recorded graph. Made by `tensor(...)` and by every operation on
    Tensors.
    """

    __slots__ = ("__weakref__", "_data", "_node")

    def __init__(self, data: Array, node: Node | None = None) -> None:
        self._data = data
        self._node = node

    # --- what it is -------------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The backend's array itself. Writes into it are not noticed by graphs that saved it."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        value = unwrap(value)
        if not self.is_leaf:
            raise RuntimeError(
                "the data of a recorded result cannot be replaced; detach() it first"
            )
        array = backend.of_array(value).asarray(value)
        if self._node is not None:
            if array.dtype.kind != "f":
                raise TypeError(f"a tensor that requires a gradient cannot hold {array.dtype} data")
            self._node.shape, self._node.dtype = array.shape, array.dtype
            self._node.residuals = memory_owner(array)
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def ndim(self) -> int:
        return int(self._data.ndim)

    @property
    def size(self) -> int:
        return int(self._data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._data.dtype
        return dtype

    @property
    def device(self) -> str:
        """The name of the device: "cpu", "cuda:0", ..."""
        return backend.of_array(self._data).device

    # --- its place in the graph -------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Start (or stop) asking for the gradient of this leaf; returns the tensor itself."""
        if value and self._node is None:
            if self.dtype.kind != "f":
                raise TypeError(
                    f"only floating tensors have gradients, this one is {self.dtype}: use astype"
                )
            self._node = Node(None, (), memory_owner(self._data), self.shape, self.dtype)
        elif not value:
            if not self.is_leaf:
                raise RuntimeError(
                    "a recorded result requires its gradient; detach() gives a tensor that does not"
                )
            self._node = None
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self._node is None or self._node.primitive is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has summed up here, a Tensor of the same shape, dtype and
        device.
        """
        watch = None if self._node is None else self._node.accumulator
        return None if watch is None else watch.gradient

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                value = Tensor(backend.of_array(self._data).asarray(value))
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(
                    f"a gradient has its tensor's shape and dtype, {self.shape} {self.dtype}, "
                    f"not {value.shape} {value.dtype}"
                )
            self.requires_grad_()
        if self._node is not None:
            self._watch().gradient = value

    def _watch(self) -> Accumulator:
        """What this tensor's node does with its gradient."""
        assert self._node is not None
        self._node.accumulator = self._node.accumulator or Accumulator()
        return self._node.accumulator

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result in `.grad` too."""
        if self._node is None:
            raise RuntimeError("this tensor requires no gradient, so there is none to retain")
        self._watch().retains_grad = True

    def register_hook(self, hook: Callable[[Tensor], Any]) -> Callable[[], None]:
        """Call `hook(gradient)` when this tensor's gradient is complete; a result that is not None
        replaces it.

        Returns a function that removes the hook.
        """
        if self._node is None:
            raise RuntimeError(
                "this tensor does not require a gradient, so a hook on it would never be called"
            )
        hooks, key = self._watch().hooks, next_version()
        hooks[key] = hook
        return lambda: hooks.pop(key, None) and None

    def backward(
        self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf that it was computed from.

        `gradient` is the gradient of some later scalar with respect to this tensor; it may be left
        out for tensors of size 1 (it is 1 then). The graph is freed on the way unless
        `retain_graph`; `create_graph` (which implies it) records the gradients' own computation,
        for higher derivatives. A leaf's `.grad` then holds a graph that leads back to the leaf: a
        cycle, which only the garbage collector frees (`gradients` and `grad` leave none).
        """
        seed = self._seed(gradient, create_graph)
        graph.backward_pass([seed], retain_graph=retain_graph, create_graph=create_graph)

    def _seed(self, gradient: Any, create_graph: bool) -> tuple[Node, Any]:
        """This tensor's node and the gradient that a sweep starts with there."""
        if self._node is None:
            raise RuntimeError(
                "nothing to differentiate: no tensor that this one came from requires a gradient"
            )
        home = backend.of_array(self._data)
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(
                    "only a tensor of one element has a gradient by itself; this one has shape "
                    f"{self.shape}: pass gradient=, of the same shape, or reduce it first (.sum())"
                )
            gradient = home.xp.ones_like(self._data)
        if not isinstance(gradient, Tensor):
            gradient = Tensor(home.asarray(gradient))
        if gradient.shape != self.shape:
            raise ValueError(
                f"the gradient has shape {gradient.shape}, but the tensor {self.shape}"
            )
        return self._node, gradient if create_graph else gradient._data

    def detach(self) -> Tensor:
        """The same array, without its history."""
        return Tensor(self._data)

    def __reduce__(self) -> Any:
        """Leaves can be copied and pickled; a copy is a leaf of its own, without a gradient. The
        attributes of a subclass come along.
        """
        if not self.is_leaf:
            raise TypeError("a recorded result cannot be copied or pickled; detach() it first")
        return _leaf, (type(self), self._data, self.requires_grad), getattr(self, "__dict__", None)

    # --- leaving the tensor world -----------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """A copy on the host, as a NumPy array."""
        return np.array(backend.of_array(self._data).to_host(self._data))

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() takes a tensor of one element; this one is {self.shape}")
        return self._data.item()

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def to(self, target: Any) -> Tensor:
        """This tensor on another device ("cuda"), or in another dtype; differentiable. Itself, if
        it is there already.
        """
        if isinstance(target, str) and target.partition(":")[0] not in np.sctypeDict:
            return self._to_device(target)
        return self.astype(target)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._node is not None:
            raise RuntimeError(
                "np.asarray() of a tensor that requires a gradient would lose it: use t.numpy(); "
                "for a list of tensors, as in np.mean([t, u]), use the functions of `autograd`, as "
                "in ag.mean([t, u]), or np.stack first"
            )
        if copy is False:
            raise ValueError("a tensor becomes a NumPy array by a copy; copy=False is not possible")
        return self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        """Export the tensor for `from_dlpack` of other libraries.

        They see this tensor's memory, without a copy. Memory that must not be written, such as a
        broadcast view, is copied, because not all libraries know read-only arrays; BufferError if
        the caller forbids copies.
        """
        if self._node is not None:
            raise BufferError("a tensor in a graph would lose its history: detach() it first")
        array = self._data
        if not _is_writable(array):
            if options.get("copy") is False:
                raise BufferError(f"a read-only array of shape {self.shape} is exported as a copy")
            array = array.copy()
        return array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._data.__dlpack_device__()
        return device

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(
                f"only an integer tensor of no dimension is an index, not {self.dtype} {self.shape}"
            )
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a tensor of no dimension has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="tensor(")
        extra = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        extra += "" if self.device == "cpu" else f", device={self.device!r}"
        if self._node is not None:
            primitive = self._node.primitive
            extra += ", requires_grad=True" if primitive is None else f", made_by={primitive.name}"
        return f"tensor({values}{extra})"

    def __format__(self, spec: str) -> str:
        """`f"{loss:.3f}"` formats the only element."""
        return format(self.item(), spec) if spec else repr(self)


def _leaf(kind: type[Tensor], data: Array, requires_grad: bool) -> Tensor:
    """What `Tensor.__reduce__` saved: a new leaf, with a number of its own."""
    made = kind.__new__(kind)
    made._data, made._node = data, None
    return made.requires_grad_(requires_grad)


def _is_writable(array: Array) -> bool:
    """False for read-only memory, and where one element of memory is several of the array."""
    repeats = any(n > 1 and step == 0 for n, step in zip(array.shape, array.strides, strict=True))
    return not repeats and getattr(getattr(array, "flags", None), "writeable", True)


def unwrap(value: Any) -> Any:
    """`value` with the Tensors in it replaced by their arrays (an index may be a tuple of them)."""
    if isinstance(value, tuple):
        return tuple(unwrap(item) for item in value)
    return value._data if isinstance(value, Tensor) else value


snapshot_observer: ContextVariable[Callable[[Any], None] | None] = ContextVariable(
    "snapshot_observer", default=None
)
"""Called with every copy that `snapshot` makes, while a function runs that will run again."""

_CONSTANTS = frozenset((bool, int, float, str, type(None), type(...), type))


def snapshot(value: Any, y: Any = None) -> Any:
    """Copy the lists and arrays in an argument that the backward pass needs again, since the caller
    may change them. Slices get fixed bounds; Tensors have version counters instead.

    If the result `y` is a tracer, arrays are constants of its program, which copies them.
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
    if (note := snapshot_observer.get()) is not None:
        note(copy)
    return copy
