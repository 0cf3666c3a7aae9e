"""Gates at work: what an LSTM lets in, forgets and shows, and units that mean something.

    tinygrad-rnn demo gates

A character LSTM reads Python's documentation, and is watched while it reads what it has not seen:
input gate i, forget gate f, output gate o and memory c of every unit at every character. Nobody
told it what a line or a quotation is; yet single units follow them, since it helps to foresee the
next character (Karpathy, Johnson & Fei-Fei 2015, "Visualizing and understanding recurrent
networks", section 4.2). Units are found on one part of the text and measured on another.
"""

import sys

import numpy as np

from tinygrad_rnn import cli, data, insight, models, nn, optim, training
from tinygrad_rnn.pictures import COLOURS, subplots

CLAIM = (
    "Gates open and close with the text, and some units of the memory can be read: one counts the "
    "characters of the line, one knows whether a quotation is open."
)
STREAMS, WARM = 8, 100


def features(text):
    """What a reader knows after each character: by name, arrays as long as the text."""
    column = indentation = quoted = 0
    known = {"position in the line": [], "inside quotation marks": [], "indentation": []}
    for before, character in zip("\n" + text, text, strict=False):
        column = 0 if character == "\n" else column + 1
        quoted = 0 if before == character == "\n" else quoted ^ (character == '"')
        if character == "\n":
            indentation = 0
        elif character == " " and indentation == column - 1:
            indentation = column
        for values, value in zip(known.values(), (column, quoted, indentation), strict=True):
            values.append(value)
    return {name: np.array(values, float) for name, values in known.items()}


def read(model, vocabulary, text):
    """The LSTM's variables over a text that is read in STREAMS parts: (T, STREAMS, H) each."""
    with insight.watch(model) as runs:
        model(vocabulary.encode(text).reshape(STREAMS, -1).T)
    return {name: runs[0][name].numpy() for name in "ifoc"}


def correlations(units, values):
    """How each unit (T, STREAMS, H) goes with a feature of the text: (H), from -1 to 1."""
    x = units[WARM:].reshape(-1, units.shape[-1])
    y = values.reshape(STREAMS, -1).T[WARM:].ravel()
    x, y = x - x.mean(0), y - y.mean()
    return y @ x / np.sqrt((x**2).sum(0) * (y**2).sum() + 1e-12)


def loss(model, window):
    inputs, targets = window
    scores = model(inputs)
    return nn.functional.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.ravel())


def main(show):
    corpus = data.TextCorpus.default()
    vocabulary = corpus.vocabulary
    learned, *others = corpus.split((0.9, 0.05, 0.05))
    model = models.LanguageModel(len(vocabulary), embed=32, hidden=128)
    optimizer = optim.Adam(model.parameters(), lr=0.008)
    steps, quick = 1500, 150
    trainer = training.Trainer(
        model,
        optimizer,
        loss,
        list(data.StatefulBatches(vocabulary.encode(learned), 32, 64)),
        schedule=optim.lr_scheduler.CosineAnnealingLR(optimizer, show.choose(steps, quick)),
        schedule_per="step",
        clip=1,
        bptt=training.TruncatedBPTT(64),
    )
    show.fit(trainer, steps, quick)

    length = STREAMS * show.choose(2000, 400)
    found_on, measured_on = (text[:length] for text in others)
    bits = training.bits_per_character(model, vocabulary.encode(measured_on))
    show.measured("bits per character, unseen text", bits, "bits", at_most=2.1, quick=3.6)
    found, seen = (read(model, vocabulary, text) for text in (found_on, measured_on))
    values = features(measured_on)
    units = {}
    for name, known in features(found_on).items():
        r = correlations(found["c"], known)
        unit = units[name] = int(np.abs(r).argmax())
        again = correlations(seen["c"], values[name])[unit] * np.sign(r[unit])
        wanted = {"position in the line": 0.6, "inside quotation marks": 0.6}.get(name)
        show.measured(f"{name}: |r| of unit {unit}", again, at_least=wanted)
    mean = seen["f"][WARM:].mean((0, 1))
    show.measured("forget gates open in the mean", mean.mean(), "%")

    start = measured_on.index('"', WARM)
    start = measured_on.rfind("\n", 0, start) + 1
    part = slice(start, start + 700)
    text = measured_on[part]
    first = {name: v.transpose(1, 0, 2).reshape(-1, v.shape[-1])[part] for name, v in seen.items()}
    rows = {f"unit {unit}: {name}": first["c"][:, unit] for name, unit in units.items()}
    unit = units["inside quotation marks"]
    names = {"i": "input gate", "f": "forget gate", "o": "output gate"}
    rows |= {f"its {names[g]} ({unit})": first[g][:, unit] for g in "ifo"}
    page = insight.coloured_text(text, rows, "What an LSTM's units see")
    show.path("units.html", "a text in the colours of units; choose one").write_text(page, "utf-8")
    show.picture("gates.png", draw_gates(first, text), "gates and memory over unseen text")
    known = {name: v[part] for name, v in values.items()}
    show.picture("units.png", draw_units(first["c"], units, known), "units that mean something")


def draw_gates(first, text):
    figure, axes = subplots(4, 1, width=12, height=11)
    # The units whose memory changes most.
    units = np.argsort(-first["c"][:70].std(0))[:16]
    names = {"i": "input gate i", "f": "forget gate f", "o": "output gate o", "c": "memory tanh(c)"}
    for ax, (gate, name) in zip(axes, names.items(), strict=True):
        shown = first[gate][:70, units]
        shown = np.tanh(shown) if gate == "c" else shown
        insight.draw_over_text(shown, text[:70], name, name, axes=ax)
    return figure


def draw_units(c, units, known):
    figure, axes = subplots(len(units), 1, width=11, height=7, sharex=True)
    for ax, (name, unit) in zip(axes, units.items(), strict=True):
        shown = slice(0, 400)
        ax.plot(c[shown, unit], color=COLOURS[0])
        ax.set(ylabel=f"c of unit {unit}", title=name)
        other = ax.twinx()
        other.plot(known[name][shown], "--", color=COLOURS[1])
        other.set_ylabel("in the text", color=COLOURS[1])
        other.grid(visible=False)
    axes[-1].set_xlabel("character")
    return figure


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
