"""Binary cross-entropy, squared, absolute and Huber losses: limits and errors."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing.strategies import arrays, shapes
from tinygrad_rnn.nn import functional as F

seeds = st.integers(0, 2**32 - 1)


@given(arrays(shapes(min_side=1)), st.sampled_from([1.0, 1000.0]), st.data())
def test_logits_and_probabilities_give_equal_losses(
    scores: np.ndarray, scale: float, data: st.DataObject
) -> None:
    q = data.draw(arrays(scores.shape, 0, 1))
    x = ag.tensor(scores)
    np.testing.assert_allclose(
        F.binary_cross_entropy_with_logits(x, q).item(),
        F.binary_cross_entropy(ag.sigmoid(x), q).item(),
        rtol=1e-9,
    )
    large = F.binary_cross_entropy_with_logits(x * scale, q, reduction="none").numpy()
    assert np.isfinite(large).all()


def test_binary_cross_entropy_is_limited_at_0_and_1() -> None:
    p = ag.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    values = F.binary_cross_entropy(p, [0.0, 1.0, 1.0, 0.0], reduction="none")
    values.sum().backward()
    assert values.tolist() == [0, 0, 100, 100]
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), [0, 0, -1e12, 1e12])


@pytest.mark.parametrize(
    "loss",
    [
        F.mse_loss,
        F.l1_loss,
        F.huber_loss,
        F.smooth_l1_loss,
        F.binary_cross_entropy,
        F.binary_cross_entropy_with_logits,
    ],
)
def test_targets_are_not_broadcast(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"target size \(\(2,\)\) .* input size \(\(2, 1\)\)"):
        loss(ag.full((2, 1), 0.5), np.ones(2))


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (F.mse_loss, {"reduction": "average"}, 'average is not a valid value .* "none"'),
        (F.huber_loss, {"delta": 0}, "huber_loss does not support non-positive values .*: got 0"),
        (F.huber_loss, {"delta": math.nan}, "non-positive values for delta: got nan"),
        (F.smooth_l1_loss, {"beta": -1}, "smooth_l1_loss does not support negative .*: got -1"),
    ],
)
def test_invalid_options_raise(loss: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(ag.ones(2), ag.ones(2), **options)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_probabilities_must_be_between_0_and_1(probability: float) -> None:
    with pytest.raises(
        ValueError, match="input should be between 0 and 1; use binary_cross_entropy_with_logits"
    ):
        F.binary_cross_entropy(ag.tensor([0.5, probability]), [0.0, 1.0])
