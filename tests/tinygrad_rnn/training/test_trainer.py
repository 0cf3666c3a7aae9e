"""The trainer: updates, schedules, limits, divergence and invalid options."""

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ENVIRONMENT, ROOT
from helpers import on_host
from trainers import (
    SCHEDULES,
    ParityClassifier,
    assert_same,
    examples,
    loss,
    make_trainer,
    scripted_validation,
    weights,
)

import autograd as ag
from tinygrad_rnn import data, nn, optim
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.training import Trainer, TrainingDiverged, TruncatedBPTT, load, load_tree


def test_updates_equal_a_manual_training_loop() -> None:
    trainer = make_trainer(clip=0.5)
    trainer.fit(2, progress=False)
    hand = make_trainer()
    last = hand.model
    for _ in range(2):
        for batch in hand.batches:
            hand.optimizer.zero_grad()
            value, _ = loss(last, batch)
            value.backward()
            nn.utils.clip_grad_norm_(last.parameters(), 0.5)
            hand.optimizer.step()
    hand.validation = None
    best = trainer.position.best_step == trainer.position.step
    assert best, "the model below is the last only if that is the best"
    assert_same(weights(trainer), weights(hand))


@pytest.mark.parametrize("accumulate", [2, 3, 5])
def test_accumulated_gradients_equal_gradients_of_the_large_batch(accumulate: int) -> None:
    """The 24 examples form batches of 5, 5, 5, 5 and 4, which have different weights."""
    small, large = make_trainer(5, accumulate=accumulate), make_trainer(5 * accumulate)
    for trainer in (small, large):
        trainer.model.to("float64")
        trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.5)
    for _ in range(3 * large.steps_per_epoch):
        one, other = small.update(), large.update()
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-10)
        assert one["epoch"] == other["epoch"]
    assert small.position.epoch == large.position.epoch == 4
    assert_same(weights(small), weights(large), atol=1e-10)


def test_the_gradient_is_clipped() -> None:
    free, clipped = make_trainer(), make_trainer(clip=1e-3)
    norm = free.update()["gradient_norm"]
    assert clipped.update()["gradient_norm"] == norm > 1e-3
    actual = math.sqrt(sum((p.grad.numpy() ** 2).sum() for p in clipped.model.parameters()))
    assert actual == pytest.approx(1e-3, rel=1e-2)


