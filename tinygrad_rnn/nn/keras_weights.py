"""Weights from elsewhere. PyTorch's need nothing: `load_state_dict` takes its names and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .recurrent.cell import Cell
from .recurrent.cells import GRUCell, LSTMCell, RNNCell
from .recurrent.layer import Recurrent

KERAS_BLOCKS: dict[type[Cell], tuple[int, ...]] = {
    RNNCell: (0,),
    LSTMCell: (0, 1, 2, 3),  # i, f, c, o there; i, f, g, o here
    GRUCell: (1, 0, 2),  # z, r, h there; r, z, n here
}
"""For each of our gates the block of Keras' that holds it."""


def from_keras(layer: Any, kernel: Any, recurrent_kernel: Any, bias: Any = None) -> None:
    """Set a layer's weights from `keras_layer.get_weights()`.

    `layer` is a SimpleRNN's, LSTM's or GRU's counterpart: a cell, or a layer of one cell; of a
    larger one take the cells, `layer.cells[k]`. Keras has kernels (I, G*H) and (H, G*H), the
    transposes of ours, in gate orders of its own, and one bias (G*H), which becomes bias_ih while
    bias_hh becomes 0. Its GRU has two (2, 3H) with reset_after=True, its default: the same option
    is `reset_after` here. Raises ValueError for arrays that do not fit.
    """
    cells = list(layer.cells) if isinstance(layer, Recurrent) else [layer]
    if len(cells) != 1:
        raise ValueError(f"a layer of {len(cells)} cells: give from_keras one of layer.cells")
    cell: Any = cells[0]
    if type(cell) not in KERAS_BLOCKS:
        raise ValueError(f"Keras has no counterpart of {type(cell).__name__}")
    order = KERAS_BLOCKS[type(cell)]

    def ours(array: Any) -> np.ndarray:
        """The last axis in our order of gates."""
        array = np.asarray(array)
        if array.shape[-1] % len(order):
            raise ValueError(f"{array.shape} does not divide into {len(order)} gates")
        parts = np.split(array, len(order), axis=-1)
        return np.concatenate([parts[block] for block in order], axis=-1)

    state = {"weight_ih": ours(kernel).T, "weight_hh": ours(recurrent_kernel).T}
    if bias is not None:
        given = ours(bias)
        if (given.ndim == 2) != (isinstance(cell, GRUCell) and cell.reset_after):
            raise ValueError(
                f"a bias of shape {given.shape}: Keras' GRU has two, (2, 3H), with "
                "reset_after=True, and everything else one; set reset_after here as it is there"
            )
        two = given if given.ndim == 2 else (given, np.zeros_like(given))
        state["bias_ih"], state["bias_hh"] = two
    cell.load_state_dict(state)
