"""Fused kernels as CUDA C++, in the form that `cupy.ElementwiseKernel` takes.

CuPy generates the loop over the elements, which handles strides and broadcasting, and compiles it
at the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import backend
from ...core.primitive import Primitive
from ..ir import Op, Value
from .c_expressions import statement


class FusedKernel(Primitive):
    """Elementwise operations of one shape as one kernel.

    Attributes
    ----------
    ops : list of Op
        The operations in the order of execution.
    inputs, outputs : str
        Dtypes and names of the parameters.
    code : str
        Statements that compute one element.
    """

    def __init__(
        self, name: str, ops: list[Op], inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> None:
        super().__init__(name, _no_forward, [], {})
        self.pointwise = True
        self.ops = ops
        self.inputs = ", ".join(f"{v.dtype.name} {v}" for v in inputs)
        self.outputs = ", ".join(f"{v.dtype.name} out{v.number}" for v in outputs)
        # An output may share memory with an input, so results are assigned at the end.
        statements = [*map(str, map(statement, ops)), *[f"out{v.number} = {v};" for v in outputs]]
        self.code = "\n".join(statements)

    def on(self, array_backend: backend.Backend) -> Callable[..., Any]:
        """Return the kernel as a function of its input and output arrays."""
        return array_backend.elementwise_kernel(self.inputs, self.outputs, self.code, self.name)

    def __str__(self) -> str:
        lines = [f"{self.name}({self.inputs})", f"-> {self.outputs}", *self.code.split("\n")]
        return "\n    ".join(lines)

    def __repr__(self) -> str:
        signature = f"{self.name}({self.inputs}) -> {self.outputs}"
        return f"FusedKernel({signature}, {len(self.ops)} operations)"


def _no_forward(xp: Any) -> None:
    """Executors call the kernel instead."""
