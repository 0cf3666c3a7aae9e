"""Resuming from a folder and continuing after an error give bit-identical results."""

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainers import (
    SCHEDULES,
    assert_same,
    evaluations,
    examples,
    interrupt,
    loss,
    make_trainer,
    weights,
)

import autograd as ag
from tinygrad_rnn import data, nn, optim
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.training import Limits, Session, Trainer, TruncatedBPTT, serialization
from tinygrad_rnn.training.progress import NoProgress
from tinygrad_rnn.training.signals import SignalRecorder

ALL_OPTIONS: dict[str, Any] = {
    "dropout": 0.3,
    "clip": 1.0,
    "accumulate": 2,
    "schedule": lambda o: SCHEDULES.ReduceLROnPlateau(o, patience=0),
    "evaluate_every": 2,
}


@pytest.mark.parametrize("steps", [1, 3, 4, 7])
def test_resumed_training_equals_training_without_interruption(tmp_path: Path, steps: int) -> None:
    """Training stops within an epoch and at its end, and resumes in a new trainer."""
    reference = make_trainer(**ALL_OPTIONS)
    expected = reference.fit(4, folder=tmp_path / "reference", progress=False)
    make_trainer(**ALL_OPTIONS).fit(max_steps=steps, folder=tmp_path / "parts", progress=False)
    ag.manual_seed(77)
    resumed = make_trainer(**ALL_OPTIONS)
    actual = resumed.fit(4, folder=tmp_path / "parts", resume=True, progress=False)

    def updates(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [r | {"seconds": 0} for r in records if r["event"] == "update"]

    assert updates(actual) == updates(expected)
    assert_same(weights(resumed), weights(reference))
    for name in ("last.safetensors", "model.safetensors"):
        one, other = (
            serialization.read_arrays(tmp_path / run / name)[0] for run in ("reference", "parts")
        )
        assert_same(one, other)


@pytest.mark.host
@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"accumulate": 2}])
@pytest.mark.parametrize("call", [1, 2, 5, 6, 7])
def test_a_failed_update_can_be_repeated(call: int, options: dict[str, Any]) -> None:
    reference = make_trainer(**options)
    reference.fit(2, progress=False)
    trainer = make_trainer(**options)
    interrupt(trainer, call)
    trainer.fit(2, progress=False)
    assert trainer.position == reference.position
    assert_same(weights(trainer), weights(reference))


def test_shuffled_validation_data_keep_their_order(tmp_path: Path) -> None:
    """The order does not depend on earlier evaluations or on the seed of the process."""

    def shuffled(seed: int) -> Trainer:
        trainer = make_trainer()
        generator = ag.Generator(seed)
        batches = data.DataLoader(
            examples(), 3, True, generator=generator, collate_fn=data.pad_collate
        )
        return Trainer(trainer.model, trainer.optimizer, order, trainer.batches, batches)

    def order(model: Any, batch: Any) -> Any:
        if not model.training:
            orders[-1].append(batch[1].tolist())
        return loss(model, batch)

    orders: list[Any] = [[]]
    one = shuffled(1)
    one.fit(1, folder=tmp_path, progress=False)
    count = len(orders[0]) // 2
    assert orders[0][:count] == orders[0][count:] != sorted(orders[0][:count])
    orders.append([])
    two = shuffled(2)
    two.fit(2, folder=tmp_path, resume=True, progress=False)
    assert orders[1] == orders[0][:count]


