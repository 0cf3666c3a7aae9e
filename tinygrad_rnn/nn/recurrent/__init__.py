"""Recurrent cells, the layers that run them over time, and packed sequences."""

from .cell import Cell
from .gru_cells import GRUCell, MGUCell, MinGRUCell
from .layer import Recurrent
from .lstm_cells import CoupledLSTMCell, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell
from .rnn_cells import IRNNCell, JordanRNNCell, RNNCell
from .standard_layers import GRU, LSTM, RNN, JordanRNN, LayerNormLSTM, PeepholeLSTM

__all__ = [
    "Cell",
    "CoupledLSTMCell",
    "GRU",
    "GRUCell",
    "IRNNCell",
    "JordanRNN",
    "JordanRNNCell",
    "LSTM",
    "LSTMCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "MGUCell",
    "MinGRUCell",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "RNN",
    "RNNCell",
    "Recurrent",
]
