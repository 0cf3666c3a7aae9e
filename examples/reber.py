"""The embedded Reber grammar: one symbol has to be kept in mind past a whole string.

    tinygrad-rnn demo reber

A string of Reber's grammar is B, a walk through its arrows, E; where two may be taken, nobody can
know which. Embedded, it stands between two T or two P: the last but one symbol is the second. At
each step of strings never seen, the most probable symbols have to be exactly the legal ones, as
many as there are. Hochreiter & Schmidhuber ("Long short-term memory", 1997, table 1) report that
LSTM learned this in 97 to 100% of their trials, after 8,440 strings and more, and Elman networks in
none.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, nn, optim, training
from tinygrad_rnn.data.grammars import REBER, embedded_reber, encoded
from tinygrad_rnn.pictures import subplots

CLAIM = (
    "LSTM learns all rules of the embedded Reber grammar; a simple recurrent network learns the "
    "short ones, and forgets the one symbol that matters at the end."
)
PADDING = -100


class Predictor(nn.Module):
    """Scores of what comes next after each of numbered symbols (T, B)."""

    def __init__(self, layer, hidden=32):
        self.recurrent, self.readout = layer(len(REBER), hidden), nn.Linear(hidden, len(REBER))
        if layer is nn.LSTM:
            with ag.no_grad():
                self.recurrent.bias_hh_l0[hidden : 2 * hidden] = 3  # at first, forget little

    def forward(self, symbols, lengths):
        x = ag.one_hot(symbols, len(REBER), dtype="float32")
        return self.readout(self.recurrent(x, lengths=lengths)[0])


def loss(model, batch):
    symbols, lengths = batch
    steps = np.arange(len(symbols) - 1)[:, None]
    following = np.where(steps < lengths, symbols[1:], PADDING)
    scores = model(symbols[:-1], lengths).reshape(-1, len(REBER))
    return nn.functional.cross_entropy(scores, following.ravel(), ignore_index=PADDING)


def draw(rng, count, without=()):
    """Different strings, with what is legal in them."""
    strings = {}
    while len(strings) < count:
        string, legal = embedded_reber(rng)
        if string not in without:
            strings[string] = legal
    return strings


def judged(model, symbols, legal, lengths):
    """At which steps (T, B) the most probable symbols are exactly the legal ones."""
    with ag.no_grad():
        scores = model(symbols[:-1], lengths).numpy()
    rank = (-scores).argsort(-1).argsort(-1)
    return ((rank < legal.sum(-1, keepdims=True)) == legal).all(-1)


def main(show):
    known = draw(show.rng, 1000)
    symbols, _, lengths = encoded([*known], [*known.values()])
    unseen = draw(show.rng, 1000, without=known)
    test = encoded([*unseen], [*unseen.values()])
    padding = np.arange(len(test[1]))[:, None] >= test[2]

    def batch(rng):
        some = rng.integers(0, len(known), 32)
        return symbols[: lengths[some].max() + 1, some], lengths[some]

    seeds, legal = show.choose(10, 1), {}
    for layer, rate in ((nn.LSTM, 0.03), (nn.RNN, 0.01)):
        legal[layer] = np.ones((seeds, *padding.shape), bool)
        for seed in range(seeds):
            ag.manual_seed(1000 * show.seed + seed)
            model = Predictor(layer)
            optimizer = optim.Adam(model.parameters(), lr=rate)
            trainer = training.Trainer(model, optimizer, loss, data.Generated(batch), clip=1)
            show.fit(trainer, 800, 400)
            legal[layer][seed] = judged(model, *test) | padding

    lstm, elman = (legal[layer].all(1) for layer in (nn.LSTM, nn.RNN))
    show.measured("seeds of 10 with all legal", lstm.all(1).sum(), at_least=9, quick=1)
    show.measured("LSTM: strings all legal", lstm.mean(), "%")
    show.measured("Elman: seeds with all legal", elman.all(1).sum())
    show.measured("Elman: strings all legal", elman.mean(), "%")
    show.measured("1997: LSTM, trials that succeed", 1, "%")
    show.measured("1997: Elman, trials that succeed", 0, "%")

    figure, axes = subplots(height=4)
    ends = test[2] - 1
    for (layer, name), marker in zip(((nn.LSTM, "LSTM"), (nn.RNN, "Elman")), "os", strict=True):
        shares = [legal[layer][:, ends - back, range(len(ends))].mean() for back in range(6)]
        axes.plot(range(6), shares, marker + "-", label=name)
    names = "E", "T or P", "E", "", "", ""
    axes.set_xticks(range(6), [f"{back}\n{name}" for back, name in enumerate(names)])
    axes.invert_xaxis()
    axes.set(xlabel="symbols before the last", ylabel="legal (share)", ylim=(0, 1.05))
    axes.set(title="The second T or P is what has to be remembered")
    axes.legend()
    show.picture("end.png", figure, "how often predictions are legal, up to a string's end")


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
