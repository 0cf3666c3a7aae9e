"""Attention: a memory read by a query, as the mean of what it holds.

    e_j = score(q, h_j)        a = softmax(e)        context = sum_j a_j h_j

An attention is a way to score; ragged memories, batch order and the mean are dealt with here, once,
for any of them. The h_j are vectors of C numbers, the outputs of an encoder, say; q has Q.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, arange, expand_dims, matmul, softmax, swapaxes, tanh, tensor, where

from ..summary import summary_repr
from .layers import Linear
from .module import Module, check_sizes


class Memory(NamedTuple):
    """A memory as an attention has prepared it, once for all queries. The batch comes first."""

    keys: Tensor
    """What queries are compared with (B, T, K)."""
    values: Tensor
    """The memory itself (B, T, C), 0 beyond each sequence's end."""
    running: Tensor | None
    """Which of its steps there are (B, T); None: all."""

    def __repr__(self) -> str:
        return summary_repr(self)


class Attention(Module):
    """Derive from this to write an attention: say what `keys` and `score` are.

    Here score(q, h) = q'h, for Q = C.
    """

    def __init__(self, query_size: int, memory_size: int, batch_first: bool = False) -> None:
        check_sizes(query_size=query_size, memory_size=memory_size)
        self.query_size, self.memory_size = query_size, memory_size
        self.batch_first = batch_first

    def keys(self, memory: Tensor) -> Tensor:
        """What of the scores does not depend on the query (B, T, K), of a memory (B, T, C)."""
        return memory

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """e (B, T', T) for queries (B, T', Q)."""
        return matmul(query, keys.mT)  # type: ignore[no-any-return]

    def prepare(self, memory: Any, lengths: Any = None) -> Memory:
        """What queries need of a memory (T, B, C), or (B, T, C) with batch_first.

        Sequence b of it ends after lengths[b] steps; what stands beyond has no influence. Raises
        ValueError for shapes and lengths that do not fit.
        """
        values = memory if isinstance(memory, Tensor) else tensor(memory)
        if values.ndim != 3 or values.shape[-1] != self.memory_size:
            order = "(B, T, C)" if self.batch_first else "(T, B, C)"
            raise ValueError(
                f"a memory is of shape {order} with C = memory_size = {self.memory_size}, "
                f"not {values.shape}"
            )
        values = values if self.batch_first else swapaxes(values, 0, 1)
        batch, steps, _ = values.shape
        if not steps:
            raise ValueError("a memory has at least one step; lengths= may say that none counts")
        if lengths is None:
            return Memory(self.keys(values), values, None)
        lengths = tensor(lengths, device=values.device)
        if lengths.shape != (batch,) or (batch and lengths.dtype.kind not in "iu"):
            raise ValueError(
                f"lengths must be one integer for each of the {batch} memories, "
                f"not of shape {lengths.shape} {lengths.dtype}"
            )
        least, most = (int(lengths.min()), int(lengths.max())) if batch else (0, 0)
        if least < 0 or most > steps:
            raise ValueError(
                f"lengths must lie between 0 and the {steps} steps there are, not {least} to {most}"
            )
        running = arange(steps, device=values.device) < expand_dims(lengths, 1)
        values = where(expand_dims(running, 2), values, 0)  # 0 * nan would be nan
        return Memory(self.keys(values), values, running)

    def forward(self, query: Any, memory: Any, lengths: Any = None) -> tuple[Tensor, Tensor]:
        """The context and the weights: for one query for each memory (B, Q), (B, C) and (B, T); for
        T' of them, (T', B, Q), (T', B, C) and (B, T', T).

        `memory` and `lengths` are as in `prepare`, or `memory` is what that returned. With
        batch_first, queries are (B, T', Q) and contexts (B, T', C). Each row of the weights adds up
        to 1; a memory of length 0 has weights and contexts 0. Raises ValueError for shapes that do
        not fit.
        """
        query = query if isinstance(query, Tensor) else tensor(query)
        if not isinstance(memory, Memory):
            memory = self.prepare(memory, lengths)
        single, turned = query.ndim == 2, query.ndim == 3 and not self.batch_first
        if single:
            query = expand_dims(query, 1)
        elif turned:
            query = swapaxes(query, 0, 1)
        batch = len(memory.values)
        if query.ndim != 3 or (query.shape[0], query.shape[2]) != (batch, self.query_size):
            raise ValueError(
                f"queries for {batch} memories need {batch} rows of query_size = "
                f"{self.query_size} numbers, with the batch first their shape is {query.shape}"
            )
        weights = _softmax(self.score(query, memory.keys), memory.running)
        context = matmul(weights, memory.values)
        if single:
            return context[:, 0], weights[:, 0]
        return (swapaxes(context, 0, 1) if turned else context), weights

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}"


class DotAttention(Attention):
    """score(q, h) = q'h (Luong, Pham & Manning 2015, "Effective approaches to attention-based
    neural machine translation", eq. 8, dot); with `scaled` q'h / sqrt(Q) (Vaswani et al. 2017,
    "Attention is all you need", eq. 1).

    Raises ValueError if queries and memory differ in size.
    """

    def __init__(
        self, query_size: int, memory_size: int, scaled: bool = False, batch_first: bool = False
    ) -> None:
        if query_size != memory_size:
            raise ValueError(
                f"queries of size {query_size} have no dot product with a memory of size "
                f"{memory_size}; GeneralAttention maps one to the other"
            )
        super().__init__(query_size, memory_size, batch_first)
        self.scaled = scaled

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        e = super().score(query, keys)
        return e / math.sqrt(self.query_size) if self.scaled else e


class GeneralAttention(Attention):
    """score(q, h) = q'W h (Luong et al. 2015, eq. 8, general), W (Q, C)."""

    def __init__(self, query_size: int, memory_size: int, batch_first: bool = False) -> None:
        super().__init__(query_size, memory_size, batch_first)
        self.W = Linear(memory_size, query_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return self.W(memory)  # type: ignore[no-any-return]


class AdditiveAttention(Attention):
    """score(q, h) = v' tanh(W q + U h) (Bahdanau, Cho & Bengio 2015, "Neural machine translation by
    jointly learning to align and translate", appendix A.1.2).

    W (H, Q), U (H, C), v (1, H), with H = hidden_size (None: Q).
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


def _softmax(e: Tensor, running: Tensor | None) -> Any:
    """softmax of the scores (B, T', T) over the steps that there are; 0 where there are none."""
    if running is None:
        return softmax(e)
    running = expand_dims(running, 1)
    lowest = (
        float(np.finfo(e.dtype).min) / 2
    )  # its exponential is 0, but not that of lowest - lowest
    return where(running, softmax(where(running, e, lowest)), 0)
