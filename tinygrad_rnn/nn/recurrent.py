"""Recurrent layers: a cell, and the engine's `scan`.

Layers, directions, dropout between layers, batch order and ragged batches are dealt with here,
once, for any cell. `LSTM` and its relatives only say which cell.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from autograd import (
    Tensor,
    arange,
    concatenate,
    expand_dims,
    flatten,
    scan,
    stack,
    swapaxes,
    tensor,
    tree_map,
    unstack,
    where,
)

from . import functional
from .cells import Cell, LSTMCell, check_input
from .module import Module, ModuleList, Parameter


class Recurrent(Module):
    """A stack of cells run over time.

    `make_cell(input_size)` makes one; layer k > 0 reads the outputs of layer k - 1. Parameters are
    named as PyTorch names them: the cell's "weight_ih" is "weight_ih_l0" in layer 0,
    "weight_ih_l0_reverse" in its backward direction.
    """

    def __init__(
        self,
        make_cell: Callable[[int], Cell],
        input_size: int,
        output_size: int,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout probability must lie between 0 and 1, not {dropout}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers, so it does nothing with num_layers=1",
                stacklevel=3,
            )
        self.input_size, self.num_layers, self.directions = (
            input_size,
            num_layers,
            1 + bidirectional,
        )
        self.batch_first, self.dropout = batch_first, dropout
        sizes = [input_size] + [self.directions * output_size] * (num_layers - 1)
        self.cells = ModuleList(make_cell(size) for size in sizes for _ in range(self.directions))

    def _places(self) -> Iterator[tuple[str, Module, str, Parameter]]:
        """Each parameter: its name here, its cell, its name there, itself."""
        for k, cell in enumerate(self.cells):
            layer, backward = divmod(k, self.directions)
            for name, value in cell._own_parameters():
                yield f"{name}_l{layer}" + ("_reverse" if backward else ""), cell, name, value

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        for name, _, _, value in self._places():
            yield name, value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """None by name: the cells' parameters are this module's own."""
        yield from ()

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, cell in self.cells.named_children():
            yield (f"{prefix}.{name}" if prefix else name), cell

    def __getattr__(self, name: str) -> Any:
        if "cells" in vars(self):
            for own, value in self._own_parameters():
                if own == name:
                    return value
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Assigning to `weight_hh_l0` (to tie weights, say) sets the cell's own."""
        for own, cell, inside, _ in self._places() if "cells" in vars(self) else ():
            if own == name:
                setattr(cell, inside, value)
                return
        super().__setattr__(name, value)

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
        """Run over `input` (T, B, I), (B, T, I) with batch_first, or (T, I) without a batch.

        `hx` is the initial state, each leaf (layers * directions, B, ...) (None: the cell's own);
        `lengths` the number of steps of each sequence of a ragged batch. Returns the outputs (T, B,
        directions * H), 0 beyond a sequence's end, and the last states in the form of `hx`: those
        after each sequence's own last step. Raises ValueError for shapes that do not fit.
        """
        xs = input if isinstance(input, Tensor) else tensor(input)
        if xs.ndim not in (2, 3):
            raise ValueError(
                f"input must have 2 dimensions (without a batch) or 3, not shape {xs.shape}"
            )
        check_input(xs, self.input_size)
        if not xs.shape[1 if self.batch_first and xs.ndim == 3 else 0]:
            raise ValueError(
                f"Expected sequence length to be larger than 0, got input of shape {xs.shape}"
            )
        unbatched = xs.ndim == 2
        if unbatched:
            if any(leaf.ndim != 2 for leaf in flatten(hx)):
                dims = next(leaf.ndim for leaf in flatten(hx) if leaf.ndim != 2)
                raise ValueError(
                    f"For unbatched 2-D input, hx should also be 2-D but got {dims}-D tensor"
                )
            xs = expand_dims(xs, 1)
            hx = tree_map(lambda leaf: expand_dims(leaf, 1), hx)
        elif self.batch_first:
            xs = swapaxes(xs, 0, 1)
        if lengths is not None:
            xs = _without_padding(xs, lengths)
        ys, state = self._run(xs, self._split(hx, xs.shape[1]), lengths)
        if unbatched:
            return ys.reshape(ys.shape[0], -1), tree_map(lambda leaf: leaf[:, 0], state)
        return (ys.swapaxes(0, 1) if self.batch_first else ys), state

    def _run(self, xs: Tensor, states: list[Any], lengths: Any) -> tuple[Tensor, Any]:
        """All layers, on (T, B, I), from one state per cell."""
        last = []
        for layer in range(self.num_layers):
            if layer:
                xs = functional.dropout(xs, self.dropout, self.training)
            outputs = []
            for backward in range(self.directions):
                k = layer * self.directions + backward
                cell = self.cells[k]
                assert isinstance(cell, Cell)
                state, ys = scan(
                    cell.step,
                    states[k],
                    cell.precompute(xs),
                    lengths=lengths,
                    reverse=bool(backward),
                )
                outputs.append(ys)
                last.append(state)
            xs = outputs[0] if len(outputs) == 1 else concatenate(outputs, axis=-1)
        return xs, tree_map(lambda *leaves: stack(leaves), last[0], *last[1:])

    def _split(self, hx: Any, batch: int) -> list[Any]:
        """The initial state of each cell, checked."""
        own = [cell.initial_state(batch) for cell in self.cells if isinstance(cell, Cell)]
        if hx is None:
            return own
        tree_map(lambda expected, given: None, own[0], hx)  # the same nesting, or an error
        given = flatten(hx)
        for i, (leaf, one) in enumerate(zip(given, flatten(own[0]), strict=True)):
            if leaf.shape != (len(own), *one.shape):
                raise ValueError(
                    f"Expected hidden[{i}] size {(len(own), *one.shape)}, got {leaf.shape}"
                )
        columns = [iter(unstack(leaf)) for leaf in given]

        def next_state(like: Any) -> Any:
            leaves = iter(columns)
            return tree_map(lambda _: next(next(leaves)), like)

        return [next_state(state) for state in own]

    def extra_repr(self) -> str:
        extra = ", ".join(
            text
            for text, on in (
                (f"num_layers={self.num_layers}", self.num_layers > 1),
                ("batch_first=True", self.batch_first),
                (f"dropout={self.dropout}", self.dropout),
                ("bidirectional=True", self.directions == 2),
            )
            if on
        )
        return self.cells[0].extra_repr() + (f", {extra}" if extra else "")


def _without_padding(xs: Tensor, lengths: Any) -> Tensor:
    """`xs` (T, B, I) with 0 beyond each sequence's end: a nan there would reach the weights'
    gradient, since 0 * nan is nan."""
    lengths = tensor(lengths, device=xs.device)
    if lengths.shape != xs.shape[1:2]:
        raise ValueError(
            f"lengths must be one integer for each of the {xs.shape[1]} sequences, "
            f"not of shape {lengths.shape}"
        )
    running = expand_dims(arange(len(xs), device=xs.device), 1) < lengths
    masked: Tensor = where(expand_dims(running, 2), xs, 0)
    return masked


class LSTM(Recurrent):
    """Layers of `LSTMCell`, with PyTorch's constructor, names and call.

    `outputs, (h_n, c_n) = lstm(input, (h_0, c_0))`; see `LSTMCell` for the equations and
    `Recurrent.forward` for shapes.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.hidden_size = hidden_size
        super().__init__(
            lambda size: LSTMCell(size, hidden_size, bias, device, dtype),
            input_size,
            hidden_size,
            num_layers,
            batch_first,
            dropout,
            bidirectional,
        )
