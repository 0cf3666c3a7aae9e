"""Learning-rate schedules: PyTorch's rates, states saved and restored, errors."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import records, schedules

from tinygrad_rnn import nn, optim
from tinygrad_rnn.optim import lr_scheduler

RECORDS = records.load("schedules")
MAKERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 3),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5]),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 7),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda n: 1 / (1 + n)),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.5, 20),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1, cooldown=2),
}


def two_groups() -> optim.Adam:
    p, q = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1))
    return optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.1}], lr=0.01)


def take_steps(schedule: Any, steps: int) -> list[Any]:
    """Return the rates and momenta after each step."""
    metric = [1.0] if isinstance(schedule, lr_scheduler.ReduceLROnPlateau) else []
    rates = []
    for _ in range(steps):
        schedule.step(*metric)
        groups = schedule.optimizer.param_groups
        rates.append([(group["lr"], tuple(group["betas"])) for group in groups])
    return rates


def assert_follows(record: records.Record) -> None:
    config, arrays = record
    params = [nn.Parameter(np.zeros(1)) for _ in range(2)]
    actual = schedules.follow(optim, params, config, arrays.get("metrics"))
    for name, values in actual.items():
        expected = np.maximum(arrays[name], 0) if name == "rates" else arrays[name]
        records.assert_equal(values, expected, name)
    assert set(actual) | {"metrics"} == set(arrays) | {"metrics"}


@pytest.mark.parametrize("name", RECORDS)
def test_schedules_follow_the_recorded_rates_of_pytorch(name: str) -> None:
    assert_follows(RECORDS[name])


@given(st.integers(0, 2**32 - 1))
def test_schedules_follow_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    assert_follows(schedules.record(seed))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(st.integers(0, 10))
def test_a_restored_schedule_continues_bit_identically(make: Any, steps: int) -> None:
    """The states of schedule and optimizer are stored as JSON."""
    first, second = make(two_groups()), make(two_groups())
    take_steps(first, steps)
    second.optimizer.load_state_dict(json.loads(json.dumps(first.optimizer.state_dict())))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.get_last_lr() == first.get_last_lr()
    assert take_steps(second, 8) == take_steps(first, 8)


def test_a_state_is_a_copy() -> None:
    schedule = lr_scheduler.StepLR(two_groups(), 1)
    state = schedule.state_dict()
    state["base_lrs"][0] = 7.0
    assert schedule.base_lrs == [0.01, 0.1]
    schedule.load_state_dict(state)
    state["base_lrs"][0] = 8.0
    assert schedule.get_last_lr() == [7.0, 0.1]


def test_one_function_applies_to_all_groups() -> None:
    schedule = lr_scheduler.LambdaLR(two_groups(), lambda n: 2.0**n)
    assert schedule.get_last_lr() == [0.01, 0.1]
    schedule.step()
    assert schedule.get_last_lr() == [0.02, 0.2]


def test_no_step_of_a_linear_cycle_gives_a_negative_rate() -> None:
    """In PyTorch, the rate of the last step is negative."""
    schedule = lr_scheduler.OneCycleLR(two_groups(), 0.5, 10, anneal_strategy="linear")
    rates = [rate for step in take_steps(schedule, 10) for rate, _ in step]
    assert min(rates) == 0
    assert rates[-3] > 0


@pytest.mark.parametrize("pct_start", [0.0, 0.1, 1.0])
def test_a_cycle_can_rise_at_once_or_until_its_end(pct_start: float) -> None:
    schedule = lr_scheduler.OneCycleLR(two_groups(), 0.5, 10, pct_start=pct_start)
    rates = [schedule.get_last_lr()[0]] + [rates[0][0] for rates in take_steps(schedule, 9)]
    assert max(rates) <= 0.5
    assert rates[-1] == pytest.approx(0.5 if pct_start == 1 else 0.5 / 25 / 1e4)


def test_a_metric_can_be_a_tensor_and_the_first_is_the_best() -> None:
    schedule = lr_scheduler.ReduceLROnPlateau(two_groups(), patience=0)
    schedule.step(nn.functional.mse_loss(nn.Parameter(np.zeros(1)), [2.0]))
    assert (schedule.best, schedule.num_bad_epochs) == (4, 0)
    schedule.step(4.0)
    assert schedule.get_last_lr() == pytest.approx([0.001, 0.01])


def test_reductions_smaller_than_eps_are_not_applied() -> None:
    schedule = lr_scheduler.ReduceLROnPlateau(two_groups(), patience=0, eps=0.05)
    take_steps(schedule, 2)
    assert schedule.get_last_lr() == pytest.approx([0.01, 0.01])


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ExponentialLR", {"gamma": 0}, "gamma must be a finite positive number, got 0"),
        ("ExponentialLR", {"gamma": -0.5}, "gamma must be a finite positive number, got -0.5"),
        ("ExponentialLR", {"gamma": math.nan}, "gamma must be a finite positive number, got nan"),
        ("StepLR", {"step_size": 0}, "Expected positive integer step_size, but got 0"),
        ("StepLR", {"step_size": 1, "gamma": 0}, "gamma must be a finite positive number"),
        ("MultiStepLR", {"milestones": [1], "gamma": 0}, "gamma must be a finite positive number"),
        ("CosineAnnealingLR", {"T_max": 2.5}, "Expected positive integer T_max, but got 2.5"),
        ("LambdaLR", {"lr_lambda": [abs]}, "lr_lambda has 1 values, param_groups has 2"),
        ("OneCycleLR", {"max_lr": 1.0}, r"either total_steps OR \(epochs AND steps_per_epoch\)"),
        ("OneCycleLR", {"max_lr": 1.0, "epochs": 3}, "either total_steps OR"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 0}, "positive integer total_steps, .* 0"),
        (
            "OneCycleLR",
            {"max_lr": 1.0, "epochs": 2, "steps_per_epoch": -1},
            "positive integer steps_per_epoch, but got -1",
        ),
        (
            "OneCycleLR",
            {"max_lr": 1.0, "total_steps": 9, "pct_start": 1.1},
            "between 0 and 1 pct_start, but got 1.1",
        ),
        (
            "OneCycleLR",
            {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "sine"},
            "one of 'cos' or 'linear', instead got sine",
        ),
        ("OneCycleLR", {"max_lr": [1.0], "total_steps": 9}, "max_lr has 1 values"),
        ("ExponentialLR", {"gamma": math.inf}, "gamma must be a finite positive number, got inf"),
        ("ExponentialLR", {"gamma": "0.9"}, "gamma must be a finite positive number, got 0.9"),
        ("MultiStepLR", {"milestones": [2, math.nan]}, "milestones must be a finite number"),
        ("CosineAnnealingLR", {"T_max": 3, "eta_min": math.nan}, "eta_min must be a finite"),
        ("CosineAnnealingLR", {"T_max": 3, "eta_min": -0.1}, "eta_min must be a finite"),
        ("LambdaLR", {"lr_lambda": lambda steps: math.nan}, "LambdaLR gives .*nan.* after 0"),
        ("LambdaLR", {"lr_lambda": lambda steps: -1.0}, "LambdaLR gives .* after 0 steps"),
        ("OneCycleLR", {"max_lr": math.nan, "total_steps": 9}, "max_lr must be a finite"),
        ("OneCycleLR", {"max_lr": -1.0, "total_steps": 9}, "max_lr must be a finite"),
        *(
            ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, name: value}, message)
            for name, value, message in (
                ("div_factor", 0, "div_factor must be a finite positive number, got 0"),
                (
                    "final_div_factor",
                    math.nan,
                    "final_div_factor must be a finite positive number, got nan",
                ),
                ("max_momentum", 1.0, "momenta must be in"),
                ("base_momentum", -0.5, "base_momentum must be a finite number"),
            )
        ),
        ("ReduceLROnPlateau", {"factor": -0.5}, "factor must be a finite number >= 0"),
        ("ReduceLROnPlateau", {"factor": math.nan}, "factor must be a finite number"),
        ("ReduceLROnPlateau", {"patience": -1}, "patience must be a non-negative integer"),
        ("ReduceLROnPlateau", {"patience": math.nan}, "patience must be a non-negative integer"),
        ("ReduceLROnPlateau", {"threshold": math.nan}, "threshold must be a finite number"),
        ("ReduceLROnPlateau", {"eps": math.inf}, "eps must be a finite number"),
        ("ReduceLROnPlateau", {"min_lr": math.nan}, "min_lr must be a finite number"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "Factor should be < 1.0, got 1.0"),
        ("ReduceLROnPlateau", {"mode": "low"}, "mode low is unknown! Expected 'min' or 'max'"),
        ("ReduceLROnPlateau", {"threshold_mode": "x"}, "threshold mode x is unknown!"),
        ("ReduceLROnPlateau", {"min_lr": [0.0]}, "min_lr has 1 values"),
    ],
)
def test_invalid_options_raise(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(lr_scheduler, name)(two_groups(), **options)


def test_stepping_beyond_the_end_of_a_cycle_raises() -> None:
    schedule = lr_scheduler.OneCycleLR(two_groups(), 1.0, total_steps=3)
    take_steps(schedule, 3)  # as in PyTorch: one step after each update, including the last
    with pytest.raises(ValueError, match=r"Tried to step 4 times.* total steps is 3"):
        schedule.step()


def test_cycling_a_missing_momentum_raises() -> None:
    optimizer = optim.Adagrad([nn.Parameter(np.ones(1))])
    with pytest.raises(ValueError, match="optimizer must support momentum or beta1"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, 9)
    lr_scheduler.OneCycleLR(optimizer, 1.0, 9, cycle_momentum=False)


@pytest.mark.parametrize("other", ["assignment", "ExponentialLR", "ReduceLROnPlateau"])
def test_learning_rates_that_were_changed_elsewhere_raise(other: str) -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.5)
    schedule = lr_scheduler.StepLR(optimizer, 2)
    schedule.step()
    if other == "assignment":
        optimizer.param_groups[0]["lr"] = 0.25
    elif other == "ExponentialLR":
        lr_scheduler.ExponentialLR(optimizer, 0.5).step()
    else:
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        for metric in (1, 2):
            plateau.step(metric)
    with pytest.raises(ValueError, match=r"are \[0.25\], but this schedule set them to \[0.5\]"):
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("name", ["StepLR", "ReduceLROnPlateau"])
def test_groups_added_after_the_schedule_raise(name: str) -> None:
    optimizer = two_groups()
    schedule = MAKERS[name](optimizer)
    optimizer.add_param_group({"params": nn.Parameter(np.ones(1))})
    with pytest.raises(ValueError, match="created for 2 parameter groups, but the optimizer has 3"):
        take_steps(schedule, 5)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    ("metrics", "reductions"),
    [
        ([5, 6, 6, 4, 6, 6], 0),  # an improvement resets the count
        ([5, 6, 6, 6], 1),
        ([5, 6, 6, 6, 6, 6], 1),  # a reduction resets it too
        ([5, 6, 6, 6, 6, 6, 6], 2),
        ([5, 6, 6, 4, 6, 6, 6], 1),
    ],
)
def test_consecutive_bad_steps_are_counted(mode: str, metrics: list[int], reductions: int) -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, mode, 0.5, patience=2)
    for metric in metrics:
        schedule.step(metric if mode == "min" else -metric)
    assert schedule.get_last_lr() == [0.5**reductions]


@pytest.mark.parametrize(
    ("cooldown", "reductions"), [(0, [0, 1, 2, 3, 4]), (1, [0, 1, 1, 2, 2]), (2, [0, 1, 1, 1, 2])]
)
def test_steps_in_the_cooldown_are_not_counted(cooldown: int, reductions: list[int]) -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, "min", 0.5, 0, cooldown=cooldown)
    rates = []
    for _ in range(5):
        schedule.step(1.0)
        rates.append(schedule.get_last_lr()[0])
    assert rates == [0.5**n for n in reductions]


@pytest.mark.parametrize(
    ("mode", "kind", "metric", "better"),
    [
        ("min", "rel", 8.9, True),
        ("min", "rel", 9.1, False),
        ("max", "rel", 11.1, True),
        ("max", "rel", 10.9, False),
        ("min", "abs", 9.8, True),
        ("min", "abs", 9.95, False),
        ("max", "abs", 10.2, True),
        ("max", "abs", 10.05, False),
    ],
)
def test_an_improvement_exceeds_the_threshold(
    mode: str, kind: str, metric: float, better: bool
) -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, 0.5, 0, threshold=0.1, threshold_mode=kind
    )
    schedule.step(10.0)
    schedule.step(metric)
    assert schedule.best == (metric if better else 10.0)
    assert schedule.get_last_lr() == [1.0 if better else 0.5]


@pytest.mark.parametrize("min_lr", [0.0, 0.2, 0.3])
def test_rates_do_not_fall_below_min_lr(min_lr: float) -> None:
    optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, "min", 0.5, 0, min_lr=min_lr)
    for _ in range(4):
        schedule.step(1.0)
    assert schedule.get_last_lr() == [max(0.125, min_lr)]


@pytest.mark.parametrize("rate", [math.nan, math.inf, -0.5])
def test_an_invalid_rate_raises_before_any_rate_is_set(rate: float) -> None:
    optimizer = two_groups()
    schedule = lr_scheduler.LambdaLR(optimizer, [lambda k: 1.0, lambda k: rate if k == 2 else 1.0])
    schedule.step()
    snapshot = schedule.get_last_lr()
    with pytest.raises(ValueError, match=r"LambdaLR gives \[.*\] after 2 steps"):
        schedule.step()
    assert schedule.get_last_lr() == snapshot


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 9), {"last_epoch": 10}),
        (lambda o: lr_scheduler.ExponentialLR(o, 2.0), {"last_epoch": 5000}),
        (lambda o: lr_scheduler.LambdaLR(o, [lambda k: 1.0, lambda k: 4.0 - k]), {"last_epoch": 5}),
        (lambda o: lr_scheduler.StepLR(o, 2), {"base_lrs": [1.0, 1.0], "last_epoch": -1}),
        (lambda o: lr_scheduler.StepLR(o, 2), {"base_lrs": [1.0, 1.0], "options": [3]}),
    ],
)
def test_an_invalid_state_changes_nothing(make: Any, change: dict[str, Any]) -> None:
    schedule = make(two_groups())
    schedule.step()
    snapshot, rates = schedule.state_dict(), schedule.get_last_lr()
    with pytest.raises(ValueError, match="malformed"):
        schedule.load_state_dict(snapshot | change)
    assert schedule.state_dict() == snapshot
    assert schedule.get_last_lr() == rates
    schedule.step()
