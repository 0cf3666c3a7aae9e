"""Recurrent layers: shapes, dropout, carried state, names, errors."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrences import assert_close, sum_of_squares

import autograd as ag
from tinygrad_rnn import nn

I, H = 3, 2
seeds = st.integers(0, 2**32 - 1)


def make_lstm(seed: int = 0, **options: Any) -> nn.LSTM:
    ag.manual_seed(seed)
    return nn.LSTM(I, H, dtype="float64", **options)


def normal(*shape: int, seed: int = 0) -> ag.Tensor:
    return ag.tensor(np.random.default_rng(seed).normal(size=shape))


# Shapes


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans())
def test_shapes_equal_pytorch(
    T: int, B: int, layers: int, batch_first: bool, bidirectional: bool
) -> None:
    """batch_first applies neither to the states nor to unbatched input."""
    D = 1 + bidirectional
    lstm = make_lstm(num_layers=layers, batch_first=batch_first, bidirectional=bidirectional)
    y, (h, c) = lstm(normal(B, T, I) if batch_first else normal(T, B, I))
    assert y.shape == ((B, T, D * H) if batch_first else (T, B, D * H))
    assert h.shape == c.shape == (D * layers, B, H)
    y, (h, c) = lstm(normal(T, I), (normal(D * layers, H), normal(D * layers, H)))
    assert y.shape == (T, D * H)
    assert h.shape == c.shape == (D * layers, H)


@pytest.mark.host  # lengths are on the host
def test_100_000_steps() -> None:
    """The last 1,000 steps alone give the same end, since the forget gates erase the rest."""
    lstm, x = make_lstm(), normal(100_000, 1, I)
    with ag.no_grad():
        y, last = lstm(x)
        end, state = lstm(x[-1000:])
    assert y.shape == (100_000, 1, H)
    assert_close(y[-10:], end[-10:])
    assert_close(last[1], state[1])


# Dropout


def test_dropout_acts_between_layers() -> None:
    """With dropout=1 the last layer reads zeros, and earlier layers have no gradient."""
    lstm = make_lstm(num_layers=3, dropout=1.0)
    last = nn.LSTM(H, H, dtype="float64")
    state = {name: value for name, value in lstm.state_dict().items() if name.endswith("l2")}
    last.load_state_dict({name.replace("l2", "l0"): value for name, value in state.items()})

    y, _ = lstm(normal(4, 2, I))
    assert_close(y, last(ag.zeros((4, 2, H), dtype="float64"))[0])
    sum_of_squares(y).backward()
    for name, parameter in lstm.named_parameters():
        if "ih_l0" in name or "weight_ih_l1" in name:
            assert not parameter.grad.numpy().any()


def test_dropout_in_one_layer_warns() -> None:
    with pytest.warns(UserWarning, match=r"dropout=0.5 .* num_layers=1"):
        nn.LSTM(I, H, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.LSTM(I, H)


# State carried from one chunk to the next


@given(seeds, st.integers(1, 2), st.integers(1, 5))
def test_carrying_the_state_joins_chunks(seed: int, layers: int, split_step: int) -> None:
    lstm, x = make_lstm(seed, num_layers=layers), normal(6, 2, I, seed=seed).requires_grad_()
    leaves = [x, *lstm.parameters()]
    y, last = lstm(x)
    first, state = lstm(x[:split_step])
    second, state = lstm(x[split_step:], state)
    for actual, reference in zip(
        (first, second, *state), (y[:split_step], y[split_step:], *last), strict=True
    ):
        assert_close(actual, reference)
    whole = ag.gradients(sum_of_squares(y), leaves)
    chunks = ag.gradients(sum_of_squares(first, second), leaves)
    for actual, reference in zip(chunks, whole, strict=True):
        assert_close(actual, reference)


def test_detaching_the_state_stops_gradients() -> None:
    """No gradient reaches the previous chunk."""
    lstm, x = make_lstm(), normal(6, 2, I).requires_grad_()
    _, (h, c) = lstm(x[:3])
    y, _ = lstm(x[3:], (h.detach(), c.detach()))
    sum_of_squares(y).backward()
    assert x.grad is not None
    assert not x.grad.numpy()[:3].any()
    assert x.grad.numpy()[3:].all()


def chunked_gradients(lstm: nn.LSTM, x: ag.Tensor, window: int) -> list[Any]:
    """Truncated backpropagation: a backward pass after each window, with a detached state."""
    lstm.zero_grad()
    state = None
    for start in range(0, len(x), window):
        y, (h, c) = lstm(x[start : start + window], state)
        sum_of_squares(y).backward()
        state = h.detach(), c.detach()
    return [parameter.grad for parameter in lstm.parameters()]


@given(seeds, st.integers(1, 8))
def test_truncation_at_the_full_length_equals_full_gradients(seed: int, window: int) -> None:
    lstm, x = make_lstm(seed), normal(5, 2, I, seed=seed)
    truncated, full = chunked_gradients(lstm, x, window), chunked_gradients(lstm, x, 5)
    if window >= 5:
        for actual, reference in zip(truncated, full, strict=True):
            assert_close(actual, reference)
    else:
        assert not np.allclose(truncated[1].numpy(), full[1].numpy(), rtol=1e-10, atol=0)


def test_a_state_that_is_not_detached_raises_in_a_second_backward_pass() -> None:
    lstm = make_lstm()
    y, state = lstm(normal(3, 2, I))
    sum_of_squares(y).backward()
    y, _ = lstm(normal(3, 2, I), state)
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        sum_of_squares(y).backward()


# Names


def test_positional_arguments_equal_pytorch() -> None:
    lstm = nn.LSTM(3, 4, 2, False, True, 0.5, True, 2, "cpu", "float64")
    assert repr(lstm) == (
        "LSTM(3, 4, bias=False, proj_size=2, num_layers=2, batch_first=True, dropout=0.5, "
        "bidirectional=True)"
    )
    gru = nn.GRU(3, 4, 2, False, True, 0.5, True, "cpu", "float64")
    assert repr(gru) == repr(lstm).replace("LSTM", "GRU").replace("proj_size=2, ", "")
    for make in (nn.RNN, nn.JordanRNN):
        rnn = make(3, 4, 2, "relu", False, True, 0.5, True, "cpu", "float64")
        assert rnn.extra_repr() == gru.extra_repr().replace(
            "bias=False", "bias=False, nonlinearity='relu'"
        )
    for layer in (lstm, gru, rnn):
        assert (layer.input_size, layer.hidden_size, layer.bidirectional) == (3, 4, True)
        assert {p.dtype for p in layer.parameters()} == {np.dtype("float64")}


@pytest.mark.parametrize(
    "name", ["RNN", "GRU", "LSTM", "JordanRNN", "PeepholeLSTM", "LayerNormLSTM"]
)
def test_named_layers_equal_recurrent_of_their_cell(name: str) -> None:
    layer = getattr(nn, name)(3, 4, 2, bidirectional=True)
    cell = getattr(nn, f"{name}Cell")
    assert all(type(layer_cell) is cell for layer_cell in layer.cells)
    recurrent = nn.Recurrent(cell(3, 4), 2, bidirectional=True)
    recurrent.load_state_dict(layer.state_dict())
    x = normal(5, 2, 3).astype("float32")
    assert_close(layer(x)[0], recurrent(x)[0])


@given(seeds)
def test_the_two_biases_have_equal_gradients(seed: int) -> None:
    """The exception is n of a GRU: the reset gate scales its second bias."""
    for make, blocks in ((nn.LSTM, 4), (nn.GRU, 2), (nn.RNN, 1)):
        ag.manual_seed(seed)
        layer = make(I, H, dtype="float64")
        sum_of_squares(layer(normal(3, 2, I, seed=seed))[0]).backward()
        g_ih, g_hh = layer.bias_ih_l0.grad, layer.bias_hh_l0.grad
        assert_close(g_ih[: blocks * H], g_hh[: blocks * H])
        assert make is not nn.GRU or not np.allclose(g_ih.numpy(), g_hh.numpy(), rtol=1e-6, atol=0)


# Error messages


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make_lstm()(normal(4, 2, I + 1)),
            r"input.size\(-1\) must be equal to input_size. Expected 3, got 4",
        ),
        (
            lambda: nn.LSTMCell(I, H)(normal(2, I + 1)),
            r"input.size\(-1\) must be equal to input_size. Expected 3, got 4",
        ),
        (
            lambda: make_lstm()(normal(4, 2, I), (normal(1, 3, H), normal(1, 2, H))),
            r"Expected hidden\[0\] size \(1, 2, 2\), got \(1, 3, 2\)",
        ),
        (
            lambda: make_lstm()(normal(4, 2, I), (normal(1, 2, H), normal(2, 2, H))),
            r"Expected hidden\[1\] size \(1, 2, 2\), got \(2, 2, 2\)",
        ),
        (
            lambda: make_lstm()(normal(4, I), (normal(2, H), normal(2, H))),
            r"Expected hidden\[0\] size",
        ),
        (lambda: make_lstm()(normal(4, 2, I), normal(1, 2, H)), r"\(\*, \*\) and \*"),
        (lambda: make_lstm()(normal(I)), "2 dimensions"),
        (lambda: make_lstm()(normal(1, 4, 2, I)), "2 dimensions"),
        (lambda: make_lstm()(normal(0, 2, I)), "sequence length to be larger than 0"),
        (
            lambda: make_lstm(batch_first=True)(normal(2, 0, I)),
            "sequence length to be larger than 0",
        ),
        (lambda: make_lstm()(normal(4, 2, I), lengths=[1, 2, 3]), "each of the 2 sequences"),
        (lambda: make_lstm()(normal(4, 2, I), lengths=4), "each of the 2 sequences"),
        (
            lambda: make_lstm()(normal(4, 2, I), lengths=[1, 5]),
            "between 0 and 4, the number",
        ),
        (
            lambda: make_lstm()(normal(4, 2, I), lengths=[-1, 4]),
            "between 0 and 4, the number",
        ),
        (lambda: make_lstm()(normal(4, 2, I), lengths=[1.0, 4.0]), "integer"),
        (lambda: make_lstm(num_layers=0), "num_layers must be a positive integer, got 0"),
        (lambda: make_lstm(num_layers=2, dropout=1.5), "between 0 and 1, but got 1.5"),
        (lambda: make_lstm(num_layers=2, dropout=-0.1), "between 0 and 1, but got -0.1"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_assigning_a_parameter_ties_weights() -> None:
    """After `b.weight_hh_l0 = a.weight_hh_l0`, b computes with, lists and saves the weight of a."""
    a, b = nn.LSTM(2, 3), nn.LSTM(2, 3)
    b.weight_hh_l0 = a.weight_hh_l0
    assert dict(b.named_parameters())["weight_hh_l0"] is a.weight_hh_l0
    b.weight_ih_l0, b.bias_ih_l0, b.bias_hh_l0 = a.weight_ih_l0, a.bias_ih_l0, a.bias_hh_l0
    x = np.ones((4, 1, 2), np.float32)
    assert a(x)[0].tolist() == b(x)[0].tolist()


def test_unbatched_input_requires_unbatched_states() -> None:
    state = ag.zeros((1, 1, 4))
    with pytest.raises(ValueError, match="hx should also be 2-D but got 3-D"):
        nn.LSTM(3, 4)(np.zeros((5, 3), np.float32), (state, state))
