"""Elman 1990: structure in time, found by predicting what comes next.

    tinygrad-rnn demo elman

A simple recurrent network reads a stream and predicts its next element; where it errs shows what
it has understood. In temporal XOR every third bit is the exclusive or of the two before it: only
there can the error dip. In words run together it is high where a word begins and falls as that goes
on: words are found that nobody has named. (J. L. Elman, "Finding structure in time", 1990.)
"""

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = "Structure in time shows in the error of predictions: it rises where a new word begins."
LETTERS = "abcdefghijklmnopqrstuvwxyz"
STORY = "many years ago a boy and girl lived by the sea they played"


class Predictor(nn.Module):
    """Elman's network, and scores of what comes next."""

    def __init__(self, symbols, hidden):
        self.symbols = symbols
        self.rnn = nn.RNN(symbols, hidden)
        self.readout = nn.Linear(hidden, symbols)

    def forward(self, stream):
        hidden, _ = self.rnn(ag.one_hot(stream, self.symbols, dtype="float32"))
        return self.readout(hidden), hidden


def loss(model, streams):
    scores, _ = model(streams[:-1])
    return nn.functional.cross_entropy(scores.reshape(-1, model.symbols), streams[1:].ravel())


def surprise(model, streams):
    """How many bits each element (T - 1, B) comes unexpected by: -log2 p."""
    with ag.no_grad():
        scores = model(streams[:-1])[0].swapaxes(1, 2)
    return nn.functional.cross_entropy(scores, streams[1:], reduction="none").numpy() / np.log(2)


def temporal_xor(rng, triples=20, size=32):
    """Streams (T, B) of two bits at random and their exclusive or, again and again."""
    bits = rng.integers(0, 2, (size, triples, 3))
    bits[:, :, 2] = bits[:, :, 0] ^ bits[:, :, 1]
    return bits.reshape(size, -1).T


def letters(rng, length=60, size=32):
    """Words at random with nothing between them: letters (T, B), and where words begin (T, B)."""
    streams, begins = np.empty((2, length, size), int)
    for b in range(size):
        words = rng.choice(STORY.split(), length)
        begins[:, b] = np.isin(np.arange(length), np.cumsum([0, *map(len, words)]))
        streams[:, b] = [LETTERS.index(letter) for letter in "".join(words)[:length]]
    return streams, begins > 0


def main(demo):
    model = Predictor(symbols=2, hidden=8)
    demo.train(model, loss, temporal_xor, steps=1500, quick=600, rate=0.01)
    streams = temporal_xor(demo.rng, size=200)
    bits = surprise(model, streams).mean(1)
    third = np.arange(1, len(streams)) % 3 == 2
    demo.record("XOR: every third bit", bits[third].mean(), "bits", at_most=0.1, quick=0.2)
    demo.record("XOR: the two before it", bits[~third].mean(), "bits")

    reader = Predictor(symbols=26, hidden=32)
    demo.train(reader, loss, lambda rng: letters(rng)[0], steps=1500, quick=300, rate=0.01)
    streams, begins = letters(demo.rng, size=200)
    found, begins = surprise(reader, streams), begins[1:]
    first, later = found[begins].mean(), found[~begins].mean()
    demo.record("letters: where a word begins", first, "bits")
    demo.record("letters: within words", later, "bits")
    demo.record("letters: how many times as much", first / later, at_least=4, quick=2)

    figure, (above, below) = subplots(2, 1, height=6)
    draw(above, bits[:24], third, range(2, 26), "Temporal XOR: every third bit can be known")
    line = [LETTERS[i] for i in streams[1:37, 0]]
    draw(below, found[:36, 0], begins[:, 0], line, "Letters: hard to foresee is where words begin")
    demo.save_figure("error.png", figure, "prediction error at each bit and at each letter")
    path = demo.path("unrolled.gif", "the network as it reads")
    unroll(model, temporal_xor(demo.rng, triples=3, size=1), path)


def draw(axes, surprises, marked, names, title):
    """A bar for each element, those that the title speaks of in a colour of their own."""
    places = range(len(surprises))
    axes.bar(places, surprises, color=np.where(marked[: len(places)], COLORS[1], COLORS[0]))
    axes.set_xticks(places, names)
    axes.set(ylabel="surprise (bits)", title=title)


def unroll(model, bits, path):
    """A GIF: the network copied for every step, its units coloured by their state; below, what it
    reads, above, the probability that it gives to a 1 as the next."""
    with ag.no_grad():
        scores, hidden = model(bits)
    p, hidden = ag.softmax(scores).numpy()[:, 0, 1], hidden.numpy()[:, 0]
    units = np.linspace(-1, 1, hidden.shape[1])
    centred = {"ha": "center", "va": "center", "bbox": {"boxstyle": "round,pad=0.4", "fc": "w"}}
    figure, axes = subplots(width=8, height=4.4)
    axes.set(xlim=(-0.6, len(bits) - 0.4), ylim=(-2.7, 2.7))
    axes.set_axis_off()

    def step(k):
        axes.set_title(f"One network, copied for every step: {k + 1} of {len(bits)} bits read")
        axes.scatter(0 * units + k, units, 130, hidden[k], cmap="PuOr", vmin=-1, vmax=1, ec="k")
        axes.text(k, -2.3, str(bits[k, 0]), **centred)
        axes.text(k, 2.3, f"{p[k]:.2f}", **centred)
        across = [(k - 0.85, 0, k - 0.15, 0)] if k else []
        for x, y, to_x, to_y in [(k, -1.9, k, -1.25), (k, 1.25, k, 1.95), *across]:
            axes.annotate("", (to_x, to_y), (x, y), arrowprops={"arrowstyle": "-|>"})

    FuncAnimation(figure, step, len(bits), init_func=lambda: None).save(path, PillowWriter(fps=1))
