"""Compiled recurrences: one step is traced, planned and run as a loop that writes into preallocated
arrays. A step that cannot be compiled is executed eagerly, as without this package.

A trace is taken at every call, so that a step may change from call to call: what it computes, and
with which tensors, is what it says now. What costs more, the plan with its code, is kept and found
again by what the trace says.
"""

from __future__ import annotations

import os
import sys
import threading
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ..core import graph, mutation
from ..core.graph import no_grad
from ..core.modes import eager_execution
from ..core.pytree import flatten, tree_map
from ..runtime.context import run_locked
from .executor import Compiled, ScanCall, execute
from .explain import Explanation, executor_name
from .program import Untraceable
from .state import Untouched
from .trace import Step

__all__ = ["Explanation", "ScanCall", "disabled_reason", "eager_execution", "explain", "run"]

MOST_PLANS = 500
_ENGINE = str(Path(__file__).parents[1])

_plans: dict[Any, Compiled] = {}
_codes: dict[tuple[types.CodeType, ...], None] = {}  # of steps that were compiled
_warned: dict[Any, None] = {}
_lock = threading.Lock()


def disabled_reason(compile: bool | None) -> str:
    """Why recurrences are not to be compiled; "" if they are."""
    if os.environ.get("AUTOGRAD_COMPILE") == "0":
        return "AUTOGRAD_COMPILE is 0"
    if compile is False or eager_execution.get():
        return "compile=False"
    return "detect_anomaly looks at every step" if graph.anomaly_mode.get() else ""


def run(it: ScanCall) -> tuple[Any, Any]:
    """The last carry and the ys of a recurrence, compiled if that can be."""
    try:
        plan, traced = planned(it)
    except Untraceable as error:
        why, expected = str(error), error.expected
    else:
        try:
            return execute(plan, traced, it)
        finally:
            traced.drop()
    results: tuple[Any, Any] = it.run_eagerly()
    if not expected:  # and if the step itself does not fail, which says more
        _tell(it.functions[0], why)
    return results


def explain(it: ScanCall, executor: str | None = None, device: str | None = None) -> Explanation:
    """Return how `run` would execute a recurrence by an executor; see `autograd.explain`."""
    executor = executor_name(executor, device)
    try:
        plan, traced = planned(it)
        if executor in (None, plan.executable.executor):
            traced.drop()
        else:
            plan = Compiled(traced, executor)
        return Explanation(plan.executable, it.steps)
    except Untraceable as error:
        return Explanation(None, it.steps, str(error))


def planned(it: ScanCall) -> tuple[Compiled, Step]:
    """Return the plan of a recurrence and the trace of its step; raise Untraceable without a plan.

    Before a plan is first used for a step, the step is traced a second time under closer checks,
    which show that it does the same at every call.
    """
    if it.disabled_reason:
        raise Untraceable(it.disabled_reason, expected=True)
    if it.steps < 2:
        raise Untraceable("there is only one step", expected=True)
    before = Untouched(it.functions)
    codes = tuple(before.codes)
    if codes not in _codes:
        before.look_closer()
    traced = _traced(it, before)
    plan = _plans.get(traced.signature)
    if plan is None or codes not in plan.codes:
        before = Untouched(it.functions)
        before.look_closer()
        again = _traced(it, before, traced)
        if not again.is_like(traced):
            for one in (traced, again):
                one.drop()
            raise Untraceable("it is not the same at every call")
        if not _treats_steps_alike(it.functions[1], it.xs[0]):
            raise Untraceable("its precompute makes something else of one step than of several")
        if 0 in [n for s in traced.program.values for n in s.shape]:
            raise Untraceable("its arrays are empty", expected=True)
        if plan is None:
            plan = Compiled(again)
        else:
            again.drop()
        for cache, key in ((_plans, traced.signature), (plan.codes, codes), (_codes, codes)):
            run_locked(_lock, partial(_put, cache, key, plan if cache is _plans else None))
    return plan, traced


def _treats_steps_alike(precompute: Callable[[Any], Any] | None, xs: Any) -> bool:
    """True if `precompute` gives the same for the first two steps together and one by one."""
    if precompute is None or xs is None:
        return True
    with no_grad():
        two = precompute(tree_map(lambda x: x[:2], xs))
        one = precompute(tree_map(lambda x: x[0], xs))
    pairs = zip(flatten(two), flatten(one), strict=True)
    slices = [(a[0], b) for a, b in pairs if b.dtype.kind == "f"]
    return all(bool(((abs(a - b) <= 1e-2 * (1 + abs(b))) | (b != b)).all()) for a, b in slices)


def _traced(it: ScanCall, before: Untouched, first: Step | None = None) -> Step:
    """One step, written down; Untraceable if that cannot be, or if it does anything else."""
    try:
        try:
            with mutation.write_guard.block(_refuse):
                traced = Step(it.step, it.carry, it.xs, first)
        finally:
            changed = before.put_back()
    except Untraceable:
        raise
    except Exception as error:
        raise Untraceable(f"{type(error).__name__}: {error}") from error
    except BaseException:
        before.put_back()  # again: the first call may have been interrupted
        raise
    if changed:
        raise Untraceable(changed)
    return traced


def _refuse() -> NoReturn:
    raise Untraceable("it writes into a tensor in place")


def _put(cache: dict[Any, Any], key: Any, value: Any = None) -> None:
    """Add to a cache, from which the oldest goes if it is full."""
    cache[key] = value
    if len(cache) > MOST_PLANS:
        del cache[next(iter(cache))]


def _tell(step: Callable[..., Any], why: str) -> None:
    name = getattr(step, "__qualname__", type(step).__qualname__)
    code = getattr(step, "__code__", None)
    key = (name, code and (code.co_filename, code.co_firstlineno), why)
    if key in _warned:
        return
    run_locked(_lock, partial(_put, _warned, key))
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_ENGINE):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"scan runs {name} eagerly: {why}; pass compile=False to silence this warning",
        stacklevel=level,
    )
