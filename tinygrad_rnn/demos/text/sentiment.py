"""Sentiment classification: word order matters where word counts do not suffice.

    tinygrad-rnn demo sentiment
    tinygrad-rnn predict runs/demo/sentiment 'The story was not bad, but the music was dull.'

This demo classifies film reviews as positive or negative. "Not good" is negative although it
contains "good"; of two clauses, the one after "but" or the one without "although" decides. A linear
model of word counts cannot represent this (Pang, Lee & Vaithyanathan, "Thumbs up? Sentiment
classification using machine learning techniques", 2002). An LSTM reads the review word by word, and
its last state determines the class.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.sentences import REVIEW_TEMPLATES, make_review
from tinygrad_rnn.demos.saved_model import read_text_argument
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import COLORS, draw_bars, safe_label, subplots

CLAIM = (
    "A recurrent network that reads a review word by word learns negation and contrast; a bag of "
    "words cannot."
)
DATA = "a folder with one folder of .txt files for each class, such as pos/ and neg/"


def split_words(text):
    return data.tokenize(text.lower())


class BagOfWords(nn.Embedding):
    """A linear classifier of word counts: one weight for each word and class."""

    def forward(self, x, lengths):
        return super().forward(x).sum(0)


def build_model(words, classes, size, dropout):
    sizes = len(classes), len(data.TokenVocabulary(words))
    return models.SequenceClassifier(nn.LSTM(size, size), *sizes, dropout=dropout)


def loss(model, batch):
    x, lengths, labels = batch
    return nn.functional.cross_entropy(model(x, lengths), labels), len(labels)


def make_loader(examples, shuffle=False):
    lengths = [len(text) for text, _ in examples]
    return data.DataLoader(examples, 32, shuffle, collate_fn=data.pad_collate, lengths=lengths)


def accuracy(model, examples):
    with ag.no_grad():
        correct = [(ag.argmax(model(x, n), 1) == y).numpy() for x, n, y in make_loader(examples)]
    return np.concatenate(correct).mean()


def load_reviews(demo):
    """Return the user's reviews, or generated ones without duplicates."""
    if demo.data is None:
        texts = dict(make_review(demo.rng) for _ in range(8000))
        return data.LabeledText(list(texts), list(texts.values()), text_split=split_words)
    reviews = data.LabeledText.from_folders(demo.data, text_split=split_words)
    if len(reviews) < 20:
        raise InputError(f"{demo.data}: expected at least 20 texts, got {len(reviews)}")
    return reviews


def main(demo):
    reviews = load_reviews(demo)
    vocabulary = reviews.vocabulary
    train, validation, unseen = data.random_split(reviews, [0.8, 0.1, 0.1])
    sizes = {"size": 32, "dropout": 0.0} if demo.data is None else {"size": 64, "dropout": 0.4}
    config = {"words": vocabulary.tokens, "classes": reviews.classes, **sizes}
    options = {"validation": make_loader(validation), "patience": 5}
    lstm = build_model(**config)
    demo.train(lstm, loss, make_loader(train, shuffle=True), 600, 300, rate=0.01, **options)
    bag = BagOfWords(len(vocabulary), len(reviews.classes), padding_idx=0)
    demo.train(bag, loss, make_loader(train, shuffle=True), 600, 200, rate=0.03, **options)
    demo.save(lstm, **config)

    demo.record("LSTM: accuracy", accuracy(lstm, unseen), "%", at_least=0.99, quick=0.9)
    demo.record("bag of words: accuracy", accuracy(bag, unseen), "%", at_most=0.85, quick=0.85)
    if demo.data is None:
        figure = draw_templates({"bag of words": bag, "LSTM": lstm}, reviews, demo.rng)
        demo.save_figure("kinds.png", figure, "accuracy for each kind of review")
        texts = [
            "The story was not good, but the music was far from bad.",
            "Although the hero was never dull, the ending was awful.",
        ]
    else:
        texts = [" ".join(vocabulary.decode(text)[:20]) for text, _ in data.Subset(unseen, [0, 1])]
    demo.save_figure("reading.png", draw_reading(lstm, reviews, texts), "prediction by word")


def draw_templates(networks, reviews, rng):
    """Draw the accuracy of each network for each template of reviews."""
    test_sets = []
    for kind in REVIEW_TEMPLATES:
        examples = zip(*(make_review(rng, kind) for _ in range(300)), strict=True)
        test_sets.append(data.LabeledText(*examples, like=reviews))
    accuracies = {
        name: [accuracy(model, test_set) for test_set in test_sets]
        for name, model in networks.items()
    }
    figure, axes = subplots(height=3.8)
    draw_bars(axes, accuracies, [*REVIEW_TEMPLATES])
    axes.set(ylim=(0, 1.2), ylabel="accuracy (chance: 0.5)")
    axes.set_title("A bag of words fails where words depend on each other")
    return figure


def draw_reading(model, reviews, texts):
    """Draw the probability of the last class after each word of short texts."""
    figure, rows = subplots(len(texts), 1, height=2.6 * len(texts), sharey=True)
    for axes, text in zip(rows, texts, strict=True):
        words = split_words(text)
        with ag.no_grad():
            p = model.predict_over_time(reviews.vocabulary.encode(words)[:, None])
        p = p.numpy()[:, 0, -1]
        axes.bar(range(len(p)), p - 0.5, bottom=0.5, color=np.where(p > 0.5, *COLORS[:2]))
        axes.set_xticks(range(len(p)), map(safe_label, words), rotation=45, ha="right")
        axes.set(ylim=(0, 1), ylabel=f"p({safe_label(reviews.classes[-1])})")
    rows[0].set_title("Prediction after each word")
    return figure


def predict(run, input):
    """Print the class of a text."""
    words = split_words(read_text_argument(input))
    if not words:
        raise InputError("the text contains no words")
    vocabulary = data.TokenVocabulary(tuple(run.config["words"]))
    model = run.load(build_model(**run.config))
    with ag.no_grad():
        p = ag.softmax(model(vocabulary.encode(words)[:, None])).numpy()[0]
    print(f"{run.config['classes'][p.argmax()]} ({p.max():.1%})")
    if unknown := sorted(set(words) - set(vocabulary.tokens)):
        print(f"unknown words: {', '.join(unknown)}")
