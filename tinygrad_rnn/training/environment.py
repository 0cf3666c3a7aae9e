"""What the numbers of a run depend on: versions, BLAS and its threads, devices."""

from __future__ import annotations

import platform
from importlib import metadata

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import autograd as ag
from autograd.runtime.context import Undo

from .. import __version__


def versions() -> dict[str, str]:
    """Versions of everything that computes or writes."""
    return {
        "tinygrad-rnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "safetensors": metadata.version("safetensors"),
        "machine": platform.platform(),
    }


def blas_threads() -> int:
    """Threads that NumPy's matrix products use at this moment."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=1)


def limit_threads(count: int) -> Undo[None]:
    """Return a context manager that limits BLAS and the CPU kernels of autograd to `count` threads.

    The threads of a matrix product wait for the slowest of them in a busy loop. On an idle machine
    more threads are faster; on a busy one they can be many times slower than one.
    """

    def limit() -> None:
        ag.set_num_threads(count)
        threadpool_limits(limits=count, user_api="blas")

    pools, threads = threadpool_info(), ag.get_num_threads()

    def restore() -> None:
        threadpool_limits(limits=pools)
        ag.set_num_threads(threads)

    return Undo(limit, restore)


def devices() -> dict[str, str]:
    """Each device by name, and what computes there or why nothing does."""
    found = {}
    for name in ("cpu", "cuda"):
        try:
            found[name] = ag.backend.get(name).describe()
        except ag.backend.DeviceError as error:
            found[name] = f"not available: {error}"
    return found


def _blas() -> str:
    """The name and version of the library that NumPy's matrix products call."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"
