"""Ctrl-C at any line leaves no state behind."""

import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import in_thread, leaf, on_host

import autograd as ag
from autograd import backend, recompute
from autograd.compile import eager_execution
from autograd.core import graph, modes
from autograd.core.graph import Node
from autograd.core.primitive import Kernels
from tinygrad_rnn import insight, nn, optim
from tinygrad_rnn.nn.recurrent.layer import scan_interceptor
from tinygrad_rnn.training.batch_loss import evaluation_mode
from tinygrad_rnn.training.environment import blas_threads, limit_threads
from tinygrad_rnn.training.files import lock_folder
from tinygrad_rnn.training.serialization import save
from tinygrad_rnn.training.signals import SignalRecorder

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ROOT = Path(__file__).parents[3]
SOURCES = str(ROOT / "autograd"), str(ROOT / "tinygrad_rnn"), contextlib.__file__
PLAIN = Node.__init__, Kernels.__getitem__, ag.Tensor.__init__
THREADS = blas_threads()


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


def step(h: Any, x: Any) -> Any:
    h = ag.tanh(h * x)
    return h, h


def check_engine() -> None:
    """Check that recording is on, gradients are correct, scans are compiled and no lock is held."""
    assert backend.current().device == DEVICE
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


DEVICE = ""


@pytest.fixture(autouse=True)
def device() -> None:
    global DEVICE
    DEVICE = backend.current().device


