"""KeyboardInterrupt at any line of the library, and computations to interrupt."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from helpers import leaf, on_host

import autograd as ag
from autograd import backend, recompute
from autograd.compile import eager_execution
from autograd.core import graph, modes
from autograd.core.graph import Node
from autograd.core.primitive import Kernels
from tinygrad_rnn import nn
from tinygrad_rnn.nn.recurrent.layer import scan_interceptor

ROOT = Path(__file__).parents[2]
SOURCES = str(ROOT / "autograd"), str(ROOT / "tinygrad_rnn"), contextlib.__file__
PLAIN = Node.__init__, Kernels.__getitem__, ag.Tensor.__init__


class InterruptedAt:
    """Trace function that raises KeyboardInterrupt at the n-th line of the library, of `contextlib`
    or of the function `body`, and counts these lines.
    """

    def __init__(self, n: int, body: Callable[..., Any]) -> None:
        self.n, self.count, self.body = n, 0, body.__code__

    def __call__(self, frame: Any, event: str, _: Any) -> Any:
        code = frame.f_code
        if code is not self.body and not code.co_filename.startswith(SOURCES):
            return None
        if event == "line":
            self.count += 1
            if self.count == self.n:
                note_functions(frame)
                raise KeyboardInterrupt
        return self


FINALIZER = "__del__"
interrupted_functions: set[str] = set()
"""The names of the functions on the stack when the last interrupt was injected."""


def note_functions(frame: Any) -> None:
    interrupted_functions.clear()
    while frame is not None:
        interrupted_functions.add(frame.f_code.co_name)
        frame = frame.f_back


def run(body: Callable[[], Any], n: int) -> tuple[int, BaseException | None]:
    """Run `body` with an interrupt at its n-th line. Return the number of lines and the exception,
    whose traceback holds all frames, as `sys.last_value` does in an interactive session.
    """
    tracer = InterruptedAt(n, body)
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        body()
    except KeyboardInterrupt as interrupt:
        return tracer.count, interrupt
    finally:
        sys.settrace(before)
    return tracer.count, None


def interrupt_evenly(body: Callable[[], Any], max_count: int, check: Callable[[], None]) -> int:
    """Interrupt `body` at `max_count` evenly spaced lines; return the number of interrupts."""
    device = backend.current().device
    body()
    lines, _ = run(body, 0)
    interrupts = 0
    count = min(lines, max_count)
    for n in [1 + i * lines // count for i in range(count)]:
        executed, interrupt = run(body, n)
        interrupts += executed >= n  # Python ignores an exception in a finalizer
        check_engine(device)
        check()
        del interrupt
    return interrupts


def step(h: Any, x: Any) -> Any:
    h = ag.tanh(h * x)
    return h, h


def check_engine(device: str) -> None:
    """Check that recording is on, gradients are correct, scans are compiled and no lock is held."""
    assert backend.current().device == device
    assert [scan_interceptor.get(), modes.operation_log.get(), sys.getprofile()] == [None] * 3
    assert recompute.recompute_intervals.get() == ()
    assert [eager_execution.get(), graph.anomaly_mode.get()] == [False] * 2
    x = leaf(1.0, 2.0)
    ((x * x).sum() * 2).backward()
    np.testing.assert_array_equal(on_host(x.grad), [4, 8])
    assert isinstance(ag.grad(lambda z: z * z)(3.0), float)  # a Tensor inside another transform
    assert (Node.__init__, Kernels.__getitem__, ag.Tensor.__init__) == PLAIN
    assert graph.monitors == []
    assert ag.explain(step, x, leaf(*[[0.5, 0.5]] * 3)).compiled
    assert ag.scan(step, x, leaf(*[[0.5, 0.5]] * 3))[1].requires_grad
    with ag.no_grad():
        assert not (x * x).requires_grad
        x += 1
    assert (x * x).requires_grad


MODEL = nn.LSTM(2, 2, num_layers=2, dropout=0.5)


def compiled_scan() -> None:
    ag.scan(step, leaf(1.0, 2.0), leaf(*[[0.5, 0.5]] * 3))[1].sum().backward()


FACTORS = iter(range(1, 10**6))


def new_scan() -> None:
    factor = leaf(next(FACTORS))  # a new step, which is not in the cache of compiled steps
    function = eval("lambda h, x: (h * x * factor, h)", {"factor": factor})
    ag.scan(function, leaf(1.0, 2.0), leaf(*[[0.5, 0.5]] * 3))[1].sum().backward()


def compiled_layer() -> None:
    """The plan exists, or is made if the interrupt before came too early for it."""
    with ag.random.replay(ag.random.get_state()):
        MODEL(ag.ones((4, 2, 2)), lengths=[4, 2])[0].sum().backward()


def compiled_scan_of_a_scan() -> None:
    def outer(h: Any, x: Any) -> Any:
        return ag.scan(step, h, x)

    ag.scan(outer, leaf(1.0, 2.0), leaf(*[[[0.5, 0.5]] * 3] * 2))[1].sum().backward()


def second_derivative_of_a_compiled_scan() -> None:
    x = leaf(1.0, 2.0)
    total = ag.scan(step, x, leaf(*[[0.5, 0.5]] * 3))[1].sum()
    (gradient,) = ag.gradients(total, [x], create_graph=True)
    gradient.sum().backward()


def scan_that_runs_eagerly() -> None:
    def reads(h: Any, x: Any) -> Any:
        return step(h * float(x.max()), x)

    ag.scan(reads, leaf(1.0, 2.0), leaf(*[[0.5, 0.5]] * 3))[1].sum().backward()


def checkpointed_scan() -> None:
    xs = leaf(*[[0.5, 0.5]] * 9)
    ag.scan(step, leaf(1.0, 2.0), xs, checkpoint=2)[1].sum().backward()
