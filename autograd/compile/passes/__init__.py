"""Passes: pure functions from a schedule to an equivalent schedule that runs faster.

Each executor has a list of passes, which run in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..schedule import Schedule
from .fuse_elementwise import fuse_elementwise
from .mask_selections import mask_selections
from .merge_activations import merge_activations
from .sigmoid_as_tanh import sigmoid_as_tanh
from .sink_splits import sink_splits

Pass = Callable[[Schedule], Schedule]

PASSES: dict[str, tuple[Pass, ...]] = {
    "interpreter": (mask_selections, sigmoid_as_tanh, merge_activations),
    "cuda": (sink_splits, fuse_elementwise),
}
"""The passes of each executor. Calls are the cost of the interpreter, kernel launches the cost of a
GPU.
"""


def run_passes(schedule: Schedule, passes: Iterable[Pass]) -> Schedule:
    """Return the schedule after all passes."""
    for transform in passes:
        schedule = transform(schedule)
    return schedule
