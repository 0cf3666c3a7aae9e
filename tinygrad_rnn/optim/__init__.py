"""Optimisers and learning-rate schedules."""

from . import lr_scheduler
from .adam import Adam, AdamW
from .gradient import SGD, Adagrad, RMSprop
from .lbfgs import LBFGS
from .optimizer import Optimizer

__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "LBFGS",
    "Optimizer",
    "RMSprop",
    "SGD",
    "lr_scheduler",
]
