"""One to many, many to one, many to many: what a recurrent network may read and write.

    tinygrad-rnn demo shapes

One cell and one readout; only when something is read, and when something is written, is different
(Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks"). One to one is a
classifier of pictures, one to many writes captions, many to one judges sentiment, many to many
translates (all is read before the first is written) or tags (one is written for each that is read).
The pictures are no drawings by hand: boxes and arrows are read off the graph that the code left.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import draw_network, find_links, subplots

CLAIM = (
    "Recurrent networks are not bound to one input and one output of fixed size: sequences may be "
    "read, written, or both, and the same cell does it all."
)
# The steps at which something is read, and those at which something is written.
SHAPES = {
    "one to one": ([1], [1]),
    "one to many": ([1], [1, 2, 3]),
    "many to one": ([1, 2, 3], [3]),
    "many to many, after": ([1, 2, 3], [3, 4, 5]),
    "many to many, along": ([1, 2, 3], [1, 2, 3]),
}


def run(cell, readout, inputs, writes):
    """Outputs by step, and all states by step; `inputs` by step. Where nothing is read, x is 0."""
    h, states, outputs = None, {}, {}
    for t in range(1, max(*inputs, *writes) + 1):
        h = states[t] = cell(inputs.get(t, ag.zeros((1, cell.input_size))), h)
        if t in writes:
            outputs[t] = readout(h)
    return states, outputs


def wanted(reads, writes):
    """The arrows that this shape is said to have."""
    steps = range(1, max(*reads, *writes) + 1)
    across = {(f"h{t}", f"h{t + 1}") for t in steps[:-1]}
    return {(f"x{t}", f"h{t}") for t in reads} | across | {(f"h{t}", f"y{t}") for t in writes}


def influences(inputs, outputs):
    """The pairs (s, t) for which the gradient of output t with respect to input s is not 0."""
    found = set()
    for t, y in outputs.items():
        slopes = ag.gradients(y.sum(), list(inputs.values()), retain_graph=True, allow_unused=True)
        for s, slope in zip(inputs, slopes, strict=True):
            if slope is not None and np.abs(slope.numpy()).max() > 0:
                found.add((s, t))
    return found


def main(demo):
    cell, readout = nn.RNNCell(3, 8), nn.Linear(8, 2)
    figure, axes = subplots(1, len(SHAPES), width=15, height=3.6, width_ratios=[1.6, 3, 3, 5, 3])
    disagreeing = 0
    for (shape, (reads, writes)), ax in zip(SHAPES.items(), axes, strict=True):
        inputs = {t: ag.tensor(demo.rng.normal(size=(1, 3)), requires_grad=True) for t in reads}
        states, outputs = run(cell, readout, inputs, writes)
        named = {
            f"{letter}{t}": tensor
            for letter, some in zip("xhy", (inputs, states, outputs), strict=True)
            for t, tensor in some.items()
        }
        found = find_links(list(outputs.values()), named)
        apart = len(set(found) ^ wanted(reads, writes))
        demo.record(f"{shape}: arrows in the graph", len(found))
        demo.record(f"{shape}: missing or too many", apart, at_most=0, quick=0)
        earlier = {(s, t) for s in reads for t in writes if s <= t}
        disagreeing += len(influences(inputs, outputs) ^ earlier)

        graph = ag.draw(list(outputs.values()), named)
        name = f"{shape.replace(',', '').replace(' ', '-')}.svg"
        graph.save(demo.path(name, f"{shape}: the graph, with every operation"))
        steps = range(1, len(states) + 1)
        rows = [[f"{row}{t}" if f"{row}{t}" in named else None for t in steps] for row in "xhy"]
        draw_network(ax, rows, found)
        ax.set_title(shape)
    demo.record("pairs (x, y) where gradients disagree", disagreeing, at_most=0, quick=0)
    demo.save_figure("shapes.png", figure, "what is read (x), carried on (h) and written (y)")
