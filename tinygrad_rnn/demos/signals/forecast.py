"""Forecasting: what a network adds to linear prediction, and where there is nothing to add.

    tinygrad-rnn demo forecast
    tinygrad-rnn demo forecast --data sensors.csv --out runs/sensors

Four series, each learned from its past and tested on what came later, one step ahead: waves whose
frequency wanders, the chaos of Mackey and Glass ("Oscillation and chaos in physiological control
systems", 1977), a sensor with the seasons of day and week, and a "stock" that walks at random. The
rivals are autoregression, its order chosen on held-out data (Box & Jenkins 1970), and persistence,
which says that nothing will change.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators import synthetic
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import COLORS, safe_label, subplots

CLAIM = (
    "Recurrent networks forecast what linear models cannot, waves of changing frequency and chaos; "
    "where a series is linear they are as good, and a random walk nobody can forecast."
)
DATA = "a .csv file with a header and one row of numbers for each step of time"
HIDDEN, ORDERS = 32, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
SERIES = {  # how it is made, and what its error is to be, as a share of AR's and of persistence's
    "waves": (synthetic.make_frequency_modulated_sine, {"at_most": 0.7, "quick": 1.1}, {}),
    "chaos": (synthetic.make_mackey_glass, {"at_most": 0.7, "quick": 0.9}, {}),
    "seasons": (synthetic.make_seasonal_series, {"at_most": 1.05, "quick": 1.2}, {}),
    "random walk": (synthetic.make_random_walk, {}, {"at_least": 0.97}),
}


def loss(model, x):
    """Of stretches (T + 1, B, C); the first steps only tell the network where it is."""
    forecasts, _ = model(x[:-1])
    return nn.functional.mse_loss(forecasts[8:], x[9:])


def learn(demo, x, valid, test, steps, quick):
    """A forecaster of what is before `valid`; its weights are the best from there to `test`."""

    def stretches(rng, steps=48):
        begins = rng.integers(valid - steps, size=32)
        return ag.tensor(x[begins + np.arange(steps + 1)[:, None]])

    model = models.Forecaster(nn.GRU(x.shape[1], HIDDEN))
    batches = data.GeneratedBatches(stretches, per_epoch=demo.choose(steps, quick) // 10)
    judged = {"validation": lambda model: model.error(x[:test], valid)}
    demo.train(model, loss, batches, steps, quick, rate=0.01, cycle=True, **judged)
    return model


def series_of(demo):
    """Series by name."""
    if demo.data is None:
        made = {name: make(demo.rng, 4000) for name, (make, *_) in SERIES.items()}
        return {name: data.TimeSeries(x[:, None], (name,)) for name, x in made.items()}
    series = data.TimeSeries.from_file(demo.data)
    if len(series) < 300:
        raise InputError(f"{demo.data}: fewer than 300 rows are too few to learn from")
    return {demo.data.stem: series}


def main(demo):
    shown = {}
    for name, series in series_of(demo).items():
        demo.log(f"A network for {name}")
        valid, test = len(series) * 7 // 10, len(series) * 8 // 10
        past = data.TimeSeries(series.values[:valid], series.columns)
        if (past.values == past.values[0]).all():
            raise InputError(
                f"{demo.data}: the first {valid} rows, to learn from, are all the same"
            )
        x = series.scaled(past).values
        steps = (1600, 300) if name == "waves" and demo.data is None else (600, 150)
        model = learn(demo, x, valid, test, *steps)
        shown[name] = x[test:], model.predict(x)[test - 1 : -1]
        linear = models.best_autoregression(x[:valid], x[valid:test], ORDERS)
        rivals = {"AR": linear, "persistence": models.persistence(x.shape[1])}
        bounds = SERIES.get(name, (None, {}, {}))[1:]
        for (rival, other), bound in zip(rivals.items(), bounds, strict=True):
            error, others = model.error(x, test), other.error(x, test)
            share = error / others if others else np.inf
            demo.record(f"{name}: error, of {rival}'s", share, **bound)
        if name == "chaos" or demo.data is not None:
            mean, std = past.scale()
            demo.save(model, columns=series.columns, mean=mean.tolist(), std=std.tolist())
            demo.save_figure("ahead.png", draw_ahead(name, model, x, test), "many steps ahead")
    demo.save_figure("forecasts.png", draw(shown), "one step ahead, on what was never seen")


def draw(shown):
    """The first steps of the test, one panel for each series."""
    rows = -(-len(shown) // 2)
    figure, panels = subplots(rows, min(2, len(shown)), 10, 1 + 2.5 * rows, squeeze=False)
    for axes, (name, (true, forecasts)) in zip(panels.flat, shown.items(), strict=True):
        axes.plot(true[:60, 0], color="0.6", linewidth=4, label="what came")
        axes.plot(forecasts[:60, 0], color=COLORS[1], label="forecast one step before")
        axes.set(title=safe_label(name), ylabel="standard deviations", xlabel="step")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def draw_ahead(name, model, x, now):
    """Forecasts of up to 100 steps from number `now` on."""
    future = model.forecast(ag.tensor(x[:now, None]), min(100, len(x) - now)).numpy()[:, 0, 0]
    figure, axes = subplots(height=3.5)
    axes.plot(range(-50, len(future)), x[now - 50 : now + 100, 0], color="0.6", linewidth=4)
    axes.plot(future, color=COLORS[1])
    axes.set(xlabel="steps after the last value that was read", ylabel="standard deviations")
    axes.set_title(f"{safe_label(name)}: forecasts (thin) of forecasts, beside what came (thick)")
    return figure


def predict(run, input, steps=10):
    """The next values after a file's, as CSV."""
    columns, mean, std = (run.config[name] for name in ("columns", "mean", "std"))
    series = data.TimeSeries.from_file(input, columns)
    model = run.load(models.Forecaster(nn.GRU(len(columns), HIDDEN)))
    x = ((series.values - mean) / std).astype(np.float32)
    rows = model.forecast(ag.tensor(x[:, None]), steps).numpy()[:, 0] * std + mean
    np.savetxt(sys.stdout, rows, "%.10g", ",", header=",".join(columns), comments="")
