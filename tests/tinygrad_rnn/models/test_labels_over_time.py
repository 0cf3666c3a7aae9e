"""Class probabilities of a classifier after every step."""

from typing import Any

import numpy as np
import pytest
from recurrences import assert_close

import autograd as ag
from tinygrad_rnn import models, nn


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_predictions_over_time_equal_predictions_of_prefixes(layer: Any, batch_first: bool) -> None:
    model = models.SequenceClassifier(layer(4, 3, batch_first=batch_first), 5, symbols=6)
    x = np.random.default_rng(0).integers(0, 6, (4, 2))
    if batch_first:
        predicted = model.predict_over_time(x.T)
        prefixes = [model(x.T[:, : t + 1]) for t in range(4)]
    else:
        predicted = model.predict_over_time(x).swapaxes(0, 1)
        prefixes = [model(x[: t + 1]) for t in range(4)]
    assert predicted.shape == (2, 4, 5)
    assert_close(predicted, ag.softmax(ag.stack(prefixes, 1)), 1e-6)


def test_other_poolings_and_bidirectional_layers_raise() -> None:
    for model in (
        models.SequenceClassifier(nn.GRU(2, 3), 2, pooling="mean"),
        models.SequenceClassifier(nn.GRU(2, 3, bidirectional=True), 2),
    ):
        with pytest.raises(ValueError, match="require pooling='last' and a unidirectional layer"):
            model.predict_over_time(np.zeros((4, 3, 2)))
