"""Initial values. Each function writes into a tensor and returns it; numbers come from the default
stream.
"""

from __future__ import annotations

from typing import Any

from autograd import Tensor, no_grad, random


@no_grad()
def _write(tensor: Tensor, values: Any) -> Tensor:
    tensor[...] = values
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform numbers from [a, b)."""
    return _write(tensor, random.default.uniform(tensor.shape, a, b, tensor.dtype, tensor.device))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal numbers."""
    return _write(
        tensor, random.default.normal(tensor.shape, mean, std, tensor.dtype, tensor.device)
    )


def constant_(tensor: Tensor, value: float) -> Tensor:
    """`value` everywhere."""
    return _write(tensor, value)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return _write(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return _write(tensor, 1)
