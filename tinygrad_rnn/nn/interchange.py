"""Deprecated module: use `tinygrad_rnn.nn.keras_weights`."""

from autograd.runtime.deprecation import moved_names

__getattr__ = moved_names(__name__, {"from_keras": "tinygrad_rnn.nn.keras_weights.from_keras"})
