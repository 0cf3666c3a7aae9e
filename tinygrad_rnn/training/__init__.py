"""Training: trainer, sessions with checkpoints, truncated backpropagation through time, files."""

from autograd.runtime.deprecation import moved_names

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

__getattr__ = moved_names(
    __name__,
    {
        name: f"tinygrad_rnn.tasks.language_modeling.{name}"
        for name in (
            "LanguageTraining",
            "Options",
            "Run",
            "bits_per_character",
            "build_model",
            "generate",
        )
    },
)
