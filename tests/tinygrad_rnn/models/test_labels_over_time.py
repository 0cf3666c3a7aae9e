"""What a classifier holds a sequence for while it reads: what it says of as much as it has read."""

from typing import Any

import numpy as np
import pytest
from recurrences import assert_close

import autograd as ag
from tinygrad_rnn import models, nn


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_it_is_that_of_what_was_read(layer: Any, batch_first: bool) -> None:
    model = models.SequenceClassifier(layer(4, 3, batch_first=batch_first), 5, symbols=6)
    x = np.random.default_rng(0).integers(0, 6, (4, 2))
    if batch_first:
        held_for = model.predict_over_time(x.T)
        begun = [model(x.T[:, : t + 1]) for t in range(4)]
    else:
        held_for = model.predict_over_time(x).swapaxes(0, 1)
        begun = [model(x[: t + 1]) for t in range(4)]
    assert held_for.shape == (2, 4, 5)
    assert_close(held_for, ag.softmax(ag.stack(begun, 1)), 1e-6)


def test_more_than_the_last_output_is_refused() -> None:
    for model in (
        models.SequenceClassifier(nn.GRU(2, 3), 2, pooling="mean"),
        models.SequenceClassifier(nn.GRU(2, 3, bidirectional=True), 2),
    ):
        with pytest.raises(ValueError, match="known with pooling 'last' and a layer of one"):
            model.predict_over_time(np.zeros((4, 3, 2)))
