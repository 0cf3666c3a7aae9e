"""Resuming from states of other trainers and from malformed states: one-line InputErrors."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainers import SCHEDULES, evaluations, make_trainer

import autograd as ag
from tinygrad_rnn import data, nn, optim
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.tasks.language_modeling import Options
from tinygrad_rnn.training import Limits, Trainer, TruncatedBPTT, load_tree, save_tree

MAKERS: dict[str, Any] = {
    "StepLR": lambda o: SCHEDULES.StepLR(o, 3),
    "ExponentialLR": lambda o: SCHEDULES.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: SCHEDULES.CosineAnnealingLR(o, 7),
    "OneCycleLR": lambda o: SCHEDULES.OneCycleLR(o, 0.5, 20),
    "ReduceLROnPlateau": lambda o: SCHEDULES.ReduceLROnPlateau(o, patience=1, cooldown=2),
}


def assert_resume_fails(trainer: Trainer, folder: Path, message: str) -> None:
    """Assert that resuming raises a one-line InputError that names the file."""
    with pytest.raises(InputError, match=message) as caught:
        trainer.fit(5, folder=folder, resume=True, progress=False)
    assert str(caught.value).startswith(f"{folder / 'last.safetensors'} ")
    assert "\n" not in str(caught.value)


# Resuming with other schedules, optimizers and options


@pytest.mark.parametrize(
    ("saved", "current"),
    [
        ("StepLR", "ExponentialLR"),
        ("ExponentialLR", "StepLR"),
        ("OneCycleLR", "CosineAnnealingLR"),
        ("ReduceLROnPlateau", "StepLR"),
        ("StepLR", "ReduceLROnPlateau"),
        ("StepLR", None),
        (None, "StepLR"),
        (None, "ReduceLROnPlateau"),
    ],
)
def test_resuming_with_another_kind_of_schedule_names_both(
    tmp_path: Path, saved: str | None, current: str | None
) -> None:
    make_trainer(schedule=MAKERS.get(saved or "")).fit(1, folder=tmp_path, progress=False)
    trainer = make_trainer(schedule=MAKERS.get(current or ""))
    assert_resume_fails(
        trainer, tmp_path, f"{saved or 'no schedule'}, but this .* {current or 'no schedule'}$"
    )
    assert trainer.position.step == 0


@pytest.mark.parametrize(
    ("saved", "current"), [("Adam", "AdamW"), ("AdamW", "SGD"), ("SGD", "Adam")]
)
def test_resuming_with_another_optimizer_names_both(
    tmp_path: Path, saved: str, current: str
) -> None:
    def trainer(name: str) -> Trainer:
        original = make_trainer()
        original.optimizer = getattr(optim, name)(original.model.parameters())
        return original

    trainer(saved).fit(1, folder=tmp_path, progress=False)
    assert_resume_fails(
        trainer(current), tmp_path, f"optimizer is {saved}, but this one is {current}$"
    )


CHANGED: dict[str, tuple[Any, Any, str]] = {
    "gamma": (
        lambda o: SCHEDULES.StepLR(o, 3, 0.5),
        lambda o: SCHEDULES.StepLR(o, 3, 0.25),
        "StepLR was saved with gamma=0.5, but now has gamma=0.25",
    ),
    "milestones": (
        lambda o: SCHEDULES.MultiStepLR(o, [2, 4]),
        lambda o: SCHEDULES.MultiStepLR(o, [2, 5]),
        r"milestones=\[2, 4\], but now has milestones=\[2, 5\]",
    ),
    "T_max": (
        lambda o: SCHEDULES.CosineAnnealingLR(o, 5),
        lambda o: SCHEDULES.CosineAnnealingLR(o, 9),
        "T_max=5, but now has T_max=9",
    ),
    "anneal_strategy": (
        lambda o: SCHEDULES.OneCycleLR(o, 0.5, 20),
        lambda o: SCHEDULES.OneCycleLR(o, 0.5, 20, anneal_strategy="linear"),
        "anneal_strategy='cos', but now has anneal_strategy='linear'",
    ),
    "max_lr": (
        lambda o: SCHEDULES.OneCycleLR(o, 0.5, 20),
        lambda o: SCHEDULES.OneCycleLR(o, 0.25, 20),
        "phase_rates=.* but now has phase_rates=",
    ),
    "patience": (
        lambda o: SCHEDULES.ReduceLROnPlateau(o, patience=1),
        lambda o: SCHEDULES.ReduceLROnPlateau(o, patience=2),
        "patience=1, but now has patience=2",
    ),
}


@pytest.mark.parametrize(("saved", "current", "message"), CHANGED.values(), ids=CHANGED)
def test_resuming_with_other_options_of_a_schedule_names_both(
    tmp_path: Path, saved: Any, current: Any, message: str
) -> None:
    make_trainer(schedule=saved).fit(1, folder=tmp_path, progress=False)
    make_trainer(schedule=saved).fit(1, folder=tmp_path, resume=True, progress=False)
    with pytest.warns(UserWarning, match=message):
        make_trainer(schedule=current).fit(1, folder=tmp_path, resume=True, progress=False)


@pytest.mark.parametrize(
    ("name", "saved", "current"),
    [
        ("accumulate", 2, 3),
        ("clip", 1.0, None),
        ("clip", None, 0.5),
        ("schedule_per", "epoch", "step"),
    ],
)
def test_resuming_with_other_options_of_the_trainer_names_both(
    tmp_path: Path, name: str, saved: Any, current: Any
) -> None:
    options = {"schedule": MAKERS["StepLR"]}
    make_trainer(**options, **{name: saved}).fit(1, folder=tmp_path, progress=False)
    make_trainer(**options, **{name: saved}).fit(1, folder=tmp_path, resume=True, progress=False)
    with pytest.warns(UserWarning, match=f"{name}={saved!r}, but now has {name}={current!r}"):
        make_trainer(**options, **{name: current}).fit(
            1, folder=tmp_path, resume=True, progress=False
        )


@pytest.mark.parametrize("current", [(5, 6), (4, 8), (5, 8, True)])
def test_a_stream_cannot_continue_with_other_options(current: Any) -> None:
    """The saved states belong to other steps of the stream."""
    original = make_trainer()
    original.bptt = TruncatedBPTT(5, 8)
    state = original.state_dict()
    original.load_state_dict(state)
    original.bptt = TruncatedBPTT(*current)
    with pytest.raises(InputError, match=r"stream was saved with .*'k1': 5, 'k2': 8, .* has .*k1"):
        original.load_state_dict(state)


@pytest.mark.parametrize("bptt", [True, False])
def test_resuming_with_added_or_removed_truncated_bptt_is_an_error(
    tmp_path: Path, bptt: bool
) -> None:
    def trainer(bptt: bool) -> Trainer:
        original = make_trainer()
        original.bptt = TruncatedBPTT(5) if bptt else None
        return original

    state = trainer(bptt).state_dict()
    with pytest.raises(InputError, match=r"saved with .*TruncatedBPTT|has TruncatedBPTT"):
        trainer(not bptt).load_state_dict(state)


@pytest.mark.parametrize("name", ["StepLR", "OneCycleLR", "ReduceLROnPlateau"])
def test_states_of_schedules_without_a_name_are_accepted(name: str) -> None:
    """Earlier versions saved no name."""
    one, other = (make_trainer(schedule=MAKERS[name]).schedule for _ in range(2))
    assert one is not None
    assert other is not None
    one.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    state = one.state_dict()
    assert state.pop("schedule") == name
    other.load_state_dict(state)
    assert other.get_last_lr() == one.get_last_lr()
    assert other.last_epoch == 1


# Malformed states


def set_value(*path: str, value: Any) -> Any:
    def damage(saved: Any) -> None:
        for name in path[:-1]:
            saved = saved[name]
        saved[path[-1]] = value

    return damage


AT = ("training", "at")
DAMAGE: dict[str, Any] = {
    **{
        f"{name} {value!r}": set_value(*AT, name, value=value)
        for name in ("step", "epoch", "batch", "evaluated_step", "best_step", "idle_epochs")
        for value in (math.inf, -math.inf, math.nan, -7, 1.5, "2", None, [1])
    },
    **{f"seen {v!r}": set_value(*AT, "seen", value=v) for v in (math.inf, math.nan, -1, "9")},
    **{f"best {v!r}": set_value(*AT, "best", value=v) for v in (math.nan, None, "0.1")},
    **{f"seconds {v!r}": set_value("seconds", value=v) for v in (math.nan, math.inf, -1.0, None)},
    **{f"records {v!r}": set_value("records", value=v) for v in (math.inf, -1, 2.5, None, 10**9)},
    "at": set_value(*AT, value=[1, 2]),
    **{
        f"no {name}": lambda saved, name=name: saved["training"]["at"].pop(name)
        for name in ("step", "epoch", "batch", "seen", "evaluated_step", "best", "idle_epochs")
    },
    "other batch": set_value(*AT, "batch", value=3),
    "other place": set_value("training", "batches", "position", value=3),
    "long": set_value("training", "batches", "seed", value="a" * 10**5),
    "at more": set_value(*AT, "further", value=1),
    "no at": lambda saved: saved["training"].pop("at"),
    "no model": lambda saved: saved["training"].pop("model"),
    "model": set_value("training", "model", value=3),
    "no optimizer": lambda saved: saved["training"].pop("optimizer"),
    "lr": lambda saved: saved["training"]["optimizer"]["param_groups"][0].update(lr=-1.0),
    "steps": lambda saved: saved["training"]["optimizer"]["state"]["0"].update(step=math.inf),
    "no schedule": lambda saved: saved["training"].pop("schedule"),
    "schedule": set_value("training", "schedule", value="x"),
    "rates": set_value("training", "schedule", "base_lrs", value=[-1.0]),
    "more rates": set_value("training", "schedule", "base_lrs", value=[0.1, 0.1]),
    "schedule options": set_value("training", "schedule", "options", value=[1]),
    "options": set_value("training", "options", value=3),
    "rates text": set_value("training", "schedule", "base_lrs", value="a"),
    "last_epoch": set_value("training", "schedule", "last_epoch", value=math.inf),
    "no last_epoch": lambda saved: saved["training"]["schedule"].pop("last_epoch"),
    "random": set_value("training", "random", value={"seed": math.inf, "block": 0}),
    "random block": set_value("training", "random", value={"seed": 0, "block": -1}),
    "no random": set_value("training", "random", value=None),
    "batches": set_value("training", "batches", value=None),
    "position": set_value("training", "batches", "position", value=math.inf),
    "position -1": set_value("training", "batches", "position", value=-1),
    "seed": set_value("training", "batches", "seed", value=-1),
    "examples": set_value("training", "batches", "examples", value=25),
    "validation": set_value("training", "validation", value=[3]),
    "validation data": set_value("training", "validation", "examples", value=1),
    "training": set_value("training", value=[]),
    "no training": lambda saved: saved.pop("training"),
}


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    make_trainer(schedule=MAKERS["StepLR"]).fit(1, folder=folder, progress=False)
    return folder


@pytest.mark.parametrize("name", DAMAGE)
def test_a_malformed_checkpoint_is_a_one_line_input_error(trained_folder: Path, name: str) -> None:
    path = trained_folder / "last.safetensors"
    content = path.read_bytes()
    saved = load_tree(path)
    try:
        DAMAGE[name](saved)
        save_tree(path, saved)
        with pytest.raises(InputError) as caught:
            make_trainer(schedule=MAKERS["StepLR"]).fit(
                max_steps=6, folder=trained_folder, resume=True, progress=False
            )
    finally:
        path.write_bytes(content)
    assert str(trained_folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(trained_folder)) + 600


def test_a_tree_that_is_not_a_checkpoint_is_an_input_error(trained_folder: Path) -> None:
    path = trained_folder / "last.safetensors"
    content = path.read_bytes()
    for tree in ([], 3, None, "text", {}, [np.ones(3)]):
        save_tree(path, tree)
        assert_resume_fails(
            make_trainer(schedule=MAKERS["StepLR"]), trained_folder, "is damaged|does not match"
        )
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_an_unreadable_best_model_is_reported_before_training(tmp_path: Path, damage: str) -> None:
    make_trainer().fit(1, folder=tmp_path, progress=False)
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-4] if damage == "cut" else content[:-1] + bytes([7]))
    trainer = make_trainer()
    with pytest.raises(InputError, match=r"model\.safetensors is (missing|damaged)"):
        trainer.fit(3, folder=tmp_path, resume=True, progress=False)
    assert trainer.position.step == 5


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"a":' * 500 + b"1" + b"}" * 500, b"\xff", b"3"]
)
def test_malformed_records_are_an_input_error(tmp_path: Path, line: bytes) -> None:
    make_trainer().fit(1, folder=tmp_path, progress=False)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]) + b"\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 2 is damaged"):
        make_trainer().fit(2, folder=tmp_path, resume=True, progress=False)


@pytest.mark.parametrize("validation", [None, "function", "loader"])
def test_validation_may_be_added_or_removed_when_resuming(tmp_path: Path, validation: Any) -> None:
    def options() -> dict[str, Any]:
        kinds = {None: None, "function": lambda model: 0.5}
        return {"validation": kinds[validation]} if validation in kinds else {}

    make_trainer(**options()).fit(1, folder=tmp_path, progress=False)
    for other in ({}, {"validation": None}, {"validation": lambda model: 0.25}):
        resumed = make_trainer(**other)
        resumed.fit(next_epochs(tmp_path), folder=tmp_path, resume=True, progress=False)
    assert resumed.position.step == 20


def next_epochs(folder: Path) -> int:
    """Return one more than the number of epochs in the folder."""
    return int(load_tree(folder / "last.safetensors")["training"]["at"]["epoch"])


# Options given as NumPy scalars, arrays and Tensors


@pytest.mark.parametrize("kind", [np.float32, np.float64, lambda x: np.array(x, "f"), ag.tensor])
@pytest.mark.parametrize(
    "schedule",
    [
        lambda o, n: SCHEDULES.ExponentialLR(o, n(0.5)),
        lambda o, n: SCHEDULES.StepLR(o, np.int64(2), n(0.5)),
        lambda o, n: SCHEDULES.MultiStepLR(o, np.array([2, 4]), n(0.5)),
        lambda o, n: SCHEDULES.LambdaLR(o, lambda steps: n(0.5**steps)),
        lambda o, n: SCHEDULES.CosineAnnealingLR(o, np.int32(8), n(0.125)),
        lambda o, n: SCHEDULES.OneCycleLR(
            o, n(0.5), np.array(20), None, None, n(0.25), div_factor=n(4), final_div_factor=n(8)
        ),
        lambda o, n: SCHEDULES.OneCycleLR(
            o, np.array([0.5]), 20, base_momentum=n(0.75), max_momentum=n(0.875)
        ),
        lambda o, n: SCHEDULES.ReduceLROnPlateau(
            o, "min", n(0.5), np.int64(0), n(0.25), "rel", np.int64(1), n(0.125), n(1e-6)
        ),
    ],
)
def test_options_of_schedules_may_be_of_any_numeric_type(schedule: Any, kind: Any) -> None:
    """Learning rates are bit-identical to rates with Python numbers, and can be saved."""
    rates: list[Any] = []
    for number in (kind, float):
        optimizer = optim.Adam([nn.Parameter(np.zeros(1))], lr=0.125)
        original = schedule(optimizer, number)
        rates.append([])
        for _ in range(8):
            original.step(*([1.0] if isinstance(original, SCHEDULES.ReduceLROnPlateau) else []))
            (group,) = optimizer.param_groups
            rates[-1].append((group["lr"], group["betas"]))
            assert {type(value) for value in (group["lr"], *group["betas"])} == {float}
        other = schedule(optimizer, number)
        other.load_state_dict(json.loads(json.dumps(original.state_dict())))
        assert other.get_last_lr() == original.get_last_lr()
    assert rates[0] == rates[1]


@pytest.mark.parametrize(
    "integer", [np.int64, np.int8, np.array, lambda x: ag.tensor(x, dtype="i8")]
)
def test_options_of_a_trainer_may_be_of_any_numeric_type(tmp_path: Path, integer: Any) -> None:
    number = (lambda x: np.array(x, "f")) if integer is np.array else np.float32
    options: dict[str, Any] = {"clip": 0.5, "accumulate": 2, "evaluate_every": 3}
    one = make_trainer(5, dropout=0.25, lr=0.125, **options)
    expected = one.fit(3, patience=2, max_steps=8, max_seconds=100.0, progress=False)
    other = make_trainer(
        integer(5),
        dropout=number(0.25),
        lr=number(0.125),
        clip=number(0.5),
        accumulate=integer(2),
        evaluate_every=integer(3),
    )
    actual = other.fit(
        integer(3),
        patience=integer(2),
        max_steps=integer(8),
        max_seconds=number(100),
        folder=tmp_path,
        progress=False,
    )
    assert evaluations(actual) == evaluations(expected)
    limits = Limits(integer(3), integer(8), number(2.5), integer(2))
    assert limits == Limits(3, 8, 2.5, 2)
    assert all(type(value) in (int, float) for value in vars(limits).values())
    assert vars(TruncatedBPTT(integer(2), integer(3))) == vars(TruncatedBPTT(2, 3))
    assert Options(hidden=integer(3), lr=number(0.5)) == Options(hidden=3, lr=0.5)
    parts = data.random_split(range(8), [number(0.25), number(0.75)])
    assert [len(part) for part in parts] == [2, 6]
    assert len(data.GeneratedBatches(lambda rng: 0, integer(3))) == 3


@pytest.mark.parametrize("limit", [math.nan, -1.0, "5", [1]])
def test_a_time_limit_is_a_number(limit: Any) -> None:
    """With nan, training would not end."""
    with pytest.raises(ValueError, match="max_seconds must be a finite number"):
        Limits(max_seconds=limit)


@pytest.mark.parametrize("kind", [np.float64, np.float32, lambda x: np.array(x), ag.tensor])
def test_probabilities_of_any_numeric_type_keep_the_dtype(kind: Any) -> None:
    x = ag.ones((3, 2, 4), "float32")
    assert nn.Dropout(kind(0.5))(x).dtype == np.float32
    assert nn.functional.dropout(x, kind(0.25)).dtype == np.float32
    layer = nn.LSTM(4, 3, 2, dropout=kind(0.5), recurrent_dropout=kind(0.25), zoneout=kind(0.125))
    assert layer(x)[0].dtype == np.float32
    assert repr(layer) == repr(nn.LSTM(4, 3, 2, dropout=0.5, recurrent_dropout=0.25, zoneout=0.125))
    with pytest.raises(ValueError, match=r"dropout probability has to be between 0 and 1, but got"):
        nn.Dropout(kind(1.5))
