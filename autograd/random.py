"""Seeded streams of random numbers, the same on every backend.

The generator is the counter-based Philox4x64-10: its n-th block of four words is a function of the
seed and n only. The state of a stream is therefore two integers, and each device can compute any
part of the stream. Words, integers, uniform numbers and masks are computed on the device where they
are needed. Normal numbers are computed on the host, because logarithms and cosines differ between
libraries.

References
----------
Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

import math
import threading
from functools import partial
from typing import Any

import numpy as np

from . import backend
from .backend import Array, get_default_dtype
from .core.modes import operation_log
from .core.tensor import Tensor
from .runtime.context import Block, ContextVariable, run_locked
from .runtime.deprecation import moved_names


class _Position:
    """The seed of a stream, and the number of its next block."""

    __slots__ = ("block", "seed")

    seed: int
    block: int

    def __init__(self, seed: int = 0, block: int = 0) -> None:
        self.move(seed, block)

    def move(self, seed: int, block: int) -> None:
        """Continue at another block, perhaps of another seed."""
        self.seed, self.block = seed, block

    def advance(self, blocks: int) -> tuple[int, int]:
        """Advance by a number of blocks; return the seed and the number of the first of them."""
        first = self.block
        self.block = first + blocks
        return self.seed, first


Draws = list[list[int]]
"""Blocks that were drawn: runs of consecutive blocks, as [seed, first block, number of blocks]."""


class _RecordedPosition(_Position):
    """A position whose draws are added to `draws`. It moves another position."""

    __slots__ = ("draws", "position")

    def __init__(self, position: _Position, draws: Draws) -> None:
        self.position, self.draws = position, draws
        draws.append([position.seed, position.block, 0])

    @property
    def seed(self) -> int:  # type: ignore[override]
        return self.position.seed

    @property
    def block(self) -> int:  # type: ignore[override]
        return self.position.block

    def move(self, seed: int, block: int) -> None:
        self.position.move(seed, block)

    def advance(self, blocks: int) -> tuple[int, int]:
        seed, first = self.position.advance(blocks)
        run = self.draws[-1]
        if (run[0], run[1] + run[2]) == (seed, first):
            run[2] += blocks
        else:
            self.draws.append([seed, first, blocks])
        return seed, first


class _ReplayedPosition(_Position):
    """A position that repeats recorded draws, whatever moved the recorded position in between."""

    __slots__ = ("remaining", "runs")

    def __init__(self, draws: Draws) -> None:
        self.runs = iter(draws)
        self.seed, self.block, self.remaining = next(self.runs)

    def move(self, seed: int, block: int) -> None:
        pass

    def advance(self, blocks: int) -> tuple[int, int]:
        if blocks and not self.remaining:
            self.seed, self.block, self.remaining = next(self.runs, (self.seed, self.block, 0))
        self.remaining -= blocks
        if self.remaining < 0:
            raise RuntimeError(
                "under checkpointing, the second evaluation drew more random numbers than the "
                "first; the function must be pure, and modules must stay in the same mode"
            )
        return super().advance(blocks)


class Generator:
    """Stream of random numbers.

    Every method that draws numbers advances the stream by whole blocks of four 64-bit words.
    Threads may share a generator.

    Parameters
    ----------
    seed : int, default 0
        Seed from 0 to 2**64 - 1.

    Raises
    ------
    ValueError
        If the seed is out of range.

    Examples
    --------
    >>> generator = ag.Generator(seed=0)
    >>> x = generator.normal((3, 4))
    >>> state = generator.state  # `generator.state = state` repeats the numbers from here on
    """

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._own_position = _Position()
        self.state = {"seed": seed, "block": 0}

    @property
    def _position(self) -> _Position:
        return self._own_position

    @property
    def state(self) -> dict[str, int]:
        """Position in the stream: the integers "seed" and "block". It can be assigned."""
        position = self._position
        return {"seed": position.seed, "block": position.block}

    @state.setter
    def state(self, state: dict[str, int]) -> None:
        seed, block = int(state["seed"]), int(state["block"])
        if not 0 <= seed < 2**64 or not 0 <= block < 2**64:
            raise ValueError(
                f"seed and block must be integers from 0 to 2**64 - 1, got {seed} and {block}"
            )
        self._position.move(seed, block)

    def words(self, count: int, device: str | None = None) -> Array:
        """Draw 64-bit words.

        Parameters
        ----------
        count : int
            Number of words.
        device : str, optional
            By default the default device.

        Returns
        -------
        array of uint64
            Words of shape (count,); an array of the device's backend.
        """
        if operation_log.raw() and (log := operation_log.get()) is not None:
            log.flag("it draws random numbers")
        seed, block = run_locked(self._lock, partial(self._position.advance, -(-count // 4)))
        return backend.get(device).random_words(seed, block, count)

    def _tensor(self, array: Array, shape: Any) -> Tensor:
        return Tensor(array.reshape(shape))

    def uniform(
        self,
        shape: Any = (),
        low: float = 0.0,
        high: float = 1.0,
        dtype: Any = None,
        device: str | None = None,
    ) -> Tensor:
        """Draw numbers uniformly from [low, high).

        Parameters
        ----------
        shape : int or tuple of int, default ()
            Shape of the result.
        low : float, default 0.0
            Lower bound, included.
        high : float, default 1.0
            Upper bound, excluded.
        dtype : dtype_like, optional
            Floating dtype; by default the default dtype.
        device : str, optional
            By default the default device.

        Returns
        -------
        Tensor
            Numbers of the given shape.

        Raises
        ------
        ValueError
            If low > high.
        """
        if not low <= high:
            raise ValueError(f"uniform: low must be <= high, got {low} and {high}")
        dtype = np.dtype(dtype or get_default_dtype())
        words = self.words(_count(shape), device)
        bits = min(53, np.finfo(dtype).nmant + 1)
        unit = (words >> np.uint64(64 - bits)).astype(dtype) * dtype.type(2.0**-bits)
        values = unit * dtype.type(high - low) + dtype.type(low)
        below = np.nextafter(dtype.type(high), dtype.type(low))  # rounding may give `high`
        return self._tensor(backend.of_array(values).xp.minimum(values, below), shape)

    def integers(self, low: int, high: int, shape: Any = (), device: str | None = None) -> Tensor:
        """Draw integers uniformly from low to high - 1.

        Parameters
        ----------
        low : int
            Lower bound, included.
        high : int
            Upper bound, excluded; at most low + 2**31.
        shape : int or tuple of int, default ()
            Shape of the result.
        device : str, optional
            By default the default device.

        Returns
        -------
        Tensor of int64
            Integers of the given shape.

        Raises
        ------
        ValueError
            If the range is empty or too large.
        """
        span = high - low
        if not 0 < span <= 2**31:
            raise ValueError(
                f"integers: bounds must satisfy low < high <= low + 2**31, got {low} and {high}"
            )
        words = self.words(_count(shape), device) >> np.uint64(32)
        values = ((words * np.uint64(span)) >> np.uint64(32)).astype(np.int64) + low
        return self._tensor(values, shape)

    def mask(self, shape: Any, probability: float, device: str | None = None) -> Tensor:
        """Draw booleans that are True with a given probability.

        Parameters
        ----------
        shape : int or tuple of int
            Shape of the result.
        probability : float
            Probability of True, in [0, 1], to a precision of 2**-32.
        device : str, optional
            By default the default device.

        Returns
        -------
        Tensor of bool
            Mask of the given shape.
        """
        count = _count(shape)
        half_words = self.words(-(-count // 2), device).view(np.uint32)[:count]
        if probability >= 1:
            return self._tensor(half_words == half_words, shape)
        return self._tensor(half_words < np.uint32(int(probability * 2**32)), shape)

    def normal(
        self,
        shape: Any = (),
        mean: float = 0.0,
        std: float = 1.0,
        dtype: Any = None,
        device: str | None = None,
    ) -> Tensor:
        """Draw numbers from a normal distribution.

        Parameters
        ----------
        shape : int or tuple of int, default ()
            Shape of the result.
        mean : float, default 0.0
            Mean of the distribution.
        std : float, default 1.0
            Standard deviation.
        dtype : dtype_like, optional
            Floating dtype; by default the default dtype.
        device : str, optional
            By default the default device.

        Returns
        -------
        Tensor
            Numbers of the given shape.

        Notes
        -----
        Uses the Box-Muller transform, on the host in double precision.

        References
        ----------
        Box & Muller 1958, "A note on the generation of random normal deviates".
        """
        count = _count(shape)
        pairs = -(-count // 2)
        unit = self.uniform((2, pairs), dtype=np.float64, device="cpu").data
        radius = np.sqrt(-2 * np.log1p(-unit[0]))
        angle = 2 * math.pi * unit[1]
        values = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]
        host = (values * std + mean).astype(dtype or get_default_dtype())
        return self._tensor(backend.get(device).asarray(host), shape)

    def permutation(self, n: int) -> np.ndarray:
        """Draw a random permutation of 0 to n - 1.

        Parameters
        ----------
        n : int
            Number of elements.

        Returns
        -------
        numpy.ndarray of int64
            Permutation of shape (n,), on the host.
        """
        return np.argsort(backend.get("cpu").to_host(self.words(n, "cpu")), kind="stable")


def _count(shape: Any) -> int:
    return math.prod(shape) if isinstance(shape, (tuple, list)) else int(shape)


class _DefaultGenerator(Generator):
    @property
    def _position(self) -> _Position:
        return _context_position.get() or self._own_position


_context_position: ContextVariable[_Position | None] = ContextVariable(
    "context_position", default=None
)
"""Inside `replay`, `record_draws` and `replay_draws`: a position in the default stream that other
threads do not move.
"""

default_generator: Generator = _DefaultGenerator(0)
"""Stream for initialization and dropout, seeded by `manual_seed`."""


def manual_seed(seed: int) -> None:
    """Restart the default stream from a seed.

    Parameters
    ----------
    seed : int
        Seed from 0 to 2**64 - 1.
    """
    default_generator.state = {"seed": seed, "block": 0}


def get_state() -> dict[str, int]:
    """Return the position in the default stream.

    Returns
    -------
    dict
        Integers "seed" and "block".
    """
    return default_generator.state


def set_state(state: dict[str, int]) -> None:
    """Restore a position in the default stream.

    Parameters
    ----------
    state : dict
        Result of `get_state`.
    """
    default_generator.state = state


def replay(state: dict[str, int]) -> Block[_Position | None]:
    """Return a context manager in which the default stream continues from `state`.

    Outside of the context the position in the default stream does not change.

    Parameters
    ----------
    state : dict
        Result of `get_state`.

    Returns
    -------
    context manager
        Context of the restored position.
    """
    return _context_position.block(_Position(state["seed"], state["block"]))


def record_draws(draws: Draws) -> Block[_Position | None]:
    """Return a context manager that adds all draws from the default stream to `draws`.

    It records the draws of its own thread or async task. Other threads may draw at the same time.
    """
    return _context_position.block(_RecordedPosition(default_generator._position, draws))


def replay_draws(draws: Draws) -> Block[_Position | None]:
    """Return a context manager in which the default stream repeats the draws of `record_draws`.

    Outside of the context the position in the default stream does not change.
    """
    return _context_position.block(_ReplayedPosition(draws))


__getattr__ = moved_names(__name__, {"default": f"{__name__}.default_generator"})
