"""Gates at work: what an LSTM lets in, forgets and shows, and units that mean something.

    tinygrad-rnn demo gates

A character LSTM reads Python's documentation, and is watched while it reads what it has not seen:
input gate i, forget gate f, output gate o and memory c of every unit at every character. Nobody
told it what a word or a quotation is; yet single units follow them, since it helps to foresee the
next character (Karpathy, Johnson & Fei-Fei 2015, "Visualizing and understanding recurrent
networks", section 4.2). Units are found in one half of that text and measured in
the other.
"""

import numpy as np

from tinygrad_rnn import data, insight, models, nn, training
from tinygrad_rnn.plotting import COLORS, subplots
from tinygrad_rnn.tasks import language_modeling

CLAIM = (
    "Gates open and close with the text, and some units of the memory can be read: one follows the "
    "letters of a word, one knows whether a quotation is open."
)
STREAMS, WARM = 24, 100
NAMES = {"i": "input gate i", "f": "forget gate f", "o": "output gate o", "c": "memory tanh(c)"}
FOLLOWED = {"letters of a word": 0.4, "inside quotation marks": 0.35}


def features(text):
    """What a reader knows after each character: by name, arrays (T, STREAMS) as `read` has them."""
    column = indentation = quoted = letters = 0
    known = []
    for before, character in zip("\n" + text, text, strict=False):
        letters = letters + 1 if character.isalnum() else 0
        quoted = 0 if before == character == "\n" else quoted ^ (character == '"')
        column = 0 if character == "\n" else column + 1
        if character == "\n" or (character == " " and indentation == column - 1):
            indentation = column
        known.append((letters, quoted, indentation, column))
    names = "letters of a word", "inside quotation marks", "indentation", "position in the line"
    columns = np.array(known, float).T.reshape(len(names), STREAMS, -1)
    return {name: values.T for name, values in zip(names, columns, strict=True)}


def read(model, vocabulary, text):
    """The gates and the memory over a text in STREAMS parts: (T, STREAMS, H) each."""
    with insight.capture(model) as runs:
        model(vocabulary.encode(text).reshape(STREAMS, -1).T)
    return {name: runs[0][name].numpy() for name in "ifo"} | {"c": np.tanh(runs[0]["c"].numpy())}


def correlations(units, values):
    """How units (T, n, H) go with a feature of the text (T, n): (H), from -1 to 1."""
    x, y = units.reshape(-1, units.shape[-1]), values.ravel()
    x, y = x - x.mean(0), y - y.mean()
    return y @ x / np.sqrt((x**2).sum(0) * (y**2).sum() + 1e-12)


def loss(model, window):
    inputs, targets = window
    scores = model(inputs)
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.ravel())


def main(demo):
    corpus = data.TextCorpus.default()
    vocabulary = corpus.vocabulary
    learned, *others = corpus.split((0.9, 0.05, 0.05))
    model = models.LanguageModel(len(vocabulary), embed=32, hidden=128)
    windows = list(data.StatefulBatches(vocabulary.encode(learned), 32, 64))
    bptt = training.TruncatedBPTT(64)
    demo.train(model, loss, windows, 1200, 130, rate=0.01, cosine=True, bptt=bptt)

    rest = "".join(others)
    bits = language_modeling.bits_per_character(model, vocabulary.encode(rest))
    demo.record("bits per character, unseen text", bits, "bits", at_most=2.1, quick=3.4)
    rest = rest[: STREAMS * demo.choose(len(rest) // STREAMS, 300)]
    seen, known = read(model, vocabulary, rest), features(rest)
    units = {}
    for name, values in known.items():
        even, odd = (correlations(seen["c"][WARM:, k::2], values[WARM:, k::2]) for k in (0, 1))
        units[name] = unit = int(np.abs(odd).argmax())
        r = even[unit] * np.sign(odd[unit])
        demo.record(f"{name}: |r|, unit {unit}", r, at_least=FOLLOWED.get(name))
    demo.record("forget gates, mean", seen["f"][WARM:].mean(), "%")

    T, piece = len(seen["c"]), slice(WARM, WARM + 700)
    stream = int(np.argmax(known["inside quotation marks"][: WARM + 70].sum(0)))
    text = rest[stream * T : (stream + 1) * T][piece]
    shown = {name: values[piece, stream] for name, values in (seen | known).items()}
    rows = {f"{name} (unit {units[name]})": shown["c"][:, units[name]] for name in FOLLOWED}
    unit = units["inside quotation marks"]
    rows |= {f"{NAMES[gate]} of unit {unit}": shown[gate][:, unit] for gate in "ifo"}
    page = insight.colored_text(text, rows, "What an LSTM's units see")
    demo.path("units.html", "a text in the colours of units; choose one").write_text(page, "utf-8")

    figure, axes = subplots(4, 1, width=12, height=11)
    most = np.argsort(-shown["c"][:70].std(0))[:16]  # the units whose memory changes most
    for ax, (gate, name) in zip(axes, NAMES.items(), strict=True):
        insight.draw_over_text(shown[gate][:70, most], text[:70], name, name, axes=ax)
    demo.save_figure("gates.png", figure, "gates and memory over unseen text")

    figure, axes = subplots(len(FOLLOWED), 1, width=11, height=5.5, sharex=True)
    for ax, name in zip(axes, FOLLOWED, strict=True):
        ax.plot(shown["c"][:250, units[name]], color=COLORS[0])
        ax.set(ylabel=f"unit {units[name]}: tanh(c)", title=f"{name} (dashed), and a unit")
        other = ax.twinx()
        other.plot(shown[name][:250], "--", color=COLORS[1])
        other.grid(visible=False)
    axes[-1].set_xlabel("character")
    demo.save_figure("units.png", figure, "units with a meaning")
