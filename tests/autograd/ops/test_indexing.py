"""Indexing: dtypes of indices, and gradients that an update would lose."""

from typing import Any

import numpy as np
import pytest
from helpers import on_device, on_host

import autograd as ag


@pytest.mark.parametrize(
    ("indices", "classes", "expected"),
    [
        ([True, False], 2, [[0, 1], [1, 0]]),
        (np.array([[True], [False]]), 3, [[[0, 1, 0]], [[1, 0, 0]]]),
        (True, 2, [0, 1]),
        ([], 3, np.zeros((0, 3))),
        (np.zeros((2, 0), int), 3, np.zeros((2, 0, 3))),
        (np.array([2, 0], np.uint8), 3, [[0, 0, 1], [1, 0, 0]]),
    ],
)
def test_one_hot_of_booleans_and_of_empty_arrays(indices: Any, classes: int, expected: Any) -> None:
    actual = ag.one_hot(indices, classes)
    np.testing.assert_array_equal(actual.numpy(), expected)
    assert actual.shape == np.shape(expected)


@pytest.mark.parametrize("indices", [[0.5], np.array([1.0]), [[0.0], [1.5]]])
@pytest.mark.parametrize(
    "f",
    [
        lambda i: ag.one_hot(i, 2),
        lambda i: ag.take(ag.ones(2), i),
        lambda i: ag.take_along_axis(ag.ones(2), i, None),
    ],
)
def test_indices_must_be_integers(f: Any, indices: Any) -> None:
    indices = on_device(indices) if hasattr(indices, "dtype") else indices
    with pytest.raises(TypeError, match="indices must be integers, got float"):
        f(indices)


@pytest.mark.parametrize("indices", [[True, False], np.array([True, True]), []])
def test_take_with_boolean_and_empty_indices(indices: Any) -> None:
    x = np.array([1.0, 2.0])
    expected = x[np.array(indices, int)]
    indices = on_device(indices) if hasattr(indices, "dtype") else indices
    np.testing.assert_array_equal(ag.take(ag.tensor(x), indices).numpy(), expected)
    np.testing.assert_array_equal(ag.take_along_axis(ag.tensor(x), indices).numpy(), expected)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("index", [0, slice(1), [0]])
def test_index_update_that_would_lose_a_gradient_is_an_error(dtype: Any, index: Any) -> None:
    x = ag.tensor(on_device(np.zeros(2, dtype)))
    value = ag.tensor([0.5], requires_grad=True)
    value = value[0] if index == 0 else value
    with pytest.raises(TypeError, match="would lose the gradient"):
        ag.index_update(x, index, value)
    with ag.no_grad():
        assert ag.index_update(x, index, value).dtype == dtype
    assert on_host(ag.index_update(x, index, value.detach())).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_index_update_of_another_floating_dtype_keeps_the_gradient(dtype: Any) -> None:
    value = ag.tensor(np.array(0.5), requires_grad=True)
    y = ag.index_update(ag.zeros(2, dtype), 0, value)
    assert ag.gradients(y.sum(), value)[0].item() == 1  # type: ignore[union-attr]
