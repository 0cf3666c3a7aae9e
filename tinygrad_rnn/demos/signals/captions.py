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

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.scenes import CAPTION_WORDS, make_scene
from tinygrad_rnn.data.vocabulary import BEGIN, END, PADDING
from tinygrad_rnn.plotting import COLORS, draw_image, subplots

CLAIM = (
    "A network that has seen pictures with captions writes one for a new picture, also of things "
    "that it has never seen together."
)
WORDS = data.TokenVocabulary(CAPTION_WORDS)


def batch(rng, size=32, unseen=False):
    """Pictures (B, 32, 32, 3), and their captions in numbers (T, B), from BEGIN to END."""
    pictures, captions = zip(*(make_scene(rng, unseen) for _ in range(size)), strict=True)
    target, _ = data.pad_collate([WORDS.encode_target(words) for words in captions])
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


def loss(model, examples):
    pictures, target = examples
    scores = model(pictures, target[:-1]).reshape(-1, len(WORDS))
    return nn.functional.cross_entropy(scores, target[1:].ravel(), ignore_index=PADDING)


def write(model, pictures):
    """The likeliest captions, greedily."""
    state, start = model.encode(pictures), [BEGIN] * len(pictures)
    written = models.sample(model.step, state, start, END, max_length=10, temperature=0)
    return [WORDS.decode(caption.tokens) for caption in written]


def main(demo):
    cell = nn.LSTMCell(32, 64)
    model = models.Captioner(Reader(64), len(WORDS), cell, nn.GeneralAttention, feature_size=128)
    demo.train(model, loss, batch, steps=1000, quick=150, rate=0.006, cosine=True)
    for kind in ("known", "unseen"):
        pictures, target = batch(demo.rng, 400, unseen=kind == "unseen")
        captions = [WORDS.decode(column) for column in target.numpy().T]
        with ag.no_grad():
            said, likeliest = write(model, pictures), ag.argmax(model(pictures, target[:-1]), -1)
        exact = np.mean([a == b for a, b in zip(said, captions, strict=True)])
        wanted = {"at_least": 0.95} if kind == "unseen" else {}
        demo.record(f"{kind} combinations: exact captions", exact, "%", **wanted)
    right = (likeliest == target[1:]).numpy()[target[1:].numpy() != PADDING].mean()
    demo.record("words right, given those before", right, "%", at_least=0.98, quick=0.7)
    demo.save_figure("captions.png", draw(pictures, said, captions), "captions of unseen scenes")
    demo.save_figure("attention.png", draw_attention(model, pictures[0], said[0]), "where it looks")


def draw(pictures, said, captions):
    """Eight pictures with what is said of them, in another colour where it is wrong."""
    figure, axes = subplots(2, 4, width=11, height=6.4)
    for cell, picture, words, wanted in zip(axes.flat, pictures, said, captions, strict=False):
        draw_image(cell, picture, f"{' '.join(words[:3])}\n{' '.join(words[3:])}")
        cell.title.set(fontsize=12, color="black" if words == wanted else COLORS[1])
    figure.suptitle("No picture that it has learned from shows any of these combinations")
    return figure


def draw_attention(model, picture, words):
    """For each word, the picture as bright as the attention is at each patch when it is written."""
    with ag.no_grad():
        weights = model.alignment(picture[None], WORDS.encode_target(words)[:-1, None]).numpy()[0]
    figure, axes = subplots(1, len(words), width=1.45 * len(words), height=1.9, squeeze=False)
    for cell, word, weight in zip(axes.flat, words, weights, strict=False):
        light = np.kron((weight / weight.max()).reshape(4, 4, 1), np.ones((8, 8, 1)))
        draw_image(cell, picture * (0.15 + 0.85 * light), word)
    return figure
