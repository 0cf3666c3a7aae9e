"""Gene finding: label each base of a DNA sequence with its position in a codon.

    tinygrad-rnn demo genome
    tinygrad-rnn demo genome --data genomes.fa --out runs/genes

This demo labels every base as outside a gene, or as the first, second or third base of a codon.
Only the following bases show whether a gene starts (an ATG may occur by chance), so a bidirectional
network finds more genes than a forward network (M. Schuster & K. Paliwal, "Bidirectional recurrent
neural networks", 1997). The DNA is generated: genes start with ATG, end with the first stop codon
in frame, and prefer some codons, as bacterial genes do.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.formats.fasta import BASES
from tinygrad_rnn.data.generators.synthetic import make_dna
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = (
    "A bidirectional network labels each base of DNA and finds genes with start, stop and frame; a "
    "forward network notices too late that a gene has begun."
)
DATA = "a FASTA file with coding bases in upper case and other bases in lower case"
HIDDEN, MASKED, IGNORED = 48, 20, -100
"""Units per direction, masked labels at a cut, and the target index of masked labels."""


def split_sequence(record):
    """Return bases and phases for training, and bases and phases of the last fifth for test."""
    cut = len(record.bases) * 4 // 5
    return record.bases[:cut], record.phases[:cut], record.bases[cut:], record.phases[cut:]


def build_model(bidirectional, hidden=HIDDEN):
    layers = nn.LSTM(len(BASES), hidden, bidirectional=bidirectional)
    return models.SequenceTagger(layers, classes=4, symbols=len(BASES))


def loss(model, batch):
    bases, lengths, phases, _ = batch
    scores = model(bases, lengths)
    return nn.functional.cross_entropy(scores.reshape(-1, 4), phases.reshape(-1))


def window_sampler(sequences, length):
    """Return a function that draws a batch of random windows of the training data.

    The labels next to a cut are masked, because the window does not contain the bases that they
    depend on. The training data itself ends with a cut.
    """
    weights = np.array([len(bases) for bases, *_ in sequences], float)

    def batch(rng):
        examples = []
        for number in rng.choice(len(sequences), 32, p=weights / weights.sum()):
            bases, phases, *_ = sequences[number]
            begin = rng.integers(max(1, len(bases) - length + 1))
            targets = phases[begin : begin + length].copy()
            targets[: MASKED * (begin > 0)] = IGNORED
            targets[-MASKED:] = IGNORED
            examples.append((bases[begin : begin + length], targets))
        return data.pad_collate(examples, padding_value=(0, IGNORED))

    return batch


def label_bases(model, bases):
    """Return the most probable label of each base, and the probability that it is coding."""
    with ag.no_grad():
        p = ag.softmax(model(ag.tensor(bases[:, None]))).numpy()[:, 0]
    return p.argmax(1), 1 - p[:, 0]


def f1_score(predicted, true):
    """Return 2 tp / (2 tp + fp + fn) of the coding bases."""
    return 2 * (predicted & true).sum() / max(1, predicted.sum() + true.sum())


def load_sequences(demo):
    """Return the split sequences of the user's file, or generated ones."""
    if demo.data is None:
        return [split_sequence(make_dna(demo.rng, 100)) for _ in range(demo.choose(30, 5))]
    sequences = [split_sequence(record) for record in data.read_fasta(demo.data)]
    if min(len(bases) for bases, *_ in sequences) < 40:
        raise InputError(f"{demo.data}: each sequence must have at least 50 bases")
    return sequences


def main(demo):
    sequences = load_sequences(demo)
    true = np.concatenate([phases for *_, phases in sequences])
    batches, labels, p = window_sampler(sequences, demo.choose(300, 200)), {}, {}
    for name in ("bidirectional", "forward"):
        demo.log(f"Training a {name} network")
        model = build_model(name == "bidirectional")
        demo.train(model, loss, batches, steps=300, quick=80, rate=0.02, cycle=True)
        results = [label_bases(model, bases) for _, _, bases, _ in sequences]
        labels[name], p[name] = map(np.concatenate, zip(*results, strict=True))
        if name == "bidirectional":
            demo.save(model, hidden=HIDDEN)
    bidirectional, forward, coding = *labels.values(), true > 0
    demo.record("coding bases", coding.mean(), "%")
    score = f1_score(bidirectional > 0, coding)
    demo.record("bidirectional: F1 of coding bases", score, at_least=0.98, quick=0.78)
    demo.record("forward: F1 of coding bases", f1_score(forward > 0, coding))
    in_frame = ((bidirectional == true) & coding).sum() / max(1, coding.sum())
    demo.record("coding bases with the correct frame", in_frame, "%")
    genes = set(data.coding_regions(true))
    for name, predicted in labels.items():
        exact = len(genes & set(data.coding_regions(predicted))) / max(1, len(genes))
        demo.record(f"{name}: exact genes", exact, "%")

    figure, panels = subplots(2, 1, height=5, sharex=True, sharey=True)
    base = np.arange(min(900, len(true)))
    for axes, name, color in zip(panels, p, COLORS, strict=False):
        axes.fill_between(base, coding[base], step="mid", color="0.85")
        axes.plot(base, p[name][base], color=color)
        axes.set(ylabel="p(coding)", title=f"{name} network")
    panels[1].set_xlabel("base (gray: within a gene)")
    demo.save_figure("genes.png", figure, "predicted probability of coding bases on test data")


def predict(run, input):
    """Print the coding regions of each sequence, counted from 1, both ends included."""
    model = run.load(build_model(True, **run.config))
    for record in data.read_fasta(input, labeled=False):
        for first, last in data.coding_regions(label_bases(model, record.bases)[0]):
            print(f"{record.name} {first}..{last}")
