"""Training: options, run folders, the loop with its checkpoints, and what comes out of it."""

from ..errors import TrainingDiverged
from .files import load, load_tree, save, save_tree
from .generation import generate
from .language import LanguageTraining, bits_per_character, build_model
from .loop import Limits, Session
from .options import Options
from .run import Run
from .trainer import Trainer
from .truncated import TruncatedBPTT

__all__ = [
    "LanguageTraining",
    "Limits",
    "Options",
    "Run",
    "Session",
    "Trainer",
    "TrainingDiverged",
    "TruncatedBPTT",
    "bits_per_character",
    "build_model",
    "generate",
    "load",
    "load_tree",
    "save",
    "save_tree",
]
