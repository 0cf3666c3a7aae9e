"""Conversion of Keras weights. PyTorch weights need no conversion: use `load_state_dict`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .recurrent import Cell, GRUCell, LSTMCell, Recurrent, RNNCell

__all__ = ["from_keras"]

KERAS_GATES: dict[type[Cell], tuple[int, ...]] = {
    RNNCell: (0,),
    LSTMCell: (0, 1, 2, 3),  # Keras: i, f, c, o; here: i, f, g, o
    GRUCell: (1, 0, 2),  # Keras: z, r, h; here: r, z, n
}
"""Index of each gate in the order of Keras."""


def from_keras(layer: Any, kernel: Any, recurrent_kernel: Any, bias: Any = None) -> None:
    """Set the weights of a layer from `keras_layer.get_weights()`.

    Parameters
    ----------
    layer : Cell or Recurrent
        Counterpart of a SimpleRNN, LSTM or GRU: a cell, or a layer of one cell. For a layer with
        several cells, convert each cell `layer.cells[k]`.
    kernel : array_like, shape (I, G * H)
        Input weights of G gates.
    recurrent_kernel : array_like, shape (H, G * H)
        Recurrent weights.
    bias : array_like, shape (G * H,) or (2, 3 * H), optional
        Bias, which is written to bias_ih; bias_hh becomes 0. A GRU with `reset_after=True`, the
        default in Keras, has two biases, and the cell must have the same option.

    Raises
    ------
    ValueError
        If the layer has more than one cell or no counterpart in Keras, or if shapes do not match.
    """
    cells = list(layer.cells) if isinstance(layer, Recurrent) else [layer]
    if len(cells) != 1:
        raise ValueError(
            f"from_keras expects one cell, got a layer of {len(cells)} cells; pass layer.cells[k]"
        )
    cell: Any = cells[0]
    if type(cell) not in KERAS_GATES:
        raise ValueError(f"Keras has no counterpart of {type(cell).__name__}")
    order = KERAS_GATES[type(cell)]

    def reorder(array: Any) -> np.ndarray:
        """Return the array with the gates in the order of the cell."""
        array = np.asarray(array)
        if array.shape[-1] % len(order):
            raise ValueError(
                f"the last axis must be divisible by the {len(order)} gates, "
                f"got shape {array.shape}"
            )
        gates = np.split(array, len(order), axis=-1)
        return np.concatenate([gates[index] for index in order], axis=-1)

    state = {"weight_ih": reorder(kernel).T, "weight_hh": reorder(recurrent_kernel).T}
    if bias is not None:
        biases = reorder(bias)
        if (biases.ndim == 2) != (isinstance(cell, GRUCell) and cell.reset_after):
            raise ValueError(
                f"a bias of shape {biases.shape} does not match {cell!r}: a Keras GRU with "
                "reset_after=True has two biases (2, 3 * H), other layers have one; "
                "use the same reset_after as in Keras"
            )
        state["bias_ih"], state["bias_hh"] = (
            biases if biases.ndim == 2 else (biases, np.zeros_like(biases))
        )
    cell.load_state_dict(state)
