"""Jordan's network and Elman's: what is fed back is the output, or the state.

    tinygrad-rnn demo jordan

A plan, held before the network all the while, names a sequence, and the network produces it: that
is what Jordan's network was made for, and Elman's does it too. Each symbol comes once, so the last
output says how far one has come. Then both are to keep a secret: a first bit is to be told at the
end, and until then they repeat what they hear. What Jordan's network says is all that it remembers,
and it says the same whatever the secret is; Elman's has a state to itself. (M. I. Jordan, "Serial
order: a parallel distributed processing approach", 1986; J. L. Elman, "Finding structure in time",
1990.)
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.plotting import COLORS, draw_heat_map, subplots

CLAIM = (
    "A network whose output is fed back and one whose hidden state is both turn a plan into a "
    "sequence; only the hidden state remembers what has not been said."
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


def plans(rng):
    """Inputs (T, B, plans), the same at each step, and sequences (T, B, symbols), in any order."""
    orders = np.stack([rng.permutation(SYMBOLS) for _ in range(PLANS)], axis=1)
    inputs = np.broadcast_to(np.eye(PLANS, dtype="float32"), (SYMBOLS, PLANS, PLANS))
    return ag.tensor(inputs.copy()), ag.one_hot(orders, SYMBOLS, dtype="float32")


def secrets(rng, size=32):
    """Inputs (T, B, 2): bits of +1 and -1, and at the end a sign to tell the first of them; targets
    (T, B, 1): the bits as they are heard, and then the first."""
    heard = rng.choice(np.array([-1, 1], "float32"), (STEPS, size))
    sign = np.zeros_like(heard)
    heard[-1], sign[-1] = 0, 1
    told = np.concatenate([heard[:-1], heard[:1]])
    return ag.tensor(np.stack([heard, sign], axis=2)), ag.tensor(told[..., None])


def main(demo):
    recited, told, spoken = {}, {}, {}
    by_heart = plans(demo.rng)
    inputs, targets = secrets(demo.rng, 2000)
    other = inputs.numpy()[:, :1].copy()
    other[0] *= -1
    pair = ag.tensor(np.concatenate([inputs.numpy()[:, :1], other], axis=1))
    for kind in (Jordan, Elman):
        name = kind.__name__
        model = kind(PLANS, 32, SYMBOLS)
        demo.train(model, loss, [by_heart], steps=2000, quick=1000, rate=0.01)
        with ag.no_grad():
            recited[name] = model(by_heart[0]).numpy()
        right = recited[name].argmax(2) == by_heart[1].numpy().argmax(2)
        share = right.all(0).mean()
        demo.record(f"{name}: plans turned into sequences", share, "%", at_least=1, quick=1)

        model = kind(2, 24, 1)
        demo.train(model, loss, secrets, steps=2000, quick=700, rate=0.005)
        with ag.no_grad():
            right = np.sign(model(inputs).numpy()) == targets.numpy()
            spoken[name] = model(pair).numpy()[..., 0]
        demo.record(f"{name}: repeats what it hears", right[:-1].mean(), "%")
        told[name] = right[-1].mean()
    demo.record("Elman: tells the secret", told["Elman"], "%", at_least=0.99, quick=0.9)
    demo.record("Jordan: tells the secret", told["Jordan"], "%", at_most=0.6, quick=0.7)

    figure, axes = subplots(1, 2, height=3.6, sharey=True)
    for axis, (name, outputs) in zip(axes, recited.items(), strict=True):
        draw_heat_map(axis, outputs[:, 0].T)
        axis.plot(by_heart[1].numpy()[:, 0].argmax(1), "o", color=COLORS[1])
        axis.set(xlabel="step", title=f"{name}: a plan (dots), carried out")
    axes[0].set_ylabel("symbol")
    demo.save_figure("plan.png", figure, "both networks produce the sequence that a plan names")

    figure, axes = subplots(2, 1, height=5, sharex=True)
    for axis, (name, outputs) in zip(axes, spoken.items(), strict=True):
        for k, secret in enumerate(("secret -1", "secret +1")):
            axis.plot(outputs[:, np.argsort(pair.numpy()[0, :, 0])[k]], "os"[k] + "-", label=secret)
        axis.axvline(STEPS - 1, color=COLORS[6], linestyle=":")
        axis.set(ylabel="output", title=f"{name}: two secrets (step 0), the same heard after")
    axes[1].set(xlabel="step (at the last, dotted, the secret is to be told)")
    axes[0].legend(loc="center left")
    demo.save_figure(
        "secret.png", figure, "outputs for two sequences that differ in the first input only"
    )
