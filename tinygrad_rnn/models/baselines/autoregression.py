"""Autoregression: the linear memory of a fixed number of steps that a network has to beat.

    x_t = c + a_1 x_{t-1} + ... + a_p x_{t-p}

is fitted by least squares, for each column of a series on the past of all (a vector autoregression;
Box & Jenkins 1970, "Time series analysis: forecasting and control").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


class Autoregression:
    """Predicts the next values of a series (n, C) from the `order` values before; order 0 is the
    mean. `fit` before all else.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self.coefficients: Floats = np.zeros((0, 0))

    def fit(self, series: npt.ArrayLike) -> Self:
        """Take the coefficients (1 + order C, C) that fit a series (n, C) best, n > order."""
        x = np.asarray(series, np.float64)
        self.coefficients = np.linalg.lstsq(self._past(x[:-1]), x[self.order :], rcond=None)[0]
        return self

    def predict(self, series: npt.ArrayLike) -> Floats:
        """What follows each value of a series (n, C) from number order - 1 on: (n - order + 1, C),
        so that the last is what follows the series.
        """
        return self._past(np.asarray(series, np.float64)) @ self.coefficients

    def error(self, series: npt.ArrayLike, warm_up: int = 0) -> float:
        """The root of the mean squared error on a series of the values after the first `warm_up`,
        of which there should be at least `order`."""
        x = np.asarray(series, np.float64)
        skipped = max(0, warm_up - self.order)
        return float(np.sqrt(np.mean((self.predict(x[:-1]) - x[self.order :])[skipped:] ** 2)))

    def _past(self, x: Floats) -> Floats:
        """A 1 and the newest `order` values, the newest first, at each time: (m, 1 + order C)."""
        count = len(x) - self.order + 1
        values = [x[self.order - k : self.order - k + count] for k in range(1, self.order + 1)]
        return np.concatenate([np.ones((count, 1)), *values], axis=1)


def persistence(columns: int) -> Autoregression:
    """The one of order 1 that says that nothing will change: x_t = x_{t-1}."""
    model = Autoregression(1)
    model.coefficients = np.eye(1 + columns, columns, -1)
    return model


def best_autoregression(
    train: npt.ArrayLike, valid: npt.ArrayLike, orders: Iterable[int]
) -> Autoregression:
    """The one, fitted on `train`, of the order whose error on `valid`, which comes after it, is the
    least; all orders are judged on the same values.
    """
    orders = list(orders)
    past = np.asarray(train)[len(train) - max(orders) :]  # type: ignore[arg-type]
    judged = np.concatenate([past, np.asarray(valid)])
    fitted = [Autoregression(order).fit(train) for order in orders]
    return min(fitted, key=lambda model: model.error(judged, warm_up=max(orders)))
