"""Networks: modules, recurrent cells and layers, losses, initial values."""

from . import functional, init, utils
from . import keras_weights as keras_weights
from .attention import AdditiveAttention, Attention, DotAttention, GeneralAttention
from .containers import ModuleDict, ModuleList, Sequential
from .layers import (
    Dropout,
    Embedding,
    Identity,
    LayerNorm,
    Linear,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from .losses.modules import (
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
from .recurrent.cell import Cell
from .recurrent.cells import (
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
from .recurrent.layer import Recurrent
from .recurrent.layers import GRU, LSTM, RNN, JordanRNN, LayerNormLSTM, PeepholeLSTM

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
    "LogSoftmax",
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
    "Softmax",
    "Tanh",
    "functional",
    "init",
    "interchange",
    "utils",
]
