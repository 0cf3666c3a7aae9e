"""A trainer to be tested, and what several of its tests do with it."""

from itertools import count
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import data, nn, optim
from tinygrad_rnn.training import Trainer

SCHEDULES = optim.lr_scheduler


class Counter(nn.Module):
    """Scores of how many of the inputs (T, B, 1) were above 0: even or odd."""

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


def make(batch_size: int = 5, dropout: float = 0.0, lr: float = 0.05, **options: Any) -> Trainer:
    """A trainer that is the same whenever it is made. `schedule` may be a function."""
    ag.manual_seed(1)
    model = Counter(dropout)
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


def stumble(trainer: Trainer, call: int) -> None:
    """Train until the loss is asked for the `call`-th time, and its answer is interrupted."""
    answer, calls = trainer.loss, count(1)

    def stumbling(model: Any, batch: Any) -> Any:
        value = answer(model, batch)
        if trainer.model.training and next(calls) == call:
            raise KeyboardInterrupt
        return value

    trainer.loss = stumbling
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(9, progress=False)
    trainer.loss = answer


def failing(values: list[float]) -> Any:
    """A validation that gives these numbers, one after another."""
    rest = iter(values)
    return lambda model: next(rest)
