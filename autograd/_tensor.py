"""Deprecated module: use `autograd.Tensor`. Pickles of earlier versions refer to it."""

from .runtime.deprecation import moved_names

_NAMES = {"Tensor": "autograd.Tensor", "_leaf": "autograd.core.tensor._rebuild"}
__getattr__ = moved_names(__name__, _NAMES)
