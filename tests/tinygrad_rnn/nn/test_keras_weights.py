"""Conversion of Keras weights, against the equations in the Keras documentation."""

from typing import Any

import numpy as np
import pytest
from recurrences import assert_close, sigmoid

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.nn.keras_weights import from_keras


def keras_simple_rnn(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h = np.zeros(len(R))
    for t in range(len(x)):
        h = np.tanh(x[t] @ K + b + h @ R)
    return h


def keras_lstm(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h = c = np.zeros(len(R))
    for t in range(len(x)):
        i, f, g, o = np.split(x[t] @ K + h @ R + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def keras_gru_reset_after(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h = np.zeros(len(R))
    for t in range(len(x)):
        x_z, x_r, x_h = np.split(x[t] @ K + b[0], 3)
        h_z, h_r, h_h = np.split(h @ R + b[1], 3)
        z = sigmoid(x_z + h_z)
        h = z * h + (1 - z) * np.tanh(x_h + sigmoid(x_r + h_r) * h_h)
    return h


def keras_gru_reset_before(x: np.ndarray, K: Any, R: Any, b: Any) -> np.ndarray:
    h, U = np.zeros(len(R)), len(R)
    for t in range(len(x)):
        x_z, x_r, x_h = np.split(x[t] @ K + b, 3)
        z = sigmoid(x_z + h @ R[:, :U])
        r = sigmoid(x_r + h @ R[:, U : 2 * U])
        h = z * h + (1 - z) * np.tanh(x_h + (r * h) @ R[:, 2 * U :])
    return h


@pytest.mark.parametrize(
    ("make", "equations", "gates", "biases"),
    [
        (nn.RNN, keras_simple_rnn, 1, ()),
        (nn.LSTM, keras_lstm, 4, ()),
        (nn.GRU, keras_gru_reset_after, 3, (2,)),
        (lambda *a, **o: nn.GRU(*a, **o, reset_after=False), keras_gru_reset_before, 3, ()),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_equal_the_equations_of_keras(
    make: Any, equations: Any, gates: int, biases: tuple[int, ...], bias: bool
) -> None:
    rng = np.random.default_rng(0)
    x, K, R, b = (
        rng.normal(size=shape)
        for shape in ((5, 2), (2, 3 * gates), (3, 3 * gates), (*biases, 3 * gates))
    )
    layer = make(2, 3, bias=bias, dtype="float64")
    from_keras(layer, K, R, *([b] if bias else []))
    y, _ = layer(ag.tensor(x))
    assert_close(y[-1], equations(x, K, R, b if bias else np.zeros_like(b)))


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (nn.LSTM(2, 3, 2), [(2, 12), (3, 12), (12,)], "got a layer of 2 cells"),
        (nn.GRU(2, 3), [(2, 9), (3, 9), (9,)], "reset_after"),
        (nn.GRU(2, 3, reset_after=False), [(2, 9), (3, 9), (2, 9)], "reset_after"),
        (nn.LSTM(2, 3), [(2, 12), (3, 12), (2, 12)], "bias of shape"),
        (nn.LSTM(2, 3), [(2, 9), (3, 9), (9,)], "must be divisible by the 4 gates"),
        (nn.LSTM(2, 3), [(4, 12), (3, 12), (12,)], "weight_ih: expected shape"),
        (nn.LSTM(2, 3), [(2, 12), (3, 12)], "missing: bias_ih"),
        (nn.PeepholeLSTM(2, 3), [(2, 12), (3, 12), (12,)], "no counterpart of PeepholeLSTMCell"),
    ],
)
def test_errors(layer: nn.Recurrent, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_keras(layer, *map(np.zeros, shapes))
