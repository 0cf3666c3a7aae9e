"""Optimisers and learning-rate schedules."""

from . import lr_scheduler
from .adam import Adam
from .optimizer import Optimizer

__all__ = ["Adam", "Optimizer", "lr_scheduler"]
