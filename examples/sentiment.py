"""Sentiment: many words to one verdict, where the words alone do not say it.

    tinygrad-rnn demo sentiment
    tinygrad-rnn predict runs/demo/sentiment 'The story was not bad, but the music was dull.'

Reviews praise and blame: "not good" is blame although "good" stands in it, and of two clauses it is
the one after "but", or the one without "although", that counts. A linear model of how often each
word occurs cannot know what belongs to what (Pang, Lee & Vaithyanathan, "Thumbs up? Sentiment
classification using machine learning techniques", 2002); an LSTM that reads word by word can, and
its last state is the verdict.
"""

import os
import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.data.sentences import REVIEWS, review
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.pictures import COLOURS, subplots

CLAIM = (
    "A recurrent network that reads a review word by word understands negation and contrast; a bag "
    "of its words does not."
)
DATA = "a folder with one folder of .txt files for each class, such as pos/ and neg/"


def words(text):
    return data.tokens(text.lower())


class BagOfWords(nn.Module):
    """For each class, the sum of a weight for each word."""

    def __init__(self, symbols, classes):
        self.weights = nn.Embedding(symbols, classes, padding_idx=0)

    def forward(self, x, lengths):
        return self.weights(x).sum(0)


def network(symbols, classes, size, dropout):
    return models.SequenceClassifier(nn.LSTM(size, size), classes, symbols, dropout=dropout)


def loss(model, batch):
    x, lengths, labels = batch
    return nn.functional.cross_entropy(model(x, lengths), labels), len(labels)


def batches(examples, shuffle=False):
    return data.DataLoader(
        examples,
        32,
        shuffle,
        collate_fn=data.pad_collate,
        lengths=[len(text) for text, _ in examples],
    )


def learn(show, model, rate, train, validation, steps, quick):
    optimizer = optim.Adam(model.parameters(), lr=rate)
    trainer = training.Trainer(model, optimizer, loss, batches(train, True), validation, clip=1)
    show.fit(trainer, steps, quick, patience=5)
    return model.eval()


def accuracy(model, examples):
    with ag.no_grad():
        right = [(ag.argmax(model(x, n), 1) == y).numpy() for x, n, y in batches(examples)]
    return np.concatenate(right).mean()


def main(show):
    if show.data is None:
        texts = dict(review(show.rng) for _ in range(8000))
        reviews = data.LabelledText(list(texts), list(texts.values()), text_split=words)
    else:
        reviews = data.LabelledText.from_folders(show.data, text_split=words)
    if len(reviews) < 20:
        raise InputError(
            f"{show.data}: {len(reviews)} texts are too few to learn from; 20 at least"
        )
    train, validation, unseen = data.random_split(reviews, [0.8, 0.1, 0.1])
    held_out = batches(validation)
    symbols, classes = len(reviews.lexicon), reviews.classes
    show.say(f"{len(train)} texts to learn from, {symbols} different words, {', '.join(classes)}")
    sizes = {"size": 32, "dropout": 0.0} if show.data is None else {"size": 64, "dropout": 0.4}
    lstm = network(symbols, len(classes), **sizes)
    learn(show, lstm, 0.01, train, held_out, 600, 300)
    bag = learn(show, BagOfWords(symbols, len(classes)), 0.03, train, held_out, 600, 200)
    show.save(lstm, words=reviews.lexicon.words, classes=classes, **sizes)

    show.measured("unseen texts right", accuracy(lstm, unseen), "%", at_least=0.99, quick=0.9)
    show.measured("a bag of words: right", accuracy(bag, unseen), "%", at_most=0.85, quick=0.85)
    if show.data is None:
        shown = ["The story was not good, but the music was far from bad."]
        shown += ["Although the hero was never dull, the ending was awful."]
        shares = {}
        for kind in REVIEWS:
            some = zip(*(review(show.rng, kind) for _ in range(300)), strict=True)
            examples = data.LabelledText(*some, like=reviews)
            shares[kind] = [accuracy(model, examples) for model in (bag, lstm)]
        show.picture("kinds.png", draw_kinds(shares), "which reviews each understands")
    else:
        shown = [" ".join(reviews.lexicon.decode(unseen[k][0])[:20]) for k in range(2)]
    probabilities = [read(lstm, reviews.lexicon, text) for text in shown]
    show.picture(
        "reading.png", draw_reading(shown, probabilities, classes[-1]), "a verdict, word by word"
    )


def read(model, lexicon, text):
    """The classes' probabilities (T, classes) after each word of a short text, all at once."""
    ids = lexicon.encode(words(text))
    with ag.no_grad():
        beginnings = np.repeat(ids[:, None], len(ids), axis=1)
        return ag.softmax(model(beginnings, np.arange(len(ids)) + 1)).numpy()


def predict(run, input):
    text = data.read_text(input) if os.path.isfile(input) else input
    lexicon, classes = data.Lexicon(tuple(run.config["words"])), run.config["classes"]
    if not words(text):
        raise InputError("there is no word in the text")
    sizes = {name: run.config[name] for name in ("size", "dropout")}
    model = run.load(network(len(lexicon), len(classes), **sizes))
    ids = lexicon.encode(words(text))
    with ag.no_grad():
        probabilities = ag.softmax(model(ids[:, None], [len(ids)])).numpy()[0]
    print(f"{classes[probabilities.argmax()]} ({probabilities.max():.1%})")
    if strange := sorted(set(words(text)) - set(lexicon.words)):
        print(f"not among the words it has learned: {', '.join(strange)}")


def draw_kinds(shares):
    """Bars: which share of each kind's reviews the models get right."""
    figure, axes = subplots(height=3.8)
    places = np.arange(len(shares))
    for shift, (name, values) in enumerate(
        zip(("bag of words", "LSTM"), zip(*shares.values(), strict=True), strict=True)
    ):
        axes.bar(
            places + 0.4 * shift - 0.2,
            100 * np.array(values),
            0.36,
            label=name,
            color=COLOURS[1 - shift],
        )
    axes.set_xticks(places, list(shares))
    axes.axhline(50, color="black", linestyle=":", label="guessing")
    axes.set(
        ylim=(0, 100),
        ylabel="right (%)",
        title="Where words depend on each other a bag of them fails",
    )
    axes.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, -0.3))
    return figure


def draw_reading(texts, probabilities, name):
    figure, rows = subplots(len(texts), 1, height=2.6 * len(texts), sharey=True)
    for axes, text, p in zip(rows, texts, probabilities, strict=True):
        p = p[:, -1]
        axes.bar(range(len(p)), p - 0.5, bottom=0.5, color=np.where(p > 0.5, *COLOURS[:2]))
        axes.set_xticks(range(len(p)), words(text), rotation=45, ha="right")
        axes.set(ylim=(0, 1), ylabel=f"p({name})")
    rows[0].set_title("The verdict turns when a word turns the meaning")
    return figure


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
