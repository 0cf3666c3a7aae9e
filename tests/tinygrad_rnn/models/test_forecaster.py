"""Forecaster: error after a warm-up."""

import numpy as np
import pytest

from tinygrad_rnn import models, nn


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
