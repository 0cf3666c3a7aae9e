"""Long short-term memory cells: LSTM and its variants.

The notation of the equations is the same as in `rnn_cells`.
"""

from __future__ import annotations

from typing import Any

from autograd import Tensor, sigmoid, split, tanh

from ..functional import layer_norm, linear
from .cell import Cell

StatePair = tuple[Tensor, Tensor]


class LSTMCell(Cell):
    """Long short-term memory cell with forget gate.

    One step computes::

        i = sigmoid(W_i x + W_hi h)        c' = f * c + i * g
        f = sigmoid(W_f x + W_hf h)        h' = o * tanh(c')
        g =    tanh(W_g x + W_hg h)
        o = sigmoid(W_o x + W_ho h)

    The products with x include the biases b_ih + b_hh. The state is (h, c), of shapes (B, H), and
    the output is h'. With `proj_size` P the output is h' = W_hr (o * tanh(c')), of shape (B, P).

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of memory cells.
    bias : bool, default True
        False omits the biases.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.
    proj_size : int, default 0
        Size P of the projected output, smaller than H. 0 omits the projection.

    Attributes
    ----------
    weight_ih : Parameter, shape (4 * H, I)
        Input weights of the gates i, f, g, o. All parameters are initialized from
        U(-1/sqrt(H), 1/sqrt(H)).
    weight_hh : Parameter, shape (4 * H, H or P)
        Recurrent weights.
    bias_ih, bias_hh : Parameter of shape (4 * H,), or None
        Biases.
    weight_hr : Parameter of shape (P, H), or None
        Projection.

    Raises
    ------
    ValueError
        If `proj_size` is negative or not smaller than `hidden_size`.

    References
    ----------
    Hochreiter & Schmidhuber 1997, "Long short-term memory". Gers, Schmidhuber & Cummins 2000,
    "Learning to forget" (forget gate). Sak, Senior & Beaufays 2014, "Long short-term memory
    recurrent neural network architectures for large scale acoustic modeling", eq. 6 (projection).
    """

    pure = True
    gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
        proj_size: int = 0,
    ) -> None:
        if proj_size and not 0 < proj_size < hidden_size:
            raise ValueError(
                "proj_size has to be smaller than hidden_size, or 0 for no projection: "
                f"got proj_size={proj_size}, hidden_size={hidden_size}"
            )
        width = proj_size or hidden_size
        super().__init__(input_size, hidden_size, bias, device, dtype, output_size=width)
        self.weight_hr = self.uniform(proj_size, hidden_size) if proj_size else None

    def initial_state(self, batch: int) -> StatePair:
        return self.zeros(batch, self.output_size), self.zeros(batch, self.hidden_size)

    def step(self, state: StatePair, x: Tensor) -> tuple[StatePair, Tensor]:
        h, c = state
        i, f, g, o = split(x + self.recurrent(h), 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        h = self.project(o * tanh(c))
        return (h, c), h

    def project(self, h: Any) -> Any:
        """Return W_hr h, or h if the cell has no projection.

        Parameters
        ----------
        h : Tensor, shape (B, H)
            The output before the projection.

        Returns
        -------
        Tensor, shape (B, output_size)
        """
        return h if self.weight_hr is None else linear(h, self.weight_hr)


class PeepholeLSTMCell(LSTMCell):
    """Long short-term memory cell with peephole connections from the cell state to the gates.

    One step computes::

        i = sigmoid(W_i x + W_hi h + p_i * c)        c' = f * c + i * g
        f = sigmoid(W_f x + W_hf h + p_f * c)        h' = o * tanh(c')
        g =    tanh(W_g x + W_hg h)
        o = sigmoid(W_o x + W_ho h + p_o * c')

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, proj_size
        Same as for `LSTMCell`.

    Attributes
    ----------
    weight_ch : Parameter, shape (3 * H,)
        Peephole weights p_i, p_f, p_o. Other parameters are the same as in `LSTMCell`.

    References
    ----------
    Gers, Schraudolph & Schmidhuber 2002, "Learning precise timing with LSTM recurrent networks",
    eqs. 2 to 7.
    """

    pure = True

    def more_parameters(self, bias: bool) -> None:
        self.weight_ch = self.uniform(3 * self.hidden_size)

    def step(self, state: StatePair, x: Tensor) -> tuple[StatePair, Tensor]:
        h, c = state
        i, f, g, o = split(x + self.recurrent(h), 4, axis=-1)
        p_i, p_f, p_o = split(self.weight_ch, 3)
        i, f, g = sigmoid(i + p_i * c), sigmoid(f + p_f * c), tanh(g)
        c = f * c + i * g
        o = sigmoid(o + p_o * c)
        h = self.project(o * tanh(c))
        return (h, c), h


class CoupledLSTMCell(LSTMCell):
    """Long short-term memory cell with coupled input and forget gates, f = 1 - i (CIFG).

    One step computes::

        i = sigmoid(W_i x + W_hi h)        c' = (1 - i) * c + i * g
        g =    tanh(W_g x + W_hg h)        h' = o * tanh(c')
        o = sigmoid(W_o x + W_ho h)

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, proj_size
        Same as for `LSTMCell`.

    Attributes
    ----------
    weight_ih : Parameter, shape (3 * H, I)
        Input weights of the gates i, g, o. All parameters are initialized from
        U(-1/sqrt(H), 1/sqrt(H)).
    weight_hh : Parameter, shape (3 * H, H or P)
        Recurrent weights.
    bias_ih, bias_hh : Parameter of shape (3 * H,), or None
        Biases.

    References
    ----------
    Greff et al. 2017, "LSTM: a search space odyssey".
    """

    pure = True
    gates = 3

    def step(self, state: StatePair, x: Tensor) -> tuple[StatePair, Tensor]:
        h, c = state
        i, g, o = split(x + self.recurrent(h), 3, axis=-1)
        i, g, o = sigmoid(i), tanh(g), sigmoid(o)
        c = (1 - i) * c + i * g
        h = self.project(o * tanh(c))
        return (h, c), h


class LayerNormLSTMCell(LSTMCell):
    """Long short-term memory cell with layer normalization.

    One step computes::

        i, f, g, o = LN(W_ih x) + LN(W_hh h) + b_ih + b_hh        c' = f * c + i * g
                     (sigmoid of i, f, o; tanh of g)              h' = o * tanh(LN(c') + b_ch)

    with LN(a) = gain * (a - mean a) / sqrt(var a + 1e-5) over the whole vector a. The biases b_ih
    and b_hh replace beta_1, beta_2 and b of the paper.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, proj_size
        Same as for `LSTMCell`.

    Attributes
    ----------
    gain_ih, gain_hh : Parameter, shape (4 * H,)
        Gains of the gates, initialized with 1.
    gain_ch : Parameter, shape (H,)
        Gain of the cell state, initialized with 1.
    bias_ch : Parameter of shape (H,), or None
        Bias of the cell state, initialized with 0. Other parameters are the same as in `LSTMCell`.

    References
    ----------
    Ba, Kiros & Hinton 2016, "Layer normalization", eqs. 20 to 22.
    """

    pure = True

    def more_parameters(self, bias: bool) -> None:
        self.gain_ih = self.constant(1, 4 * self.hidden_size)
        self.gain_hh = self.constant(1, 4 * self.hidden_size)
        self.gain_ch = self.constant(1, self.hidden_size)
        self.bias_ch = self.constant(0, self.hidden_size) if bias else None

    def precompute(self, xs: Tensor) -> Any:
        rows = 4 * self.hidden_size
        return self.add_bias(layer_norm(linear(xs, self.weight_ih), rows, self.gain_ih))

    def step(self, state: StatePair, x: Tensor) -> tuple[StatePair, Tensor]:
        h, c = state
        gates = x + layer_norm(self.recurrent(h), 4 * self.hidden_size, self.gain_hh)
        i, f, g, o = split(gates, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * tanh(layer_norm(c, self.hidden_size, self.gain_ch, self.bias_ch))
        h = self.project(h)
        return (h, c), h
