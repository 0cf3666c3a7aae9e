"""Video: many pictures to many words, and a word for every picture.

    tinygrad-rnn demo video

In small noisy films a shape moves, slowly or fast, bounces off the edge, and sometimes vanishes.
A network watches them, says at every frame what is happening, in step with the film, and when it is
over its last state is all that a second network has to tell in a sentence what has happened
(Donahue et al., "Long-term recurrent convolutional networks for visual recognition and
description", 2015). No single frame shows a movement: what one sees must be held against what was.
"""

import sys

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

import autograd as ag
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.data.tables import BEGIN, END, PADDING
from tinygrad_rnn.pictures import subplots

CLAIM = (
    "From many to many, in two ways: a network names what happens in a film while it happens, and "
    "afterwards describes the whole film in a sentence of another length."
)
SIZE, SHORTEST, LONGEST, NOISE = 14, 8, 16, 0.05
RATE, NONE = 0.005, -100
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
    length = int(rng.integers(SHORTEST, LONGEST + 1))
    end = int(rng.integers(4, length)) if rng.random() < 0.5 else length
    shape, way, fast = rng.choice(list(SHAPES)), rng.choice(list(MOVES)), rng.random() < 0.5
    velocity, tags, bounces = (1 + fast) * np.array(MOVES[way]), ["appears"], 0
    place = rng.integers(0, SIZE - 2, 2)
    while not inside(place + velocity):  # what bounces at once is never seen to move that way
        place = rng.integers(0, SIZE - 2, 2)
    frames = rng.normal(0, NOISE, (length, SIZE, SIZE)).astype(np.float32)
    for t in range(end):
        if t > 0:
            free = inside(place + velocity)
            velocity, bounces = velocity if free else -velocity, bounces + (not free)
            place = place + velocity
            tags.append(way_of(velocity) if free else "bounces")
        y, x = place
        frames[t, y : y + 3, x : x + 3] += SHAPES[shape]
    tags += ["vanishes"] * (end < length) + ["nothing"] * (length - end - 1)
    words = ["a", "fast" if fast else "slow", shape, "moves", way, *BOUNCES[bounces]]
    return frames, tags, words + ["and", "vanishes"] * (end < length)


def inside(place):
    return bool(np.all((place >= 0) & (place <= SIZE - 3)))


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


class Viewer(nn.Module):
    """A recurrent network that watches: each of its states is named, and the last one is told."""

    def __init__(self, hidden):
        self.gru = nn.GRU(PIXELS, hidden)
        self.tags = nn.Linear(hidden, len(TAGS))
        self.teller = models.Captioner(
            nn.Identity(), len(WORDS), nn.GRUCell(32, 64), picture_size=hidden
        )

    def forward(self, frames, lengths, words):
        """Scores of the tags (T, B, tags), and of what follows each word (T', B, words)."""
        states, last = self.gru(frames, lengths=lengths)
        return self.tags(states), self.teller(last[0], words)

    def tell(self, frames, lengths):
        """The likeliest sentences, greedily."""
        state = self.teller.encode(self.gru(frames, lengths=lengths)[1][0])
        start = [BEGIN] * len(lengths)
        written = models.sample(self.teller.step, state, start, END, 12, temperature=0)
        return [WORDS.decode(sentence.tokens) for sentence in written]


def loss(model, examples):
    frames, lengths, tags, words = examples
    named, told = model(frames, lengths, words[:-1])
    wanted = (tags, NONE), (words[1:], PADDING)
    return sum(
        nn.functional.cross_entropy(
            scores.reshape(-1, scores.shape[-1]), right.ravel(), ignore_index=nothing
        )
        for scores, (right, nothing) in zip((named, told), wanted, strict=True)
    )


def main(show):
    model = Viewer(96)
    optimizer = optim.Adam(model.parameters(), lr=RATE)
    steps = show.choose(1500, 200)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    trainer = training.Trainer(
        model,
        optimizer,
        loss,
        data.Generated(batch),
        schedule=schedule,
        schedule_per="step",
        clip=1,
    )
    show.fit(trainer, steps, steps)
    model.eval()
    frames, lengths, tags, words = batch(show.rng, 500)
    with ag.no_grad():
        named = ag.argmax(model(frames, lengths, words[:-1])[0], -1).numpy()
        told = model.tell(frames, lengths)
    counted = tags.numpy() != NONE
    right = np.mean((named == tags.numpy())[counted])
    exact = np.mean([a == WORDS.decode(b) for a, b in zip(told, words.numpy().T, strict=True)])
    show.measured("sentences exact", exact, "%", at_least=0.95)
    show.measured("frames named right", right, "%", at_least=0.97, quick=0.8)
    show.measured("frames: the commonest name", most_common(tags.numpy()[counted]), "%")
    show.picture("films.png", draw(frames.numpy(), lengths, named, told), "what it says of films")
    animate(frames.numpy(), lengths, named, told, show.path("film.gif", "a film, named as it runs"))


def most_common(tags):
    """The share of the commonest."""
    return np.bincount(tags).max() / len(tags)


def draw(frames, lengths, named, told, films=4):
    """Film strips: every second frame of unseen films, with the name that each frame gets."""
    figure, rows = subplots(films, 8, width=11, height=1.75 * films)
    for film, row in enumerate(rows):
        for cell, t in zip(row, range(0, LONGEST, 2), strict=True):
            cell.set_axis_off()
            if t < lengths[film]:
                cell.imshow(
                    frames[t, film].reshape(SIZE, SIZE),
                    vmin=0,
                    vmax=1,
                    cmap="cividis",
                    aspect="equal",
                )
                cell.text(6.5, 15.5, TAGS[named[t, film]], ha="center", fontsize=11)
                cell.text(0, 1.5, t + 1, color="white", fontsize=9)
        sentence = row[0].text(-0.5, -1.5, " ".join(told[film]), fontsize=13, fontweight="bold")
        sentence.set_in_layout(False)  # it is wider than the frame
    figure.get_layout_engine().set(h_pad=0.25)
    return figure


def animate(frames, lengths, named, told, path):
    """A GIF of the film in which most happens; the sentence comes when it is over."""
    film = max(range(len(lengths)), key=lambda b: len(set(named[: lengths[b], b])))
    figure, axes = subplots(width=4, height=4.4)

    def show(t):
        axes.clear()
        axes.set_axis_off()
        frame = min(t, lengths[film] - 1)
        axes.imshow(
            frames[frame, film].reshape(SIZE, SIZE), vmin=0, vmax=1, cmap="cividis", aspect="equal"
        )
        over = t >= lengths[film]
        axes.set_title(" ".join(told[film]) if over else TAGS[named[frame, film]], fontsize=11)

    FuncAnimation(figure, show, int(lengths[film]) + 6).save(path, PillowWriter(fps=3))


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
