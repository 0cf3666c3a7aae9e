"""What was said at the beginning of a long story, asked at its end.

    tinygrad-rnn demo long_memory

A story of random words begins with a dish, and at its end one is to say which it was. The stories
are short at first and grow to 1,000 words; then LSTM, which starts with the biases of Tallec &
Ollivier ("Can recurrent neural networks warp time?", 2018), knows the dish after 2,000 as well. A
plain recurrent network that is to learn from long stories at once guesses; one that grows up with
them may come to hold a bit or so of the three that a dish is. The same LSTM learns the long time
lag of Hochreiter & Schmidhuber ("Long short-term memory", 1997, task 2c: two beginnings, 1,000
other symbols; 49,000 sequences), and a GRU their adding problem: two marked numbers of 200.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, nn, optim, training
from tinygrad_rnn.pictures import COLOURS, subplots

CLAIM = (
    "A plain recurrent network forgets what lies some dozens of steps back; gated ones carry it "
    "over a thousand and more."
)
LAG, TERMS, DISHES, WORDS = 1000, 200, 8, 40
LAGS = 3, 10, 30, 100, 300, LAG, 2 * LAG


class Reader(nn.Module):
    """Scores (B, answers) after the last of numbered words (T, B)."""

    def __init__(self, layer, words, answers, hidden=16):
        self.embedding = nn.Embedding(words, 8)
        self.recurrent, self.readout = layer(8, hidden), nn.Linear(hidden, answers)
        if layer is nn.LSTM:
            nn.init.chrono_(self.recurrent.bias_ih_l0, 2 * LAG)

    def forward(self, words):
        return self.readout(self.recurrent(self.embedding(words))[0][-1])

    error = staticmethod(nn.functional.cross_entropy)


class Adder(nn.Module):
    """Sums (B,) of the marked among numbers (T, B, 2)."""

    def __init__(self, hidden=32):
        self.recurrent, self.readout = nn.GRU(2, hidden), nn.Linear(hidden, 1)

    def forward(self, x):
        return self.readout(self.recurrent(x)[0][-1])[:, 0]

    error = staticmethod(nn.functional.mse_loss)


def stories(answers, fillers):
    """What draws words (lag + 1, B), an answer, fillers, a question mark; and the answers (B,)."""

    def draw(rng, lag, size=32):
        words = rng.integers(answers, answers + fillers, (lag + 1, size))
        words[0], words[-1] = rng.integers(0, answers, size), answers + fillers
        return words, words[0]

    return draw


def sums(rng, terms, size=32):
    """Numbers from 0 to 1 and marks (T, B, 2), one in each half; sums of the marked (B,)."""
    x = np.zeros((terms, size, 2), "float32")
    x[..., 0] = rng.random((terms, size))
    for begin, end in ((0, terms // 2), (terms // 2, terms)):
        x[rng.integers(begin, end, size), np.arange(size), 1] = 1
    return x, x.prod(2).sum(0)


def loss(model, batch):
    return model.error(model(batch[0]), ag.tensor(batch[1]))


def learn(show, model, draw, rate, growing, steps, quick):
    """Stages of so many updates each, up to a longest length; in the last, smaller steps."""
    for stage, longest in enumerate(growing, 1):
        lr = rate if stage < len(growing) else rate / 5
        batches = data.Generated(lambda rng, n=longest: draw(rng, int(rng.integers(2, n + 1))))
        optimizer = optim.Adam(model.parameters(), lr=lr)
        show.fit(training.Trainer(model, optimizer, loss, batches, clip=1), steps, quick)


def right(model, batch):
    """The share of a batch's stories after which the answer is right."""
    with ag.no_grad():
        return (ag.argmax(model(batch[0]), axis=1).numpy() == batch[1]).mean()


def main(show):
    draw, known = stories(DISHES, WORDS), {}
    for name, layer, rate, growing in (
        ("LSTM", nn.LSTM, 0.02, (10, 30, 100, 300, LAG)),
        ("RNN, growing", nn.RNN, 0.005, (10, 30, 100, 300, LAG)),
        ("RNN", nn.RNN, 0.005, (LAG,) * 5),
    ):
        model = Reader(layer, DISHES + WORDS + 1, DISHES)
        learn(show, model, draw, rate, growing, 150, 30)
        known[name] = [right(model, draw(show.rng, lag, 400)) for lag in LAGS]
        bounds = {"LSTM": {"at_least": 0.99, "quick": 0.6}, "RNN": {"at_most": 0.2, "quick": 0.3}}
        for lag, share in zip(LAGS[-2:], known[name][-2:], strict=True):
            show.measured(f"{name}: dish known after {lag:,}", share, "%", **bounds.get(name, {}))
    show.measured("guessing", 1 / DISHES, "%")

    draw, model = stories(2, LAG), Reader(nn.LSTM, LAG + 3, 2)
    learn(show, model, draw, 0.02, (30, 100, 300, LAG), 75, 25)
    share = right(model, draw(show.rng, LAG, 400))
    show.measured("1997's long lag: right", share, "%", at_least=0.99, quick=0.6)
    show.measured("  sequences read", 32 * 4 * show.choose(75, 25))
    show.measured("  in 1997", 49000)

    adder = Adder()
    learn(show, adder, sums, 0.02, (20, 60, TERMS, TERMS, TERMS), 500, 40)
    x, wanted = sums(show.rng, TERMS, 1000)
    with ag.no_grad():
        found = adder(x).numpy()
    error, guessing = ((found - wanted) ** 2).mean(), ((1 - wanted) ** 2).mean()
    show.measured(f"adding, T={TERMS}: GRU, squared error", error, at_most=1e-3, quick=0.1)
    show.measured("  always saying 1", guessing)

    figure, axes = subplots(height=4)
    for name, shares in known.items():
        axes.semilogx(LAGS, shares, "o-", label=name)
    axes.axhline(1 / DISHES, color=COLOURS[6], linestyle=":", label="guessing")
    axes.axvline(LAG, color=COLOURS[6], linewidth=1, label="longest learned from")
    axes.set_xticks(LAGS, [f"{lag:,}" for lag in LAGS])
    axes.set(xlabel="words between the dish and the question", ylabel="dish known (share)")
    axes.set(title="The dish at a long story's end", ylim=(0, 1.05))
    axes.legend(loc="center right")
    show.picture("story.png", figure, "how often the dish is known after so many words")

    figure, axes = subplots(width=5, height=4.5)
    axes.plot([0, 2], [0, 2], color=COLOURS[6], linewidth=1)
    axes.plot(wanted[:300], found[:300], ".", color=COLOURS[0])
    axes.set(xlabel="sum", ylabel="GRU's answer", title=f"Two numbers of {TERMS}, added")
    show.picture("adding.png", figure, "answers to sums never seen")


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
