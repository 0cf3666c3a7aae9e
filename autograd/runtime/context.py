"""Variables that have a value inside a `with` block, per thread and per async task.

A Ctrl-C may arrive between any two instructions, so a block that has to undo a change when it ends
can always miss it. Here nothing is undone: `Variable.get` asks whether the block is still open. An
open block is one whose `__exit__` is still referenced. The `with` statement looks `__exit__` up
before it calls `__enter__`, and drops it when the block ends, however that comes about.
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
    """A value that blocks change. `raw()` is faster than `get()`: what it returns is the value, or
    something of the same truth.
    """

    __slots__ = ("raw", "set")

    def __init__(self, name: str, default: T) -> None:
        context: ContextVar[Any] = ContextVar(name, default=default)
        self.raw, self.set = context.get, context.set

    def get(self) -> T:
        """The value in the innermost open block, or the default."""
        found = self.innermost()
        return found.block.value if type(found) is Setting else found  # type: ignore[no-any-return]

    def innermost(self) -> Any:
        """The setting of the innermost open block, or the default. Forgets the others."""
        found = self.raw()
        if type(found) is Setting and found.exit() is None:
            while type(found) is Setting and found.exit() is None:
                found = found.outer
            self.set(found)
        return found

    def block(self, value: T) -> Block[T]:
        """A context manager in whose block the variable has this value."""
        return Block(self, value)


class Setting:
    """A block of a variable, and the setting around it. `exit()` is None when the block is over."""

    __slots__ = ("__weakref__", "block", "exit", "opened", "outer")

    exit: Callable[[], Any]

    def __init__(self, block: Block[Any]) -> None:
        self.block, self.outer, self.opened = block, None, False

    def __bool__(self) -> bool:
        return bool(self.block.variable.get() if self.exit() is None else self.block.value)


def _ended() -> None:
    """The `exit` of a block that has ended."""


class _LookedUp(threading.local):
    """The settings of which `__exit__` was looked up, while `__enter__` has yet to be called."""

    def __init__(self) -> None:
        self.settings: list[Setting] = []


_looked_up = _LookedUp()


class _Exit(property):
    """`__exit__`, a new function whenever it is looked up at an instance."""

    def __call__(self, block: Any, *exception: Any) -> None:
        block.end()


class Block(Generic[T]):
    """Context manager in which a variable has a value. It decorates functions, coroutines and
    generators, too, which then run in such a block.

    One object may be used in several threads, and inside its own block. A block may end in another
    thread or task than it began in. Tasks that start in the block share it until it ends.
    """

    def __init__(self, variable: ContextVariable[T], value: T) -> None:
        self.variable, self.value = variable, value
        self._by_hand: list[Setting] = []  # entered without `with`, as by an ExitStack

    def __enter__(self) -> None:
        waiting = _looked_up.settings
        while waiting:
            setting = waiting.pop()
            if setting.block is self and setting.exit() is not None:
                break
        else:
            setting = Setting(self)
            setting.exit = object  # never returns None
            self._by_hand.append(setting)
        self.opening(setting)
        setting.outer, setting.opened = self.variable.innermost(), True
        if setting.outer is not self.value:
            self.variable.set(setting)

    def exit_function(self) -> Callable[..., None]:
        """Return the function that the `with` statement holds while its block is open."""
        setting = Setting(self)
        leave = functools.partial(_leave, setting)
        setting.exit = weakref.ref(leave)
        _looked_up.settings.append(setting)
        return leave

    __exit__: Any = _Exit(exit_function)

    def end(self, *exception: Any) -> None:
        """End the innermost block of this context that was entered without `with`, or, if it was
        entered in another context, the newest.
        """
        found = self.variable.raw()
        while type(found) is Setting and found not in self._by_hand:
            found = found.outer
        if not self._by_hand:
            raise RuntimeError(f"{type(self).__name__}: __exit__ was called without __enter__")
        setting = found if type(found) is Setting else self._by_hand[-1]
        self._by_hand.remove(setting)
        _leave(setting)

    def opening(self, setting: Setting) -> None:
        """Called before the variable is set."""

    def closed(self) -> None:
        """Called when a block has ended, unless that is interrupted."""

    def __call__(self, function: F) -> F:
        """`function`, run in such a block."""
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
    """End a block. If this is interrupted, the caller drops the only reference to it, which ends
    the block, too.
    """
    if setting.opened:
        setting.exit = _ended
        setting.block.variable.innermost()
        setting.block.closed()
    else:
        setting.block.end()


class Undo(Generic[T]):
    """Context manager that returns `do()` first and calls `undo()` when the block ends, at least
    once, even if a Ctrl-C interrupts `do`, `undo` or the calls to them. For state outside of this
    package.
    """

    def __init__(self, do: Callable[[], T], undo: Callable[[], object]) -> None:
        self._do, self._undo, self._done = do, undo, False
        self._dropped: weakref.ref[Any] | None = None

    def __enter__(self) -> T:
        self._done = False
        return self._do()

    def exit_function(self) -> Callable[..., None]:
        """Return the `__exit__` of one block. When the block drops it, `undo` is called, too."""
        leave = functools.partial(self.end)
        self._dropped = weakref.ref(leave, self.end)
        return leave

    __exit__: Any = _Exit(exit_function)

    def end(self, *exception: Any) -> None:
        if not self._done:
            self._undo()
            self._done, self._dropped = True, None


def context(function: Callable[P, Iterator[T]]) -> Callable[P, Undo[T]]:
    """Return a context manager that runs a generator function up to its `yield`, and closes the
    generator at the end, even if a Ctrl-C interrupts that (`contextlib.contextmanager` would leave
    the generator's blocks open). The generator does not see exceptions of the `with` block.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Undo[T]:
        generator: Any = function(*args, **kwargs)
        return Undo(generator.__next__, generator.close)

    return run


def run_locked(lock: Any, function: Callable[[], R]) -> R:
    """Call a function while a lock is held. An interrupt between two lines, as debuggers raise it,
    cannot leave the lock locked, since all is on one line.
    """
    with lock: return function()  # fmt: skip # noqa: E701


# --- decorated functions: in a generator the block is open only while its code runs ---------------


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
