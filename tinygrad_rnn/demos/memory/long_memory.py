"""What was said at the beginning of a long story, asked at its end.

    tinygrad-rnn demo long_memory

A story of random words begins with a dish, and at its end one is to say which it was. The stories
are short at first and grow to 1,000 words; then LSTM, which starts with the biases of Tallec &
Ollivier ("Can recurrent neural networks warp time?", 2018), knows the dish after 2,000 as well. A
plain recurrent network that is to learn from long stories at once guesses; one that grows up with
them may come to hold a bit or more of the three that a dish is. The same LSTM learns the long time
lag of Hochreiter & Schmidhuber ("Long short-term memory", 1997, task 2c: two beginnings, 1,000
other symbols; 49,000 sequences), and a GRU their adding problem: two marked numbers of 200.
"""

from functools import partial

import autograd as ag
from tinygrad_rnn import models, nn
from tinygrad_rnn.data.generators.synthetic import make_adding_problem
from tinygrad_rnn.plotting import COLORS, subplots

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


def stories(rng, lag, size, answers=DISHES, fillers=WORDS):
    """Words (lag + 1, B), an answer, fillers, a question mark; and the answers (B,)."""
    words = rng.integers(answers, answers + fillers, (lag + 1, size))
    words[0], words[-1] = rng.integers(0, answers, size), answers + fillers
    return words, words[0]


def story_loss(model, batch):
    words, answers = batch
    return nn.functional.cross_entropy(model(words), ag.tensor(answers))


def sum_loss(model, batch):
    x, sums = batch
    return nn.functional.mse_loss(model(x)[:, 0], ag.tensor(sums))


def learn(demo, model, loss, draw, rate, growing, steps, quick):
    """Stages of so many updates each, up to a longest length; in the last, smaller steps."""
    for stage, longest in enumerate(growing, 1):
        demo.train(
            model,
            loss,
            lambda rng, n=longest: draw(rng, int(rng.integers(2, n + 1)), 32),
            steps,
            quick,
            rate=rate if stage < len(growing) else rate / 5,
        )


@ag.no_grad()
def right(model, batch):
    """The share of a batch's stories after which the answer is right."""
    return (model(batch[0]).numpy().argmax(1) == batch[1]).mean()


def main(demo):
    known = {}
    for name, layer, rate, growing in (
        ("LSTM", nn.LSTM, 0.02, (10, 30, 100, 300, LAG)),
        ("RNN, growing", nn.RNN, 0.005, (10, 30, 100, 300, LAG)),
        ("RNN", nn.RNN, 0.005, (LAG,) * 5),
    ):
        model = Reader(layer, DISHES + WORDS + 1, DISHES)
        learn(demo, model, story_loss, stories, rate, growing, 150, 30)
        known[name] = [right(model, stories(demo.rng, lag, 400)) for lag in LAGS]
        bounds = {"LSTM": {"at_least": 0.99, "quick": 0.6}, "RNN": {"at_most": 0.2, "quick": 0.3}}
        for lag, share in zip(LAGS[-2:], known[name][-2:], strict=True):
            demo.record(f"{name}: dish known after {lag:,}", share, "%", **bounds.get(name, {}))
    demo.record("guessing", 1 / DISHES, "%")

    draw, model = partial(stories, answers=2, fillers=LAG), Reader(nn.LSTM, LAG + 3, 2)
    learn(demo, model, story_loss, draw, 0.02, (30, 100, 300, LAG), 75, 25)
    share = right(model, draw(demo.rng, LAG, 400))
    demo.record("1997's long lag: right", share, "%", at_least=0.99, quick=0.6)
    demo.record("  sequences read", 32 * 4 * demo.choose(75, 25))
    demo.record("  in 1997", 49000)

    adder = models.SequenceClassifier(nn.GRU(2, 32), 1)
    learn(demo, adder, sum_loss, make_adding_problem, 0.02, (20, 60, TERMS, TERMS, TERMS), 500, 40)
    x, wanted = make_adding_problem(demo.rng, TERMS, 1000)
    with ag.no_grad():
        found = adder(x).numpy()[:, 0]
    error, guessing = ((found - wanted) ** 2).mean(), ((1 - wanted) ** 2).mean()
    demo.record(f"adding, T={TERMS}: GRU, squared error", error, at_most=1e-3, quick=0.1)
    demo.record("  always saying 1", guessing)

    figure, axes = subplots(height=4)
    for name, shares in known.items():
        axes.semilogx(LAGS, shares, "o-", label=name)
    axes.axhline(1 / DISHES, color=COLORS[6], linestyle=":", label="guessing")
    axes.axvline(LAG, color=COLORS[6], linewidth=1, label="longest learned from")
    axes.set_xticks(LAGS, [f"{lag:,}" for lag in LAGS])
    axes.set(xlabel="words between the dish and the question", ylabel="dish known (share)")
    axes.set(title="The dish at a long story's end", ylim=(0, 1.05))
    axes.legend(loc="center right")
    demo.save_figure("story.png", figure, "how often the dish is known after so many words")

    figure, axes = subplots(width=5, height=4.5)
    axes.plot([0, 2], [0, 2], color=COLORS[6], linewidth=1)
    axes.plot(wanted[:300], found[:300], ".", color=COLORS[0])
    axes.set(xlabel="sum", ylabel="GRU's answer", title=f"Two numbers of {TERMS}, added")
    demo.save_figure("adding.png", figure, "answers to sums never seen")
