"""Context managers: decorated generators and coroutines, other contexts and threads, warnings."""

import asyncio
import contextvars
import threading
import types
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import pytest
from helpers import at_once, leaf

import autograd as ag
from autograd.runtime import location


def is_recording() -> bool:
    return bool((leaf(1.0) * 1).requires_grad)


def detects_anomalies() -> bool:
    try:
        with np.errstate(all="ignore"):
            ag.log(leaf(-1.0))
    except FloatingPointError:
        return True
    return False


CONTEXTS: list[tuple[Callable[[], Any], Callable[[], bool], bool]] = [
    (ag.no_grad, is_recording, False),
    (lambda: ag.enable_grad(), is_recording, True),
    (ag.detect_anomaly, detects_anomalies, True),
]


@pytest.mark.parametrize(("context", "state", "inside"), CONTEXTS)
def test_decorated_generators_run_in_the_context_and_their_callers_do_not(
    context: Any, state: Callable[[], bool], inside: bool
) -> None:
    @context()
    def generator() -> Iterator[Any]:
        try:
            sent = yield state()
            assert sent == "sent"
            yield state()
        finally:
            seen.append(state())

    seen: list[bool] = []
    before = state()
    running = generator()
    assert isinstance(running, types.GeneratorType)
    assert next(running) == inside
    assert state() == before
    assert running.send("sent") == inside
    running.close()
    assert seen == [inside]
    assert state() == before
    running = generator()
    next(running)
    with pytest.raises(KeyError):
        running.throw(KeyError())
    assert seen == [inside, inside]


@pytest.mark.parametrize(("context", "state", "inside"), CONTEXTS)
def test_decorated_coroutines_run_in_the_context(
    context: Any, state: Callable[[], bool], inside: bool
) -> None:
    @context()
    async def work() -> bool:
        first = state()
        await asyncio.sleep(0)
        return first and state() if inside else first or state()

    @context()
    async def generator() -> AsyncIterator[bool]:
        yield state()
        await asyncio.sleep(0)
        yield state()

    async def main() -> None:
        before = state()
        others = [state() for _ in range(2) if not await asyncio.sleep(0)]
        assert others == [before] * 2
        assert await asyncio.gather(work(), work()) == [inside] * 2
        async for value in generator():
            assert value == inside
            assert state() == before

    asyncio.run(main())
    assert state() == state()


@pytest.mark.parametrize(("context", "state", "inside"), CONTEXTS)
@pytest.mark.parametrize("where", ["thread", "context", "copied context"])
def test_a_block_may_end_in_another_context(
    context: Any, state: Callable[[], bool], inside: bool, where: str
) -> None:
    def block() -> Iterator[None]:
        with context():
            yield

    before = state()
    suspended = block()
    next(suspended)
    assert state() == inside
    failures: list[Any] = []
    if where == "thread":
        hook, threading.excepthook = threading.excepthook, failures.append
        thread = threading.Thread(target=suspended.close)
        thread.start()
        thread.join()
        threading.excepthook = hook
    else:
        new_context = contextvars.Context() if where == "context" else contextvars.copy_context()
        new_context.run(suspended.close)
    assert failures == []
    assert state() == before


def test_an_async_generator_closed_by_another_task_restores_recording() -> None:
    async def numbers() -> AsyncIterator[int]:
        with ag.no_grad():
            yield 1

    async def main() -> bool:
        running = numbers()
        await anext(running)
        await asyncio.create_task(running.aclose())  # type: ignore[attr-defined]
        return is_recording()

    assert asyncio.run(main())


@pytest.mark.parametrize(("context", "state", "inside"), CONTEXTS)
def test_overlapping_blocks_end_independently(
    context: Any, state: Callable[[], bool], inside: bool
) -> None:
    def block() -> Iterator[None]:
        with context():
            yield

    before, first = state(), block()
    next(first)
    with context():
        first.close()
        assert state() == inside
    assert state() == before


def test_a_call_of_exit_ends_the_block_of_its_thread() -> None:
    shared = ag.enable_grad()
    states = []
    shared.__enter__()  # without effect: recording is on
    entered, left = threading.Event(), threading.Event()

    def work() -> None:
        with ag.no_grad(), ExitStack() as stack:
            stack.enter_context(shared)
            entered.set()
            left.wait()
            states.append(is_recording())

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait()
    shared.__exit__(None, None, None)
    left.set()
    thread.join()
    assert states == [True]


@pytest.mark.parametrize(("context", "state", "inside"), CONTEXTS)
def test_one_instance_in_two_threads_and_in_itself(
    context: Any, state: Callable[[], bool], inside: bool
) -> None:
    shared = context()

    def work() -> None:
        for _ in range(20):
            before = state()
            with shared:
                with shared, ExitStack() as stack:
                    stack.enter_context(shared)
                    assert state() == inside
                assert state() == inside
            assert state() == before

    at_once([work, work, work])


class GeneratorObject:
    def __call__(self) -> Iterator[bool]:
        yield is_recording()

    def method(self) -> Iterator[bool]:
        yield is_recording()


class CoroutineObject:
    async def __call__(self) -> bool:
        return is_recording()


def test_decorated_objects_methods_and_partial_functions_run_in_the_context() -> None:
    async def result(function: Any) -> Any:
        return await function()

    generator, coroutine = GeneratorObject(), CoroutineObject()
    for function in (generator, generator.method, partial(generator.method)):
        assert [*ag.no_grad()(function)()] == [False]
    for function in (coroutine, coroutine.__call__, partial(coroutine.__call__)):
        assert not asyncio.run(result(ag.no_grad()(function)))
    assert is_recording()


@pytest.mark.parametrize(("context", "state", "inside"), CONTEXTS)
def test_exit_without_enter_is_an_error(
    context: Any, state: Callable[[], bool], inside: bool
) -> None:
    before, block = state(), context()
    with block, pytest.raises(RuntimeError, match="__exit__ was called without __enter__"):
        block.__exit__(None, None, None)
    assert state() == before


def test_contexts_entered_without_with() -> None:
    outer, inner = ag.no_grad(), ag.enable_grad()
    outer.__enter__()
    inner.__enter__()
    assert is_recording()
    inner.__exit__(None, None, None)
    assert not is_recording()
    outer.__exit__(None, None, None)
    assert is_recording()


# --- floating-point warnings ----------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize(
    "warn",
    [
        lambda: ag.log(ag.zeros(2)),
        lambda: leaf(1.0) / 0.0,
        lambda: ag.exp(ag.full((2,), 1e4)),
        lambda: ag.sqrt(leaf(0.0)).backward(),
        lambda: np.log(ag.zeros(2)),  # type: ignore[call-overload]
    ],
)
@pytest.mark.parametrize("action", ["always", "default"])
def test_floating_point_warnings_name_the_line_of_user_code(
    warn: Callable[[], Any], action: Any
) -> None:
    code = warn.__code__
    for _ in range(2):
        globals().pop("__warningregistry__", None)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            warn()
        (first, *_) = caught
        assert (first.filename, first.lineno) == (code.co_filename, code.co_firstlineno)
        assert first.category is RuntimeWarning


@pytest.mark.host
def test_warnings_are_not_wrapped_if_another_package_shows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other(message: Any) -> None:
        pass

    monkeypatch.setattr(warnings, "_showwarnmsg", other)  # of another package
    location.show_warnings_at_user_line()
    assert vars(warnings)["_showwarnmsg"] is other
    monkeypatch.delattr(warnings, "_showwarnmsg")
    location.show_warnings_at_user_line()
    assert "_showwarnmsg" not in vars(warnings)
