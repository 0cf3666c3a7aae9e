"""Vanishing and exploding gradients: powers of a matrix, and a highway around them.

    tinygrad-rnn demo vanishing

Back through T steps a gradient is multiplied by T Jacobians, and shrinks or grows like a power
(Hochreiter 1991; Bengio, Simard & Frasconi 1994, "Learning long-term dependencies with gradient
descent is difficult"; Pascanu, Mikolov & Bengio 2013). It is the eigenvalues that decide, in the
long run: a largest singular value above 1 is necessary for an explosion, not sufficient. In an LSTM
(Hochreiter & Schmidhuber 1997) the memory c is multiplied by its forget gate alone, which can be
1. Against explosions it helps to clip the gradient's norm.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, insight, nn, optim, training
from tinygrad_rnn.errors import TrainingDiverged
from tinygrad_rnn.plotting import subplots

CLAIM = (
    "Gradients vanish or explode like a power of the recurrent matrix; gated memory has a path on "
    "which they do neither, and clipping their norm tames explosions."
)
H, GAINS = 32, (0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)


class LinearCell(nn.Cell):
    """h' = W x + W_h h"""

    def step(self, h, x):
        h = x + self.recurrent(h)
        return h, h


def flow(layer, x):
    """Norms of the gradient of the last output's sum, by how many steps back: lag 0 first."""
    flows = insight.gradient_flow(layer, x, loss=lambda returned: returned[0][-1].sum())
    return flows["l0"].norms()[::-1]


def linear_flow(W, steps):
    layer = nn.Recurrent(LinearCell(1, len(W), bias=False, dtype=float))
    layer.load_state_dict({"weight_hh_l0": W, "weight_ih_l0": np.zeros((len(W), 1))})
    return flow(layer, np.zeros((steps, 1, 1)))


def slope(norms):
    """How much the logarithm of the norm changes for each step back."""
    return np.polyfit(np.arange(len(norms)), np.log(norms), 1)[0]


def loss(model, x):
    """The mean of all units is to be that of the numbers read."""
    outputs, _ = model(x)
    return nn.functional.mse_loss(outputs[-1].mean(-1), x.mean((0, 2)))


def tame(demo, clip):
    """The losses of a training of rectified units that start with too large a matrix."""
    ag.manual_seed(demo.seed)
    model = nn.RNN(1, H, nonlinearity="relu")
    nn.init.orthogonal_(model.weight_hh_l0, gain=2.2)
    batches = data.GeneratedBatches(lambda rng: rng.uniform(0, 1, (20, 32, 1)).astype("float32"))
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.01), loss, batches, clip=clip)
    losses = []
    try:
        demo.fit(trainer, 1000, 500, on_step=lambda record: losses.append(record["loss"]))
    except TrainingDiverged as error:
        demo.log(f"Without clipping: {error}")
        losses.append(np.inf)
    return losses


def main(demo):
    T = demo.choose(200, 100)
    Q, _ = np.linalg.qr(demo.rng.normal(size=(H, H)))  # orthogonal
    linear = {f"{gain} Q": linear_flow(gain * Q, T) for gain in GAINS}
    apart = [abs(slope(n) - np.log(g)) for n, g in zip(linear.values(), GAINS, strict=True)]
    demo.record("W = g Q: slopes against log g", max(apart), at_most=1e-10, quick=1e-10)
    W = np.kron(np.eye(H // 2), [[0.8, 2.0], [0.0, 0.7]])
    linear["not normal"] = linear_flow(W, T)
    late = slope(linear["not normal"][-20:])
    demo.record("not normal W: largest singular value", np.linalg.norm(W, 2), at_least=1, quick=1)
    demo.record("its slope against log 0.8", abs(late - np.log(0.8)), at_most=1e-4, quick=1e-4)

    squashed = [ag.tensor(np.linspace(-6, 6, 121), requires_grad=True)]
    for n in range(4):
        squashed.append(ag.sigmoid(squashed[n]))
    steepest = ag.gradients(squashed[4].sum(), [squashed[0]])[0].numpy().max()
    demo.record("sigmoid, 4 times: steepest slope", steepest, at_most=0.25**4, quick=0.25**4)

    noise = demo.rng.normal(size=(T, 4, H)).astype("float32")
    cells = {
        "RNN, tanh": nn.RNN(H, H),
        "RNN, ReLU": nn.RNN(H, H, nonlinearity="relu"),
        "IRNN": nn.Recurrent(nn.IRNNCell(H, H)),
        "GRU": nn.GRU(H, H),
        "LSTM": nn.LSTM(H, H),
        "LSTM with peepholes": nn.PeepholeLSTM(H, H),
        "LSTM, forget gates open": (opened := nn.LSTM(H, H)),
    }
    held = nn.LSTM(3, H, dtype=float)
    with ag.no_grad():
        opened.bias_ih_l0[H : 2 * H] = 5  # f is almost 1
        held.weight_hh_l0[:] = 0  # no gate sees the state
    flows = {name: flow(cell, noise) for name, cell in cells.items()}
    for name, norms in flows.items():
        demo.record(f"{name}: gradient left", norms[-1] / norms[0])
    with insight.capture(held) as runs:
        held(demo.rng.normal(size=(50, 4, 3)))
    slopes = np.einsum("bii->bi", insight.jacobian(runs[0], "c", "c")[-1])
    apart = np.abs(slopes / runs[0]["f"].numpy().prod(0) - 1).max()
    demo.record("dc_T/dc_0, gates held, against prod f", apart, at_most=1e-10, quick=1e-10)

    figure, (left, right) = subplots(1, 2, width=13, height=5.2)
    insight.draw_over_time(
        linear, "steps back", title="Linear networks: with g Q it is g^n", axes=left
    )
    insight.draw_over_time(flows, "steps back", title="Seven cells, untrained", axes=right)
    right.set_ylim(1e-12, 1e4)
    demo.save_figure("flow.png", figure, "norms of gradients by how many steps they went back")

    clipped, free = tame(demo, 1.0), tame(demo, None)
    demo.record("loss, gradients clipped", np.median(clipped[-20:]), at_most=0.01, quick=0.02)
    demo.record("loss, not clipped", free[-1], at_least=100, quick=100)
    curves = {"clipped at norm 1": clipped, "not clipped": free}
    figure, (left, right) = subplots(1, 2, width=13, height=4.2)
    x, *ys = [y.numpy() for y in squashed]
    for times, y in enumerate(ys, 1):
        left.plot(x, y - y.min(), label=f"{times} times")
    left.set(xlabel="x", ylabel="y - min y", title="y = sigmoid(sigmoid(...(x))) is flat")
    left.legend()
    insight.draw_over_time(curves, "update", "loss", "Clipping tames an explosion", axes=right)
    demo.save_figure("clipping.png", figure, "why gradients vanish, and what helps if they explode")
