"""Autoregression and persistence, and errors of forecasters that are comparable with them."""

import numpy as np
import pytest

from tinygrad_rnn import nn
from tinygrad_rnn.models import Autoregression, Forecaster, best_autoregression, persistence

pytestmark = pytest.mark.host


def test_forecasters_and_baselines_have_the_same_error_measure() -> None:
    """A network that adds nothing to the last value equals persistence."""
    x = np.random.default_rng(0).normal(size=(50, 2)).cumsum(0)
    baseline = persistence(2)
    np.testing.assert_array_equal(baseline.predict(x), x)
    assert baseline.error(x, 30) == pytest.approx(np.sqrt(np.mean(np.diff(x[29:], axis=0) ** 2)))
    for batch_first in (False, True):
        model = Forecaster(nn.GRU(2, 3, batch_first=batch_first, dtype="float64"))
        model.double()
        nn.init.zeros_(model.readout.weight)
        nn.init.zeros_(model.readout.bias)
        np.testing.assert_array_equal(model.predict(x), x)
        assert model.error(x, 30) == pytest.approx(baseline.error(x, 30))
        assert model.error(x) == pytest.approx(baseline.error(x))


@pytest.mark.filterwarnings("error")
def test_forecasts_have_the_dtype_of_the_model() -> None:
    model = Forecaster(nn.GRU(2, 3, dtype="float32"))
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert model.predict(x).dtype == np.float32
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype("float32")))
    assert model.error(x.tolist()) == pytest.approx(model.error(x))


def test_the_error_needs_forecasts_of_all_columns() -> None:
    model = Forecaster(nn.GRU(3, 4), columns=1)
    assert model.predict(np.zeros((5, 3))).shape == (5, 1)
    with pytest.raises(ValueError, match="reads 3 columns and predicts 1"):
        model.error(np.zeros((5, 3)))


def test_autoregression_recovers_the_coefficients() -> None:
    rng = np.random.default_rng(0)
    x = np.zeros((4000, 2))
    a, b = np.array([[0.5, 0.2], [-0.3, 0.4]]), np.array([[0.2, 0.0], [0.1, -0.3]])
    for t in range(2, len(x)):
        x[t] = [1, -1] + x[t - 1] @ a + x[t - 2] @ b + 0.1 * rng.normal(size=2)
    model = Autoregression(2).fit(x)
    np.testing.assert_allclose(model.coefficients, np.vstack([[1, -1], a, b]), atol=0.05)
    np.testing.assert_allclose(model.predict(x)[-1], [1, -1] + x[-1] @ a + x[-2] @ b, atol=0.05)
    assert len(model.predict(x)) == len(x) - 1
    assert model.error(x) == pytest.approx(0.1, rel=0.05)
    assert best_autoregression(x[:3000], x[3000:], [0, 1, 2]).order == 2
    assert Autoregression(0).fit(x).predict(x)[0] == pytest.approx(x[:-1].mean(0), rel=0.01)
