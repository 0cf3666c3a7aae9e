"""Vanishing and exploding gradients: powers of the recurrent matrix, gates, and clipping.

    tinygrad-rnn demo vanishing

This demo measures how the norm of a gradient changes as it is propagated back through time. Over T
steps the gradient is multiplied by T Jacobians, so it shrinks or grows like a power (Hochreiter
1991; Bengio, Simard & Frasconi 1994, "Learning long-term dependencies with gradient descent is
difficult"; Pascanu, Mikolov & Bengio 2013). In the long run the eigenvalues decide: a largest
singular value above 1 is necessary for an explosion, but not sufficient. The memory cell c of an
LSTM (Hochreiter & Schmidhuber 1997) is multiplied by the forget gate alone, which can be 1.
Clipping the gradient norm limits the updates when gradients explode.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, insight, nn, optim, training
from tinygrad_rnn.errors import TrainingDiverged
from tinygrad_rnn.plotting import subplots

CLAIM = (
    "Gradients vanish or explode like a power of the recurrent matrix; gated memory has a path on "
    "which they do neither, and clipping the gradient norm prevents divergence."
)
H, GAINS = 32, (0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)


class LinearCell(nn.Cell):
    """A linear cell: h' = W x + W_h h."""

    def step(self, h, x):
        h = x + self.recurrent(h)
        return h, h


def gradient_norms(layer, x):
    """Return the gradient norms of the summed last output by lag, starting with lag 0."""
    flows = insight.gradient_flow(layer, x, loss=lambda returned: returned[0][-1].sum())
    return flows["l0"].norms()[::-1]


def linear_norms(W, steps):
    """Return the gradient norms of a linear network with the recurrent matrix W."""
    layer = nn.Recurrent(LinearCell(1, len(W), bias=False, dtype=float))
    layer.load_state_dict({"weight_hh_l0": W, "weight_ih_l0": np.zeros((len(W), 1))})
    return gradient_norms(layer, np.zeros((steps, 1, 1)))


def log_rate(norms):
    """Return the change of the log norm per step, by a linear fit."""
    return np.polyfit(np.arange(len(norms)), np.log(norms), 1)[0]


def loss(model, x):
    """Compare the mean of the units at the end with the mean of the inputs."""
    outputs, _ = model(x)
    return nn.functional.mse_loss(outputs[-1].mean(-1), x.mean((0, 2)))


def train_exploding(demo, clip):
    """Train ReLU units from a recurrent matrix that is too large; return the losses."""
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


def record_linear(demo, T):
    """Compare the gradients of linear networks with powers of W; return their norms."""
    Q, _ = np.linalg.qr(demo.rng.normal(size=(H, H)))  # orthogonal
    linear = {f"{gain} Q": linear_norms(gain * Q, T) for gain in GAINS}
    errors = [abs(log_rate(n) - np.log(g)) for n, g in zip(linear.values(), GAINS, strict=True)]
    row = "W = g Q: error of decay rate"
    demo.record(row, max(errors), at_most=1e-10, quick=1e-10)
    W = np.kron(np.eye(H // 2), [[0.8, 2.0], [0.0, 0.7]])
    linear["not normal"] = linear_norms(W, T)
    error = abs(log_rate(linear["not normal"][-20:]) - np.log(0.8))
    norm = np.linalg.norm(W, 2)
    demo.record("non-normal W: largest singular value", norm, at_least=1, quick=1)
    row = "non-normal W: error of decay rate"
    demo.record(row, error, at_most=1e-4, quick=1e-4)
    return linear


def nested_sigmoids(demo):
    """Return x, sigmoid(x), sigmoid(sigmoid(x)) and so on, and record the largest derivative."""
    values = [ag.tensor(np.linspace(-6, 6, 121), requires_grad=True)]
    for n in range(4):
        values.append(ag.sigmoid(values[n]))
    largest = ag.gradients(values[4].sum(), [values[0]])[0].numpy().max()
    row = "4 nested sigmoids: largest derivative"
    demo.record(row, largest, at_most=0.25**4, quick=0.25**4)
    return [value.numpy() for value in values]


def record_cells(demo, T):
    """Measure the gradients of untrained cells; return their norms."""
    noise = demo.rng.normal(size=(T, 4, H)).astype("float32")
    cells = {
        "RNN, tanh": nn.RNN(H, H),
        "RNN, ReLU": nn.RNN(H, H, nonlinearity="relu"),
        "IRNN": nn.Recurrent(nn.IRNNCell(H, H)),
        "GRU": nn.GRU(H, H),
        "LSTM": nn.LSTM(H, H),
        "LSTM with peepholes": nn.PeepholeLSTM(H, H),
        "LSTM, open gates": (open_lstm := nn.LSTM(H, H)),
    }
    fixed_gates = nn.LSTM(3, H, dtype=float)
    with ag.no_grad():
        open_lstm.bias_ih_l0[H : 2 * H] = 5  # the forget gate is almost 1
        fixed_gates.weight_hh_l0[:] = 0  # the gates do not depend on the state
    flows = {name: gradient_norms(cell, noise) for name, cell in cells.items()}
    for name, norms in flows.items():
        demo.record(f"relative gradient, {name}", norms[-1] / norms[0])
    with insight.capture(fixed_gates) as traces:
        fixed_gates(demo.rng.normal(size=(50, 4, 3)))
    derivatives = np.einsum("bii->bi", insight.jacobian(traces[0], "c", "c")[-1])
    error = np.abs(derivatives / traces[0]["f"].numpy().prod(0) - 1).max()
    row = "fixed gates: error of dc_T/dc_0"
    demo.record(row, error, at_most=1e-10, quick=1e-10)
    return flows


def main(demo):
    T = demo.choose(200, 100)
    linear = record_linear(demo, T)
    x, *ys = nested_sigmoids(demo)
    flows = record_cells(demo, T)
    figure, (left, right) = subplots(1, 2, width=13, height=5.2)
    insight.draw_over_time(linear, "lag (steps)", title="Linear networks: g^n for g Q", axes=left)
    insight.draw_over_time(flows, "lag (steps)", title="Seven untrained cells", axes=right)
    right.set_ylim(1e-12, 1e4)
    demo.save_figure("flow.png", figure, "gradient norms by lag")

    clipped, unclipped = train_exploding(demo, 1.0), train_exploding(demo, None)
    demo.record("loss with clipping", np.median(clipped[-20:]), at_most=0.01, quick=0.02)
    demo.record("loss without clipping", unclipped[-1], at_least=100, quick=100)
    curves = {"clipped at norm 1": clipped, "not clipped": unclipped}
    figure, (left, right) = subplots(1, 2, width=13, height=4.2)
    for count, y in enumerate(ys, 1):
        left.plot(x, y - y.min(), label=f"{count} sigmoids")
    left.set(xlabel="x", ylabel="y - min y", title="Nested sigmoids are nearly constant")
    left.legend()
    insight.draw_over_time(curves, "update", "loss", "Clipping prevents divergence", axes=right)
    demo.save_figure("clipping.png", figure, "why gradients vanish, and the effect of clipping")
