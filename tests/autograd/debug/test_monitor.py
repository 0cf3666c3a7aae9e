"""Monitors observe nodes, kernels and backward passes while they are active."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import leaf

import autograd as ag
from autograd.core.graph import Node, monitors
from autograd.core.primitive import Kernels, Primitive
from autograd.debug.monitor import BackwardObserver, Monitor, activate, deactivate


class Recorder(Monitor, BackwardObserver):
    """A monitor that records the names of everything it observes."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.kernels: list[str] = []
        self.gradients: list[str] = []
        self.vjps: list[str] = []

    def node_created(self, node: Node) -> None:
        self.nodes.append(getattr(node.primitive, "name", "leaf"))

    def wrap_kernel(
        self, primitive: Primitive, array_type: type, kernel: Callable[..., Any]
    ) -> Callable[..., Any]:
        self.kernels.append(primitive.name)
        return kernel

    def backward_started(self, seeds: list[tuple[Node, Any]]) -> BackwardObserver:
        return self

    def gradient_complete(self, node: Node, gradient: Any) -> None:
        self.gradients.append(getattr(node.primitive, "name", "leaf"))

    def wrap_vjp(self, vjp: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(primitive: Any, *arguments: Any) -> Any:
            self.vjps.append(primitive.name)
            return vjp(primitive, *arguments)

        return recorded


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    monitor = Recorder()
    activate(monitor)
    yield monitor
    deactivate(monitor)


def compute() -> None:
    ag.exp(leaf(1.0) * 2.0).backward()


def test_a_monitor_observes_everything(recorder: Recorder) -> None:
    compute()
    assert recorder.nodes == ["leaf", "multiply", "exp"]
    assert recorder.kernels[:2] == ["multiply", "exp"]
    assert recorder.gradients == ["exp", "multiply", "leaf"]
    assert recorder.vjps == ["exp", "multiply"]


def test_the_base_classes_change_nothing() -> None:
    monitor = Monitor()
    activate(monitor)
    compute()
    deactivate(monitor)


def test_monitors_are_independent(recorder: Recorder) -> None:
    other = Recorder()
    activate(other)
    activate(other)  # no effect
    compute()
    deactivate(other)
    deactivate(other)  # no effect
    compute()
    assert recorder.nodes == 2 * other.nodes
    assert recorder.vjps == 2 * other.vjps


def test_the_engine_is_unchanged_after_deactivation() -> None:
    monitor, lookup = Recorder(), Kernels.__getitem__
    activate(monitor)
    assert Kernels.__getitem__ is not lookup
    deactivate(monitor)
    compute()
    assert monitors == []
    assert Kernels.__getitem__ is lookup
    assert monitor.nodes == []
