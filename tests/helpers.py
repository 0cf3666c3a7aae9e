"""Small things that several tests of the engine need."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd as ag
from autograd._primitive import Primitive


def on_device(array: Any) -> Any:
    """A NumPy array as an array of the device that the tests run on."""
    return ag.backend.current().asarray(array)


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
    assert wrong.needs == right.needs
    return wrong.pull


def in_thread(work: Callable[[], None], stack: int = 0) -> None:
    """Run `work` in a thread with a stack of this size; its exception is raised here."""
    caught: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            caught.append(error)

    before = threading.stack_size(stack)
    thread = threading.Thread(target=guarded)
    thread.start()
    threading.stack_size(before)
    thread.join()
    if caught:
        raise caught[0]
