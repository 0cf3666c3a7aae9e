"""Sentiment: many words to one verdict, where the words alone do not say it.

    tinygrad-rnn demo sentiment
    tinygrad-rnn predict runs/demo/sentiment 'The story was not bad, but the music was dull.'

Reviews praise and blame: "not good" is blame although "good" stands in it, and of two clauses it is
the one after "but", or the one without "although", that counts. A linear model of how often each
word occurs cannot know what belongs to what (Pang, Lee & Vaithyanathan, "Thumbs up? Sentiment
classification using machine learning techniques", 2002); an LSTM that reads word by word can, and
its last state is the verdict.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.sentences import REVIEW_TEMPLATES, make_review
from tinygrad_rnn.demos.saved_model import read_text_argument
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import COLORS, draw_bars, safe_label, subplots

CLAIM = (
    "A recurrent network that reads a review word by word understands negation and contrast; a bag "
    "of its words does not."
)
DATA = "a folder with one folder of .txt files for each class, such as pos/ and neg/"


def words(text):
    return data.tokenize(text.lower())


class BagOfWords(nn.Embedding):
    """For each class, the sum of a weight for each word."""

    def forward(self, x, lengths):
        return super().forward(x).sum(0)


def network(words, classes, size, dropout):
    numbers = len(classes), len(data.TokenVocabulary(words))
    return models.SequenceClassifier(nn.LSTM(size, size), *numbers, dropout=dropout)


def loss(model, batch):
    x, lengths, labels = batch
    return nn.functional.cross_entropy(model(x, lengths), labels), len(labels)


def batches(examples, shuffle=False):
    lengths = [len(text) for text, _ in examples]
    return data.DataLoader(examples, 32, shuffle, collate_fn=data.pad_collate, lengths=lengths)


def accuracy(model, examples):
    with ag.no_grad():
        right = [(ag.argmax(model(x, n), 1) == y).numpy() for x, n, y in batches(examples)]
    return np.concatenate(right).mean()


def main(demo):
    if demo.data is None:
        texts = dict(make_review(demo.rng) for _ in range(8000))  # each once
        reviews = data.LabeledText(list(texts), list(texts.values()), text_split=words)
    else:
        reviews = data.LabeledText.from_folders(demo.data, text_split=words)
    if len(reviews) < 20:
        raise InputError(f"{demo.data}: {len(reviews)} texts are too few; 20 at least are needed")
    train, validation, unseen = data.random_split(reviews, [0.8, 0.1, 0.1])
    sizes = {"size": 32, "dropout": 0.0} if demo.data is None else {"size": 64, "dropout": 0.4}
    config = {"words": reviews.vocabulary.tokens, "classes": reviews.classes, **sizes}
    held_out = {"validation": batches(validation), "patience": 5}
    lstm = network(**config)
    demo.train(lstm, loss, batches(train, shuffle=True), 600, 300, rate=0.01, **held_out)
    bag = BagOfWords(len(reviews.vocabulary), len(reviews.classes), padding_idx=0)
    demo.train(bag, loss, batches(train, shuffle=True), 600, 200, rate=0.03, **held_out)
    demo.save(lstm, **config)

    demo.record("unseen texts right", accuracy(lstm, unseen), "%", at_least=0.99, quick=0.9)
    demo.record("a bag of words: right", accuracy(bag, unseen), "%", at_most=0.85, quick=0.85)
    shown = [
        " ".join(reviews.vocabulary.decode(text)[:20]) for text, _ in data.Subset(unseen, [0, 1])
    ]
    if demo.data is None:
        figure = draw_kinds({"bag of words": bag, "LSTM": lstm}, reviews, demo.rng)
        demo.save_figure("kinds.png", figure, "which reviews each understands")
        shown = ["The story was not good, but the music was far from bad."]
        shown += ["Although the hero was never dull, the ending was awful."]
    demo.save_figure("reading.png", draw_reading(lstm, reviews, shown), "a verdict, word by word")


def draw_kinds(networks, reviews, rng):
    """The share of each kind's reviews that each network gets right."""
    kinds = [
        zip(*(make_review(rng, kind) for _ in range(300)), strict=True) for kind in REVIEW_TEMPLATES
    ]
    kinds = [data.LabeledText(*some, like=reviews) for some in kinds]
    right = {name: [accuracy(model, some) for some in kinds] for name, model in networks.items()}
    figure, axes = subplots(height=3.8)
    draw_bars(axes, right, [*REVIEW_TEMPLATES])
    axes.set(ylim=(0, 1.2), ylabel="right (share; 0.5: guessing)")
    axes.set_title("Where words depend on each other a bag of them fails")
    return figure


def draw_reading(model, reviews, texts):
    """The probability of the last class after each word of short texts."""
    figure, rows = subplots(len(texts), 1, height=2.6 * len(texts), sharey=True)
    for axes, text in zip(rows, texts, strict=True):
        with ag.no_grad():
            p = model.predict_over_time(reviews.vocabulary.encode(words(text))[:, None]).numpy()[
                :, 0, -1
            ]
        axes.bar(range(len(p)), p - 0.5, bottom=0.5, color=np.where(p > 0.5, *COLORS[:2]))
        axes.set_xticks(range(len(p)), map(safe_label, words(text)), rotation=45, ha="right")
        axes.set(ylim=(0, 1), ylabel=f"p({safe_label(reviews.classes[-1])})")
    rows[0].set_title("The verdict turns when a word turns the meaning")
    return figure


def predict(run, input):
    text = words(read_text_argument(input))
    if not text:
        raise InputError("there is no word in the text")
    vocabulary, model = (
        data.TokenVocabulary(tuple(run.config["words"])),
        run.load(network(**run.config)),
    )
    with ag.no_grad():
        p = ag.softmax(model(vocabulary.encode(text)[:, None])).numpy()[0]
    print(f"{run.config['classes'][p.argmax()]} ({p.max():.1%})")
    if strange := sorted(set(text) - set(vocabulary.tokens)):
        print(f"not among the words it has learned: {', '.join(strange)}")
