"""Long-term memory: recall the first word of a sequence after 1,000 steps.

    tinygrad-rnn demo long_memory

This demo tests how long recurrent networks remember. A story of random words begins with one of
eight dishes, and the network must name the dish at the end. The training stories grow to 1,000
words. An LSTM with the bias initialization of Tallec & Ollivier ("Can recurrent neural networks
warp time?", 2018) recalls the dish after 2,000 words as well. A plain recurrent network that is
trained on long stories from the start only guesses; with growing stories it may learn a part of the
three bits. The same LSTM solves the long time lag problem of Hochreiter & Schmidhuber ("Long
short-term memory", 1997, task 2c: two beginnings, 1,000 other symbols, 49,000 training sequences),
and a GRU solves their adding problem: the sum of two marked numbers among 200.
"""

from functools import partial

import autograd as ag
from tinygrad_rnn import models, nn
from tinygrad_rnn.data.generators.synthetic import make_adding_problem
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = (
    "A plain recurrent network forgets within some dozens of steps; gated networks remember over "
    "1,000 steps and more."
)
LAG, TERMS, DISHES, FILLERS = 1000, 200, 8, 40
LAGS = 3, 10, 30, 100, 300, LAG, 2 * LAG


class Reader(nn.Module):
    """A classifier of word sequences (T, B): scores (B, answers) after the last word."""

    def __init__(self, layer, words, answers, hidden=16):
        self.embedding = nn.Embedding(words, 8)
        self.recurrent, self.readout = layer(8, hidden), nn.Linear(hidden, answers)
        if layer is nn.LSTM:
            nn.init.chrono_(self.recurrent.bias_ih_l0, 2 * LAG)

    def forward(self, words):
        return self.readout(self.recurrent(self.embedding(words))[0][-1])


def make_stories(rng, lag, size, answers=DISHES, fillers=FILLERS):
    """Return words (lag + 1, B): an answer, fillers and a question mark; and the answers (B,)."""
    words = rng.integers(answers, answers + fillers, (lag + 1, size))
    words[0], words[-1] = rng.integers(0, answers, size), answers + fillers
    return words, words[0]


def story_loss(model, batch):
    words, answers = batch
    return nn.functional.cross_entropy(model(words), ag.tensor(answers))


def sum_loss(model, batch):
    x, sums = batch
    return nn.functional.mse_loss(model(x)[:, 0], ag.tensor(sums))


def train(demo, model, loss, make_batch, rate, max_lengths, steps, quick):
    """Train in stages of `steps` updates, each with its maximum length; the last rate is lower."""
    for stage, longest in enumerate(max_lengths, 1):
        demo.train(
            model,
            loss,
            lambda rng, n=longest: make_batch(rng, int(rng.integers(2, n + 1)), 32),
            steps,
            quick,
            rate=rate if stage < len(max_lengths) else rate / 5,
        )


@ag.no_grad()
def accuracy(model, batch):
    return (model(batch[0]).numpy().argmax(1) == batch[1]).mean()


def recall_dishes(demo):
    """Train three networks on stories; return their accuracies by lag."""
    accuracies = {}
    for name, layer, rate, max_lengths in (
        ("LSTM", nn.LSTM, 0.02, (10, 30, 100, 300, LAG)),
        ("RNN, growing lengths", nn.RNN, 0.005, (10, 30, 100, 300, LAG)),
        ("RNN", nn.RNN, 0.005, (LAG,) * 5),
    ):
        model = Reader(layer, DISHES + FILLERS + 1, DISHES)
        train(demo, model, story_loss, make_stories, rate, max_lengths, 150, 30)
        accuracies[name] = [accuracy(model, make_stories(demo.rng, lag, 400)) for lag in LAGS]
        bounds = {"LSTM": {"at_least": 0.99, "quick": 0.6}, "RNN": {"at_most": 0.2, "quick": 0.3}}
        for lag, value in zip(LAGS[-2:], accuracies[name][-2:], strict=True):
            demo.record(f"{name}: recall after {lag:,}", value, "%", **bounds.get(name, {}))
    demo.record("chance", 1 / DISHES, "%")
    return accuracies


def solve_long_lag(demo):
    """Train an LSTM on the long time lag problem of 1997."""
    make_batch = partial(make_stories, answers=2, fillers=LAG)
    model = Reader(nn.LSTM, LAG + 3, 2)
    train(demo, model, story_loss, make_batch, 0.02, (30, 100, 300, LAG), 75, 25)
    value = accuracy(model, make_batch(demo.rng, LAG, 400))
    demo.record("long time lag: accuracy", value, "%", at_least=0.99, quick=0.6)
    demo.record("  training sequences", 32 * 4 * demo.choose(75, 25))
    demo.record("  training sequences in 1997", 49000)


def solve_adding(demo):
    """Train a GRU on the adding problem; return the sums and the predictions."""
    model = models.SequenceClassifier(nn.GRU(2, 32), 1)
    max_lengths = 20, 60, TERMS, TERMS, TERMS
    train(demo, model, sum_loss, make_adding_problem, 0.02, max_lengths, 500, 40)
    x, sums = make_adding_problem(demo.rng, TERMS, 1000)
    with ag.no_grad():
        predictions = model(x).numpy()[:, 0]
    error, baseline = ((predictions - sums) ** 2).mean(), ((1 - sums) ** 2).mean()
    demo.record(f"adding problem, T={TERMS}: GRU, MSE", error, at_most=1e-3, quick=0.1)
    demo.record("  MSE of the constant 1", baseline)
    return sums, predictions


def main(demo):
    accuracies = recall_dishes(demo)
    solve_long_lag(demo)
    sums, predictions = solve_adding(demo)

    figure, axes = subplots(height=4)
    for name, values in accuracies.items():
        axes.semilogx(LAGS, values, "o-", label=name)
    axes.axhline(1 / DISHES, color=COLORS[6], linestyle=":", label="chance")
    axes.axvline(LAG, color=COLORS[6], linewidth=1, label="longest training lag")
    axes.set_xticks(LAGS, [f"{lag:,}" for lag in LAGS])
    axes.set(xlabel="words between the dish and the question", ylabel="accuracy")
    axes.set(title="Recall of the first word of a story", ylim=(0, 1.05))
    axes.legend(loc="center right")
    demo.save_figure("story.png", figure, "recall accuracy by lag")

    figure, axes = subplots(width=5, height=4.5)
    axes.plot([0, 2], [0, 2], color=COLORS[6], linewidth=1)
    axes.plot(sums[:300], predictions[:300], ".", color=COLORS[0])
    axes.set(xlabel="sum", ylabel="prediction of the GRU", title=f"Adding problem, T={TERMS}")
    demo.save_figure("adding.png", figure, "predictions for unseen sums")
