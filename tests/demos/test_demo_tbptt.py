"""The demonstration of truncated back-propagation: its streams and its gradients."""

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn.demos.scripts import find_scripts

pytestmark = [pytest.mark.host, pytest.mark.demo]


def test_the_bit_to_repeat_is_the_one_of_so_many_steps_ago() -> None:
    tbptt = find_scripts()["tbptt"].load_module()
    x, y = tbptt.stream(np.random.default_rng(0), 40)
    assert set(np.unique(x)) == {-1, 1}
    assert ((x[: -tbptt.LAG] > 0) == (y[tbptt.LAG :] > 0)).all()


def test_the_whole_window_gives_the_gradient_of_the_summed_error() -> None:
    tbptt = find_scripts()["tbptt"].load_module()
    ag.manual_seed(0)
    model = tbptt.Repeater(4, dtype=float)
    x, y = tbptt.stream(np.random.default_rng(0), 12, float)
    scores, _ = model(ag.tensor(x))
    weights = list(model.parameters())
    whole = ag.gradients(tbptt.error(scores, y) * len(y), weights)
    expected = np.concatenate([slope.numpy().ravel() for slope in whole])
    np.testing.assert_allclose(tbptt.gradient(model, x, y, 3, 12), expected, atol=1e-12)
    assert not np.allclose(tbptt.gradient(model, x, y, 3, 4), expected, atol=1e-3)
