"""Functions of `nn.functional` other than losses."""

import math

import numpy as np

import autograd as ag
from tinygrad_rnn.nn import functional as F


def test_functions_have_pytorchs_arguments() -> None:
    x = np.array([[0.0, math.log(3)], [math.log(7), 0.0]])
    for softmax in (F.softmax, lambda x, dim: ag.exp(F.log_softmax(x, dim=dim))):
        np.testing.assert_allclose(softmax(x, dim=0), [[1 / 8, 3 / 4], [7 / 8, 1 / 4]])
        np.testing.assert_allclose(softmax(x, dim=-1), [[1 / 4, 3 / 4], [7 / 8, 1 / 8]])
    assert F.relu(x - 1).tolist() == np.maximum(x - 1, 0).tolist()
    assert F.tanh(x).tolist() == ag.tanh(x).tolist()
    assert F.sigmoid(x).tolist() == ag.sigmoid(x).tolist()
