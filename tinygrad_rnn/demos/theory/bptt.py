"""Back-propagation through time: the textbook's sums are what the recorded graph computes.

    tinygrad-rnn demo bptt

An Elman network's gradients, written out, are sums over all pairs of times k <= t: how an error at
t blames the weights as they were used at k, through the product of all Jacobians between the two
(Werbos 1990, "Backpropagation through time: what it does and how to do it"; Pascanu, Mikolov &
Bengio 2013, section 2). Here these sums are computed as they stand, in NumPy. The engine knows none
of them: it records the steps, and goes back along the record.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import draw_heat_map, draw_network, find_links, subplots

CLAIM = (
    "dE/dW is the sum over t and k <= t of dE_t/ds_t, times the product of ds_j/ds_(j-1) for j "
    "from k+1 to t, times ds_k/dW with s_(k-1) held constant: ordinary back-propagation through "
    "the unrolled network."
)


def unroll(U, W, V, inputs, targets):
    """States s_1 to s_T and losses E_1 to E_T: s_t = tanh(U x_t + W s_(t-1)), y_t = softmax(V s_t),
    E_t = -log y_t[d_t]."""
    s, states, losses = ag.zeros(len(W), dtype=float), [], []
    for x, d in zip(inputs, targets, strict=True):
        s = ag.tanh(U @ x + W @ s)
        states.append(s)
        losses.append(-ag.log_softmax(V @ s)[d])
    return states, losses


def closed_sums(U, W, V, inputs, targets):
    """dE/dU, dE/dW and dE/dV as the textbook has them, and the norm of each term of dE/dW, with t
    down the rows and k along the columns."""
    s = [np.zeros(len(W))]
    for x in inputs:
        s.append(np.tanh(U @ x + W @ s[-1]))
    dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
    norms = np.full((len(inputs), len(inputs)), np.nan)
    for t in range(1, len(s)):
        y = np.exp(V @ s[t]) / np.exp(V @ s[t]).sum()
        error = y - np.eye(len(V))[targets[t - 1]]  # dE_t / d(V s_t)
        dV += np.outer(error, s[t])
        blame = error @ V  # dE_t/ds_k, at first for k = t
        for k in range(t, 0, -1):
            before_tanh = blame * (1 - s[k] ** 2)
            term = np.outer(before_tanh, s[k - 1])  # through ds_k/dW, with s_(k-1) held
            dW += term
            dU += np.outer(before_tanh, inputs[k - 1])
            norms[t - 1, k - 1] = np.linalg.norm(term)
            blame = blame @ np.diag(1 - s[k] ** 2) @ W  # times ds_k/ds_(k-1)
    return (dU, dW, dV), norms


def layers(U, W, V, inputs, targets):
    """The same gradients from nn.RNN, which is compiled."""
    rnn = nn.RNN(U.shape[1], len(W), bias=False, dtype=float)
    readout = nn.Linear(len(W), len(V), bias=False, dtype=float)
    rnn.load_state_dict({"weight_ih_l0": U, "weight_hh_l0": W})
    readout.load_state_dict({"weight": V})
    scores = readout(rnn(inputs)[0])
    nn.functional.cross_entropy(scores, targets, reduction="sum").backward()
    weights = rnn.weight_ih_l0, rnn.weight_hh_l0, readout.weight
    return [weight.grad.numpy() for weight in weights]


def main(demo):
    I, H, C, T = 3, 16, 4, demo.choose(40, 20)
    # W shrinks what goes through it, so that one sees the terms fade with t - k.
    W = 0.9 * np.linalg.qr(demo.rng.normal(size=(H, H)))[0]
    weights = demo.rng.normal(size=(H, I)) / 2, W, demo.rng.normal(size=(C, H))
    inputs, targets = demo.rng.normal(size=(T, I)), demo.rng.integers(0, C, T)

    demo.log(f"{T * (T + 1) // 2} terms for {T} steps")
    sums, norms = closed_sums(*weights, inputs, targets)
    leaves = [ag.tensor(weight, requires_grad=True) for weight in weights]
    _, losses = unroll(*leaves, ag.tensor(inputs), targets)
    sum(losses).backward()
    recorded = [leaf.grad.numpy() for leaf in leaves]
    compiled = layers(*weights, inputs, targets)
    for name, wanted, *both in zip("UWV", sums, recorded, compiled, strict=True):
        for way, found in zip(("the recorded graph", "nn.RNN, compiled"), both, strict=True):
            apart = np.abs(found - wanted).max() / np.abs(wanted).max()
            demo.record(f"dE/d{name}: sums against {way}", apart, at_most=1e-10, quick=1e-10)
    lag = np.subtract.outer(np.arange(T), np.arange(T))
    near = np.nansum(norms[lag < 10]) / np.nansum(norms)
    demo.record("share of the terms with t - k < 10", near, "%")

    figure, (left, right) = subplots(1, 2, width=11, height=4.6)
    scale = {"vmin": None, "vmax": None, "extent": (0.5, T + 0.5, T + 0.5, 0.5)}
    draw_heat_map(left, np.ma.log10(norms), "log10 of the term's norm", **scale)
    left.set(xlabel="k: where the weights were used", ylabel="t: where the error arose")
    left.set_title("The terms of dE/dW fade away from the diagonal")
    right.semilogy([np.diagonal(norms, -lag).mean() for lag in range(T - 5)])
    right.set(xlabel="t - k (steps)", ylabel="mean norm of a term")
    right.set_title("by about the same factor at every step")
    demo.save_figure("terms.png", figure, "the terms of dE/dW, over t and k")
    draw_unrolled(demo, leaves, demo.rng.normal(size=(5, I)), targets[:5])


def draw_unrolled(demo, leaves, inputs, targets):
    """The unrolled network, read off its graph, and that graph."""
    xs = [ag.tensor(x, requires_grad=True) for x in inputs]
    states, losses = unroll(*leaves, xs, targets)
    rows = dict(zip("xsE", (xs, states, losses), strict=True))
    named = {f"{row}{t}": x for row, some in rows.items() for t, x in enumerate(some, 1)}
    figure, axes = subplots(width=9, height=4)
    numbers = range(1, len(xs) + 1)
    draw_network(axes, [[f"{row}{t}" for t in numbers] for row in rows], find_links(losses, named))
    axes.set_title("The network unrolled: gradients go back along these arrows")
    demo.save_figure("unrolled.png", figure, "the unrolled network, as its graph has it")
    graph = ag.draw(sum(losses), dict(zip("UWV", leaves, strict=True)))
    graph.save(demo.path("graph.svg", "what was recorded; equal steps are folded"))
