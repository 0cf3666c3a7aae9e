"""A custom recurrent cell: define it, check its gradients, and train it.

    python examples/custom_cell.py

The cell is the update gate RNN (Collins, Sohl-Dickstein & Sussillo 2017, "Capacity and trainability
in recurrent neural networks"): h' = g * h + (1 - g) * c with a gate g and a candidate c. The task
is the adding problem (Hochreiter & Schmidhuber 1997): the sum of two marked numbers among 50.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import models, nn, optim

T, BATCH_SIZE, UPDATES = 50, 64, 400


class UpdateGateCell(nn.Cell):
    gates = 2  # blocks of rows in the weights: g and c

    def step(self, h, x):
        """Return the new state and the output; x is the input projection W_ih x + b_ih + b_hh."""
        g, c = ag.split(x + self.recurrent(h), 2, axis=-1)
        g = ag.sigmoid(g)
        h = g * h + (1 - g) * ag.tanh(c)
        return h, h


def make_batch(rng):
    """Return numbers with marks (T, B, 2), and the sums of the two marked numbers (B,)."""
    x = np.zeros((T, BATCH_SIZE, 2), np.float32)
    x[:, :, 0] = rng.uniform(0, 1, (T, BATCH_SIZE))
    for half in (0, T // 2):
        x[rng.integers(half, half + T // 2, BATCH_SIZE), np.arange(BATCH_SIZE), 1] = 1
    return ag.tensor(x), ag.tensor((x[:, :, 0] * x[:, :, 1]).sum(0))


rng = np.random.default_rng(0)
ag.manual_seed(0)

# Compare the derivatives of two steps, up to order 2, with finite differences.
cell = UpdateGateCell(2, 3, dtype="float64")


def run(x, h, weight_ih, weight_hh):
    cell.weight_ih, cell.weight_hh = weight_ih, weight_hh
    return cell(x[1], cell(x[0], h))


x, h = rng.normal(size=(2, 4, 2)), rng.normal(size=(4, 3))
ag.testing.check_gradients(run, x, h, cell.weight_ih, cell.weight_hh)
print("the gradients agree with finite differences")

model = models.SequenceClassifier(nn.Recurrent(UpdateGateCell(2, 32)), 1)
optimizer = optim.Adam(model.parameters(), lr=0.01)
for update in range(1, UPDATES + 1):
    x, sums = make_batch(rng)
    loss = nn.functional.mse_loss(model(x)[:, 0], sums)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if update % 50 == 0:
        print(f"update {update:3d}   squared error {loss.item():.4f}   (predicting 1: 0.1667)")
