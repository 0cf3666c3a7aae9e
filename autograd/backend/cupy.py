"""CuPy, the backend of the devices "cuda", "cuda:1" and so on; imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import Array, Backend, DeviceError

_REMEDY = "on a machine with an NVIDIA GPU, `pip install tinygrad-rnn[cuda13]` (or [cuda12])"

# Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). Each thread computes a
# block of four words. Constants and order match NumPy, which increments the counter before use.
_PHILOX = r"""
extern "C" __global__
void philox(unsigned long long key, unsigned long long block, unsigned long long* words,
            long long count) {
    long long thread = (long long)blockDim.x * blockIdx.x + threadIdx.x;
    if (4 * thread >= count) return;
    unsigned long long low = block + 1 + thread;
    unsigned long long c[4] = {low, low <= block ? 1ull : 0ull, 0, 0}, k0 = key, k1 = 0;
    for (int round = 0; round < 10; ++round) {
        unsigned long long a = 0xD2E7470EE14C6C93ull, b = 0xCA5A826395121157ull;
        unsigned long long high0 = __umul64hi(a, c[0]), low0 = a * c[0];
        unsigned long long high1 = __umul64hi(b, c[2]), low1 = b * c[2];
        c[0] = high1 ^ c[1] ^ k0; c[1] = low1; c[2] = high0 ^ c[3] ^ k1; c[3] = low0;
        k0 += 0x9E3779B97F4A7C15ull; k1 += 0xBB67AE8584CAA73Bull;
    }
    for (int i = 0; i < 4 && 4 * thread + i < count; ++i) words[4 * thread + i] = c[i];
}
"""


def _to_int64(index: Any) -> Any:
    """Cast an index array to int64: CuPy wraps negative indices in the dtype of the array."""
    is_narrow = getattr(index, "ndim", 0) and index.dtype.kind in "iu" and index.dtype.itemsize < 8
    return index.astype(np.int64) if is_narrow else index


class CupyBackend(Backend):
    """CuPy on one CUDA device.

    Parameters
    ----------
    index : int, default 0
        Index of the device.

    Raises
    ------
    DeviceError
        If CuPy cannot be imported, or if there is no GPU of this index.
    """

    wraps_indices = True
    supports_kernels = True

    def __init__(self, index: int = 0) -> None:
        try:
            import cupy

            devices = cupy.cuda.runtime.getDeviceCount()
        except ImportError as error:
            raise DeviceError(
                f"device 'cuda' needs CuPy, which cannot be imported ({error}): {_REMEDY}"
            ) from error
        except Exception as error:  # no driver or no GPU: the class depends on CuPy's version
            raise DeviceError(
                f"device 'cuda' needs a working NVIDIA GPU ({error}): {_REMEDY}"
            ) from error
        if index >= devices:
            raise DeviceError(
                f"device 'cuda:{index}' does not exist: this machine has {devices} CUDA device(s)"
            )
        self.device = f"cuda:{index}"
        self.xp = cupy
        self.array_type = cupy.ndarray
        self._device = cupy.cuda.Device(index)
        self._philox = cupy.RawKernel(_PHILOX, "philox")

    def asarray(self, data: Any, dtype: Any = None) -> Array:
        with self._device:
            return self.xp.asarray(data, dtype)

    def to_host(self, array: Array) -> np.ndarray:
        host: np.ndarray = self.xp.asnumpy(array)
        return host

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        parts = index if isinstance(index, tuple) else (index,)
        self.xp.add.at(target, tuple(map(_to_int64, parts)), values)

    def random_words(self, key: int, block: int, count: int) -> Array:
        with self._device:
            words = self.xp.empty(count, np.uint64)
            if count:
                threads = -(-count // 4)
                grid = (-(-threads // 128),)
                self._philox(
                    grid, (128,), (np.uint64(key), np.uint64(block), words, np.int64(count))
                )
            return words

    def erf(self, x: Array) -> Array:
        from cupyx.scipy.special import erf

        return erf(x).astype(np.result_type(x.dtype, np.float16), copy=False)  # CuPy: float64

    def elementwise_kernel(
        self, inputs: str, outputs: str, operation: str, name: str
    ) -> Callable[..., Any]:
        # Without fused multiply-add each operation is rounded as in separate calls: x * x - y * y
        # is 0 for equal x and y, and its square root is not nan.
        kernel: Callable[..., Any] = self.xp.ElementwiseKernel(
            inputs, outputs, operation, name, no_return=True, options=("--fmad=false",)
        )
        return kernel

    def synchronize(self) -> None:
        self._device.synchronize()

    def memory(self) -> int:
        with self._device:
            return int(self.xp.get_default_memory_pool().used_bytes())

    def describe(self) -> str:
        name = self.xp.cuda.runtime.getDeviceProperties(self._device.id)["name"].decode()
        return f"CuPy {self.xp.__version__} on {name}"
