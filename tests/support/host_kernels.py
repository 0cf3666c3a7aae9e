"""Elementwise kernels without a GPU: the text that CuPy would get, compiled as C++ for the host.

The loop around it is as strict as a GPU: it goes over the arrays as they lie in memory, the last
element first, and what it writes into must have the shape and dtype that the text says.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from autograd.compile.kernels import C_TYPES

UNARY = """acos acosh asin asinh atan atanh cbrt ceil cos cosh erf exp exp2 expm1 fabs floor log
log10 log1p log2 rint sin sinh sqrt tan tanh trunc"""
BINARY = "atan2 copysign fmod hypot pow"

# Overloads as CUDA has them. Not from <cmath>, which takes longer to read than all the rest.
PRELUDE = "\n".join(
    [
        "typedef _Float16 float16;",
        *[
            f"static inline {t} {f}({t} x) {{ return __builtin_{f}{end}(x); }}"
            for f in UNARY.split()
            for t, end in (("float", "f"), ("double", ""))
        ],
        *[
            f"static inline {t} {f}({t} x, {t} y) {{ return __builtin_{f}{end}(x, y); }}"
            for f in BINARY.split()
            for t, end in (("float", "f"), ("double", ""))
        ],
    ]
)
FLAGS = [
    *("-O0", "-shared", "-fPIC", "-Werror", "-Wno-overflow"),  # thousands: quick to compile
    "-nostdlib",  # what they call of libm, Python has loaded
    *("-ffp-contract=off", "-fwrapv", "-fno-math-errno"),  # as CUDA computes
]


def parameters(text: str) -> list[tuple[str, str]]:
    """The dtypes and names of "float32 x, bool y"."""
    return [(one.split()[0], one.split()[1]) for one in text.split(",")]


def source(inputs: str, outputs: str, operation: str, name: str) -> str:
    """One function of the number of axes, their lengths, and, array after array, where the first
    element is and how many bytes lie between neighbours."""
    given = [(t, n, f"const {C_TYPES[t]}") for t, n in parameters(inputs)]
    given += [(t, n, C_TYPES[t]) for t, n in parameters(outputs)]
    named = [f"{c} &{n} = *({c} *)at[{i}];" for i, (_, n, c) in enumerate(given)]
    return f"""
extern "C" void {name}(long ndim, const long *shape, char *const *data, const long *strides) {{
    long size = 1;
    for (long axis = 0; axis < ndim; ++axis) size *= shape[axis];
    for (long i = size - 1; i >= 0; --i) {{
        char *at[{len(given)}];
        for (long k = 0; k < {len(given)}; ++k) at[k] = data[k];
        for (long axis = ndim - 1, rest = i; axis >= 0; rest /= shape[axis--])
            for (long k = 0; k < {len(given)}; ++k)
                at[k] += rest % shape[axis] * strides[k * ndim + axis];
        {" ".join(named)}
        {operation}
    }}
}}
"""


FOLDER = Path(tempfile.gettempdir()) / f"elementwise-kernels-{os.getuid()}"


@cache
def library(text: str) -> Any:
    """The functions of this text, from the folder if it has been compiled before."""
    text = PRELUDE + text
    library = FOLDER / f"{hashlib.sha256((text + COMPILER_VERSION).encode()).hexdigest()}.so"
    if not library.exists():
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            made = Path(folder) / "kernel.so"
            command = [str(COMPILER), *FLAGS, "-x", "c++", "-", "-o", str(made), "-lgcc"]
            done = subprocess.run(command, input=text, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{done.stderr}\n{text}")
            made.replace(library)
    return ctypes.CDLL(str(library))


class Kernel:
    """A kernel, compiled when it is first called."""

    def __init__(self, inputs: str, outputs: str, operation: str, name: str) -> None:
        self.text, self.name = source(inputs, outputs, operation, name), name
        self.dtypes = [np.dtype(t) for t, _ in parameters(f"{inputs}, {outputs}")]
        self.inputs = len(parameters(inputs))
        self.beside: list[Kernel] = [self]  # those that are compiled with it, of other names

    def __call__(self, *arrays: np.ndarray) -> None:
        assert len(arrays) == len(self.dtypes)
        shape = np.broadcast_shapes(*[array.shape for array in arrays])
        for array, dtype in zip(arrays, self.dtypes, strict=True):
            if array.dtype != dtype:
                raise TypeError(f"Type is mismatched. {array.dtype} {dtype}")
        for array in arrays[self.inputs :]:
            if array.shape != shape:
                raise ValueError("Out shape is mismatched")
        wide = [np.broadcast_to(array, shape) for array in arrays]
        longs = ctypes.c_long * max(len(shape), 1)
        pointers = (ctypes.c_void_p * len(wide))(*[array.ctypes.data for array in wide])
        strides = (ctypes.c_long * max(len(wide) * len(shape), 1))(
            *[step for array in wide for step in array.strides]
        )
        text = "".join(kernel.text for kernel in self.beside)
        function = getattr(library(text), self.name)
        function(ctypes.c_long(len(shape)), longs(*shape), pointers, strides)


def _found() -> str | None:
    """A compiler that understands the prelude, if there is one."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return None
    command = [compiler, *FLAGS, "-x", "c++", "-", "-o", os.devnull]
    done = subprocess.run(command, input=PRELUDE, capture_output=True, text=True)
    return None if done.returncode else compiler


COMPILER = _found()
COMPILER_VERSION = (
    subprocess.run([COMPILER, "--version"], capture_output=True, text=True).stdout
    if COMPILER
    else ""
)
