"""Time series: reading, standardization and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as shorten

import numpy as np
import numpy.typing as npt

from autograd import get_default_dtype

from ..errors import InputError
from ..summary import summary_repr
from .dataset import TensorDataset
from .delimited import Row, delimiter_hint, format_names, read_table
from .files import PathLike


@dataclass(frozen=True)
class TimeSeries:
    """A time series of one or more columns.

    `from_file` reads values in float64, since float32 has too few digits for seconds since 1970.
    `scaled` and `windows` return the default dtype.

    Parameters
    ----------
    values : ndarray, shape (n, C)
        The values.
    columns : tuple of str
        The names of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> series = TimeSeries(np.arange(10.0)[:, None], ("x",))
    >>> past, future = series.windows(steps=4, horizon=2)[0]
    >>> past.shape, future.shape
    ((4, 1), (2, 1))
    """

    values: npt.NDArray[np.floating]
    columns: tuple[str, ...]

    __repr__ = summary_repr

    @classmethod
    def from_file(
        cls, path: PathLike, columns: str | Sequence[str] | None = None, *, encoding: str = "utf-8"
    ) -> TimeSeries:
        """Read columns of a .csv or .tsv file with a header, or fields of a .jsonl file.

        Parameters
        ----------
        path : path
            The file, which may be compressed by gzip.
        columns : str or sequence of str, optional
            The columns to read; all by default.
        encoding : str, default "utf-8"
            The text encoding.

        Returns
        -------
        TimeSeries
            The series, in float64.

        Raises
        ------
        InputError
            If a column is missing or a cell is not a number. The message contains the line.
        """
        columns = (columns,) if isinstance(columns, str) else columns
        rows = read_table(path, columns, encoding)
        names = rows[0].columns
        if columns is None and all(map(_is_number, names)) and not "".join(names).isdigit():
            raise InputError(
                f"{path}: the first line must contain the names of the columns, got only numbers"
            )
        return cls(_numbers(rows), names)

    def __len__(self) -> int:
        return len(self.values)

    def split(self, fraction: float) -> tuple[TimeSeries, TimeSeries]:
        """Split the series into an earlier part and a later part.

        Parameters
        ----------
        fraction : float
            Fraction of the steps in the earlier part.

        Returns
        -------
        tuple of two TimeSeries
            The earlier part, for training, and the later part, for testing.

        Raises
        ------
        ValueError
            If a part would be empty.
        """
        end = round(len(self) * fraction)
        if not 0 < end < len(self):
            raise ValueError(f"a fraction of {fraction} of {len(self)} steps leaves a part empty")
        earlier, later = self.values[:end], self.values[end:]
        return TimeSeries(earlier, self.columns), TimeSeries(later, self.columns)

    def scaled(self, like: TimeSeries) -> TimeSeries:
        """Return the series standardized by the means and standard deviations of another series.

        Parameters
        ----------
        like : TimeSeries
            The series, usually the training part, whose columns then have mean 0 and standard
            deviation 1. Constant columns are only shifted.

        Returns
        -------
        TimeSeries
            The standardized series, in the default dtype.

        Raises
        ------
        ValueError
            If the columns differ.
        """
        if self.columns != like.columns:
            raise ValueError(f"expected the columns of `like`, {like.columns}, got {self.columns}")
        mean, std = like.scale()
        return TimeSeries(((self.values - mean) / std).astype(get_default_dtype()), self.columns)

    def scale(self) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """Return the mean and the standard deviation of each column.

        Returns
        -------
        mean : ndarray, shape (C,)
            The means.
        std : ndarray, shape (C,)
            The standard deviations; 1 for a constant column.
        """
        varies = self.values.max(0) > self.values.min(0)
        return self.values.mean(0), np.where(varies, self.values.std(0), 1)

    def windows(self, steps: int, horizon: int = 1, every: int = 1) -> TensorDataset:
        """Return a dataset of windows `(past, future)`.

        Parameters
        ----------
        steps : int
            Length of the past (steps, C).
        horizon : int, default 1
            Length of the future (horizon, C).
        every : int, default 1
            Distance between the starts of adjacent windows, in steps.

        Returns
        -------
        TensorDataset
            The windows, in the default dtype.

        Raises
        ------
        ValueError
            If an argument is below 1.
        InputError
            If the series is shorter than one window.
        """
        if min(steps, horizon, every) < 1:
            raise ValueError(
                f"steps, horizon and every must be at least 1, got {steps}, {horizon} and {every}"
            )
        if len(self) < steps + horizon:
            raise InputError(
                f"one window of {steps} past and {horizon} future steps requires "
                f"{steps + horizon} steps, got {len(self)}"
            )
        values = self.values.astype(get_default_dtype())
        windows = np.lib.stride_tricks.sliding_window_view(values, steps + horizon, axis=0)
        windows = windows[::every].swapaxes(1, 2)
        return TensorDataset(windows[:, :steps], windows[:, steps:])


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < 1e100  # larger squares can overflow in a sum
    except ValueError:
        return False


def _numbers(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """Return the cells as an array; raise InputError for the first that is not a number."""
    try:
        values = np.array([[*map(float, row.cells)] for row in rows])
        if (np.abs(values) < 1e100).all():
            return values
    except ValueError:
        pass
    row, column, cell = next(
        (row, column, cell)
        for row in rows
        for column, cell in zip(row.columns, row.cells, strict=True)
        if not _is_number(cell)
    )
    raise InputError(
        f"{row.location}: expected a number below 1e100 in {column}, got {shorten(cell)}"
        + (
            delimiter_hint(row.columns)
            or "; remove the line, or exclude the column (columns= selects from "
            f"{format_names(row.columns)})"
        )
    )
