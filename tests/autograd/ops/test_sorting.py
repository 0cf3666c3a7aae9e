"""Sorting: `top_k` and `median` for every dtype and for nan."""

from typing import Any

import numpy as np
import pytest

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
def test_top_k_of_every_dtype_counts_nan_as_largest(
    values: list[Any], dtype: Any, expected: list[int]
) -> None:
    x = np.array(values, dtype)
    for k in range(len(values) + 1):
        actual, indices = ag.top_k(ag.tensor(x), k)
        assert indices.tolist() == expected[:k]
        np.testing.assert_array_equal(actual.numpy(), x[expected[:k]])
        assert actual.dtype == dtype


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_top_k_along_an_axis(axis: int) -> None:
    x = np.array([[3, 1, 2, 3], [0, 5, 5, 0], [2, 2, 1, 7]], np.uint8)
    actual, indices = ag.top_k(ag.tensor(x), 2, axis)
    order = np.argsort(-x.astype(int), axis, kind="stable").take([0, 1], axis)
    np.testing.assert_array_equal(indices.numpy(), order)
    np.testing.assert_array_equal(actual.numpy(), np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_median_with_nan_is_nan(axis: Any, keepdims: bool, dtype: Any) -> None:
    x = np.array([[1, NAN, 3], [4, 2, -INF], [NAN, NAN, NAN], [0, 1, INF]], dtype)
    actual = ag.median(ag.tensor(x), axis, keepdims)
    expected = np.median(x, axis, keepdims=keepdims)
    np.testing.assert_array_equal(actual.numpy(), expected)
    assert actual.dtype == dtype


def test_nan_does_not_change_the_gradient_of_other_medians() -> None:
    t = ag.tensor([[1.0, NAN, 2.0], [3.0, 1.0, 2.0]], requires_grad=True)
    ag.median(t, 1).sum().backward()
    assert t.grad is not None
    assert t.grad[1].tolist() == [0, 0, 1]
