"""Feed-forward networks: their inputs have no order, and they have no memory.

    tinygrad-rnn demo feedforward

This demo shows three limits of feed-forward networks. A multilayer perceptron classifies digits
equally well when the pixels of all images are shuffled in the same way, because its inputs have no
order. It cannot predict the next symbol of a stream where the symbol depends on the past: its
accuracy is the best possible one given the present symbol alone, which the demo computes. A bag of
words gives the same answer for a sentence in any word order, while a recurrent network
distinguishes three orders. (J. L. Elman, "Finding structure in time", 1990; digits of E. Alpaydin
and C. Kaynak, 1998, from scikit-learn.)
"""

import numpy as np
from sklearn.datasets import load_digits

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.sentences import NAMES, OBSERVER_WORDS, make_observer_sentence
from tinygrad_rnn.data.generators.synthetic import make_markov_chain, sample_markov_chain
from tinygrad_rnn.plotting import draw_heat_map, subplots

CLAIM = (
    "A feed-forward network suits inputs of fixed size without order or history, such as images; "
    "sequences, in which order and history matter, need recurrence."
)
SENTENCES = "Ann sees Bob and Cid", "Cid and Bob sees Ann", "Ann and Cid sees Bob"


def perceptron(inputs, outputs, hidden=64, dropout=0.0):
    middle = nn.ReLU(), nn.Dropout(dropout)
    return nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.Linear(hidden, outputs))


def loss(model, batch):
    x, labels = batch
    scores = model(ag.tensor(x))
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), labels.ravel())


def predict_classes(model, x):
    return model(ag.tensor(x)).numpy().argmax(-1)


def classify_digits(demo):
    """Train on digits, and on digits with shuffled pixels."""
    x, labels = load_digits(return_X_y=True)
    order, shuffled = demo.rng.permutation(len(x)), demo.rng.permutation(64)
    train, test = order[:1400], order[1400:]
    for name, pixels in (("digits", np.arange(64)), ("digits with shuffled pixels", shuffled)):
        images = (x[:, pixels] / 16).astype("float32")
        dataset = data.TensorDataset(images[train], labels[train])
        batches, model = data.DataLoader(dataset, 32, shuffle=True), perceptron(64, 10, 256, 0.5)
        demo.train(model, loss, batches, 1500, 400, rate=0.002)
        accuracy = (predict_classes(model, images[test]) == labels[test]).mean()
        demo.record(f"{name}: accuracy", accuracy, "%", at_least=0.97, quick=0.9)


def predict_symbols(demo, n=6):
    """Predict the next symbol of a Markov chain of order 2, with and without memory."""
    table, pairs = make_markov_chain(demo.rng, n)

    def streams(rng, size=32):
        """Return one-hot symbols (T, B, n), and the indices of the next symbols (T, B)."""
        x = sample_markov_chain(rng, table, 40, size)[10:]
        return np.eye(n, dtype="float32")[x[:-1]], x[1:]

    x, following = streams(demo.rng, 1000)
    best = np.einsum("ab,abc->bc", pairs, table).max(1).sum(), (pairs * table.max(2)).sum()
    known = "the present symbol", "two symbols"
    for k, name in enumerate(("perceptron", "Elman")):
        batches = data.GeneratedBatches(streams)
        model = models.SequenceTagger(nn.RNN(n, 32), n) if k else perceptron(n, n)
        demo.train(model, loss, batches, 2000, 400, rate=0.005)
        accuracy = (predict_classes(model, x) == following).mean()
        demo.record(f"next symbol: {name}", accuracy, "%")
        demo.record(f"  optimum given {known[k]}", best[k], "%")
        demo.record("  difference", abs(accuracy - best[k]), "%", at_most=0.02, quick=0.1)


class BagOfWords(nn.Sequential):
    """A classifier of word counts: it sums the one-hot words (T, B, words) over time."""

    def forward(self, x):
        return super().forward(x.sum(0))


def encode(texts):
    """Return texts with equal numbers of words as one-hot vectors (T, B, words)."""
    indices = [[OBSERVER_WORDS.index(word) for word in text.split()] for text in texts]
    return np.eye(len(OBSERVER_WORDS), dtype="float32")[np.transpose(indices)]


def sentences(rng, size=64):
    """Return one-hot words (5, B, words), and the index of the person who sees (B,)."""
    texts, observers = zip(*(make_observer_sentence(rng) for _ in range(size)), strict=True)
    return encode(texts), np.array(observers)


def distinguish_orders(demo):
    """Find who sees whom, from a bag of words and with a recurrent network."""
    x, observers = sentences(demo.rng, 2000)
    reordered, sizes = encode(SENTENCES), (len(OBSERVER_WORDS), len(NAMES))
    bag = BagOfWords(perceptron(*sizes))
    demo.train(bag, loss, sentences, 1000, 200, rate=0.005)
    demo.record("observer: bag of words", (predict_classes(bag, x) == observers).mean(), "%")
    answers = len({*predict_classes(bag, reordered)})
    demo.record("  different answers to three orders", answers, at_most=1, quick=1)
    elman = models.SequenceClassifier(nn.RNN(sizes[0], 32), sizes[1])
    demo.train(elman, loss, sentences, 1000, 400, rate=0.005)
    accuracy = (predict_classes(elman, x) == observers).mean()
    answers = len({*predict_classes(elman, reordered)})
    demo.record("observer: Elman", accuracy, "%", at_least=0.99, quick=0.9)
    demo.record("  different answers to three orders", answers, at_least=3, quick=3)

    figure, panels = subplots(1, 2, width=9.5, height=3, sharey=True)
    for axes, name, model in zip(panels, ("Bag of words", "Elman"), (bag, elman), strict=True):
        p = ag.softmax(model(ag.tensor(reordered))).numpy()
        draw_heat_map(axes, p[:, :3], "p(observer)", SENTENCES, NAMES[:3])
        axes.set_title(name)
    demo.save_figure("order.png", figure, "predicted observer for the same words in three orders")


def main(demo):
    classify_digits(demo)
    predict_symbols(demo)
    distinguish_orders(demo)
