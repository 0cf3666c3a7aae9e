"""Video: many pictures to many words, and a word for every picture.

    tinygrad-rnn demo video

In small noisy films a shape moves, slowly or fast, bounces off the edge, and sometimes vanishes.
A network watches them, says at every frame what is happening, in step with the film, and when it is
over its last state is all that a second network has to tell in a sentence what has happened
(Donahue et al., "Long-term recurrent convolutional networks for visual recognition and
description", 2015). No single frame shows a movement: what one sees must be held against what was.
"""

from textwrap import fill

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.scenes import (
    EVENTS,
    FRAME_SIZE,
    MAX_FRAMES,
    VIDEO_WORDS,
    make_video,
)
from tinygrad_rnn.data.vocabulary import BEGIN, END, PADDING
from tinygrad_rnn.plotting import draw_image, subplots

CLAIM = (
    "From many to many, in two ways: a network names what happens in a film while it happens, and "
    "afterwards describes the whole film in a sentence of another length."
)
WORDS, NONE = data.TokenVocabulary(VIDEO_WORDS), -100


def batch(rng, size=32):
    """Films as features (T, B, 196) and their lengths, events (T, B) and sentences (T', B)."""
    examples = []
    for frames, events, words in (make_video(rng) for _ in range(size)):
        numbers = np.array([EVENTS.index(event) for event in events])
        examples.append((frames.reshape(-1, FRAME_SIZE**2), numbers, WORDS.encode_target(words)))
    padding = 0, NONE, PADDING
    frames, lengths, events, _, words, _ = data.pad_collate(examples, padding_value=padding)
    return frames, lengths, events, words


class Viewer(nn.Module):
    """A recurrent network that watches: each of its states is named, and the last one is told."""

    def __init__(self, hidden):
        self.gru = nn.GRU(FRAME_SIZE**2, hidden)
        self.events = nn.Linear(hidden, len(EVENTS))
        self.teller = models.Captioner(
            nn.Identity(), len(WORDS), nn.GRUCell(32, 64), feature_size=hidden
        )

    def forward(self, frames, lengths, words):
        """Scores of the events (T, B, events), and of what follows each word (T', B, words)."""
        states, last = self.gru(frames, lengths=lengths)
        return self.events(states), self.teller(last[0], words)

    def tell(self, frames, lengths):
        """The likeliest sentences, greedily."""
        state = self.teller.encode(self.gru(frames, lengths=lengths)[1][0])
        start = [BEGIN] * len(lengths)
        written = models.sample(self.teller.step, state, start, END, max_length=12, temperature=0)
        return [" ".join(WORDS.decode(sentence.tokens)) for sentence in written]


def loss(model, examples):
    frames, lengths, events, words = examples
    named, told = model(frames, lengths, words[:-1])
    named, told = named.reshape(-1, len(EVENTS)), told.reshape(-1, len(WORDS))
    naming = nn.functional.cross_entropy(named, events.ravel(), ignore_index=NONE)
    return naming + nn.functional.cross_entropy(told, words[1:].ravel(), ignore_index=PADDING)


def main(demo):
    model = Viewer(96)
    demo.train(model, loss, batch, steps=1500, quick=200, rate=0.005, cosine=True)
    frames, lengths, events, words = batch(demo.rng, 500)
    with ag.no_grad():
        named = ag.argmax(model(frames, lengths, words[:-1])[0], -1).numpy()
        told = model.tell(frames, lengths)
    counted = events.numpy() != NONE
    right, common = (named == events.numpy())[counted].mean(), np.bincount(events.numpy()[counted])
    wanted = [" ".join(WORDS.decode(sentence)) for sentence in words.numpy().T]
    exact = np.mean([a == b for a, b in zip(told, wanted, strict=True)])
    demo.record("sentences exact", exact, "%", at_least=0.95)
    demo.record("frames named right", right, "%", at_least=0.97, quick=0.8)
    demo.record("frames: the commonest name", common.max() / common.sum(), "%")

    frames, names = (
        frames.numpy().reshape(*named.shape, FRAME_SIZE, FRAME_SIZE),
        np.array(EVENTS)[named],
    )
    films = [(frames[:n, b], names[:n, b], told[b]) for b, n in enumerate(lengths)]
    demo.save_figure("films.png", draw(films[:4]), "what it says of films")
    animate(*max(films, key=lambda f: len(set(f[1]))), demo.path("film.gif", "one, as it runs"))


def draw(films):
    """Every second frame of films, with the name that it gets, beside the sentence."""
    figure, rows = subplots(len(films), 1 + MAX_FRAMES // 2, width=11, height=1.6 * len(films))
    for cell in rows.flat:
        cell.set_axis_off()
    for row, (frames, names, sentence) in zip(rows, films, strict=True):
        row[0].text(0, 0.5, fill(sentence, 13), va="center", fontweight="bold")
        for cell, frame, name in zip(row[1:], frames[::2], names[::2], strict=False):
            draw_image(cell, frame, name)
    return figure


def animate(frames, names, sentence, path):
    """A GIF of a film; the sentence comes when it is over."""
    figure, axes = subplots(width=4, height=4.4)

    def show(t):
        axes.clear()
        over = t >= len(frames)
        draw_image(axes, frames[-1 if over else t], fill(sentence, 30) if over else names[t])

    FuncAnimation(figure, show, len(frames) + 6).save(path, PillowWriter(fps=3))
