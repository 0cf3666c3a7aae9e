"""Words written backwards, without attention and with it: a vector is small, a memory grows.

    python examples/seq2seq_reverse.py [PICTURE]

Learns from random words of 3 to 10 letters, and prints how many words that it has never seen come
out right to the last letter. PICTURE (reverse.png) shows where the network looks as it writes one.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import autograd as ag
from tinygrad_rnn import models, nn, optim

LETTERS = "abcdefghijklmnopqrst"
START, END, SYMBOLS = 20, 21, 22
SHORTEST, LONGEST, BATCH, UPDATES = 3, 10, 32, 500
rng = np.random.default_rng(0)


def batch(size):
    """Words (T, B), their lengths, and what to write (T + 2, B): START, letters, END, END, ..."""
    lengths = rng.integers(SHORTEST, LONGEST + 1, size)
    source = rng.integers(0, len(LETTERS), (LONGEST, size))
    target = np.full((LONGEST + 2, size), END)
    target[0] = START
    for b, n in enumerate(lengths):
        target[1 : n + 1, b] = source[:n, b][::-1]
    return source, lengths, target


def learn(attention):
    """A model that has seen UPDATES batches."""
    ag.manual_seed(0)
    encoder = nn.GRU(16, 32, bidirectional=True)
    model = models.EncoderDecoder(SYMBOLS, SYMBOLS, encoder, attention)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(UPDATES):
        source, lengths, target = batch(BATCH)
        scores = model(source, lengths, target[:-1])
        loss = nn.functional.cross_entropy(scores.reshape(-1, SYMBOLS), target[1:].ravel())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def right(model, source, lengths):
    """Whether each word is written backwards without a mistake."""
    state, start = model.encode(source, lengths), [START] * len(lengths)
    written = models.beam_search(model.step, state, start, END, LONGEST + 1, width=4)
    wanted = [source[:n, b][::-1].tolist() for b, n in enumerate(lengths)]
    return np.array([best.tokens == word for best, word in zip(written, wanted, strict=True)])


def picture(model, source, lengths, target, path):
    """The weights of the attention for the first word: a row for each letter that is written."""
    n = int(lengths[0])
    weights = model.alignment(source[:, :1], lengths[:1], target[: n + 1, :1])
    word = [LETTERS[i] for i in source[:n, 0]]
    figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
    axes.imshow(weights.numpy()[0, :, :n], cmap="Greys", vmin=0, vmax=1)
    axes.set(xlabel="read", ylabel="written")
    axes.set_xticks(range(n), word)
    axes.set_yticks(range(n + 1), [*word[::-1], "end"])
    figure.savefig(path, dpi=150)


path = sys.argv[1] if len(sys.argv) > 1 else "reverse.png"
without, additive = learn(None), learn(nn.AdditiveAttention)
source, lengths, target = batch(1000)
found = [right(model, source, lengths) for model in (without, additive)]
print("letters   right without   with attention")
for shortest in range(SHORTEST, LONGEST, 2):
    these = (lengths == shortest) | (lengths == shortest + 1)
    shares = [hits[these].mean() for hits in found]
    print(f"{shortest:2d} to {shortest + 1:2d} {shares[0]:15.1%} {shares[1]:16.1%}")
print(f"all      {found[0].mean():15.1%} {found[1].mean():16.1%}")
picture(additive, source, lengths, target, path)
print(f"{path} shows where the network looks as it writes.")
