"""Character language modeling: the task behind the commands `train`, `sample` and `eval`."""

from .generation import generate
from .options import Options
from .run_folder import Run
from .training import LanguageTraining, bits_per_character, build_model

__all__ = [
    "LanguageTraining",
    "Options",
    "Run",
    "bits_per_character",
    "build_model",
    "generate",
]
