"""Learning-rate schedules, with PyTorch's names.

Call `schedule.step()` after `optimizer.step()`; it sets the "lr" of every parameter group. The
learning rates are functions of the number of steps, not of the previous rates, so a restored
schedule gives bit-identical rates. A restored schedule keeps the options of its constructor and
warns if they differ from the saved options.
"""

from .decay import CosineAnnealingLR, ExponentialLR, LambdaLR, MultiStepLR, StepLR
from .one_cycle import OneCycleLR
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]
