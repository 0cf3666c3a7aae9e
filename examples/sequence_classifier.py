"""Classifying sequences of different lengths: a GRU, a DataLoader that pads, and a Trainer.

    python examples/sequence_classifier.py

A sequence is a noisy wave of 10 to 40 steps: a sine, a square or a sawtooth of any frequency and
phase. The GRU reads it to its own end, and its last state says which it was.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn, optim, training

WAVES = {
    "sine": np.sin,
    "square": lambda t: np.sign(np.sin(t)),
    "sawtooth": lambda t: t / np.pi % 2 - 1,
}


def make_examples(count, seed):
    """Pairs of a sequence (T, 1) and the number of its wave."""
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        label, steps = rng.integers(len(WAVES)), rng.integers(10, 41)
        t = rng.uniform(0, 2 * np.pi) + rng.uniform(0.4, 0.9) * np.arange(steps)
        wave = list(WAVES.values())[label](t) + rng.normal(0, 0.1, steps)
        examples.append((wave.astype(np.float32)[:, None], int(label)))
    return examples


def loss(model, batch):
    x, lengths, labels = batch
    return nn.functional.cross_entropy(model(x, lengths), labels), len(labels)


def accuracy(model, batches):
    right = [
        ag.argmax(model(x, lengths), axis=1).numpy() == labels.numpy()
        for x, lengths, labels in batches
    ]
    return np.concatenate(right).mean()


ag.manual_seed(0)
examples = make_examples(800, seed=0)
lengths = [len(sequence) for sequence, _ in examples]
train = data.DataLoader(examples, 32, shuffle=True, collate_fn=data.pad_collate, lengths=lengths)
held_out = data.DataLoader(make_examples(200, seed=1), 100, collate_fn=data.pad_collate)

model = models.SequenceClassifier(nn.GRU(1, 32), len(WAVES))
optimizer = optim.Adam(model.parameters(), lr=1e-2)
trainer = training.Trainer(
    model,
    optimizer,
    loss,
    train,
    held_out,
    schedule=optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=1),
    clip=1.0,
)
trainer.fit(epochs=15, patience=5)

model.eval()
print(f"the best model is that of epoch {trainer.position.best_epoch}")
print(f"{accuracy(model, held_out):.1%} of waves it has never seen are recognised")
