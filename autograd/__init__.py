"""An array library that records what it computes and differentiates it, to any order, on NumPy or
CuPy. It is the engine of the distribution tinygrad-rnn.

>>> import autograd as ag
>>> x = ag.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

from . import _growth as _growth  # it counts what is recorded
from . import backend, numpy_protocol, random, testing
from ._anomaly import detect_anomaly
from ._checkpoint import checkpoint
from ._draw import draw
from ._graph import enable_grad, no_grad
from ._location import show_warnings_at_user_line as _show_warnings_at_user_line
from ._primitive import primitive
from ._scan import explain, scan
from ._tensor import Tensor
from ._tree import flatten, tree_map
from .backend import default_device, get_default_dtype, set_default_device, set_default_dtype
from .backend.threads import get_num_threads, set_num_threads
from .ops import (
    creation,
    elementwise,
    indexing,
    linalg,
    movement,
    ordering,
    products,
    reduction,
    replacing,
    shape,
)
from .ops.creation import *
from .ops.elementwise import *
from .ops.indexing import *
from .ops.linalg import *
from .ops.movement import *
from .ops.ordering import *
from .ops.products import *
from .ops.reduction import *
from .ops.replacing import *
from .ops.shape import *
from .random import Generator, manual_seed
from .transforms import (
    grad,
    gradients,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

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
__all__ += creation.__all__
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += movement.__all__
__all__ += ordering.__all__
__all__ += products.__all__
__all__ += reduction.__all__
__all__ += replacing.__all__
__all__ += shape.__all__

_show_warnings_at_user_line()
