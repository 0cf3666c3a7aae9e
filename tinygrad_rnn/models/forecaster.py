"""Time series forecasting."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autograd import Tensor, concatenate, no_grad, tensor

from .. import nn
from ..nn.module import to_model_device

Floats = npt.NDArray[np.floating]


class Forecaster(nn.Module):
    """Time series model that predicts the next value at every step.

        x^_{t+1} = A x_t + W h_t + b        h: the outputs of a recurrent layer on x

    `A` is a residual connection that is initialized as the identity: before training, forecasts are
    close to the last value, and the layer learns the correction. This reduces the errors of series
    that change little between steps. Use `residual=False` for series whose last value is not
    informative, such as seasonal series with much noise.

    The series should be standardized (`data.TimeSeries.scaled`). `training.TruncatedBPTT` trains
    the model on long series.

    Parameters
    ----------
    recurrent : nn.Recurrent
        Any unidirectional recurrent layer; its `batch_first` determines the axis order.
    columns : int, optional
        Number of columns to predict. The default is the number of input columns. For any other
        number, `A` is initialized as 0.
    dropout : float, default 0.0
        Dropout probability before the output layer.
    residual : bool, default True
        Use the residual connection `A`.

    Raises
    ------
    ValueError
        If the layer is bidirectional, since it would read the values to predict.

    References
    ----------
    Martinez et al. 2017, "On human motion prediction using recurrent neural networks" (residual
    connection).

    Lai et al. 2018, "Modeling long- and short-term temporal patterns with deep neural networks"
    (linear component).

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_rnn import models, nn
    >>> model = models.Forecaster(nn.GRU(1, 16))
    >>> model.forecast(np.zeros((30, 2, 1), "float32"), steps=5).shape
    (5, 2, 1)
    """

    def __init__(
        self,
        recurrent: nn.Recurrent,
        columns: int | None = None,
        dropout: float = 0.0,
        *,
        residual: bool = True,
    ) -> None:
        if recurrent.bidirectional:
            raise ValueError(
                "a forecaster requires a unidirectional layer, since a bidirectional layer reads "
                "the values to predict"
            )
        input_size = recurrent.input_size
        self.columns = input_size if columns is None else columns
        self.dropout = nn.Dropout(dropout)
        self.recurrent = recurrent
        self.readout = nn.Linear(recurrent.output_size, self.columns)
        self.skip: Any = None
        if residual:
            self.skip = nn.Linear(input_size, self.columns, bias=False)
            initialize = nn.init.eye_ if self.columns == input_size else nn.init.zeros_
            initialize(self.skip.weight)

    def forward(self, past: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Predict the next value at every step.

        Parameters
        ----------
        past : array_like, shape (T, B, I)
            The series; (B, T, I) with `batch_first`.
        state : optional
            The initial state of the recurrent layer; zeros by default.

        Returns
        -------
        forecast : Tensor, shape (T, B, columns)
            The predictions of the value after each step.
        state : Any
            The final state of the recurrent layer.
        """
        past = to_model_device(self, past)
        hidden, state = self.recurrent(past, state)
        forecast = self.readout(self.dropout(hidden))
        return forecast if self.skip is None else self.skip(past) + forecast, state

    def forecast(self, past: Any, steps: int) -> Tensor:
        """Predict the values after a series, and feed the predictions back as inputs.

        Gradients are not recorded. Call `model.eval()` first to disable dropout.

        Parameters
        ----------
        past : array_like, shape (T, B, I)
            The series; (B, T, I) with `batch_first`.
        steps : int
            Number of steps to predict.

        Returns
        -------
        Tensor, shape (steps, B, columns)
            The predictions; (B, steps, columns) with `batch_first`.

        Raises
        ------
        ValueError
            If the model does not predict all columns that it reads, or if `steps` is below 1.
        """
        self._require_all_columns("forecasts cannot be fed back")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        with no_grad():
            predictions, state = self(past)
            time = 1 if self.recurrent.batch_first and predictions.ndim == 3 else 0
            last = (slice(None),) * time + (slice(-1, None),)
            forecasts = [predictions[last]]
            while len(forecasts) < steps:
                prediction, state = self(forecasts[-1], state)
                forecasts.append(prediction)
            return concatenate(forecasts, axis=time)  # type: ignore[no-any-return]

    def predict(self, series: npt.ArrayLike) -> Floats:
        """Predict the next value at every step of one series, on the host.

        Call `model.eval()` first to disable dropout.

        Parameters
        ----------
        series : array_like, shape (n, C)
            The series, which is converted to the model's dtype.

        Returns
        -------
        ndarray, shape (n, columns)
            The predictions of the value after each step.
        """
        time, weight = 1 if self.recurrent.batch_first else 0, self.readout.weight
        past = tensor(np.expand_dims(series, 1 - time), dtype=weight.dtype, device=weight.device)
        with no_grad():
            return self(past)[0].numpy().squeeze(1 - time)  # type: ignore[no-any-return]

    def error(self, series: npt.ArrayLike, warm_up: int = 0) -> float:
        """Return the root-mean-square error of the predictions on one series.

        Parameters
        ----------
        series : array_like, shape (n, C)
            The series.
        warm_up : int, default 0
            Number of initial values to exclude. The first value is always excluded.

        Returns
        -------
        float
            The error, over all columns.

        Raises
        ------
        ValueError
            If the model does not predict all columns that it reads.
        """
        self._require_all_columns("the error cannot be computed; compare the result of predict()")
        x, skipped = np.asarray(series), max(warm_up, 1)
        errors = self.predict(x[:-1])[skipped - 1 :] - x[skipped:]
        return float(np.sqrt(np.mean(np.square(errors, dtype=float))))

    def _require_all_columns(self, consequence: str) -> None:
        if self.columns != self.recurrent.input_size:
            raise ValueError(
                f"the model reads {self.recurrent.input_size} columns and predicts {self.columns}, "
                f"so {consequence}"
            )
