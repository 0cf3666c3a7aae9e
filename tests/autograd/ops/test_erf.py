"""The rational approximations of the error function."""

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from helpers import on_host
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

GRIDS = {
    "near 0": np.linspace(-1e-3, 1e-3, 999),
    "in all intervals": np.linspace(-7, 7, 20_001),
    "around the limits of intervals": np.concatenate(
        [c + np.linspace(-1e-3, 1e-3, 999) for c in (0.84375, 6)]
    ),
    "hardest in single precision": np.array([0.8627709150314331, 0.8602114319801331, 0.86452252]),
    "over all magnitudes": np.concatenate([s * np.logspace(-300, 300, 999) for s in (-1, 1)]),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:overflow")
def test_erf_is_within_two_units_in_the_last_place(grid: str, dtype: Any) -> None:
    x = GRIDS[grid].astype(dtype)
    exact = np.array([math.erf(float(value)) for value in x])
    ulp = np.spacing(np.abs(exact).astype(dtype))
    y = ag.erf(ag.tensor(x)).numpy()
    assert y.dtype == dtype
    assert (np.abs(y.astype(float) - exact) <= 2 * ulp.astype(float)).all()


@given(st.floats(width=32))
def test_erf_is_odd_and_keeps_special_values(x: float) -> None:
    positive, negative = ag.erf(ag.tensor(np.array([x, -x]))).tolist()
    if math.isnan(x):
        assert math.isnan(positive)
    else:
        assert positive == -negative
        assert math.copysign(1, positive) == math.copysign(1, x)
        assert abs(positive) <= 1
        assert positive == pytest.approx(math.erf(x), rel=1e-15)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(bool, "e"), (np.int8, "e"), (np.int16, "f"), (np.int64, "d"), (np.float16, "e")],
)
def test_erf_has_the_dtype_of_tanh(dtype: Any, expected: str) -> None:
    x = np.array([[0, 1]], dtype)
    y = ag.erf(ag.tensor(x)).numpy()
    assert y.dtype == np.tanh(x).dtype == np.dtype(expected)
    np.testing.assert_allclose(y, [[0, math.erf(1)]], rtol=1e-3 if expected == "e" else 1e-7)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (16_385,), (2, 3, 5)])
@pytest.mark.parametrize("strided", [False, True])
def test_erf_of_every_shape(shape: tuple[int, ...], strided: bool) -> None:
    x = np.linspace(-3, 3, 2 * math.prod(shape)).reshape(*shape, 2)
    x = x[..., 0] if strided else x[..., 0].copy()
    y = ag.erf(ag.tensor(x))
    assert y.shape == shape
    np.testing.assert_allclose(on_host(y), np.vectorize(math.erf, otypes=[float])(x), rtol=1e-15)


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_erf_does_not_create_python_numbers(dtype: Any) -> None:
    x = ag.zeros(300_000, dtype)
    tracemalloc.start()
    try:
        ag.erf(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 28 * x.size  # a Python number takes 24 bytes, and a reference to it 8
