"""Simple recurrent cells: Elman, IRNN and Jordan networks.

In the equations of all cells W x is W_ih x + b_ih + b_hh, the result of `precompute`, W_h h is the
product with the last output, and `*` is elementwise.
"""

from __future__ import annotations

from typing import Any

from autograd import Tensor, eye, relu, sigmoid, tanh

from .. import init
from ..functional import linear
from ..parameter import Parameter
from .cell import Cell

ACTIVATIONS = {"tanh": tanh, "relu": relu, "sigmoid": sigmoid}


def activation(name: str) -> Any:
    """Return the activation function of a name; raise ValueError if the name is unknown."""
    if name not in ACTIVATIONS:
        raise ValueError(f"Unknown nonlinearity {name!r}. Select from {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class RNNCell(Cell):
    """Simple recurrent (Elman) cell.

    One step computes::

        h' = phi(W x + W_h h)

    W x denotes W_ih x + b_ih + b_hh. State and output are h (B, H).

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    bias : bool, default True
        False omits the biases.
    nonlinearity : {"tanh", "relu", "sigmoid"}, default "tanh"
        The function phi.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.

    Attributes
    ----------
    weight_ih : Parameter, shape (H, I)
        Input weights. All parameters are initialized from U(-1/sqrt(H), 1/sqrt(H)).
    weight_hh : Parameter, shape (H, H)
        Recurrent weights.
    bias_ih, bias_hh : Parameter of shape (H,), or None
        Biases.

    References
    ----------
    Elman 1990, "Finding structure in time".
    """

    pure = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        activation(nonlinearity)  # raise an error before parameters are created
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def step(self, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h = activation(self.nonlinearity)(x + self.recurrent(state))
        return h, h


class IRNNCell(RNNCell):
    """Rectified linear recurrent cell that is initialized as an accumulator.

    One step computes::

        h' = relu(W x + W_h h)

    W_hh is initialized with the identity, the biases with 0, and W_ih from N(0, 0.001^2). Shapes
    are the same as for `RNNCell`.

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

    References
    ----------
    Le, Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of rectified linear
    units", section 2.
    """

    pure = True

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
    """Jordan cell, whose output is fed back.

    One step computes::

        h  = phi(W x + W_h y)
        y' = W_ho h + b_ho

    W x denotes W_ih x + b_ih + b_hh. State and output are y (B, O).

    Parameters
    ----------
    input_size : int
        Number I of input features.
    hidden_size : int
        Number H of hidden units.
    output_size : int, optional
        Number O of outputs. The default is H.
    bias : bool, default True
        False omits the biases.
    nonlinearity : {"tanh", "relu", "sigmoid"}, default "tanh"
        The function phi.
    device : str, optional
        Device of the parameters.
    dtype : dtype, optional
        Floating-point dtype of the parameters.

    Attributes
    ----------
    weight_ih : Parameter, shape (H, I)
        Input weights. All parameters are initialized from U(-1/sqrt(H), 1/sqrt(H)).
    weight_hh : Parameter, shape (H, O)
        Recurrent weights.
    bias_ih, bias_hh : Parameter of shape (H,), or None
        Biases.
    weight_ho : Parameter, shape (O, H)
        Output weights.
    bias_ho : Parameter of shape (O,), or None
        Output bias.

    References
    ----------
    Jordan 1986, "Serial order: a parallel distributed processing approach".
    """

    pure = True

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
        activation(nonlinearity)  # raise an error before parameters are created
        super().__init__(input_size, hidden_size, bias, device, dtype, output_size=output_size)
        self.nonlinearity = nonlinearity

    def more_parameters(self, bias: bool) -> None:
        self.weight_ho = self.uniform(self.output_size, self.hidden_size)
        self.bias_ho = self.uniform(self.output_size) if bias else None

    def step(self, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        h = activation(self.nonlinearity)(x + self.recurrent(state))
        y = linear(h, self.weight_ho, self.bias_ho)
        return y, y
