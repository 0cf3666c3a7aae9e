"""Loss modules."""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn


def test_weights_of_losses_are_buffers() -> None:
    loss = nn.CrossEntropyLoss([1.0, 2.0])
    assert {name: value.tolist() for name, value in loss.state_dict().items()} == {"weight": [1, 2]}
    loss.to("float64")
    assert loss.weight.dtype == np.float64
    assert not nn.CrossEntropyLoss().state_dict()
    assert [*nn.NLLLoss([1.0]).state_dict(), *nn.BCELoss([1.0]).state_dict()] == ["weight"] * 2
    loss_with_weights = nn.BCEWithLogitsLoss(ag.ones(1), pos_weight=np.ones(1))
    assert [*loss_with_weights.state_dict()] == ["weight", "pos_weight"]
