"""Recurrences compiled: one step is traced, planned, and run as a loop that writes into arrays made
beforehand. What cannot be compiled is recorded, step by step, as if this were not here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

from .. import _anomaly
from .executor import Compiled, execute
from .program import Untraceable
from .state import Untouched
from .trace import Step

_plans: dict[Any, Compiled | str] = {}
_warned: set[Any] = set()


def wanted() -> bool:
    """Whether recurrences are compiled: unless AUTOGRAD_COMPILE is 0, or detect_anomaly is on."""
    return os.environ.get("AUTOGRAD_COMPILE") != "0" and not _anomaly._on.get()


def trace(step: Callable[..., Any], carry: Any, xs: Any) -> Step:
    """One step, written down; Untraceable if that cannot be."""
    before = Untouched(step)
    try:
        traced = Step(step, carry, xs)
    except Exception as error:
        before.put_back()
        if isinstance(error, Untraceable):
            raise
        raise Untraceable(f"{type(error).__name__}: {error}") from error
    if not before.put_back():
        raise Untraceable("it changes the state of Python objects, or draws random numbers")
    return traced


def compiled(step: Callable[..., Any], carry: Any, xs: Any) -> tuple[Compiled, Step]:
    """The plan of a recurrence, and the trace of its step; Untraceable if there is no plan."""
    traced = trace(step, carry, xs)
    found = _plans.get(traced.signature)
    if found is None:
        if trace(step, carry, xs).signature != traced.signature:
            raise Untraceable("it is not the same at every call")
        if 0 in [n for s in traced.program.values for n in s.shape]:
            raise Untraceable("its arrays are empty", expected=True)
        found = _plans[traced.signature] = Compiled(trace(step, carry, xs))
        if len(_plans) > 500:
            del _plans[next(iter(_plans))]
    assert isinstance(found, Compiled)
    return found, traced


def run(
    step: Callable[..., Any],
    carry: Any,
    xs: Any,
    steps: int,
    reverse: bool,
    cuts: tuple[int, ...],
    again: Callable[[], Any],
) -> tuple[Any, Any] | None:
    """The last carry and the ys of a recurrence; None if it has to be recorded."""
    try:
        plan, traced = compiled(step, carry, xs)
    except Untraceable as why:
        if not why.expected:
            _tell(step, str(why))
        return None
    return execute(plan, traced, carry, xs, steps, reverse, cuts, again)


def _tell(step: Any, why: str) -> None:
    key = getattr(step, "__code__", step), why
    if key not in _warned:
        _warned.add(key)
        warnings.warn(f"scan records every step instead of compiling them: {why}", stacklevel=5)
