"""Other threads during compiled scans: nothing that they do is lost, repeated or undone."""

import functools
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, outcome, problem, same, values
from helpers import on_host

import autograd as ag
from tinygrad_rnn import nn

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore:scan runs")]

SECONDS = 0.12
"""The time for which scans run beside another thread."""


def scans(step: Callable[[Any, Any], Any], stop: threading.Event, **options: Any) -> None:
    """Run scans and their backward passes until `stop` is set; each step is a new function."""
    W, h, xs = values(H, H), values(B, H), values(T, B, H)
    while not stop.is_set():
        # A new step in turn with a known one.
        for one in (step, lambda h, x: step(h, x)):
            last, ys = ag.scan(one, h @ W, xs, **options)
            ag.gradients(last.sum() + ys.sum(), [W, h, xs])


@contextmanager
def beside_scans(step: Callable[[Any, Any], Any], **options: Any) -> Iterator[None]:
    """Run scans in two other threads during the block; threads switch very often."""
    stop, errors = threading.Event(), []

    def work() -> None:
        try:
            scans(step, stop, **options)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]


def for_some_time(work: Callable[[], Any]) -> list[Any]:
    """Return the results of repeated calls, with pauses in which other threads run."""
    timer = threading.Event()
    threading.Timer(SECONDS, timer.set).start()
    found: list[Any] = []
    while not timer.is_set():
        found += [work() for _ in range(20)]
        timer.wait(1e-5)
    return found


OPTIONS = pytest.mark.parametrize("options", [{}, {"checkpoint": 2}], ids=str)
DATA: list[int] = []
COUNTS: Counter[str] = Counter()
TABLE: dict[int, int] = {}


def reads_globals(h: Any, x: Any) -> Any:
    """A pure step that refers to the collections to which another thread adds."""
    scale = 0.5 if (DATA, COUNTS, TABLE, random, np.random) else 1.0
    h = ag.tanh(scale * h + x)
    return h, h * x


def draw() -> float:
    return float(on_host(ag.random.default_generator.uniform((1,), dtype=float))[0])


def draws_masks(h: Any, x: Any) -> Any:
    h = ag.tanh(nn.functional.dropout(h, 0.5) + x)
    return h, h * x


@OPTIONS
def test_what_another_thread_adds_to_collections_is_kept(options: dict[str, Any]) -> None:
    DATA.clear()
    COUNTS.clear()
    TABLE.clear()

    def add() -> None:
        DATA.append(len(DATA))
        COUNTS["n"] += 1
        TABLE[len(TABLE)] = 0

    with beside_scans(reads_globals, **options):
        added = len(for_some_time(add))
    assert list(range(added)) == DATA
    assert {"n": added} == COUNTS
    assert list(TABLE) == list(range(added))


@OPTIONS
@pytest.mark.parametrize(
    ("seed", "function"),
    [
        (random.seed, random.random),
        (random.seed, random.gauss),
        (np.random.seed, np.random.random),
        (np.random.seed, np.random.standard_normal),
    ],
    ids=["random", "gauss", "numpy.random", "standard_normal"],
)
def test_numbers_that_another_thread_draws(
    seed: Any, function: Any, options: dict[str, Any]
) -> None:
    """They are the ones that it draws without scans."""
    seed(3)
    with beside_scans(reads_globals, **options):
        numbers = for_some_time(function)
    seed(3)
    assert numbers == [function() for _ in numbers]


@OPTIONS
def test_numbers_that_another_thread_draws_from_ag_random(options: dict[str, Any]) -> None:
    ag.manual_seed(3)
    with beside_scans(reads_globals, **options):
        numbers = for_some_time(draw)
    ag.manual_seed(3)
    assert numbers == [draw() for _ in numbers]


@OPTIONS
def test_random_streams_do_not_repeat_beside_steps_that_draw(options: dict[str, Any]) -> None:
    """No number is drawn twice, although segments are recomputed with their dropout masks."""
    ag.manual_seed(3)
    with beside_scans(draws_masks, **options):
        numbers = for_some_time(draw)
    assert len(set(numbers)) == len(numbers)


@OPTIONS
def test_a_model_that_another_thread_creates_has_the_same_weights(options: dict[str, Any]) -> None:
    def create() -> list[Any]:
        model = nn.LSTM(3, 2)
        return [on_host(parameter).tolist() for parameter in model.parameters()]

    ag.manual_seed(3)
    with beside_scans(reads_globals, **options):
        models = for_some_time(create)
    ag.manual_seed(3)
    assert models == [create() for _ in models]


@OPTIONS
def test_results_of_scans_in_several_threads(options: dict[str, Any]) -> None:
    """Of one step in all threads, while another thread writes to its collections."""
    W = values(H, H)
    one = problem(lambda h, x: (ag.tanh(h @ W + x), h), W, **options)
    expected = outcome(one, False)
    with beside_scans(reads_globals, **options):
        for found in for_some_time(functools.partial(outcome, one)):
            same(found, expected)
