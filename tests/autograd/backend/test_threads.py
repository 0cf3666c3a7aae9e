"""Threads of CPU kernels: results do not depend on their number, and errors are propagated."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd.backend import threads
from tinygrad_rnn.nn import functional as F
from tinygrad_rnn.training.environment import limit_threads

pytestmark = pytest.mark.host


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    before = ag.get_num_threads()
    yield
    ag.set_num_threads(before)


def loss_and_gradient(rows: int, classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    scores = ag.tensor(rng.standard_normal((rows, classes)), requires_grad=True)
    loss = F.cross_entropy(scores, rng.integers(0, classes, rows), reduction="none")
    (g,) = ag.gradients(loss, scores, ag.tensor(rng.standard_normal(rows)))
    assert g is not None
    return loss.numpy(), g.numpy()


@pytest.mark.parametrize(("rows", "classes"), [(401, 1000), (3, 200_000), (1, 500_000), (90, 40)])
def test_results_have_the_same_bits_for_any_number_of_threads(rows: int, classes: int) -> None:
    results = []
    for count in (1, 2, 3, 8):
        ag.set_num_threads(count)
        results.append(loss_and_gradient(rows, classes))
    for loss, g in results[1:]:
        np.testing.assert_array_equal(loss, results[0][0])
        np.testing.assert_array_equal(g, results[0][1])


@pytest.mark.parametrize("shape", [(40, 10, 3), (1, 3), (0, 3)])
def test_layers_have_the_same_bits_for_any_number_of_threads(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s) for s in (shape, (2000, 3), (2000,)))
    expected = ag.matmul(x, w.T) + b
    for count in (1, 2, 3):
        ag.set_num_threads(count)
        np.testing.assert_array_equal(ag.linear(ag.tensor(x), w, b).numpy(), expected)


@pytest.mark.parametrize("rows", [1, 2, 5, 1000])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_row_is_computed_once(rows: int, count: int) -> None:
    ag.set_num_threads(count)
    visits, names = np.zeros(rows, int), set()

    def kernel(part: slice) -> None:
        visits[part] += 1
        names.add(threading.current_thread().name)

    threads.for_rows(kernel, rows, 10 * threads.MIN_ELEMENTS)
    assert (visits == 1).all()
    assert len(names) <= min(count, rows)


def test_small_arrays_are_computed_in_the_calling_thread() -> None:
    ag.set_num_threads(4)
    names = []
    threads.for_rows(lambda part: names.append(threading.current_thread()), 100, 1000)
    assert names == [threading.current_thread()]


@pytest.mark.parametrize("failing_part", [0, 1, 2])
def test_errors_of_all_threads_are_propagated(failing_part: int) -> None:
    ag.set_num_threads(3)

    def kernel(part: slice) -> None:
        if part.start == failing_part * 10:
            raise ZeroDivisionError("here")

    for _ in range(3):  # the threads remain usable
        with pytest.raises(ZeroDivisionError, match="here"):
            threads.for_rows(kernel, 30, 10 * threads.MIN_ELEMENTS)


def test_numpy_error_states_apply_in_every_thread() -> None:
    ag.set_num_threads(2)
    ones, results = np.ones(2), np.zeros(2)

    def kernel(part: slice) -> None:
        results[part] = ones[part] / 0

    with np.errstate(divide="ignore"):
        threads.for_rows(kernel, 2, 10 * threads.MIN_ELEMENTS)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        threads.for_rows(kernel, 2, 10 * threads.MIN_ELEMENTS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_creates_new_threads() -> None:
    ag.set_num_threads(2)
    loss, _ = loss_and_gradient(400, 1000)
    if not (child := os.fork()):
        is_equal = np.array_equal(loss_and_gradient(400, 1000)[0], loss)
        os._exit(0 if is_equal else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_count", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert ag.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert ag.get_num_threads() >= 1
    ag.set_num_threads(np.int64(5))
    assert ag.get_num_threads() == 5
    with limit_threads(2):
        assert ag.get_num_threads() == 2
    assert ag.get_num_threads() == 5
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"positive integer, got {wrong}"):
            ag.set_num_threads(wrong)
    with pytest.raises(TypeError):
        ag.set_num_threads(1.5)  # type: ignore[arg-type]
