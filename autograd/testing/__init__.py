"""Tools for tests of operations: comparison of gradients with finite differences, and inputs.

`strategies` needs hypothesis, so it is imported on first use.
"""

from importlib import import_module
from typing import Any

from .gradients import check_gradients

__all__ = ["check_gradients", "strategies"]


def __getattr__(name: str) -> Any:
    if name == "strategies":
        return import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
