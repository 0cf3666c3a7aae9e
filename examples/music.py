"""Music: a network learns tunes, goes on from an opening, and stays in its key.

    tinygrad-rnn demo music
    tinygrad-rnn demo music --data midis --out runs/music

A piece is read as a text of notes: which of a piano's 88 keys, and in how many steps the next one
begins, 0 within a chord. So the probability of a piece is a product over its notes, however many
sound together. (D. Eck & J. Schmidhuber, "Finding temporal structure in music: blues improvisation
with LSTM recurrent networks", 2002.) The tunes here are made by rules: 12 keys in major and minor,
chords below, and the form A A' B A', so that what comes was often heard 20 and more notes ago.
"""

import sys
from pathlib import Path

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.data.midi import as_roll, as_tokens, from_tokens, sound
from tinygrad_rnn.data.synthetic import BAR, tune
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.models.language import batch_first
from tinygrad_rnn.pictures import subplots

CLAIM = (
    "A network that has learned tunes foresees the next note better than a Markov chain of order "
    "3, since it keeps key, bar and melody in mind; what it composes stays in the key it was given."
)
DATA = "a folder of .mid files"
LONGEST, BETWEEN = 128, 0
"""Notes that are read in one piece, and the symbol that stands between pieces."""


def pieces_of(show):
    """Pieces to learn from, unseen ones, and the keys of the latter, if they are known."""
    if show.data is None:
        tunes = [tune(show.rng) for _ in range(show.choose(2500, 400))]
        notes, keys = zip(*tunes, strict=True)
        return notes[:-100], notes[-100:], keys[-100:]
    files = data.files_in(show.data, ".mid", ".midi")
    if len(files) < 2:
        raise InputError(f"{show.data}: holds one MIDI file; at least two are needed")
    pieces = [data.read_midi(files[i]) for i in show.rng.permutation(len(files))]
    held_out = max(1, len(files) // 5)
    return pieces[held_out:], pieces[:held_out], None


def numbered(pieces, known):
    """Texts of at most `LONGEST` notes, by the places of their tokens among the known ones, from 1
    on; a token that is not known is the nearest, as a rule the same key for another time."""
    texts = []
    for notes in pieces:
        tokens = as_tokens(notes)
        numbers = 1 + np.abs(tokens[:, None] - np.array(known)).argmin(1)
        texts += np.array_split(numbers, -(-len(numbers) // LONGEST))
    return texts


def loss(model, batch):
    texts, lengths = batch
    scores, _ = model(texts[:-1])
    beyond = np.arange(1, len(texts))[:, None] >= lengths
    targets = ag.where(ag.tensor(beyond), -100, texts[1:])
    mean = nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.reshape(-1))
    return mean, int(lengths.sum() - len(lengths))


def compose(model, known, notes, longest=80):
    """The notes of a piece that goes on after these."""
    opening = np.concatenate(numbered([notes], known))
    with ag.no_grad():
        _, state = model(ag.tensor(np.array([BETWEEN, *opening[:-1]])[:, None]))
    options = {"temperature": 0.8, "generator": ag.Generator(0)}
    start = ag.tensor(opening[-1:])
    (written,) = models.sample(model.step, batch_first(state), start, BETWEEN, longest, **options)
    piece = from_tokens(np.array(known)[np.array([*opening, *written.tokens]) - 1])
    wait = notes[-1].start - piece[len(notes) - 1].start
    return [*notes, *(note._replace(start=note.start + wait) for note in piece[len(notes) :])]


def language_model(known, hidden):
    return models.LanguageModel(1 + len(known), hidden=hidden, dropout=0.1)


def main(show):
    pieces, unseen, keys = pieces_of(show)
    known = sorted({int(token) for notes in pieces for token in as_tokens(notes)})
    train, test = numbered(pieces, known), numbered(unseen, known)
    framed = [np.array([BETWEEN, *text, BETWEEN]) for text in train]
    batches = data.DataLoader(framed, 32, shuffle=True, collate_fn=data.pad_collate)
    model = language_model(known, hidden=128)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=show.choose(900, 110)
    )
    trainer = training.Trainer(
        model, optimizer, loss, batches, schedule=schedule, schedule_per="step", clip=1
    )
    show.fit(trainer, 900, 110)
    model.eval()
    show.save(model, known=known, hidden=128)
    with ag.no_grad():
        mean = loss(model, data.pad_collate([np.array([BETWEEN, *t, BETWEEN]) for t in test]))[0]
    bits = mean.item() / np.log(2)
    chain = models.MarkovModel(10, 1 + len(known)).fit(np.concatenate(framed))
    framed_test = np.concatenate([*([BETWEEN, *text] for text in test), [BETWEEN]])
    _, *by_order = chain.bits_by_order(framed_test)
    rival = by_order[3]
    show.measured("surprise at a note, Markov of order 3", rival, "bits")
    show.measured("that of the best order up to 10", min(by_order), "bits")
    show.measured("surprise at a note, network", bits, "bits")
    show.measured("network, of Markov's", bits / rival, at_most=0.95, quick=1.1)
    openings = [[n for n in notes if n.start < notes[0].start + 2 * BAR] for notes in unseen[:30]]
    composed = [compose(model, known, notes) for notes in openings]
    if keys is not None:
        within = [
            note.key % 12 in key
            for piece, opening, key in zip(composed, openings, keys, strict=False)
            for note in piece[len(opening) :]
        ]
        share = np.mean(within)
        show.measured("composed in the opening's key", share, "%", at_least=0.95, quick=0.7)
        ends = np.array([piece[-1].start + piece[-1].length for piece in composed])
        show.measured("pieces that end after eight bars", (ends == 8 * BAR).mean(), "%")
    data.write_midi(show.path("composed.mid", "a piece, after an opening of two bars"), composed[0])
    data.write_wav(show.path("composed.wav", "the same, to be heard"), sound(composed[0]), 22050)
    show.picture("composed.png", draw(composed[0]), "the same as a piano roll")


def draw(piece):
    roll = as_roll([note._replace(start=note.start - piece[0].start) for note in piece])
    low, high = np.flatnonzero(roll.any(0))[[0, -1]]
    figure, axes = subplots(width=10, height=4)
    span = (0, len(roll) / BAR, -0.5, 87.5)
    axes.imshow(roll.T, "cividis", aspect="auto", origin="lower", extent=span)
    axes.axvline(2, color="white", linestyle=":")
    axes.set(ylim=(low - 2, high + 2), xlabel="bar", ylabel="key of the piano")
    axes.set_title("Composed after an opening of two bars")
    axes.grid(visible=False)
    return figure


def predict(run, input):
    """Write the continuation of a MIDI file beside it."""
    path = Path(input).with_name(Path(input).stem + "-continued.mid")
    if path.exists():
        raise InputError(f"{path} is there already, and would be lost: rename it")
    known = run.config["known"]
    model = run.load(language_model(**run.config))
    opening = data.read_midi(input)
    piece = compose(model, known, opening)
    data.write_midi(path, piece)
    print(f"{path}: {len(piece) - len(opening)} notes after the {len(opening)} of {input}")


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
