"""The embedded Reber grammar: remember one symbol over a whole string.

    tinygrad-rnn demo reber

This demo trains LSTM and Elman networks to predict the symbols of the embedded Reber grammar. A
Reber string is B, a random walk through the grammar's transitions, and E; where the grammar allows
two symbols, either may follow. The embedded grammar encloses a Reber string between two T or two P,
so the last symbol but one equals the second symbol. A prediction is correct if the most probable
symbols are exactly the legal ones, at every step of unseen strings. (S. Hochreiter and J.
Schmidhuber, "Long short-term memory", 1997, experiment 1: LSTM succeeds after 8,440 strings or
more, Elman networks fail.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.data.generators.grammars import REBER_SYMBOLS, encode_batch, sample_embedded_reber
from tinygrad_rnn.plotting import COLORS, draw_heat_map, subplots

CLAIM = (
    "An LSTM learns the embedded Reber grammar; a simple recurrent network learns everything "
    "except the one symbol that must be remembered."
)
IGNORED, EXAMPLE = -100, 7
SYMBOLS = len(REBER_SYMBOLS)


class Predictor(nn.Module):
    """Scores of the next symbol after each symbol (T, B)."""

    def __init__(self, layer, hidden=64):
        self.recurrent, self.readout = layer(SYMBOLS, hidden), nn.Linear(hidden, SYMBOLS)
        if layer is nn.LSTM:
            with ag.no_grad():
                self.recurrent.bias_hh_l0[hidden : 2 * hidden] = 3  # start with open forget gates

    def forward(self, symbols, lengths):
        x = ag.one_hot(symbols, SYMBOLS, dtype="float32")
        return self.readout(self.recurrent(x, lengths=lengths)[0])


def loss(model, batch):
    symbols, lengths = batch
    steps = np.arange(len(symbols) - 1)[:, None]
    following = np.where(steps < lengths, symbols[1:], IGNORED)
    scores = model(symbols[:-1], lengths).reshape(-1, SYMBOLS)
    return nn.functional.cross_entropy(scores, following.ravel(), ignore_index=IGNORED)


def sample_strings(rng, count, exclude=()):
    """Return `count` distinct strings with their legal symbols."""
    strings = {}
    while len(strings) < count:
        string, legal = sample_embedded_reber(rng)
        if string not in exclude:
            strings[string] = legal
    return strings


@ag.no_grad()
def predict(model, symbols, lengths):
    """Return the probabilities of the next symbol (T - 1, B, symbols)."""
    return ag.softmax(model(symbols[:-1], lengths), axis=-1).numpy()


def predicts_legal(p, legal):
    """Return where (T, B) the most probable symbols are exactly the legal ones."""
    rank = (-p).argsort(-1).argsort(-1)
    return ((rank < legal.sum(-1, keepdims=True)) == legal).all(-1)


def main(demo):
    known = sample_strings(demo.rng, 1000)
    symbols, _, lengths = encode_batch([*known], [*known.values()])
    unseen = sample_strings(demo.rng, 1000, exclude=known)
    test, legal, test_lengths = encode_batch([*unseen], [*unseen.values()])
    padding = np.arange(len(legal))[:, None] >= test_lengths

    def batch(rng):
        chosen = rng.integers(0, len(known), 32)
        return symbols[: lengths[chosen].max() + 1, chosen], lengths[chosen]

    steps, correct, examples = (600, 350), {}, {}
    for name, layer, rate in (("LSTM", nn.LSTM, 0.02), ("Elman", nn.RNN, 0.01)):
        by_seed = []
        for seed in range(demo.choose(10, 1)):
            ag.manual_seed(1000 * demo.seed + seed)
            model = Predictor(layer)
            demo.train(model, loss, batch, *steps, rate=rate)
            p = predict(model, test, test_lengths)
            by_seed.append(predicts_legal(p, legal) | padding)
        correct[name], examples[name] = np.array(by_seed), p[:, EXAMPLE]

    lstm, elman = (by_seed.all(1) for by_seed in correct.values())  # (seeds, strings)
    demo.record("LSTM: successful seeds of 10", lstm.all(1).sum(), at_least=9, quick=1)
    demo.record("LSTM: correct strings", lstm.mean(), "%")
    demo.record("Elman: successful seeds", elman.all(1).sum())
    demo.record("Elman: correct strings", elman.mean(), "%")
    demo.record("training strings per network", 32 * demo.choose(*steps))
    demo.record("1997: LSTM, training strings", 8440)
    demo.record("1997: LSTM, successful trials", 1, "%")
    demo.record("1997: Elman, successful trials", 0, "%")

    string = [*unseen][EXAMPLE][:-1]
    figure = draw_example(string, examples, legal[: len(string), EXAMPLE])
    demo.save_figure("string.png", figure, "predictions after each symbol of a string")
    figure = draw_ends(correct, test_lengths)
    demo.save_figure("end.png", figure, "fraction of correct predictions near the end of a string")


def draw_example(string, examples, legal):
    """Draw the predicted probabilities along a string, with the legal symbols as dots."""
    figure, panels = subplots(2, 1, height=6.4)
    for axes, (name, p) in zip(panels, examples.items(), strict=True):
        draw_heat_map(axes, p[: len(string)].T, rows=REBER_SYMBOLS, columns=string)
        axes.plot(*legal.nonzero(), "o", color=COLORS[1])
        axes.set(ylabel="next symbol", title=f"{name}: probabilities, and legal symbols (dots)")
    return figure


def draw_ends(correct, lengths):
    """Draw the fraction of correct predictions by the position from the end."""
    figure, axes = subplots(height=4)
    for (name, by_seed), marker in zip(correct.items(), "os", strict=True):
        columns = range(len(lengths))
        fractions = [by_seed[:, lengths - 1 - back, columns].mean() for back in range(6)]
        axes.plot(range(6), fractions, marker + "-", label=name)
    names = "E", "T or P", "E", "", "", ""
    axes.set_xticks(range(6), [f"{back}\n{name}" for back, name in enumerate(names)])
    axes.invert_xaxis()
    axes.set(xlabel="symbols before the last", ylabel="correct (fraction)", ylim=(0, 1.05))
    axes.set(title="The second T or P must be remembered")
    axes.legend()
    return figure
