"""What it takes to test an operation: its gradients against finite differences, and inputs for it.

`check_gradients` needs nothing but the engine; `strategies` needs hypothesis, and imports it when
it is first used.
"""

from importlib import import_module
from typing import Any

from .gradients import check_gradients

__all__ = ["check_gradients", "strategies"]


def __getattr__(name: str) -> Any:
    if name == "strategies":
        return import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
