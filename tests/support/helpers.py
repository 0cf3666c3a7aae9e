"""Helper functions of several tests."""

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
    """Return a NumPy array as an array of the device that the tests run on."""
    return ag.backend.current().asarray(array)


def on_host(value: Any) -> np.ndarray:
    """Return a Tensor, an array of any device, or a number as a NumPy array."""
    array = value.data if isinstance(value, ag.Tensor) else value
    return ag.backend.of_array(array).to_host(array)


def leaf(*values: float) -> Any:
    """Return a vector in double precision that requires a gradient."""
    return ag.tensor(np.array(values, float), requires_grad=True)


def with_rule(operation: Any, argument: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return the `vjp` of an operation with another rule for one argument ("*": for all).

    The rule needs the same residuals, or accepts any arguments (`*args`).
    """
    original = operation.primitive
    rule = functools.wraps(original.rules[argument])(rule)
    rules = {**original.rules, argument: rule}
    changed = Primitive(original.name, argument, original.arguments, rules, original.variadic)
    assert changed.residual_names == original.residual_names
    return changed.vjp


def executed(work: Callable[[], Any]) -> int:
    """Return the number of lines of Python and calls that `work` executes.

    Unlike a time, it does not depend on the machine or its load.
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
    """Return the exponent p of a measure of work that grows as size^p: 1 if it is linear.

    It is computed from differences, so constant work has no influence.
    """
    measure(size)  # fill caches
    small, middle, large = (measure(size * factor) for factor in (1, 2, 4))
    return float(np.log2(max(large - middle, 1) / max(middle - small, 1)))


def in_thread(work: Callable[[], None], stack: int = 0) -> None:
    """Run `work` in a thread with a stack of this size, and raise its exception."""
    at_once([work], stack)


def at_once(works: list[Callable[[], None]], stack: int = 0) -> None:
    """Run functions in one thread each, and raise the first exception.

    The threads start together and switch very often.
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
    """Return a function that replaces the rule of one argument by `wrong(rule)`."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        name = operation.primitive.arguments[argument]
        rule = wrong(operation.primitive.rules[name])
        monkeypatch.setattr(operation.primitive, "vjp", with_rule(operation, name, rule))

    return patch
