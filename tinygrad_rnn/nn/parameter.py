"""Parameters: the tensors that modules learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor, tensor, zeros


class Parameter(Tensor):
    """Tensor that a module learns.

    Parameters
    ----------
    data : Tensor or array_like
        Initial value. A Tensor's array is shared, not copied.
    requires_grad : bool, default True
        False for a parameter that is saved with the module but not learned.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__((data if isinstance(data, Tensor) else tensor(data)).data)
        self.requires_grad_(requires_grad)


def zero_parameter(*shape: int, dtype: Any = None, device: str | None = None) -> Parameter:
    """Create a parameter of zeros, which the caller initializes."""
    return Parameter(zeros(shape, dtype=dtype, device=device))


def check_sizes(**sizes: Any) -> None:
    """Check that each size is a non-negative integer.

    Raise TypeError for other types and ValueError for negative numbers, with the argument's name.
    """
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise TypeError(f"{name} must be an integer, got {size!r}")
        if size < 0:
            raise ValueError(f"{name} must be a non-negative integer, got {size}")
