"""What recurrence costs: time and memory against length, batch and width; parameters at no length.

    tinygrad-rnn demo cost

A recurrent network uses the same weights at every step: its parameters do not grow with the
sequence, while those of a feed-forward network that sees the whole sequence at once do. But the
steps come one after another, each of them to be kept for the way back, so time and memory of
training are proportional to the length (Pascanu, Mikolov & Bengio 2013; Feng et al. 2024, "Were
RNNs all we needed?", section 1).
"""

from functools import cache

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.demos.runner import measure_cost
from tinygrad_rnn.plotting import subplots

CLAIM = (
    "The number of parameters does not depend on the length of the sequence; time and memory of "
    "training grow in proportion to it."
)
I = 16
USUAL = {"T": 128, "B": 16, "H": 64}


class Flat(nn.Module):
    """A feed-forward network that sees a sequence of T steps as one long vector."""

    def __init__(self, T, H):
        self.T, self.hidden, self.readout = T, nn.Linear(T * I, H), nn.Linear(H, H)

    def forward(self, x):
        batch = ag.swapaxes(x, 0, 1).reshape(x.shape[1], self.T * I)
        return self.readout(ag.tanh(self.hidden(batch))), None


KINDS = {
    "Elman": lambda T, H: nn.RNN(I, H),
    "LSTM": lambda T, H: nn.LSTM(I, H),
    "GRU": lambda T, H: nn.GRU(I, H),
    "minGRU": lambda T, H: nn.Recurrent(nn.MinGRUCell(I, H)),
    "MLP": Flat,
}


@cache
def cost(kind, repeats, T, B, H):
    """Milliseconds of a training step, and the memory (MB) it takes."""
    model = KINDS[kind](T, H)
    x = ag.tensor(np.random.default_rng(0).normal(size=(T, B, I)), dtype="float32")

    def step():
        outputs, _ = model(x)
        (outputs * outputs).mean().backward()
        model.zero_grad()

    return measure_cost(step, repeats)


def parameters(kind, T):
    return sum(weight.size for weight in KINDS[kind](T, USUAL["H"]).parameters())


def straightness(xs, ys):
    """R^2 of the straight line through these points."""
    line = np.polyval(np.polyfit(xs, ys, 1), xs)
    return 1 - ((ys - line) ** 2).sum() / ((ys - ys.mean()) ** 2).sum()


def main(demo):
    sizes = {
        "T": demo.choose([32, 64, 128, 256, 512, 1024], [32, 128, 256]),
        "B": demo.choose([1, 4, 16, 64, 256], [1, 16]),
        "H": demo.choose([8, 16, 32, 64, 128, 256], [16, 64]),
    }
    repeats = demo.choose(7, 3)
    costs = {}
    for axis, values in sizes.items():
        demo.log(f"against {axis}")
        for kind in KINDS:
            found = [cost(kind, repeats, **USUAL | {axis: value}) for value in values]
            costs[axis, kind] = np.array(found)
    T = np.array(sizes["T"], float)
    for kind in KINDS:
        grown = parameters(kind, 1000) - parameters(kind, 10)
        ms, mb = costs["T", kind].T
        if kind == "MLP":
            demo.record("MLP: more parameters at T = 1000", grown)
            continue
        demo.record(f"{kind}: more parameters at T = 1000", grown, at_most=0, quick=0)
        line = straightness(T, ms)
        demo.record(f"{kind}: R² of time over T", line, at_least=0.95)
        line = straightness(T, mb)
        demo.record(f"{kind}: R² of memory over T", line, at_least=0.99, quick=0.95)

    figure, axes = subplots(2, 3, width=13, height=7, sharex="col")
    units = {"T": "steps T", "B": "sequences B", "H": "units H"}
    for column, (axis, values) in enumerate(sizes.items()):
        for row, unit in enumerate(("time of a training step (ms)", "memory (MB)")):
            ax = axes[row, column]
            for kind, style in zip(KINDS, ("o-", "s-", "^-", "v-", "x--"), strict=True):
                ax.loglog(values, costs[axis, kind][:, row], style, label=kind)
            ax.set_xticks(values, values)
            ax.minorticks_off()
            if not column:
                ax.set_ylabel(unit)
        axes[1, column].set_xlabel(units[axis])
        others = ", ".join(f"{name} = {value}" for name, value in USUAL.items() if name != axis)
        axes[0, column].set_title(f"against {axis} ({others})")
    axes[0, 0].legend(loc="upper left")
    demo.save_figure("cost.png", figure, "time and memory of a training step")
