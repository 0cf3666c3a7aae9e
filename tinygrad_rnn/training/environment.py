"""What the numbers of a run depend on besides its options: versions, BLAS, threads, devices."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import numpy as np

import autograd as ag

from .. import __version__


def versions() -> dict[str, str]:
    """Versions of everything that computes or writes, and the number of BLAS threads."""
    return {
        "tinygrad-rnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "threads": str(blas_threads()),
        "safetensors": metadata.version("safetensors"),
        "machine": platform.platform(),
    }


def blas_threads() -> int:
    """Threads that NumPy's matrix products use: what the environment asks for, else every core."""
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(variable, "").isdecimal():
            return int(os.environ[variable])
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


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
