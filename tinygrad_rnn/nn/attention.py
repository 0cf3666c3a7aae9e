"""Attention over a memory, such as the outputs of an encoder.

    e_j = score(q, h_j)        a = softmax(e)        context = sum_j a_j h_j

for a query q of Q elements and memory vectors h_j of C elements. A subclass of `Attention` defines
the score. The base class implements ragged memories, the order of the axes and the weighted mean.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, arange, expand_dims, matmul, softmax, swapaxes, tanh, tensor, where

from ..summary import summary_repr
from .layers import Linear
from .module import Module, to_model_device
from .parameter import check_sizes


class Memory(NamedTuple):
    """Memory prepared by `Attention.prepare`, with the batch axis first."""

    keys: Tensor
    """Keys (B, T, K), to which queries are compared."""
    values: Tensor
    """Memory vectors (B, T, C), 0 beyond the length of each sequence."""
    mask: Tensor | None
    """Length mask (B, T), True for the steps of each sequence. None if all have T steps."""

    def __repr__(self) -> str:
        return summary_repr(self)


class Attention(Module):
    """Dot-product attention score(q, h) = q^T h, and base class of other attentions.

    A subclass defines `score`, and `keys` if part of the score does not depend on the query.

    Parameters
    ----------
    query_size : int
        Size Q of a query.
    memory_size : int
        Size C of a memory vector.
    batch_first : bool, default False
        If True, queries are (B, T', Q), the memory is (B, T, C) and contexts are (B, T', C).
    """

    def __init__(self, query_size: int, memory_size: int, batch_first: bool = False) -> None:
        check_sizes(query_size=query_size, memory_size=memory_size)
        self.query_size, self.memory_size = query_size, memory_size
        self.batch_first = batch_first

    def keys(self, memory: Tensor) -> Tensor:
        """Compute the part of the scores that does not depend on the query.

        Parameters
        ----------
        memory : Tensor, shape (B, T, C)
            Memory vectors.

        Returns
        -------
        Tensor, shape (B, T, K)
        """
        return memory

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Compute the scores.

        Parameters
        ----------
        query : Tensor, shape (B, T', Q)
            Queries.
        keys : Tensor, shape (B, T, K)
            Result of `keys`.

        Returns
        -------
        Tensor, shape (B, T', T)
        """
        return matmul(query, keys.mT)  # type: ignore[no-any-return]

    def prepare(self, memory: Any, lengths: Any = None) -> Memory:
        """Prepare a memory for any number of queries.

        Parameters
        ----------
        memory : Tensor or array_like, shape (T, B, C), or (B, T, C) with batch_first
            Memory vectors.
        lengths : Tensor or array_like of int, shape (B,), optional
            Number of steps of each sequence. Later steps have no influence.

        Returns
        -------
        Memory
            Prepared memory, which can be passed to the module instead of the vectors.

        Raises
        ------
        ValueError
            If shapes do not match, the memory is empty, or lengths are out of range.
        """
        values = to_model_device(self, memory)
        if values.ndim != 3 or values.shape[-1] != self.memory_size:
            order = "(B, T, C)" if self.batch_first else "(T, B, C)"
            raise ValueError(
                f"memory must have shape {order} with C = memory_size = {self.memory_size}, "
                f"got {values.shape}"
            )
        values = values if self.batch_first else swapaxes(values, 0, 1)
        batch, steps, _ = values.shape
        if not steps:
            raise ValueError("memory must have at least one step; use lengths= for empty sequences")
        if lengths is None:
            return Memory(self.keys(values), values, None)
        lengths = tensor(lengths, device=values.device)
        if lengths.shape != (batch,) or (batch and lengths.dtype.kind not in "iu"):
            raise ValueError(
                f"lengths must be one integer for each of the {batch} sequences, "
                f"got shape {lengths.shape} {lengths.dtype}"
            )
        least, most = (int(lengths.min()), int(lengths.max())) if batch else (0, 0)
        if least < 0 or most > steps:
            raise ValueError(
                f"lengths must be between 0 and the {steps} steps of the memory, "
                f"got {least} to {most}"
            )
        mask = arange(steps, device=values.device) < expand_dims(lengths, 1)
        values = where(expand_dims(mask, 2), values, 0)  # 0 * nan would be nan
        return Memory(self.keys(values), values, mask)

    def forward(self, query: Any, memory: Any, lengths: Any = None) -> tuple[Tensor, Tensor]:
        """Compute contexts and attention weights.

        Parameters
        ----------
        query : Tensor or array_like, shape (B, Q) or (T', B, Q)
            One query per sequence, or T' queries; (B, T', Q) with batch_first.
        memory : Tensor, array_like or Memory, shape (T, B, C)
            Memory vectors, (B, T, C) with batch_first, or the result of `prepare`.
        lengths : Tensor or array_like of int, shape (B,), optional
            Number of steps of each sequence.

        Returns
        -------
        context : Tensor, shape (B, C) or (T', B, C)
            Weighted means, (B, T', C) with batch_first. 0 for a sequence of length 0.
        weights : Tensor, shape (B, T) or (B, T', T)
            Each row sums to 1, or is 0 for a sequence of length 0.

        Raises
        ------
        ValueError
            If shapes do not match.
        """
        query = to_model_device(self, query)
        if not isinstance(memory, Memory):
            memory = self.prepare(memory, lengths)
        is_single, is_time_major = query.ndim == 2, query.ndim == 3 and not self.batch_first
        if is_single:
            query = expand_dims(query, 1)
        elif is_time_major:
            query = swapaxes(query, 0, 1)
        batch = len(memory.values)
        if query.ndim != 3 or (query.shape[0], query.shape[2]) != (batch, self.query_size):
            raise ValueError(
                f"queries must have batch size {batch} and query_size = {self.query_size}, "
                f"got shape {query.shape} with the batch first"
            )
        weights = _masked_softmax(self.score(query, memory.keys), memory.mask)
        context = matmul(weights, memory.values)
        if is_single:
            return context[:, 0], weights[:, 0]
        return (swapaxes(context, 0, 1) if is_time_major else context), weights

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}"


