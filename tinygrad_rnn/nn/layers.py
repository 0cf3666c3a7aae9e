"""Layers without recurrence: activations, linear maps, embeddings, normalization, dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from autograd import Tensor, backend, expand_dims, no_grad, relu, sigmoid, take, tanh, tensor, where

from ..scalars import check_probability, to_python
from . import functional, init
from .module import Module, to_model_device
from .parameter import Parameter, check_sizes, zero_parameter


class _Elementwise(Module):
    def forward(self, input: Any) -> Any:
        """Apply the function to each element.

        Parameters
        ----------
        input : Tensor
            Input of any shape.

        Returns
        -------
        Tensor
            Output of the same shape.
        """
        raise NotImplementedError


class Identity(_Elementwise):
    """Identity map: the output is the input.

    Parameters
    ----------
    *args, **kwargs
        Ignored.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Any) -> Any:
        return input


class Tanh(_Elementwise):
    """Hyperbolic tangent, elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        return tanh(input)  # type: ignore[no-any-return]


class ReLU(_Elementwise):
    """Rectified linear unit max(x, 0), elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        return relu(input)  # type: ignore[no-any-return]


class Sigmoid(_Elementwise):
    """Logistic function 1 / (1 + exp(-x)), elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        return sigmoid(input)  # type: ignore[no-any-return]


class Softmax(Module):
    """Softmax exp(x) / sum(exp(x)) along an axis.

    Parameters
    ----------
    dim : int
        Axis of the classes.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function along the axis `dim`.

        Parameters
        ----------
        input : Tensor
            Scores.

        Returns
        -------
        Tensor
            Output of the same shape.
        """
        return functional.softmax(input, self.dim)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """Logarithm of the softmax along an axis, accurate where the softmax underflows.

    Parameters
    ----------
    dim : int
        Axis of the classes.
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.log_softmax(input, self.dim)  # type: ignore[no-any-return]


