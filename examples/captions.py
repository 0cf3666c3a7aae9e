"""Captions: one picture to many words.

    tinygrad-rnn demo captions

A picture of coloured shapes is cut into 16 patches, which GRUs read row by row and column by column
(in the way of Graves & Schmidhuber, "Offline handwriting recognition with multidimensional
recurrent neural networks", 2009). An LSTM writes what is to be seen, and for each word looks at the
patches that it needs (Xu et al., "Show, attend and tell: neural image caption generation with
visual attention", 2015). Of all combinations of count, colour, shape and corner every sixth, such
as "a red circle at the top left", is in no picture that it learns from; the test pictures show
nothing else.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.data.tables import BEGIN, END, PADDING
from tinygrad_rnn.pictures import subplots

CLAIM = (
    "A network that has seen pictures with captions writes one for a new picture, also of things "
    "that it has never seen together."
)
COUNTS = ["a", "two", "three", "four"]
CORNERS = ["top left", "top right", "bottom left", "bottom right"]
COLOURS = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.7, 0.2),
    "blue": (0.2, 0.3, 1.0),
    "yellow": (1.0, 0.9, 0.1),
    "pink": (1.0, 0.5, 0.8),
    "white": (1.0, 1.0, 1.0),
}
Y, X = np.mgrid[-2.5:3, -2.5:3]
SHAPES = {
    "circle": X**2 + Y**2 < 6.6,
    "square": np.maximum(abs(X), abs(Y)) < 3,
    "triangle": abs(X) <= (Y + 3) / 2,
    "ring": abs(X**2 + Y**2 - 5.6) < 3,
}
OTHERS = ["at", "the", "top", "bottom", "left", "right", *(f"{name}s" for name in SHAPES)]
WORDS = data.Lexicon((*COUNTS, *COLOURS, *SHAPES, *OTHERS))
LONGEST, RATE = 10, 0.006


def example(rng, unseen=False):
    """A picture (32, 32, 3) and its caption. Every sixth combination is an unseen one."""
    kinds = len(COUNTS), len(COLOURS), len(SHAPES), len(CORNERS)
    chosen = rng.integers(kinds)
    while (chosen.sum() % 6 == 0) != unseen:
        chosen = rng.integers(kinds)
    n, colour, shape, corner = chosen.tolist()
    picture = rng.uniform(0, 0.25, (32, 32, 3)).astype(np.float32)
    for place in rng.permutation(4)[: n + 1]:
        y = 16 * (corner // 2) + 8 * (place // 2) + rng.integers(0, 3)
        x = 16 * (corner % 2) + 8 * (place % 2) + rng.integers(0, 3)
        picture[y : y + 6, x : x + 6][[*SHAPES.values()][shape]] = [*COLOURS.values()][colour]
    words = [COUNTS[n], [*COLOURS][colour], [*SHAPES][shape] + "s" * (n > 0)]
    return picture, [*words, "at", "the", *CORNERS[corner].split()]


def batch(rng, size=32, unseen=False):
    """Pictures (B, 32, 32, 3), and their captions in numbers (T, B), from BEGIN to END."""
    pictures, captions = zip(*(example(rng, unseen) for _ in range(size)), strict=True)
    target = np.zeros((LONGEST, size), int)
    for column, words in zip(target.T, captions, strict=True):
        column[: len(words) + 2] = [BEGIN, *WORDS.encode(words), END]
    return np.stack(pictures), target


class Reader(nn.Module):
    """Vectors (16, B, 2 width) of the 16 patches, of 8 by 8 pixels: the states of networks that go
    through them row by row, and column by column, forwards and backwards."""

    def __init__(self, width):
        self.look = nn.Linear(192, width)
        self.rows = nn.GRU(width, width // 2, bidirectional=True)
        self.columns = nn.GRU(width, width // 2, bidirectional=True)

    def forward(self, pictures):
        patches = ag.tensor(pictures).reshape(-1, 4, 8, 4, 8, 3).transpose(1, 3, 0, 2, 4, 5)
        seen = ag.relu(self.look(patches.reshape(16, -1, 192) - 0.3))
        return ag.concatenate([self.rows(seen)[0], turned(self.columns(turned(seen))[0])], axis=-1)


def turned(patches):
    """Rows of patches in place of columns."""
    return patches.reshape(4, 4, *patches.shape[1:]).swapaxes(0, 1).reshape(patches.shape)


def captioner():
    cell = nn.LSTMCell(32, 64)
    return models.Captioner(Reader(64), len(WORDS), cell, nn.GeneralAttention, picture_size=128)


def loss(model, examples):
    pictures, target = examples
    scores = model(pictures, target[:-1])
    scores = scores.reshape(-1, scores.shape[-1])
    return nn.functional.cross_entropy(scores, target[1:].ravel(), ignore_index=PADDING)


def write(model, pictures):
    """The likeliest captions, greedily."""
    state, start = model.encode(pictures), [BEGIN] * len(pictures)
    with ag.no_grad():
        written = models.sample(model.step, state, start, END, LONGEST, temperature=0)
    return [WORDS.decode(caption.tokens) for caption in written]


def main(show):
    model = captioner()
    steps = show.choose(1000, 150)
    optimizer = optim.Adam(model.parameters(), lr=RATE)
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
    for unseen in (False, True):
        pictures, target = batch(show.rng, 400, unseen)
        captions = [WORDS.decode(column) for column in target.T]
        said = write(model, pictures)
        exact = np.mean([a == b for a, b in zip(said, captions, strict=True)])
        if not unseen:
            show.measured("known combinations: exact captions", exact, "%")
    with ag.no_grad():
        likeliest = ag.argmax(model(pictures, target[:-1]), -1).numpy()
    right = np.mean((likeliest == target[1:])[target[1:] != PADDING])
    show.measured("unseen combinations: exact captions", exact, "%", at_least=0.95)
    show.measured("words right, given those before", right, "%", at_least=0.98, quick=0.7)
    show.picture(
        "captions.png", draw(pictures, said, captions), "what it says of unseen combinations"
    )
    show.picture("attention.png", draw_attention(model, pictures[0], said[0]), "where it looks")


def draw(pictures, said, captions):
    """Eight pictures with what is said of them; in red, with what is to be seen, if it is wrong."""
    figure, axes = subplots(2, 4, width=11, height=6.4)
    for cell, picture, words, wanted in zip(axes.flat, pictures, said, captions, strict=False):
        cell.imshow(picture, aspect="equal")
        cell.set_axis_off()
        lines = f"{' '.join(words[:3])}\n{' '.join(words[3:])}"
        cell.set_title(lines, fontsize=12, color="black" if words == wanted else "#D55E00")
    figure.suptitle("No picture that it has learned from shows any of these combinations")
    return figure


def draw_attention(model, picture, words):
    """For each word, the picture as bright as the attention is at each patch when it is written."""
    target = np.array([BEGIN, *WORDS.encode(words)])[:, None]
    with ag.no_grad():
        weights = model.alignment(picture[None], target).numpy()[0]
    figure, axes = subplots(1, len(words), width=1.45 * len(words), height=1.9)
    for cell, word, weight in zip(axes, words, weights, strict=False):
        light = np.kron((weight / max(weight.max(), 1e-9)).reshape(4, 4), np.ones((8, 8)))
        cell.imshow(picture * (0.15 + 0.85 * light[:, :, None]), aspect="equal")
        cell.set_title(word)
        cell.set_axis_off()
    return figure


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