def test_lbfgs_evaluates_a_batch_several_times() -> None:
    """The result equals a manual loop with a closure. A diverged trial point is not an error."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 6, 1))
    rows = list(zip(x, y, strict=True))

    def error(model: Any, batch: Any) -> Any:
        x, y = map(ag.tensor, batch)
        return ((model(x) - y) ** 2).mean(), len(x)

    def make_model() -> tuple[Any, Any]:
        ag.manual_seed(0)
        model = nn.Linear(3, 1, dtype="float64")
        options = {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-16}
        return model, optim.LBFGS(model.parameters(), **options)

    model, optimizer = make_model()
    (record,) = Trainer(model, optimizer, error, rows, accumulate=2).fit(1, progress=False)
    expected, optimizer = make_model()

    def closure() -> Any:
        optimizer.zero_grad()
        value = error(expected, (x.reshape(12, 3), y.reshape(12, 1)))[0]
        value.backward()
        return value

    assert record["loss"] == pytest.approx(optimizer.step(closure).item(), rel=1e-12)
    assert record["seen"] == 12
    assert_same(model.state_dict(), expected.state_dict(), atol=1e-9)
    expected = np.linalg.lstsq(np.c_[x.reshape(12, 3), np.ones(12)], y.reshape(12))[0]
    np.testing.assert_allclose(model.weight.numpy()[0], expected[:3], atol=1e-6)


def test_batches_may_be_a_list() -> None:
    batches = [data.pad_collate(examples()[:3]), data.pad_collate(examples()[3:8])]
    model = ParityClassifier()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    records = Trainer(model, optimizer, loss, batches).fit(3, progress=False)
    assert [record["seen"] for record in records] == [3, 8, 11, 16, 19, 24]


def test_the_loss_may_be_a_tensor_alone() -> None:
    trainer = make_trainer()
    trainer.loss = lambda model, batch: loss(model, batch)[0]
    assert trainer.update()["seen"] == 1


@pytest.mark.parametrize("kind", [np.int64, np.float32, ag.tensor])
def test_the_sample_count_may_be_of_any_numeric_type(tmp_path: Path, kind: Any) -> None:
    trainer = make_trainer(validation=None)
    trainer.loss = lambda model, batch: (loss(model, batch)[0], kind(len(batch[2])))
    records = trainer.fit(max_steps=2, folder=tmp_path, progress=False)
    assert [record["seen"] for record in records] == [5, 10]


def test_a_second_fit_keeps_the_best_weights() -> None:
    trainer = make_trainer(validation=scripted_validation([9.0, 1.0, 2.0, 3.0]))
    trainer.fit(1, progress=False)
    best = weights(trainer)
    trainer.update()
    trainer.fit(3, progress=False)
    assert_same(weights(trainer), best)


def test_dropout_is_active_in_training_and_not_in_evaluation() -> None:
    trainer = make_trainer(dropout=0.9)
    assert trainer.evaluate()["loss"] == make_trainer().evaluate()["loss"]
    assert trainer.model.dropout.training
    assert trainer.update()["loss"] != make_trainer().update()["loss"]


def test_modules_in_evaluation_mode_stay_in_evaluation_mode() -> None:
    trainer = make_trainer(dropout=0.5)
    trainer.model.dropout.eval()
    trainer.evaluate()
    assert not trainer.model.dropout.training
    assert trainer.model.gru.training


def rates(trainer: Trainer, epochs: int) -> list[float]:
    return [r["lr"] for r in trainer.fit(epochs, progress=False) if r["event"] == "update"]


def test_schedules_step_per_epoch_or_per_step() -> None:
    def halved(optimizer: Any) -> Any:
        return SCHEDULES.ExponentialLR(optimizer, 0.5)

    assert (
        rates(make_trainer(12, lr=1e-3, schedule=halved), 3)
        == [1e-3] * 2 + [5e-4] * 2 + [2.5e-4] * 2
    )
    assert rates(make_trainer(12, lr=1e-3, schedule=halved, schedule_per="step"), 2) == [
        1e-3,
        5e-4,
        2.5e-4,
        1.25e-4,
    ]


def test_a_plateau_of_the_validation_loss_lowers_the_learning_rate() -> None:
    """The evaluation before the first epoch does not count."""
    trainer = make_trainer(
        24,
        lr=1.0,
        schedule=lambda o: SCHEDULES.ReduceLROnPlateau(o, factor=0.1, patience=0),
        validation=scripted_validation([0.0, 5.0, 4.0, 6.0, 3.0]),
    )
    assert rates(trainer, 4) == pytest.approx([1.0, 1.0, 1.0, 0.1])


@pytest.mark.parametrize("options", [{"validation": None}, {"schedule_per": "step"}])
def test_reduce_lr_on_plateau_needs_validation_per_epoch(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs"):
        make_trainer(schedule=SCHEDULES.ReduceLROnPlateau, **options)


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (9, 7)])
def test_early_stopping_restores_the_best_weights(
    tmp_path: Path, patience: int, epochs: int, saved: bool
) -> None:
    values = [9.0, 5.0, 4.0, 6.0, 3.0, 7.0, 3.0, 8.0]
    trainer = make_trainer(validation=scripted_validation(values))
    states = [weights(trainer)]
    trainer.fit(
        7,
        patience=patience,
        folder=tmp_path if saved else None,
        on_epoch=lambda record: states.append(weights(trainer)),
        progress=False,
    )
    assert trainer.position.epoch - 1 == len(states) - 1 == epochs
    best = int(np.argmin(values[: epochs + 1]))
    assert trainer.position.best == values[best]
    assert_same(weights(trainer), states[best])


def test_evaluations_within_an_epoch(tmp_path: Path) -> None:
    trainer = make_trainer(4, evaluate_every=4)
    records = trainer.fit(2, progress=False)
    steps = [record["step"] for record in records if record["event"] == "evaluation"]
    assert steps == [0, 4, 6, 10, 12]


@pytest.mark.parametrize("limit", [{"max_steps": 7}, {"max_seconds": 1e-9}, {"epochs": 2}])
def test_limits(limit: dict[str, Any]) -> None:
    trainer = make_trainer()
    trainer.fit(progress=False, **limit)
    assert (
        trainer.position.step == {"max_steps": 7, "max_seconds": 0, "epochs": 10}[next(iter(limit))]
    )


def test_callbacks_receive_every_step_and_every_epoch() -> None:
    steps: list[dict[str, Any]] = []
    epochs: list[dict[str, Any]] = []
    make_trainer().fit(3, progress=False, on_step=steps.append, on_epoch=epochs.append)
    assert [record["step"] for record in steps] == list(range(1, 16))
    assert [(r["event"], r["epoch"]) for r in epochs] == [("evaluation", k) for k in (1, 2, 3)]
    plain = make_trainer(validation=None)
    plain.fit(2, progress=False, on_epoch=epochs.append)
    assert [(r["event"], r["epoch"]) for r in epochs[3:]] == [("update", 1), ("update", 2)]


def test_progress_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    make_trainer().fit(1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 0, step 0: validation 0.")
    assert lines[1].startswith("epoch 1, step 5: validation 0.")
    make_trainer().fit(1, progress=False)
    assert capsys.readouterr().out == ""


def test_a_nan_loss_stops_training_before_the_weights_change(tmp_path: Path) -> None:
    """The best model and the last checkpoint do not change."""
    trainer = make_trainer(clip=1.0)
    trainer.fit(1, folder=tmp_path, progress=False)
    best = (tmp_path / "model.safetensors").read_bytes()
    trainer = make_trainer(clip=1.0)
    trainer.loss = lambda model, batch: (
        loss(model, batch)[0] * (math.nan if trainer.position.step == 6 else 1)
    )
    with pytest.raises(
        TrainingDiverged, match=r"diverged at step 7: .* nan; .* rate \(0.05\) is too"
    ):
        trainer.fit(2, folder=tmp_path, resume=True, progress=False)
    assert trainer.position.step == 6
    assert all(np.isfinite(array).all() for array in weights(trainer).values())
    assert (tmp_path / "model.safetensors").read_bytes() == best
    again = make_trainer(clip=1.0)
    again.fit(2, folder=tmp_path, resume=True, progress=False)
    assert again.position.step == 10


def test_a_nan_in_the_first_loss_names_the_data() -> None:
    trainer = make_trainer()
    trainer.loss = lambda model, batch: loss(model, batch)[0] * math.nan
    with pytest.raises(
        TrainingDiverged, match=r"at step 1: .*the first batch or the initial weights"
    ):
        trainer.update()


def test_an_exploding_gradient_is_reported_with_a_hint_at_clipping() -> None:
    trainer = make_trainer()
    trainer.update()
    trainer.loss = lambda model, batch: ag.sqrt(loss(model, batch)[0] * 0)
    with pytest.raises(TrainingDiverged, match=r"step 2: the gradient norm is nan; .*clip=1.0"):
        trainer.update()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("finite", [0, 1, 2])
def test_a_validation_loss_that_is_not_finite_stops_training(
    tmp_path: Path, finite: int, value: float
) -> None:
    """The last model is saved, and the best model if one was evaluated."""
    trainer = make_trainer(validation=scripted_validation([*[1.0, 0.5][:finite], value]))
    message = rf"at step {5 * finite}: the validation loss is {value}; .*validation data"
    with pytest.raises(TrainingDiverged, match=message):
        trainer.fit(3, folder=tmp_path, progress=False)
    assert trainer.position.step == 5 * finite
    assert trainer.position.best_step == (-1, 0, 5)[finite]
    last = load_tree(tmp_path / "last.safetensors")["training"]
    assert_same(last["model"], weights(trainer))
    best = make_trainer()
    load(tmp_path / "model.safetensors", best.model)
    assert all(np.isfinite(array).all() for array in weights(best).values())
    if not finite:
        assert_same(weights(best), weights(trainer))
    resumed = make_trainer(validation=scripted_validation([0.25] * 9))
    resumed.fit(3, folder=tmp_path, resume=True, progress=False)
    assert resumed.position.step == 15


@pytest.mark.parametrize("clip", [None, 1.0])
def test_diverged_training_saves_its_last_model(tmp_path: Path, clip: float | None) -> None:
    trainer = make_trainer(validation=None, clip=clip)
    trainer.loss = lambda model, batch: (
        loss(model, batch)[0] * (math.inf if trainer.position.step == 3 else 1)
    )
    with pytest.raises(TrainingDiverged, match="diverged at step 4: the loss is inf"):
        trainer.fit(1, folder=tmp_path, progress=False)
    restored = make_trainer()
    load(tmp_path / "model.safetensors", restored.model)
    assert_same(weights(restored), weights(trainer))
    assert load_tree(tmp_path / "last.safetensors")["training"]["at"]["step"] == 3


@pytest.mark.parametrize("size", [1e20, 1e30, 1e36])
def test_large_finite_gradients_are_clipped(size: float) -> None:
    trainer = make_trainer(clip=1.0)
    trainer.loss = lambda model, batch: loss(model, batch)[0] * size
    record = trainer.update()
    assert size / 1e3 < record["gradient_norm"] < size * 1e3
    assert all(np.isfinite(array).all() for array in weights(trainer).values())


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda score: ag.sqrt(score * 0),
        lambda score: (score * 0) ** 0.5,
        lambda score: ag.where(score > 1e9, score, (score * 0) ** 0.25),
    ],
)
def test_a_first_gradient_that_is_not_finite_names_the_derivative(loss_of: Any) -> None:
    trainer = make_trainer()
    trainer.loss = lambda model, batch: loss_of(loss(model, batch)[0])
    with pytest.raises(TrainingDiverged, match=r"step 1: the gradient norm is") as caught:
        trainer.update()
    assert "the loss is finite but its derivative is not" in str(caught.value)
    assert "data" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule_per": "batch"}, '"epoch" or "step"'),
        ({"accumulate": 0}, "accumulate must be a positive integer"),
        ({"evaluate_every": 0.5}, "evaluate_every must be"),
        ({"clip": 0}, "clip must be a positive number or None, got 0"),
        ({"bptt": TruncatedBPTT(5)}, "order of the stream; use shuffle=False"),
    ],
)
def test_invalid_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_trainer(**options)


def test_a_schedule_of_another_optimizer_is_an_error() -> None:
    with pytest.raises(ValueError, match="the schedule must use the optimizer of the trainer"):
        make_trainer(schedule=SCHEDULES.StepLR(make_trainer().optimizer, 1))


def test_an_optimizer_of_another_model_is_an_error() -> None:
    trainer = make_trainer()
    trainer.model = ParityClassifier(0.0)
    with pytest.raises(ValueError, match=r"depends on no parameter of the optimizer"):
        trainer.update()


def test_lbfgs_with_truncated_bptt_is_an_error() -> None:
    model = nn.LSTM(1, 1)
    with pytest.raises(ValueError, match=r"LBFGS evaluates each batch several times"):
        Trainer(model, optim.LBFGS(model.parameters()), loss, [1], bptt=TruncatedBPTT(5))


@pytest.mark.parametrize(
    "returned",
    [
        *(None, 0.5, (0.5, 3), {"loss": 0.5}, ()),
        *((ag.tensor(1.0), n) for n in (0, -1, math.nan, math.inf, "3", 2j, None, [4])),
        (ag.tensor(1.0), 3, 4),
    ],
)
def test_an_invalid_loss_is_an_error(returned: Any) -> None:
    trainer = make_trainer()
    trainer.loss = lambda model, batch: returned
    with pytest.raises(
        ValueError, match=r"loss\(model, batch\) must return the mean loss, a Tensor"
    ):
        trainer.update()


@pytest.mark.parametrize("value", [None, [0.5], np.ones(2), 2j, "low"])
def test_a_validation_that_does_not_return_a_number_is_an_error(value: Any) -> None:
    trainer = make_trainer(validation=lambda model: value)
    with pytest.raises(TypeError, match=r"validation\(model\) must return a number, got"):
        trainer.fit(1, progress=False)


@pytest.mark.parametrize("validation", [False, True])
def test_batches_from_an_iterator_are_an_error(validation: bool) -> None:
    once = iter([1])
    model = ParityClassifier(0.0)
    optimizer = optim.Adam(model.parameters())
    with pytest.raises(TypeError, match="an iterator can be read only once"):
        Trainer(model, optimizer, loss, *([[1], once] if validation else [once]))


@pytest.mark.parametrize(
    "limit", [{"epochs": -1}, {"epochs": 2.5}, {"max_steps": "3"}, {"patience": 0}]
)
def test_limits_are_integers(limit: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=f"{next(iter(limit))} must be a (positive|non-negative) integer"
    ):
        make_trainer().fit(**limit)


def test_a_nan_validation_loss_at_step_0_names_data_and_initial_weights() -> None:
    with pytest.raises(
        TrainingDiverged,
        match=r"at step 0: the validation loss is nan; .* validation data .* initial weights",
    ):
        make_trainer(validation=scripted_validation([math.nan])).fit(1, progress=False)


def test_training_without_a_limit_is_an_error() -> None:
    with pytest.raises(InputError, match="fit needs a limit"):
        make_trainer().fit()
    with pytest.raises(InputError, match="patience needs validation data"):
        make_trainer(validation=None).fit(patience=2)


def test_weights_stay_on_their_device(device: str) -> None:
    trainer = make_trainer()
    trainer.fit(1, progress=False)
    assert {p.device for p in trainer.model.parameters()} == {device}
    assert all(np.isfinite(on_host(p)).all() for p in trainer.model.parameters())


@pytest.mark.host
def test_the_example_program_learns() -> None:
    command = [sys.executable, ROOT / "examples/sequence_classifier.py"]
    process = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    actual = re.search(r"validation accuracy: ([\d.]+)%", process.stdout)
    assert actual is not None
    assert float(actual[1]) > 95
