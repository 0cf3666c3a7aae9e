"""Music: a network learns tunes, goes on from an opening, and stays in its key.

    tinygrad-rnn demo music
    tinygrad-rnn demo music --data midis --out runs/music

A piece is read as a text of notes: which of a piano's 88 keys, and in how many steps the next one
begins, 0 within a chord. So the probability of a piece is a product over its notes, however many
sound together. (D. Eck & J. Schmidhuber, "Finding temporal structure in music: blues improvisation
with LSTM recurrent networks", 2002.) The tunes here are made by rules: 12 keys in major and minor,
chords below, and the form A A' B A', so that what comes was often heard 20 and more notes ago.
"""

import os
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.formats.midi import NoteVocabulary, piano_roll, synthesize
from tinygrad_rnn.data.generators.synthetic import STEPS_PER_BAR, make_tune
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import draw_heat_map, subplots

CLAIM = (
    "A network that has learned tunes foresees the next note better than a Markov chain of order "
    "3, since it keeps key, bar and melody in mind; what it composes stays in the key it was given."
)
DATA = "a folder of .mid files; subfolders are entered"
LONGEST, CONTEXT, BETWEEN, NONE = 128, 32, 0, -100
"""The most symbols of a part that are predicted, the symbols before them that a part also reads,
the symbol between pieces, and the target where nothing is predicted."""
TRIES = 10
"""Continuations that are drawn, at most, until one has a note."""


def pieces_of(demo):
    """Pieces to learn from, unseen ones, and the keys of the latter, if they are known."""
    if demo.data is None:
        notes, keys = zip(
            *(make_tune(demo.rng) for _ in range(demo.choose(2500, 400))), strict=True
        )
        return notes[:-100], notes[-100:], keys[-100:]
    found = data.read_folder(demo.data, data.read_midi, ".mid", ".midi", at_least=2)
    pieces = [found[i] for i in demo.rng.permutation(len(found))]
    held_out = max(1, len(pieces) // 5)
    return pieces[held_out:], pieces[:held_out], None


def texts_of(pieces, notation):
    """One text for each piece, between two symbols `BETWEEN`."""
    return [np.array([BETWEEN, *notation.encode(notes), BETWEEN]) for notes in pieces]


def parts_of(text):
    """Pairs of symbols and the symbols that follow them, which together predict each symbol once.

    A part that begins within the piece has no symbol `BETWEEN` at its start, but the `CONTEXT`
    symbols before it, with masked targets. So the network learns where pieces begin and end, and
    not where they were cut.
    """
    count = len(text) - 1
    cuts = np.linspace(0, count, -(-count // LONGEST) + 1).astype(int).tolist()
    parts = []
    for start, end in pairwise(cuts):
        begin = max(0, start - CONTEXT)
        following = text[begin + 1 : end + 1].copy()
        following[: start - begin] = NONE
        parts.append((text[begin:end], following))
    return parts


batch = partial(data.pad_collate, padding_value=(BETWEEN, NONE))


def loss(model, examples):
    symbols, _, following, _ = examples
    scores = model(symbols)[0].reshape(following.size, -1)
    return nn.functional.cross_entropy(scores, following.ravel(), ignore_index=NONE)


def compose(model, notation, notes, longest=80):
    """Return these notes and a continuation. It has no notes if the piece ends in all `TRIES`."""
    *before, last = notation.encode(notes)
    state = model.encode(np.array([BETWEEN, *before])[:, None])
    options = {"temperature": 0.8, "generator": ag.Generator(0)}
    for _ in range(TRIES):
        (written,) = models.sample(model.step, state, [last], BETWEEN, longest, **options)
        if written.tokens:
            break
    _, *following = notation.decode([last, *written.tokens])
    return notes + [note._replace(start=note.start + notes[-1].start) for note in following]


def language_model(known, hidden):
    return models.LanguageModel(1 + len(known), hidden=hidden, dropout=0.1)


def main(demo):
    pieces, unseen, keys = pieces_of(demo)
    notation = NoteVocabulary.from_pieces(pieces)
    train, test = texts_of(pieces, notation), texts_of(unseen, notation)
    parts = [part for text in train for part in parts_of(text)]
    batches = data.DataLoader(parts, 32, shuffle=True, collate_fn=batch)
    model = language_model(notation.tokens, hidden=128)
    demo.train(model, loss, batches, steps=900, quick=110, rate=0.01, cycle=True)
    demo.save(model, known=notation.tokens, hidden=128)
    with ag.no_grad():
        bits = loss(model, batch([part for text in test for part in parts_of(text)])).item()
    bits /= np.log(2)
    learned, unseen_text = (np.concatenate([[BETWEEN], *(t[1:] for t in x)]) for x in (train, test))
    chain = models.MarkovModel(10, len(notation)).fit(learned)
    _, *by_order = chain.bits_by_order(unseen_text)
    demo.record("surprise at a note, Markov of order 3", by_order[3], "bits")
    demo.record("that of the best order up to 10", min(by_order), "bits")
    demo.record("surprise at a note, network", bits, "bits")
    demo.record("network, of Markov's", bits / by_order[3], at_most=0.95, quick=1.1)
    openings = [
        [n for n in notes if n.start < notes[0].start + 2 * STEPS_PER_BAR] for notes in unseen[:30]
    ]
    composed = [compose(model, notation, notes) for notes in openings]
    if keys is not None:
        triples = zip(composed, openings, keys[:30], strict=True)
        share = np.mean([n.key % 12 in key for p, own, key in triples for n in p[len(own) :]])
        demo.record("composed in the opening's key", share, "%", at_least=0.95, quick=0.7)
        ends = np.array([piece[-1].start + piece[-1].length for piece in composed])
        demo.record("pieces that end after eight bars", (ends == 8 * STEPS_PER_BAR).mean(), "%")
    data.write_midi(demo.path("composed.mid", "a piece, after an opening of two bars"), composed[0])
    data.write_wav(
        demo.path("composed.wav", "the same, to be heard"), synthesize(composed[0]), 22050
    )
    demo.save_figure("composed.png", draw(composed[0]), "the same as a piano roll")


def draw(piece):
    roll = piano_roll(piece)[piece[0].start :]
    low, high = np.flatnonzero(roll.any(0))[[0, -1]]
    figure, axes = subplots(width=10, height=4)
    draw_heat_map(axes, roll.T, origin="lower", extent=(0, len(roll) / STEPS_PER_BAR, -0.5, 87.5))
    axes.axvline(2, color="white", linestyle=":")
    axes.set(ylim=(low - 2, high + 2), xlabel="bar", ylabel="key of the piano")
    axes.set_title("Composed after an opening of two bars")
    return figure


def predict(run, input):
    """Write the continuation of a MIDI file beside it."""
    opening, model = data.read_midi(input), run.load(language_model(**run.config))
    name = Path("piece.mid" if input == "-" else input)
    path = name.with_name(f"{name.stem}-continued.mid")
    if os.path.lexists(path):
        raise InputError(f"{path} exists already and would be lost: rename it")
    piece = compose(model, NoteVocabulary(tuple(run.config["known"])), opening)
    if len(piece) == len(opening):
        raise InputError(
            f"{input}: 0 notes were written, since the network takes its notes for a whole piece"
        )
    data.write_midi(path, piece)
    print(f"{path}: {len(piece) - len(opening)} notes after the {len(opening)} of {input}")
