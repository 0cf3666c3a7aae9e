"""Compiled scans are correct after Ctrl-C, and never swallow it."""

import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, check, outcome, same, values, weighted_problems
from helpers import leaf, on_host
from interrupts import (
    FINALIZER,
    check_engine,
    checkpointed_scan,
    compiled_layer,
    compiled_scan,
    compiled_scan_of_a_scan,
    interrupted_functions,
    new_scan,
    run,
    scan_that_runs_eagerly,
    second_derivative_of_a_compiled_scan,
    step,
)

import autograd as ag
from autograd import backend
from autograd.compile.executors import workspace

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SCANS = (
    compiled_scan,
    new_scan,
    compiled_layer,
    compiled_scan_of_a_scan,
    second_derivative_of_a_compiled_scan,
    scan_that_runs_eagerly,
    checkpointed_scan,
)


def scan_gradients(compile: bool | None) -> list[Any]:
    h, xs = leaf(1.0, 2.0), leaf(*[[0.5, 0.25]] * 7)
    last, ys = ag.scan(step, h, xs, compile=compile)
    return [on_host(t) for t in (last, ys, *ag.gradients(last.sum() + ys.sum(), [h, xs]))]


def check_scans() -> None:
    """Check that compiled scans are right, also in another thread, which would wait for a lock."""
    expected = scan_gradients(False)
    found = [scan_gradients(None)]
    thread = threading.Thread(target=lambda: found.append(scan_gradients(None)), daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive()
    for results in found:
        for one, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.fixture
def ignored_errors(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The types of the exceptions in finalizers, which Python ignores."""
    types: list[type] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: types.append(event.exc_type))
    return types


def interrupt_after(body: Callable[[], None], seconds: float, ignored_errors: list[type]) -> bool:
    """Run `body` until a signal interrupts it; return False if it ends before.

    Fails if it swallows the interrupt.
    """
    ended = False
    interrupt = None
    received: list[int] = []

    def handler(number: int, frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        body()
        ended = not received
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt as error:
        interrupt = error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ended or interrupt is not None or ignored_errors, "the interrupt was swallowed"
    assert set(ignored_errors) <= {KeyboardInterrupt}
    ignored_errors.clear()
    return not ended


@pytest.mark.host
@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("body", SCANS)
def test_compiled_scans_interrupted_by_signals(
    body: Callable[[], None], count: int, ignored_errors: list[type]
) -> None:
    """At random times; with `--thorough`, more than 2,000 times in all."""
    rng = random.Random(body.__name__)
    device = backend.current().device
    body()
    start = time.perf_counter()
    for _ in range(5):
        body()
    duration = (time.perf_counter() - start) / 5
    interrupts, tries = 0, 0
    while interrupts < count:
        interrupts += interrupt_after(body, max(rng.random() * duration, 1e-6), ignored_errors)
        tries += 1
        assert tries < 20 * count
        if interrupts % 5 == 0:
            check_engine(device)
            check_scans()


@pytest.mark.host
@pytest.mark.parametrize("body", SCANS)
def test_compiled_scans_never_swallow_an_interrupt(body: Callable[[], None]) -> None:
    """Except in a finalizer, whose exceptions Python ignores."""
    device = backend.current().device
    body()
    lines, _ = run(body, 0)
    for n in range(1, lines, 1 + lines // 60):
        executed, interrupt = run(body, n)
        assert executed < n or interrupt is not None or FINALIZER in interrupted_functions
        del interrupt
    check_engine(device)
    check_scans()


# --- errors in a trace or a loop ------------------------------------------------------------------

rnn = weighted_problems(lambda W, h, x: (ag.tanh(h @ W + x), h))


class Interrupted(BaseException):
    pass


def raising(*_: Any, **__: Any) -> Any:
    raise Interrupted


@pytest.mark.parametrize("loop", [0, 1])
@pytest.mark.parametrize("after", [0, 2])
def test_a_scan_after_an_interrupted_run(loop: int, after: int) -> None:
    instance = rnn()
    expected = outcome(instance, False)
    same(outcome(instance), expected)
    ((calls, _),) = workspace._unused[-1].loops[loop]._bodies.values()
    place = -1 - after if loop else after  # a backward pass of few steps runs the last calls
    real, calls[place] = calls[place], (raising, ())
    with pytest.raises(Interrupted):
        outcome(instance)
    calls[place] = real
    same(outcome(instance), expected)


def test_a_scan_after_an_interrupted_trace() -> None:
    seen: list[int] = []

    def step(h: Any, x: Any) -> Any:
        seen.append(1)
        raise Interrupted

    with pytest.raises(Interrupted):
        ag.scan(step, values(B, H), values(T, B, H))
    assert seen == [1]
    instance = rnn()
    with ag.no_grad():
        instance.xs[0] = 0.0  # writes are allowed again
    check(rnn)
