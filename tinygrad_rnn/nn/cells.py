"""Deprecated module: import the cells from `tinygrad_rnn.nn`."""

from autograd.runtime.deprecation import moved_names

_NAMES = [
    "CoupledLSTMCell",
    "GRUCell",
    "IRNNCell",
    "JordanRNNCell",
    "LayerNormLSTMCell",
    "LSTMCell",
    "MGUCell",
    "MinGRUCell",
    "PeepholeLSTMCell",
    "RNNCell",
]
__getattr__ = moved_names(__name__, {name: f"tinygrad_rnn.nn.{name}" for name in _NAMES})
