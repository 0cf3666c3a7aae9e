"""What comes next in a time series, and after that."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autograd import Tensor, concatenate, no_grad, tensor

from .. import nn

Floats = npt.NDArray[np.floating]


class Forecaster(nn.Module):
    """At every step of a time series, the next one.

        x^_{t+1} = A x_t + W h_t + b        h: the outputs of a recurrent layer that reads x

    A, which starts as the identity, is a connection past the layer: at first the forecast is nearly
    the last value, and the layer learns by how much that is wrong (Martinez et al. 2017, "On human
    motion prediction using recurrent neural networks", on residual connections; a linear part
    beside the recurrent one: Lai et al. 2018, "Modeling long- and short-term temporal patterns with
    deep neural networks"). Where values change little from step to step, in waves, smooth chaos and
    random walks, errors are several times smaller. `residual=False` leaves A out: it is better for
    series of which the last value says little, as seasonal ones with much noise.

    `recurrent` is any recurrent layer of one direction, which says whether the batch is first.
    `columns` are how many numbers are forecast (None: all that are read; A starts as 0 if it is
    another number). `dropout` acts before the forecast. Series should be of about unit scale
    (`data.TimeSeries.scaled`).

    It reads streams with `training.TruncatedBPTT`. Raises ValueError for a bidirectional layer,
    which would read what it is to forecast.
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
            raise ValueError("a bidirectional layer reads what it is to forecast: take one way")
        read = recurrent.input_size
        self.columns = read if columns is None else columns
        self.dropout = nn.Dropout(dropout)
        self.recurrent = recurrent
        self.readout = nn.Linear(recurrent.output_size, self.columns)
        self.skip: Any = None
        if residual:
            self.skip = nn.Linear(read, self.columns, bias=False)
            start = nn.init.eye_ if self.columns == read else nn.init.zeros_
            start(self.skip.weight)

    def forward(self, past: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Forecasts (T, B, columns) of what follows each step of `past` (T, B, I), and the state to
        carry on with. Raises ValueError for shapes that do not fit.
        """
        past = past if isinstance(past, Tensor) else tensor(past)
        hidden, state = self.recurrent(past, state)
        forecast = self.readout(self.dropout(hidden))
        return forecast if self.skip is None else self.skip(past) + forecast, state

    def forecast(self, past: Any, steps: int) -> Tensor:
        """The next `steps` values after `past` (T, B, I): (steps, B, columns), each forecast from
        those before as if they had been read. Nothing is recorded, and the model is used as it is:
        call `model.eval()` before. Raises ValueError if the columns are not those that are read.
        """
        if self.columns != self.recurrent.input_size:
            raise ValueError(
                f"{self.recurrent.input_size} columns are read and {self.columns} forecast, so "
                "that forecasts cannot be read in their turn: forecast all columns, or one step "
                "with the model itself"
            )
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        with no_grad():
            read, state = self(past)
            time = 1 if self.recurrent.batch_first and read.ndim == 3 else 0
            last = (slice(None),) * time + (slice(-1, None),)
            forecasts = [read[last]]
            while len(forecasts) < steps:
                following, state = self(forecasts[-1], state)
                forecasts.append(following)
            return concatenate(forecasts, axis=time)  # type: ignore[no-any-return]

    def predict(self, series: npt.ArrayLike) -> Floats:
        """What follows each value of a series (n, C), given all before: (n, columns), so that the
        last is what follows the series. It is read in the precision of the model, which is used as
        it is: call `model.eval()` before.
        """
        time, weight = 1 if self.recurrent.batch_first else 0, self.readout.weight
        past = tensor(np.expand_dims(series, 1 - time), dtype=weight.dtype, device=weight.device)
        with no_grad():
            return self(past)[0].numpy().squeeze(1 - time)  # type: ignore[no-any-return]

    def error(self, series: npt.ArrayLike, warm_up: int = 0) -> float:
        """The root of the mean squared error on a series (n, C) of the values after the first
        `warm_up`, at least 1; the mean is over all columns. Raises ValueError if the columns that
        are forecast are not those that are read.
        """
        if self.columns != self.recurrent.input_size:
            raise ValueError(
                f"{self.recurrent.input_size} columns are read and {self.columns} forecast, so "
                "that the series does not say which is right: compare it with `predict` yourself"
            )
        x, skipped = np.asarray(series), max(warm_up, 1)
        wrong = self.predict(x[:-1])[skipped - 1 :] - x[skipped:]
        return float(np.sqrt(np.mean(np.square(wrong, dtype=float))))
