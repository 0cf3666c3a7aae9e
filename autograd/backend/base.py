"""The interface between the engine and an array module.

The engine computes with the functions that NumPy and CuPy share (`xp.tanh`, `xp.matmul` and so on).
`Backend` declares the operations in which array modules differ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError as AxisError

from ..runtime.deprecation import RenamedAttribute, renamed_class_attributes
from .erf import erf

Array = Any
"""An array of any backend."""


class DeviceError(RuntimeError):
    """Raised if a device is not available, or if an operation mixes devices."""


class Backend(ABC):
    """Array module on one device.

    Attributes
    ----------
    device : str
        Name of the device, such as "cpu" or "cuda:0".
    xp : module
        Array module.
    array_type : type
        Class of its arrays.
    wraps_indices : bool
        True if out-of-range entries of index arrays wrap around instead of raising an error.
    supports_kernels : bool
        True if `elementwise_kernel` is implemented.
    """

    device: str
    xp: Any
    array_type: type
    wraps_indices = False
    supports_kernels = False

    wraps = RenamedAttribute("wraps_indices")
    fuses = RenamedAttribute("supports_kernels")
    __init_subclass__ = renamed_class_attributes(wraps="wraps_indices", fuses="supports_kernels")

    @abstractmethod
    def asarray(self, data: Any, dtype: Any = None) -> Array:
        """Convert host data, a scalar, or an array of this backend to an array of this backend.

        Parameters
        ----------
        data : array_like or array
            Data to convert; copied only if necessary.
        dtype : dtype_like, optional
            By default the dtype of the data.

        Returns
        -------
        array
            Array of this backend.
        """

    @abstractmethod
    def to_host(self, array: Array) -> np.ndarray:
        """Convert an array to NumPy.

        Parameters
        ----------
        array : array
            Array of this backend.

        Returns
        -------
        numpy.ndarray
            Array with the same contents; a copy unless the array is a NumPy array.
        """

    @abstractmethod
    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        """Compute `target[index] += values` in place, where repeated indices add up.

        Parameters
        ----------
        target : array
            Array to add to.
        index : index
            Index of `target`.
        values : array
            Values of the shape of `target[index]`.
        """

    @abstractmethod
    def random_words(self, key: int, block: int, count: int) -> Array:
        """Compute 64-bit words of a Philox4x64-10 stream.

        Parameters
        ----------
        key : int
            Seed of the stream.
        block : int
            Number of the first block of 4 words.
        count : int
            Number of words.

        Returns
        -------
        array of uint64
            Words of shape (count,).
        """

    def erf(self, x: Array) -> Array:
        """Compute the error function element by element.

        Parameters
        ----------
        x : array
            Input of any shape.

        Returns
        -------
        array
            Result of the shape of `x`, in the dtype of `xp.tanh(x)`.
        """
        x = self.xp.asarray(x)
        dtype = np.result_type(x.dtype, np.float16)
        wide_dtype = np.result_type(dtype, np.float32)
        y = erf(self.xp, x.reshape(-1).astype(wide_dtype, copy=False))
        return y.astype(dtype, copy=False).reshape(x.shape)[()]

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        """Select elements of `a` where the condition holds, and of `b` elsewhere.

        Parameters
        ----------
        condition : array of bool
            Condition.
        a, b : array or scalar
            Values, of shapes that broadcast with the condition.

        Returns
        -------
        array
            Selected values, of the broadcast shape.
        """
        return self.xp.where(condition, a, b)

    def sigmoid(self, x: Array) -> Array:
        """Compute 1 / (1 + exp(-x)), where exp(-x) may overflow to infinity.

        Parameters
        ----------
        x : array
            Input of any shape.

        Returns
        -------
        array
            Result of the shape of `x`.
        """
        return 1.0 / (1.0 + self.xp.exp(self.xp.multiply(x, -1.0)))

    def elementwise_kernel(
        self, inputs: str, outputs: str, operation: str, name: str
    ) -> Callable[..., Any]:
        """Compile an elementwise operation.

        Parameters
        ----------
        inputs, outputs : str
            Dtypes and names of the parameters, such as "float32 x, bool y".
        operation : str
            Statements in CUDA C++ that assign the outputs of one element.
        name : str
            Name of the kernel.

        Returns
        -------
        callable
            Function of the input and output arrays that writes to the output arrays.

        Raises
        ------
        NotImplementedError
            If the backend does not support kernels.
        """
        raise NotImplementedError(f"the backend of {self.device} does not support kernels")

    def for_rows(self, kernel: Callable[[slice], None], rows: int, columns: int) -> None:
        """Call a kernel for slices that cover all rows of an array, on a CPU in several threads.

        Parameters
        ----------
        kernel : callable
            Function of a slice that computes these rows.
        rows, columns : int
            Shape of the array.
        """
        kernel(slice(0, rows))

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has finished all work."""

    @abstractmethod
    def memory(self) -> int:
        """Return the memory of this process on the device.

        Returns
        -------
        int
            Bytes in arrays; on the CPU the resident set size.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return one line about the array module and the device.

        Returns
        -------
        str
            Description for users.
        """
