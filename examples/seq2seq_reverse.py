"""Sequence to sequence: reverse words, with and without attention.

    python examples/seq2seq_reverse.py [FIGURE]

Trains on random words of 3 to 10 letters, and prints the fraction of unseen words that are reversed
without a mistake. FIGURE (reverse.png) shows the attention weights for one word.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import autograd as ag
from tinygrad_rnn import models, nn, optim

LETTERS = "abcdefghijklmnopqrst"
START, END, SYMBOLS = 20, 21, 22
MIN_LENGTH, MAX_LENGTH, BATCH_SIZE, UPDATES = 3, 10, 32, 500
rng = np.random.default_rng(0)


def make_batch(size):
    """Return words (T, B), lengths (B,), and targets (T + 2, B): START, reversed letters, END."""
    lengths = rng.integers(MIN_LENGTH, MAX_LENGTH + 1, size)
    source = rng.integers(0, len(LETTERS), (MAX_LENGTH, size))
    target = np.full((MAX_LENGTH + 2, size), END)
    target[0] = START
    for b, n in enumerate(lengths):
        target[1 : n + 1, b] = source[:n, b][::-1]
    return source, lengths, target


def train(attention):
    """Return a trained model."""
    ag.manual_seed(0)
    encoder = nn.GRU(16, 32, bidirectional=True)
    model = models.EncoderDecoder(SYMBOLS, SYMBOLS, encoder, attention)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(UPDATES):
        source, lengths, target = make_batch(BATCH_SIZE)
        scores = model(source, lengths, target[:-1])
        loss = nn.functional.cross_entropy(scores.reshape(-1, SYMBOLS), target[1:].ravel())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def is_correct(model, source, lengths):
    """Return True for each word that beam search reverses without a mistake."""
    state, start = model.encode(source, lengths), [START] * len(lengths)
    outputs = models.beam_search(model.step, state, start, END, MAX_LENGTH + 1, width=4)
    expected = [source[:n, b][::-1].tolist() for b, n in enumerate(lengths)]
    return np.array([out.tokens == word for out, word in zip(outputs, expected, strict=True)])


def plot_attention(model, source, lengths, target, path):
    """Plot the attention weights of the first word: one row for each output letter."""
    n = int(lengths[0])
    weights = model.alignment(source[:, :1], lengths[:1], target[: n + 1, :1])
    word = [LETTERS[i] for i in source[:n, 0]]
    figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
    axes.imshow(weights.numpy()[0, :, :n], cmap="Greys", vmin=0, vmax=1)
    axes.set(xlabel="input", ylabel="output")
    axes.set_xticks(range(n), word)
    axes.set_yticks(range(n + 1), [*word[::-1], "end"])
    figure.savefig(path, dpi=150)


path = sys.argv[1] if len(sys.argv) > 1 else "reverse.png"
plain, attentive = train(None), train(nn.AdditiveAttention)
source, lengths, target = make_batch(1000)
correct = [is_correct(model, source, lengths) for model in (plain, attentive)]
print("letters   without attention   with attention")
for shortest in range(MIN_LENGTH, MAX_LENGTH, 2):
    group = (lengths == shortest) | (lengths == shortest + 1)
    fractions = [hits[group].mean() for hits in correct]
    print(f"{shortest:2d} to {shortest + 1:2d} {fractions[0]:19.1%} {fractions[1]:16.1%}")
print(f"all      {correct[0].mean():19.1%} {correct[1].mean():16.1%}")
plot_attention(attentive, source, lengths, target, path)
print(f"attention weights: {path}")
