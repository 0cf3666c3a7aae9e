"""Monitors: observers of every operation of the engine, such as the monitor of `detect_anomaly`.

The core calls the monitors in `core.graph.monitors`. Without an active monitor they cost nothing:
kernels are then looked up by `dict` itself, in C. Only while a monitor is active does `Kernels`
have a `__getitem__` written in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.graph import Node, monitors
from ..core.primitive import Kernels, Primitive


class Monitor:
    """Base class of monitors. Its methods change nothing."""

    def node_created(self, node: Node) -> None:
        """Called at the end of the constructor of every node."""

    def wrap_kernel(
        self, primitive: Primitive, array_type: type, kernel: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return the function to call in place of the kernel of a primitive for a type of array."""
        return kernel

    def backward_started(self, seeds: list[tuple[Node, Any]]) -> BackwardObserver:
        """Return the observer of one backward pass, which starts with `seeds`."""
        return BackwardObserver()


class BackwardObserver:
    """Base class of observers of one backward pass. Its methods change nothing."""

    def gradient_complete(self, node: Node, gradient: Any) -> None:
        """Called with every node that the backward pass visits, and its complete gradient."""

    def wrap_vjp(self, vjp: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function to call in place of `core.graph.apply_vjp`."""
        return vjp


def activate(monitor: Monitor) -> None:
    """Let a monitor observe all threads. Has no effect if the monitor is active."""
    if monitor not in monitors:
        monitors.append(monitor)
    Kernels.__getitem__ = Kernels.monitored  # type: ignore[method-assign, assignment]


def deactivate(monitor: Monitor) -> None:
    """Remove a monitor. Can be called again if an interrupt prevented the removal."""
    if monitors == [monitor] and "__getitem__" in vars(Kernels):
        del Kernels.__getitem__
    if monitor in monitors:
        monitors.remove(monitor)