def test_the_folder_contains_the_records_and_the_model(tmp_path: Path) -> None:
    records = make_trainer().fit(1, folder=tmp_path / "deep/run", progress=False)
    lines = (tmp_path / "deep/run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
    assert {path.name for path in (tmp_path / "deep/run").iterdir()} == {
        "last.safetensors",
        "metrics.jsonl",
        "model.safetensors",
    }


def test_the_last_model_is_saved_without_validation(tmp_path: Path) -> None:
    trainer = make_trainer(validation=None)
    trainer.fit(1, folder=tmp_path, progress=False)
    assert_same(serialization.read_arrays(tmp_path / "model.safetensors")[0], weights(trainer))


def test_a_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    make_trainer().fit(1, folder=tmp_path, progress=False)
    checkpoint = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(InputError, match="resume=True"):
        make_trainer().fit(2, folder=tmp_path, progress=False)
    assert (tmp_path / "last.safetensors").read_bytes() == checkpoint


def test_a_checkpoint_of_another_model_is_an_error(tmp_path: Path) -> None:
    make_trainer().fit(1, folder=tmp_path, progress=False)
    other = make_trainer()
    other.model.readout = nn.Linear(6, 3)
    with pytest.raises(InputError, match=r"last.safetensors belongs to another model"):
        other.fit(2, folder=tmp_path, resume=True, progress=False)


@pytest.mark.host
@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_training_after_the_update(
    tmp_path: Path, number: int, ends: type[BaseException]
) -> None:
    def send(record: dict[str, Any]) -> None:
        if record["step"] == 3:
            os.kill(os.getpid(), number)

    trainer = make_trainer()
    with pytest.raises(ends):
        trainer.fit(5, folder=tmp_path, on_step=send, progress=False)
    resumed = make_trainer()
    resumed.fit(5, folder=tmp_path, resume=True, progress=False)
    reference = make_trainer()
    reference.fit(5, progress=False)
    assert trainer.position.step == 3
    assert_same(weights(resumed), weights(reference))


@pytest.mark.host
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
    ],
)
def test_a_second_signal_has_its_usual_effect(first: int, second: int) -> None:
    """The first signal is recorded. Afterwards the previous handlers are active."""

    def act(number: int, frame: Any) -> None:
        raise ProcessLookupError(number)

    handlers = {number: signal.signal(number, act) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signals = SignalRecorder()
        with signals.recording():
            os.kill(os.getpid(), first)
            assert signals.signal == first
            with pytest.raises(ProcessLookupError):
                os.kill(os.getpid(), second)
        assert {signal.getsignal(number) for number in handlers} == {act}
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"max_seconds": 1000.0}, 1000.0),
        ({"max_seconds": 1000.0, "max_steps": 10**12}, 1000.0),
        ({"max_seconds": 1e-9}, 0.0),
        ({"patience": 1}, None),
    ],
)
def test_the_remaining_time_is_bounded_by_max_seconds(limits: Any, most: float | None) -> None:
    class Display(NoProgress):
        def update(self, status: Any) -> None:
            shown.append(status.seconds_left)
            session.limit = "enough"

    shown: list[float] = []
    session = Session(None, make_trainer(), Limits(**limits))
    session.limit = None
    session._check_limits = lambda: None  # type: ignore[method-assign]
    session.train(Display())
    (left,) = shown
    assert left == math.inf if most is None else 0 <= left <= most


class StreamModel(nn.Module):
    """A model that returns its state, as truncated BPTT requires."""

    def __init__(self) -> None:
        self.rnn = nn.RNN(1, 5)
        self.readout = nn.Linear(5, 1)

    def forward(self, x: Any, state: Any = None) -> Any:
        y, state = self.rnn(x, state)
        return self.readout(y), state


def make_stream_trainer(k2: int) -> Trainer:
    ag.manual_seed(2)
    wave = np.sin(np.arange(61, dtype=np.float32) / 3)[:, None]
    model = StreamModel()
    return Trainer(
        model,
        optim.Adam(model.parameters(), lr=0.04),
        lambda run, batch: nn.functional.mse_loss(run(batch[0]), batch[1]),
        data.StatefulBatches(wave, 3, 5),
        data.StatefulBatches(wave[:21], 1, 5),
        bptt=TruncatedBPTT(5, k2),
    )


@pytest.mark.host
@pytest.mark.parametrize("k2", [5, 8])
def test_training_on_a_stream_resumes_within_an_epoch(tmp_path: Path, k2: int) -> None:
    reference = make_stream_trainer(k2)
    losses = evaluations(reference.fit(12, folder=tmp_path / "reference", progress=False))
    assert losses[-1] < 0.5 * losses[0]
    make_stream_trainer(k2).fit(max_steps=34, folder=tmp_path / "parts", progress=False)
    resumed = make_stream_trainer(k2)
    resumed.fit(12, folder=tmp_path / "parts", resume=True, progress=False)
    assert_same(weights(resumed), weights(reference))


@pytest.mark.parametrize("k2", [5, 8])
@pytest.mark.parametrize("call", [5, 9])
def test_a_chunk_is_read_again_after_a_failed_update(call: int, k2: int) -> None:
    reference, trainer = make_stream_trainer(k2), make_stream_trainer(k2)
    reference.validation = trainer.validation = None
    reference.fit(3, progress=False)
    interrupt(trainer, call)
    trainer.fit(3, progress=False)
    assert_same(weights(trainer), weights(reference))


def test_the_state_is_carried_between_batches_of_an_epoch() -> None:
    trainer = make_stream_trainer(5)
    trainer.update()
    assert trainer.bptt is not None
    x, y = trainer.batches.dataset[1]
    state = trainer.bptt._next_state
    expected = nn.functional.mse_loss(trainer.model(ag.tensor(x), state)[0], y).item()
    assert trainer.update()["loss"] == pytest.approx(expected, rel=1e-6)
    while trainer.position.epoch == 1:
        trainer.update()
    x, y = trainer.batches.dataset[0]
    initial = nn.functional.mse_loss(trainer.model(ag.tensor(x))[0], y).item()
    assert trainer.update()["loss"] == pytest.approx(initial, rel=1e-6)
