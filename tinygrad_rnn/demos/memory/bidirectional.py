"""Tags that need the future: who reads on before answering knows what Teddy is.

    tinygrad-rnn demo bidirectional

"He said, Teddy ..." may go on with a president or with a bear. Here names are to be tagged as that
of a person or of a thing, and which it is shows at the verb, some words later. A network that reads
forwards has nothing to go by but how often each name is a person's, so the best that it can do is
known exactly; one that reads in both directions can be right always. (M. Schuster and K. K.
Paliwal, "Bidirectional recurrent neural networks", 1997.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, nn
from tinygrad_rnn.plotting import COLORS, draw_bars, subplots

CLAIM = (
    "A bidirectional network sees a word's future as well as its past, and tags words that no "
    "network reading forwards can tell."
)
PERSONS = {"Teddy": 0.5, "Rose": 0.3, "Ford": 0.6, "Hope": 0.8, "Paris": 0.4, "Lincoln": 0.7}
"""How often each name is a person's."""
VERBS = (("lasts", "costs", "opens", "breaks"), ("laughs", "speaks", "marries", "sings"))
BETWEEN = ("really", "often", "as", "they", "say", "today", "still")
WORDS = [*PERSONS, *VERBS[0], *VERBS[1], *BETWEEN]
THING, PERSON, OTHER, NONE = 0, 1, 2, -100


def sentences(rng, clauses=3):
    """Words and tags: clauses of a name, up to 4 words, and a verb that says what it was."""
    words, tags = [], []
    for name in rng.choice([*PERSONS], clauses):
        person = int(rng.random() < PERSONS[name])
        between = rng.choice(BETWEEN, rng.integers(0, 5))
        words += [name, *between, rng.choice(VERBS[person])]
        tags += [person] + [OTHER] * (len(between) + 1)
    return np.array([WORDS.index(word) for word in words]), np.array(tags)


def batch(rng, size=32):
    """Words (T, B), lengths (B,), tags (T, B)."""
    words, lengths, tags, _ = data.pad_collate(
        [sentences(rng) for _ in range(size)], padding_value=(0, NONE)
    )
    return words, lengths, tags


class Tagger(nn.Module):
    def __init__(self, bidirectional, hidden=24):
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.lstm = nn.LSTM(16, hidden, bidirectional=bidirectional)
        self.readout = nn.Linear(self.lstm.output_size, 3)

    def forward(self, words, lengths):
        """Scores (T, B, 3) of the tags."""
        return self.readout(self.lstm(self.embedding(words), lengths=lengths)[0])


def loss(model, batch):
    words, lengths, tags = batch
    scores = model(words, lengths)
    return nn.functional.cross_entropy(scores.reshape(-1, 3), tags.ravel(), ignore_index=NONE)


def main(demo):
    words, lengths, tags = test = batch(demo.rng, 2000)
    tags, words_ = tags.numpy(), words.numpy()
    names = (tags == THING) | (tags == PERSON)
    answers = {}
    for title, both in (("forward", False), ("bidirectional", True)):
        model = Tagger(both)
        demo.train(model, loss, batch, steps=800, quick=150, rate=0.01)
        with ag.no_grad():
            answers[title] = ag.softmax(model(*test[:2]), axis=2).numpy()
    right = {title: p.argmax(2) == tags for title, p in answers.items()}
    best = {name: max(p, 1 - p) for name, p in PERSONS.items()}
    bayes = np.mean([*best.values()])
    forward, both = (right[title][names].mean() for title in right)
    demo.record("bidirectional: names tagged right", both, "%", at_least=0.99, quick=0.95)
    demo.record("forward: names tagged right", forward, "%")
    demo.record("the most that the past allows", bayes, "%")
    demo.record("forward: apart from that", abs(forward - bayes), "%", at_most=0.02, quick=0.1)
    demo.record("bidirectional: all words", right["bidirectional"][tags != NONE].mean(), "%")

    figure, axes = subplots(height=4)
    places = range(len(PERSONS))
    hits = {
        title: [hit[names & (words_ == i)].mean() for i in places] for title, hit in right.items()
    }
    for i, p in enumerate(best.values()):
        label = "the best without the future" * (not i)
        axes.plot([i - 0.4, i], [p, p], color=COLORS[6], label=label)
    draw_bars(axes, hits, [*PERSONS])
    axes.set(ylabel="tagged right (share)", ylim=(0, 1.3))
    axes.set_title("Names are clear only to who reads on")
    demo.save_figure("names.png", figure, "how often each name is tagged right, in each direction")

    figure, axes = subplots(height=4)
    example = int(np.argmin(abs(lengths - 13)))
    line = [WORDS[i] for i in words_[: lengths[example], example]]
    shown = names[: len(line), example]
    believed = {
        title: np.where(shown, p[: len(line), example, PERSON], np.nan)
        for title, p in answers.items()
    }
    draw_bars(axes, believed, line, rotation=45)
    axes.set(ylabel="p(person)", title="The verb decides, and it comes later", ylim=(0, 1.25))
    demo.save_figure("sentence.png", figure, "what each network takes the names of a sentence for")
