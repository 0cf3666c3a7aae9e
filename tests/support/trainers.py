"""A small trainer, and helpers of its tests."""

from itertools import count
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import data, nn, optim
from tinygrad_rnn.training import Trainer

SCHEDULES = optim.lr_scheduler


class ParityClassifier(nn.Module):
    """Classify whether the number of positive inputs (T, B, 1) is even or odd."""

    def __init__(self, dropout: float = 0.0) -> None:
        self.gru = nn.GRU(1, 6)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(6, 2)

    def forward(self, x: Any, lengths: Any = None) -> Any:
        _, last = self.gru(x, lengths=lengths)
        return self.readout(self.dropout(last[0]))


def examples(n: int = 24) -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(0)
    sequences = [rng.choice([-1, 1], (k, 1)).astype(np.float32) for k in rng.integers(1, 6, n)]
    return [(sequence, int((sequence > 0).sum() % 2)) for sequence in sequences]


def loss(model: Any, batch: Any) -> Any:
    x, lengths, labels = batch
    return nn.functional.cross_entropy(model(x, lengths), labels), len(labels)


def make_trainer(
    batch_size: int = 5, dropout: float = 0.0, lr: float = 0.05, **options: Any
) -> Trainer:
    """Return a trainer with fixed seeds. `schedule` may be a function of the optimizer."""
    ag.manual_seed(1)
    model = ParityClassifier(dropout)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    if callable(options.get("schedule")):
        options["schedule"] = options["schedule"](optimizer)
    loader = data.DataLoader(examples(), batch_size, shuffle=True, collate_fn=data.pad_collate)
    held_out = data.DataLoader(examples(7), 3, collate_fn=data.pad_collate)
    return Trainer(model, optimizer, loss, loader, options.pop("validation", held_out), **options)


def weights(trainer: Trainer) -> dict[str, np.ndarray]:
    return trainer.model.state_dict()


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], atol: float = 0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=atol, err_msg=name)


def evaluations(records: list[dict[str, Any]]) -> list[float]:
    return [record["loss"] for record in records if record["event"] == "evaluation"]


def interrupt(trainer: Trainer, call: int) -> None:
    """Train until the `call`-th call of the loss, which raises KeyboardInterrupt."""
    loss_function, calls = trainer.loss, count(1)

    def interrupted_loss(model: Any, batch: Any) -> Any:
        value = loss_function(model, batch)
        if trainer.model.training and next(calls) == call:
            raise KeyboardInterrupt
        return value

    trainer.loss = interrupted_loss
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(9, progress=False)
    trainer.loss = loss_function


def scripted_validation(values: list[float]) -> Any:
    """Return a validation function that returns these numbers one after the other."""
    remaining = iter(values)
    return lambda model: next(remaining)
