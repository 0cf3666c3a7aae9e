"""Time series: reading, standardization and windows."""

from pathlib import Path

import numpy as np
import pytest
from data_files import write_file
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import data
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # files are processed on the host

SERIES = "day,temperature,wind\n1,10.5,3\n2,-1e1,4\n3,12,5\n4,13,6\n"


def test_time_series(tmp_path: Path) -> None:
    path = write_file(tmp_path, "weather.csv", SERIES)
    series = data.TimeSeries.from_file(path, ["wind", "temperature"])
    assert series.columns == ("wind", "temperature")
    assert series.values.tolist() == [[3, 10.5], [4, -10], [5, 12], [6, 13]]
    assert series.values.dtype == np.float64
    assert data.TimeSeries.from_file(path).columns == ("day", "temperature", "wind")
    assert data.TimeSeries.from_file(path, "wind").values.tolist() == [[3], [4], [5], [6]]
    past, future = series.split(0.5)
    np.testing.assert_array_equal(np.concatenate((past.values, future.values)), series.values)
    scaled = series.scaled(past)
    np.testing.assert_allclose(scaled.values[:2].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.values[:2].std(0), 1, rtol=1e-6)
    assert scaled.values.dtype == series.windows(2).tensors[0].dtype == np.float32
    constant = data.TimeSeries(np.full((300, 1), 0.1), ("c",))
    assert constant.values.std() > 0  # by rounding
    np.testing.assert_allclose(constant.scaled(constant).values, 0, atol=1e-12)


@pytest.mark.parametrize("columns", [("a",), ("b", "a")])
def test_scaling_requires_equal_columns(columns: tuple[str, ...]) -> None:
    series = data.TimeSeries(np.ones((3, len(columns))), columns)
    with pytest.raises(ValueError, match=r"expected the columns of `like`, \('a', 'b'\)"):
        series.scaled(like=data.TimeSeries(np.ones((3, 2)), ("a", "b")))


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(8, 20))
def test_windows_of_a_series(steps: int, horizon: int, every: int, n: int) -> None:
    values = np.arange(2.0 * n).reshape(n, 2)
    windows = data.TimeSeries(values, ("a", "b")).windows(steps, horizon, every)
    starts = range(0, n - steps - horizon + 1, every)
    assert len(windows) == len(starts)
    for i, start in enumerate(starts):
        past, future = windows[i]
        np.testing.assert_array_equal(past.numpy(), values[start : start + steps])
        np.testing.assert_array_equal(
            future.numpy(), values[start + steps : start + steps + horizon]
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a,b\n1,2\n3,four\n",
            r"line 3: expected a number below 1e100 in b, got 'four'.*columns= .*'a', 'b'",
        ),
        ("a,b\n1,2\n,4\n", r"line 3: expected a number below 1e100 in a, got ''"),
        ("0.5,2\n0.6,3\n", r"first line must contain the names of the columns"),
        ("a,b\n1,2\n1,nan\n", r"in b, got 'nan'"),
        ("a,b\n1,2\ninf,x\n", r"in a, got 'inf'"),
        ("a,b\n1,1e100\n1,x\n", r"line 2: .* in b, got '1e100'"),
        ("a,b\n1,2\n1,-1e300\n", r"line 3: expected a number below 1e100 in b, got '-1e300'"),
    ],
)
def test_cells_of_a_series_must_be_numbers(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        data.TimeSeries.from_file(write_file(tmp_path, "a.csv", content))


@pytest.mark.parametrize(
    ("cell", "allowed"),
    [
        *((cell, True) for cell in ("9.9e99", "-9.9e99", "1e-320", "0")),
        *(
            (cell, False)
            for cell in ("1e100", "-1.01e100", "1e150", "-1e308", "inf", "nan", "1e999")
        ),
    ],
)
def test_numbers_of_a_series_have_a_finite_scale(tmp_path: Path, cell: str, allowed: bool) -> None:
    path = write_file(tmp_path, "a.csv", f"a\n1\n{cell}\n-2\n")
    if allowed:
        mean, std = data.TimeSeries.from_file(path).scale()
        assert np.isfinite(mean).all()
        assert np.isfinite(std).all()
        assert (std > 0).all()
    else:
        with pytest.raises(InputError, match=r"line 3: expected a number below 1e100 in a"):
            data.TimeSeries.from_file(path)


@pytest.mark.parametrize(("steps", "horizon"), [(1, 1), (3, 2), (4, 1)])
def test_a_series_can_fill_exactly_one_window(steps: int, horizon: int) -> None:
    values = np.arange(float(steps + horizon))[:, None]
    windows = data.TimeSeries(values, ("a",)).windows(steps, horizon)
    assert len(windows) == 1
    assert np.concatenate([part.tolist() for part in windows[0]]).tolist() == values.tolist()
    with pytest.raises(InputError, match="one window of"):
        data.TimeSeries(values[1:], ("a",)).windows(steps, horizon)
