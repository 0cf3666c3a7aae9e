"""Threads for CPU kernels that compute the rows of an array independently.

NumPy computes element by element in one thread, while BLAS uses all cores for a product. A kernel
that writes each row on its own can share its rows among threads, since NumPy releases the global
interpreter lock while it computes. Every row has the same bits for any number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from operator import index
from threading import Lock

from ..runtime.context import run_locked

MIN_ELEMENTS = 1 << 17
"""Elements per thread from which a second thread saves more time than it costs."""

_lock = Lock()
_count: int | None = None
_pool: ThreadPoolExecutor | None = None


def get_num_threads() -> int:
    """Return the number of threads that CPU kernels of this library use at most.

    It is the number set by `set_num_threads`, or the environment variable OMP_NUM_THREADS, or the
    number of cores that this process may use. BLAS has a setting of its own.
    """
    if _count is not None:
        return _count
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(count: int) -> None:
    """Set the number of threads that CPU kernels of this library use at most.

    Results have the same bits for any number of threads. BLAS has a setting of its own; see
    threadpoolctl.

    Parameters
    ----------
    count
        A positive integer; 1 computes in the calling thread alone.

    Raises
    ------
    ValueError
        If `count` is not positive.
    """
    if index(count) < 1:
        raise ValueError(f"the number of threads must be a positive integer, got {count}")
    run_locked(_lock, partial(_set, index(count)))


def _set(count: int) -> None:
    global _count, _pool
    _count, _pool = count, None


def _workers(count: int) -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(count, thread_name_prefix="autograd")
    return _pool


def _forget_workers() -> None:
    """A forked process has no threads but the one that forked."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def for_rows(kernel: Callable[[slice], None], rows: int, elements: int) -> None:
    """Call `kernel` for slices that cover all rows, in several threads if there is enough work.

    Parameters
    ----------
    kernel
        Computes the given rows and writes them into arrays of its own.
    rows
        The number of rows.
    elements
        The number of elements of all rows together.
    """
    parts = min(elements // MIN_ELEMENTS, rows, get_num_threads())
    if parts < 2:
        kernel(slice(0, rows))
        return
    bounds = [rows * i // parts for i in range(parts + 1)]
    first, *others = (slice(a, b) for a, b in pairwise(bounds))
    pending: list[Future[None]] = []
    try:
        pool = run_locked(_lock, partial(_workers, parts - 1))
        pending.extend(pool.submit(copy_context().run, kernel, part) for part in others)
        kernel(first)
    finally:
        wait(pending)  # also after an exception: nothing writes into the arrays any more
    for done in pending:
        done.result()
