"""Snapshots of the Python state that a step can reach, which tracing must leave unchanged."""

from __future__ import annotations

import _random
import ctypes
import dis
import functools
import io
import pickle
import random as python_random
import types
from collections import deque
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any

import numpy as np

from .. import random
from ..core.tensor import Tensor
from .program import NUMBERS, Untraceable

MOST = 10_000
"""So many objects are watched; large collections without what is in them."""

LARGE = 1_000

MT19937 = 625 * 4
"""Bytes of the state of NumPy's Mersenne Twister: 624 words, and which is next."""

NOTHING = (
    *(Tensor, str, bytes, *NUMBERS, types.NoneType, np.generic, np.dtype, io.IOBase),
    *(type, types.ModuleType, types.CodeType, types.BuiltinFunctionType),
)
"""Types without state that calls of a step could change unnoticed."""

UNSET: Any = object()


class Untouched:
    """The state that functions can reach (their closures, globals, the objects they are methods of,
    what these hold), so that it can be compared and restored.

    `codes` are the code objects of all functions: with the state, they determine the behavior.
    Raise Untraceable if they hold something that cannot be restored, an iterator, or too much.
    """

    def __init__(self, functions: Iterable[Any]) -> None:
        self.codes: list[types.CodeType] = []
        self._saved: list[tuple[Any, list[Any]]] = []
        self._streams: list[tuple[Any, Callable[[], Any], Callable[[Any], None]]] = []
        self._arrays: list[Any] = []
        self._seen: set[int] = set()
        self._stream(random.get_state, random.set_state)
        self._stream(*_memory_stream())
        self._todo = list(functions)
        while self._todo:
            x = self._todo.pop()
            kind: Any = type(x)
            if not _is_nothing(kind) and id(x) not in self._seen:
                self._seen.add(id(x))
                self._meet(x)
                if len(self._seen) > MOST:
                    raise Untraceable(f"it can reach more than {MOST} Python objects")

    def _meet(self, x: Any) -> None:
        if isinstance(x, (dict, list, set, deque, types.CellType, _Globals)):
            self._save(x, _held(x))
        elif isinstance(x, (tuple, frozenset)):
            self._todo += x if len(x) <= LARGE else ()
        elif isinstance(x, types.FunctionType):
            if not hasattr(x, "primitive"):  # an operation, and nothing else
                self.codes.append(x.__code__)
                self._todo += [x.__closure__, x.__defaults__, x.__kwdefaults__, vars(x)]
                self._todo += _globals(x)
        elif isinstance(x, types.MethodType):
            self._todo += [x.__self__, x.__func__]
        elif isinstance(x, functools.partial):
            self._todo += [x.func, x.args, x.keywords]
        elif isinstance(x, python_random.Random):
            self._stream(x.getstate, x.setstate)
        elif isinstance(x, (np.random.Generator, np.random.RandomState)):
            self._stream(*_numpy_stream(x))
        elif hasattr(x, "__next__"):
            raise Untraceable("it changes the state of Python objects: it can reach an iterator")
        elif hasattr(x, "dtype"):
            self._arrays.append(x)
        else:
            kind: Any = type(x)
            self._todo += _of_class(kind)
            if hasattr(x, "__dict__"):
                self._todo.append(vars(x))
            if _slots(kind):
                self._save(x, _held(x))

    def _save(self, x: Any, held: list[Any]) -> None:
        self._saved.append((x, held))
        if len(held) <= LARGE:
            self._todo += x.values() if isinstance(x, dict) else held

    def _stream(self, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self._streams.append((read(), read, write))

    def look_closer(self) -> None:
        """Watch what costs time, too: arrays. Not more than once or twice for the same codes."""
        for array in self._arrays:
            self._streams.append((_Contents(array), *_array_stream(array)))

    def put_back(self) -> str:
        """Restore the state, and describe the changes."""
        changed = ""
        for x, held in self._saved:
            now = _held(x)
            if len(now) != len(held) or not all(map(is_, now, held)):
                changed = "it changes the state of Python objects"
                _put_back(x, held)
        for before, read, write in self._streams:
            if before != read():
                drawn = not isinstance(before, _Contents)
                changed = "it draws random numbers" if drawn else "it writes into an array"
                write(before)
        return changed


class _Globals:
    """Global variables that a function assigns to."""

    def __init__(self, names: Iterable[str], variables: dict[str, Any]) -> None:
        self.names, self.variables = names, variables


def _globals(function: types.FunctionType) -> list[Any]:
    """Return the variables that a function may change; of other modules, only non-functions."""
    read, assigned = _names(function.__code__)
    variables = function.__globals__
    found: list[Any] = [_Globals(assigned, variables)] if assigned else []
    for name in read:
        x = variables.get(name)
        if not isinstance(x, types.FunctionType) or x.__module__ == function.__module__:
            found.append(x)
    return found


@functools.lru_cache(1000)
def _names(code: types.CodeType) -> tuple[list[str], list[str]]:
    """The global names that code may read, and those that it assigns to."""
    read, assigned = list(code.co_names), list[str]()
    assigning = "STORE_GLOBAL", "DELETE_GLOBAL"
    assigned += [i.argval for i in dis.get_instructions(code) if i.opname in assigning]
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more = _names(inner)
            read, assigned = read + more[0], assigned + more[1]
    return read, assigned


def _held(x: Any) -> list[Any]:
    """Return the mutable state of a collection as a list of objects."""
    if isinstance(x, dict):
        return [*x, *x.values()]
    if isinstance(x, types.CellType):
        try:
            return [x.cell_contents]
        except ValueError:
            return []
    if isinstance(x, _Globals):
        return [x.variables.get(name, UNSET) for name in x.names]
    if isinstance(x, (list, set, deque)):
        return list(x)
    kind: Any = type(x)
    return [getattr(x, name, UNSET) for name in _slots(kind)]


def _put_back(x: Any, held: list[Any]) -> None:
    if isinstance(x, dict):
        x.clear()
        n = len(held) // 2
        x.update(zip(held[:n], held[n:], strict=True))
    elif isinstance(x, types.CellType):
        if held:
            x.cell_contents = held[0]
        else:
            del x.cell_contents
    elif isinstance(x, _Globals):
        for name, value in zip(x.names, held, strict=True):
            if value is UNSET:
                x.variables.pop(name, None)
            else:
                x.variables[name] = value
    elif isinstance(x, (list, set, deque)):
        x.clear()
        x.update(held) if isinstance(x, set) else x.extend(held)
    else:
        kind: Any = type(x)
        for name, value in zip(_slots(kind), held, strict=True):
            if value is not UNSET:
                setattr(x, name, value)
            elif hasattr(x, name):
                delattr(x, name)


@functools.lru_cache(1000)
def _is_nothing(kind: Any) -> bool:
    return issubclass(kind, NOTHING)


@functools.lru_cache(1000)
def _slots(kind: Any) -> list[str]:
    """The names of attributes that are not in `__dict__`, of classes written in Python."""
    slots = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    names = [name for some in slots for name in ([some] if isinstance(some, str) else some)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


@functools.lru_cache(1000)
def _of_class(kind: Any) -> list[Any]:
    """Return the closure cells of the methods of a class."""
    methods = [m for base in kind.__mro__ for m in vars(base).values()]
    return [cell for m in methods for cell in getattr(m, "__closure__", None) or ()]


def _numpy_stream(generator: Any) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Reading and writing where a generator of NumPy's stands, as bytes."""
    bits = generator.bit_generator if isinstance(generator, np.random.Generator) else None

    def read() -> bytes:
        return pickle.dumps(bits.state if bits else generator.get_state(legacy=False))

    def write(state: bytes) -> None:
        if bits:
            bits.state = pickle.loads(state)
        else:
            generator.set_state(pickle.loads(state))

    return read, write


def _memory_stream() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Return the getter and setter of the memory of the global random streams of Python and NumPy:
    the public functions for their state take as long as the trace of a step.
    """
    python: Any = python_random._inst
    legacy = np.random.mtrand._rand
    bits: Any = legacy._bit_generator
    if not isinstance(bits, np.random.MT19937):  # replaced by another bit generator
        return _numpy_stream(legacy)
    places = [
        _behind_head(python, _random.Random),
        _behind_head(legacy, np.random.RandomState),  # a normal number that is left over
        (bits.ctypes.state_address, MT19937),
    ]
    memory = [(ctypes.c_char * size).from_address(address) for address, size in places]

    def read() -> Any:
        return [*[one.raw for one in memory], python.gauss_next]

    def write(before: Any) -> None:
        if legacy._bit_generator is not bits:
            np.random.mtrand.set_bit_generator(bits)
        *contents, python.gauss_next = before
        for one, content in zip(memory, contents, strict=True):
            one.raw = content

    return read, write


def _behind_head(x: Any, kind: Any) -> tuple[int, int]:
    """Where an object has what a class written in C keeps: the address, and how many bytes."""
    head = object.__basicsize__
    return id(x) + head, kind.__basicsize__ - head


class _Contents:
    """A copy of an array, compared by its values."""

    def __init__(self, array: Any) -> None:
        self.copy = array.copy()

    def __eq__(self, other: object) -> bool:
        a, b = self.copy, other.copy  # type: ignore[attr-defined]
        return bool(((a == b) | (a != a)).all())

    __hash__ = None  # type: ignore[assignment]


def _array_stream(array: Any) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    def write(before: _Contents) -> None:
        array[...] = before.copy

    return lambda: _Contents(array), write
