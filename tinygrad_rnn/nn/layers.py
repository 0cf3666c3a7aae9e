"""Layers that know no time: Linear, Embedding, Dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd import Tensor, linear, take

from . import functional, init
from .module import Module, parameter


class Linear(Module):
    """y = x W' + b, for x (..., in_features) and y (..., out_features).

    weight (out_features, in_features) and bias (out_features) start from U(-1/sqrt(in),
    1/sqrt(in)).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features) if in_features else 0.0
        self.weight = parameter(out_features, in_features, device=device, dtype=dtype)
        init.uniform_(self.weight, -bound, bound)
        self.bias = parameter(out_features, device=device, dtype=dtype) if bias else None
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = linear(x, self.weight)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


class Embedding(Module):
    """A row of a table for each index: integers (...) to vectors (..., embedding_dim). Rows start
    from N(0, 1).
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, device: str | None = None, dtype: Any = None
    ) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = parameter(num_embeddings, embedding_dim, device=device, dtype=dtype)
        init.normal_(self.weight)

    def forward(self, indices: Any) -> Tensor:
        """IndexError for an index that is no row; there is no counting from the end."""
        array = indices.data if isinstance(indices, Tensor) else np.asarray(indices)
        if array.size and (int(array.min()) < 0 or int(array.max()) >= self.num_embeddings):
            wrong = int(array.min()) if int(array.min()) < 0 else int(array.max())
            raise IndexError(f"index {wrong} is none of the {self.num_embeddings} embeddings")
        return take(self.weight, indices, 0)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Dropout(Module):
    """In training, each element is 0 with probability p and the others grow by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability must lie between 0 and 1, not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
