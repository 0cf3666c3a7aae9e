"""Elman 1990: structure in time, found by predicting what comes next.

    tinygrad-rnn demo elman

A simple recurrent network reads a stream and predicts its next element; where it errs shows what
it has understood. In temporal XOR every third bit is the exclusive or of the two before it: only
there can the error dip. In letters of words run together the error is high where a word begins and
falls as it goes on: words are found, and nobody has named them. (J. L. Elman, "Finding structure in
time", Cognitive Science 14, 1990.)
"""

import sys

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

import autograd as ag
from tinygrad_rnn import cli, data, nn, optim, training
from tinygrad_rnn.pictures import COLOURS, subplots

CLAIM = (
    "A network with a copy of its own state as context finds structure in time: the error of its "
    "predictions dips at every third bit of temporal XOR, and rises where a new word begins."
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [
    "many",
    "years",
    "ago",
    "a",
    "boy",
    "and",
    "girl",
    "lived",
    "by",
    "the",
    "sea",
    "they",
    "played",
]


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


def learn(show, make, symbols, hidden, steps, quick):
    """A network that has predicted so many batches of streams, 32 each."""
    model = Predictor(symbols, hidden)
    batches = data.Generated(lambda rng: np.stack([make(rng) for _ in range(32)], axis=1))
    trainer = training.Trainer(
        model, optim.Adam(model.parameters(), lr=0.01), loss, batches, clip=1
    )
    show.fit(trainer, steps, quick)
    return model


def surprise(model, streams):
    """How many bits each element (T - 1, B) comes unexpected by: -log2 p."""
    with ag.no_grad():
        scores, _ = model(streams[:-1])
        log_p = ag.take_along_axis(ag.log_softmax(scores), ag.tensor(streams[1:, :, None]))
    return -log_p.numpy()[..., 0] / np.log(2)


def temporal_xor(rng, triples=20):
    """Two bits at random and their exclusive or, again and again."""
    bits = rng.integers(0, 2, (triples, 3))
    bits[:, 2] = bits[:, 0] ^ bits[:, 1]
    return bits.ravel()


def letters(rng, length=60):
    """Words at random with nothing between them: numbers of letters, and where words begin."""
    words = rng.choice(WORDS, length)
    text = "".join(words)[:length]
    begins = np.isin(np.arange(length), np.cumsum([0, *map(len, words)]))
    return np.array([LETTERS.index(letter) for letter in text]), begins


def main(show):
    show.say("Temporal XOR")
    model = learn(show, temporal_xor, symbols=2, hidden=16, steps=1500, quick=600)
    streams = np.stack([temporal_xor(show.rng) for _ in range(200)], axis=1)
    bits = surprise(model, streams).mean(1)
    third = np.arange(1, len(streams)) % 3 == 2
    show.measured(
        "XOR: surprise at every third bit", bits[third].mean(), "bits", at_most=0.1, quick=0.2
    )
    show.measured("XOR: surprise at the two before", bits[~third].mean(), "bits")

    show.say("Letters in words")
    reader = learn(show, lambda rng: letters(rng)[0], symbols=26, hidden=32, steps=1500, quick=300)
    streams, begins = map(np.stack, zip(*(letters(show.rng) for _ in range(200)), strict=True))
    found = surprise(reader, streams.T).T
    begins = begins[:, 1:]
    first, later = found[begins].mean(), found[~begins].mean()
    show.measured("letters: surprise where a word begins", first, "bits")
    show.measured("letters: surprise within words", later, "bits")
    show.measured("letters: how many times as much", first / later, at_least=4, quick=2)
    show.picture(
        "error.png",
        draw_errors(bits[:24], third[:24], streams[0], found[0], begins[0]),
        "the error at every bit, and at every letter of an unseen line",
    )
    animate(
        model,
        temporal_xor(show.rng, 6),
        show.path("unrolled.gif", "the network, unrolled as it reads"),
    )


def draw_errors(bits, third, letters, surprises, begins):
    figure, (above, below) = subplots(2, 1, height=6)
    above.bar(np.arange(2, len(bits) + 2), bits, color=np.where(third, COLOURS[1], COLOURS[0]))
    above.set(
        xlabel="bit", ylabel="surprise (bits)", title="Temporal XOR: every third bit can be known"
    )
    shown = np.arange(1, 41)
    below.plot(shown, surprises[:40], color=COLOURS[0])
    below.plot(
        shown[begins[:40]],
        surprises[:40][begins[:40]],
        "o",
        color=COLOURS[1],
        label="a word begins",
    )
    below.set_xticks(shown, [LETTERS[i] for i in letters[1:41]])
    below.set(
        ylabel="surprise (bits)", title="Letters: what is hard to foresee is where words begin"
    )
    below.legend()
    return figure


def animate(model, bits, path):
    """A GIF: the network copied for every step, its units coloured by their state."""
    with ag.no_grad():
        scores, hidden = model(bits[:, None])
    p, hidden = ag.softmax(scores).numpy()[:, 0, 1], hidden.numpy()[:, 0]
    figure, axes = subplots(width=8, height=3.6)

    def draw(t):
        axes.clear()
        axes.imshow(np.where(np.arange(len(bits)) <= t, hidden.T, 0), cmap="PuOr", vmin=-1, vmax=1)
        axes.set_xticks(
            range(len(bits)),
            [
                f"{bit}\n{q:.1f}" if k <= t else ""
                for k, (bit, q) in enumerate(zip(bits, p, strict=True))
            ],
        )
        axes.set(
            xlabel="bit read, and below it the probability given to a 1 as the next",
            ylabel="hidden unit",
            title=f"The same network at each step: after {t + 1} bits",
        )
        axes.grid(visible=False)

    FuncAnimation(figure, draw, len(bits)).save(path, PillowWriter(fps=2))


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
