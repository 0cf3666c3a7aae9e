"""Networks: modules, recurrent cells and layers, losses, initial values."""

from . import functional, init, interchange, utils
from .attention import AdditiveAttention, Attention, DotAttention, GeneralAttention
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
from .containers import ModuleDict, ModuleList, Sequential
from .layers import Dropout, Embedding, Identity, LayerNorm, Linear, ReLU, Sigmoid, Tanh
from .losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    CTCLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from .module import Module, Parameter
from .recurrent import Recurrent
from .rnn import GRU, LSTM, RNN, JordanRNN, LayerNormLSTM, PeepholeLSTM

__all__ = [
    "AdditiveAttention",
    "Attention",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "Cell",
    "CoupledLSTMCell",
    "CrossEntropyLoss",
    "DotAttention",
    "Dropout",
    "Embedding",
    "GRU",
    "GRUCell",
    "HuberLoss",
    "GeneralAttention",
    "IRNNCell",
    "Identity",
    "JordanRNN",
    "JordanRNNCell",
    "L1Loss",
    "LSTM",
    "LSTMCell",
    "LayerNorm",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "Linear",
    "MGUCell",
    "MSELoss",
    "MinGRUCell",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RNN",
    "RNNCell",
    "ReLU",
    "Recurrent",
    "Sequential",
    "Sigmoid",
    "SmoothL1Loss",
    "Tanh",
    "functional",
    "init",
    "interchange",
    "utils",
]
