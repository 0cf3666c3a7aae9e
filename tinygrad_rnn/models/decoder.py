"""The decoder of an encoder-decoder model or a captioner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from types import MappingProxyType
from typing import Any

from autograd import Tensor, concatenate, flatten, scan, swapaxes, tanh, zeros
from autograd.core.pytree import structure, unflatten
from autograd.runtime.deprecation import RenamedAttribute

from .. import nn
from ..nn.recurrent.pure import declare_pure


class Decoder(nn.Module):
    """Base class of models that generate a sequence conditioned on an encoded input.

    A subclass defines an encoder, and a method `encode` that returns `initial_state(...)`. With
    attention, each step attends to the encoder outputs h_1 ... h_T, the memory (Bahdanau et al.
    2015), in the form of Luong et al. 2015 (equations 5 and 6, and input feeding of section 3.3):

        s_t = cells(s_{t-1}, [y_{t-1}; z_{t-1}])        y: the embedded symbol
        c_t = attention(s_t, h)                         z_0 = 0
        z_t = tanh(W_c [c_t; s_t])                      without attention z_t = s_t, not fed back
        p(y_t | y_1 ... y_{t-1}, input) = softmax(W_s z_t)

    Parameters
    ----------
    symbols : int
        Size V of the output vocabulary.
    cell : nn.Cell
        Template of the decoder's cells; its input size is the embedding dimension.
    num_layers : int
        Number of stacked cells.
    memory_size : int
        Size C of the encoder outputs.
    attention : callable, optional
        A class; `attention(query_size, memory_size)` creates the attention.
    dropout : float
        Dropout probability after the embedding, between the cells and before the output layer.

    References
    ----------
    Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate".

    Luong et al. 2015, "Effective approaches to attention-based neural machine translation".
    """

    batch_first = False
    """True if the batch axis of symbols, logits and memory comes first."""
    scan_options: Mapping[str, Any] = MappingProxyType({})
    """Options of the `scan` over time."""

    def __init__(
        self,
        symbols: int,
        cell: nn.Cell,
        num_layers: int,
        memory_size: int,
        attention: Callable[[int, int], nn.Attention] | None,
        dropout: float,
    ) -> None:
        E, H = cell.input_size, cell.output_size
        self.dropout = nn.Dropout(dropout)
        self.target_embedding = nn.Embedding(symbols, E)
        self.attention = None if attention is None else attention(H, memory_size)
        sizes = [E if attention is None else E + H] + [H] * (num_layers - 1)
        self.cells = nn.ModuleList(map(cell.like, sizes))
        self.combine: Any = None if attention is None else nn.Linear(memory_size + H, H)
        self.readout = nn.Linear(H, symbols)

    def initial_state(self, states: list[Any], memory: Any, lengths: Any = None) -> Any:
        """Return the state before the first symbol.

        Parameters
        ----------
        states : list
            The initial state s_0 of each cell.
        memory : Tensor, shape (T, B, C)
            The encoder outputs; ignored without attention.
        lengths : array_like of int, shape (B,), optional
            The lengths of the encoded sequences; T by default.

        Returns
        -------
        tuple
            The prepared memory, and (s_0, z_0). The batch is the first axis of every leaf.
        """
        if self.attention is None:
            return None, (states, None)
        s = flatten(states)[0]
        z = zeros((len(s), self.readout.in_features), s.dtype, s.device)
        return self.attention.prepare(memory, lengths), (states, z)

    def decode(self, state: Any, target: Any) -> tuple[Tensor, Any]:
        """Compute the logits of a target sequence by teacher forcing.

        Parameters
        ----------
        state : tuple
            A state that `initial_state` returned.
        target : array_like of int, shape (T', B)
            The target sequence, which begins with a start symbol.

        Returns
        -------
        logits : Tensor, shape (T', B, V)
            The logits of the symbol after each target symbol.
        weights : Tensor, shape (B, T', T), or None
            The attention weights; None without attention.
        """
        memory, carry = state
        ys = self.swap_batch_axis(self.dropout(self.target_embedding(target)))

        def functions(modules: Any, tensors: Any) -> Any:
            decoder = copy(self)
            decoder.dropout, decoder.cells, decoder.attention, decoder.combine = modules
            return partial(decoder._step, unflatten(memory, tensors)), None

        modules = self.dropout, self.cells, self.attention, self.combine
        key = type(self)._step, structure(memory)
        step, _ = declare_pure(functions, modules, key, tensors=flatten(memory))
        _, (zs, weights) = scan(step, carry, ys, **self.scan_options)
        logits: Tensor = self.readout(self.dropout(zs))
        return self.swap_batch_axis(logits), None if weights is None else swapaxes(weights, 0, 1)

    def attention_weights(self, state: Any, target: Any) -> Tensor:
        """Return the attention weights of a target sequence.

        Parameters
        ----------
        state : tuple
            A state that `initial_state` returned.
        target : array_like of int, shape (T', B)
            The target sequence, which begins with a start symbol.

        Returns
        -------
        Tensor, shape (B, T', T)
            The weights.

        Raises
        ------
        ValueError
            If the model has no attention.
        """
        if self.attention is None:
            raise ValueError("this model has no attention, so it has no attention weights")
        return self.decode(state, target)[1]  # type: ignore[no-any-return]

    def swap_batch_axis(self, x: Tensor) -> Tensor:
        """Convert between the model's axis order and time-major order.

        Parameters
        ----------
        x : Tensor
            A time-major tensor, or a tensor in the order of `batch_first`.

        Returns
        -------
        Tensor
            `x` with the first two axes swapped if `batch_first` is set, otherwise `x`.
        """
        return swapaxes(x, 0, 1) if self.batch_first else x

    def _step(self, memory: Any, carry: Any, y: Tensor) -> tuple[Any, Any]:
        """Advance (s_{t-1}, z_{t-1}) by y_{t-1} (B, E); output z_t and the attention weights."""
        states, z = carry
        x = y if z is None else concatenate([y, z], axis=-1)
        new_states = []
        cell: Any
        for k, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
            state, x = cell.step(state, cell.precompute(self.dropout(x) if k else x))
            new_states.append(state)
        s = x
        if self.attention is None:
            return (new_states, None), (s, None)
        c, weights = self.attention(s, memory)
        z = tanh(self.combine(concatenate([c, s], axis=-1)))
        return (new_states, z), (z, weights)

    def step(self, state: Any, tokens: Any) -> tuple[Any, Tensor]:
        """Advance by one symbol, for `sample` and `beam_search`.

        Parameters
        ----------
        state : tuple
            The previous state.
        tokens : array_like of int, shape (B,)
            The last symbol of each sequence.

        Returns
        -------
        state : tuple
            The new state.
        logits : Tensor, shape (B, V)
            The logits of the next symbol.
        """
        memory, carry = state
        y = self.dropout(self.target_embedding(tokens))
        carry, (z, _) = self._step(memory, carry, y)
        return (memory, carry), self.readout(self.dropout(z))

    begin = RenamedAttribute("initial_state")
    written = RenamedAttribute("decode")
    look = RenamedAttribute("attention_weights")
    turned = RenamedAttribute("swap_batch_axis")
