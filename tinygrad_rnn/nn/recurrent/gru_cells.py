"""Gated cells with one state: GRU, MGU and minGRU.

The notation of the equations is the same as in `rnn_cells`.
"""

from __future__ import annotations

from typing import Any

from autograd import Tensor, sigmoid, split, tanh

from ..functional import linear
from .cell import Cell


class GRUCell(Cell):
    """Gated recurrent unit.

    One step computes::

        r = sigmoid(W_r x + W_hr h)        h' = (1 - z) * n + z * h
        z = sigmoid(W_z x + W_hz h)

        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))        reset_after=True: PyTorch, cuDNN
        n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)        reset_after=False: Cho et al.

    The arguments of sigmoid also include the biases b_ih + b_hh. State and output are h (B, H).
    The two variants are different functions: weights learned with one do not work with the other.

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    bias : bool, default True
        False omits the biases.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.
    reset_after : bool, default True
        True applies the reset gate after the matrix product, False before.

    Attributes
    ----------
    weight_ih : Parameter, shape (3 * H, I)
        Input weights of the gates r, z, n. All parameters are initialized from
        U(-1/sqrt(H), 1/sqrt(H)).
    weight_hh : Parameter, shape (3 * H, H)
        Recurrent weights.
    bias_ih, bias_hh : Parameter of shape (3 * H,), or None
        Biases.

    References
    ----------
    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation", eqs. 5 to 8.
    """

    pure = True
    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
        reset_after: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.reset_after = reset_after

    def precompute(self, xs: Tensor) -> Any:
        if self.reset_after:  # the reset gate also scales b_hn, so the step adds bias_hh
            return linear(xs, self.weight_ih, self.bias_ih)
        return super().precompute(xs)

    def step(self, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h, boundary = state, (2 * self.hidden_size,)
        h_in = self.apply_recurrent_dropout(h)
        x_rz, x_n = split(x, boundary, axis=-1)
        if self.reset_after:
            h_rz, h_n = split(linear(h_in, self.weight_hh, self.bias_hh), boundary, axis=-1)
            r, z = split(sigmoid(x_rz + h_rz), 2, axis=-1)
            n = tanh(x_n + r * h_n)
        else:
            W_rz, W_n = split(self.weight_hh, boundary)
            r, z = split(sigmoid(x_rz + linear(h_in, W_rz)), 2, axis=-1)
            n = tanh(x_n + linear(r * h_in, W_n))
        h = (1 - z) * n + z * h
        return h, h


class MGUCell(Cell):
    """Minimal gated unit.

    One step computes::

        f = sigmoid(W_f x + W_hf h)
        n =    tanh(W_n x + W_hn (f * h))        h' = (1 - f) * h + f * n

    State and output are h (B, H).

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, output_size
        Same as for `Cell`.

    Attributes
    ----------
    weight_ih : Parameter, shape (2 * H, I)
        Input weights of the gates f, n. All parameters are initialized from
        U(-1/sqrt(H), 1/sqrt(H)).
    weight_hh : Parameter, shape (2 * H, H)
        Recurrent weights.
    bias_ih, bias_hh : Parameter of shape (2 * H,), or None
        Biases.

    References
    ----------
    Zhou et al. 2016, "Minimal gated unit for recurrent neural networks", eqs. 8a to 8c.
    """

    pure = True
    gates = 2

    def step(self, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h = state
        h_in = self.apply_recurrent_dropout(h)
        x_f, x_n = split(x, 2, axis=-1)
        W_f, W_n = split(self.weight_hh, 2)
        f = sigmoid(x_f + linear(h_in, W_f))
        n = tanh(x_n + linear(f * h_in, W_n))
        h = (1 - f) * h + f * n
        return h, h


class MinGRUCell(Cell):
    """Minimal GRU (minGRU), whose gate and candidate do not depend on the state.

    One step computes::

        z = sigmoid(W_z x + b_z)        h' = (1 - z) * h + z * n
        n = W_n x + b_n

    State and output are h (B, H).

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, output_size
        Same as for `Cell`.

    Attributes
    ----------
    weight_ih : Parameter, shape (2 * H, I)
        Input weights of z, n. All parameters are initialized from U(-1/sqrt(H), 1/sqrt(H)).
    bias_ih : Parameter of shape (2 * H,), or None
        Bias.

    References
    ----------
    Feng et al. 2024, "Were RNNs all we needed?", section 3.1.
    """

    pure = True
    gates = 2

    def more_parameters(self, bias: bool) -> None:
        del self.weight_hh, self.bias_hh

    def precompute(self, xs: Tensor) -> tuple[Tensor, Tensor]:
        z, n = split(linear(xs, self.weight_ih, self.bias_ih), 2, axis=-1)
        return sigmoid(z), n

    def step(self, state: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        z, n = x
        h = (1 - z) * state + z * n
        return h, h
