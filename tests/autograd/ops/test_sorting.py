"""Sorting, selecting and counting by index: all dtypes, nan, and no gradient lost."""

from typing import Any

import numpy as np
import pytest
from helpers import on_device, on_host

import autograd as ag

NAN, INF = np.nan, np.inf
LEAST = np.iinfo(np.int64).min


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 255, 3, 255], np.uint8, [1, 3, 2, 0]),
        ([1, 2**64 - 1, 0], np.uint64, [1, 0, 2]),
        ([LEAST, 0, -1, 5], np.int64, [3, 1, 2, 0]),
        ([-128, 127, 0], np.int8, [1, 2, 0]),
        ([False, True, False, True], bool, [1, 3, 0, 2]),
        ([1, NAN, INF, NAN, -INF], np.float64, [1, 3, 2, 0, 4]),
        ([2, NAN, 2, 3], np.float16, [1, 3, 0, 2]),
    ],
)
def test_top_k_of_every_dtype_counts_nan_as_greatest(
    values: list[Any], dtype: Any, expected: list[int]
) -> None:
    x = np.array(values, dtype)
    for k in range(len(values) + 1):
        found, indices = ag.top_k(ag.tensor(x), k)
        assert indices.tolist() == expected[:k]
        np.testing.assert_array_equal(found.numpy(), x[expected[:k]])
        assert found.dtype == dtype


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_top_k_along_an_axis(axis: int) -> None:
    x = np.array([[3, 1, 2, 3], [0, 5, 5, 0], [2, 2, 1, 7]], np.uint8)
    found, indices = ag.top_k(ag.tensor(x), 2, axis)
    order = np.argsort(-x.astype(int), axis, kind="stable").take([0, 1], axis)
    np.testing.assert_array_equal(indices.numpy(), order)
    np.testing.assert_array_equal(found.numpy(), np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_median_of_nan_is_nan(axis: Any, keepdims: bool, dtype: Any) -> None:
    x = np.array([[1, NAN, 3], [4, 2, -INF], [NAN, NAN, NAN], [0, 1, INF]], dtype)
    found = ag.median(ag.tensor(x), axis, keepdims)
    expected = np.median(x, axis, keepdims=keepdims)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.dtype == dtype


def test_the_median_leaves_the_gradient_of_other_rows_alone() -> None:
    t = ag.tensor([[1.0, NAN, 2.0], [3.0, 1.0, 2.0]], requires_grad=True)
    ag.median(t, 1).sum().backward()
    assert t.grad is not None
    assert t.grad[1].tolist() == [0, 0, 1]


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
def test_one_hot_of_booleans_and_of_nothing(indices: Any, classes: int, expected: Any) -> None:
    found = ag.one_hot(indices, classes)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.shape == np.shape(expected)


@pytest.mark.parametrize("indices", [[0.5], np.array([1.0]), [[0.0], [1.5]]])
@pytest.mark.parametrize(
    "f",
    [
        lambda i: ag.one_hot(i, 2),
        lambda i: ag.take(ag.ones(2), i),
        lambda i: ag.take_along_axis(ag.ones(2), i, None),
    ],
)
def test_indices_that_are_not_integers_are_refused(f: Any, indices: Any) -> None:
    indices = on_device(indices) if hasattr(indices, "dtype") else indices
    with pytest.raises(TypeError, match="indices must be integers, got float"):
        f(indices)


@pytest.mark.parametrize("indices", [[True, False], np.array([True, True]), []])
def test_take_of_booleans_and_of_nothing(indices: Any) -> None:
    x = np.array([1.0, 2.0])
    expected = x[np.array(indices, int)]
    given = on_device(indices) if hasattr(indices, "dtype") else indices
    np.testing.assert_array_equal(ag.take(ag.tensor(x), given).numpy(), expected)
    np.testing.assert_array_equal(ag.take_along_axis(ag.tensor(x), given).numpy(), expected)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("index", [0, slice(1), [0]])
def test_index_update_refuses_to_lose_a_gradient(dtype: Any, index: Any) -> None:
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
