"""The forecaster: equations, derivatives, fed-back forecasts and learning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cases import make_layer, randomized, seeds
from recurrences import KINDS, assert_close, check_parameters

import autograd as ag
from tinygrad_rnn import models, nn, optim, training
from tinygrad_rnn.nn import functional as F


@given(st.sampled_from(sorted(KINDS)), st.integers(1, 2), st.booleans(), st.booleans(), seeds)
def test_forecasts_follow_the_equation(
    kind: str, num_layers: int, batch_first: bool, residual: bool, seed: int
) -> None:
    """The series is read at once, in two parts, and without a batch."""
    layer = make_layer(kind, num_layers=num_layers, batch_first=batch_first)
    model = randomized(models.Forecaster(layer, residual=residual), seed)
    x = np.random.default_rng(seed).normal(size=(5, 3, 2))
    past = x.swapaxes(0, 1) if batch_first else x
    y, last = model(past)
    w, h = model.state_dict(), layer(past)[0].numpy()
    assert_close(
        y,
        h @ w["readout.weight"].T
        + w["readout.bias"]
        + (past @ w["skip.weight"].T if residual else 0),
    )
    axes = (slice(None),) * batch_first
    first, state = model(past[(*axes, slice(2))])
    second, state = model(past[(*axes, slice(2, None))], state)
    assert_close(ag.concatenate([first, second], int(batch_first)), y)
    for actual, expected in zip(ag.flatten(state), ag.flatten(last), strict=True):
        assert_close(actual, expected)
    assert_close(model(x[:, 1])[0], (y.swapaxes(0, 1) if batch_first else y)[:, 1])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("batch", [True, False])
def test_forecasts_are_fed_back(batch_first: bool, batch: bool) -> None:
    """The result equals a repeated forward pass, but each step reads only the last forecast."""
    model = randomized(models.Forecaster(make_layer("LSTM", batch_first=batch_first, num_layers=2)))
    x = np.random.default_rng(0).normal(size=(5, 3, 2) if batch else (5, 2))
    is_batch_first = batch and batch_first
    past, time = (x.swapaxes(0, 1) if is_batch_first else x), int(is_batch_first)
    steps: list[int] = []
    model.recurrent.register_forward_pre_hook(lambda _, args: steps.append(args[0].shape[time]))
    forecast = model.forecast(past, 4)
    assert steps == [5, 1, 1, 1]
    assert not forecast.requires_grad
    whole = np.concatenate([past, forecast.numpy()], time)
    for t in range(4):
        past, last = ([slice(None)] * time + [s] for s in (slice(5 + t), slice(4 + t, 5 + t)))
        expected = model(whole[tuple(past)])[0].numpy()[tuple(last)]
        assert_close(expected, whole[(*[slice(None)] * time, slice(5 + t, 6 + t))])


@pytest.mark.parametrize("columns", [None, 1])
def test_the_initial_forecast_is_the_last_value(columns: int | None) -> None:
    """The output layer is 0. With a different number of columns, the residual is 0 as well."""
    model = models.Forecaster(nn.GRU(2, 3), columns)
    for parameter in model.readout.parameters():
        nn.init.zeros_(parameter)
    x = np.ones((4, 3, 2), np.float32)
    expected = x if columns is None else np.zeros((4, 3, 1))
    np.testing.assert_array_equal(model(x)[0].numpy(), expected)


def test_derivatives_of_forecasts_to_second_order() -> None:
    model = randomized(models.Forecaster(make_layer("GRU")))
    x = np.random.default_rng(0).normal(size=(3, 2, 2))
    check_parameters(model, lambda: model(x))


@pytest.mark.host
def test_a_forecaster_learns_and_continues_streams() -> None:
    """The model is trained by truncated BPTT and forecasts 20 values of a wave."""
    t = np.arange(221)[:, None]
    waves = np.sin(t / 4 + np.array([0, 1])).astype(np.float32)[..., None]  # two streams
    model = models.Forecaster(nn.GRU(1, 16))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.85)
    bptt = training.TruncatedBPTT(k1=20)
    for _ in range(25):
        for forecast, target in bptt.chunks(model, waves[:200], waves[1:201]):
            optimizer.zero_grad()
            F.mse_loss(forecast, target).backward()
            optimizer.step()
        schedule.step()
    error = model.forecast(waves[:201], 20).numpy() - waves[201:]
    assert np.abs(error).mean() < 0.1  # the persistence forecast has 0.8


@pytest.mark.parametrize("warm_up", [0, 1, 2, 5])
def test_error_excludes_the_warm_up(warm_up: int) -> None:
    """The first value is not predicted, so a warm-up of 0 equals a warm-up of 1."""
    model = models.Forecaster(nn.RNN(2, 3))
    series = np.random.default_rng(0).normal(size=(7, 2)).astype("float32")
    first = max(warm_up, 1)
    differences = (model.predict(series)[:-1] - series[1:]).astype(float)[first - 1 :]
    assert len(differences) == 7 - first
    expected = np.sqrt(np.square(differences).mean())
    assert model.error(series, warm_up) == pytest.approx(expected, rel=1e-5)
