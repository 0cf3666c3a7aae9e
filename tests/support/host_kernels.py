"""Elementwise kernels without a GPU: the source text for CuPy, compiled as C++ for the host.

The loop reads and writes the arrays in place, from the last element to the first, so that a kernel
that depends on the order of elements fails. Outputs must have the declared shape and dtype.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from autograd.compile.executors.c_expressions import C_TYPES

UNARY = """acos acosh asin asinh atan atanh cbrt ceil cos cosh erf exp exp2 expm1 fabs floor log
log10 log1p log2 rint sin sinh sqrt tan tanh trunc"""
BINARY = "atan2 copysign fmod hypot pow"

# The overloads of CUDA, without <cmath>, which would dominate the time of compilation.
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
    *("-O0", "-shared", "-fPIC", "-Werror", "-Wno-overflow"),  # thousands of kernels: compile fast
    "-nostdlib",  # Python has loaded libm
    *("-ffp-contract=off", "-fwrapv", "-fno-math-errno"),  # the semantics of CUDA
]


def parameters(text: str) -> list[tuple[str, str]]:
    """Return the dtypes and names of parameters such as "float32 x, bool y"."""
    return [(one.split()[0], one.split()[1]) for one in text.split(",")]


def source(inputs: str, outputs: str, operation: str, name: str) -> str:
    """Return the code of one function.

    Its arguments are the number of axes, their lengths, the addresses of the first elements of the
    arrays, and their strides in bytes.
    """
    typed = [(t, n, f"const {C_TYPES[t]}") for t, n in parameters(inputs)]
    typed += [(t, n, C_TYPES[t]) for t, n in parameters(outputs)]
    references = [f"{c} &{n} = *({c} *)at[{i}];" for i, (_, n, c) in enumerate(typed)]
    return f"""
extern "C" void {name}(long ndim, const long *shape, char *const *data, const long *strides) {{
    long size = 1;
    for (long axis = 0; axis < ndim; ++axis) size *= shape[axis];
    for (long i = size - 1; i >= 0; --i) {{
        char *at[{len(typed)}];
        for (long k = 0; k < {len(typed)}; ++k) at[k] = data[k];
        for (long axis = ndim - 1, rest = i; axis >= 0; rest /= shape[axis--])
            for (long k = 0; k < {len(typed)}; ++k)
                at[k] += rest % shape[axis] * strides[k * ndim + axis];
        {" ".join(references)}
        {operation}
    }}
}}
"""


FOLDER = Path(tempfile.gettempdir()) / f"elementwise-kernels-{os.getuid()}"

_uncompiled: dict[str, str] = {}  # the code of kernels that exist, by the names of their functions
_functions: dict[str, Any] = {}


def function_of(name: str) -> Any:
    """Return a compiled function, from this process or from the cache in FOLDER.

    Otherwise, all kernels that are not compiled yet are compiled together: a compiler takes longer
    to start than to compile one of them.
    """
    if name not in _functions:
        library = FOLDER / f"{name}.so"
        if not library.exists():
            compile_all(dict(_uncompiled))
        _functions[name] = getattr(ctypes.CDLL(str(library)), name)
        _uncompiled.pop(name, None)
    return _functions[name]


def compile_all(kernels: dict[str, str]) -> None:
    """Compile functions into one library, with a link in FOLDER for each of them."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    text = PRELUDE + "".join(kernels.values())
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        library = Path(folder) / "kernels.so"
        command = [str(COMPILER), *FLAGS, "-x", "c++", "-", "-o", str(library), "-lgcc"]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{done.stderr}\n{text}")
        for name in kernels:
            link = Path(folder) / name
            link.hardlink_to(library)
            link.replace(FOLDER / f"{name}.so")
            _uncompiled.pop(name, None)


class Kernel:
    """A kernel, compiled when it is first called, together with all kernels that exist then."""

    def __init__(self, inputs: str, outputs: str, operation: str, name: str) -> None:
        key = "\n".join([PRELUDE, COMPILER_VERSION, inputs, outputs, operation])
        self.name = f"{name}_{hashlib.sha256(key.encode()).hexdigest()}"
        if self.name not in _functions:
            _uncompiled[self.name] = source(inputs, outputs, operation, self.name)
        self.dtypes = [np.dtype(t) for t, _ in parameters(f"{inputs}, {outputs}")]
        self.inputs = len(parameters(inputs))

    def __call__(self, *arrays: np.ndarray) -> None:
        assert len(arrays) == len(self.dtypes)
        shape = np.broadcast_shapes(*[array.shape for array in arrays])
        for array, dtype in zip(arrays, self.dtypes, strict=True):
            if array.dtype != dtype:
                raise TypeError(f"Type is mismatched. {array.dtype} {dtype}")
        for array in arrays[self.inputs :]:
            if array.shape != shape:
                raise ValueError("Out shape is mismatched")
        operands = [np.broadcast_to(array, shape) for array in arrays]
        longs = ctypes.c_long * max(len(shape), 1)
        pointers = (ctypes.c_void_p * len(operands))(*[array.ctypes.data for array in operands])
        strides = (ctypes.c_long * max(len(operands) * len(shape), 1))(
            *[step for array in operands for step in array.strides]
        )
        function = function_of(self.name)
        function(ctypes.c_long(len(shape)), longs(*shape), pointers, strides)


def _find_compiler() -> str | None:
    """Return a compiler that accepts the prelude, or None."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return None
    command = [compiler, *FLAGS, "-x", "c++", "-", "-o", os.devnull]
    process = subprocess.run(command, input=PRELUDE, capture_output=True, text=True)
    return None if process.returncode else compiler


COMPILER = _find_compiler()
COMPILER_VERSION = (
    subprocess.run([COMPILER, "--version"], capture_output=True, text=True).stdout
    if COMPILER
    else ""
)
