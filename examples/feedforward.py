"""A network without feedback has no order and no memory.

    tinygrad-rnn demo feedforward

A multilayer perceptron reads digits well, and as well when the pixels of all pictures are shuffled
alike: its inputs have no order. What comes next in a stream it can not tell where that depends on
the past; how well it could at best is computed, and it does no better. Of a sentence as a bag of
words it says one and the same, forwards, backwards and shuffled, where a recurrent network gives
three answers. (J. L. Elman, "Finding structure in time", 1990; digits of E. Alpaydin and C. Kaynak,
1998, as scikit-learn has them.)
"""

import sys

import numpy as np
from sklearn.datasets import load_digits

import autograd as ag
from tinygrad_rnn import cli, data, nn, optim, training
from tinygrad_rnn.pictures import COLOURS, subplots

CLAIM = (
    "A feed-forward network is made for inputs of one size that come without order or past, such "
    "as pictures; sequences, whose meaning lies in both, need feedback."
)
SYMBOLS, NAMES = 6, ("Ann", "Bob", "Cid", "Dot", "Eve", "Fay")
WORDS = (*NAMES, "sees", "and")
SENTENCES = "Ann sees Bob and Cid", "Cid and Bob sees Ann", "Ann and Cid sees Bob"


def perceptron(inputs, outputs, hidden=64, dropout=0.0):
    middle = nn.ReLU(), nn.Dropout(dropout)
    return nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.Linear(hidden, outputs))


class Elman(nn.Module):
    """Scores after each step of x (T, B, inputs), or after the last."""

    def __init__(self, inputs, outputs, last=False, hidden=32):
        self.rnn, self.readout = nn.RNN(inputs, hidden), nn.Linear(hidden, outputs)
        self.steps = -1 if last else slice(None)

    def forward(self, x):
        return self.readout(self.rnn(x)[0][self.steps])


def loss(model, batch):
    scores = model(ag.tensor(batch[0]))
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), batch[1].ravel())


def learn(show, model, batches, steps, quick, rate=0.005):
    """Train; returns what gives the probabilities of all answers."""
    optimizer = optim.Adam(model.parameters(), lr=rate)
    show.fit(training.Trainer(model, optimizer, loss, batches, clip=1), steps, quick)
    model.eval()
    return lambda x: ag.softmax(model(ag.tensor(x)), axis=-1).numpy()


def chain(rng):
    """p(c | a, b) of the symbol c after a and b, and how often a and b come in the long run."""
    likely = np.eye(SYMBOLS)[rng.integers(0, SYMBOLS, (SYMBOLS, SYMBOLS))]
    table, pairs = 0.8 * likely + 0.2 / SYMBOLS, np.full((SYMBOLS, SYMBOLS), SYMBOLS**-2.0)
    for _ in range(500):
        pairs = np.einsum("ab,abc->bc", pairs, table)
    return table, pairs


def streams(rng, table, size=32, length=40):
    """Symbols (T, B, symbols), and the numbers of the next ones (T, B)."""
    x = rng.integers(0, SYMBOLS, (length, size))
    for t in range(2, length):
        x[t] = (rng.random((size, 1)) > table[x[t - 2], x[t - 1]].cumsum(1)[:, :-1]).sum(1)
    return np.eye(SYMBOLS, dtype="float32")[x[10:-1]], x[11:]


def scenes(rng, size=64):
    """Words (5, B, words): three names, "and", and "sees" after the name of who sees (B,)."""
    texts, who = [], np.empty(size, int)
    for b in range(size):
        who[b], *others = rng.permutation(len(NAMES))[:3]
        parts = [f"{NAMES[who[b]]} sees", *(NAMES[k] for k in others), "and"]
        texts.append(" ".join(rng.permutation(parts)))
    return encoded(texts), who


def encoded(texts):
    """Texts of as many words each (T, B, words)."""
    numbers = [[WORDS.index(word) for word in text.split()] for text in texts]
    return np.eye(len(WORDS), dtype="float32")[np.transpose(numbers)]


def bags(rng):
    """Scenes whose words have no order (B, words)."""
    words, who = scenes(rng)
    return words.sum(0), who


def main(show):
    x, labels = load_digits(return_X_y=True)
    order, pixels = show.rng.permutation(len(x)), show.rng.permutation(64)
    train, test = order[:1400], order[1400:]
    for name, places in (("digits", np.arange(64)), ("digits, pixels shuffled", pixels)):
        seen = (x[:, places] / 16).astype("float32")
        dataset = data.TensorDataset(seen[train], labels[train])
        batches = data.DataLoader(dataset, 32, shuffle=True)
        answers = learn(show, perceptron(64, 10, 256, 0.5), batches, 1500, 400, rate=0.002)
        right = (answers(seen[test]).argmax(1) == labels[test]).mean()
        show.measured(name, right, "%", at_least=0.97, quick=0.9)

    table, pairs = chain(show.rng)
    x, following = streams(show.rng, table, 1000)
    bayes = np.einsum("ab,abc->bc", pairs, table).max(1).sum(), (pairs * table.max(2)).sum()
    figure, axes = subplots(height=4)
    for k, (kind, given) in enumerate(((perceptron, "the present"), (Elman, "the past as well"))):
        batches = data.Generated(lambda rng: streams(rng, table))
        answers = learn(show, kind(SYMBOLS, SYMBOLS), batches, 2000, 400)
        right, name = (answers(x).argmax(2) == following).mean(), kind.__name__
        show.measured(f"next symbol: {name}", right, "%")
        show.measured(f"  the best, given {given}", bayes[k], "%")
        show.measured("  apart from that", abs(right - bayes[k]), "%", at_most=0.02, quick=0.1)
        axes.bar(name, right, 0.5)
        axes.hlines(bayes[k], k - 0.35, k + 0.35, COLOURS[6])
        axes.text(k, bayes[k] + 0.02, f"the best, given {given}", ha="center")
    axes.set(ylabel="next symbol right (share)", ylim=(0, 1), title="What depends on the past")
    show.picture("memory.png", figure, "predicting a symbol that depends on the two before it")

    x, who = scenes(show.rng, 2000)
    said, sizes = encoded(SENTENCES), (len(WORDS), len(NAMES))
    answers = learn(show, perceptron(*sizes), data.Generated(bags), 1000, 200)
    bag, right = answers(said.sum(0)), (answers(x.sum(0)).argmax(1) == who).mean()
    show.measured("who sees: bag of words", right, "%")
    show.measured("  answers to three orders", len({*bag.argmax(1)}), at_most=1, quick=1)
    answers = learn(show, Elman(*sizes, last=True), data.Generated(scenes), 1000, 400)
    read, right = answers(said), (answers(x).argmax(1) == who).mean()
    show.measured("who sees: Elman", right, "%", at_least=0.99, quick=0.9)
    show.measured("  answers to three orders", len({*read.argmax(1)}), at_least=3, quick=3)
    figure, axes = subplots(1, 3, width=9, height=3.6, sharey=True)
    axes[0].set(ylabel="p(who sees)", ylim=(0, 1.05))
    for k, axis in enumerate(axes):
        axis.bar(np.arange(3) - 0.2, bag[k, :3], 0.36, label="bag of words")
        axis.bar(np.arange(3) + 0.2, read[k, :3], 0.36, label="Elman")
        axis.set_xticks(range(3), NAMES[:3])
        axis.set_title(f'"{SENTENCES[k]}"')
    axes[0].legend(loc="center right")
    show.picture("order.png", figure, "who sees: the same words forwards, backwards, shuffled")


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
