"""What one does to gradients between backward and the optimiser's step, and (`rnn`) to sequences
before they are a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from autograd import Tensor, no_grad, square, sum

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
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "rnn",
    "unpack_sequence",
    "unpad_sequence",
]


@no_grad()
def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients together so that their Euclidean norm is at most `max_norm` (Pascanu et
    al. 2013).

    Returns the norm before. As in PyTorch, the factor is max_norm / (norm + 1e-6) where that is
    below 1; a norm that is not finite makes all gradients nan, so that it cannot pass unnoticed.
    Raises ValueError for a `max_norm` that is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, not {max_norm}")
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    graded = [tensor for tensor in tensors if tensor.grad is not None]
    squares = [sum(square(tensor.grad)) for tensor in graded]
    norm = math.sqrt(math.fsum(s.item() for s in squares)) if squares else 0.0
    factor = max_norm / (norm + 1e-6) if math.isfinite(norm) else math.nan
    if not factor >= 1:
        for tensor in graded:
            assert tensor.grad is not None
            tensor.grad = tensor.grad * factor
    return norm
