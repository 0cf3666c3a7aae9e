"""The demo of truncated backpropagation: its streams and its gradients."""

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn.demos.scripts import find_scripts

pytestmark = [pytest.mark.host, pytest.mark.demo]


def test_the_target_is_the_input_bit_lag_steps_earlier() -> None:
    tbptt = find_scripts()["tbptt"].load_module()
    x, y = tbptt.stream(np.random.default_rng(0), 40)
    assert set(np.unique(x)) == {-1, 1}
    assert ((x[: -tbptt.LAG] > 0) == (y[tbptt.LAG :] > 0)).all()


def test_a_window_of_the_whole_stream_gives_the_full_gradient() -> None:
    tbptt = find_scripts()["tbptt"].load_module()
    ag.manual_seed(0)
    model = tbptt.DelayNetwork(4, dtype=float)
    x, y = tbptt.stream(np.random.default_rng(0), 12, float)
    scores, _ = model(ag.tensor(x))
    gradients = ag.gradients(tbptt.error(scores, y) * len(y), list(model.parameters()))
    expected = np.concatenate([gradient.numpy().ravel() for gradient in gradients])
    actual = tbptt.truncated_gradient(model, x, y, 3, 12)
    np.testing.assert_allclose(actual, expected, atol=1e-12)
    truncated = tbptt.truncated_gradient(model, x, y, 3, 4)
    assert not np.allclose(truncated, expected, atol=1e-3)
