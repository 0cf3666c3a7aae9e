"""Image captioning: one image to many words, with attention.

    tinygrad-rnn demo captions

This demo describes images of colored shapes. An image is divided into 16 patches, which GRUs read
row by row and column by column (similar to Graves & Schmidhuber, "Offline handwriting recognition
with multidimensional recurrent neural networks", 2009). An LSTM writes the caption and attends to
the patches for each word (Xu et al., "Show, attend and tell: neural image caption generation with
visual attention", 2015). Every sixth combination of count, color, shape and corner, such as "a red
circle at the top left", is excluded from training; the test images show only these combinations.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.scenes import CAPTION_WORDS, make_scene
from tinygrad_rnn.data.vocabulary import BEGIN, END, PADDING
from tinygrad_rnn.plotting import COLORS, draw_image, subplots

CLAIM = (
    "A network that is trained on captioned images describes new images, including combinations of "
    "objects that are not in the training set."
)
VOCABULARY = data.TokenVocabulary(CAPTION_WORDS)


def batch(rng, size=32, unseen=False):
    """Return images (B, 32, 32, 3) and captions as token indices (T, B), from BEGIN to END."""
    images, captions = zip(*(make_scene(rng, unseen) for _ in range(size)), strict=True)
    target, _ = data.pad_collate([VOCABULARY.encode_target(words) for words in captions])
    return np.stack(images), target


class PatchEncoder(nn.Module):
    """Encode images as vectors (16, B, 2 width), one for each patch of 8 x 8 pixels.

    Bidirectional GRUs read the patches row by row, and column by column.
    """

    def __init__(self, width):
        self.projection = nn.Linear(192, width)
        self.rows = nn.GRU(width, width // 2, bidirectional=True)
        self.columns = nn.GRU(width, width // 2, bidirectional=True)

    def forward(self, images):
        patches = ag.tensor(images).reshape(-1, 4, 8, 4, 8, 3).transpose(1, 3, 0, 2, 4, 5)
        x = ag.relu(self.projection(patches.reshape(16, -1, 192) - 0.3))
        by_row = self.rows(x)[0]
        by_column = transpose_patches(self.columns(transpose_patches(x))[0])
        return ag.concatenate([by_row, by_column], axis=-1)


def transpose_patches(patches):
    """Exchange rows and columns in a sequence of 4 x 4 patches."""
    return patches.reshape(4, 4, *patches.shape[1:]).swapaxes(0, 1).reshape(patches.shape)


def loss(model, examples):
    images, target = examples
    scores = model(images, target[:-1]).reshape(-1, len(VOCABULARY))
    return nn.functional.cross_entropy(scores, target[1:].ravel(), ignore_index=PADDING)


def generate_captions(model, images):
    """Return the captions of images, by greedy decoding."""
    state, start = model.encode(images), [BEGIN] * len(images)
    sequences = models.sample(model.step, state, start, END, max_length=10, temperature=0)
    return [VOCABULARY.decode(sequence.tokens) for sequence in sequences]


def main(demo):
    cell = nn.LSTMCell(32, 64)
    encoder, words = PatchEncoder(64), len(VOCABULARY)
    model = models.Captioner(encoder, words, cell, nn.GeneralAttention, feature_size=128)
    demo.train(model, loss, batch, steps=1000, quick=150, rate=0.006, cosine=True)
    for kind in ("seen", "unseen"):
        images, target = batch(demo.rng, 400, unseen=kind == "unseen")
        expected = [VOCABULARY.decode(column) for column in target.numpy().T]
        with ag.no_grad():
            captions = generate_captions(model, images)
            likeliest = ag.argmax(model(images, target[:-1]), -1)
        exact = np.mean([a == b for a, b in zip(captions, expected, strict=True)])
        bounds = {"at_least": 0.95} if kind == "unseen" else {}
        demo.record(f"{kind} combinations: exact captions", exact, "%", **bounds)
    accuracy = (likeliest == target[1:]).numpy()[target[1:].numpy() != PADDING].mean()
    demo.record("next-word accuracy", accuracy, "%", at_least=0.98, quick=0.7)
    figure = draw(images, captions, expected)
    demo.save_figure("captions.png", figure, "captions of unseen combinations")
    figure = draw_attention(model, images[0], captions[0])
    demo.save_figure("attention.png", figure, "attention for each word of a caption")


def draw(images, captions, expected):
    """Draw eight images with their captions; wrong captions have another color."""
    figure, axes = subplots(2, 4, width=11, height=6.4)
    for cell, image, words, target in zip(axes.flat, images, captions, expected, strict=False):
        draw_image(cell, image, f"{' '.join(words[:3])}\n{' '.join(words[3:])}")
        cell.title.set(fontsize=12, color="black" if words == target else COLORS[1])
    figure.suptitle("Combinations that are not in the training set")
    return figure


def draw_attention(model, image, words):
    """Draw the image for each word, with each patch as bright as its attention weight."""
    with ag.no_grad():
        weights = model.alignment(image[None], VOCABULARY.encode_target(words)[:-1, None])
    weights = weights.numpy()[0]
    figure, axes = subplots(1, len(words), width=1.45 * len(words), height=1.9, squeeze=False)
    for cell, word, weight in zip(axes.flat, words, weights, strict=False):
        light = np.kron((weight / weight.max()).reshape(4, 4, 1), np.ones((8, 8, 1)))
        draw_image(cell, image * (0.15 + 0.85 * light), word)
    return figure
