"""Peephole connections: measure the time between events exactly.

    tinygrad-rnn demo peephole

This demo compares LSTMs with and without peephole connections on a timing task. Spikes arrive at
irregular intervals, and at each spike the network must output the number of steps since the
previous one. The memory cell can count the steps, but the gates do not see the count while the
output gate is closed; peephole connections let them read the cell directly. The demo measures how
many updates each network needs until 99% of unseen intervals are exact, from three random
initializations. (F. A. Gers, N. N. Schraudolph and J. Schmidhuber, "Learning precise timing with
LSTM recurrent networks", 2002: measuring spike delays.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, nn, optim, training
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = "Peephole connections let an LSTM measure the time between events exactly."
SHORTEST, LONGEST, STEPS = 10, 25, 60


class Timer(nn.Module):
    """Predict at each step of spikes (T, B, 1) the time since the last spike, in steps (T, B)."""

    def __init__(self, layer, hidden=8):
        self.lstm, self.readout = layer(1, hidden), nn.Linear(hidden, 1)
        nn.init.chrono_(self.lstm.bias_ih_l0, 2 * LONGEST)

    def forward(self, spikes):
        return LONGEST * self.readout(self.lstm(spikes)[0])[..., 0]


def spike_trains(rng, size=32):
    """Return spikes (T, B, 1), and the interval before each spike but the first (T, B), else 0."""
    gaps = rng.integers(SHORTEST, LONGEST + 1, (STEPS // SHORTEST, size))
    times, trains = gaps.cumsum(0), np.arange(size)
    spikes, intervals = np.zeros((2, gaps.sum(0).max() + 1, size), "float32")
    spikes[times, trains] = 1
    intervals[times[1:], trains] = gaps[1:]
    return spikes[:STEPS, :, None], intervals[:STEPS]


def loss(model, batch):
    spikes, intervals = batch
    errors = (model(spikes) - ag.tensor(intervals)) / LONGEST
    return (errors**2)[intervals > 0].mean()


def exact_fraction(model, test):
    """Return the fraction of intervals that are predicted exactly, after rounding."""
    with ag.no_grad():
        predicted = np.rint(model(test[0]).numpy())
    return (predicted == test[1])[test[1] > 0].mean()


def train(demo, model, steps, validation):
    """Train a model; return the fraction of wrong validation intervals by update."""
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    trainer = training.Trainer(
        model,
        optimizer,
        loss,
        data.GeneratedBatches(spike_trains, per_epoch=50),
        lambda model: 1 - exact_fraction(model, validation),
        schedule=optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps),
        schedule_per="step",
        clip=1,
    )
    records = demo.fit(trainer, 2000, 500) or []
    return {r["step"]: r["loss"] for r in records if r["event"] == "evaluation"}


def main(demo):
    seeds, steps = demo.choose(range(3), range(1)), demo.choose(2000, 500)
    validation, test = spike_trains(demo.rng, 200), spike_trains(demo.rng, 1000)
    figure, (upper, lower) = subplots(2, 1, height=6)
    for name, layer in (("peephole", nn.PeepholeLSTM), ("LSTM", nn.LSTM)):
        color = COLORS[layer is nn.LSTM]
        updates, fractions = [], []
        for seed in seeds:
            ag.manual_seed(100 * demo.seed + seed)
            model = Timer(layer)
            wrong = train(demo, model, steps, validation)
            updates.append(min((k for k, w in wrong.items() if w <= 0.01), default=steps))
            fractions.append(exact_fraction(model, test))
            label = name if seed == 0 else None
            upper.plot(wrong.keys(), 1 - np.array([*wrong.values()]), color=color, label=label)
        bounds = {"at_least": 0.99, "quick": 0.2} if name == "peephole" else {}
        demo.record(f"{name}: exact intervals, worst seed", min(fractions), "%", **bounds)
        for seed, k in zip(seeds, updates, strict=True):
            never = " (never)" if k == steps else ""
            demo.record(f"  seed {seed}: updates to 99%{never}", k)
        with ag.no_grad():
            lower.plot(model(test[0][:, :1]).numpy(), color=color)
    upper.set(xlabel="updates", ylabel="exact (fraction)", title="Intervals measured exactly")
    upper.legend()
    spikes = np.flatnonzero(test[1][:, 0])
    lower.plot(spikes, test[1][spikes, 0], "o", color=COLORS[6], label="time since the last spike")
    lower.set(xlabel="step", ylabel="output (steps)", title="Outputs count at spikes only (dots)")
    demo.save_figure("intervals.png", figure, "learning curves, and the outputs for a spike train")
