"""Schedules of checkpointed scans: `revolve` recomputes the fewest steps."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from autograd.recurrence.checkpoint_schedule import (
    Schedule,
    count_evaluations,
    revolve,
    steps_to_next_state,
)


@cache
def fewest_evaluations(steps: int, states: int) -> int:
    """Return the least number of evaluations before the recorded ones, by exhaustive search."""
    if steps < 2:
        return 0
    if states == 0:
        return steps * (steps - 1) // 2
    return min(
        n + fewest_evaluations(n, states) + fewest_evaluations(steps - n, states - 1)
        for n in range(1, steps)
    )


def scheduled_evaluations(steps: int, schedule: Schedule) -> int:
    """Return the number of evaluations before the recorded ones that a schedule needs."""
    *recomputed, last = schedule(steps)
    assert sum(segment.length for segment in (*recomputed, last)) == steps
    assert all(segment.recompute for segment in recomputed)
    assert not last.recompute
    assert last.length == 1
    total = 0
    for segment in recomputed:
        assert segment.schedule is not None
        total += segment.length + scheduled_evaluations(segment.length, segment.schedule)
    return total


@given(st.integers(2, 60), st.integers(1, 8))
def test_revolve_recomputes_the_fewest_steps(steps: int, states: int) -> None:
    fewest = fewest_evaluations(steps, states)
    assert 1 <= steps_to_next_state(steps, states) < steps
    assert count_evaluations(steps, states) in (fewest, float("inf"))
    assert scheduled_evaluations(steps, revolve(states)) == fewest
    assert len(revolve(states)(steps)) <= states + 2  # a carry between each two, and the first one
