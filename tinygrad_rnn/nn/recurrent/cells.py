"""Recurrent cells, written as the textbook writes them.

In the equations W x stands for W_i x + b_i + b_h, which `precompute` has made of the input, and
W_h h for the product with the last output. `*` is elementwise. What the cells share (weights,
biases, their initial values, the state before the first step) is in `Cell`.
"""

from __future__ import annotations

from typing import Any

from autograd import Tensor, eye, relu, sigmoid, split, tanh

from .. import init
from ..functional import layer_norm, linear
from ..module import Parameter
from .cell import Cell

ACTIVATIONS = {"tanh": tanh, "relu": relu, "sigmoid": sigmoid}

Pair = tuple[Tensor, Tensor]


def activation(name: str) -> Any:
    """The function of this name; ValueError if there is none."""
    if name not in ACTIVATIONS:
        raise ValueError(f"Unknown nonlinearity {name!r}. Select from {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


# --- simple networks ------------------------------------------------------------------------------


class RNNCell(Cell):
    """The simple recurrent network (Elman 1990, "Finding structure in time"):

        h' = phi(W x + W_h h)        phi: nonlinearity, "tanh", "relu" or "sigmoid"

    State and output: h (B, H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        activation(nonlinearity)  # or an error, before anything is made
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def step(self, state: Tensor, x: Tensor) -> Pair:
        h = activation(self.nonlinearity)(x + self.recurrent(state))
        return h, h


class IRNNCell(RNNCell):
    """`RNNCell` with relu that starts by adding up what it reads (Le, Jaitly & Hinton 2015, "A
    simple way to initialize recurrent networks of rectified linear units", section 2): W_hh is the
    identity, the biases 0, W_ih from N(0, 0.001^2).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, "relu", device, dtype)

    def more_parameters(self, bias: bool) -> None:
        init.normal_(self.weight_ih, std=0.001)
        self.weight_hh = Parameter(eye(self.hidden_size, **self._placement))
        if bias:
            self.bias_ih = self.constant(0, self.hidden_size)
            self.bias_hh = self.constant(0, self.hidden_size)


class JordanRNNCell(Cell):
    """Jordan's network, whose output is fed back (Jordan 1986, "Serial order: a parallel
    distributed processing approach"):

        h  = phi(W x + W_h y)        phi: nonlinearity, "tanh", "relu" or "sigmoid"
        y' = W_ho h + b_ho

    State and output: y (B, O), with O = output_size (None: H). Besides weight_ih (H, I), weight_hh
    (H, O) and their biases there are weight_ho (O, H) and bias_ho (O).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        activation(nonlinearity)  # or an error, before anything is made
        super().__init__(input_size, hidden_size, bias, device, dtype, output_size=output_size)
        self.nonlinearity = nonlinearity

    def more_parameters(self, bias: bool) -> None:
        self.weight_ho = self.uniform(self.output_size, self.hidden_size)
        self.bias_ho = self.uniform(self.output_size) if bias else None

    def step(self, state: Tensor, x: Tensor) -> Pair:
        h = activation(self.nonlinearity)(x + self.recurrent(state))
        y = linear(h, self.weight_ho, self.bias_ho)
        return y, y


# --- long short-term memory -----------------------------------------------------------------------


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al.
    2000):

        i = sigmoid(W_i x + W_hi h)        c' = f * c + i * g
        f = sigmoid(W_f x + W_hf h)        h' = o * tanh(c')
        g =    tanh(W_g x + W_hg h)
        o = sigmoid(W_o x + W_ho h)

    State (h, c), h (B, H) and c (B, H); output h'. The weights stack the gates in the order i, f,
    g, o. With `proj_size` P (Sak et al. 2014, eq. 6) h' = W_hr (o * tanh(c')) is (B, P): weight_hr
    (P, H), weight_hh (4H, P).
    """

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
                "proj_size has to be smaller than hidden_size, and 0 for no projection: "
                f"got proj_size={proj_size}, hidden_size={hidden_size}"
            )
        width = proj_size or hidden_size
        super().__init__(input_size, hidden_size, bias, device, dtype, output_size=width)
        self.weight_hr = self.uniform(proj_size, hidden_size) if proj_size else None

    def initial_state(self, batch: int) -> Pair:
        return self.zeros(batch, self.output_size), self.zeros(batch, self.hidden_size)

    def step(self, state: Pair, x: Tensor) -> tuple[Pair, Tensor]:
        h, c = state
        i, f, g, o = split(x + self.recurrent(h), 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        h = self.project(o * tanh(c))
        return (h, c), h

    def project(self, h: Any) -> Any:
        """W_hr h, with a projection."""
        return h if self.weight_hr is None else linear(h, self.weight_hr)


class PeepholeLSTMCell(LSTMCell):
    """LSTM whose gates see the cell (Gers, Schraudolph & Schmidhuber 2002, "Learning precise timing
    with LSTM recurrent networks", eqs. 2 to 7):

        i = sigmoid(W_i x + W_hi h + p_i * c)        c' = f * c + i * g
        f = sigmoid(W_f x + W_hf h + p_f * c)        h' = o * tanh(c')
        g =    tanh(W_g x + W_hg h)
        o = sigmoid(W_o x + W_ho h + p_o * c')

    As `LSTMCell`, and weight_ch (3H): p_i, p_f, p_o. The output gate sees the new c.
    """

    def more_parameters(self, bias: bool) -> None:
        self.weight_ch = self.uniform(3 * self.hidden_size)

    def step(self, state: Pair, x: Tensor) -> tuple[Pair, Tensor]:
        h, c = state
        i, f, g, o = split(x + self.recurrent(h), 4, axis=-1)
        p_i, p_f, p_o = split(self.weight_ch, 3)
        i, f, g = sigmoid(i + p_i * c), sigmoid(f + p_f * c), tanh(g)
        c = f * c + i * g
        o = sigmoid(o + p_o * c)
        h = self.project(o * tanh(c))
        return (h, c), h


class CoupledLSTMCell(LSTMCell):
    """LSTM that forgets as much as it lets in, f = 1 - i (Greff et al. 2017, "LSTM: a search space
    odyssey", CIFG):

        i = sigmoid(W_i x + W_hi h)        c' = (1 - i) * c + i * g
        g =    tanh(W_g x + W_hg h)        h' = o * tanh(c')
        o = sigmoid(W_o x + W_ho h)

    As `LSTMCell`, but the weights have three blocks, i, g, o.
    """

    gates = 3

    def step(self, state: Pair, x: Tensor) -> tuple[Pair, Tensor]:
        h, c = state
        i, g, o = split(x + self.recurrent(h), 3, axis=-1)
        i, g, o = sigmoid(i), tanh(g), sigmoid(o)
        c = (1 - i) * c + i * g
        h = self.project(o * tanh(c))
        return (h, c), h


class LayerNormLSTMCell(LSTMCell):
    """LSTM with normalised sums (Ba, Kiros & Hinton 2016, "Layer normalization", eqs. 20 to 22):

        i, f, g, o = LN(W_ih x) + LN(W_hh h) + b_ih + b_hh        c' = f * c + i * g
                     (sigmoid of i, f, o, tanh of g)              h' = o * tanh(LN(c') + b_ch)

    LN(a) = gain * (a - mean a) / sqrt(var a + 1e-5), over the whole vector a. As `LSTMCell`, and
    gain_ih (4H), gain_hh (4H), gain_ch (H), which start from 1, and, with `bias`, bias_ch (H), from
    0. The biases b_ih and b_hh do what the paper's beta_1, beta_2 and b do.
    """

    def more_parameters(self, bias: bool) -> None:
        self.gain_ih = self.constant(1, 4 * self.hidden_size)
        self.gain_hh = self.constant(1, 4 * self.hidden_size)
        self.gain_ch = self.constant(1, self.hidden_size)
        self.bias_ch = self.constant(0, self.hidden_size) if bias else None

    def precompute(self, xs: Tensor) -> Any:
        rows = 4 * self.hidden_size
        return self.biased(layer_norm(linear(xs, self.weight_ih), rows, self.gain_ih))

    def step(self, state: Pair, x: Tensor) -> tuple[Pair, Tensor]:
        h, c = state
        gates = x + layer_norm(self.recurrent(h), 4 * self.hidden_size, self.gain_hh)
        i, f, g, o = split(gates, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * tanh(layer_norm(c, self.hidden_size, self.gain_ch, self.bias_ch))
        h = self.project(h)
        return (h, c), h


# --- gated units with one state -------------------------------------------------------------------


class GRUCell(Cell):
    """The gated recurrent unit (Cho et al. 2014, "Learning phrase representations using RNN
    encoder-decoder", eqs. 5 to 8):

        r = sigmoid(W_r x + W_hr h)        h' = (1 - z) * n + z * h
        z = sigmoid(W_z x + W_hz h)

        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))        reset_after=True: PyTorch, cuDNN
        n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)        reset_after=False: the paper

    The two are different functions: weights learned with one do not fit the other. State and
    output: h (B, H). The weights stack the gates in the order r, z, n.
    """

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
        if self.reset_after:  # r acts on b_hn too
            return linear(xs, self.weight_ih, self.bias_ih)
        return super().precompute(xs)

    def step(self, state: Tensor, x: Tensor) -> Pair:
        h, cut = state, (2 * self.hidden_size,)
        x_rz, x_n = split(x, cut, axis=-1)
        if self.reset_after:
            h_rz, h_n = split(linear(self.seen(h), self.weight_hh, self.bias_hh), cut, axis=-1)
            r, z = split(sigmoid(x_rz + h_rz), 2, axis=-1)
            n = tanh(x_n + r * h_n)
        else:
            W_rz, W_n = split(self.weight_hh, cut)
            r, z = split(sigmoid(x_rz + linear(self.seen(h), W_rz)), 2, axis=-1)
            n = tanh(x_n + linear(r * self.seen(h), W_n))
        h = (1 - z) * n + z * h
        return h, h


class MGUCell(Cell):
    """The minimal gated unit (Zhou et al. 2016, "Minimal gated unit for recurrent neural networks",
    eqs. 8a to 8c):

        f = sigmoid(W_f x + W_hf h)
        n =    tanh(W_n x + W_hn (f * h))        h' = (1 - f) * h + f * n

    State and output: h (B, H). The weights stack f, n.
    """

    gates = 2

    def step(self, state: Tensor, x: Tensor) -> Pair:
        h = state
        x_f, x_n = split(x, 2, axis=-1)
        W_f, W_n = split(self.weight_hh, 2)
        f = sigmoid(x_f + linear(self.seen(h), W_f))
        n = tanh(x_n + linear(f * self.seen(h), W_n))
        h = (1 - f) * h + f * n
        return h, h


class MinGRUCell(Cell):
    """minGRU (Feng et al. 2024, "Were RNNs all we needed?", section 3.1): nothing but the mean
    itself depends on the past.

        z = sigmoid(W_z x + b_z)        h' = (1 - z) * h + z * n
        n = W_n x + b_n

    State and output: h (B, H). weight_ih (2H, I) and bias_ih (2H) stack z, n; there is no
    weight_hh.
    """

    gates = 2

    def more_parameters(self, bias: bool) -> None:
        del self.weight_hh, self.bias_hh

    def precompute(self, xs: Tensor) -> Pair:
        z, n = split(linear(xs, self.weight_ih, self.bias_ih), 2, axis=-1)
        return sigmoid(z), n

    def step(self, state: Tensor, x: Pair) -> Pair:
        z, n = x
        h = (1 - z) * state + z * n
        return h, h
