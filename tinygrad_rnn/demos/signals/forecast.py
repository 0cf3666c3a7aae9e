"""Time-series forecasting: recurrent networks against linear autoregression.

    tinygrad-rnn demo forecast
    tinygrad-rnn demo forecast --data sensors.csv --out runs/sensors

This demo forecasts four series one step ahead; each model is trained on the past and tested on
later values. The series are waves of varying frequency, the chaotic series of Mackey and Glass
("Oscillation and chaos in physiological control systems", 1977), a sensor with daily and weekly
seasons, and a random walk, as a model of stock prices. The baselines are autoregression, with an
order selected on validation data (Box & Jenkins 1970), and persistence, which predicts the last
value.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators import synthetic
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import COLORS, safe_label, subplots

CLAIM = (
    "Recurrent networks outperform linear models on waves of varying frequency and on chaos, and "
    "equal them on a linear series; a random walk cannot be forecast."
)
DATA = "a .csv file with a header and one row of numbers for each time step"
HIDDEN, ORDERS = 32, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
SERIES = {  # generator, and targets for the error relative to autoregression and to persistence
    "waves": (synthetic.make_frequency_modulated_sine, {"at_most": 0.7, "quick": 1.1}, {}),
    "chaos": (synthetic.make_mackey_glass, {"at_most": 0.7, "quick": 0.9}, {}),
    "seasons": (synthetic.make_seasonal_series, {"at_most": 1.05, "quick": 1.2}, {}),
    "random walk": (synthetic.make_random_walk, {}, {"at_least": 0.97}),
}


def loss(model, x):
    """Return the error on windows (T + 1, B, C), after 8 steps of warm-up."""
    forecasts, _ = model(x[:-1])
    return nn.functional.mse_loss(forecasts[8:], x[9:])


def train(demo, x, valid, test, steps, quick):
    """Train on the values before `valid`; keep the weights that are best on `valid` to `test`."""

    def sample_windows(rng, steps=48):
        begins = rng.integers(valid - steps, size=32)
        return ag.tensor(x[begins + np.arange(steps + 1)[:, None]])

    model = models.Forecaster(nn.GRU(x.shape[1], HIDDEN))
    batches = data.GeneratedBatches(sample_windows, per_epoch=demo.choose(steps, quick) // 10)
    options = {"validation": lambda model: model.error(x[:test], valid)}
    demo.train(model, loss, batches, steps, quick, rate=0.01, cycle=True, **options)
    return model


def load_series(demo):
    """Return the series by name."""
    if demo.data is None:
        values = {name: generate(demo.rng, 4000) for name, (generate, *_) in SERIES.items()}
        return {name: data.TimeSeries(x[:, None], (name,)) for name, x in values.items()}
    series = data.TimeSeries.from_file(demo.data)
    if len(series) < 300:
        raise InputError(f"{demo.data}: expected at least 300 rows, got {len(series)}")
    return {demo.data.stem: series}


def main(demo):
    results = {}
    for name, series in load_series(demo).items():
        demo.log(f"Training on {name}")
        valid, test = len(series) * 7 // 10, len(series) * 8 // 10
        past = data.TimeSeries(series.values[:valid], series.columns)
        if (past.values == past.values[0]).all():
            raise InputError(f"{demo.data}: the first {valid} rows (training data) are all equal")
        x = series.scaled(past).values
        steps = (1600, 300) if name == "waves" and demo.data is None else (600, 150)
        model = train(demo, x, valid, test, *steps)
        results[name] = x[test:], model.predict(x)[test - 1 : -1]
        linear = models.best_autoregression(x[:valid], x[valid:test], ORDERS)
        baselines = {"AR": linear, "persistence": models.persistence(x.shape[1])}
        bounds = SERIES.get(name, (None, {}, {}))[1:]
        for (baseline, other), bound in zip(baselines.items(), bounds, strict=True):
            error, baseline_error = model.error(x, test), other.error(x, test)
            ratio = error / baseline_error if baseline_error else np.inf
            demo.record(f"{name}: error relative to {baseline}", ratio, **bound)
        if name == "chaos" or demo.data is not None:
            mean, std = past.scale()
            demo.save(model, columns=series.columns, mean=mean.tolist(), std=std.tolist())
            demo.save_figure("ahead.png", draw_ahead(name, model, x, test), "many steps ahead")
    demo.save_figure("forecasts.png", draw(results), "one step ahead, on the test data")


def draw(results):
    """Draw the first steps of the test data, one panel for each series."""
    rows = -(-len(results) // 2)
    figure, panels = subplots(rows, min(2, len(results)), 10, 1 + 2.5 * rows, squeeze=False)
    for axes, (name, (true, forecasts)) in zip(panels.flat, results.items(), strict=True):
        axes.plot(true[:60, 0], color="0.6", linewidth=4, label="true value")
        axes.plot(forecasts[:60, 0], color=COLORS[1], label="one-step forecast")
        axes.set(title=safe_label(name), ylabel="standard deviations", xlabel="step")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def draw_ahead(name, model, x, now):
    """Draw up to 100 recursive forecasts from step `now`."""
    future = model.forecast(ag.tensor(x[:now, None]), min(100, len(x) - now)).numpy()[:, 0, 0]
    figure, axes = subplots(height=3.5)
    axes.plot(range(-50, len(future)), x[now - 50 : now + 100, 0], color="0.6", linewidth=4)
    axes.plot(future, color=COLORS[1])
    axes.set(xlabel="steps after the last input", ylabel="standard deviations")
    axes.set_title(f"{safe_label(name)}: recursive forecasts (thin) and true values (thick)")
    return figure


def predict(run, input, steps=10):
    """Print the forecasts after the values of a file, as CSV."""
    columns, mean, std = (run.config[name] for name in ("columns", "mean", "std"))
    series = data.TimeSeries.from_file(input, columns)
    model = run.load(models.Forecaster(nn.GRU(len(columns), HIDDEN)))
    x = ((series.values - mean) / std).astype(np.float32)
    rows = model.forecast(ag.tensor(x[:, None]), steps).numpy()[:, 0] * std + mean
    np.savetxt(sys.stdout, rows, "%.10g", ",", header=",".join(columns), comments="")
