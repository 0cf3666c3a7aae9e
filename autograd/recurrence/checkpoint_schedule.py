"""Schedules of checkpointed scans: which segments are recomputed during the backward pass.

`equal_segments` divides a scan into segments of one length (Chen et al. 2016). `revolve` minimizes
the number of recomputed steps for a given number of stored carries (Griewank & Walther 2000).
`checkpointed_scan` executes both.

References
----------
.. [1] A. Griewank and A. Walther, "Algorithm 799: revolve: an implementation of checkpointing for
   the reverse or adjoint mode of computational differentiation", ACM TOMS 26(1), 2000.
.. [2] T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training deep nets with sublinear memory cost",
   arXiv:1604.06174, 2016.
.. [3] A. Gruslys, R. Munos, I. Danihelka, M. Lanctot and A. Graves, "Memory-efficient
   backpropagation through time", NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb, inf
from typing import NamedTuple

MAX_EVALUATIONS_PER_STEP = 50


class Segment(NamedTuple):
    """Consecutive steps of a scan.

    Only the first carry of a segment with `recompute` is stored. The backward pass recomputes the
    segment by `schedule`, or all at once if `schedule` is None.
    """

    length: int
    recompute: bool = False
    schedule: Schedule | None = None


Schedule = Callable[[int], list[Segment]]
"""A function from a number of steps to the segments that they are divided into."""


def equal_segments(length: int) -> Schedule:
    """Return the schedule that recomputes all segments of `length` steps except the last one.

    The backward pass begins with the last segment, so its graph is kept.
    """

    def schedule(steps: int) -> list[Segment]:
        count = (steps - 1) // length
        last = [Segment(steps - count * length)] if steps else []
        return [Segment(length, recompute=True)] * count + last

    return schedule


def revolve(states: int, unit: int = 1) -> Schedule:
    """Return the schedule with the fewest recomputed steps.

    It stores at most `states` carries besides the first one, and the graph of at most `unit` steps.
    """

    def schedule(steps: int) -> list[Segment]:
        segments, free_states = [], states
        while steps > unit:
            units = -(-steps // unit)
            length = steps_to_next_state(units, free_states) * unit
            segments.append(Segment(length, recompute=True, schedule=revolve(free_states, unit)))
            steps, free_states = steps - length, max(free_states - 1, 0)
        return [*segments, Segment(steps)] if steps else segments

    return schedule


def steps_to_next_state(steps: int, states: int) -> int:
    """Return how many of `steps` (at least 2) to execute before the next carry is stored.

    With s states, including the first one, and each step evaluated up to r times before it is
    recorded, C(s + r, s) steps can be reversed (Griewank & Walther 2000, proposition 1). The steps
    before the next stored carry are reversed with s states and r - 1 further evaluations, the
    remaining steps with s - 1 states and r evaluations.
    """
    s = states + 1
    r = _evaluations_per_step(steps, s)
    return min(comb(s + r - 1, s), steps - comb(s + r - 2, s - 1))


def count_evaluations(steps: int, states: int) -> float:
    """Return how many evaluations `revolve` needs in addition to the recorded ones.

    The result is infinite if a step would be evaluated more than `MAX_EVALUATIONS_PER_STEP` times,
    which costs more time than any memory budget is worth.
    """
    s = states + 1
    r = _evaluations_per_step(steps, s)
    return r * steps - comb(s + r, s + 1) if r <= MAX_EVALUATIONS_PER_STEP else inf


def _evaluations_per_step(steps: int, s: int) -> int:
    """Return the least r with C(s + r, s) >= steps."""
    r = 1
    while comb(s + r, s) < steps:
        r += 1
    return r
