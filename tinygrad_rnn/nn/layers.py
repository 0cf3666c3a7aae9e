"""Layers that know no time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from autograd import Tensor, backend, expand_dims, no_grad, relu, sigmoid, take, tanh, tensor, where

from ..scalars import check_probability, to_python
from . import functional, init
from .module import Module, Parameter, check_sizes, parameter


class Identity(Module):
    """Its input; arguments of the constructor do nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Any) -> Any:
        return input


class Tanh(Module):
    """tanh, element by element."""

    def forward(self, input: Tensor) -> Tensor:
        return tanh(input)  # type: ignore[no-any-return]


class ReLU(Module):
    """max(x, 0), element by element."""

    def forward(self, input: Tensor) -> Tensor:
        return relu(input)  # type: ignore[no-any-return]


class Sigmoid(Module):
    """1 / (1 + exp(-x)), element by element."""

    def forward(self, input: Tensor) -> Tensor:
        return sigmoid(input)  # type: ignore[no-any-return]


class Softmax(Module):
    """exp(x) / sum(exp(x)) along the axis `dim`."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return functional.softmax(input, self.dim)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of `Softmax`, exact where that vanishes."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.log_softmax(input, self.dim)  # type: ignore[no-any-return]


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
        check_sizes(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features) if in_features else 0.0
        self.weight = parameter(out_features, in_features, device=device, dtype=dtype)
        init.uniform_(self.weight, -bound, bound)
        self.bias = parameter(out_features, device=device, dtype=dtype) if bias else None
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Tensor:
        """ValueError if the last axis is not that of the weight, TypeError for a tuple."""
        if isinstance(input, tuple):
            raise TypeError(
                f"Linear({self.extra_repr()}) takes one array, not a tuple: a recurrent layer "
                "returns two things, its outputs and its last state"
            )
        x, features = input if hasattr(input, "shape") else tensor(input), self.weight.shape[1]
        if x.shape[-1:] != (features,):
            raise ValueError(
                f"the last axis of an input to Linear({self.extra_repr()}) must be {features}, "
                f"but its shape is {x.shape}"
            )
        return functional.linear(x, self.weight, self.bias)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


class Embedding(Module):
    """A row of a table for each index: integers (...) to vectors (..., embedding_dim). Rows start
    from N(0, 1).

    The row `padding_idx` starts as zeros and has no gradient; a negative one counts from the end.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = parameter(num_embeddings, embedding_dim, device=device, dtype=dtype)
        init.normal_(self.weight)
        self.padding_idx = _row(padding_idx, num_embeddings)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """One whose rows are a copy of `embeddings` (N, E), learned further only if `freeze` is
        False; the row `padding_idx` keeps its value. ValueError for another number of axes.
        """
        rows = embeddings if isinstance(embeddings, Tensor) else tensor(embeddings)
        if rows.ndim != 2:
            raise ValueError(f"embeddings are of shape (N, E), not {rows.shape}")
        made = cls(0, rows.shape[1])
        made.num_embeddings, made.padding_idx = len(rows), _row(padding_idx, len(rows))
        made.weight = Parameter(rows.data.copy(), requires_grad=not freeze)
        return made

    def forward(self, input: Any) -> Tensor:
        """IndexError for an index that is no row (there is no counting from the end), TypeError for
        what is no integer.
        """
        array = input.data if isinstance(input, Tensor) else input
        array = backend.of_array(self.weight.data).asarray(array)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"an embedding is looked up by integers, not by {array.dtype}")
        if array.size and (int(array.min()) < 0 or int(array.max()) >= self.num_embeddings):
            wrong = int(array.min()) if int(array.min()) < 0 else int(array.max())
            raise IndexError(f"index {wrong} is none of the {self.num_embeddings} embeddings")
        rows: Tensor = take(self.weight, input, 0)
        if self.padding_idx is None:
            return rows
        padding = expand_dims(array == self.padding_idx, -1)
        return where(padding, rows.detach(), rows)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}" + (
            "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        )


def _row(padding_idx: int | None, rows: int) -> int | None:
    """The number of a row that may be counted from the end; ValueError if there is none."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(
            f"Padding_idx must be within num_embeddings: {padding_idx} is none of {rows}"
        )
    return padding_idx % rows


class LayerNorm(Module):
    """Normalised over the last axes, those of `normalized_shape`: see `functional.layer_norm`.

    weight starts as ones and bias as zeros, both in `normalized_shape`; there is no weight and no
    bias with `elementwise_affine=False`, and no bias with `bias=False`.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = functional.as_shape(normalized_shape)
        for size in self.normalized_shape:
            check_sizes(normalized_shape=size)
        self.eps, self.elementwise_affine = to_python(eps), elementwise_affine
        self.weight = self.bias = None
        if elementwise_affine:
            self.weight = parameter(*self.normalized_shape, device=device, dtype=dtype)
            init.ones_(self.weight)
            if bias:
                self.bias = parameter(*self.normalized_shape, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, affine={self.elementwise_affine}"


class Dropout(Module):
    """In training, each element is 0 with probability p and the others grow by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability("dropout", p)

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
