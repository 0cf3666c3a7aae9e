"""Variables that have a value inside a `with` block, per thread and per async task.

Ctrl-C may arrive between any two instructions, so a block that must undo a change at its end can
always fail to do so. Here, nothing is undone. `ContextVariable.get` asks instead whether the block
is still open, and a block is open as long as its `__exit__` is referenced: the `with` statement
looks `__exit__` up before it calls `__enter__`, and drops it when the block ends for any reason.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class ContextVariable(Generic[T]):
    """A variable whose value depends on the open blocks.

    `raw()` is faster than `get()`, but only the truth value of its result is meaningful.
    """

    __slots__ = ("raw", "set")

    def __init__(self, name: str, default: T) -> None:
        context: ContextVar[Any] = ContextVar(name, default=default)
        self.raw, self.set = context.get, context.set

    def get(self) -> T:
        """Return the value in the innermost open block, or the default."""
        current = self.innermost()
        is_set = type(current) is Setting
        return current.block.value if is_set else current  # type: ignore[no-any-return]

    def innermost(self) -> Any:
        """Return the setting of the innermost open block, or the default; drop closed ones."""
        current = self.raw()
        if type(current) is Setting and current.exit() is None:
            while type(current) is Setting and current.exit() is None:
                current = current.outer
            self.set(current)
        return current

    def block(self, value: T) -> Block[T]:
        """Return a context manager that gives the variable a value."""
        return Block(self, value)


class Setting:
    """One entry into a block, with the setting outside it. `exit()` is None after the block."""

    __slots__ = ("__weakref__", "block", "exit", "opened", "outer")

    exit: Callable[[], Any]

    def __init__(self, block: Block[Any]) -> None:
        self.block, self.outer, self.opened = block, None, False

    def __bool__(self) -> bool:
        return bool(self.block.variable.get() if self.exit() is None else self.block.value)


def _ended() -> None:
    """The `exit` of a block that has ended."""


class _PendingSettings(threading.local):
    """The settings whose `__exit__` was looked up and whose `__enter__` was not called yet."""

    def __init__(self) -> None:
        self.settings: list[Setting] = []


_pending = _PendingSettings()


class _Exit(property):
    """The `__exit__` of a context manager: each lookup returns a new function."""

    def __call__(self, block: Any, *exception: Any) -> None:
        block.end()


class Block(Generic[T]):
    """Context manager in which a variable has a value.

    It also decorates functions, coroutines and generators. One object can be used in several
    threads, and inside its own block. A block may end in another thread or task than it began in.
    Tasks that start in a block share it until it ends.
    """

    def __init__(self, variable: ContextVariable[T], value: T) -> None:
        self.variable, self.value = variable, value
        self._entered_by_call: list[Setting] = []  # without `with`, for example by an ExitStack

    def __enter__(self) -> None:
        settings = _pending.settings
        while settings:
            setting = settings.pop()
            if setting.block is self and setting.exit() is not None:
                break
        else:
            setting = Setting(self)
            setting.exit = object  # never returns None
            self._entered_by_call.append(setting)
        self._opening(setting)
        setting.outer, setting.opened = self.variable.innermost(), True
        # `end` finds blocks entered by a call through the variable.
        if setting.outer is not self.value or setting.exit is object:
            self.variable.set(setting)

    def exit_function(self) -> Callable[..., None]:
        """Return the function that the `with` statement refers to while its block is open."""
        setting = Setting(self)
        leave = functools.partial(_leave, setting)
        setting.exit = weakref.ref(leave)
        _pending.settings.append(setting)
        return leave

    __exit__: Any = _Exit(exit_function)

    def end(self, *exception: Any) -> None:
        """End the innermost block that was entered without `with` in this thread or task.

        If there is none, end the newest block.
        """
        current = self.variable.raw()
        while type(current) is Setting and current not in self._entered_by_call:
            current = current.outer
        if not self._entered_by_call:
            raise RuntimeError(f"{type(self).__name__}: __exit__ was called without __enter__")
        setting = current if type(current) is Setting else self._entered_by_call[-1]
        self._entered_by_call.remove(setting)
        self._close(setting)

    def _close(self, setting: Setting) -> None:
        setting.exit = _ended
        self.variable.innermost()
        self._closed()

    def _opening(self, setting: Setting) -> None:
        """Called before the variable is set."""

    def _closed(self) -> None:
        """Called when a block has ended, unless that is interrupted."""

    def __call__(self, function: F) -> F:
        """Return `function`, decorated to run in this context."""
        code = function if inspect.isroutine(function) else type(function).__call__
        code = function if isinstance(function, functools.partial) else code
        if inspect.isgeneratorfunction(code):
            run = _generator(self, function)
        elif inspect.isasyncgenfunction(code):
            run = _async_generator(self, function)
        elif inspect.iscoroutinefunction(code):
            run = _coroutine(self, function)
        else:
            run = _function(self, function)
        return functools.wraps(function)(run)  # type: ignore[return-value]


def _leave(setting: Setting, *exception: Any) -> None:
    """End a block.

    If this is interrupted, the caller drops the only reference to this function, which also ends
    the block.
    """
    if setting.opened:
        setting.block._close(setting)
    else:
        setting.block.end()


class Undo(Generic[T]):
    """Context manager for state outside this package, such as signal handlers.

    It returns `do()` at the start, and calls `undo()` at least once at the end, even if Ctrl-C
    interrupts `do` or `undo`.
    """

    def __init__(self, do: Callable[[], T], undo: Callable[[], object]) -> None:
        self._do, self._undo, self._done = do, undo, False
        self._dropped: weakref.ref[Any] | None = None

    def __enter__(self) -> T:
        self._done = False
        return self._do()

    def exit_function(self) -> Callable[..., None]:
        """Return the `__exit__` of one block; `undo` also runs when the block drops it."""
        leave = functools.partial(self.end)
        self._dropped = weakref.ref(leave, self.end)
        return leave

    __exit__: Any = _Exit(exit_function)

    def end(self, *exception: Any) -> None:
        if not self._done:
            self._undo()
            self._done, self._dropped = True, None


def contextmanager(function: Callable[P, Iterator[T]]) -> Callable[P, Undo[T]]:
    """Decorate a generator function as a context manager, like `contextlib.contextmanager`.

    The generator is closed at the end even if Ctrl-C interrupts the block, so that blocks inside
    the generator end as well. It does not receive exceptions of the `with` block.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Undo[T]:
        generator: Any = function(*args, **kwargs)
        return Undo(generator.__next__, generator.close)

    return run


def run_locked(lock: Any, function: Callable[[], R]) -> R:
    """Call a function while holding a lock.

    Everything is on one line, so an interrupt between two lines cannot leave the lock locked.
    """
    with lock: return function()  # fmt: skip # noqa: E701


# --- decorators: the block of a generator is open only while its code runs ------------------------


def _function(block: Block[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with block:
            return function(*args, **kwargs)

    return run


def _coroutine(block: Block[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        with block:
            return await function(*args, **kwargs)

    return run


def _generator(block: Block[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        resume: Callable[[], Any] = generator.__next__
        while True:
            try:
                with block:
                    value = resume()
            except StopIteration as stop:
                return stop.value
            try:
                resume = functools.partial(generator.send, (yield value))
            except BaseException as error:
                resume = functools.partial(generator.throw, error)

    return run


def _async_generator(block: Block[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        generator = function(*args, **kwargs)
        resume: Callable[[], Any] = generator.__anext__
        while True:
            try:
                with block:
                    value = await resume()
            except StopAsyncIteration:
                return
            try:
                resume = functools.partial(generator.asend, (yield value))
            except BaseException as error:
                resume = functools.partial(generator.athrow, error)

    return run
