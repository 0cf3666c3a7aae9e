"""Small things that several tests of the engine need."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd as ag


def on_device(array: Any) -> Any:
    """A NumPy array as an array of the device that the tests run on."""
    return ag.backend.current().asarray(array)


def on_host(value: Any) -> np.ndarray:
    """A Tensor, an array of any device, or a number, as a NumPy array."""
    array = value.data if isinstance(value, ag.Tensor) else value
    return ag.backend.of(array).to_host(array)


def leaf(*values: float) -> Any:
    """A vector in double precision that requires its gradient."""
    return ag.tensor(np.array(values, float), requires_grad=True)


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
