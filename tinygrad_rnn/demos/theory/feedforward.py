"""A network without feedback has no order and no memory.

    tinygrad-rnn demo feedforward

A multilayer perceptron reads digits well, and as well when the pixels of all pictures are shuffled
alike: its inputs have no order. What comes next in a stream it can not tell where that depends on
the past; how well it could at best is computed, and it does no better. Of a sentence as a bag of
words it says one and the same, forwards, backwards and shuffled, where a recurrent network gives
three answers. (J. L. Elman, "Finding structure in time", 1990; digits of E. Alpaydin and C. Kaynak,
1998, as scikit-learn has them.)
"""

import numpy as np
from sklearn.datasets import load_digits

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.sentences import NAMES, OBSERVER_WORDS, make_observer_sentence
from tinygrad_rnn.data.generators.synthetic import make_markov_chain, sample_markov_chain
from tinygrad_rnn.plotting import draw_heat_map, subplots

CLAIM = (
    "A feed-forward network is made for inputs of one size that come without order or past, such "
    "as pictures; sequences, whose meaning lies in both, need feedback."
)
SENTENCES = "Ann sees Bob and Cid", "Cid and Bob sees Ann", "Ann and Cid sees Bob"


def perceptron(inputs, outputs, hidden=64, dropout=0.0):
    middle = nn.ReLU(), nn.Dropout(dropout)
    return nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.Linear(hidden, outputs))


def loss(model, batch):
    x, labels = batch
    scores = model(ag.tensor(x))
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), labels.ravel())


def answers(model, x):
    return model(ag.tensor(x)).numpy().argmax(-1)


def digits(demo):
    x, labels = load_digits(return_X_y=True)
    order, pixels = demo.rng.permutation(len(x)), demo.rng.permutation(64)
    train, test = order[:1400], order[1400:]
    for name, places in (("digits", np.arange(64)), ("digits, pixels shuffled", pixels)):
        seen = (x[:, places] / 16).astype("float32")
        dataset = data.TensorDataset(seen[train], labels[train])
        batches, model = data.DataLoader(dataset, 32, shuffle=True), perceptron(64, 10, 256, 0.5)
        demo.train(model, loss, batches, 1500, 400, rate=0.002)
        share = (answers(model, seen[test]) == labels[test]).mean()
        demo.record(name, share, "%", at_least=0.97, quick=0.9)


def memory(demo, n=6):
    table, pairs = make_markov_chain(demo.rng, n)

    def streams(rng, size=32):
        """Symbols (T, B, n), and the numbers of the next ones (T, B)."""
        x = sample_markov_chain(rng, table, 40, size)[10:]
        return np.eye(n, dtype="float32")[x[:-1]], x[1:]

    x, following = streams(demo.rng, 1000)
    best = np.einsum("ab,abc->bc", pairs, table).max(1).sum(), (pairs * table.max(2)).sum()
    given = "the present", "the past as well"
    for k, name in enumerate(("perceptron", "Elman")):
        batches = data.GeneratedBatches(streams)
        model = models.SequenceTagger(nn.RNN(n, 32), n) if k else perceptron(n, n)
        demo.train(model, loss, batches, 2000, 400, rate=0.005)
        right = (answers(model, x) == following).mean()
        demo.record(f"next symbol: {name}", right, "%")
        demo.record(f"  the best, given {given[k]}", best[k], "%")
        demo.record("  apart from that", abs(right - best[k]), "%", at_most=0.02, quick=0.1)


class BagOfWords(nn.Sequential):
    """What reads how often each word occurs (T, B, words), in whichever order."""

    def forward(self, x):
        return super().forward(x.sum(0))


def encoded(texts):
    """Texts of as many words each (T, B, words)."""
    numbers = [[OBSERVER_WORDS.index(word) for word in text.split()] for text in texts]
    return np.eye(len(OBSERVER_WORDS), dtype="float32")[np.transpose(numbers)]


def sentences(rng, size=64):
    """Words (5, B, words), and who sees (B,)."""
    texts, who = zip(*(make_observer_sentence(rng) for _ in range(size)), strict=True)
    return encoded(texts), np.array(who)


def order(demo):
    x, who = sentences(demo.rng, 2000)
    said, sizes = encoded(SENTENCES), (len(OBSERVER_WORDS), len(NAMES))
    bag = BagOfWords(perceptron(*sizes))
    demo.train(bag, loss, sentences, 1000, 200, rate=0.005)
    demo.record("who sees: bag of words", (answers(bag, x) == who).mean(), "%")
    different = len({*answers(bag, said)})
    demo.record("  answers to three orders", different, at_most=1, quick=1)
    elman = models.SequenceClassifier(nn.RNN(sizes[0], 32), sizes[1])
    demo.train(elman, loss, sentences, 1000, 400, rate=0.005)
    right, different = (answers(elman, x) == who).mean(), len({*answers(elman, said)})
    demo.record("who sees: Elman", right, "%", at_least=0.99, quick=0.9)
    demo.record("  answers to three orders", different, at_least=3, quick=3)

    figure, panels = subplots(1, 2, width=9.5, height=3, sharey=True)
    for axes, name, model in zip(panels, ("A bag of words", "Elman"), (bag, elman), strict=True):
        p = ag.softmax(model(ag.tensor(said))).numpy()
        draw_heat_map(axes, p[:, :3], "p(who sees)", SENTENCES, NAMES[:3])
        axes.set_title(name)
    demo.save_figure("order.png", figure, "who sees: the same words forwards, backwards, shuffled")


def main(demo):
    digits(demo)
    memory(demo)
    order(demo)
