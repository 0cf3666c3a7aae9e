"""Classify sequences of different lengths with a GRU, a padding DataLoader and a Trainer.

    python examples/sequence_classifier.py

A sequence is a noisy wave of 10 to 40 steps: a sine, a square wave or a sawtooth with a random
frequency and phase. The state of the GRU at the end of the sequence determines the class.
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
    """Return pairs of a sequence (T, 1) and the index of its class."""
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
    correct = [
        ag.argmax(model(x, lengths), axis=1).numpy() == labels.numpy()
        for x, lengths, labels in batches
    ]
    return np.concatenate(correct).mean()


ag.manual_seed(0)
examples = make_examples(800, seed=0)
lengths = [len(sequence) for sequence, _ in examples]
train = data.DataLoader(examples, 32, shuffle=True, collate_fn=data.pad_collate, lengths=lengths)
validation = data.DataLoader(make_examples(200, seed=1), 100, collate_fn=data.pad_collate)

model = models.SequenceClassifier(nn.GRU(1, 32), len(WAVES))
optimizer = optim.Adam(model.parameters(), lr=1e-2)
trainer = training.Trainer(
    model,
    optimizer,
    loss,
    train,
    validation,
    schedule=optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=1),
    clip=1.0,
)
trainer.fit(epochs=15, patience=5)

model.eval()
print(f"best epoch: {trainer.position.best_epoch}")
print(f"validation accuracy: {accuracy(model, validation):.1%}")
