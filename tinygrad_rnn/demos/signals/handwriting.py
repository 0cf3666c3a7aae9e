"""Handwritten digits, read as sequences.

    tinygrad-rnn demo handwriting
    tinygrad-rnn demo handwriting --data mnist --out runs/digits

A picture becomes a sequence by reading it: row by row, patch by patch, pixel by pixel, or pixel by
pixel in an order drawn by lot, which takes all nearness away (Q. V. Le, N. Jaitly & G. E. Hinton,
"A simple way to initialize recurrent networks of rectified linear units", 2015). The 1797 digits of
8 x 8 pixels are scikit-learn's, a fifth of them held out; the others are shifted by up to a pixel
each time they are read.
"""

from functools import partial

import numpy as np
from sklearn.datasets import load_digits

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import draw_heat_map, draw_image, subplots

CLAIM = (
    "A recurrent network recognises digits that it reads a row at a time, and even a pixel at a "
    "time, when it has to keep in mind the whole of what it has seen."
)
DATA = "a folder with MNIST's files, train-images-idx3-ubyte and train-labels-idx1-ubyte (or .gz)"
ORDERS = {
    "rows": (1000, 250, {"at_least": 0.97, "quick": 0.9}),
    "patches": (600, 0, {}),
    "pixels": (1600, 0, {"at_least": 0.95}),
    "shuffled pixels": (800, 0, {}),
}
"""Updates, those of a quick run, and what is to be reached with each way of reading."""


def read(images, order):
    """Sequences (T, B, I) of images (B, side, side)."""
    if order == "rows":
        return images.swapaxes(0, 1)
    if order == "patches":
        patch = images.shape[1] // 4
        blocks = images[:, : 4 * patch, : 4 * patch].reshape(-1, 4, patch, 4, patch)
        return blocks.transpose(1, 3, 0, 2, 4).reshape(16, -1, patch * patch)
    pixels = images.reshape(len(images), -1).T[:, :, None]
    return pixels if order == "pixels" else np.random.default_rng(0).permutation(pixels)


def batch(rng, images, labels, order):
    """64 shifted images, read in this order, and their labels."""
    chosen = rng.integers(len(images), size=64)
    return ag.tensor(read(data.random_shift(rng, images[chosen]), order)), ag.tensor(labels[chosen])


def classifier(inputs, hidden):
    """Pixel by pixel it is hard enough without dropout."""
    return models.SequenceClassifier(nn.GRU(inputs, hidden), 10, dropout=0.3 if inputs > 1 else 0)


def loss(model, examples):
    sequences, labels = examples
    return nn.functional.cross_entropy(model(sequences), labels)


def own_or_digits(demo):
    """Images and labels to learn from, and held-out ones."""
    if demo.data is None:
        digits = load_digits()
        images, labels = (digits.images / 16).astype(np.float32), digits.target
    else:
        images, labels = data.read_mnist(demo.data)
        if labels.min() < 0 or labels.max() > 9 or len(images) < 50 or images.shape[1] < 4:
            raise InputError(
                f"{demo.data}: at least 50 images of 4 x 4 pixels or more, labelled 0 to 9, are "
                f"needed, not {len(images)} of {images.shape[1]} x {images.shape[2]} pixels, "
                f"labelled {labels.min()} to {labels.max()}"
            )
    order = demo.rng.permutation(len(images))
    test, train = np.split(order, [min(len(images) // 5, 10000)])
    return images[train], labels[train], images[test], labels[test]


def main(demo):
    images, labels, unseen, true = own_or_digits(demo)
    hidden = 64 if len(images) < 10_000 else 128
    for order, (steps, quick, bounds) in ORDERS.items():
        if (demo.quick and not quick) or (demo.data is not None and order != "rows"):
            continue
        sequences = ag.tensor(read(unseen, order))
        length, _, inputs = sequences.shape
        demo.log(f"Digits as {length} {order}")
        model = classifier(inputs, hidden)
        shown = partial(batch, images=images, labels=labels, order=order)
        demo.train(model, loss, shown, steps, quick, rate=0.01, cycle=True)
        with ag.no_grad():
            right = (model(sequences).numpy().argmax(1) == true).mean()
            held_for = model.predict_over_time(sequences[:, :1]).numpy()[:, 0]
        demo.record(f"right, read as {length} {order}", right, "%", **bounds)
        if order == "rows":
            demo.save(model, inputs=inputs, hidden=hidden)
        if order in ("rows", "pixels"):
            figure = draw(unseen[0], true[0], order, held_for)
            demo.save_figure(f"{order}.png", figure, f"what a digit is held for as {order} come")


def draw(digit, label, order, held_for):
    figure, (left, right) = subplots(1, 2, height=3.6, width_ratios=[1, 2])
    draw_image(left, digit, f"An unseen {label}", cmap="Greys")
    span = (0.5, len(held_for) + 0.5, 9.5, -0.5)
    draw_heat_map(right, held_for.T, "probability", rows=range(10), extent=span)
    right.set(xlabel=f"{order} read so far", ylabel="digit", title="What it is held for")
    return figure


def predict(run, input):
    """The digits in a file of images, one after the other."""
    images = data.read_images(input)
    model = run.load(classifier(**run.config))
    if images.shape[2] != run.config["inputs"]:
        raise InputError(
            f"{input}: images of {images.shape[1]} x {images.shape[2]} pixels, but the network has "
            f"learned to read rows of {run.config['inputs']}"
        )
    with ag.no_grad():
        print(*model(ag.tensor(read(images, "rows"))).numpy().argmax(1))
