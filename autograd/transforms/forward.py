"""Forward mode: `jvp`, and `hvp` as forward mode over reverse mode."""

from __future__ import annotations

from typing import Any

from ..backend import get_default_dtype
from ..core.graph import enable_grad
from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import Tensor
from ..ops.creation import zeros_like
from .call import Call, Function, as_tensor, as_tuple
from .reverse import grad, weighted_gradients


def jvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Evaluate a function, and return its result and its Jacobian-vector product.

    Parameters
    ----------
    f : callable
        Function to differentiate.
    primals : tuple
        The arguments of `f`. A single argument need not be in a tuple.
    tangents : tuple
        The vector, with the nesting and shapes of `primals`.

    Returns
    -------
    out : Any
        The result of `f`.
    tangent_out : Any
        Jv, with the nesting and shapes of the result; 0 where it does not depend on `primals`.

    Raises
    ------
    ValueError
        If `tangents` do not have the nesting and shapes of `primals`.

    Notes
    -----
    Computed by two backward passes: the vector-Jacobian product u'J is linear in u, and its own
    vector-Jacobian product is Jv [1]_.

    References
    ----------
    .. [1] J. Townsend, "A new trick for calculating Jacobian vector products", 2017,
       https://j-towns.github.io/2017/06/12/A-new-trick.html.

    Examples
    --------
    >>> import autograd as ag
    >>> ag.jvp(lambda x: x**3, (2.0,), (1.0,))
    (8.0, 12.0)
    """
    primals, tangents = as_tuple(primals), as_tuple(tangents)
    tree_map(_check_tangent, primals, tangents)
    call = Call(f, primals, dict(enumerate(primals)), {})
    products, probes = transpose_call(call)
    record = call.must_record(tangents)
    values = weighted_gradients(products, probes, flatten(tangents), record)
    values = call.detach_derivatives(values, tangents)
    tangent_out = unflatten(call.out, map(call.convert, values))
    return tree_map(call.convert, call.detach_results(call.out)), tangent_out


def _check_tangent(primal: Any, tangent: Any) -> None:
    shape, expected = (tuple(getattr(value, "shape", ())) for value in (tangent, primal))
    if shape != expected:
        raise ValueError(f"a tangent must have the shape of its primal {expected}, got {shape}")


def transpose_call(call: Call) -> tuple[list[Tensor], list[Tensor]]:
    """Return the recorded product u'J at u = 0, one entry per leaf, and u, one entry per result.

    The backward pass of the product, weighted by v, yields Jv.
    """
    outputs = [as_tensor(o) for o in call.outputs]
    dtypes = [o.dtype if o.dtype.kind == "f" else get_default_dtype() for o in outputs]
    probes = [
        zeros_like(o.detach(), dtype).requires_grad_()
        for o, dtype in zip(outputs, dtypes, strict=True)
    ]
    with enable_grad():
        return weighted_gradients(outputs, call.leaves, list(probes), True), probes


def hvp(f: Function, primals: Any, tangents: Any) -> Any:
    """Return the product of the Hessian of `f` and a vector, without computing the Hessian.

    Parameters
    ----------
    f : callable
        A function whose result has one element.
    primals : tuple
        The arguments of `f`. A single argument need not be in a tuple.
    tangents : tuple
        The vector, with the nesting and shapes of `primals`.

    Returns
    -------
    Any
        The product with the nesting of the argument; a tuple for several primals.

    Notes
    -----
    Computed by forward mode over reverse mode [1]_.

    References
    ----------
    .. [1] B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6(1),
       1994.

    Examples
    --------
    >>> import autograd as ag
    >>> ag.hvp(lambda x: x**3, 2.0, 1.0)
    12.0
    """
    primals = as_tuple(primals)
    gradient = grad(f, tuple(range(len(primals))))
    product = jvp(gradient, primals, tangents)[1]
    return product[0] if len(primals) == 1 else product
