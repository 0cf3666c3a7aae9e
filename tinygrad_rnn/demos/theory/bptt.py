"""Backpropagation through time: the recorded graph computes the sums of the textbook.

    tinygrad-rnn demo bptt

This demo compares the gradients of an Elman network with their textbook formula. The formula is a
sum over all pairs of time steps k <= t: each term is the gradient of the loss at t with respect to
the weights as used at k, and contains the product of all Jacobians between k and t (Werbos 1990,
"Backpropagation through time: what it does and how to do it"; Pascanu, Mikolov & Bengio 2013,
section 2). The demo computes these sums in NumPy. The engine does not use the formula: it records
the operations and runs the backward pass over the recorded graph.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import draw_heat_map, draw_network, find_links, subplots

CLAIM = (
    "dE/dW is the sum over t and k <= t of dE_t/ds_t, times the product of ds_j/ds_(j-1) for j "
    "from k+1 to t, times ds_k/dW with s_(k-1) held constant. Ordinary backpropagation through "
    "the unrolled network computes this sum."
)


def unroll(U, W, V, inputs, targets):
    """Return the states s_1 to s_T and the losses E_1 to E_T of an Elman network.

    s_t = tanh(U x_t + W s_(t-1)), y_t = softmax(V s_t), E_t = -log y_t[d_t]
    """
    s, states, losses = ag.zeros(len(W), dtype=float), [], []
    for x, d in zip(inputs, targets, strict=True):
        s = ag.tanh(U @ x + W @ s)
        states.append(s)
        losses.append(-ag.log_softmax(V @ s)[d])
    return states, losses


def textbook_sums(U, W, V, inputs, targets):
    """Return dE/dU, dE/dW and dE/dV by the formula, and the norms of the terms of dE/dW (t, k)."""
    s = [np.zeros(len(W))]
    for x in inputs:
        s.append(np.tanh(U @ x + W @ s[-1]))
    dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
    norms = np.full((len(inputs), len(inputs)), np.nan)
    for t in range(1, len(s)):
        y = np.exp(V @ s[t]) / np.exp(V @ s[t]).sum()
        error = y - np.eye(len(V))[targets[t - 1]]  # dE_t / d(V s_t)
        dV += np.outer(error, s[t])
        ds = error @ V  # dE_t/ds_k, starting with k = t
        for k in range(t, 0, -1):
            before_tanh = ds * (1 - s[k] ** 2)
            term = np.outer(before_tanh, s[k - 1])  # through ds_k/dW, with s_(k-1) held constant
            dW += term
            dU += np.outer(before_tanh, inputs[k - 1])
            norms[t - 1, k - 1] = np.linalg.norm(term)
            ds = ds @ np.diag(1 - s[k] ** 2) @ W  # times ds_k/ds_(k-1)
    return (dU, dW, dV), norms


def layer_gradients(U, W, V, inputs, targets):
    """Return the gradients as computed by the compiled layer nn.RNN."""
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
    # W contracts, so that the terms shrink visibly with t - k.
    W = 0.9 * np.linalg.qr(demo.rng.normal(size=(H, H)))[0]
    weights = demo.rng.normal(size=(H, I)) / 2, W, demo.rng.normal(size=(C, H))
    inputs, targets = demo.rng.normal(size=(T, I)), demo.rng.integers(0, C, T)

    demo.log(f"{T * (T + 1) // 2} terms for {T} time steps")
    sums, norms = textbook_sums(*weights, inputs, targets)
    leaves = [ag.tensor(weight, requires_grad=True) for weight in weights]
    _, losses = unroll(*leaves, ag.tensor(inputs), targets)
    sum(losses).backward()
    eager = [leaf.grad.numpy() for leaf in leaves]
    compiled = layer_gradients(*weights, inputs, targets)
    for name, expected, *gradients in zip("UWV", sums, eager, compiled, strict=True):
        for method, actual in zip(("recorded graph", "compiled nn.RNN"), gradients, strict=True):
            error = np.abs(actual - expected).max() / np.abs(expected).max()
            demo.record(f"dE/d{name}: relative error, {method}", error, at_most=1e-10, quick=1e-10)
    lag = np.subtract.outer(np.arange(T), np.arange(T))
    near = np.nansum(norms[lag < 10]) / np.nansum(norms)
    demo.record("norm of the terms with t - k < 10", near, "%")

    figure, (left, right) = subplots(1, 2, width=11, height=4.6)
    scale = {"vmin": None, "vmax": None, "extent": (0.5, T + 0.5, T + 0.5, 0.5)}
    draw_heat_map(left, np.ma.log10(norms), "log10 of the norm of the term", **scale)
    left.set(xlabel="k (step at which the weights act)", ylabel="t (step of the loss)")
    left.set_title("Terms of dE/dW shrink with t - k")
    right.semilogy([np.diagonal(norms, -lag).mean() for lag in range(T - 5)])
    right.set(xlabel="t - k (steps)", ylabel="mean norm of a term")
    right.set_title("The decay is approximately exponential")
    demo.save_figure("terms.png", figure, "norms of the terms of dE/dW, by t and k")
    draw_unrolled(demo, leaves, demo.rng.normal(size=(5, I)), targets[:5])


def draw_unrolled(demo, leaves, inputs, targets):
    """Draw the unrolled network from its recorded graph, and the graph itself."""
    xs = [ag.tensor(x, requires_grad=True) for x in inputs]
    states, losses = unroll(*leaves, xs, targets)
    rows = dict(zip("xsE", (xs, states, losses), strict=True))
    named = {f"{row}{t}": x for row, tensors in rows.items() for t, x in enumerate(tensors, 1)}
    figure, axes = subplots(width=9, height=4)
    steps = range(1, len(xs) + 1)
    draw_network(axes, [[f"{row}{t}" for t in steps] for row in rows], find_links(losses, named))
    axes.set_title("Unrolled network: gradients flow backward along these arrows")
    demo.save_figure("unrolled.png", figure, "the unrolled network, read from its recorded graph")
    graph = ag.draw(sum(losses), dict(zip("UWV", leaves, strict=True)))
    graph.save(demo.path("graph.svg", "the recorded graph, with equal steps folded"))
