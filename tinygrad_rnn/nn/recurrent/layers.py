"""Recurrent layers by name, with PyTorch's constructors, parameter names and call:

    outputs, h_n = nn.GRU(input_size, hidden_size, num_layers)(input, h_0)
    outputs, (h_n, c_n) = nn.LSTM(input_size, hidden_size, num_layers)(input, (h_0, c_0))

Each is `Recurrent` of one cell; see there for shapes, and for the further options that all take.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .cells import GRUCell, JordanRNNCell, LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell, RNNCell
from .layer import Recurrent


class RNN(Recurrent):
    """Layers of `RNNCell`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        cell = RNNCell(input_size, hidden_size, bias, nonlinearity, device, dtype)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


class JordanRNN(Recurrent):
    """Layers of `JordanRNNCell`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: Any = None,
        output_size: int | None = None,
        **options: Any,
    ) -> None:
        cell = JordanRNNCell(
            input_size, hidden_size, output_size, bias, nonlinearity, device, dtype
        )
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


class GRU(Recurrent):
    """Layers of `GRUCell`."""

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
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        cell = GRUCell(input_size, hidden_size, bias, device, dtype, reset_after)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


class LSTM(Recurrent):
    """Layers of `LSTMCell`."""

    cell: ClassVar[type[LSTMCell]] = LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: str | None = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        cell = self.cell(input_size, hidden_size, bias, device, dtype, proj_size)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


class PeepholeLSTM(LSTM):
    """Layers of `PeepholeLSTMCell`."""

    cell = PeepholeLSTMCell


class LayerNormLSTM(LSTM):
    """Layers of `LayerNormLSTMCell`."""

    cell = LayerNormLSTMCell
