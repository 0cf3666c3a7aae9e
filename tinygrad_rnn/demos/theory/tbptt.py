"""Truncated backpropagation through time: what it can learn, its cost, and its gradient error.

    tinygrad-rnn demo tbptt

This demo varies the two parameters of truncated backpropagation through time: every k1 steps, the
gradient of the newest k1 outputs is propagated through the newest k2 steps only (Williams & Peng
1990, "An efficient gradient-based algorithm for on-line training of recurrent network
trajectories"). The task is to output the bit that was read 5 steps ago, so k2 = 6 covers the lag.
The hidden state is carried over; only the gradient is truncated. An echo state network (Jaeger
2001), whose recurrent weights stay at their initial values, needs no gradient through time: its
state contains the bit already, and only the readout is trained.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn, training
from tinygrad_rnn.demos.runner import measure_cost
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = (
    "Truncation bounds memory and time, and biases the gradient: a lag is learned if and only if "
    "k2 covers it, unless the untrained state already carries the information."
)
LAG, STREAMS = 5, 32
error = nn.functional.binary_cross_entropy_with_logits


class DelayNetwork(nn.Module):
    """An Elman network with the logit of a bit; `echo` gives it orthogonal recurrent weights."""

    def __init__(self, hidden, echo=False, dtype=None):
        self.rnn = nn.RNN(1, hidden, dtype=dtype)
        self.readout = nn.Linear(hidden, 1, dtype=dtype)
        if echo:
            nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=0.95)

    def forward(self, x, state=None):
        hidden, state = self.rnn(x, state)
        return self.readout(hidden), state


def stream(rng, steps, dtype="float32"):
    """Return bits as -1 and 1, and the bits LAG steps earlier as 0 and 1: (steps, STREAMS, 1)."""
    bits = rng.integers(0, 2, (steps + LAG, STREAMS, 1)).astype(dtype)
    return 2 * bits[LAG:] - 1, bits[:-LAG]


def loss(read, step):
    x, y = step
    return error(read(x[None]), y[None])


def train(demo, model, k2):
    """Train online on one stream; return the accuracy on another one."""
    steps, bptt = list(zip(*stream(demo.rng, 2000), strict=True)), training.TruncatedBPTT(1, k2)
    demo.train(model, loss, steps, steps=1500, quick=600, rate=0.01, bptt=bptt)
    x, y = stream(demo.rng, 500)
    scores, _ = model(ag.tensor(x))
    return ((scores.numpy() > 0) == (y > 0))[LAG:].mean()


def truncated_gradient(model, x, y, k1, k2):
    """Return the truncated gradient of the summed error of a stream, as one vector."""
    model.zero_grad()
    for scores, bits in training.TruncatedBPTT(k1, k2).chunks(model, x, y):
        (error(scores, bits) * len(bits)).backward()
    return np.concatenate([weight.grad.numpy().ravel() for weight in model.parameters()])


def training_cost(k1, k2):
    """Return the milliseconds per time step of a stream, and the peak memory in MB."""
    model, (x, y) = DelayNetwork(64, echo=True), stream(np.random.default_rng(0), 512)
    milliseconds, megabytes = measure_cost(lambda: truncated_gradient(model, x, y, k1, k2))
    return milliseconds / len(x), megabytes


def main(demo):
    accuracies = {}
    for k2 in demo.choose([3, 4, 5, 6, 8, 12], [5, 8]):
        demo.log(f"k2 = {k2}")
        accuracies[k2] = train(demo, DelayNetwork(32), k2)
        target = {"at_most": 0.7, "quick": 0.7} if k2 <= LAG else {"at_least": 0.97, "quick": 0.9}
        demo.record(f"k2 = {k2}: accuracy", accuracies[k2], "%", **target)
    demo.log("k2 = 1, echo state network")
    echo = DelayNetwork(64, echo=True)
    echo.rnn.requires_grad_(False)  # train the readout only
    echo_accuracy = train(demo, echo, 1)
    row = "k2 = 1, echo state: accuracy"
    demo.record(row, echo_accuracy, "%", at_least=0.97, quick=0.9)

    x, y = stream(demo.rng, 48, float)
    model = DelayNetwork(32, echo=True, dtype=float)
    full = truncated_gradient(model, x, y, len(x), len(x))
    ks = range(1, len(x) + 1, demo.choose(1, 47))
    truncated = np.array([truncated_gradient(model, x, y, 1, k2) for k2 in ks])
    bias = np.linalg.norm(truncated - full, axis=1) / np.linalg.norm(full)
    cosines = truncated @ full / np.linalg.norm(truncated, axis=1) / np.linalg.norm(full)
    angles = np.degrees(np.arccos(np.minimum(cosines, 1)))
    demo.record("gradient error, k2 = 1", bias[0], "%")
    demo.record("gradient angle, k2 = 1", angles[0], "degrees")
    demo.record("gradient error, k2 = T", bias[-1], at_most=1e-10, quick=1e-10)

    spans = demo.choose([16, 32, 64, 128, 256], [16, 64])
    by_k2 = np.array([training_cost(16, k2) for k2 in spans])
    by_k1 = np.array([training_cost(k1, spans[-1]) for k1 in spans])
    for quantity, (least, *_, most) in zip(("time", "memory"), by_k2.T, strict=True):
        demo.record(f"{quantity}, k2 = {spans[-1]} to k2 = 16", most / least, "x")

    demo.save_figure("lag.png", draw_accuracy(accuracies, echo_accuracy), "accuracy against k2")
    figure = draw_cost(ks, bias, angles, spans, by_k1, by_k2)
    demo.save_figure("price.png", figure, "error of the truncated gradient, time and memory")


def draw_accuracy(accuracies, echo_accuracy):
    figure, axes = subplots(width=8, height=4)
    colors = [COLORS[k2 > LAG] for k2 in accuracies] + [COLORS[2]]
    names = [*map(str, accuracies), "1\necho state"]
    axes.bar(names, [*accuracies.values(), echo_accuracy], color=colors)
    axes.axhline(0.5, color="black", linestyle="--", label="chance")
    axes.set(xlabel="k2 (steps that gradients pass through)", ylabel="accuracy")
    axes.set(ylim=(0.4, 1.02), title=f"A lag of {LAG} steps is learned if k2 > {LAG}")
    axes.legend(loc="upper left")
    return figure


def draw_cost(ks, bias, angles, spans, by_k1, by_k2):
    figure, (left, *others) = subplots(1, 3, width=13, height=4)
    left.plot(ks, 100 * bias, label="error (% of the norm)")
    left.plot(ks, angles, "--", label="angle (degrees)")
    left.set(xlabel="k2 (steps)", ylabel="% or degrees")
    left.legend()
    left.set_title("Bias of the truncated gradient")
    titles = "Time per step: about k2 / k1", "Memory: proportional to k2"
    for n, (axes, unit) in enumerate(zip(others, ("ms per time step", "peak MB"), strict=True)):
        axes.plot(spans, by_k2[:, n], "o-", label="varying k2, k1 = 16")
        axes.plot(spans, by_k1[:, n], "s--", label=f"varying k1, k2 = {spans[-1]}")
        axes.set(xlabel="k1 or k2 (steps)", ylabel=unit, ylim=(0, None), title=titles[n])
        axes.legend()
    return figure
