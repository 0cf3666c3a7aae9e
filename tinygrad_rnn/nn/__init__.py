"""Networks: modules, recurrent cells and layers, losses, initial values."""

from . import functional, init, utils
from .cells import Cell, LSTMCell
from .layers import Dropout, Embedding, Linear
from .module import Module, ModuleList, Parameter
from .recurrent import LSTM, Recurrent

__all__ = [
    "LSTM",
    "Cell",
    "Dropout",
    "Embedding",
    "LSTMCell",
    "Linear",
    "Module",
    "ModuleList",
    "Parameter",
    "Recurrent",
    "functional",
    "init",
    "utils",
]
