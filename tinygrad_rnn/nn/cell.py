"""Deprecated module: import `Cell` from `tinygrad_rnn.nn`."""

from autograd.runtime.deprecation import moved_names

_NAMES = ["Cell"]
__getattr__ = moved_names(__name__, {name: f"tinygrad_rnn.nn.{name}" for name in _NAMES})
