"""Handwritten digits, read as sequences.

    tinygrad-rnn demo handwriting
    tinygrad-rnn demo handwriting --data mnist --out runs/digits

A picture becomes a sequence by reading it: row by row, patch by patch, pixel by pixel, or pixel by
pixel in an order drawn by lot, which takes all nearness away (Q. V. Le, N. Jaitly & G. E. Hinton,
"A simple way to initialize recurrent networks of rectified linear units", 2015). The 1797 digits of
8 x 8 pixels are scikit-learn's, a fifth of them held out; the others are shifted by up to a pixel
each time they are read.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.pictures import subplots

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
    count, side = len(images), images.shape[1]
    if order == "rows":
        return images.swapaxes(0, 1)
    if order == "patches":
        patch = side // 4
        blocks = images[:, : 4 * patch, : 4 * patch].reshape(count, 4, patch, 4, patch)
        return blocks.transpose(1, 3, 0, 2, 4).reshape(16, count, patch * patch)
    pixels = images.reshape(count, -1).T[:, :, None]
    shuffled = np.random.default_rng(0).permutation(len(pixels))
    return pixels[shuffled] if order == "shuffled pixels" else pixels


def shifted(rng, images):
    """Each image, moved by up to one pixel in both directions, or not."""
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    places = rng.integers(3, size=(len(images), 2))
    moved = [p[y : y + height, x : x + width] for p, (y, x) in zip(padded, places, strict=True)]
    return np.stack(moved)


def classifier(inputs, hidden):
    """Pixel by pixel it is hard enough without dropout."""
    dropout = 0.3 if inputs > 1 else 0.0
    return models.SequenceClassifier(nn.GRU(inputs, hidden), classes=10, dropout=dropout)


def loss(model, batch):
    sequences, labels = batch
    return nn.functional.cross_entropy(model(sequences), labels)


def learn(show, images, labels, order, hidden, steps, quick):
    """A classifier that has read shifted images in this order, 64 in each batch."""

    def make(rng):
        chosen = rng.integers(len(images), size=64)
        sequences = read(shifted(rng, images[chosen]), order)
        return ag.tensor(sequences), ag.tensor(labels[chosen])

    model = classifier(read(images[:1], order).shape[2], hidden)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=show.choose(steps, quick)
    )
    trainer = training.Trainer(
        model, optimizer, loss, data.Generated(make), schedule=schedule, schedule_per="step", clip=1
    )
    show.say(f"Digits as {order}")
    show.fit(trainer, steps, quick)
    return model.eval()


def own_or_digits(show):
    """Images and labels to learn from, and held-out ones."""
    if show.data is None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images, labels = (digits.images / 16).astype(np.float32), digits.target
    else:
        images, labels = data.read_mnist(show.data)
        if labels.min() < 0 or labels.max() > 9 or len(images) < 50 or images.shape[1] < 4:
            raise InputError(
                f"{show.data}: at least 50 images of 4 x 4 pixels or more, labelled 0 to 9, are "
                f"needed, not {len(images)} of {images.shape[1]} x {images.shape[2]} pixels"
            )
    order = show.rng.permutation(len(images))
    test, train = np.split(order, [min(len(images) // 5, 10000)])
    return images[train], labels[train], images[test], labels[test]


def main(show):
    images, labels, unseen, true = own_or_digits(show)
    hidden = 64 if len(images) < 10_000 else 128
    for order, (steps, quick, bounds) in ORDERS.items():
        if (show.quick and not quick) or (show.data is not None and order != "rows"):
            continue
        model = learn(show, images, labels, order, hidden, steps, quick)
        sequences = ag.tensor(read(unseen, order))
        with ag.no_grad():
            right = (model(sequences).numpy().argmax(1) == true).mean()
            beliefs = ag.softmax(model.scores(model.read(sequences[:, :1], None))).numpy()[:, 0]
        length, _, inputs = sequences.shape
        show.measured(f"right, read as {length} {order}", right, "%", **bounds)
        if order == "rows":
            show.save(model, inputs=inputs, hidden=hidden)
        if order in ("rows", "pixels"):
            figure = draw(unseen[0], true[0], order, beliefs)
            show.picture(
                f"{order}.png", figure, f"what the network holds a digit for as {order} come"
            )


def draw(image, digit, order, beliefs):
    figure, (left, right) = subplots(1, 2, height=3.6, width_ratios=[1, 2])
    left.imshow(image, cmap="Greys", aspect="equal")
    left.set(title=f"An unseen {digit}", xticks=[], yticks=[])
    left.grid(visible=False)
    span = (0.5, len(beliefs) + 0.5, 9.5, -0.5)
    shown = right.imshow(beliefs.T, "cividis", aspect="auto", vmin=0, vmax=1, extent=span)
    right.set(
        xlabel=f"{order} read so far", ylabel="digit", yticks=range(10), title="What it is held for"
    )
    right.grid(visible=False)
    figure.colorbar(shown, ax=right, label="probability")
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


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