class Linear(Module):
    """Affine map y = x W^T + b of the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Size of the last axis of the input and of the output.
    bias : bool, default True
        False omits b.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
        Initialized from U(-1/sqrt(in_features), 1/sqrt(in_features)).
    bias : Parameter of shape (out_features,), or None
        Initialized from the same distribution.
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
        self.weight = zero_parameter(out_features, in_features, device=device, dtype=dtype)
        init.uniform_(self.weight, -bound, bound)
        self.bias = zero_parameter(out_features, device=device, dtype=dtype) if bias else None
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Tensor:
        """Apply the map to the last axis.

        Parameters
        ----------
        input : Tensor or array_like, shape (..., in_features)
            Input.

        Returns
        -------
        Tensor, shape (..., out_features)

        Raises
        ------
        ValueError
            If the last axis of the input does not have `in_features` elements.
        TypeError
            If the input is a tuple, such as the result of a recurrent layer.
        """
        if isinstance(input, tuple):
            raise TypeError(
                f"Linear({self.extra_repr()}) expects one array, got a tuple; a recurrent layer "
                "returns its outputs and its last state: `outputs, state = layer(x)`"
            )
        x, features = to_model_device(self, input), self.weight.shape[1]
        if x.shape[-1:] != (features,):
            raise ValueError(
                f"the last axis of the input of Linear({self.extra_repr()}) must have {features} "
                f"elements, got shape {x.shape}"
            )
        return functional.linear(x, self.weight, self.bias)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


class Embedding(Module):
    """Table that maps indices to vectors.

    Parameters
    ----------
    num_embeddings : int
        Number of rows of the table.
    embedding_dim : int
        Size of each vector.
    padding_idx : int, optional
        Row that is initialized with zeros and receives no gradient. A negative index counts from
        the end.
    device : str, optional
        Device of the table.
    dtype : dtype, optional
        Floating-point dtype of the table.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        The table, initialized from N(0, 1).

    Raises
    ------
    ValueError
        If `padding_idx` is out of range.
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
        self.weight = zero_parameter(num_embeddings, embedding_dim, device=device, dtype=dtype)
        init.normal_(self.weight)
        self.padding_idx = _row_index(padding_idx, num_embeddings)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """Create an embedding from an existing table.

        Parameters
        ----------
        embeddings : Tensor or array_like, shape (N, E)
            The table, which is copied.
        freeze : bool, default True
            False makes the table learnable.
        padding_idx : int, optional
            Row that receives no gradient. It keeps its value.

        Returns
        -------
        Embedding

        Raises
        ------
        ValueError
            If `embeddings` does not have two axes, or `padding_idx` is out of range.
        """
        rows = embeddings if isinstance(embeddings, Tensor) else tensor(embeddings)
        if rows.ndim != 2:
            raise ValueError(f"embeddings must have shape (N, E), got {rows.shape}")
        embedding = cls(0, rows.shape[1])
        embedding.num_embeddings = len(rows)
        embedding.padding_idx = _row_index(padding_idx, len(rows))
        embedding.weight = Parameter(rows.data.copy(), requires_grad=not freeze)
        return embedding

    def forward(self, input: Any) -> Tensor:
        """Look up the rows of the table.

        Parameters
        ----------
        input : Tensor or array_like of int, shape (...)
            Indices from 0 to num_embeddings - 1.

        Returns
        -------
        Tensor, shape (..., embedding_dim)

        Raises
        ------
        IndexError
            If an index is negative or too large.
        TypeError
            If the indices are not integers.
        """
        array = input.data if isinstance(input, Tensor) else input
        array = backend.of_array(self.weight.data).asarray(array)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"the indices of an embedding must be integers, got {array.dtype}")
        if array.size and (int(array.min()) < 0 or int(array.max()) >= self.num_embeddings):
            index = int(array.min()) if int(array.min()) < 0 else int(array.max())
            raise IndexError(
                f"index {index} is out of range for an embedding with {self.num_embeddings} rows"
            )
        rows: Tensor = take(self.weight, input, 0)
        if self.padding_idx is None:
            return rows
        is_padding = expand_dims(array == self.padding_idx, -1)
        return where(is_padding, rows.detach(), rows)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}" + (
            "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        )


def _row_index(padding_idx: int | None, rows: int) -> int | None:
    """Return the non-negative index of a row; raise ValueError if it is out of range."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(
            f"Padding_idx must be within num_embeddings: got {padding_idx} for {rows} rows"
        )
    return padding_idx % rows


class LayerNorm(Module):
    """Layer normalization over the last axes, see `functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Shape of the axes that are normalized together.
    eps : float, default 1e-5
        Constant added to the variance.
    elementwise_affine : bool, default True
        False omits weight and bias.
    bias : bool, default True
        False omits the bias.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.

    Attributes
    ----------
    weight : Parameter of shape `normalized_shape`, or None
        Initialized with ones.
    bias : Parameter of shape `normalized_shape`, or None
        Initialized with zeros.

    References
    ----------
    Ba, Kiros & Hinton 2016, "Layer normalization".
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
            self.weight = zero_parameter(*self.normalized_shape, device=device, dtype=dtype)
            init.ones_(self.weight)
            if bias:
                self.bias = zero_parameter(*self.normalized_shape, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the last axes.

        Parameters
        ----------
        input : Tensor, shape (..., normalized_shape)
            Input.

        Returns
        -------
        Tensor
            Output of the same shape.
        """
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, affine={self.elementwise_affine}"


class Dropout(Module):
    """Dropout: set elements to zero at random in training mode, see `functional.dropout`.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an element is set to zero.

    References
    ----------
    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability("dropout", p)

    def forward(self, input: Tensor) -> Tensor:
        """Apply dropout in training mode; return the input in evaluation mode.

        Parameters
        ----------
        input : Tensor
            Input of any shape.

        Returns
        -------
        Tensor
            Output of the same shape.
        """
        return functional.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
