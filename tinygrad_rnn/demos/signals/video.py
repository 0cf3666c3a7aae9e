"""Video: label every frame, and describe the whole video in a sentence.

    tinygrad-rnn demo video

This demo reads short noisy videos in which a shape moves slowly or fast, bounces off the edges, and
sometimes vanishes. A GRU labels the event in each frame while the video runs. From its last state,
a second network generates a sentence about the whole video (Donahue et al., "Long-term recurrent
convolutional networks for visual recognition and description", 2015). A single frame does not show
a movement, so the network must compare frames.
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
    "Many to many in two ways: a network labels the events of a video frame by frame, and then "
    "describes the video in a sentence of another length."
)
VOCABULARY, IGNORED = data.TokenVocabulary(VIDEO_WORDS), -100


def batch(rng, size=32):
    """Return videos (T, B, 196), their lengths, events (T, B) and sentences (T', B)."""
    examples = []
    for frames, events, words in (make_video(rng) for _ in range(size)):
        labels = np.array([EVENTS.index(event) for event in events])
        examples.append(
            (frames.reshape(-1, FRAME_SIZE**2), labels, VOCABULARY.encode_target(words))
        )
    padding = 0, IGNORED, PADDING
    frames, lengths, events, _, words, _ = data.pad_collate(examples, padding_value=padding)
    return frames, lengths, events, words


class VideoModel(nn.Module):
    """A GRU over frames whose states are labeled, and whose last state starts a decoder."""

    def __init__(self, hidden):
        self.gru = nn.GRU(FRAME_SIZE**2, hidden)
        self.events = nn.Linear(hidden, len(EVENTS))
        self.captioner = models.Captioner(
            nn.Identity(), len(VOCABULARY), nn.GRUCell(32, 64), feature_size=hidden
        )

    def forward(self, frames, lengths, words):
        """Return scores of the events (T, B, events) and of the next words (T', B, words)."""
        states, last = self.gru(frames, lengths=lengths)
        return self.events(states), self.captioner(last[0], words)

    def describe(self, frames, lengths):
        """Return a sentence for each video, by greedy decoding."""
        state = self.captioner.encode(self.gru(frames, lengths=lengths)[1][0])
        start = [BEGIN] * len(lengths)
        sequences = models.sample(
            self.captioner.step, state, start, END, max_length=12, temperature=0
        )
        return [" ".join(VOCABULARY.decode(sequence.tokens)) for sequence in sequences]


def loss(model, batch):
    frames, lengths, events, words = batch
    event_scores, word_scores = model(frames, lengths, words[:-1])
    cross_entropy = nn.functional.cross_entropy
    event_loss = cross_entropy(
        event_scores.reshape(-1, len(EVENTS)), events.ravel(), ignore_index=IGNORED
    )
    word_loss = cross_entropy(
        word_scores.reshape(-1, len(VOCABULARY)), words[1:].ravel(), ignore_index=PADDING
    )
    return event_loss + word_loss


def main(demo):
    model = VideoModel(96)
    demo.train(model, loss, batch, steps=1500, quick=200, rate=0.005, cosine=True)
    frames, lengths, events, words = batch(demo.rng, 500)
    with ag.no_grad():
        predicted = ag.argmax(model(frames, lengths, words[:-1])[0], -1).numpy()
        sentences = model.describe(frames, lengths)
    events = events.numpy()
    valid = events != IGNORED
    accuracy, counts = (predicted == events)[valid].mean(), np.bincount(events[valid])
    expected = [" ".join(VOCABULARY.decode(sentence)) for sentence in words.numpy().T]
    exact = np.mean([a == b for a, b in zip(sentences, expected, strict=True)])
    demo.record("exact sentences", exact, "%", at_least=0.95)
    demo.record("frame accuracy", accuracy, "%", at_least=0.97, quick=0.8)
    demo.record("most frequent event", counts.max() / counts.sum(), "%")

    frames = frames.numpy().reshape(*predicted.shape, FRAME_SIZE, FRAME_SIZE)
    names = np.array(EVENTS)[predicted]
    videos = [(frames[:n, b], names[:n, b], sentences[b]) for b, n in enumerate(lengths)]
    demo.save_figure("films.png", draw(videos[:4]), "frames, their labels, and the sentences")
    most_events = max(videos, key=lambda video: len(set(video[1])))
    animate(*most_events, demo.path("film.gif", "one video with its labels"))


def draw(videos):
    """Draw every second frame of videos with its label, beside the sentence."""
    figure, rows = subplots(len(videos), 1 + MAX_FRAMES // 2, width=11, height=1.6 * len(videos))
    for cell in rows.flat:
        cell.set_axis_off()
    for row, (frames, names, sentence) in zip(rows, videos, strict=True):
        row[0].text(0, 0.5, fill(sentence, 13), va="center", fontweight="bold")
        for cell, frame, name in zip(row[1:], frames[::2], names[::2], strict=False):
            draw_image(cell, frame, name)
    return figure


def animate(frames, names, sentence, path):
    """Write a GIF of a video with its labels; the sentence appears at the end."""
    figure, axes = subplots(width=4, height=4.4)

    def draw_frame(t):
        axes.clear()
        ended = t >= len(frames)
        draw_image(axes, frames[-1 if ended else t], fill(sentence, 30) if ended else names[t])

    FuncAnimation(figure, draw_frame, len(frames) + 6).save(path, PillowWriter(fps=3))
