"""Automatic differentiation of NumPy and CuPy code, in reverse and forward mode, to any order.

The engine of tinygrad-rnn. Its functions have NumPy's names and work on Tensors.

>>> import autograd as ag
>>> x = ag.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

from . import backend, numpy_protocol, random, testing
from .backend import default_device, get_default_dtype, set_default_device, set_default_dtype
from .backend.threads import get_num_threads, set_num_threads
from .core.graph import enable_grad, no_grad
from .core.pytree import flatten, tree_map
from .core.tensor import Tensor
from .debug.anomaly import detect_anomaly
from .debug.draw import draw
from .debug.graph_growth import warn_of_graph_growth as _warn_of_graph_growth
from .ops import OPERATIONS as _OPERATIONS
from .ops.declaration import primitive
from .ops.public import *
from .random import Generator, manual_seed
from .recurrence.checkpoint import checkpoint
from .recurrence.scan import explain, scan
from .runtime.location import show_warnings_at_user_line as _show_warnings_at_user_line
from .transforms import grad, gradients, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = [
    "Generator",
    "Tensor",
    "backend",
    "checkpoint",
    "default_device",
    "detect_anomaly",
    "draw",
    "enable_grad",
    "explain",
    "flatten",
    "get_default_dtype",
    "get_num_threads",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "manual_seed",
    "no_grad",
    "numpy_protocol",
    "primitive",
    "random",
    "scan",
    "set_default_device",
    "set_default_dtype",
    "set_num_threads",
    "testing",
    "tree_map",
    "value_and_grad",
    "vjp",
]
__all__ += _OPERATIONS

numpy_protocol.install(Tensor)
_show_warnings_at_user_line()
_warn_of_graph_growth()
