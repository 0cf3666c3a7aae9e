"""Two stacked LSTM cells are trained on sine waves with L-BFGS, and continue unseen waves.

`--png FILE` plots three unseen waves with their continuations; `--help` shows the options.
"""

import argparse

import numpy as np

import autograd as ag
from tinygrad_rnn import nn, optim


def waves(count, length, period=20):
    """Return sine waves with random phases: (count, length)."""
    shifts = np.random.default_rng(2).integers(-4 * period, 4 * period, (count, 1))
    return np.sin((np.arange(length) + shifts) / period)


class Sequence(nn.Module):
    """Predict the next value at each step, and `future` values after the last step."""

    def __init__(self, hidden=51):
        super().__init__()
        self.hidden = hidden
        self.lstm1 = nn.LSTMCell(1, hidden)
        self.lstm2 = nn.LSTMCell(hidden, hidden)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t = ag.zeros((input.shape[0], self.hidden), dtype="float64")
        c_t = ag.zeros((input.shape[0], self.hidden), dtype="float64")
        h_t2 = ag.zeros((input.shape[0], self.hidden), dtype="float64")
        c_t2 = ag.zeros((input.shape[0], self.hidden), dtype="float64")

        for input_t in ag.split(input, input.shape[1], axis=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for _ in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return ag.concatenate(outputs, axis=1)


def train(seq, input, target, optimizer, criterion):
    """Run one L-BFGS step; return the losses of its evaluations."""
    losses = []

    def closure():
        optimizer.zero_grad()
        out = seq(input)
        loss = criterion(out, target)
        loss.backward()
        losses.append(loss.item())
        return loss

    optimizer.step(closure)
    return losses


def draw(path, y, known):
    """Plot three waves: the inputs as solid lines, the predictions as dotted lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot()
    for wave, color in zip(y, ("C3", "C2", "C0"), strict=False):
        axes.plot(np.arange(known), wave[:known], color=color)
        axes.plot(np.arange(known, len(wave)), wave[known:], ":", color=color)
    figure.savefig(path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6, help="L-BFGS steps")
    parser.add_argument("--length", type=int, default=200, help="length of each wave")
    parser.add_argument(
        "--count", type=int, default=30, help="number of waves, including three for test"
    )
    parser.add_argument("--future", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--png")
    args = parser.parse_args(argv)

    ag.manual_seed(args.seed)
    data = waves(args.count, args.length)
    input = ag.tensor(data[3:, :-1])
    target = ag.tensor(data[3:, 1:])
    test_input = ag.tensor(data[:3, :-1])
    test_target = ag.tensor(data[:3, 1:])

    seq = Sequence()
    seq.double()
    criterion = nn.MSELoss()
    optimizer = optim.LBFGS(seq.parameters(), lr=0.8)
    for step in range(args.steps):
        losses = train(seq, input, target, optimizer, criterion)
        with ag.no_grad():
            pred = seq(test_input, future=args.future)
            loss = criterion(pred[:, : -args.future], test_target)
        print(f"step {step}   training {losses[-1]:.2e}   test {loss.item():.2e}", flush=True)
    if args.png:
        draw(args.png, pred.detach().numpy(), test_input.shape[1])


if __name__ == "__main__":
    main()
