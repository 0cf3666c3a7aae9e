"""Conversion between parameters and one vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing.strategies import arrays, shapes
from tinygrad_rnn import nn


@given(st.lists(arrays(shapes()), min_size=1, max_size=4))
def test_parameters_to_vector_and_back(values: list[np.ndarray]) -> None:
    parameters = [nn.Parameter(value) for value in values]
    vector = nn.utils.parameters_to_vector(iter(parameters))
    assert vector.tolist() == [number for value in values for number in value.ravel().tolist()]
    vector.backward(np.arange(vector.size, dtype=float))
    gradients = [parameter.grad for parameter in parameters]
    nn.utils.vector_to_parameters(vector.detach() * 2, iter(parameters))
    for parameter, value in zip(parameters, values, strict=True):
        assert parameter.tolist() == (2 * value).tolist()
    gradient = nn.utils.parameters_to_vector([g for g in gradients if g is not None])
    assert gradient.tolist() == list(range(vector.size))


def test_a_vector_of_another_size_raises() -> None:
    parameters = [nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(()))]
    for shape in ((2,), (4,), (3, 1)):
        with pytest.raises(ValueError, match=r"expected a vector of 3 elements, .* got shape \("):
            nn.utils.vector_to_parameters(ag.ones(shape), parameters)
    assert parameters[0].tolist() == [0, 0]