def interrupt_evenly(body: Callable[[], Any], max_count: int, check: Callable[[], None]) -> int:
    """Interrupt `body` at `max_count` evenly spaced lines; return the number of interrupts."""
    body()
    lines, _ = run(body, 0)
    interrupts = 0
    count = min(lines, max_count)
    for n in [1 + i * lines // count for i in range(count)]:
        executed, interrupt = run(body, n)
        interrupts += executed >= n  # Python ignores an exception in a finalizer
        check_engine()
        check()
        del interrupt
    return interrupts


# --- contexts: every line -------------------------------------------------------------------------


def no_grad() -> None:
    with ag.no_grad():
        x = leaf(1.0) * 2
    assert not x.requires_grad


def nested_in_itself() -> None:
    with SHARED, SHARED:
        assert not (leaf(1.0) * 2).requires_grad
    assert (leaf(1.0) * 2).requires_grad


SHARED = ag.no_grad()


def enable_grad_in_no_grad() -> None:
    with ag.no_grad():
        try:
            with ag.enable_grad():
                x = leaf(1.0) * 2
        except KeyboardInterrupt:
            assert not (leaf(1.0) * 2).requires_grad
            raise
        assert x.requires_grad
        assert not (x * 2).requires_grad


def detect_anomaly() -> None:
    with ag.detect_anomaly():
        (leaf(1.0) * 2).backward()


def default_device() -> None:
    with ag.default_device("cpu"):
        assert ag.zeros(2).device == "cpu"


def all_contexts() -> None:
    with ag.no_grad(), ag.default_device("cpu"), ag.detect_anomaly(), ag.enable_grad():
        (leaf(1.0) * 2).backward()


def decorated_function() -> None:
    ag.no_grad()(lambda: leaf(1.0) * 2)()


def decorated_generator() -> None:
    for _ in ag.no_grad()(lambda: (yield leaf(1.0) * 2))():
        assert (leaf(1.0) * 2).requires_grad


def exception_in_contexts() -> None:
    with pytest.raises(ZeroDivisionError), ag.no_grad(), ag.detect_anomaly():
        raise ZeroDivisionError


def evaluation() -> None:
    with evaluation_mode(MODEL), ag.no_grad():
        assert not MODEL.training


def capture() -> None:
    with insight.capture(MODEL) as runs:
        MODEL(ag.ones((1, 1, 2)))
    assert runs


MODEL = nn.LSTM(2, 2, num_layers=2, dropout=0.5)


def check_model() -> None:
    assert all(module.training for module in MODEL.modules())


def threads() -> None:
    with limit_threads(1):
        assert blas_threads() == 1


def check_threads() -> None:
    assert blas_threads() == THREADS


CONTEXTS: list[tuple[Callable[[], None], Callable[[], None]]] = [
    (body, lambda: None)
    for body in (
        no_grad,
        nested_in_itself,
        enable_grad_in_no_grad,
        detect_anomaly,
        default_device,
        all_contexts,
        decorated_function,
        decorated_generator,
        exception_in_contexts,
    )
] + [(evaluation, check_model), (capture, check_model), (threads, check_threads)]


@pytest.mark.host
def test_contexts_interrupted_at_every_line_leave_no_state_behind(
    record_property: Callable[[str, object], None],
) -> None:
    counts: dict[str, int] = {}

    def interrupt_all() -> None:
        for body, check in CONTEXTS:
            counts[body.__name__] = interrupt_evenly(body, 1000, check)

    in_thread(interrupt_all)  # CPython does not forget an exception whose handler is interrupted
    record_property("interrupts", counts)
    assert min(counts.values()) > 15, counts
    assert sum(counts.values()) >= 300, counts


# --- computations: evenly spaced lines ------------------------------------------------------------


def backward() -> None:
    x = leaf(1.0, 2.0)
    ag.exp(x * x).sum().backward(create_graph=True)


def compiled_scan() -> None:
    ag.scan(step, leaf(1.0, 2.0), leaf(*[[0.5, 0.5]] * 3))[1].sum().backward()


def new_scan() -> None:
    factor = leaf(next(FACTORS))  # a new step, which is not in the cache of compiled steps
    function = eval("lambda h, x: (h * x * factor, h)", {"factor": factor})
    ag.scan(function, leaf(1.0, 2.0), leaf(*[[0.5, 0.5]] * 3))[1].sum().backward()


FACTORS = iter(range(1, 10**6))


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


def explained_scan() -> None:
    factor = leaf(next(FACTORS))
    function = eval("lambda h, x: (h * x / factor, h)", {"factor": factor})
    assert str(ag.explain(function, leaf(1.0, 2.0), leaf(*[[0.5, 0.5]] * 3)))


def checkpointed_scan() -> None:
    xs = leaf(*[[0.5, 0.5]] * 9)
    ag.scan(step, leaf(1.0, 2.0), xs, checkpoint=2)[1].sum().backward()


def checkpoint_with_dropout() -> None:
    f = ag.checkpoint(lambda x: ag.sin(x) * ag.random.default_generator.uniform(x.shape))
    f(leaf(1.0, 2.0)).sum().backward()


def transform() -> None:
    ag.hvp(lambda x: ag.sum(ag.sin(x) * x), (np.ones(2),), (np.ones(2),))


def jacobian() -> None:
    ag.jacobian(ag.grad(lambda x: ag.sum(x**3)))(np.ones(2))


def optimizer_step() -> None:
    weight = leaf(1.0, 2.0)
    adam = optim.Adam([weight])

    def closure() -> Any:
        adam.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    adam.step(closure)


def write_in_place() -> None:
    with ag.no_grad():
        x = leaf(1.0, 2.0)
        x *= 2
        x[0] = 1


def captured_layers() -> None:
    lstm = nn.LSTM(2, 2)
    insight.gradient_flow(lstm, ag.ones((3, 1, 2)), loss=lambda out: out[0].sum())


OTHERS = (
    backward,
    compiled_scan,
    new_scan,
    compiled_layer,
    compiled_scan_of_a_scan,
    second_derivative_of_a_compiled_scan,
    scan_that_runs_eagerly,
    explained_scan,
    checkpointed_scan,
    checkpoint_with_dropout,
    transform,
    jacobian,
    optimizer_step,
    write_in_place,
    captured_layers,
)


@pytest.mark.host
@pytest.mark.parametrize("body", OTHERS)
def test_computations_interrupted_anywhere_leave_no_state_behind(body: Callable[[], None]) -> None:
    assert interrupt_evenly(body, 40, lambda: None) > 30


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
def ignored(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The types of the exceptions in finalizers, which Python ignores."""
    types: list[type] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: types.append(event.exc_type))
    return types


def interrupt_after(body: Callable[[], None], seconds: float, ignored: list[type]) -> bool:
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
    assert ended or interrupt is not None or ignored, "the interrupt was swallowed"
    assert set(ignored) <= {KeyboardInterrupt}
    ignored.clear()
    return not ended


@pytest.mark.host
@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("body", SCANS)
def test_compiled_scans_interrupted_by_signals(
    body: Callable[[], None], count: int, ignored: list[type]
) -> None:
    """At random times; with `--thorough`, more than 2,000 times in all."""
    rng = random.Random(body.__name__)
    body()
    start = time.perf_counter()
    for _ in range(5):
        body()
    duration = (time.perf_counter() - start) / 5
    interrupts, tries = 0, 0
    while interrupts < count:
        interrupts += interrupt_after(body, max(rng.random() * duration, 1e-6), ignored)
        tries += 1
        assert tries < 20 * count
        if interrupts % 5 == 0:
            check_engine()
            check_scans()


@pytest.mark.host
@pytest.mark.parametrize("body", SCANS)
def test_compiled_scans_never_swallow_an_interrupt(body: Callable[[], None]) -> None:
    """Except in a finalizer, whose exceptions Python ignores."""
    body()
    lines, _ = run(body, 0)
    for n in range(1, lines, 1 + lines // 60):
        executed, interrupt = run(body, n)
        assert executed < n or interrupt is not None or FINALIZER in interrupted_functions
        del interrupt
    check_engine()
    check_scans()


@pytest.mark.parametrize("body", [checkpoint_with_dropout, captured_layers])
def test_recomputation_never_moves_the_random_stream(body: Callable[[], None]) -> None:
    ag.manual_seed(1)
    body()
    after = ag.random.get_state()
    lines, _ = run(body, 0)
    for n in range(lines // 2, lines, 1 + lines // 40):
        ag.manual_seed(1)
        _, interrupt = run(body, n)
        assert ag.random.get_state()["block"] <= after["block"]
        del interrupt


@pytest.mark.host
def test_an_interrupted_save_unlocks_the_folder_and_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, MODEL)
    content = path.read_bytes()

    def body() -> None:
        with lock_folder(tmp_path):
            save(path, MODEL)

    def check() -> None:
        assert path.read_bytes() == content
        with lock_folder(tmp_path):
            assert [file.name for file in tmp_path.iterdir()] == [path.name]

    assert interrupt_evenly(body, 60, check) > 30


@pytest.mark.host
def test_signal_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def body() -> None:
        with SignalRecorder().recording():
            pass

    def check() -> None:
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

    assert interrupt_evenly(body, 100, check) > 10
