"""Time series from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as shorten

import numpy as np
import numpy.typing as npt

from autograd import get_default_dtype

from ..errors import InputError
from ..summary import summary_repr
from .delimited import Row, delimiter_hint, format_names, read_table
from .files import PathLike
from .loader import TensorDataset


@dataclass(frozen=True)
class TimeSeries:
    """Numbers that follow each other in time: `values` (n, C), of the `columns` named.

    Those of a file are in double precision, since single has too few digits for seconds since 1970;
    `scaled` and `windows`, which networks read, are of the default dtype.
    """

    values: npt.NDArray[np.floating]
    columns: tuple[str, ...]

    __repr__ = summary_repr

    @classmethod
    def from_file(
        cls, path: PathLike, columns: str | Sequence[str] | None = None, *, encoding: str = "utf-8"
    ) -> TimeSeries:
        """From the columns of that name (default: all) of a .csv or .tsv with a header, or the
        fields of a .jsonl. They hold numbers; InputError names the line of what is none.
        """
        columns = (columns,) if isinstance(columns, str) else columns
        rows = read_table(path, columns, encoding)
        names = rows[0].columns
        if columns is None and all(map(_is_number, names)) and not "".join(names).isdigit():
            raise InputError(
                f"{path}: the first line has only numbers; it must contain the names of the columns"
            )
        return cls(_numbers(rows), names)

    def __len__(self) -> int:
        return len(self.values)

    def split(self, fraction: float) -> tuple[TimeSeries, TimeSeries]:
        """What comes before and after this part of the time: what to learn from, and to test on."""
        cut = round(len(self) * fraction)
        if not 0 < cut < len(self):
            raise ValueError(f"{fraction} of {len(self)} steps leaves one of the two parts empty")
        return TimeSeries(self.values[:cut], self.columns), TimeSeries(
            self.values[cut:], self.columns
        )

    def scaled(self, like: TimeSeries) -> TimeSeries:
        """In units in which each column of `like`, the training part, has mean 0 and standard
        deviation 1. A column that is constant there is only shifted. ValueError for other columns.
        """
        if self.columns != like.columns:
            raise ValueError(f"the columns {self.columns} are not those of `like`, {like.columns}")
        mean, std = like.scale()
        return TimeSeries(((self.values - mean) / std).astype(get_default_dtype()), self.columns)

    def scale(self) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """The columns' means and standard deviations (C,), 1 for one that is constant."""
        changes = self.values.max(0) > self.values.min(0)
        return self.values.mean(0), np.where(changes, self.values.std(0), 1)

    def windows(self, steps: int, horizon: int = 1, every: int = 1) -> TensorDataset:
        """Examples `(past, future)`, (steps, C) and (horizon, C): one at `every` so many steps."""
        if min(steps, horizon, every) < 1:
            raise ValueError(
                f"steps, horizon and every count from 1 on: {steps}, {horizon}, {every}"
            )
        if len(self) < steps + horizon:
            raise InputError(
                f"{len(self)} steps do not fill one window of {steps} steps and {horizon} to come"
            )
        values = self.values.astype(get_default_dtype())
        spans = np.lib.stride_tricks.sliding_window_view(values, steps + horizon, axis=0)
        spans = spans[::every].swapaxes(1, 2)
        return TensorDataset(spans[:, :steps], spans[:, steps:])


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < 1e100  # the squares of larger ones have no finite sum
    except ValueError:
        return False


def _numbers(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """Return the cells as an array. InputError names the first that is not a number."""
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
        f"{row.place}: {column} is {shorten(cell)}, not a number (below 1e100)"
        + (
            delimiter_hint(row.columns)
            or "; leave out the line or the column (in a program, columns= chooses among "
            f"{format_names(row.columns)})"
        )
    )
