"""Truncated back-propagation through time: what it learns, what it costs, where its gradient errs.

    tinygrad-rnn demo tbptt

Every k1 steps the gradient of the newest k1 outputs goes back through the newest k2 steps and no
further (Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of
recurrent network trajectories"). Here a network is to repeat, without end, the bit that it read 5
steps ago; k2 = 6 covers that step and the present one. The state is carried on; the gradient alone
is cut. An echo state network (Jaeger 2001), whose recurrent weights stay what they were at first,
needs no gradient through time: its state happens to carry the bit, and only the readout is learned.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn, training
from tinygrad_rnn.demos.runner import measure_cost
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = (
    "Truncation bounds memory and time, and biases the gradient: a lag is learned if, and only if, "
    "k2 covers it, unless the state carries what is needed without having been taught to."
)
LAG, STREAMS = 5, 32
error = nn.functional.binary_cross_entropy_with_logits


class Repeater(nn.Module):
    """An Elman network and the score of a bit; `echo` turns what it is given round and round."""

    def __init__(self, hidden, echo=False, dtype=None):
        self.rnn = nn.RNN(1, hidden, dtype=dtype)
        self.readout = nn.Linear(hidden, 1, dtype=dtype)
        if echo:
            nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=0.95)

    def forward(self, x, state=None):
        hidden, state = self.rnn(x, state)
        return self.readout(hidden), state


def stream(rng, steps, dtype="float32"):
    """Bits as -1 and 1, and those of LAG steps ago as 0 and 1: (steps, STREAMS, 1) each."""
    bits = rng.integers(0, 2, (steps + LAG, STREAMS, 1)).astype(dtype)
    return 2 * bits[LAG:] - 1, bits[:-LAG]


def loss(read, step):
    x, y = step
    return error(read(x[None]), y[None])


def learn(demo, model, k2):
    """Train on one stream, step by step; return how many bits of another one come out right."""
    steps, bptt = list(zip(*stream(demo.rng, 2000), strict=True)), training.TruncatedBPTT(1, k2)
    demo.train(model, loss, steps, steps=1500, quick=600, rate=0.01, bptt=bptt)
    x, y = stream(demo.rng, 500)
    scores, _ = model(ag.tensor(x))
    return ((scores.numpy() > 0) == (y > 0))[LAG:].mean()


def gradient(model, x, y, k1, k2):
    """The gradient of the whole stream's summed error, truncated: one long vector."""
    model.zero_grad()
    for scores, bits in training.TruncatedBPTT(k1, k2).windows(model, x, y):
        (error(scores, bits) * len(bits)).backward()
    return np.concatenate([weight.grad.numpy().ravel() for weight in model.parameters()])


def cost(k1, k2):
    """Milliseconds for each step of a stream, and the most memory (MB) it takes."""
    model, (x, y) = Repeater(64, echo=True), stream(np.random.default_rng(0), 512)
    milliseconds, memory = measure_cost(lambda: gradient(model, x, y, k1, k2))
    return milliseconds / len(x), memory


def main(demo):
    shares = {}
    for k2 in demo.choose([3, 4, 5, 6, 8, 12], [5, 8]):
        demo.log(f"k2 = {k2}")
        shares[k2] = learn(demo, Repeater(32), k2)
        wanted = {"at_most": 0.7, "quick": 0.7} if k2 <= LAG else {"at_least": 0.97, "quick": 0.9}
        demo.record(f"k2 = {k2}: bits right", shares[k2], "%", **wanted)
    demo.log("k2 = 1, an echo state network")
    echo = Repeater(64, echo=True)
    echo.rnn.requires_grad_(False)  # the readout alone is learned
    carried = learn(demo, echo, 1)
    demo.record("k2 = 1, echo state: bits right", carried, "%", at_least=0.97, quick=0.9)

    x, y = stream(demo.rng, 48, float)
    model = Repeater(32, echo=True, dtype=float)
    full = gradient(model, x, y, len(x), len(x))
    ks = range(1, len(x) + 1, demo.choose(1, 47))
    found = np.array([gradient(model, x, y, 1, k2) for k2 in ks])
    bias = np.linalg.norm(found - full, axis=1) / np.linalg.norm(full)
    cosines = found @ full / np.linalg.norm(found, axis=1) / np.linalg.norm(full)
    angles = np.degrees(np.arccos(np.minimum(cosines, 1)))
    demo.record("gradient's error, k2 = 1", bias[0], "%")
    demo.record("gradient's angle, k2 = 1", angles[0], "degrees")
    demo.record("gradient's error, k2 = T", bias[-1], at_most=1e-10, quick=1e-10)

    spans = demo.choose([16, 32, 64, 128, 256], [16, 64])
    by_k2 = np.array([cost(16, k2) for k2 in spans])
    by_k1 = np.array([cost(k1, spans[-1]) for k1 in spans])
    for what, (least, *_, most) in zip(("time", "memory"), by_k2.T, strict=True):
        demo.record(f"{what}, k2 = {spans[-1]} over 16", most / least, "x")

    figure, axes = subplots(width=8, height=4)
    colours = [COLORS[k2 > LAG] for k2 in shares] + [COLORS[2]]
    axes.bar([*map(str, shares), "1\necho state"], [*shares.values(), carried], color=colours)
    axes.axhline(0.5, color="black", linestyle="--", label="guessing")
    axes.set(xlabel="k2 (steps that gradients go through)", ylabel="bits right (share)")
    axes.set(ylim=(0.4, 1.02), title=f"A lag of {LAG} steps is learned if k2 is more")
    axes.legend(loc="upper left")
    demo.save_figure("lag.png", figure, f"which windows learn a lag of {LAG}")

    figure, (left, *others) = subplots(1, 3, width=13, height=4)
    left.plot(ks, 100 * bias, label="error (% of its norm)")
    left.plot(ks, angles, "--", label="angle (degrees)")
    left.set(xlabel="k2 (steps)", ylabel="% or degrees")
    left.legend()
    left.set_title("The truncated gradient is not the full one")
    titles = "Time: about k2 / k1 steps for each", "Memory: that of k2 steps"
    for n, (axes, unit) in enumerate(zip(others, ("ms for each step", "MB at most"), strict=True)):
        axes.plot(spans, by_k2[:, n], "o-", label="of k2, with k1 = 16")
        axes.plot(spans, by_k1[:, n], "s--", label=f"of k1, with k2 = {spans[-1]}")
        axes.set(xlabel="k1 or k2 (steps)", ylabel=unit, ylim=(0, None), title=titles[n])
        axes.legend()
    demo.save_figure("price.png", figure, "what truncation costs and saves")
