"""Networks: modules, recurrent cells and layers, losses, initial values."""

from . import functional, init, interchange, utils
from .cell import Cell
from .cells import (
    CoupledLSTMCell,
    GRUCell,
    IRNNCell,
    JordanRNNCell,
    LayerNormLSTMCell,
    LSTMCell,
    MGUCell,
    MinGRUCell,
    PeepholeLSTMCell,
    RNNCell,
)
from .layers import Dropout, Embedding, Linear
from .module import Module, ModuleList, Parameter
from .recurrent import Recurrent
from .rnn import GRU, LSTM, RNN, JordanRNN, LayerNormLSTM, PeepholeLSTM

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "CoupledLSTMCell",
    "Dropout",
    "Embedding",
    "GRUCell",
    "IRNNCell",
    "JordanRNN",
    "JordanRNNCell",
    "LSTMCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "Linear",
    "MGUCell",
    "MinGRUCell",
    "Module",
    "ModuleList",
    "Parameter",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RNNCell",
    "Recurrent",
    "functional",
    "init",
    "interchange",
    "utils",
]
