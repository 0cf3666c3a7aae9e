"""What the numbers of a run depend on: versions, BLAS and its threads, devices."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import autograd as ag

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


def limit_threads(count: int) -> AbstractContextManager[Any]:
    """A context in which matrix products use so many threads.

    A matrix product of several threads waits, spinning, for the slowest of them: on an idle machine
    more threads are somewhat faster, on a busy one they can be many times slower than one.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(limits=count, user_api="blas")
    return limits


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
