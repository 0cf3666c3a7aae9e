"""Small things that several tests need."""

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd.core.primitive import Primitive
from tinygrad_rnn import nn


def on_device(array: Any) -> Any:
    """A NumPy array as an array of the device that the tests run on."""
    return ag.backend.current().asarray(array)


def on_host(value: Any) -> np.ndarray:
    """A Tensor, an array of any device, or a number, as a NumPy array."""
    array = value.data if isinstance(value, ag.Tensor) else value
    return ag.backend.of_array(array).to_host(array)


def leaf(*values: float) -> Any:
    """A vector in double precision that requires its gradient."""
    return ag.tensor(np.array(values, float), requires_grad=True)


def with_rule(operation: Any, argument: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    """The `pull` that an operation has with another rule for one argument ("*": for all). The rule
    asks for the same values, or has no signature of its own (`*args`).
    """
    right = operation.primitive
    rule = functools.wraps(right.rules[argument])(rule)
    wrong = Primitive(
        right.name, argument, right.arguments, {**right.rules, argument: rule}, right.variadic
    )
    assert wrong.residual_names == right.residual_names
    return wrong.vjp


def executed(work: Callable[[], Any]) -> int:
    """Return how many lines of Python and calls `work` executes.

    Unlike a time, the number does not depend on the machine or on what else it does.
    """
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(measure: Callable[[int], int], size: int) -> float:
    """Return the exponent p with which a measure of work grows, as size^p: 1 if it is linear.

    The difference of two sizes counts, so that work that does not grow has no influence.
    """
    measure(size)  # whatever is compiled or cached
    small, middle, large = (measure(size * factor) for factor in (1, 2, 4))
    return float(np.log2(max(large - middle, 1) / max(middle - small, 1)))


def in_thread(work: Callable[[], None], stack: int = 0) -> None:
    """Run `work` in a thread with a stack of this size; its exception is raised here."""
    at_once([work], stack)


def at_once(works: list[Callable[[], None]], stack: int = 0) -> None:
    """Run each in a thread of its own, all started together and made to take turns very often; the
    first exception is raised here.
    """
    caught: list[BaseException] = []
    start = threading.Barrier(len(works))

    def guarded(work: Callable[[], None]) -> None:
        try:
            start.wait()
            work()
        except BaseException as error:
            caught.append(error)

    before, interval = threading.stack_size(stack), sys.getswitchinterval()
    sys.setswitchinterval(1e-6 if len(works) > 1 else interval)
    try:
        threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.stack_size(before)
        sys.setswitchinterval(interval)
    if caught:
        raise caught[0]


def parameters(*values: Any) -> list[nn.Parameter]:
    return [nn.Parameter(np.array(value, dtype=float)) for value in values]


def instead(operation: Any, wrong: Callable[[Any], Any], argument: int = 0) -> Any:
    """Replace the rule of one argument by `wrong(rule)`."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        name = operation.primitive.arguments[argument]
        rule = wrong(operation.primitive.rules[name])
        monkeypatch.setattr(operation.primitive, "vjp", with_rule(operation, name, rule))

    return patch
