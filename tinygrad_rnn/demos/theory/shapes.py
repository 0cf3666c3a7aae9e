"""One to many, many to one, many to many: the input and output shapes of recurrent networks.

    tinygrad-rnn demo shapes

This demo runs one cell and one readout in five configurations that differ only in the steps with an
input and the steps with an output (Karpathy 2015, "The unreasonable effectiveness of recurrent
neural networks"). Typical tasks are image classification (one to one), image captioning (one to
many), sentiment classification (many to one), translation (many to many, outputs after all inputs)
and tagging (many to many, one output for each input). The diagrams are read from the recorded graph
of each run, and the gradients confirm which inputs an output depends on.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import draw_network, find_links, subplots

CLAIM = (
    "Recurrent networks are not limited to one input and one output of fixed size: the same cell "
    "can read a sequence, write a sequence, or do both."
)
# The steps with an input, and the steps with an output.
SHAPES = {
    "one to one": ([1], [1]),
    "one to many": ([1], [1, 2, 3]),
    "many to one": ([1, 2, 3], [3]),
    "many to many, delayed": ([1, 2, 3], [3, 4, 5]),
    "many to many, aligned": ([1, 2, 3], [1, 2, 3]),
}


def run(cell, readout, inputs, output_steps):
    """Run the cell; `inputs` are by step, and the input is 0 at other steps.

    Returns the states and the outputs by step.
    """
    h, states, outputs = None, {}, {}
    for t in range(1, max(*inputs, *output_steps) + 1):
        h = states[t] = cell(inputs.get(t, ag.zeros((1, cell.input_size))), h)
        if t in output_steps:
            outputs[t] = readout(h)
    return states, outputs


def expected_links(input_steps, output_steps):
    """Return the links that the diagram of a shape must have."""
    steps = range(1, max(*input_steps, *output_steps) + 1)
    recurrent = {(f"h{t}", f"h{t + 1}") for t in steps[:-1]}
    reads = {(f"x{t}", f"h{t}") for t in input_steps}
    return reads | recurrent | {(f"h{t}", f"y{t}") for t in output_steps}


def nonzero_gradients(inputs, outputs):
    """Return the pairs (s, t) for which output t has a nonzero gradient with respect to input s."""
    pairs = set()
    for t, y in outputs.items():
        gradients = ag.gradients(
            y.sum(), list(inputs.values()), retain_graph=True, allow_unused=True
        )
        for s, gradient in zip(inputs, gradients, strict=True):
            if gradient is not None and np.abs(gradient.numpy()).max() > 0:
                pairs.add((s, t))
    return pairs


def main(demo):
    cell, readout = nn.RNNCell(3, 8), nn.Linear(8, 2)
    figure, axes = subplots(1, len(SHAPES), width=15, height=3.6, width_ratios=[1.6, 3, 3, 5, 3])
    mismatches = 0
    for (shape, (input_steps, output_steps)), ax in zip(SHAPES.items(), axes, strict=True):
        inputs = {
            t: ag.tensor(demo.rng.normal(size=(1, 3)), requires_grad=True) for t in input_steps
        }
        states, outputs = run(cell, readout, inputs, output_steps)
        named = {
            f"{letter}{t}": tensor
            for letter, tensors in zip("xhy", (inputs, states, outputs), strict=True)
            for t, tensor in tensors.items()
        }
        links = find_links(list(outputs.values()), named)
        difference = set(links) ^ expected_links(input_steps, output_steps)
        demo.record(f"{shape}: links in the graph", len(links))
        demo.record(f"{shape}: missing or extra links", len(difference), at_most=0, quick=0)
        causal = {(s, t) for s in input_steps for t in output_steps if s <= t}
        mismatches += len(nonzero_gradients(inputs, outputs) ^ causal)

        graph = ag.draw(list(outputs.values()), named)
        name = f"{shape.replace(',', '').replace(' ', '-')}.svg"
        graph.save(demo.path(name, f"{shape}: the graph of all operations"))
        steps = range(1, len(states) + 1)
        rows = [[f"{row}{t}" if f"{row}{t}" in named else None for t in steps] for row in "xhy"]
        draw_network(ax, rows, links)
        ax.set_title(shape)
    row = "pairs (x, y) with an unexpected gradient"
    demo.record(row, mismatches, at_most=0, quick=0)
    demo.save_figure("shapes.png", figure, "inputs (x), hidden states (h) and outputs (y)")
