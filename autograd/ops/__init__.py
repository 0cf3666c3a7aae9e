"""The operations: tables of primitives with their VJP rules, and functions composed of them.

`public` gathers them under NumPy's names, and `tensor_methods` binds them to operators and methods.
The call below registers the operations that the core uses.
"""

from ..core.install import install
from ..core.tensor import Tensor
from . import public
from .joining import stack
from .reduction import unbroadcast
from .tensor_methods import TensorMethods

OPERATIONS: list[str] = [name for name in vars(public) if not name.startswith("_")]
"""The names of all public operations."""

install(Tensor, TensorMethods, unbroadcast=unbroadcast, stack=stack)