class DotAttention(Attention):
    """Dot-product attention score(q, h) = q^T h, or q^T h / sqrt(Q) if scaled.

    Parameters
    ----------
    query_size, memory_size : int
        Size of a query and of a memory vector, which must be equal.
    scaled : bool, default False
        If True, divide the scores by sqrt(Q).
    batch_first : bool, default False
        If True, the batch is the first axis of queries, memory and contexts.

    Raises
    ------
    ValueError
        If the sizes differ.

    References
    ----------
    Luong, Pham & Manning 2015, "Effective approaches to attention-based neural machine
    translation", eq. 8 (dot). Vaswani et al. 2017, "Attention is all you need", eq. 1 (scaled).
    """

    def __init__(
        self, query_size: int, memory_size: int, scaled: bool = False, batch_first: bool = False
    ) -> None:
        if query_size != memory_size:
            raise ValueError(
                f"DotAttention requires query_size == memory_size, got {query_size} and "
                f"{memory_size}; use GeneralAttention for different sizes"
            )
        super().__init__(query_size, memory_size, batch_first)
        self.scaled = scaled

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        e = super().score(query, keys)
        return e / math.sqrt(self.query_size) if self.scaled else e


class GeneralAttention(Attention):
    """Bilinear attention score(q, h) = q^T W h.

    Parameters
    ----------
    query_size : int
        Size Q of a query.
    memory_size : int
        Size C of a memory vector.
    batch_first : bool, default False
        If True, the batch is the first axis of queries, memory and contexts.

    Attributes
    ----------
    W : Linear
        Weight of shape (Q, C).

    References
    ----------
    Luong, Pham & Manning 2015, "Effective approaches to attention-based neural machine
    translation", eq. 8 (general).
    """

    def __init__(self, query_size: int, memory_size: int, batch_first: bool = False) -> None:
        super().__init__(query_size, memory_size, batch_first)
        self.W = Linear(memory_size, query_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.W(memory)  # type: ignore[no-any-return]


class AdditiveAttention(Attention):
    """Additive attention score(q, h) = v^T tanh(W q + U h).

    Parameters
    ----------
    query_size : int
        Size Q of a query.
    memory_size : int
        Size C of a memory vector.
    hidden_size : int, optional
        Number H of hidden units. The default is Q.
    batch_first : bool, default False
        If True, the batch is the first axis of queries, memory and contexts.

    Attributes
    ----------
    W, U, v : Linear
        Weights of shape (H, Q), (H, C) and (1, H).

    References
    ----------
    Bahdanau, Cho & Bengio 2015, "Neural machine translation by jointly learning to align and
    translate", appendix A.1.2.
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        hidden_size: int | None = None,
        batch_first: bool = False,
    ) -> None:
        super().__init__(query_size, memory_size, batch_first)
        H = query_size if hidden_size is None else hidden_size
        self.W = Linear(query_size, H, bias=False)
        self.U = Linear(memory_size, H, bias=False)
        self.v = Linear(H, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.U(memory)  # type: ignore[no-any-return]

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        q, k = expand_dims(self.W(query), 2), expand_dims(keys, 1)
        return self.v(tanh(q + k))[..., 0]  # type: ignore[no-any-return]


def _masked_softmax(e: Tensor, mask: Tensor | None) -> Any:
    """Return the softmax of scores (B, T', T) over the steps in the mask, and 0 elsewhere."""
    if mask is None:
        return softmax(e)
    mask = expand_dims(mask, 1)
    # exp(lowest) is 0, and exp(lowest - lowest) is 1 for a sequence of length 0.
    lowest = float(np.finfo(e.dtype).min) / 2
    return where(mask, softmax(where(mask, e, lowest)), 0)
