"""Gradient clipping, between the backward pass and the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from autograd import Tensor, absolute, clip, dot, no_grad, ravel, sum


@no_grad()
def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients by one factor so that their total norm is at most `max_norm`.

    The factor is `max_norm / (norm + 1e-6)` if that is below 1, as in PyTorch. Unlike in PyTorch,
    the norm of finite gradients neither overflows nor underflows.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        The parameters. Parameters without a gradient are ignored.
    max_norm : float
        Maximum norm. `math.inf` computes the norm without clipping.
    norm_type : float, default 2.0
        Order p of the norm `sum(abs(g)**p) ** (1 / p)`. `math.inf` gives the maximum of abs(g).
    error_if_nonfinite : bool, default False
        Raise an error if the norm is not finite.

    Returns
    -------
    float
        The norm before clipping. If it is inf or nan, all gradients become nan.

    Raises
    ------
    ValueError
        If `max_norm` or `norm_type` is not positive.
    RuntimeError
        If `error_if_nonfinite` is set and the norm is inf or nan.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks".
    """
    max_norm, norm_type = float(max_norm), float(norm_type)
    for name, value in (("max_norm", max_norm), ("norm_type", norm_type)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
    tensors = _with_gradient(parameters)
    scale, ratio = _norm([tensor.grad for tensor in tensors if tensor.grad is not None], norm_type)
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
    for tensor in tensors:
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
    maxima = [absolute(g).max().item() for g in vectors]
    largest = math.nan if any(map(math.isnan, maxima)) else max(maxima, default=0.0)
    if p == math.inf or not 0 < largest < math.inf:
        return largest, 1.0
    total = math.fsum(sum(absolute(g.astype("float64") / largest) ** p).item() for g in vectors)
    return largest, float(np.float64(total) ** (1 / p))


@no_grad()
def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Clip every element of the gradients to [-clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        The parameters. Parameters without a gradient are ignored.
    clip_value : float
        Maximum absolute value.

    Raises
    ------
    ValueError
        If `clip_value` is negative.
    """
    clip_value = float(clip_value)
    if not clip_value >= 0:
        raise ValueError(f"clip_value must be non-negative, got {clip_value}")
    for tensor in _with_gradient(parameters):
        tensor.grad = clip(tensor.grad, -clip_value, clip_value)


def _with_gradient(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [tensor for tensor in tensors if tensor.grad is not None]
