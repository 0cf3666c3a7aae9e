"""Loop programs for all batch sizes.

Two programs of one step for different batch sizes have the same structure, unless the step depends
on the batch size. Their union is a program in which sizes that are proportional to the batch size
are symbolic. `for_batch` replaces these by integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import backend
from ..core.primitive import Primitive
from .buffers import Buffer
from .ir import Value


@dataclass(frozen=True, slots=True)
class BatchSize:
    """A size that is `factor` times the batch size."""

    factor: int

    def __str__(self) -> str:
        return "B" if self.factor == 1 else f"{self.factor}B"

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Fill:
    """A constant array that has one value everywhere."""

    value: Any
    shape: tuple[Any, ...]
    dtype: np.dtype[Any]


T = TypeVar("T")


class _Mismatch(Exception):
    """The structures of two programs differ."""


def union(first: T, first_size: int, second: T, second_size: int) -> T | None:
    """Return a program, or graphs, for all batch sizes, given the ones for two.

    Returns
    -------
    LoopProgram, or tuple of graphs, or None
        None if they differ in more than sizes proportional to the batch size.
    """
    try:
        return _Union(first_size, second_size).rewrite(first, second)  # type: ignore[no-any-return]
    except _Mismatch:
        return None


def union_of_keys(first: Any, first_size: int, second: Any, second_size: int) -> Any:
    """Return the common key of two nested tuples with a symbolic batch size, or None."""
    try:
        return _Union(first_size, second_size).key(first, second)
    except _Mismatch:
        return None


class BatchAxis(NamedTuple):
    """An axis of a carry or an input whose length is `factor` times the batch size."""

    is_input: bool
    position: int
    axis: int
    factor: int


def batch_axis(carry: Iterable[Buffer], xs: Iterable[Buffer]) -> BatchAxis | None:
    """Return an axis from which to read the batch size; None if no size is symbolic."""
    for is_input, buffers in ((False, carry), (True, xs)):
        for position, buffer in enumerate(buffers):
            for axis, size in enumerate(buffer.shape):
                if isinstance(size, BatchSize):
                    return BatchAxis(is_input, position, axis, size.factor)
    return None


def for_batch(program: T, size: int, array_backend: backend.Backend) -> T:
    """Return the program or graphs for a batch size."""
    return _Substitution(size, array_backend).rewrite(program)  # type: ignore[no-any-return]


class _Rewriter:
    """Rebuilds nested objects. Buffers and values that are identical stay identical."""

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}

    def rewrite_fields(self, x: Any, *others: Any) -> Any:
        values = {f.name: [getattr(y, f.name) for y in (x, *others)] for f in fields(x)}
        return type(x)(**{name: self.rewrite(*items) for name, items in values.items()})

    def rewrite(self, *items: Any) -> Any:
        raise NotImplementedError

    def array(self, *items: Any) -> Any:
        """Return the new buffer or value in place of some."""
        if items not in self.known:
            self.known[items] = self.rewrite_fields(*items)
        return self.known[items]


class _Union(_Rewriter):
    """Combines two programs; raises `_Mismatch` where they differ."""

    def __init__(self, first_size: int, second_size: int) -> None:
        super().__init__()
        self.sizes = first_size, second_size

    def rewrite(self, a: Any, b: Any) -> Any:
        if isinstance(a, Primitive) and isinstance(b, Primitive):
            return self._primitive(a, b)
        if type(a) is not type(b):
            raise _Mismatch
        if type(a) is int:
            return self._size(a, b)
        if isinstance(a, (Buffer, Value)):
            return self.array(a, b)
        if is_dataclass(a):
            return self.rewrite_fields(a, b)
        if isinstance(a, (tuple, list)):
            if len(a) != len(b):
                raise _Mismatch
            return type(a)([self.rewrite(*pair) for pair in zip(a, b, strict=True)])
        if isinstance(a, Mapping):
            if list(a) != list(b):
                raise _Mismatch
            return {key: self.rewrite(a[key], b[key]) for key in a}
        if isinstance(a, slice):
            parts = ((a.start, b.start), (a.stop, b.stop), (a.step, b.step))
            return slice(*[self.rewrite(*pair) for pair in parts])
        if hasattr(a, "shape") and hasattr(a, "dtype") and not isinstance(a, np.generic):
            return self._constant(a, b)
        if repr(a) != repr(b):  # nan equals itself, and 0.0 differs from -0.0
            raise _Mismatch
        return a

    def key(self, a: Any, b: Any) -> Any:
        """Combine two nested tuples."""
        if type(a) is tuple and type(b) is tuple and len(a) == len(b):
            return tuple([self.key(*pair) for pair in zip(a, b, strict=True)])
        if type(a) is int and type(b) is int:
            return self._size(a, b)
        if type(a) is not type(b) or a != b:
            raise _Mismatch
        return a

    def _size(self, a: int, b: int) -> int | BatchSize:
        if a == b:
            return a
        first, second = self.sizes
        factor = a // first
        if factor < 1 or (a, b) != (factor * first, factor * second):
            raise _Mismatch
        return BatchSize(factor)

    def _primitive(self, a: Primitive, b: Primitive) -> Primitive:
        if a is not b and (str(a) != str(b) or not hasattr(a, "on")):
            raise _Mismatch
        return a

    def _constant(self, a: Any, b: Any) -> Any:
        if a.dtype != b.dtype or a.ndim != b.ndim or 0 in (a.size, b.size):
            raise _Mismatch
        if a.shape == b.shape and bool(((a == b) | (a != a) & (b != b)).all()):
            return a
        value = a[(0,) * a.ndim]
        if not bool((a == value).all()) or not bool((b == value).all()):
            raise _Mismatch
        return Fill(value.item(), self.rewrite(a.shape, b.shape), a.dtype)


class _Substitution(_Rewriter):
    """Replaces the symbolic sizes of a program by integers."""

    def __init__(self, size: int, array_backend: backend.Backend) -> None:
        super().__init__()
        self.size, self.xp = size, array_backend.xp

    def rewrite(self, x: Any) -> Any:
        if isinstance(x, BatchSize):
            return x.factor * self.size
        if isinstance(x, (Buffer, Value)):
            return self.array(x)
        if isinstance(x, Fill):
            return self.xp.full(self.rewrite(x.shape), x.value, x.dtype)
        if is_dataclass(x):
            return self.rewrite_fields(x)
        if isinstance(x, (tuple, list)):
            return type(x)([self.rewrite(item) for item in x])
        if isinstance(x, Mapping):
            return {key: self.rewrite(value) for key, value in x.items()}
        if isinstance(x, slice):
            return slice(*[self.rewrite(part) for part in (x.start, x.stop, x.step)])
        return x
