"""The embedded Reber grammar: one symbol has to be kept in mind past a whole string.

    tinygrad-rnn demo reber

A string of Reber's grammar is B, a walk through its arrows, E; where two may be taken, nobody can
know which. Embedded, it stands between two T or two P: the last but one symbol is the second. At
each step of strings never seen, the most probable symbols have to be exactly the legal ones, as
many as there are. (S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997, experiment 1,
where LSTM succeeds after 8,440 strings or more, and Elman networks do not.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.data.generators.grammars import REBER_SYMBOLS, encode_batch, sample_embedded_reber
from tinygrad_rnn.plotting import COLORS, draw_heat_map, subplots

CLAIM = (
    "LSTM learns the embedded Reber grammar; a simple recurrent network learns all of it but the "
    "one symbol that has to be remembered."
)
PADDING, EXAMPLE = -100, 7


class Predictor(nn.Module):
    """Scores of what comes next after each of numbered symbols (T, B)."""

    def __init__(self, layer, hidden=64):
        self.recurrent, self.readout = (
            layer(len(REBER_SYMBOLS), hidden),
            nn.Linear(hidden, len(REBER_SYMBOLS)),
        )
        if layer is nn.LSTM:
            with ag.no_grad():
                self.recurrent.bias_hh_l0[hidden : 2 * hidden] = 3  # at first, forget little

    def forward(self, symbols, lengths):
        x = ag.one_hot(symbols, len(REBER_SYMBOLS), dtype="float32")
        return self.readout(self.recurrent(x, lengths=lengths)[0])


def loss(model, batch):
    symbols, lengths = batch
    steps = np.arange(len(symbols) - 1)[:, None]
    following = np.where(steps < lengths, symbols[1:], PADDING)
    scores = model(symbols[:-1], lengths).reshape(-1, len(REBER_SYMBOLS))
    return nn.functional.cross_entropy(scores, following.ravel(), ignore_index=PADDING)


def draw(rng, count, without=()):
    """Different strings, with what is legal in them."""
    strings = {}
    while len(strings) < count:
        string, legal = sample_embedded_reber(rng)
        if string not in without:
            strings[string] = legal
    return strings


@ag.no_grad()
def probabilities(model, symbols, lengths):
    """Of what comes next (T - 1, B, symbols)."""
    return ag.softmax(model(symbols[:-1], lengths), axis=-1).numpy()


def only_legal(p, legal):
    """At which steps (T, B) the most probable symbols are exactly the legal ones."""
    rank = (-p).argsort(-1).argsort(-1)
    return ((rank < legal.sum(-1, keepdims=True)) == legal).all(-1)


def main(demo):
    known = draw(demo.rng, 1000)
    symbols, _, lengths = encode_batch([*known], [*known.values()])
    unseen = draw(demo.rng, 1000, without=known)
    test, follows, ends = encode_batch([*unseen], [*unseen.values()])
    padding = np.arange(len(follows))[:, None] >= ends

    def batch(rng):
        some = rng.integers(0, len(known), 32)
        return symbols[: lengths[some].max() + 1, some], lengths[some]

    steps, legal, shown = (600, 350), {}, {}
    for name, layer, rate in (("LSTM", nn.LSTM, 0.02), ("Elman", nn.RNN, 0.01)):
        runs = []
        for seed in range(demo.choose(10, 1)):
            ag.manual_seed(1000 * demo.seed + seed)
            model = Predictor(layer)
            demo.train(model, loss, batch, *steps, rate=rate)
            p = probabilities(model, test, ends)
            runs.append(only_legal(p, follows) | padding)
        legal[name], shown[name] = np.array(runs), p[:, EXAMPLE]

    lstm, elman = (runs.all(1) for runs in legal.values())
    demo.record("seeds of 10 with all legal", lstm.all(1).sum(), at_least=9, quick=1)
    demo.record("LSTM: strings all legal", lstm.mean(), "%")
    demo.record("Elman: seeds with all legal", elman.all(1).sum())
    demo.record("Elman: strings all legal", elman.mean(), "%")
    demo.record("strings that each has read", 32 * demo.choose(*steps))
    demo.record("1997: LSTM, strings read", 8440)
    demo.record("1997: LSTM, trials that succeed", 1, "%")
    demo.record("1997: Elman, trials that succeed", 0, "%")

    figure, both = subplots(2, 1, height=6.4)
    string = [*unseen][EXAMPLE][:-1]
    for axes, (name, p) in zip(both, shown.items(), strict=True):
        draw_heat_map(axes, p[: len(string)].T, rows=REBER_SYMBOLS, columns=string)
        axes.plot(*follows[: len(string), EXAMPLE].nonzero(), "o", color=COLORS[1])
        axes.set(ylabel="next", title=f"{name}: what may follow (dots), and its probability")
    demo.save_figure("string.png", figure, "predictions after each symbol of a string")

    figure, axes = subplots(height=4)
    for (name, runs), marker in zip(legal.items(), "os", strict=True):
        shares = [runs[:, ends - 1 - back, range(len(ends))].mean() for back in range(6)]
        axes.plot(range(6), shares, marker + "-", label=name)
    names = "E", "T or P", "E", "", "", ""
    axes.set_xticks(range(6), [f"{back}\n{name}" for back, name in enumerate(names)])
    axes.invert_xaxis()
    axes.set(xlabel="symbols before the last", ylabel="legal (share)", ylim=(0, 1.05))
    axes.set(title="The second T or P is what has to be remembered")
    axes.legend()
    demo.save_figure("end.png", figure, "how often predictions are legal, up to a string's end")
