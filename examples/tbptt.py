"""Truncated back-propagation through time: what it learns, what it costs, where its gradient errs.

    tinygrad-rnn demo tbptt

Every k1 steps the gradient of the newest k1 outputs goes back k2 steps and no further (Williams &
Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network
trajectories"). Here a network is to repeat, without end, the bit that it read 5 steps ago. The
state is carried all the time; it is the gradient alone that is cut. An echo state network (Jaeger
2001), whose recurrent weights stay what they were at first, needs no gradient through time at all:
its state happens to carry the bit, and only the readout is learned.
"""

import sys
import time
import tracemalloc

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, nn, optim, training
from tinygrad_rnn.pictures import COLOURS, subplots

CLAIM = (
    "Truncation bounds memory and time, and biases the gradient: a lag is learned if, and only if, "
    "k2 covers it, unless the state carries what is needed without having been taught to."
)
LAG, STREAMS = 5, 32


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


def error(scores, bits):
    bits = ag.tensor(bits, device=scores.device)
    return nn.functional.binary_cross_entropy_with_logits(scores, bits)


def learn(show, model, learned, k1, k2, steps, quick):
    """Train on one stream, piece by piece; return how many bits of another one come out right."""
    x, y = stream(show.rng, 2000)
    pieces = [(x[t : t + k1], y[t : t + k1]) for t in range(0, len(x), k1)]
    trainer = training.Trainer(
        model,
        optim.Adam(learned.parameters(), lr=0.01),
        lambda read, piece: error(read(piece[0]), piece[1]),
        pieces,
        clip=1,
        bptt=training.TruncatedBPTT(k1, k2),
    )
    show.fit(trainer, steps, quick)
    x, y = stream(show.rng, 500)
    with ag.no_grad():
        scores, _ = model(ag.tensor(x))
    return ((scores.numpy() > 0) == (y > 0))[LAG:].mean()


def gradient(model, x, y, k1, k2):
    """The gradient of the whole stream's summed error, truncated: one long vector."""
    model.zero_grad()
    for scores, bits in training.TruncatedBPTT(k1, k2).windows(model, x, y):
        (error(scores, bits) * len(bits)).backward()
    return np.concatenate([weight.grad.numpy().ravel() for weight in model.parameters()])


def price(k1, k2):
    """Milliseconds for each step of a stream, and the most memory (MB) it takes."""
    model, (x, y) = Repeater(64, echo=True), stream(np.random.default_rng(0), 512)
    tracemalloc.start()
    gradient(model, x[: k2 + k1], y[: k2 + k1], k1, k2)  # compiles, too
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    begin = time.process_time()
    gradient(model, x, y, k1, k2)
    return 1000 * (time.process_time() - begin) / len(x), most / 1e6


def main(show):
    shares = {}
    for k2 in show.choose([3, 4, 5, 6, 8, 12], [5, 8]):
        show.say(f"k2 = {k2}")
        model = Repeater(32)
        shares[k2] = learn(show, model, model, 1, k2, 1500, 600)
        wanted = {"at_most": 0.7, "quick": 0.7} if k2 <= LAG else {"at_least": 0.97, "quick": 0.9}
        show.measured(f"k2 = {k2}: bits right", shares[k2], "%", **wanted)
    show.say("k2 = 1, an echo state network")
    echo = Repeater(64, echo=True)
    carried = learn(show, echo, echo.readout, 1, 1, 1500, 600)
    show.measured("k2 = 1, echo state: bits right", carried, "%", at_least=0.97, quick=0.9)

    x, y = stream(show.rng, 48, float)
    model = Repeater(32, echo=True, dtype=float)
    full = gradient(model, x, y, len(x), len(x))
    ks = range(1, len(x) + 1, show.choose(1, 47))
    found = np.array([gradient(model, x, y, 1, k2) for k2 in ks])
    bias = np.linalg.norm(found - full, axis=1) / np.linalg.norm(full)
    cosine = found @ full / np.linalg.norm(found, axis=1) / np.linalg.norm(full)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    show.measured("gradient's error, k2 = 1", bias[0], "%")
    show.measured("gradient's angle, k2 = 1", angle[0], "degrees")
    show.measured("gradient's error, k2 = T", bias[-1], at_most=1e-10, quick=1e-10)

    spans = show.choose([16, 32, 64, 128, 256], [16, 64])
    by_k2 = np.array([price(16, k2) for k2 in spans])
    by_k1 = np.array([price(k1, spans[-1]) for k1 in spans])
    for what, (least, *_, most) in zip(("time", "memory"), by_k2.T, strict=True):
        show.measured(f"{what}, k2 = {spans[-1]} over 16", most / least, "x")
    show.picture("lag.png", draw_lag(shares, carried), f"which windows learn a lag of {LAG}")
    figure, (left, middle, right) = subplots(1, 3, width=13, height=4)
    left.plot(ks, 100 * bias, label="error (% of the norm)")
    left.plot(ks, angle, "--", label="angle (degrees)")
    left.set(xlabel="k2 (steps)", title="The truncated gradient is not the full one")
    left.legend()
    for axes, column, what in ((middle, 0, "ms for each step"), (right, 1, "MB at most")):
        axes.plot(spans, by_k2[:, column], "o-", label="of k2, with k1 = 16")
        axes.plot(spans, by_k1[:, column], "s--", label=f"of k1, with k2 = {spans[-1]}")
        axes.set(xlabel="k1 or k2 (steps)", ylabel=what, ylim=(0, None))
        axes.legend()
    middle.set_title("Time: about k2 / k1 steps for each")
    right.set_title("Memory: that of k2 steps")
    show.picture("price.png", figure, "what truncation costs and saves")


def draw_lag(shares, carried):
    figure, axes = subplots(width=8, height=4)
    names = [*map(str, shares), "1\necho state"]
    colours = [COLOURS[k2 > LAG] for k2 in shares] + [COLOURS[2]]
    axes.bar(names, [100 * share for share in [*shares.values(), carried]], color=colours)
    axes.axhline(50, color="black", linestyle="--")
    axes.text(-0.7, 51, "guessing", color="black")
    axes.set(xlabel="k2 (steps that gradients reach back)", ylabel="bits right (%)")
    axes.set(ylim=(40, 102), xlim=(-0.75, len(names) - 0.5))
    axes.set_title(f"A lag of {LAG} steps is learned if k2 reaches back that far")
    return figure


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
