"""Measuring time: gates that see the cell's clock.

    tinygrad-rnn demo peephole

Spikes come at irregular intervals, with nothing in between, and at each the network is to say how
many steps have gone by since the last. An LSTM's cell can count them, but its gates know nothing of
the count where the output gate is closed: with peephole connections they look into the cell itself.
How much that is needed here is measured: after how many updates 99% of unseen intervals are right
to the step, with and without, from three initial values each. (F. A. Gers, N. N. Schraudolph and J.
Schmidhuber, "Learning precise timing with LSTM recurrent networks", 2002: measuring spike delays.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, nn, optim, training
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = "Peephole connections let an LSTM measure the time between events exactly."
SHORTEST, LONGEST, STEPS = 10, 25, 60


class Clock(nn.Module):
    """What is said at each step of spikes (T, B, 1) of the time since the last, in steps (T, B)."""

    def __init__(self, layer, hidden=8):
        self.lstm, self.readout = layer(1, hidden), nn.Linear(hidden, 1)
        nn.init.chrono_(self.lstm.bias_ih_l0, 2 * LONGEST)

    def forward(self, spikes):
        return LONGEST * self.readout(self.lstm(spikes)[0])[..., 0]


def trains(rng, size=32):
    """Spikes (T, B, 1), and the interval before each but the first (T, B), 0 elsewhere."""
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


def exact(model, test):
    """The share of intervals that are said right to the step."""
    with ag.no_grad():
        said = np.rint(model(test[0]).numpy())
    return (said == test[1])[test[1] > 0].mean()


def main(demo):
    seeds, steps = demo.choose(range(3), range(1)), demo.choose(2000, 500)
    checks, test = trains(demo.rng, 200), trains(demo.rng, 1000)
    figure, (above, below) = subplots(2, 1, height=6)
    for name, layer in (("peephole", nn.PeepholeLSTM), ("LSTM", nn.LSTM)):
        colour = COLORS[layer is nn.LSTM]
        reached, shares = [], []
        for seed in seeds:
            ag.manual_seed(100 * demo.seed + seed)
            model = Clock(layer)
            optimizer = optim.Adam(model.parameters(), lr=0.02)
            slower = optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps)
            trainer = training.Trainer(
                model,
                optimizer,
                loss,
                data.GeneratedBatches(trains, per_epoch=50),
                lambda model: 1 - exact(model, checks),
                schedule=slower,
                schedule_per="step",
                clip=1,
            )
            records = demo.fit(trainer, 2000, 500) or []
            wrong = {r["step"]: r["loss"] for r in records if r["event"] == "evaluation"}
            reached.append(min((k for k, w in wrong.items() if w <= 0.01), default=steps))
            shares.append(exact(model, test))
            label = name if seed == 0 else None
            above.plot(wrong.keys(), 1 - np.array([*wrong.values()]), color=colour, label=label)
        bounds = {"at_least": 0.99, "quick": 0.2} if name == "peephole" else {}
        demo.record(f"{name}: exact, the worst seed", min(shares), "%", **bounds)
        for seed, k in zip(seeds, reached, strict=True):
            never = " (never)" if k == steps else ""
            demo.record(f"  seed {seed}: updates to 99%{never}", k)
        with ag.no_grad():
            below.plot(model(test[0][:, :1]).numpy(), color=colour)
    above.set(xlabel="updates", ylabel="exact (share)", title="Intervals measured to the step")
    above.legend()
    at = np.flatnonzero(test[1][:, 0])
    below.plot(at, test[1][at, 0], "o", color=COLORS[6], label="since the last spike")
    below.set(
        xlabel="step", ylabel="said (steps)", title="Only at spikes (dots) is an answer wanted"
    )
    demo.save_figure("intervals.png", figure, "learning to measure, and a train of spikes measured")
