"""The scan compiler: the loop over a step, forward and backward, on preallocated arrays.

`run_compiled` executes a scan by its plan. A step that cannot be compiled is executed eagerly, with
a warning that says why. See README.md for the stages of the pipeline.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import random
from ..core import graph
from ..core.modes import eager_execution
from ..core.pytree import tree_map
from ..ops.joining import concatenate, stack
from .cache import Cache, Eager, find_plan
from .explain import Explanation, executor_name
from .pure_step import PureStep
from .scan_call import ScanCall
from .scan_node import Bindings, Plan, execute

__all__ = ["Explanation", "PureStep", "ScanCall", "disabled_reason", "explain", "run_compiled"]

_PACKAGE = str(Path(__file__).parents[1])
_warned = Cache()


def disabled_reason(compile: bool | None) -> str:
    """Return why scans are not compiled at present; "" if they are."""
    if os.environ.get("AUTOGRAD_COMPILE") == "0":
        return "AUTOGRAD_COMPILE is 0"
    if compile is False or eager_execution.get():
        return "compile=False"
    return "detect_anomaly looks at every step" if graph.anomaly_mode.get() else ""


def run_compiled(call: ScanCall) -> tuple[Any, Any]:
    """Return the last carry and the ys of a call, compiled if that is possible."""
    found, planned = _find_plan(call)
    if not isinstance(found, Eager):
        carry, ys = execute(*found, planned)
        if planned is call:
            return carry, ys
        return carry, _with_first(planned.first_output, ys, call.reverse)
    results: tuple[Any, Any] = call.run_eagerly(found.results)
    if not found.expected:  # and the step itself has raised no error
        _warn(call.functions[0], found.reason)
    return results


def _find_plan(call: ScanCall) -> tuple[tuple[Plan, Bindings] | Eager, ScanCall]:
    """Return the plan of a call, and the call that it executes.

    That is the call without its first step if the first step changes the shape or dtype of the
    carry.
    """
    if (known := call.known_plan()) is not None:
        return known, call
    found = find_plan(call)
    if not isinstance(found, Eager):
        call.share_plan(*found)
        return found, call
    if not found.carry_changes:
        return found, call
    rest = call.after_first_step(*found.results[0])
    following = find_plan(rest)
    if isinstance(following, Eager):
        following.results = found.results + following.results
    return following, rest


def _with_first(y: Any, ys: Any, reverse: bool) -> Any:
    """Return the ys of all steps: the first one is `y`, and `ys` contains the others."""

    def join(first: Any, others: Any) -> Any:
        first = stack([first])
        return concatenate([others, first] if reverse else [first, others])

    return tree_map(join, y, ys)


def explain(call: ScanCall, executor: str | None = None, device: str | None = None) -> Explanation:
    """Return how `run_compiled` would execute a call.

    The first steps are executed, with the same random numbers as a later call.
    """
    executor = executor_name(executor, device)
    with random.replay(random.get_state()):
        found, planned = _find_plan(call)
    if isinstance(found, Eager):
        return Explanation(None, call.steps, found.reason)
    plan, _ = found
    return Explanation(plan.executable_of(planned, executor), call.steps)


def _warn(step: Callable[..., Any], reason: str) -> None:
    """Warn once for a step and a reason, at the line of the user that called `scan`."""
    name = getattr(step, "__qualname__", type(step).__qualname__)
    code = getattr(step, "__code__", None)
    key = (name, code and (code.co_filename, code.co_firstlineno), reason)
    if _warned.find(key):
        return
    _warned.store(key, True)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"scan runs {name} eagerly: {reason}; pass compile=False to silence this warning",
        stacklevel=level,
    )
