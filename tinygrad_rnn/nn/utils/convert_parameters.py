"""Conversion between parameters and one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

from autograd import Tensor, concatenate, no_grad, ravel


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Concatenate parameters to a vector. The result is differentiable.

    Parameters
    ----------
    parameters : iterable of Tensor
        The parameters.

    Returns
    -------
    Tensor
        Vector of all elements, in order.
    """
    vector: Tensor = concatenate([ravel(tensor) for tensor in parameters])
    return vector


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of a vector into parameters, the inverse of `parameters_to_vector`.

    Parameters
    ----------
    vec : Tensor
        Vector of as many elements as all parameters have together.
    parameters : iterable of Tensor
        The parameters, which are changed in place.

    Raises
    ------
    ValueError
        If the number of elements differs.
    """
    tensors = list(parameters)
    sizes = [tensor.size for tensor in tensors]
    if vec.shape != (math.fsum(sizes),):
        raise ValueError(
            f"expected a vector of {int(math.fsum(sizes))} elements, one for each element of the "
            f"parameters, got shape {vec.shape}"
        )
    end = 0
    for tensor, size in zip(tensors, sizes, strict=True):
        start, end = end, end + size
        tensor[...] = vec[start:end].reshape(tensor.shape)
