"""Handwritten digits: classify images that are read as sequences.

    tinygrad-rnn demo handwriting
    tinygrad-rnn demo handwriting --data mnist --out runs/digits

This demo classifies digits that a GRU reads row by row, patch by patch, pixel by pixel, or pixel by
pixel in a fixed random order, which removes all spatial locality (Q. V. Le, N. Jaitly & G. E.
Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015). The data
are the 1797 digits of 8 x 8 pixels from scikit-learn; a fifth of them is held out, and the others
are shifted randomly by up to one pixel.
"""

from functools import partial

import numpy as np
from sklearn.datasets import load_digits

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import draw_heat_map, draw_image, subplots

CLAIM = (
    "A recurrent network recognizes digits that it reads one row at a time, and even one pixel at "
    "a time, when it must remember all pixels it has read."
)
DATA = "a folder with MNIST's files, train-images-idx3-ubyte and train-labels-idx1-ubyte (or .gz)"
ORDERS = {
    "rows": (1000, 250, {"at_least": 0.97, "quick": 0.9}),
    "patches": (600, 0, {}),
    "pixels": (1600, 0, {"at_least": 0.95}),
    "shuffled pixels": (800, 0, {}),
}
"""Training steps, steps in a quick run (0: omitted), and the target for each reading order."""


def to_sequences(images, order):
    """Return images (B, side, side) as sequences (T, B, I)."""
    if order == "rows":
        return images.swapaxes(0, 1)
    if order == "patches":
        patch = images.shape[1] // 4
        blocks = images[:, : 4 * patch, : 4 * patch].reshape(-1, 4, patch, 4, patch)
        return blocks.transpose(1, 3, 0, 2, 4).reshape(16, -1, patch * patch)
    pixels = images.reshape(len(images), -1).T[:, :, None]
    return pixels if order == "pixels" else np.random.default_rng(0).permutation(pixels)


def batch(rng, images, labels, order):
    """Return 64 randomly shifted images as sequences, and their labels."""
    chosen = rng.integers(len(images), size=64)
    sequences = to_sequences(data.random_shift(rng, images[chosen]), order)
    return ag.tensor(sequences), ag.tensor(labels[chosen])


def build_model(inputs, hidden):
    dropout = 0.3 if inputs > 1 else 0  # reading single pixels is hard enough without dropout
    return models.SequenceClassifier(nn.GRU(inputs, hidden), 10, dropout=dropout)


def loss(model, examples):
    sequences, labels = examples
    return nn.functional.cross_entropy(model(sequences), labels)


def load_images(demo):
    """Return images and labels for training, and images and labels for test."""
    if demo.data is None:
        digits = load_digits()
        images, labels = (digits.images / 16).astype(np.float32), digits.target
    else:
        images, labels = data.read_mnist(demo.data)
        if labels.min() < 0 or labels.max() > 9 or len(images) < 50 or images.shape[1] < 4:
            raise InputError(
                f"{demo.data}: expected at least 50 images of 4 x 4 pixels or more with labels 0 "
                f"to 9, got {len(images)} images of {images.shape[1]} x {images.shape[2]} pixels "
                f"with labels {labels.min()} to {labels.max()}"
            )
    order = demo.rng.permutation(len(images))
    test, train = np.split(order, [min(len(images) // 5, 10000)])
    return images[train], labels[train], images[test], labels[test]


def main(demo):
    images, labels, test_images, test_labels = load_images(demo)
    hidden = 64 if len(images) < 10_000 else 128
    for order, (steps, quick, bounds) in ORDERS.items():
        if (demo.quick and not quick) or (demo.data is not None and order != "rows"):
            continue
        sequences = ag.tensor(to_sequences(test_images, order))
        length, _, inputs = sequences.shape
        demo.log(f"Reading digits as {length} {order}")
        model = build_model(inputs, hidden)
        batches = partial(batch, images=images, labels=labels, order=order)
        demo.train(model, loss, batches, steps, quick, rate=0.01, cycle=True)
        with ag.no_grad():
            accuracy = (model(sequences).numpy().argmax(1) == test_labels).mean()
            p = model.predict_over_time(sequences[:, :1]).numpy()[:, 0]
        demo.record(f"accuracy, {length} {order}", accuracy, "%", **bounds)
        if order == "rows":
            demo.save(model, inputs=inputs, hidden=hidden)
        if order in ("rows", "pixels"):
            figure = draw(test_images[0], test_labels[0], order, p)
            caption = f"class probabilities while the network reads {order}"
            demo.save_figure(f"{order}.png", figure, caption)


def draw(digit, label, order, p):
    """Draw a digit, and the class probabilities after each element of its sequence."""
    figure, (left, right) = subplots(1, 2, height=3.6, width_ratios=[1, 2])
    draw_image(left, digit, f"Test image of a {label}", cmap="Greys")
    extent = (0.5, len(p) + 0.5, 9.5, -0.5)
    draw_heat_map(right, p.T, "probability", rows=range(10), extent=extent)
    right.set(xlabel=f"{order} read", ylabel="digit", title="Class probabilities over time")
    return figure


def predict(run, input):
    """Print the digits in a file of images."""
    images = data.read_images(input)
    model = run.load(build_model(**run.config))
    if images.shape[2] != run.config["inputs"]:
        raise InputError(
            f"{input}: expected images with rows of {run.config['inputs']} pixels, as in training, "
            f"got images of {images.shape[1]} x {images.shape[2]} pixels"
        )
    with ag.no_grad():
        print(*model(ag.tensor(to_sequences(images, "rows"))).numpy().argmax(1))
