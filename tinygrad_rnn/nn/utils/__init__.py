"""What one does to gradients between backward and the optimiser's step, all parameters as one
vector, and (`rnn`) what one does to sequences before they are a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from autograd import Tensor, absolute, clip, concatenate, no_grad, ravel, square, sum

from . import rnn
from .rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)

__all__ = [
    "PackedSequence",
    "clip_grad_norm_",
    "clip_grad_value_",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "parameters_to_vector",
    "rnn",
    "unpack_sequence",
    "unpad_sequence",
    "vector_to_parameters",
]


@no_grad()
def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients together so that their norm is at most `max_norm` (Pascanu et al. 2013):
    the Euclidean norm, or (sum |g|^p)^(1/p) for p = `norm_type`, inf for the greatest |g|.

    Returns the norm before. As in PyTorch, the factor is max_norm / (norm + 1e-6) where that is
    below 1; a norm that is not finite makes all gradients nan, so that it cannot pass unnoticed, or
    raises RuntimeError. Raises ValueError for a `max_norm` or `norm_type` that is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, not {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"norm_type must be positive, not {norm_type}")
    graded = _with_gradient(parameters)
    norm = _norm([tensor.grad for tensor in graded if tensor.grad is not None], norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite "
            f"({norm}), so it cannot be clipped"
        )
    factor = max_norm / (norm + 1e-6) if math.isfinite(norm) else math.nan
    if not factor >= 1:
        for tensor in graded:
            assert tensor.grad is not None
            tensor.grad = tensor.grad * factor
    return norm


def _norm(gradients: list[Tensor], p: float) -> float:
    """The p-norm of all numbers together; those of half precision are summed in single."""
    wide = [g.astype("float32") if g.dtype == "float16" else g for g in gradients if g.size]
    if p == math.inf:
        tops = [absolute(g).max().item() for g in wide]
        return math.nan if any(map(math.isnan, tops)) else max(tops, default=0.0)
    sums = [(sum(square(g)) if p == 2 else sum(absolute(g) ** p)).item() for g in wide]
    total = math.fsum(sums)
    return math.sqrt(total) if p == 2 else total ** (1 / p)


@no_grad()
def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    if not clip_value >= 0:
        raise ValueError(f"clip_value must not be negative: {clip_value}")
    for tensor in _with_gradient(parameters):
        tensor.grad = clip(tensor.grad, -clip_value, clip_value)


def _with_gradient(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [tensor for tensor in tensors if tensor.grad is not None]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector, one after another; differentiable."""
    vector: Tensor = concatenate([ravel(tensor) for tensor in parameters])
    return vector


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the parts of a vector into the parameters: the reverse of `parameters_to_vector`."""
    tensors = list(parameters)
    sizes = [tensor.size for tensor in tensors]
    if vec.shape != (math.fsum(sizes),):
        raise ValueError(
            f"the parameters have {int(math.fsum(sizes))} elements in all, the vector has shape "
            f"{vec.shape}"
        )
    end = 0
    for tensor, size in zip(tensors, sizes, strict=True):
        start, end = end, end + size
        tensor[...] = vec[start:end].reshape(tensor.shape)
