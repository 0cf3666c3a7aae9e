"""Training: the trainer, its checkpoints, truncated back-propagation through time, saved files."""

import importlib
import warnings
from typing import Any

from ..errors import TrainingDiverged
from .serialization import load, load_tree, save, save_tree
from .session import Limits, Session
from .trainer import Trainer
from .truncated_bptt import TruncatedBPTT

__all__ = [
    "Limits",
    "Session",
    "Trainer",
    "TrainingDiverged",
    "TruncatedBPTT",
    "load",
    "load_tree",
    "save",
    "save_tree",
]

_MOVED = (
    "LanguageTraining",
    "Options",
    "Run",
    "bits_per_character",
    "build_model",
    "generate",
)


def __getattr__(name: str) -> Any:
    """Return a name that has moved to `tinygrad_rnn.tasks.language_modeling`, with a warning."""
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = "tinygrad_rnn.tasks.language_modeling"
    warnings.warn(f"{__name__}.{name} has moved to {new}.{name}", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module(new), name)
