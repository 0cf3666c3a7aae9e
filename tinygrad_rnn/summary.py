"""Short representations of objects that hold arrays or long sequences."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from typing import Any


class _SummaryRepr(reprlib.Repr):
    """Representation of arrays and tensors by shape and dtype, and of other values truncated."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 60, 120

    def repr_ndarray(self, x: Any, level: int) -> str:
        return f"array(shape={x.shape}, dtype={x.dtype})"

    def repr_Tensor(self, x: Any, level: int) -> str:
        return f"tensor(shape={x.shape}, dtype={x.dtype})"

    repr_Parameter = repr_Tensor


_summary_repr = _SummaryRepr()


def summary_repr(self: Any) -> str:
    """Return the representation of a dataclass or named tuple in one line; use it as `__repr__`.

    Arrays and tensors appear by shape and dtype, and long sequences by their first items.
    """
    names = getattr(self, "_fields", None) or [f.name for f in fields(self) if f.repr]
    items = (f"{name}={_summary_repr.repr(getattr(self, name))}" for name in names)
    return f"{type(self).__name__}({', '.join(items)})".replace("\n", " ")
