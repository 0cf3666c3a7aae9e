"""Threads for CPU kernels that compute the rows of an array independently.

BLAS uses all cores for matrix products, but NumPy's elementwise functions use one thread. A kernel
that computes each row independently can distribute its rows over threads, because NumPy releases
the global interpreter lock. Results are bitwise identical for any number of threads.
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
"""Minimum number of elements per thread for which threads save time."""

_lock = Lock()
_count: int | None = None
_pool: ThreadPoolExecutor | None = None


def get_num_threads() -> int:
    """Return the maximum number of threads of this library's CPU kernels.

    Returns
    -------
    int
        Number set by `set_num_threads`, else by the environment variable OMP_NUM_THREADS, else the
        number of cores available to the process.

    Notes
    -----
    BLAS has a separate setting; see threadpoolctl.
    """
    if _count is not None:
        return _count
    setting = os.environ.get("OMP_NUM_THREADS", "")
    if setting.isdecimal() and int(setting):
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(count: int) -> None:
    """Set the maximum number of threads of this library's CPU kernels.

    Parameters
    ----------
    count : int
        Positive number; 1 computes in the calling thread only.

    Raises
    ------
    ValueError
        If `count` is not positive.

    Notes
    -----
    Results are bitwise identical for any number of threads. BLAS has a separate setting; see
    threadpoolctl.
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
    """Reset the pool in a forked process, which has only the thread that forked."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def for_rows(kernel: Callable[[slice], None], rows: int, elements: int) -> None:
    """Call a kernel for slices that cover all rows, in several threads if this saves time.

    Parameters
    ----------
    kernel : callable
        Function of a slice that computes these rows and writes the results to arrays.
    rows : int
        Number of rows.
    elements : int
        Total number of elements.
    """
    parts = min(elements // MIN_ELEMENTS, rows, get_num_threads())
    if parts < 2:
        kernel(slice(0, rows))
        return
    bounds = [rows * i // parts for i in range(parts + 1)]
    first_part, *other_parts = (slice(a, b) for a, b in pairwise(bounds))
    pending: list[Future[None]] = []
    try:
        pool = run_locked(_lock, partial(_workers, parts - 1))
        pending.extend(pool.submit(copy_context().run, kernel, part) for part in other_parts)
        kernel(first_part)
    finally:
        wait(pending)  # after an exception too, so that no thread writes to the arrays later
    for future in pending:
        future.result()
