"""`detect_anomaly`: find the operation that creates the first nan or infinity, in the forward or
the backward pass, and writes into raw arrays that a graph still needs.

While a block is open anywhere, kernels are looked up and nodes are made by the functions below, so
that it costs nothing otherwise. The first operation after the last block restores the plain ones.
"""

from __future__ import annotations

import copy
import operator
import threading
from collections.abc import Callable, Iterable
from functools import partial, reduce
from math import inf
from typing import Any

from ..backend.tracer import TracerArray
from ..core import graph
from ..core.graph import GET_OUTPUT, Node
from ..core.primitive import Kernels
from ..core.pytree import flatten
from ..core.tensor import Tensor
from ..runtime.context import Block, ContextVariable, Setting, run_locked
from ..runtime.location import user_line

_in_rule = ContextVariable("in_rule", default=False)
_lock = threading.Lock()
_users: list[Setting] = []
_plain_init = Node.__init__


class AnomalyError(FloatingPointError):
    """Raised by `detect_anomaly`. The message is complete, so that nothing is added to it."""


class detect_anomaly(Block[bool]):
    """`with detect_anomaly():` the operation that creates a nan or infinity, or whose gradient rule
    does, raises FloatingPointError. The message names the operation and the line of user code.

    An operation creates an infinity if its inputs are finite, and a nan if no input is nan, so that
    the log of 0 is reported, and a mask of -inf is not. Operations are checked whether they are
    recorded or not. An array that a gradient needs and that was overwritten in the meantime raises
    RuntimeError.

    Per thread and async task. It is slow, and doubles the memory of the graph.
    """

    def __init__(self) -> None:
        super().__init__(graph.anomaly_mode, True)

    def opening(self, setting: Setting) -> None:
        run_locked(_lock, partial(_start, setting))

    def closed(self) -> None:
        run_locked(_lock, _stop_if_unused)


def _start(setting: Setting) -> None:
    _users.append(setting)
    Kernels.__getitem__ = _checked_kernel  # type: ignore[method-assign, assignment]
    Node.__init__ = _recorded_init  # type: ignore[method-assign]


def _stop_if_unused() -> None:
    _users[:] = [setting for setting in _users if setting.exit() is not None]
    if not _users and "__getitem__" in vars(Kernels):
        Node.__init__ = _plain_init  # type: ignore[method-assign]
        del Kernels.__getitem__


# --- forward --------------------------------------------------------------------------------------


def _checked_kernel(kernels: Kernels, array_type: type) -> Callable[..., Any]:
    """The kernel for arrays of a type, with a check of its results."""
    kernel = kernels.get(array_type) or kernels.__missing__(array_type)
    if not graph.anomaly_mode.get():
        run_locked(_lock, _stop_if_unused)
        return kernel
    if _in_rule.get() or issubclass(array_type, TracerArray):
        return kernel

    def checked(*arrays: Any, **static: Any) -> Any:
        primitive = kernels.primitive
        given = flatten((arrays, static))
        if "out" in static:  # one of the arrays, which is about to be overwritten
            given = [x.copy() if _is_float(x) and hasattr(x, "copy") else x for x in given]
        y = kernel(*arrays, **static)
        for one in y if type(y) in (tuple, list) else (y,):
            if what := _created(one, given, primitive.pointwise):
                raise AnomalyError(
                    f"{primitive.name} made {what} in a result of shape {one.shape}, "
                    f"at {user_line()}"
                )
        return y

    return checked


def _created(y: Any, inputs: Iterable[Any], pointwise: bool = False) -> str:
    """Return "a nan" or "an infinity", which `y` has and the inputs do not explain, or ""."""
    if not _is_float(y):
        return ""
    y = y._data if isinstance(y, Tensor) else y
    if bool((abs(y) < inf).all()):
        return ""
    given = [x._data if isinstance(x, Tensor) else x for x in inputs if _is_float(x)]
    for what, found in (("a nan", _is_nan), ("an infinity", _is_not_finite)):
        new = _is_nan(y) if what == "a nan" else abs(y) == inf
        known = [found(x) if pointwise else bool(_any(found(x))) for x in given]
        if bool(_any(new & ~reduce(operator.or_, known, new & ~new))):
            return what
    return ""


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _is_nan(x: Any) -> Any:
    return x != x


def _is_not_finite(x: Any) -> Any:
    return (x != x) | (abs(x) == inf)


def _any(x: Any) -> Any:
    return x if isinstance(x, bool) else x.any()


# --- backward -------------------------------------------------------------------------------------


def _recorded_init(
    self: Node, primitive: Any, parents: Any, residuals: Any, shape: Any, dtype: Any
) -> None:
    """A node whose primitive knows the user's line and what the arrays were that it saves."""
    if primitive is not None and primitive is not GET_OUTPUT and graph.anomaly_mode.get():
        primitive = copy.copy(primitive)
        primitive.line = user_line()
        primitive.copies = [(x, x.copy()) for x in flatten(residuals) if hasattr(x, "dtype")]
    _plain_init(self, primitive, parents, residuals, shape, dtype)


class CheckedPass:
    """The checks of one backward pass."""

    def __init__(self, seeds: Iterable[tuple[Node, Any]]) -> None:
        self._finite = not any(_created(gradient, ()) for _, gradient in seeds)

    def arrived(self, node: Node, gradient: Any) -> None:
        """Check the complete gradient of a node: a sum may overflow."""
        for one in flatten(gradient):
            if self._finite and (what := _created(one, ())):
                raise AnomalyError(
                    f"the sum of the gradients of a tensor of shape {one.shape} has {what}"
                )

    def vjp(self, primitive: Any, g: Any, residuals: Any, parents: Any) -> Any:
        """Apply a gradient rule, and check what it returns."""
        where = f"recorded at {getattr(primitive, 'line', 'a line outside of detect_anomaly')}"
        for array, before in getattr(primitive, "copies", ()):
            if not bool(((array == before) | (before != before)).all()):
                raise RuntimeError(
                    f"{primitive.name}: an array {before.shape} that its gradient needs was "
                    f"written after the operation was {where}"
                )
        try:
            with _in_rule.block(True):
                gradients = graph.apply_vjp(primitive, g, residuals, parents)
        except FloatingPointError as error:  # of a backward pass inside the rule
            raise AnomalyError(
                f"in the gradient rule of {primitive.name}, {where}: {error}"
            ) from error
        for one in gradients:
            if what := _created(one, flatten((g, residuals))):
                raise AnomalyError(
                    f"the gradient rule of {primitive.name} made {what} for an argument of "
                    f"shape {one.shape}; the operation was {where}"
                )
            self._finite = self._finite and not _created(one, ())
        return gradients


graph.checked_pass = CheckedPass
