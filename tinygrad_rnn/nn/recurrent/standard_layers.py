"""Recurrent layers with PyTorch's constructors, parameter names and calls.

    outputs, h_n = nn.GRU(input_size, hidden_size, num_layers)(input, h_0)
    outputs, (h_n, c_n) = nn.LSTM(input_size, hidden_size, num_layers)(input, (h_0, c_0))

Each class is a `Recurrent` network of one type of cell. `Recurrent` documents shapes and options.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .gru_cells import GRUCell
from .layer import Recurrent
from .lstm_cells import LayerNormLSTMCell, LSTMCell, PeepholeLSTMCell
from .rnn_cells import JordanRNNCell, RNNCell


class RNN(Recurrent):
    """Elman network: one or more layers of `RNNCell`. See `Recurrent` for shapes and options.

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    num_layers : int, default 1
        Number of layers.
    nonlinearity : {"tanh", "relu", "sigmoid"}, default "tanh"
        Activation function.
    bias : bool, default True
        False omits the biases.
    batch_first : bool, default False
        If True, inputs and outputs are (B, T, ...) instead of (T, B, ...).
    dropout : float, default 0.0
        Dropout probability of the outputs of each layer but the last.
    bidirectional : bool, default False
        If True, each layer also runs backward in time.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.
    **options
        Further options of `Recurrent`, such as `zoneout` or `checkpoint`.

    Examples
    --------
    >>> outputs, h_n = nn.RNN(3, 4, num_layers=2)(ag.zeros((7, 5, 3)))
    >>> outputs.shape, h_n.shape
    ((7, 5, 4), (2, 5, 4))
    """

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
    """Jordan network: one or more layers of `JordanRNNCell`. See `Recurrent` for shapes.

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    num_layers : int, default 1
        Number of layers.
    nonlinearity : {"tanh", "relu", "sigmoid"}, default "tanh"
        Activation function.
    bias : bool, default True
        False omits the biases.
    batch_first : bool, default False
        If True, inputs and outputs are (B, T, ...) instead of (T, B, ...).
    dropout : float, default 0.0
        Dropout probability of the outputs of each layer but the last.
    bidirectional : bool, default False
        If True, each layer also runs backward in time.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.
    output_size : int, optional
        Number of outputs of each cell. The default is H.
    **options
        Further options of `Recurrent`, such as `zoneout` or `checkpoint`.
    """

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
    """Gated recurrent unit (GRU): one or more layers of `GRUCell`.

    See `Recurrent` for shapes and options.

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    num_layers : int, default 1
        Number of layers.
    bias : bool, default True
        False omits the biases.
    batch_first : bool, default False
        If True, inputs and outputs are (B, T, ...) instead of (T, B, ...).
    dropout : float, default 0.0
        Dropout probability of the outputs of each layer but the last.
    bidirectional : bool, default False
        If True, each layer also runs backward in time.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.
    reset_after : bool, default True
        True applies the reset gate after the matrix product, False before.
    **options
        Further options of `Recurrent`, such as `zoneout` or `checkpoint`.

    Examples
    --------
    >>> gru = nn.GRU(3, 4, bidirectional=True)
    >>> outputs, h_n = gru(ag.zeros((7, 5, 3)), lengths=[7, 0, 3, 3, 5])
    >>> outputs.shape, h_n.shape
    ((7, 5, 8), (2, 5, 4))
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
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        cell = GRUCell(input_size, hidden_size, bias, device, dtype, reset_after)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


class LSTM(Recurrent):
    """Long short-term memory (LSTM): one or more layers of `LSTMCell`.

    The state is the pair (h, c). See `Recurrent` for shapes and options.

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    num_layers : int, default 1
        Number of layers.
    bias : bool, default True
        False omits the biases.
    batch_first : bool, default False
        If True, inputs and outputs are (B, T, ...) instead of (T, B, ...).
    dropout : float, default 0.0
        Dropout probability of the outputs of each layer but the last.
    bidirectional : bool, default False
        If True, each layer also runs backward in time.
    proj_size : int, default 0
        Size of the projected output. 0 omits the projection.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.
    **options
        Further options of `Recurrent`, such as `zoneout` or `checkpoint`.

    Examples
    --------
    >>> outputs, (h_n, c_n) = nn.LSTM(3, 4, num_layers=2)(ag.zeros((7, 5, 3)))
    >>> outputs.shape, h_n.shape, c_n.shape
    ((7, 5, 4), (2, 5, 4), (2, 5, 4))
    """

    cell_type: ClassVar[type[LSTMCell]] = LSTMCell

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
        cell = self.cell_type(input_size, hidden_size, bias, device, dtype, proj_size)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


class PeepholeLSTM(LSTM):
    """LSTM with peephole connections: one or more layers of `PeepholeLSTMCell`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        Same as for `LSTM`.
    device, dtype, **options
        Same as for `LSTM`.
    """

    cell_type = PeepholeLSTMCell


class LayerNormLSTM(LSTM):
    """LSTM with layer normalization: one or more layers of `LayerNormLSTMCell`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        Same as for `LSTM`.
    device, dtype, **options
        Same as for `LSTM`.
    """

    cell_type = LayerNormLSTMCell
