"""Transforms of functions into their derivatives: grad, vjp, jvp, jacobian, hessian, hvp.

Functions take and return arrays, Tensors, or nested tuples, lists and dicts of them. Given NumPy
arrays or Python floats, a transform returns NumPy arrays or floats; Python floats count as float64.
Transforms nest in any combination. A result that depends on a recorded Tensor outside the call,
such as a parameter that the function closes over, is a recorded Tensor for all types of arguments.
Under `no_grad` no result is recorded.

Forward mode needs no separate rules. The vector-Jacobian product u'J of reverse mode is linear in
u, and its own vector-Jacobian product is the Jacobian-vector product Jv.
"""

from .call import is_recorded
from .forward import hvp, jvp
from .matrices import hessian, jacobian
from .reverse import grad, gradients, value_and_grad, vjp

__all__ = [
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "is_recorded",
    "jacobian",
    "jvp",
    "value_and_grad",
    "vjp",
]
