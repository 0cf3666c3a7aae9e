"""Environment of a run: versions, BLAS and its threads, devices."""

from __future__ import annotations

import platform
from importlib import metadata

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

import autograd as ag
from autograd.runtime.context import Undo

from .. import __version__


def versions() -> dict[str, str]:
    """Return the versions of all packages that affect results, and the platform."""
    return {
        "tinygrad-rnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "safetensors": metadata.version("safetensors"),
        "machine": platform.platform(),
    }


def blas_threads() -> int:
    """Return the number of threads that NumPy's matrix products use."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=1)


def limit_threads(count: int) -> Undo[None]:
    """Return a context manager that limits BLAS and the CPU kernels of autograd to `count` threads.

    The threads of a matrix product wait for each other in busy loops. More threads are faster on an
    idle machine, but may be much slower than one thread on a busy machine.
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
    """Return a description of each device by name, or the reason why it is not available."""
    descriptions = {}
    for name in ("cpu", "cuda"):
        try:
            descriptions[name] = ag.backend.get(name).describe()
        except ag.backend.DeviceError as error:
            descriptions[name] = f"not available: {error}"
    return descriptions


def _blas() -> str:
    """Return name and version of the BLAS library that NumPy was built with."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"
