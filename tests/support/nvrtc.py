"""NVRTC, CUDA's compiler, which runs without a GPU: `pip install nvidia-cuda-nvrtc-cu12`."""

from __future__ import annotations

import ctypes
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autograd.compile.executors.c_expressions import C_TYPES
from autograd.compile.executors.cuda import FusedKernel

# The definitions that CuPy adds to the text of an elementwise kernel: strided arrays, and the index
# of a thread's element.
PRELUDE = """
struct float16 {
    unsigned short bits;
    __device__ float16(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    __device__ operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
};
struct CIndexer {
    long long size, shape[3], at[3];
    __device__ void set(long long i) {
        for (int axis = 2; axis >= 0; i /= shape[axis--]) at[axis] = i % shape[axis];
    }
};
template <typename T> struct CArray {
    char *data;
    long long strides[3];
    __device__ T &operator[](const long long *at) const {
        long long offset = 0;
        for (int axis = 0; axis < 3; ++axis) offset += at[axis] * strides[axis];
        return *(T *)(data + offset);
    }
};
"""


@cache
def library() -> Any:
    """Load NVRTC from its wheel or from the system; return None if it is not installed."""
    spec = find_spec("nvidia")
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    libraries = [path for folder in folders for path in folder.rglob("libnvrtc.so.*")]
    for path in [*map(str, libraries), "libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]:
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


def source(kernel: FusedKernel) -> str:
    """Return the CUDA function of a kernel."""
    params, names = [], []
    for const, text in (("const ", kernel.inputs), ("", kernel.outputs)):
        for dtype, name in re.findall(r"(\w+) (\w+)", text):
            params.append(f"const CArray<{C_TYPES[dtype]}> _raw_{name}")
            names.append(f"{const}{C_TYPES[dtype]} &{name} = _raw_{name}[_ind.at];")
    return f"""
__global__ void {kernel.name}({", ".join(params)}, CIndexer _ind) {{
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < _ind.size; i += threads) {{
        _ind.set(i);
        {" ".join(names)}
        {kernel.code}
    }}
}}
"""


def compiler_errors(text: str) -> str:
    """Return the error messages of NVRTC for a source text; "" if it compiles."""
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    options = [b"--std=c++17", b"--fmad=false"]
    status = nvrtc.nvrtcCompileProgram(
        program, len(options), (ctypes.c_char_p * len(options))(*options)
    )
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() or f"error {status}" if status else ""
