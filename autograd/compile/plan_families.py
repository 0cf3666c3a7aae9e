"""Families of plans: one plan for all batch sizes and for all values of Python floats.

The first plan of a step is for one batch size. At the second one, both plans are generalized to one
if their keys and programs differ in sizes proportional to the batch size only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..core.primitive import Primitive
from .generalize import union_of_keys
from .ir import is_pointwise
from .scan_node import Plan
from .step_graph import Capture, float_positions
from .step_trace import StepTrace

MAX_RELATED = 8
"""Maximum number of families that differ in integers only."""


@dataclass
class Entry:
    """A plan, where its captures are found, and the codes of the steps that it is verified for."""

    plan: Plan
    captures: tuple[Capture, ...]
    codes: set[Any] = field(default_factory=set)


@dataclass(frozen=True)
class Form:
    """The identity of the family of a trace.

    `key` is the key of the trace without the values of its floats; `sizes` has the leading size of
    each leaf of the carry and of x.
    """

    key: Any
    floats: tuple[float, ...]
    sizes: tuple[int, ...]

    @property
    def without_integers(self) -> Any:
        """The part of the key that does not depend on the batch size."""
        return _mask_integers(self.key)


def form_of(trace: StepTrace) -> Form:
    """Return the form of a trace."""
    log, (*parts, operations) = trace.log, trace.key
    positions = float_positions(log)
    fixed = [
        repr(x)
        for i, entry in enumerate(log.entries)
        for j, x in enumerate(entry.args)
        if type(x) is float and (i, j) not in positions
    ]
    return Form(
        (*parts, tuple(map(_mask_floats, operations)), *fixed),
        tuple([log.entries[i].args[j] for i, j in positions]),
        tuple([a.shape[0] if a.shape else 1 for a in log.arrays[: trace.carry + trace.xs]]),
    )


def _mask_floats(key: Any) -> Any:
    primitive, *rest = key
    if not isinstance(primitive, Primitive) or not is_pointwise(primitive):
        return key
    names, *rest = rest
    masked = [(float,) if type(x) is tuple and x[0] is float else x for x in names]
    return (primitive, tuple(masked), *rest)


def _mask_integers(key: Any) -> Any:
    if type(key) is tuple:
        return tuple(map(_mask_integers, key))
    return int if type(key) is int else key


@dataclass(eq=False)
class Family:
    """The steps that one plan executes: they differ in Python floats or batch sizes.

    Attributes
    ----------
    form : Form
        Of the trace of the plan, or of one of the traces.
    bound : frozenset of int
        The floats that are arrays in the plan.
    entry : Entry
        The plan.
    general_key : tuple or None
        The key with a symbolic batch size if the plan is for all batch sizes of at least 2.
    is_special : bool
        True if the plan cannot be generalized to other batch sizes.
    """

    form: Form
    bound: frozenset[int]
    entry: Entry
    general_key: Any = None
    is_special: bool = False

    def differing_floats(self, form: Form) -> frozenset[int]:
        pairs = enumerate(zip(self.form.floats, form.floats, strict=True))
        return frozenset({i for i, (a, b) in pairs if repr(a) != repr(b)})

    def has_floats(self, form: Form) -> bool:
        """True if the plan is right for the floats of a form."""
        return self.differing_floats(form) <= self.bound

    def has_key(self, form: Form) -> bool:
        """True if the plan is right for the key of a form."""
        if self.form.key == form.key:
            return True
        return self.general_key is not None and self.common_key(form) == self.general_key

    def common_key(self, form: Form) -> Any:
        """Return the key of both forms with a symbolic batch size, or None."""
        sizes = self.batch_sizes(form)
        return sizes and union_of_keys(self.form.key, sizes[0], form.key, sizes[1])

    def batch_sizes(self, form: Form) -> tuple[int, int] | None:
        """Return the batch sizes of this family and of a form; None unless they differ."""
        if len(self.form.sizes) != len(form.sizes):
            return None
        pairs = [(a, b) for a, b in zip(self.form.sizes, form.sizes, strict=True) if a != b]
        found = min(pairs, default=(0, 0))
        return found if min(found) >= 2 else None  # arrays of size 1 are broadcast

    def generalized(self, other: Family) -> Family | None:
        """Return the family for all batch sizes, given the family of another batch size.

        None if that is not possible. If the programs prevent it, `other` is marked as special.
        """
        if self.general_key is not None or self.is_special or self.bound != other.bound:
            return None
        sizes, key = self.batch_sizes(other.form), self.common_key(other.form)
        if sizes is None or key is None or not self.has_floats(other.form):
            return None
        first, second = self.entry, other.entry
        plan = None
        if first.captures == second.captures:
            plan = first.plan.for_all_batch_sizes(sizes[0], second.plan, sizes[1])
        if plan is None:
            self.is_special = other.is_special = True
            return None
        entry = Entry(plan, first.captures, first.codes | second.codes)
        return Family(self.form, self.bound, entry, key)


def floats_to_bind(form: Form, related: Iterable[Family]) -> frozenset[int]:
    """Return the floats that must be arrays in a new plan: those that have changed."""
    for family in related:
        if family.form.key == form.key or family.common_key(form) is not None:
            return family.bound | family.differing_floats(form)
    return frozenset()
