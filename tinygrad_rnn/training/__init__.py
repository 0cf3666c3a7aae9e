"""Training: options, run folders, the loop with its checkpoints, and what comes out of it."""

from .files import load, save
from .generation import generate
from .language import LanguageTraining, bits_per_character, build_model
from .loop import Session
from .options import Options
from .run import Run

__all__ = [
    "LanguageTraining",
    "Options",
    "Run",
    "Session",
    "bits_per_character",
    "build_model",
    "generate",
    "load",
    "save",
]
