"""What the engine asks of an array module.

The engine computes through an array module's own functions (`xp.tanh`, `xp.matmul`, ...), which
NumPy and CuPy share. The little in which such modules differ is the interface below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError as AxisError

from .erf import erf

Array = Any
"""An array of some backend. The engine never asks which."""


class DeviceError(RuntimeError):
    """A device that is not there, or arrays of two devices in one operation."""


class Backend(ABC):
    """One array module on one device.

    `device` is its name ("cpu", "cuda:0"), `xp` the array module, `array_type` the class of its
    arrays.
    """

    device: str
    xp: Any
    array_type: type
    wraps_indices = False  # whether arrays of indices out of range wrap around, where NumPy raises
    supports_kernels = False  # whether it has `elementwise_kernel`

    @abstractmethod
    def asarray(self, data: Any, dtype: Any = None) -> Array:
        """`data` (host data, a scalar, or an array of this backend) as an array of this backend."""

    @abstractmethod
    def to_host(self, array: Array) -> np.ndarray:
        """A NumPy array with the same contents; a copy unless it is one already."""

    @abstractmethod
    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        """`target[index] += values`, where repeated indices add up."""

    @abstractmethod
    def random_words(self, key: int, block: int, count: int) -> Array:
        """`count` 64-bit words of the Philox4x64-10 stream `key`, from the given block of 4 words
        on.
        """

    def erf(self, x: Array) -> Array:
        """The error function, element by element, in the dtype that other functions give."""
        x = self.xp.asarray(x)
        dtype = np.result_type(x.dtype, np.float16)
        wide = np.result_type(dtype, np.float32)
        y = erf(self.xp, x.reshape(-1).astype(wide, copy=False))
        return y.astype(dtype, copy=False).reshape(x.shape)[()]

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        """`a` where `condition` holds, else `b`."""
        return self.xp.where(condition, a, b)

    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + exp(-x)), where exp(-x) may be infinite."""
        return 1.0 / (1.0 + self.xp.exp(self.xp.multiply(x, -1.0)))

    def elementwise_kernel(
        self, inputs: str, outputs: str, operation: str, name: str
    ) -> Callable[..., Any]:
        """A function of arrays, inputs and then outputs, that writes into the latter what an
        operation, in CUDA C++, does with one element of each; parameters as in "float32 x, bool y".
        """
        raise NotImplementedError(f"{self.device} has no kernels of its own")

    def for_rows(self, kernel: Callable[[slice], None], rows: int, columns: int) -> None:
        """Call `kernel` for slices that cover all rows of an array; several at a time on a CPU."""
        kernel(slice(0, rows))

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until everything asked of the device so far is done."""

    @abstractmethod
    def memory(self) -> int:
        """Bytes that arrays of this process hold on the device (on the CPU: the resident size)."""

    @abstractmethod
    def describe(self) -> str:
        """One line about the array module and its device, for people."""
