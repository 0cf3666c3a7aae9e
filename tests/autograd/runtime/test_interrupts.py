"""Ctrl-C at any line leaves no state behind."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import in_thread, leaf
from interrupts import (
    FACTORS,
    MODEL,
    checkpointed_scan,
    compiled_layer,
    compiled_scan,
    compiled_scan_of_a_scan,
    interrupt_evenly,
    new_scan,
    run,
    scan_that_runs_eagerly,
    second_derivative_of_a_compiled_scan,
)

import autograd as ag
from tinygrad_rnn import insight, nn, optim
from tinygrad_rnn.training.batch_loss import evaluation_mode
from tinygrad_rnn.training.environment import blas_threads, limit_threads
from tinygrad_rnn.training.files import lock_folder
from tinygrad_rnn.training.serialization import save
from tinygrad_rnn.training.signals import SignalRecorder

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
THREADS = blas_threads()


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


def explained_scan() -> None:
    factor = leaf(next(FACTORS))
    function = eval("lambda h, x: (h * x / factor, h)", {"factor": factor})
    assert str(ag.explain(function, leaf(1.0, 2.0), leaf(*[[0.5, 0.5]] * 3)))


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
