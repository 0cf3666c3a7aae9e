"""Elman (1990): the prediction error of a simple recurrent network reveals structure in time.

    tinygrad-rnn demo elman

This demo trains a simple recurrent network to predict the next element of a stream, and shows where
its error is high. In temporal XOR, every third bit is the exclusive or of the two bits before it;
only the third bit is predictable. In a stream of words without spaces, the error is high at the
first letter of a word and falls within the word, so the network finds word boundaries without
labels. (J. L. Elman, "Finding structure in time", 1990.)
"""

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = (
    "The prediction error reveals structure in time: it is high where a new word begins and low "
    "within words."
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
STORY = "many years ago a boy and girl lived by the sea they played"


class Predictor(nn.Module):
    """An Elman network with scores for the next symbol."""

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


def surprisal(model, streams):
    """Return -log2 p of each element but the first, in bits: (T - 1, B)."""
    with ag.no_grad():
        scores = model(streams[:-1])[0].swapaxes(1, 2)
    return nn.functional.cross_entropy(scores, streams[1:], reduction="none").numpy() / np.log(2)


def temporal_xor(rng, triples=20, size=32):
    """Return streams (T, B) that repeat two random bits and their exclusive or."""
    bits = rng.integers(0, 2, (size, triples, 3))
    bits[:, :, 2] = bits[:, :, 0] ^ bits[:, :, 1]
    return bits.reshape(size, -1).T


def letter_streams(rng, length=60, size=32):
    """Return random words without spaces as letters (T, B), and where words begin (T, B)."""
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
    bits = surprisal(model, streams).mean(1)
    third = np.arange(1, len(streams)) % 3 == 2
    demo.record("XOR: third bit", bits[third].mean(), "bits", at_most=0.1, quick=0.2)
    demo.record("XOR: first and second bit", bits[~third].mean(), "bits")

    reader = Predictor(symbols=26, hidden=32)
    demo.train(reader, loss, lambda rng: letter_streams(rng)[0], steps=1500, quick=300, rate=0.01)
    streams, begins = letter_streams(demo.rng, size=200)
    letter_bits, begins = surprisal(reader, streams), begins[1:]
    first, later = letter_bits[begins].mean(), letter_bits[~begins].mean()
    demo.record("letters: at the start of a word", first, "bits")
    demo.record("letters: within words", later, "bits")
    demo.record("letters: ratio of the two", first / later, at_least=4, quick=2)

    figure, (upper, lower) = subplots(2, 1, height=6)
    draw(upper, bits[:24], third, range(2, 26), "Temporal XOR: every third bit is predictable")
    text = [LETTERS[i] for i in streams[1:37, 0]]
    draw(
        lower,
        letter_bits[:36, 0],
        begins[:, 0],
        text,
        "Letters: the first letter of a word is hard",
    )
    demo.save_figure("error.png", figure, "prediction error at each bit and at each letter")
    path = demo.path("unrolled.gif", "the unrolled network while it reads")
    animate(model, temporal_xor(demo.rng, triples=3, size=1), path)


def draw(axes, bits, highlighted, names, title):
    """Draw one bar for each element; highlighted elements have their own color."""
    positions = range(len(bits))
    colors = np.where(highlighted[: len(positions)], COLORS[1], COLORS[0])
    axes.bar(positions, bits, color=colors)
    axes.set_xticks(positions, names)
    axes.set(ylabel="surprisal (bits)", title=title)


def animate(model, bits, path):
    """Write a GIF of the unrolled network.

    Each column is one time step: the input bit below, the units colored by their state, and above
    them the predicted probability that the next bit is 1.
    """
    with ag.no_grad():
        scores, hidden = model(bits)
    p, hidden = ag.softmax(scores).numpy()[:, 0, 1], hidden.numpy()[:, 0]
    heights = np.linspace(-1, 1, hidden.shape[1])
    boxed = {"ha": "center", "va": "center", "bbox": {"boxstyle": "round,pad=0.4", "fc": "w"}}
    figure, axes = subplots(width=8, height=4.4)
    axes.set(xlim=(-0.6, len(bits) - 0.4), ylim=(-2.7, 2.7))
    axes.set_axis_off()

    def draw_step(k):
        axes.set_title(f"Unrolled network: {k + 1} of {len(bits)} bits read")
        axes.scatter(0 * heights + k, heights, 130, hidden[k], cmap="PuOr", vmin=-1, vmax=1, ec="k")
        axes.text(k, -2.3, str(bits[k, 0]), **boxed)
        axes.text(k, 2.3, f"{p[k]:.2f}", **boxed)
        recurrent = [(k - 0.85, 0, k - 0.15, 0)] if k else []
        for x, y, to_x, to_y in [(k, -1.9, k, -1.25), (k, 1.25, k, 1.95), *recurrent]:
            axes.annotate("", (to_x, to_y), (x, y), arrowprops={"arrowstyle": "-|>"})

    FuncAnimation(figure, draw_step, len(bits), init_func=lambda: None).save(
        path, PillowWriter(fps=1)
    )
