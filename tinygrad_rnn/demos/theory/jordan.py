"""Jordan and Elman networks: feeding back the output, or the hidden state.

    tinygrad-rnn demo jordan

This demo compares what Jordan and Elman networks can remember. Both learn to turn a constant plan
vector into a sequence of symbols, the task that Jordan's network was designed for: each symbol
occurs once, so the last output determines the position in the sequence. In a second task, the
networks repeat the bits that they read, and must output the first bit again at the end. Jordan's
network remembers only its output, which does not depend on the first bit in between; Elman's has a
hidden state that keeps it. (M. I. Jordan, "Serial order: a parallel distributed processing
approach", 1986; J. L. Elman, "Finding structure in time", 1990.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import COLORS, draw_heat_map, subplots

CLAIM = (
    "Networks that feed back their output and networks that feed back their hidden state both turn "
    "a plan into a sequence; only the hidden state remembers information that is not in the output."
)
PLANS, SYMBOLS, STEPS = 8, 6, 12


class Jordan(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        self.rnn = nn.JordanRNN(inputs, hidden, output_size=outputs)

    def forward(self, x):
        return self.rnn(x)[0]


class Elman(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        self.rnn, self.readout = nn.RNN(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.readout(self.rnn(x)[0])


def loss(model, batch):
    inputs, targets = batch
    return nn.functional.mse_loss(model(inputs), targets)


def plan_batch(rng):
    """Return one-hot plans, constant over time (T, B, plans), and random sequences (T, B, symbols).

    Each sequence contains every symbol once.
    """
    orders = np.stack([rng.permutation(SYMBOLS) for _ in range(PLANS)], axis=1)
    inputs = np.broadcast_to(np.eye(PLANS, dtype="float32"), (SYMBOLS, PLANS, PLANS))
    return ag.tensor(inputs.copy()), ag.one_hot(orders, SYMBOLS, dtype="float32")


def recall_batch(rng, size=32):
    """Return inputs (T, B, 2) and targets (T, B, 1) of the recall task.

    The inputs are bits of +1 and -1, and a cue at the last step. The targets are the same bits, and
    the first bit at the last step.
    """
    bits = rng.choice(np.array([-1, 1], "float32"), (STEPS, size))
    cue = np.zeros_like(bits)
    bits[-1], cue[-1] = 0, 1
    targets = np.concatenate([bits[:-1], bits[:1]])
    return ag.tensor(np.stack([bits, cue], axis=2)), ag.tensor(targets[..., None])


def main(demo):
    plan_outputs, recall, recall_outputs = {}, {}, {}
    plans = plan_batch(demo.rng)
    inputs, targets = recall_batch(demo.rng, 2000)
    flipped = inputs.numpy()[:, :1].copy()
    flipped[0] *= -1
    pair = ag.tensor(np.concatenate([inputs.numpy()[:, :1], flipped], axis=1))
    for network in (Jordan, Elman):
        name = network.__name__
        model = network(PLANS, 32, SYMBOLS)
        demo.train(model, loss, [plans], steps=2000, quick=1000, rate=0.01)
        with ag.no_grad():
            plan_outputs[name] = model(plans[0]).numpy()
        correct = plan_outputs[name].argmax(2) == plans[1].numpy().argmax(2)
        fraction = correct.all(0).mean()
        demo.record(f"{name}: plans executed correctly", fraction, "%", at_least=1, quick=1)

        model = network(2, 24, 1)
        demo.train(model, loss, recall_batch, steps=2000, quick=700, rate=0.005)
        with ag.no_grad():
            correct = np.sign(model(inputs).numpy()) == targets.numpy()
            recall_outputs[name] = model(pair).numpy()[..., 0]
        demo.record(f"{name}: bits repeated correctly", correct[:-1].mean(), "%")
        recall[name] = correct[-1].mean()
    demo.record("Elman: first bit recalled", recall["Elman"], "%", at_least=0.99, quick=0.9)
    demo.record("Jordan: first bit recalled", recall["Jordan"], "%", at_most=0.6, quick=0.7)

    figure, axes = subplots(1, 2, height=3.6, sharey=True)
    for axis, (name, outputs) in zip(axes, plan_outputs.items(), strict=True):
        draw_heat_map(axis, outputs[:, 0].T)
        axis.plot(plans[1].numpy()[:, 0].argmax(1), "o", color=COLORS[1])
        axis.set(xlabel="step", title=f"{name}: outputs for a plan (targets: dots)")
    axes[0].set_ylabel("symbol")
    demo.save_figure("plan.png", figure, "both networks produce the sequence of a plan")

    figure, axes = subplots(2, 1, height=5, sharex=True)
    for axis, (name, outputs) in zip(axes, recall_outputs.items(), strict=True):
        for k, label in enumerate(("first bit -1", "first bit +1")):
            column = np.argsort(pair.numpy()[0, :, 0])[k]
            axis.plot(outputs[:, column], "os"[k] + "-", label=label)
        axis.axvline(STEPS - 1, color=COLORS[6], linestyle=":")
        axis.set(ylabel="output", title=f"{name}: two sequences that differ in the first bit")
    axes[1].set(xlabel="step (dotted: the cue to recall the first bit)")
    axes[0].legend(loc="center left")
    demo.save_figure("secret.png", figure, "outputs for two sequences that differ in the first bit")
