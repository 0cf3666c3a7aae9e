"""Cost of recurrence: training time and memory grow with the length, the parameters do not.

    tinygrad-rnn demo cost

This demo measures the training time and memory of recurrent networks against the sequence length,
the batch size and the hidden size. A recurrent network uses the same weights at every step, so its
number of parameters does not depend on the sequence length. A feed-forward network that reads the
whole sequence at once needs more parameters for longer sequences. The steps of a recurrent network
run one after another, and each one stores residuals for the backward pass, so time and memory of
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
    "The number of parameters does not depend on the sequence length; the time and memory of "
    "training grow in proportion to it."
)
I = 16
DEFAULTS = {"T": 128, "B": 16, "H": 64}


class FlatMLP(nn.Module):
    """A feed-forward network that reads a sequence of T steps as one long vector."""

    def __init__(self, T, H):
        self.T, self.hidden, self.readout = T, nn.Linear(T * I, H), nn.Linear(H, H)

    def forward(self, x):
        batch = ag.swapaxes(x, 0, 1).reshape(x.shape[1], self.T * I)
        return self.readout(ag.tanh(self.hidden(batch))), None


MODELS = {
    "Elman": lambda T, H: nn.RNN(I, H),
    "LSTM": lambda T, H: nn.LSTM(I, H),
    "GRU": lambda T, H: nn.GRU(I, H),
    "minGRU": lambda T, H: nn.Recurrent(nn.MinGRUCell(I, H)),
    "MLP": FlatMLP,
}


@cache
def training_cost(name, repeats, T, B, H):
    """Return the milliseconds and megabytes of a training step."""
    model = MODELS[name](T, H)
    x = ag.tensor(np.random.default_rng(0).normal(size=(T, B, I)), dtype="float32")

    def step():
        outputs, _ = model(x)
        (outputs * outputs).mean().backward()
        model.zero_grad()

    return measure_cost(step, repeats)


def count_parameters(name, T):
    return sum(weight.size for weight in MODELS[name](T, DEFAULTS["H"]).parameters())


def r_squared(xs, ys):
    """Return the coefficient of determination of a linear fit."""
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
        demo.log(f"Varying {axis}")
        for name in MODELS:
            measured = [training_cost(name, repeats, **DEFAULTS | {axis: v}) for v in values]
            costs[axis, name] = np.array(measured)
    T = np.array(sizes["T"], float)
    for name in MODELS:
        added = count_parameters(name, 1000) - count_parameters(name, 10)
        milliseconds, megabytes = costs["T", name].T
        if name == "MLP":
            demo.record("MLP: added parameters, T = 1000", added)
            continue
        row = f"{name}: added parameters, T = 1000"
        demo.record(row, added, at_most=0, quick=0)
        demo.record(f"{name}: R² of time against T", r_squared(T, milliseconds), at_least=0.95)
        fit = r_squared(T, megabytes)
        demo.record(f"{name}: R² of memory against T", fit, at_least=0.99, quick=0.95)
    demo.save_figure("cost.png", draw(sizes, costs), "time and memory of a training step")


def draw(sizes, costs):
    """Plot time and memory against each size, one line for each model."""
    figure, axes = subplots(2, 3, width=13, height=7, sharex="col")
    labels = {"T": "sequence length T", "B": "batch size B", "H": "hidden size H"}
    for column, (axis, values) in enumerate(sizes.items()):
        for row, quantity in enumerate(("time of a training step (ms)", "memory (MB)")):
            ax = axes[row, column]
            for name, marker in zip(MODELS, ("o-", "s-", "^-", "v-", "x--"), strict=True):
                ax.loglog(values, costs[axis, name][:, row], marker, label=name)
            ax.set_xticks(values, values)
            ax.minorticks_off()
            if not column:
                ax.set_ylabel(quantity)
        axes[1, column].set_xlabel(labels[axis])
        fixed = ", ".join(f"{name} = {value}" for name, value in DEFAULTS.items() if name != axis)
        axes[0, column].set_title(f"Varying {axis} ({fixed})")
    axes[0, 0].legend(loc="upper left")
    return figure
