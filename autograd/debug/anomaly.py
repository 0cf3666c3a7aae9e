"""`detect_anomaly`: find the operation that creates the first nan or infinity.

It checks the forward and the backward pass, and detects writes into arrays that a graph still
needs. A monitor observes kernels, nodes and backward passes while a block is open in any thread. If
an interrupt prevents its deactivation, the next operation deactivates it.
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
from ..core.graph import GET_OUTPUT, Node, anomaly_mode
from ..core.primitive import Primitive
from ..core.pytree import flatten
from ..core.tensor import unwrap
from ..runtime.context import Block, ContextVariable, Setting, run_locked
from ..runtime.location import user_line
from .monitor import BackwardObserver, Monitor, activate, deactivate

_in_vjp = ContextVariable("in_vjp", default=False)
_lock = threading.Lock()
_open_blocks: list[Setting] = []


class AnomalyError(FloatingPointError):
    """Raised by `detect_anomaly`. The engine does not add the operation and its arguments to it."""


class detect_anomaly(Block[bool]):
    """Context manager that finds the operation that creates the first nan or infinity.

    The operation, or its VJP rule, raises FloatingPointError. The message names the operation
    and the line of your code. An operation creates an infinity if its inputs are finite, and a nan
    if no input is nan: the log of 0 is reported, a mask of -inf is not. Operations are checked
    whether they are recorded or not. If an array that a gradient needs was overwritten, the
    backward pass raises RuntimeError.

    It applies to the thread or async task that enters it. Operations are slow inside, and the graph
    takes twice the memory.

    Examples
    --------
    >>> with detect_anomaly():
    ...     log(tensor(-1.0))
    Traceback (most recent call last):
    autograd.debug.anomaly.AnomalyError: log created a nan in a result of shape (), at ...
    """

    def __init__(self) -> None:
        super().__init__(anomaly_mode, True)

    def _opening(self, setting: Setting) -> None:
        run_locked(_lock, partial(_start, setting))

    def _closed(self) -> None:
        run_locked(_lock, _stop_if_unused)


def _start(setting: Setting) -> None:
    _open_blocks.append(setting)
    activate(_monitor)


def _stop_if_unused() -> None:
    _open_blocks[:] = [setting for setting in _open_blocks if setting.exit() is not None]
    if not _open_blocks:
        deactivate(_monitor)


class _AnomalyMonitor(Monitor):
    """Checks the results of kernels and VJP rules, in threads where `anomaly_mode` is on."""

    def node_created(self, node: Node) -> None:
        """Attach to a node the line of user code, and copies of the arrays that it saves."""
        primitive = node.primitive
        if primitive is None or primitive is GET_OUTPUT or not self._is_on():
            return
        primitive = copy.copy(primitive)
        primitive.line = user_line()
        arrays = [x for x in flatten(node.residuals) if hasattr(x, "dtype")]
        primitive.copies = [(array, array.copy()) for array in arrays]
        node.primitive = primitive

    def wrap_kernel(
        self, primitive: Primitive, array_type: type, kernel: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return a kernel that checks its results."""
        if not self._is_on() or _in_vjp.get() or issubclass(array_type, TracerArray):
            return kernel

        def checked(*arrays: Any, **static: Any) -> Any:
            inputs = flatten((arrays, static))
            if "out" in static:  # one of the arrays, which is about to be overwritten
                inputs = [x.copy() if _is_float(x) and hasattr(x, "copy") else x for x in inputs]
            y = kernel(*arrays, **static)
            for result in y if type(y) in (tuple, list) else (y,):
                if anomaly := _created(result, inputs, primitive.pointwise):
                    raise AnomalyError(
                        f"{primitive.name} created {anomaly} in a result of shape {result.shape}, "
                        f"at {user_line()}"
                    )
            return y

        return checked

    def backward_started(self, seeds: list[tuple[Node, Any]]) -> BackwardObserver:
        return _AnomalyObserver(seeds) if self._is_on() else BackwardObserver()

    def _is_on(self) -> bool:
        if anomaly_mode.get():
            return True
        run_locked(_lock, _stop_if_unused)
        return False


_monitor = _AnomalyMonitor()


class _AnomalyObserver(BackwardObserver):
    """Checks the gradients of one backward pass."""

    def __init__(self, seeds: Iterable[tuple[Node, Any]]) -> None:
        self._is_finite = not any(_created(gradient, ()) for _, gradient in seeds)

    def gradient_complete(self, node: Node, gradient: Any) -> None:
        """Check a sum of gradients, which may overflow."""
        for g in flatten(gradient):
            if self._is_finite and (anomaly := _created(g, ())):
                raise AnomalyError(
                    f"the sum of the gradients of a tensor of shape {g.shape} has {anomaly}"
                )

    def wrap_vjp(self, vjp: Callable[..., Any]) -> Callable[..., Any]:
        return partial(self._checked_vjp, vjp)

    def _checked_vjp(
        self, vjp: Callable[..., Any], primitive: Any, g: Any, residuals: Any, parents: Any
    ) -> Any:
        """Apply a VJP rule, and check its residuals before and its result after."""
        line = f"recorded at {getattr(primitive, 'line', 'a line outside of detect_anomaly')}"
        for array, copied in getattr(primitive, "copies", ()):
            if not bool(((array == copied) | (copied != copied)).all()):
                raise RuntimeError(
                    f"{primitive.name}: an array of shape {copied.shape} that its gradient needs "
                    f"was overwritten after the operation was {line}"
                )
        try:
            with _in_vjp.block(True):
                gradients = vjp(primitive, g, residuals, parents)
        except FloatingPointError as error:  # of a backward pass inside the rule
            raise AnomalyError(f"in the VJP rule of {primitive.name}, {line}: {error}") from error
        for gradient in gradients:
            if anomaly := _created(gradient, flatten((g, residuals))):
                raise AnomalyError(
                    f"the VJP rule of {primitive.name} created {anomaly} for an argument of "
                    f"shape {gradient.shape}; the operation was {line}"
                )
            self._is_finite = self._is_finite and not _created(gradient, ())
        return gradients


# --- detection of created values ------------------------------------------------------------------


def _created(y: Any, inputs: Iterable[Any], pointwise: bool = False) -> str:
    """Return "a nan" or "an infinity" if `y` has one that the inputs do not explain, else ""."""
    if not _is_float(y):
        return ""
    y = unwrap(y)
    if bool((abs(y) < inf).all()):
        return ""
    arrays = [unwrap(x) for x in inputs if _is_float(x)]
    for anomaly, in_result, explains in (
        ("a nan", _is_nan(y), _is_nan),
        ("an infinity", abs(y) == inf, _is_not_finite),
    ):
        explained = [explains(x) if pointwise else bool(_any(explains(x))) for x in arrays]
        if bool(_any(in_result & ~reduce(operator.or_, explained, in_result & ~in_result))):
            return anomaly
    return ""


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _is_nan(x: Any) -> Any:
    return x != x


def _is_not_finite(x: Any) -> Any:
    return (x != x) | (abs(x) == inf)


def _any(x: Any) -> Any:
    return x if isinstance(x, bool) else x.any()
