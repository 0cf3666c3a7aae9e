"""Seeded random streams that give the same numbers on every backend.

A stream is the counter-based generator Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers:
as easy as 1, 2, 3"): its n-th block of four words is a function of the seed and of n alone. So a
state is two integers, and a device can make any part of the stream by itself. Words, integers,
uniforms and masks are made where they are wanted; normals are made on the host, since logarithms
and cosines differ between libraries.
"""

from __future__ import annotations

import math
import threading
from functools import partial
from typing import Any

import numpy as np

from . import backend
from .backend import Array, get_default_dtype
from .core.tensor import Tensor
from .runtime.context import Block, ContextVariable, run_locked
from .runtime.deprecation import moved_names


class _Position:
    """The seed of a stream, and the number of its next block."""

    __slots__ = ("block", "seed")

    seed: int
    block: int

    def advance(self, blocks: int) -> int:
        """Take some blocks; return the number of the first."""
        first = self.block
        self.block = first + blocks
        return first


class Generator:
    """A stream of random numbers. Each draw takes whole blocks of four 64-bit words."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._own = _Position()
        self.state = {"seed": seed, "block": 0}

    @property
    def _position(self) -> _Position:
        return self._own

    @property
    def state(self) -> dict[str, int]:
        """Where the stream stands: {"seed", "block"}, two integers. Assign it to go back there."""
        position = self._position
        return {"seed": position.seed, "block": position.block}

    @state.setter
    def state(self, state: dict[str, int]) -> None:
        seed, block = int(state["seed"]), int(state["block"])
        if not 0 <= seed < 2**64 or not 0 <= block < 2**64:
            raise ValueError(
                f"seed and block are integers from 0 to 2**64 - 1, not {seed} and {block}"
            )
        position = self._position
        position.seed, position.block = seed, block

    def words(self, count: int, device: str | None = None) -> Array:
        """The next `count` 64-bit words, as an unsigned array on the device."""
        position = self._position
        block = run_locked(self._lock, partial(position.advance, -(-count // 4)))
        return backend.get(device).random_words(position.seed, block, count)

    def _array(self, array: Array, shape: Any) -> Tensor:
        return Tensor(array.reshape(shape))

    def uniform(
        self,
        shape: Any = (),
        low: float = 0.0,
        high: float = 1.0,
        dtype: Any = None,
        device: str | None = None,
    ) -> Tensor:
        """Uniform numbers from [low, high)."""
        if not low <= high:
            raise ValueError(f"uniform: need low <= high, not {low} and {high}")
        dtype = np.dtype(dtype or get_default_dtype())
        words = self.words(_count(shape), device)
        bits = min(53, np.finfo(dtype).nmant + 1)
        unit = (words >> np.uint64(64 - bits)).astype(dtype) * dtype.type(2.0**-bits)
        values = unit * dtype.type(high - low) + dtype.type(low)
        below = np.nextafter(dtype.type(high), dtype.type(low))  # rounding may have reached `high`
        return self._array(backend.of_array(values).xp.minimum(values, below), shape)

    def integers(self, low: int, high: int, shape: Any = (), device: str | None = None) -> Tensor:
        """Integers from low to high - 1 (int64); the span may be up to 2**31."""
        span = high - low
        if not 0 < span <= 2**31:
            raise ValueError(f"integers: need low < high <= low + 2**31, not {low} and {high}")
        words = self.words(_count(shape), device) >> np.uint64(32)
        return self._array(
            ((words * np.uint64(span)) >> np.uint64(32)).astype(np.int64) + low, shape
        )

    def mask(self, shape: Any, probability: float, device: str | None = None) -> Tensor:
        """Booleans that are True with the given probability (to 2**-32), each from half a word."""
        count = _count(shape)
        halves = self.words(-(-count // 2), device).view(np.uint32)[:count]
        if probability >= 1:
            return self._array(halves == halves, shape)
        return self._array(halves < np.uint32(int(probability * 2**32)), shape)

    def normal(
        self,
        shape: Any = (),
        mean: float = 0.0,
        std: float = 1.0,
        dtype: Any = None,
        device: str | None = None,
    ) -> Tensor:
        """Normal numbers (Box & Muller 1958), made on the host in double precision."""
        count = _count(shape)
        pairs = -(-count // 2)
        unit = self.uniform((2, pairs), dtype=np.float64, device="cpu").data
        radius = np.sqrt(-2 * np.log1p(-unit[0]))
        angle = 2 * math.pi * unit[1]
        values = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]
        host = (values * std + mean).astype(dtype or get_default_dtype())
        return self._array(backend.get(device).asarray(host), shape)

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0 to n - 1 in random order, on the host."""
        return np.argsort(backend.get("cpu").to_host(self.words(n, "cpu")), kind="stable")


def _count(shape: Any) -> int:
    return math.prod(shape) if isinstance(shape, (tuple, list)) else int(shape)


class _Default(Generator):
    @property
    def _position(self) -> _Position:
        return _replayed.get() or self._own


_replayed: ContextVariable[_Position | None] = ContextVariable("replayed", default=None)

default_generator: Generator = _Default(0)
"""The stream of initialisation and dropout, seeded by `manual_seed`."""


def manual_seed(seed: int) -> None:
    """Start the default stream anew."""
    default_generator.state = {"seed": seed, "block": 0}


def get_state() -> dict[str, int]:
    """Where the default stream stands."""
    return default_generator.state


def replay(state: dict[str, int]) -> Block[_Position | None]:
    """A context manager in whose block the default stream continues from `state`. Outside of it the
    stream stays where it was.
    """
    position = _Position()
    position.seed, position.block = state["seed"], state["block"]
    return _replayed.block(position)


def set_state(state: dict[str, int]) -> None:
    """Put the default stream back to a state of `get_state`."""
    default_generator.state = state


__getattr__ = moved_names(__name__, {"default": f"{__name__}.default_generator"})
