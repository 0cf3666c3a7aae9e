"""LSTM gates on text: what the gates and memory cells of a character model respond to.

    tinygrad-rnn demo gates

This demo trains a character-level LSTM on the Python documentation and records its input gate i,
forget gate f, output gate o and memory c at every character of unseen text. The training data has
no labels for words or quotations, yet single units follow them, because this helps to predict the
next character (Karpathy, Johnson & Fei-Fei 2015, "Visualizing and understanding recurrent
networks", section 4.2). Units are selected on one half of the unseen text and evaluated on the
other half.
"""

import numpy as np

from tinygrad_rnn import data, insight, models, nn, training
from tinygrad_rnn.plotting import COLORS, subplots
from tinygrad_rnn.tasks import language_modeling

CLAIM = (
    "Gates open and close with the text, and some memory cells are interpretable: one follows the "
    "letters of a word, another one whether a quotation is open."
)
STREAMS, WARM_UP = 24, 100
LABELS = {"i": "input gate i", "f": "forget gate f", "o": "output gate o", "c": "memory tanh(c)"}
TARGETS = {"letters of a word": 0.4, "inside quotation marks": 0.35}


def text_features(text):
    """Return features of the text after each character, as arrays (T, STREAMS) by name."""
    column = indentation = quoted = letters = 0
    rows = []
    for before, character in zip("\n" + text, text, strict=False):
        letters = letters + 1 if character.isalnum() else 0
        quoted = 0 if before == character == "\n" else quoted ^ (character == '"')
        column = 0 if character == "\n" else column + 1
        if character == "\n" or (character == " " and indentation == column - 1):
            indentation = column
        rows.append((letters, quoted, indentation, column))
    names = "letters of a word", "inside quotation marks", "indentation", "position in the line"
    columns = np.array(rows, float).T.reshape(len(names), STREAMS, -1)
    return {name: values.T for name, values in zip(names, columns, strict=True)}


def record_activations(model, vocabulary, text):
    """Return the gates and the memory over a text in STREAMS parts: (T, STREAMS, H) each."""
    with insight.capture(model) as traces:
        model(vocabulary.encode(text).reshape(STREAMS, -1).T)
    gates = {name: traces[0][name].numpy() for name in "ifo"}
    return gates | {"c": np.tanh(traces[0]["c"].numpy())}


def correlations(units, values):
    """Return the correlation of units (T, n, H) with a feature (T, n): (H,)."""
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
    train, *others = corpus.split((0.9, 0.05, 0.05))
    model = models.LanguageModel(len(vocabulary), embed=32, hidden=128)
    windows = list(data.StatefulBatches(vocabulary.encode(train), 32, 64))
    bptt = training.TruncatedBPTT(64)
    demo.train(model, loss, windows, 1200, 130, rate=0.01, cosine=True, bptt=bptt)

    text = "".join(others)
    bits = language_modeling.bits_per_character(model, vocabulary.encode(text))
    demo.record("bits per character, unseen text", bits, "bits", at_most=2.1, quick=3.4)
    text = text[: STREAMS * demo.choose(len(text) // STREAMS, 300)]
    activations, features = record_activations(model, vocabulary, text), text_features(text)
    memory = activations["c"][WARM_UP:]
    units = {}
    for name, values in features.items():
        even, odd = (correlations(memory[:, k::2], values[WARM_UP:, k::2]) for k in (0, 1))
        units[name] = unit = int(np.abs(odd).argmax())
        r = even[unit] * np.sign(odd[unit])
        demo.record(f"{name}: |r|, unit {unit}", r, at_least=TARGETS.get(name))
    demo.record("forget gates, mean", activations["f"][WARM_UP:].mean(), "%")

    T, excerpt = len(activations["c"]), slice(WARM_UP, WARM_UP + 700)
    stream = int(np.argmax(features["inside quotation marks"][: WARM_UP + 70].sum(0)))
    text = text[stream * T : (stream + 1) * T][excerpt]
    values = {name: x[excerpt, stream] for name, x in (activations | features).items()}
    write_page(demo, text, values, units)
    demo.save_figure("gates.png", draw_gates(text, values), "gates and memory on unseen text")
    demo.save_figure("units.png", draw_units(values, units), "memory units that follow features")


def write_page(demo, text, values, units):
    """Write an HTML page with the text colored by the interpretable units and their gates."""
    rows = {f"{name} (unit {units[name]})": values["c"][:, units[name]] for name in TARGETS}
    unit = units["inside quotation marks"]
    rows |= {f"{LABELS[gate]} of unit {unit}": values[gate][:, unit] for gate in "ifo"}
    page = insight.colored_text(text, rows, "Units of an LSTM on text")
    demo.path("units.html", "the text, colored by a selected unit").write_text(page, "utf-8")


def draw_gates(text, values):
    """Draw the gates and the memory of the units whose memory varies most."""
    figure, axes = subplots(4, 1, width=12, height=11)
    most = np.argsort(-values["c"][:70].std(0))[:16]
    for ax, (gate, name) in zip(axes, LABELS.items(), strict=True):
        insight.draw_over_text(values[gate][:70, most], text[:70], name, name, axes=ax)
    return figure


def draw_units(values, units):
    """Draw the memory of the interpretable units with the features that they follow."""
    figure, axes = subplots(len(TARGETS), 1, width=11, height=5.5, sharex=True)
    for ax, name in zip(axes, TARGETS, strict=True):
        ax.plot(values["c"][:250, units[name]], color=COLORS[0])
        ax.set(ylabel=f"tanh(c), unit {units[name]}", title=f"Feature (dashed): {name}")
        other = ax.twinx()
        other.plot(values[name][:250], "--", color=COLORS[1])
        other.grid(visible=False)
    axes[-1].set_xlabel("character")
    return figure
