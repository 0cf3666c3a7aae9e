"""NumPy, the backend of the device "cpu"."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .base import Array, Backend
from .threads import for_rows

# For each dtype: an x at which exp(x) is finite and sigmoid(x) rounds to 1, and the number 1.
_EXP_LIMITS = {
    np.dtype(name): (np.array(limit, name), np.array(1, name))
    for name, limit in (("longdouble", 11355), ("float16", 11), ("float32", 88), ("float64", 709))
}
_BITS = {np.dtype(f"float{n}"): np.dtype(f"int{n}") for n in (16, 32, 64)}


class NumpyBackend(Backend):
    """NumPy on the CPU."""

    device = "cpu"
    xp = np
    array_type = np.ndarray

    def asarray(self, data: Any, dtype: Any = None) -> Array:
        return np.asarray(data, dtype)

    def to_host(self, array: Array) -> np.ndarray:
        return np.asarray(array)

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        if (
            isinstance(index, np.ndarray)
            and index.dtype.kind in "iu"
            and index.size
            and target.size
        ):
            _add_rows(target, index.reshape(-1), values.reshape(index.size, *target.shape[1:]))
        else:
            np.add.at(target, index, values)

    def random_words(self, key: int, block: int, count: int) -> Array:
        return np.random.Philox(key=key, counter=block).random_raw(count)

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        if (
            type(b) is int
            and b == 0
            and type(a) is type(condition) is np.ndarray
            and a.ndim
            and condition.dtype == bool
            and a.dtype in _BITS
        ):  # np.where branches on every element; a bitwise AND is several times faster
            bits = _BITS[a.dtype]
            return (a.view(bits) & -condition.astype(bits)).view(a.dtype)
        return np.where(condition, a, b)

    def sigmoid(self, x: Array) -> Array:
        if type(x) is not np.ndarray or x.dtype not in _EXP_LIMITS or not x.ndim:
            x = np.asarray(x, np.result_type(x, 0.0))
            return self.sigmoid(x.reshape(-1)).reshape(x.shape)
        limit, one = _EXP_LIMITS[x.dtype]
        y = np.minimum(x, limit)
        np.exp(y, y)
        return np.divide(y, y + one, y)  # exp(x) / (exp(x) + 1)

    def for_rows(self, kernel: Callable[[slice], None], rows: int, columns: int) -> None:
        for_rows(kernel, rows, rows * columns)

    def synchronize(self) -> None:
        """Do nothing: NumPy returns when the work is finished."""

    def memory(self) -> int:
        import resource  # does not exist on Windows

        try:
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * resource.getpagesize()
        except OSError:  # no /proc: the standard library gives only the peak
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak if sys.platform == "darwin" else peak * 1024

    def describe(self) -> str:
        return f"NumPy {np.__version__}"


def _add_rows(target: Array, rows: Array, values: Array) -> None:
    """Scatter-add rows: sort them, sum equal rows and add the sums. Faster than `np.add.at`."""
    rows = rows.astype(np.intp) % len(target)  # negative indices wrap around
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    target[rows[starts]] += np.add.reduceat(values[order], starts, axis=0)
