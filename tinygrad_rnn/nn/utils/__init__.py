"""What one does to gradients between backward and the optimiser's step, all parameters as one
vector, and (`rnn`) what one does to sequences before they are a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from autograd import Tensor, absolute, clip, concatenate, dot, no_grad, ravel, sum

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
    """Scale all gradients together so that their norm is at most `max_norm` (Pascanu et al. 2013).

    As in PyTorch, the factor is `max_norm / (norm + 1e-6)` where this is below 1. Unlike PyTorch's,
    the norm of finite gradients neither overflows nor underflows in the gradients' precision.

    Parameters
    ----------
    parameters
        One parameter or several. Parameters without a gradient are ignored.
    max_norm
        The largest norm allowed. `math.inf` only measures.
    norm_type
        The order p of the norm `(sum |g|**p) ** (1 / p)`. With `math.inf` it is the largest |g|.
    error_if_nonfinite
        Raise an error if the norm is not finite.

    Returns
    -------
    float
        The norm before clipping. It is inf or nan if a gradient holds inf or nan. All gradients are
        nan then, so that the error cannot pass unnoticed.

    Raises
    ------
    ValueError
        If `max_norm` or `norm_type` is not positive.
    RuntimeError
        If `error_if_nonfinite` is set and the norm is inf or nan.
    """
    max_norm, norm_type = float(max_norm), float(norm_type)
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, not {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"norm_type must be positive, not {norm_type}")
    graded = _with_gradient(parameters)
    scale, ratio = _norm([tensor.grad for tensor in graded if tensor.grad is not None], norm_type)
    norm = scale * ratio
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {norm_type:g} for gradients from `parameters` is non-finite "
            f"({norm}), so it cannot be clipped"
        )
    if not math.isfinite(scale):
        scale, ratio = 1.0, math.nan
    elif norm + 1e-6 <= max_norm:
        return norm
    factor = max_norm / (ratio + 1e-6 / scale)
    for tensor in graded:
        assert tensor.grad is not None
        g = tensor.grad if scale == 1 else tensor.grad.astype("float64") / scale
        tensor.grad = (g * factor).astype(tensor.dtype)
    return norm


@np.errstate(over="ignore", invalid="ignore")
def _norm(gradients: list[Tensor], p: float) -> tuple[float, float]:
    """Return a scale and the p-norm of all elements divided by it.

    The scale is 1 where the sum of squares is accurate, and the largest |g| otherwise.
    """
    vectors = [ravel(g) for g in gradients if g.size]
    if p == 2 and all(g.dtype != "float16" for g in vectors):
        norm = math.hypot(*(math.sqrt(dot(g, g).item()) for g in vectors))
        if 1e-9 < norm < math.inf:  # squares that underflow in float32 are negligible
            return 1.0, norm
    tops = [absolute(g).max().item() for g in vectors]
    largest = math.nan if any(map(math.isnan, tops)) else max(tops, default=0.0)
    if p == math.inf or not 0 < largest < math.inf:
        return largest, 1.0
    total = math.fsum(sum(absolute(g.astype("float64") / largest) ** p).item() for g in vectors)
    return largest, float(np.float64(total) ** (1 / p))


@no_grad()
def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value]."""
    clip_value = float(clip_value)
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
