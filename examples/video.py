"""Video: many pictures to many words, and a word for every picture.

    tinygrad-rnn demo video

In small noisy films a shape moves, slowly or fast, bounces off the edge, and sometimes vanishes.
One network watches a film to its end and then says in a sentence what happened (a recurrent network
that reads and one that writes: Donahue et al., "Long-term recurrent convolutional networks for
visual recognition and description", 2015). Another says at every frame what is happening, in step
with the film. No single frame shows a movement: what is seen must be held against what was.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.data.tables import BEGIN, END, PADDING
from tinygrad_rnn.pictures import subplots

CLAIM = (
    "Sequences of different lengths meet in one vector: a network watches a film and describes it; "
    "or in step: it names what happens while it happens."
)
SIZE, SHORTEST, LONGEST, NOISE = 14, 8, 16, 0.05
RATE, NONE = 0.01, -100
PIXELS = SIZE**2
SHAPES = {
    "square": np.ones((3, 3)),
    "cross": np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]),
    "ring": np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]),
}
MOVES = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
TAGS = ["appears", *MOVES, "bounces", "vanishes", "nothing"]
BOUNCES = [[], ["bounces"], ["bounces", "twice"], ["bounces", "thrice"]]
WORDS = data.Lexicon.of(
    [["a", "slow", "fast", "moves", "and", "vanishes"], SHAPES, MOVES, *BOUNCES]
)


def film(rng):
    """Frames (T, 14, 14), what happens in each, and what happens in all of them together."""
    length, place = int(rng.integers(SHORTEST, LONGEST + 1)), rng.integers(0, SIZE - 2, 2)
    shape, way, fast = rng.choice(list(SHAPES)), rng.choice(list(MOVES)), rng.random() < 0.5
    end = int(rng.integers(4, length)) if rng.random() < 0.5 else length
    frames = rng.normal(0, NOISE, (length, SIZE, SIZE)).astype(np.float32)
    velocity, tags, bounces = (1 + fast) * np.array(MOVES[way]), ["appears"], 0
    for t in range(end):
        if t > 0:
            inside = np.all((place + velocity >= 0) & (place + velocity <= SIZE - 3))
            velocity = velocity if inside else -velocity
            place, bounces = place + velocity, bounces + (not inside)
            tags.append(way_of(velocity) if inside else "bounces")
        y, x = place
        frames[t, y : y + 3, x : x + 3] += SHAPES[shape]
    tags += ["vanishes"] * (end < length) + ["nothing"] * (length - end - 1)
    words = ["a", "fast" if fast else "slow", shape, "moves", way, *BOUNCES[bounces]]
    return frames, tags, words + ["and", "vanishes"] * (end < length)


def way_of(velocity):
    return next(name for name, step in MOVES.items() if np.array_equal(np.sign(velocity), step))


def batch(rng, size=32):
    """Films as features (T, B, 196) and their lengths, tags (T, B) and sentences (T', B)."""
    examples = [
        (
            frames.reshape(len(frames), -1),
            np.array([TAGS.index(tag) for tag in tags]),
            np.array([BEGIN, *WORDS.encode(words), END]),
        )
        for frames, tags, words in (film(rng) for _ in range(size))
    ]
    frames, lengths, tags, _, words, _ = data.pad_collate(
        examples, padding_value=(0, NONE, PADDING)
    )
    return frames, lengths, tags, words


class Watcher(nn.Module):
    """The state of a recurrent network when a film is over."""

    def __init__(self, hidden):
        self.gru = nn.GRU(PIXELS, hidden)

    def forward(self, film):
        frames, lengths = film
        return self.gru(frames, lengths=lengths)[1][0]


def telling(model, examples):
    frames, lengths, _, words = examples
    scores = model((frames, lengths), words[:-1])
    scores = scores.reshape(-1, len(WORDS))
    return nn.functional.cross_entropy(scores, words[1:].ravel(), ignore_index=PADDING)


def naming(model, examples):
    frames, lengths, tags, _ = examples
    scores = model(frames, lengths).reshape(-1, len(TAGS))
    return nn.functional.cross_entropy(scores, tags.ravel(), ignore_index=NONE)


def learn(show, model, loss, steps, quick):
    optimizer = optim.Adam(model.parameters(), lr=RATE)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=show.choose(steps, quick))
    trainer = training.Trainer(
        model,
        optimizer,
        loss,
        data.Generated(batch),
        schedule=schedule,
        schedule_per="step",
        clip=1,
    )
    show.fit(trainer, steps, quick)
    return model.eval()


def main(show):
    tagger = models.SequenceTagger(nn.GRU(PIXELS, 48), len(TAGS))
    learn(show, tagger, naming, 600, 150)
    teller = models.Captioner(Watcher(96), len(WORDS), nn.GRUCell(32, 64), picture_size=96)
    learn(show, teller, telling, 1500, 200)


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
