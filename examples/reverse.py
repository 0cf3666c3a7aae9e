"""Words written backwards, with attention and without: what one vector cannot hold, a memory can.

    python examples/reverse.py [PICTURE]

Learns from random words of 3 to 12 letters, and prints how many words that it has never seen come
out right to the last letter. The picture (reverse.png) shows where the network looks as it writes.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import autograd as ag
from tinygrad_rnn import models, nn, optim

LETTERS, START, END = "abcdefghijklmnopqrst", 20, 21
SYMBOLS, LONGEST, BATCH, UPDATES = 22, 12, 64, 400

words = np.random.default_rng(0)


def batch(size):
    """Words (T, B), their lengths, and what to write (T + 2, B): START, the letters, END, END..."""
    lengths = words.integers(3, LONGEST + 1, size)
    source = words.integers(0, len(LETTERS), (LONGEST, size))
    target = np.full((LONGEST + 2, size), END)
    target[0] = START
    for b, n in enumerate(lengths):
        target[1 : n + 1, b] = source[:n, b][::-1]
    return source, lengths, target


def learn(attention):
    ag.manual_seed(0)
    encoder = nn.GRU(24, 48, bidirectional=True)
    model = models.EncoderDecoder(SYMBOLS, SYMBOLS, encoder, attention)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for update in range(UPDATES):
        source, lengths, target = batch(BATCH)
        scores = model(source, lengths, target[:-1])
        loss = nn.functional.cross_entropy(scores.reshape(-1, SYMBOLS), target[1:].ravel())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def right(model, source, lengths):
    """For each word whether it is written backwards without a mistake."""
    state = model.encode(source, lengths)
    written = models.beam_search(
        model.step, state, [START] * len(lengths), END, LONGEST + 1, width=4
    )
    return np.array(
        [
            best.tokens == source[:n, b][::-1].tolist()
            for b, (best, n) in enumerate(zip(written, lengths))
        ]
    )


import time

source, lengths, target = batch(500)
for name, attention in (
    ("none", None),
    ("general", nn.GeneralAttention),
    ("additive", nn.AdditiveAttention),
):
    t = time.time()
    model = learn(attention)
    t1 = time.time()
    hit = right(model, source, lengths)
    print(
        name,
        t1 - t,
        time.time() - t1,
        hit.mean(),
        [hit[(lengths >= a) & (lengths < a + 3)].mean() for a in (3, 6, 9, 12)],
    )
