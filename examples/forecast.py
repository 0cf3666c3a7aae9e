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
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.data import synthetic
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.pictures import COLOURS, subplots

CLAIM = (
    "Recurrent networks forecast what linear models cannot, waves of changing frequency and chaos; "
    "where a series is linear they are as good, and a random walk nobody can forecast."
)
DATA = "a .csv file with a header and one row of numbers for each step of time"
ORDERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
STEPS, LEAST = 48, 300


SERIES = {  # how it is made, and what its error is to be, as a share of AR's and of persistence's
    "waves": (synthetic.waves, {"at_most": 0.7, "quick": 1.1}, {}),
    "chaos": (synthetic.mackey_glass, {"at_most": 0.7, "quick": 0.9}, {}),
    "seasons": (synthetic.seasons, {"at_most": 1.05, "quick": 1.2}, {}),
    "random walk": (synthetic.random_walk, {}, {"at_least": 0.97}),
}


def forecaster(columns, hidden=32):
    return models.Forecaster(nn.GRU(columns, hidden))


def one_ahead(model, x, first):
    """Forecasts (n - first, C) of x (n, C) from number `first` on, each from all before it."""
    with ag.no_grad():
        return model(ag.tensor(x[:-1, None]))[0].numpy()[first - 1 :, 0]


def rmse(error):
    return float(np.sqrt(np.mean(np.square(error, dtype=float))))


def ratio(error, rival):
    """The one as a share of the other's, which may make no error at all."""
    return error / rival if rival else np.inf


def loss(model, x):
    """Of stretches (T + 1, B, C); the first steps only tell the network where it is."""
    forecasts, _ = model(x[:-1])
    return nn.functional.mse_loss(forecasts[8:], x[9:])


def learn(show, x, valid, test, steps, quick):
    """A forecaster of what is before `valid`; its weights are the best from there to `test`."""

    def make(rng):
        begins = rng.integers(valid - STEPS, size=32)
        return ag.tensor(x[begins + np.arange(STEPS + 1)[:, None]])

    def held_out(model):
        return rmse(one_ahead(model, x[:test], valid) - x[valid:test])

    model = forecaster(x.shape[1])
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    total = show.choose(steps, quick)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=total)
    batches = data.Generated(make, per_epoch=total // 10)
    trainer = training.Trainer(
        model, optimizer, loss, batches, held_out, schedule=schedule, schedule_per="step", clip=1
    )
    show.fit(trainer, steps, quick)
    return model.eval()


def main(show):
    shown = {}
    for name, series in series_of(show).items():
        show.say(f"A network for {name}")
        valid, test = len(series) * 7 // 10, len(series) * 8 // 10
        past = data.TimeSeries(series.values[:valid], series.columns)
        if (past.values == past.values[0]).all():
            raise InputError(
                f"{show.data}: the first {valid} rows, to learn from, are all the same"
            )
        x = series.scaled(past).values
        model = learn(show, x, valid, test, *((1600, 300) if name == "waves" else (600, 150)))
        forecasts = one_ahead(model, x, test)
        error, change = rmse(forecasts - x[test:]), rmse(np.diff(x[test - 1 :], axis=0))
        linear = models.best_autoregression(x[:valid], x[valid:test], ORDERS)
        show.say(f"Autoregression does best with {linear.order} steps.")
        _, linear_bound, still_bound = SERIES.get(name, (None, {}, {}))
        show.measured(
            f"{name}: error, of AR's", ratio(error, linear.error(x, test)), **linear_bound
        )
        show.measured(f"{name}: error, of persistence's", ratio(error, change), **still_bound)
        shown[name] = x[test:], forecasts
        if name == "chaos" or show.data is not None:
            mean, std = past.scale()
            show.save(model, columns=series.columns, mean=mean.tolist(), std=std.tolist())
            steps = min(100, len(x) - test)
            future = model.forecast(ag.tensor(x[:test, None]), steps).numpy()[:, 0]
            show.picture("ahead.png", draw_ahead(name, x[test - 50 :], future), "many steps ahead")
    show.picture("forecasts.png", draw(shown), "one step ahead, on what was never seen")


def series_of(show):
    """Series by name."""
    if show.data is None:
        made = {name: make(show.rng, 4000) for name, (make, *_) in SERIES.items()}
        return {name: data.TimeSeries(x[:, None], (name,)) for name, x in made.items()}
    series = data.TimeSeries.from_file(show.data)
    if len(series) < LEAST:
        raise InputError(f"{show.data}: fewer than {LEAST} rows are too few to learn from")
    return {show.data.stem: series}


def draw(shown):
    """The first steps of the test, one panel for each series."""
    rows, columns = -(-len(shown) // 2), min(2, len(shown))
    figure, panels = subplots(rows, columns, width=10, height=1 + 2.5 * rows, squeeze=False)
    for axes, (name, (true, forecasts)) in zip(panels.flat, shown.items(), strict=True):
        axes.plot(true[:60, 0], color="0.6", linewidth=4, label="what came")
        axes.plot(forecasts[:60, 0], color=COLOURS[1], label="forecast one step before")
        axes.set(title=name, ylabel="standard deviations", xlabel="step")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def draw_ahead(name, x, future):
    figure, axes = subplots(height=3.5)
    axes.plot(np.arange(-50, len(future)), x[: 50 + len(future), 0], color="0.6", linewidth=4)
    axes.plot(np.arange(len(future)), future[:, 0], color=COLOURS[1])
    axes.axvline(-0.5, color="0.3", linestyle=":")
    axes.set(
        title=f"{name}: forecasts (thin) of forecasts, beside what came (thick)",
        xlabel="steps after the last value that was read",
        ylabel="standard deviations",
    )
    return figure


def predict(run, input, steps=10):
    """The next values after a file's, as CSV."""
    columns, mean, std = (run.config[name] for name in ("columns", "mean", "std"))
    series = data.TimeSeries.from_file(input, columns)
    model = run.load(forecaster(len(columns)))
    x = ((series.values - mean) / std).astype(np.float32)
    places = [int(4 - np.floor(np.log10(scale))) for scale in std]
    print(",".join(columns))
    for row in model.forecast(ag.tensor(x[:, None]), steps).numpy()[:, 0] * std + mean:
        values = (round(float(value), n) for value, n in zip(row, places, strict=True))
        print(",".join(f"{value:.15g}" for value in values))


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
