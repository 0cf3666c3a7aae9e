"""Autoregressions, the linear baselines of forecasting.

    x_t = c + a_1 x_{t-1} + ... + a_p x_{t-p}

The coefficients are fitted by least squares, for each column of a series on the past of all columns
(vector autoregression; Box & Jenkins 1970, "Time series analysis: forecasting and control").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


class Autoregression:
    """Vector autoregression, which predicts from the last `order` values by a linear map.

    Call `fit` before the other methods.

    Parameters
    ----------
    order : int
        Number of past values; 0 predicts the mean.

    References
    ----------
    Box & Jenkins 1970, "Time series analysis: forecasting and control".

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn import models
    >>> series = np.sin(np.arange(50.0))[:, None]
    >>> models.Autoregression(2).fit(series).error(series) < 1e-9
    True
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self.coefficients: Floats = np.zeros((0, 0))

    def fit(self, series: npt.ArrayLike) -> Self:
        """Fit the coefficients by least squares.

        Parameters
        ----------
        series : array_like, shape (n, C)
            The series, with n > order.

        Returns
        -------
        Autoregression
            This model.
        """
        x = np.asarray(series, np.float64)
        self.coefficients = np.linalg.lstsq(self._past(x[:-1]), x[self.order :], rcond=None)[0]
        return self

    def predict(self, series: npt.ArrayLike) -> Floats:
        """Predict the next value at every step from index order - 1.

        Parameters
        ----------
        series : array_like, shape (n, C)
            The series.

        Returns
        -------
        ndarray, shape (n - order + 1, C)
            The predictions; the last one follows the series.
        """
        return self._past(np.asarray(series, np.float64)) @ self.coefficients

    def error(self, series: npt.ArrayLike, warm_up: int = 0) -> float:
        """Return the root-mean-square error of the predictions.

        Parameters
        ----------
        series : array_like, shape (n, C)
            The series.
        warm_up : int, default 0
            Number of initial values to exclude. The first `order` values are always excluded.

        Returns
        -------
        float
            The error, over all columns.
        """
        x = np.asarray(series, np.float64)
        skipped = max(0, warm_up - self.order)
        return float(np.sqrt(np.mean((self.predict(x[:-1]) - x[self.order :])[skipped:] ** 2)))

    def _past(self, x: Floats) -> Floats:
        """Return a 1 and the last `order` values, newest first, at each time: (m, 1 + order C)."""
        count = len(x) - self.order + 1
        values = [x[self.order - k : self.order - k + count] for k in range(1, self.order + 1)]
        return np.concatenate([np.ones((count, 1)), *values], axis=1)


def persistence(columns: int) -> Autoregression:
    """Return the persistence forecast x_t = x_{t-1}, an autoregression of order 1.

    Parameters
    ----------
    columns : int
        Number of columns of the series.

    Returns
    -------
    Autoregression
        The model.
    """
    model = Autoregression(1)
    model.coefficients = np.eye(1 + columns, columns, -1)
    return model


def best_autoregression(
    train: npt.ArrayLike, valid: npt.ArrayLike, orders: Iterable[int]
) -> Autoregression:
    """Return the autoregression whose order has the lowest error on validation data.

    All orders are evaluated on the same values.

    Parameters
    ----------
    train : array_like, shape (n, C)
        The series on which the models are fitted.
    valid : array_like, shape (m, C)
        The values that follow `train`.
    orders : iterable of int
        The orders to compare.

    Returns
    -------
    Autoregression
        The best model.
    """
    orders = list(orders)
    context = np.asarray(train)[len(train) - max(orders) :]  # type: ignore[arg-type]
    series = np.concatenate([context, np.asarray(valid)])
    candidates = [Autoregression(order).fit(train) for order in orders]
    return min(candidates, key=lambda model: model.error(series, warm_up=max(orders)))
