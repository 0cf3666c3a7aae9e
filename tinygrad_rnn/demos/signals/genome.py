"""Genes in DNA, base by base, with their frame.

    tinygrad-rnn demo genome
    tinygrad-rnn demo genome --data genomes.fa --out runs/genes

A network labels every base: outside genes, or first, second or third of a codon. Where a gene
starts is only seen by what comes after (an ATG may be one by chance), so a network that reads both
ways finds more than one that reads forwards (M. Schuster & K. Paliwal, "Bidirectional recurrent
neural networks", 1997). The DNA here is generated: genes start with ATG, end with the first stop
codon in frame, and prefer some codons to others, as those of bacteria do.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.formats.fasta import BASES
from tinygrad_rnn.data.generators.synthetic import make_dna
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.plotting import COLORS, subplots

CLAIM = (
    "A network that reads DNA both ways labels each base with what it is for, and finds genes with "
    "start, stop and frame; one that reads forwards only learns too late that a gene has begun."
)
DATA = "a FASTA file in which coding bases are capitals and the others small letters"
HIDDEN, EDGE, NONE = 48, 20, -100
"""Units of each direction, labels at a cut that are not learned, and the target in their place."""


def parted(sequence):
    """What is learned from, and the last fifth, which is held out."""
    cut = len(sequence.bases) * 4 // 5
    return sequence.bases[:cut], sequence.phases[:cut], sequence.bases[cut:], sequence.phases[cut:]


def tagger(bidirectional, hidden=HIDDEN):
    layers = nn.LSTM(len(BASES), hidden, bidirectional=bidirectional)
    return models.SequenceTagger(layers, classes=4, symbols=len(BASES))


def loss(model, batch):
    bases, lengths, phases, _ = batch
    scores = model(bases, lengths)
    return nn.functional.cross_entropy(scores.reshape(-1, 4), phases.reshape(-1))


def windows(sequences, length):
    """Return a function that draws a batch of windows at random places of the training parts.

    Next to a cut the labels are masked: there the network does not see what they depend on. The
    training part itself ends with a cut.
    """
    weights = np.array([len(bases) for bases, *_ in sequences], float)

    def batch(rng):
        some = []
        for number in rng.choice(len(sequences), 32, p=weights / weights.sum()):
            bases, phases, *_ = sequences[number]
            begin = rng.integers(max(1, len(bases) - length + 1))
            wanted = phases[begin : begin + length].copy()
            wanted[: EDGE * (begin > 0)] = NONE
            wanted[-EDGE:] = NONE
            some.append((bases[begin : begin + length], wanted))
        return data.pad_collate(some, padding_value=(0, NONE))

    return batch


def labels(model, bases):
    """The likeliest label of every base, and the probability that it is coding."""
    with ag.no_grad():
        p = ag.softmax(model(ag.tensor(bases[:, None]))).numpy()[:, 0]
    return p.argmax(1), 1 - p[:, 0]


def f1(found, true):
    """2 tp / (2 tp + fp + fn) of the coding bases."""
    return 2 * (found & true).sum() / max(1, found.sum() + true.sum())


def main(demo):
    if demo.data is None:
        sequences = [parted(make_dna(demo.rng, 100)) for _ in range(demo.choose(30, 5))]
    else:
        sequences = [parted(sequence) for sequence in data.read_fasta(demo.data)]
        if min(len(bases) for bases, *_ in sequences) < 40:
            raise InputError(f"{demo.data}: sequences should have at least 50 bases each")
    true = np.concatenate([phases for *_, phases in sequences])
    batches, found, p = windows(sequences, demo.choose(300, 200)), {}, {}
    for name, bidirectional in (("both ways", True), ("forwards only", False)):
        demo.log(f"A network that reads {name}")
        model = tagger(bidirectional)
        demo.train(model, loss, batches, steps=300, quick=80, rate=0.02, cycle=True)
        read = [labels(model, bases) for _, _, bases, _ in sequences]
        found[name], p[name] = map(np.concatenate, zip(*read, strict=True))
        if bidirectional:
            demo.save(model, hidden=HIDDEN)
    both, forwards, coding = *found.values(), true > 0
    demo.record("coding bases", coding.mean(), "%")
    demo.record("F1 of coding bases, both ways", f1(both > 0, coding), at_least=0.98, quick=0.78)
    demo.record("F1 of coding bases, forwards only", f1(forwards > 0, coding))
    framed = ((both == true) & coding).sum() / max(1, coding.sum())
    demo.record("frame right where coding", framed, "%")
    genes = set(data.coding_regions(true))
    for name, guessed in found.items():
        right = len(genes & set(data.coding_regions(guessed))) / max(1, len(genes))
        demo.record(f"genes exact to the base, {name}", right, "%")

    figure, panels = subplots(2, 1, height=5, sharex=True, sharey=True)
    base = np.arange(min(900, len(true)))
    for axes, name, colour in zip(panels, p, COLORS, strict=False):
        axes.fill_between(base, coding[base], step="mid", color="0.85")
        axes.plot(base, p[name][base], color=colour)
        axes.set(ylabel="p(coding)", title=f"Read {name}")
    panels[1].set_xlabel("base (grey: within a gene)")
    demo.save_figure("genes.png", figure, "probability of coding on held-out DNA")


def predict(run, input):
    """The coding regions of each sequence, counted from 1, both ends included."""
    model = run.load(tagger(True, **run.config))
    for sequence in data.read_fasta(input, labeled=False):
        for first, last in data.coding_regions(labels(model, sequence.bases)[0]):
            print(f"{sequence.name} {first}..{last}")
