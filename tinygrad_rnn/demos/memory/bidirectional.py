"""Bidirectional networks: labels that depend on words to the right.

    tinygrad-rnn demo bidirectional

This demo tags names in sentences as persons or things. Whether "Teddy" is a president or a bear is
decided by a verb a few words later. A network that reads from left to right can only use how often
each name is a person's, so its best possible accuracy is known exactly; a network that reads in
both directions can tag all names correctly. (M. Schuster and K. K. Paliwal, "Bidirectional
recurrent neural networks", 1997.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, nn
from tinygrad_rnn.plotting import COLORS, draw_bars, subplots

CLAIM = (
    "A bidirectional network uses the words on both sides of a word, and tags words correctly that "
    "a forward network cannot distinguish."
)
PERSON_RATES = {"Teddy": 0.5, "Rose": 0.3, "Ford": 0.6, "Hope": 0.8, "Paris": 0.4, "Lincoln": 0.7}
"""The probability that a name is a person's."""
VERBS = (("lasts", "costs", "opens", "breaks"), ("laughs", "speaks", "marries", "sings"))
"""Verbs for things, and verbs for persons."""
FILLERS = ("really", "often", "as", "they", "say", "today", "still")
WORDS = [*PERSON_RATES, *VERBS[0], *VERBS[1], *FILLERS]
THING, PERSON, OTHER, IGNORED = 0, 1, 2, -100


def make_sentence(rng, clauses=3):
    """Return words and tags of clauses: a name, up to 4 fillers, and a verb that fixes the tag."""
    words, tags = [], []
    for name in rng.choice([*PERSON_RATES], clauses):
        person = int(rng.random() < PERSON_RATES[name])
        fillers = rng.choice(FILLERS, rng.integers(0, 5))
        words += [name, *fillers, rng.choice(VERBS[person])]
        tags += [person] + [OTHER] * (len(fillers) + 1)
    return np.array([WORDS.index(word) for word in words]), np.array(tags)


def batch(rng, size=32):
    """Return words (T, B), lengths (B,) and tags (T, B)."""
    words, lengths, tags, _ = data.pad_collate(
        [make_sentence(rng) for _ in range(size)], padding_value=(0, IGNORED)
    )
    return words, lengths, tags


class Tagger(nn.Module):
    def __init__(self, bidirectional, hidden=24):
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.lstm = nn.LSTM(16, hidden, bidirectional=bidirectional)
        self.readout = nn.Linear(self.lstm.output_size, 3)

    def forward(self, words, lengths):
        """Return the scores of the tags (T, B, 3)."""
        return self.readout(self.lstm(self.embedding(words), lengths=lengths)[0])


def loss(model, batch):
    words, lengths, tags = batch
    scores = model(words, lengths)
    return nn.functional.cross_entropy(scores.reshape(-1, 3), tags.ravel(), ignore_index=IGNORED)


def main(demo):
    words, lengths, tags = batch(demo.rng, 2000)
    probabilities = {}
    for name in ("forward", "bidirectional"):
        model = Tagger(name == "bidirectional")
        demo.train(model, loss, batch, steps=800, quick=150, rate=0.01)
        with ag.no_grad():
            probabilities[name] = ag.softmax(model(words, lengths), axis=2).numpy()
    words, tags = words.numpy(), tags.numpy()
    names = (tags == THING) | (tags == PERSON)
    correct = {name: p.argmax(2) == tags for name, p in probabilities.items()}
    forward, bidirectional = (correct[name][names].mean() for name in correct)
    best = {name: max(p, 1 - p) for name, p in PERSON_RATES.items()}
    optimum = np.mean([*best.values()])
    row = "bidirectional: accuracy on names"
    demo.record(row, bidirectional, "%", at_least=0.99, quick=0.95)
    demo.record("forward: accuracy on names", forward, "%")
    demo.record("optimum without right context", optimum, "%")
    row = "forward: difference from optimum"
    demo.record(row, abs(forward - optimum), "%", at_most=0.02, quick=0.1)
    overall = correct["bidirectional"][tags != IGNORED].mean()
    demo.record("bidirectional: accuracy on all words", overall, "%")

    figure = draw_names(words, names, correct, best)
    demo.save_figure("names.png", figure, "accuracy for each name")
    example = int(np.argmin(abs(lengths - 13)))
    column = slice(lengths[example]), example
    figure = draw_sentence(
        [WORDS[i] for i in words[column]],
        names[column],
        {name: p[..., PERSON][column] for name, p in probabilities.items()},
    )
    demo.save_figure("sentence.png", figure, "p(person) for the names of a sentence")


def draw_names(words, names, correct, best):
    """Draw the accuracy for each name, and the best accuracy without right context."""
    figure, axes = subplots(height=4)
    accuracies = {
        model: [hits[names & (words == i)].mean() for i in range(len(PERSON_RATES))]
        for model, hits in correct.items()
    }
    for i, p in enumerate(best.values()):
        label = "optimum without right context" * (not i)
        axes.plot([i - 0.4, i], [p, p], color=COLORS[6], label=label)
    draw_bars(axes, accuracies, [*PERSON_RATES])
    axes.set(ylabel="accuracy", ylim=(0, 1.3))
    axes.set_title("Names are ambiguous without the words to the right")
    return figure


def draw_sentence(text, is_name, p_person):
    """Draw p(person) of each model for the names of a sentence."""
    figure, axes = subplots(height=4)
    heights = {model: np.where(is_name, p, np.nan) for model, p in p_person.items()}
    draw_bars(axes, heights, text, rotation=45)
    axes.set(ylabel="p(person)", title="The verb decides, and it comes later", ylim=(0, 1.25))
    return figure
