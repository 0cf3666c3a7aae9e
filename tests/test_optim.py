"""Adam and its learning rates: PyTorch's trajectories, states saved and restored, errors."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.make_reference import Record, adam_record, recorded

import autograd as ag
from autograd.testing.strategies import arrays, shapes
from tinygrad_rnn import nn, optim
from tinygrad_rnn.optim.lr_scheduler import ExponentialLR


def parameters(*values: Any) -> list[nn.Parameter]:
    return [nn.Parameter(np.array(value, dtype=float)) for value in values]


def move(optimizer: optim.Optimizer, seed: int, steps: int = 1) -> list[list[Any]]:
    """Steps along random gradients; where that leads."""
    rng = np.random.default_rng(seed)
    everyone = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(steps):
        for p in everyone:
            p.grad = rng.normal(size=p.shape)
        optimizer.step()
    return [p.tolist() for p in everyone]


def assert_follows(record: Record) -> None:
    config, arrays = record
    params = parameters(*(arrays[f"start/{i}"] for i in range(len(config["groups"]))))
    optimizer = optim.Adam(
        {"params": [p], **group} for p, group in zip(params, config["groups"], strict=True)
    )
    schedule = ExponentialLR(optimizer, config["gamma"])
    for t, rates in enumerate(arrays["rates"]):
        np.testing.assert_allclose(schedule.get_last_lr(), rates, rtol=1e-12)
        for i, p in enumerate(params):
            p.grad = arrays[f"gradients/{i}"][t]
        optimizer.step()
        schedule.step()
        for i, p in enumerate(params):
            expected = arrays[f"trajectory/{i}"][t]
            np.testing.assert_allclose(p.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("record", recorded("adam"))
def test_adam_follows_the_trajectory_that_pytorch_recorded(record: Record) -> None:
    assert len(record[1]["rates"]) == 30
    assert_follows(record)


@given(st.integers(1, 2**32 - 1))
def test_adam_follows_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    assert_follows(adam_record(seed))


@given(arrays(shapes(), avoid=[0]), st.floats(1e-4, 1))
def test_the_first_step_of_adam_is_the_rate_against_the_sign(g: np.ndarray, lr: float) -> None:
    """Bias removed, m is g and v is g^2: the step is lr g / (|g| + eps)."""
    (p,) = parameters(np.zeros(g.shape))
    p.grad = g
    optim.Adam([p], lr=lr).step()
    np.testing.assert_allclose(p.numpy(), -lr * np.sign(g), rtol=1e-6)


def test_adam_finds_the_minimum_of_a_bowl() -> None:
    (p,) = parameters([3.0, -2.0])
    optimizer = optim.Adam([p], lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        ((p - ag.tensor([1.0, 2.0])) ** 2 * ag.tensor([1.0, 10.0])).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(p.numpy(), [1, 2], atol=1e-3)


def test_parameters_without_gradient_stay() -> None:
    p, q = parameters([1.0], [1.0])
    optimizer = optim.Adam([p, q], lr=0.1, weight_decay=0.1)
    p.grad = np.array([1.0])
    optimizer.step()
    assert p.tolist() != [1]
    assert q.tolist() == [1]
    assert set(optimizer.state) == {p}
    optimizer.zero_grad()
    assert p.grad is None


def test_a_step_is_not_recorded_and_keeps_the_dtype() -> None:
    p = nn.Parameter(np.ones(3, "float32"))
    optimizer = optim.Adam([p], weight_decay=0.1)
    (p * p).sum().backward()
    optimizer.step()
    assert p.is_leaf
    assert p.requires_grad
    state = optimizer.state[p]
    assert {p.dtype, state["exp_avg"].dtype, state["exp_avg_sq"].dtype} == {np.dtype("float32")}
    assert not state["exp_avg"].requires_grad


def test_backward_through_weights_that_a_step_has_changed_is_refused() -> None:
    p, q = parameters([1.0], [2.0])
    loss = (p * q).sum()
    move(optim.Adam([p]), seed=0)
    with pytest.raises(RuntimeError, match=r"multiply: .* written in place"):
        loss.backward()


# Saving and restoring


def two_groups() -> optim.Adam:
    p, q = parameters([[1.0, 2.0]], 3.0)
    return optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.1, "weight_decay": 0.2}], lr=0.01)


@given(st.integers(0, 10), st.integers(0, 2**32 - 1))
def test_a_restored_optimiser_goes_on_bit_by_bit(steps: int, seed: int) -> None:
    first, second = two_groups(), two_groups()
    schedules = [ExponentialLR(optimizer, 0.9) for optimizer in (first, second)]
    values = move(first, seed, steps)
    schedules[0].step()
    for p, value in zip(second.state_dict()["param_groups"], values, strict=True):
        second.param_groups[p["params"][0]]["params"][0].data = np.array(value)
    second.load_state_dict(first.state_dict())
    schedules[1].load_state_dict(schedules[0].state_dict())
    for schedule in schedules:
        schedule.step()
    assert schedules[1].get_last_lr() == schedules[0].get_last_lr()
    assert move(second, seed + 1, 5) == move(first, seed + 1, 5)


def test_a_saved_state_is_a_copy() -> None:
    optimizer, other = two_groups(), two_groups()
    move(optimizer, 0)
    saved = optimizer.state_dict()
    before = json.dumps(saved, default=np.ndarray.tolist)
    other.load_state_dict(saved)
    move(optimizer, 1)
    move(other, 1)
    assert json.dumps(saved, default=np.ndarray.tolist) == before


def test_a_schedules_state_survives_json() -> None:
    schedule, other = ExponentialLR(two_groups(), 0.5), ExponentialLR(two_groups(), 0.5)
    schedule.step()
    schedule.step()
    other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert other.get_last_lr() == schedule.get_last_lr() == [0.0025, 0.025]


def other_sizes(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["params"] = [0, 1]


def other_groups(saved: dict[str, Any]) -> None:
    del saved["param_groups"][1]


def other_shape(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["lr"] = 7.0
    saved["state"][0]["exp_avg"] = np.zeros((2, 1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_sizes, r"groups of sizes \[2, 1\]"),
        (other_groups, r"groups of sizes \[1\]"),
        (other_shape, r"shape \(2, 1\), its parameter \(1, 2\)"),
    ],
)
def test_a_state_of_other_parameters_is_refused_and_changes_nothing(
    spoil: Any, message: str
) -> None:
    optimizer = two_groups()
    move(optimizer, 0)
    saved = optimizer.state_dict()
    spoil(saved)
    before = json.dumps(optimizer.state_dict(), default=np.ndarray.tolist)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert json.dumps(optimizer.state_dict(), default=np.ndarray.tolist) == before


# Errors


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1.0},
        {"lr": float("nan")},
        {"betas": (1.0, 0.9)},
        {"betas": (0.9, -0.1)},
        {"eps": -1e-8},
        {"eps": float("nan")},
        {"weight_decay": -0.1},
    ],
)
def test_nonsense_options_are_refused(options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match="Adam needs") as error:
        optim.Adam(parameters([1.0]), **options)
    assert f"{name}={value}" in str(error.value)


def test_an_optimiser_needs_parameters_each_once() -> None:
    (p,) = parameters([1.0])
    with pytest.raises(ValueError, match="at least one parameter"):
        optim.Adam([])
    for twice in ([p, p], [{"params": [p]}, {"params": [p]}]):
        with pytest.raises(ValueError, match="appears twice"):
            optim.Adam(twice)


@pytest.mark.parametrize("gamma", [0, -0.5, float("nan")])
def test_a_rate_cannot_shrink_to_nothing(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma must be positive"):
        ExponentialLR(two_groups(), gamma)


def test_only_leaves_are_optimised() -> None:
    p = nn.Parameter(np.ones(2))
    for wrong in ([p * 1], [1, 2], [ag.tensor([1.0])]):
        with pytest.raises(TypeError, match="parameter 0 is no leaf tensor"):
            optim.Adam(wrong)
    with pytest.raises(ValueError, match="unknown option 'learning_rate'"):
        optim.Adam([{"params": [p], "learning_rate": 1.0}])
    assert optim.Adam(p).param_groups[0]["params"] == [p]
