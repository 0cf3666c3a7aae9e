"""Functions of networks without parameters: linear map, activations, dropout, losses.

Names and defaults follow PyTorch. Array arguments are moved to the device of the input Tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import autograd
from autograd import Tensor, mean, random, relu, sigmoid, sqrt, tanh, var, where, zeros_like
from autograd.ops.reduction import with_half_upcast

from ..scalars import check_probability
from .losses.cross_entropy import cross_entropy, nll_loss
from .losses.ctc import ctc_loss
from .losses.elementwise import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "linear",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "smooth_l1_loss",
    "softmax",
    "tanh",
]


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Affine map x W^T + b of the last axis.

    Parameters
    ----------
    input : Tensor or array_like, shape (..., in)
        Input x.
    weight : Tensor or array_like, shape (out, in)
        Matrix W.
    bias : Tensor or array_like, shape (out,), optional
        Offset b.

    Returns
    -------
    Tensor, shape (..., out)
    """
    return autograd.linear(input, weight, bias)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set elements to 0 with probability p and scale the others by 1 / (1 - p).

    The mask comes from the default random generator and is equal on every device.

    Parameters
    ----------
    input : Tensor
        Input of any shape.
    p : float, default 0.5
        Probability that an element is set to 0.
    training : bool, default True
        If False, return the input.

    Returns
    -------
    Tensor
        Output of the same shape.

    Raises
    ------
    ValueError
        If `p` is not between 0 and 1.

    References
    ----------
    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    """
    p = check_probability("dropout", p)
    if not training or p == 0:
        return input
    if p == 1:
        return where(zeros_like(input, bool), input, 0)  # type: ignore[no-any-return]
    mask = random.default_generator.mask(input.shape, 1 - p, input.device)
    return where(mask, input * (1 / (1 - p)), 0)  # type: ignore[no-any-return]


def apply_mask(input: Tensor, mask: Tensor) -> Tensor:
    """Return `input` times a dropout mask, and 0 where the mask is 0 even if `input` is nan."""
    return where(mask != 0, input, 0) * mask  # type: ignore[no-any-return]


@with_half_upcast
def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Layer normalization (x - mean) / sqrt(variance + eps) * weight + bias over the last axes.

    Parameters
    ----------
    input : Tensor, shape (..., normalized_shape)
        Input x.
    normalized_shape : int or sequence of int
        Shape of the axes that are normalized together.
    weight : Tensor of shape `normalized_shape`, optional
        Factor.
    bias : Tensor of shape `normalized_shape`, optional
        Offset.
    eps : float, default 1e-5
        Constant added to the variance.

    Returns
    -------
    Tensor
        Output of the same shape.

    Raises
    ------
    ValueError
        If the last axes of the input do not have `normalized_shape`.

    References
    ----------
    Ba, Kiros & Hinton 2016, "Layer normalization".
    """
    shape = as_shape(normalized_shape)
    if input.shape[input.ndim - len(shape) :] != shape or not shape:
        raise ValueError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"{['*', *shape]}, but got input of size {list(input.shape)}"
        )
    axes = tuple(range(-len(shape), 0))
    centered = input - mean(input, axes, keepdims=True)
    y: Tensor = centered / sqrt(var(input, axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def as_shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return `normalized_shape` as a tuple."""
    if isinstance(normalized_shape, Iterable):
        return tuple(normalized_shape)
    return (normalized_shape,)


def softmax(input: Any, dim: int) -> Any:
    """Softmax exp(x) / sum(exp(x)) along an axis.

    Parameters
    ----------
    input : Tensor or array_like
        Scores.
    dim : int
        Axis of the classes.

    Returns
    -------
    Tensor
        Output of the same shape.
    """
    return autograd.softmax(input, dim)


def log_softmax(input: Any, dim: int) -> Any:
    """Logarithm of the softmax along an axis, accurate where the softmax underflows.

    Parameters
    ----------
    input : Tensor or array_like
        Scores.
    dim : int
        Axis of the classes.

    Returns
    -------
    Tensor
        Output of the same shape.
    """
    return autograd.log_softmax(input, dim)
