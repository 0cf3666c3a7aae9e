"""Lookup of plans: the trace of a step, its verification, and the caches.

A plan is found by the signature of the trace of step 0. Before it is first used for a step's code,
step 1 is executed and compared: a step that keeps Python state usually differs there. Steps that
differ are executed eagerly from then on, and the results of executed steps are always used.

The plan of a `PureStep` is found by its declaration, without a trace.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .. import random
from ..core import graph
from ..core.graph import no_grad
from ..core.modes import operation_log
from ..core.pytree import flatten, structure, tree_map
from ..core.tensor import Tensor
from ..runtime.context import run_locked
from .differentiate import differentiate
from .plan_families import MAX_RELATED, Entry, Family, floats_to_bind, form_of
from .pure_step import PureStep
from .purity import DRAWS, examine, random_state
from .scan_call import ScanCall
from .scan_node import Bindings, Plan
from .step_graph import build_step_graph, float_positions
from .step_trace import NotTraceable, StepTrace, trace_step

MAX_PLANS = 500


class Cache(OrderedDict[Hashable, Any]):
    """A dict of the most recently used entries, for several threads."""

    lock = threading.Lock()

    def find(self, key: Hashable) -> Any:
        """Return an entry, or None."""
        found = self.get(key)
        if found is not None and len(self) > MAX_PLANS // 2:  # else nothing is removed soon
            with suppress(KeyError):  # another thread has removed it
                self.move_to_end(key)
        return found

    def store(self, key: Hashable, value: Any) -> None:
        run_locked(self.lock, partial(self._store, key, value))

    def _store(self, key: Hashable, value: Any) -> None:
        self[key] = value
        while len(self) > MAX_PLANS:
            self.popitem(last=False)


@dataclass
class Eager:
    """A scan that is executed eagerly, after the first steps, which have returned `results`.

    `carry_changes` is True if the first step has changed the shape or dtype of the carry.
    """

    reason: str
    expected: bool = False
    results: list[Any] = field(default_factory=list)
    carry_changes: bool = False


plans = Cache()
"""Entries by signature."""
families = Cache()
"""Families by signature without floats."""
related_families = Cache()
"""Tuples of families by signature without floats and integers, the newest first."""
pure_plans = Cache()
"""For a `PureStep`: the plan and the sources of its captures; False if it must be traced."""
eager_codes = Cache()
"""The reasons why steps with these code objects are executed eagerly."""
known_codes = Cache()
"""The code objects of steps that were verified."""


def plan_count() -> int:
    """Return the number of plans in the caches."""
    found = {id(entry.plan) for entry in list(plans.values())}
    related = [one for some in list(related_families.values()) for one in some]
    found |= {id(family.entry.plan) for family in (*families.values(), *related)}
    found |= {id(pure[0]) for pure in list(pure_plans.values()) if pure}
    return len(found)


def find_plan(call: ScanCall) -> tuple[Plan, Bindings] | Eager:
    """Return the plan of a call and its captures, or how it is executed eagerly."""
    if call.disabled_reason:
        return Eager(call.disabled_reason, expected=True)
    if call.steps < 2:
        return Eager("there is only one step", expected=True)
    if operation_log.raw() and operation_log.get() is not None:
        return Eager("it runs within another scan's step", expected=True)
    step = call.functions[0]
    if type(step) is PureStep:
        key = _pure_key(step, call)
        found = pure_plans.find(key)
        if found:
            return _bind_pure(step, *found)
        if found is None:
            return _Search(call, key).find()
    return _Search(call).find()


class _Search:
    """The search for the plan of one call by executing its first steps."""

    def __init__(self, call: ScanCall, pure_key: Hashable = None) -> None:
        self.call, self.pure_key = call, pure_key
        self.codes, self.side_effect = examine(call.functions)

    def find(self) -> tuple[Plan, Bindings] | Eager:
        reason = self.side_effect or eager_codes.find(self.codes)
        if reason:
            return Eager(reason)
        call, is_known = self.call, known_codes.find(self.codes) is not None
        if not is_known and not _treats_steps_alike(call):
            return Eager("its precompute makes something else of one step than of several")
        state = None if is_known else random_state()
        try:
            trace = self._trace(0)
        except NotTraceable as error:
            return Eager(error.reason, error.expected)
        if trace.reason:
            results = [trace.ordinary_results()]
            return Eager(trace.reason, results=results, carry_changes=trace.carry_changes)
        if any(0 in array.shape for array in trace.log.arrays):
            return Eager("its arrays are empty", True, [trace.ordinary_results()])
        entry = self._known_entry(trace)
        if entry is None or self.codes not in entry.codes:
            verified = self._verify(trace, state)
            if isinstance(verified, Eager):
                return verified
            if entry is None:
                try:
                    entry = self._new_entry(verified)
                except (TypeError, ValueError) as error:  # only a backward pass should raise it
                    results = [trace.ordinary_results(), verified.ordinary_results()]
                    return Eager(str(error), results=results)
            entry.codes.add(self.codes)
            known_codes.store(self.codes, True)
        if self.pure_key is not None:
            self._store_pure(entry, trace)
        sources = [node for _, node in trace.sources]
        arrays = [capture.array(trace) for capture in entry.captures]
        nodes = [None if c.source is None else sources[c.source] for c in entry.captures]
        return entry.plan, Bindings(arrays, nodes)

    def _trace(self, n: int, previous: StepTrace | None = None) -> StepTrace:
        """Execute step 0 or 1."""
        call, step = self.call, self.call.functions[0]
        is_bound = self.pure_key is not None and step.bind is not None

        def make_step(tensors: tuple[Tensor, ...]) -> Callable[..., Any]:
            return call.make_step(*(step.bind(tensors) if is_bound else call.functions))

        declared = step.captures if is_bound else ()
        return trace_step(make_step, declared, call.carry, call.xs, call.position(n), previous)

    # --- verification -----------------------------------------------------------------------------

    def _verify(self, trace: StepTrace, state: Any) -> StepTrace | Eager:
        """Execute step 1, and compare it to step 0."""
        needs_gradients = trace.needs_gradients
        results = [trace.ordinary_results()]
        second = self._trace(1, trace)
        if second.reason:
            return Eager(second.reason, results=[*results, second.ordinary_results()])
        reason = ""
        if second.differs_from(trace):
            reason = "it is not the same at every step"
        elif state is not None and random_state() != state:
            reason = DRAWS
        if reason:
            eager_codes.store(self.codes, reason)
            return Eager(reason, results=[*results, second.ordinary_results()])
        second.needs_gradients = needs_gradients
        return second

    # --- plans ------------------------------------------------------------------------------------

    def _known_entry(self, trace: StepTrace) -> Entry | None:
        """Return the plan of a trace; it may be for all batch sizes, or have arrays for floats."""
        entry: Entry | None = plans.find(trace.key)
        if entry is not None:
            return entry
        form = form_of(trace)
        family: Family | None = families.find(form.key)
        if family is not None and family.has_floats(form):
            return family.entry
        for family in related_families.find(form.without_integers) or ():
            if family.has_floats(form) and family.has_key(form):
                families.store(form.key, family)
                return family.entry
        return None

    def _new_entry(self, trace: StepTrace) -> Entry:
        """Build the plan of a trace; generalize it if there is a plan for another batch size."""
        form = form_of(trace)
        related: tuple[Family, ...] = related_families.find(form.without_integers) or ()
        bound = floats_to_bind(form, related)
        positions = float_positions(trace.log)
        family = Family(form, bound, _build(trace, {positions[i] for i in bound}))
        for other in related:
            general = other.generalized(family)
            if general is not None:
                related = tuple([one for one in related if one is not other])
                _replace(other, general)
                family = general
                break
        families.store(form.key, family)
        related_families.store(form.without_integers, (family, *related)[:MAX_RELATED])
        if not bound and family.general_key is None:
            plans.store(trace.key, family.entry)
        return family.entry

    def _store_pure(self, entry: Entry, trace: StepTrace) -> None:
        """Store where the declared tensors of a pure step are among the captures of its plan."""
        step, sources = self.call.functions[0], [node for _, node in trace.sources]
        declared = {(id(t._data), t._node): i for i, t in enumerate(step.captures)}
        arrays = {id(t._data): i for i, t in enumerate(step.captures)}
        found: list[Any] = []
        for capture in entry.captures:
            array = trace.log.arrays[capture.number]
            if capture.position is not None:
                found.append(capture.array(trace))
            elif capture.number in trace.log.scalars:
                found.append(array)
            elif capture.source is not None:
                found.append(declared.get((id(array), sources[capture.source])))
            else:
                found.append(arrays.get(id(array)))
        is_complete = all(x is not None for x in found)
        pure_plans.store(self.pure_key, (entry.plan, found) if is_complete else False)


def _replace(family: Family, general: Family) -> None:
    """Replace the plan of one batch size by the plan of all."""
    families.store(family.form.key, general)
    for key, entry in list(plans.items()):
        if entry is family.entry:
            plans.store(key, general.entry)
    for key, pure in list(pure_plans.items()):
        if pure and pure[0] is family.entry.plan:
            pure_plans.store(key, (general.entry.plan, pure[1]))


def _build(trace: StepTrace, bound_floats: Any = ()) -> Entry:
    traced = build_step_graph(trace, bound_floats)
    step, backward = traced.graph, None
    if trace.needs_gradients:
        floating = [v.dtype.kind == "f" for v in step.carry]
        recorded = [node is not None for node in trace.input_nodes[trace.carry :]]
        captured = [capture.source is not None for capture in traced.captures]
        receives = (*floating, *recorded, *captured)
        backward = differentiate(step, traced.examples, traced.has_gradient, receives)
    nesting = tree_map(lambda _: 0, trace.pair[0]), tree_map(lambda _: 0, trace.pair[1])
    return Entry(Plan(step, traced.has_gradient, backward, nesting, trace.order), traced.captures)


# --- pure steps -----------------------------------------------------------------------------------


def _pure_key(step: PureStep, call: ScanCall) -> Hashable:
    """Return the key of the plan of a pure step."""
    carry, xs = flatten(call.carry), flatten(call.xs)
    arrays = [leaf._data for leaf in (*carry, *step.captures)]
    specs = [(a.shape, a.dtype) for a in arrays] + [(x._data.shape[1:], x._data.dtype) for x in xs]
    recorded = [leaf._node is not None for leaf in (*carry, *step.captures, *xs)]
    ids = [id(leaf._data) for leaf in step.captures]
    aliases: Any = len(set(ids)) == len(ids) or tuple(map(ids.index, ids))
    kind = type((*carry, *xs)[0]._data) if carry or xs else None
    form = structure((call.carry, call.xs))
    return (step.key, kind, form, *specs, *recorded, graph.recording.get(), aliases)


def _bind_pure(step: PureStep, plan: Plan, sources: list[Any]) -> tuple[Plan, Bindings]:
    tensors = [step.captures[x] if type(x) is int else Tensor(x) for x in sources]
    return plan, Bindings([t._data for t in tensors], [t._node for t in tensors])


# --- precompute -----------------------------------------------------------------------------------


def _treats_steps_alike(call: ScanCall) -> bool:
    """True if `precompute` gives the same for the first two steps together and one by one."""
    precompute: Callable[[Any], Any] | None = call.functions[1]
    xs = call.xs[0]
    if precompute is None or xs is None:
        return True
    state = random.get_state()
    with no_grad(), random.replay(state):
        two = precompute(tree_map(lambda x: x[:2], xs))
        try:
            one = precompute(tree_map(lambda x: x[0], xs))
        except Exception:  # it needs the axis of the steps
            return False
        draws = random.get_state() != state
    pairs = zip(flatten(two), flatten(one), strict=True)
    slices = [(a[0], b) for a, b in pairs if b.dtype.kind == "f"]
    alike = [bool(((abs(a - b) <= 1e-2 * (1 + abs(b))) | (b != b)).all()) for a, b in slices]
    return not draws and all(alike)
