"""Optimisers: PyTorch's trajectories, states saved and restored, errors."""

import json
import math
from typing import Any

import numpy as np
import pytest
from helpers import parameters
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import optimizers, records

import autograd as ag
from autograd.testing.strategies import arrays, shapes
from tinygrad_rnn import nn, optim
from tinygrad_rnn.optim.lr_scheduler import ExponentialLR

RECORDS = records.load("optimizers")
ALL = [optim.SGD, optim.RMSprop, optim.Adagrad, optim.Adam, optim.AdamW, optim.LBFGS]
STATEFUL = {
    "momentum": lambda params: optim.SGD(params, momentum=0.9),
    "RMSprop": lambda params: optim.RMSprop(params, momentum=0.9, centered=True),
    "Adagrad": lambda params: optim.Adagrad(params, lr_decay=0.1),
    "AMSGrad": lambda params: optim.AdamW(params, amsgrad=True),
    "LBFGS": lambda params: optim.LBFGS(params, max_iter=2, history_size=2),
}


def move(optimizer: optim.Optimizer, seed: int, steps: int = 1) -> list[list[Any]]:
    """Steps along random gradients; where that leads."""
    rng = np.random.default_rng(seed)
    everyone = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(steps):
        for p in everyone:
            p.grad = rng.normal(size=p.shape)
        optimizer.step(lambda: 0.0)
    return [p.tolist() for p in everyone]


def assert_follows(record: records.Record) -> None:
    config, given_arrays = record
    params = [nn.Parameter(given_arrays[f"start/{i}"]) for i in range(2)]
    tensors = {name: ag.tensor(array) for name, array in given_arrays.items()}
    steps = 0
    for _ in optimizers.follow(optim, params, tensors, config):
        for i, p in enumerate(params):
            theirs = given_arrays[f"trajectory/{i}"][steps]
            records.assert_equal(p.numpy(), theirs, f"parameter {i} after step {steps}")
        steps += 1
    assert steps == optimizers.STEPS


@pytest.mark.parametrize("name", [name for name in RECORDS if "search" not in name])
def test_optimizers_follow_the_trajectory_that_pytorch_recorded(name: str) -> None:
    assert_follows(RECORDS[name])


@given(st.integers(0, 2**32 - 1))
def test_optimizers_follow_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    assert_follows(optimizers.record(seed))


def assert_searches(record: records.Record) -> None:
    config, found = record
    p = nn.Parameter(found["start"])
    assert optimizers.search(optim, p, ag.cos, found, config) == found["calls"]
    records.assert_equal(p.numpy(), found["place"])


@pytest.mark.parametrize("name", [name for name in RECORDS if "search" in name])
def test_line_searches_go_the_way_that_pytorch_recorded(name: str) -> None:
    assert_searches(RECORDS[name])


@given(st.integers(0, 2**32 - 1))
def test_line_searches_go_the_way_of_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    record = optimizers.search_record(seed)
    assume(
        record[1]["calls"] <= 8
    )  # where it takes longer, points lie so close that rounding leads
    assert_searches(record)


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


@pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL)
@given(st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_every_state_is_restored_bit_by_bit(make: Any, steps: int, seed: int) -> None:
    """By way of a file as well: lists for tuples, strings for the numbers of parameters."""
    first = make(parameters([[1.0, 2.0]], 3.0))
    second = make(parameters(*move(first, seed, steps)))
    saved = first.state_dict()
    saved["state"] = {str(number): state for number, state in saved["state"].items()}
    second.load_state_dict(saved)
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


# What is particular to one of them


def test_a_state_of_pytorch_goes_on_here() -> None:
    (p,), (q,) = parameters([1.0, 2.0]), parameters([1.0, 2.0])
    ours = optim.Adam([p], lr=0.125)
    move(ours, 0, steps=3)
    q.data[...] = p.data
    saved = ours.state_dict()
    saved["state"][0]["step"] = np.array(3, np.float32)
    saved["param_groups"][0] |= {"foreach": None, "capturable": False, "fused": None}
    theirs = optim.Adam([q])
    theirs.load_state_dict(saved)
    assert move(theirs, 1, steps=2) == move(ours, 1, steps=2)
    assert theirs.param_groups[0].keys() == ours.param_groups[0].keys()


def test_a_state_of_another_kind_is_refused() -> None:
    optimizer = optim.Adam(parameters([1.0]))
    saved = optim.SGD(parameters([1.0])).state_dict()
    with pytest.raises(ValueError, match="the saved optimizer is SGD, but this one is Adam"):
        optimizer.load_state_dict(saved)
    del saved["optimizer"]  # as in files of earlier versions, and of PyTorch
    with pytest.raises(ValueError, match="does not belong to Adam: it has no option 'amsgrad'"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_weight_decay_shrinks_the_gradient_of_adam_but_the_weights_of_adamw() -> None:
    for make, expected in ((optim.Adam, 10 - 0.1), (optim.AdamW, 10 * (1 - 0.1 * 0.5))):
        (p,) = parameters([10.0])
        p.grad = np.zeros(1)
        make([p], lr=0.1, weight_decay=0.5).step()
        assert p.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("make", [optim.Adam, optim.AdamW])
def test_without_memory_adam_sees_the_present_gradient_alone(make: Any) -> None:
    (p,) = parameters([0.0])
    optimizer = make([p], lr=1.0, betas=(0.0, 0.0), eps=1e-300, weight_decay=0.0)
    for g, expected in ((1e9, -1), (1e-9, -2)):
        p.grad = np.array([g])
        optimizer.step()
        assert p.item() == expected


@pytest.mark.parametrize("alpha", [0.5, 0.9, 0.95])
def test_a_variance_that_rounding_makes_negative_is_0(alpha: float) -> None:
    p = nn.Parameter(np.zeros(400, np.float32))
    optimizer = optim.RMSprop([p], alpha=alpha, centered=True)
    for _ in range(300):
        p.grad = np.linspace(0.1, 9, 400, dtype=np.float32)
        optimizer.step()
    assert np.isfinite(p.numpy()).all()


def test_dampening_weighs_all_gradients_but_the_first() -> None:
    (p,) = parameters([0.0])
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5, dampening=0.75)
    for expected in (-1, -1 - (0.5 + 0.25), -1.75 - (0.375 + 0.25)):
        p.grad = np.ones(1)
        optimizer.step()
        assert p.item() == expected


@pytest.mark.parametrize("make", ALL)
def test_gradients_are_not_written(make: Any) -> None:
    (p,) = parameters([1.0, 2.0])
    optimizer = make([p], lr=0.1, **({"momentum": 0.9} if make is optim.SGD else {}))
    g = np.array([3.0, 4.0])
    p.grad = g
    for _ in range(3):
        optimizer.step(lambda: 0.0)
        assert p.grad.tolist() == g.tolist() == [3, 4]


def test_parameters_without_a_gradient_count_as_flat_for_lbfgs() -> None:
    p, q = parameters([1.0], [1.0])
    optimizer = optim.LBFGS([p, q])

    def closure() -> Any:
        optimizer.zero_grad()
        value = (p**2).sum()
        value.backward()
        return value

    optimizer.step(closure)
    assert p.tolist() == pytest.approx([0], abs=1e-9)
    assert q.tolist() == [1]


@pytest.mark.parametrize("make", ALL)
def test_a_closure_computes_the_loss_that_a_step_returns(make: Any) -> None:
    (p,) = parameters([2.0])
    optimizer = make([p], lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        value = (p**2).sum()
        value.backward()
        return value

    with ag.no_grad():
        assert optimizer.step(closure).item() == 4
    assert p.item() < 2


def test_parameters_can_be_added_later() -> None:
    p, q = parameters([1.0], [1.0])
    optimizer = optim.SGD([p], lr=0.5)
    optimizer.add_param_group({"params": q, "lr": 0.25})
    p.grad, q.grad = np.ones(1), np.ones(1)
    optimizer.step()
    assert (p.item(), q.item()) == (0.5, 0.75)


# Errors


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (optim.Adam, {"lr": -1.0}, "Invalid learning rate: -1.0"),
        (optim.Adam, {"lr": math.nan}, "Invalid learning rate: nan"),
        (optim.Adam, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.Adam, {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        (optim.Adam, {"betas": (0.9,)}, r"betas must be two numbers, not \(0.9,\)"),
        (optim.Adam, {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
        (optim.Adam, {"weight_decay": -0.1}, "Invalid weight_decay value: -0.1"),
        (optim.SGD, {"momentum": -0.1}, "Invalid momentum value: -0.1"),
        (optim.SGD, {"nesterov": True}, "Nesterov momentum requires .* not momentum=0.0"),
        (optim.SGD, {"nesterov": True, "momentum": 1, "dampening": 1}, "Nesterov .* dampening=1"),
        (optim.RMSprop, {"alpha": -0.1}, "Invalid alpha value: -0.1"),
        (optim.Adagrad, {"lr_decay": -0.1}, "Invalid lr_decay value: -0.1"),
        (optim.LBFGS, {"history_size": 0}, "history_size must be at least 1"),
        (optim.LBFGS, {"line_search_fn": "wolfe"}, "only 'strong_wolfe' is .*, not 'wolfe'"),
    ],
)
def test_nonsense_options_are_refused(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(parameters([1.0]), **options)
    if make is not optim.LBFGS:
        with pytest.raises(ValueError, match=message):
            make([{"params": parameters([1.0]), **options}])


@pytest.mark.parametrize("make", [optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
def test_an_eps_that_is_0_in_half_precision_is_refused(make: Any) -> None:
    half = nn.Parameter(np.ones(2, "float16"))
    with pytest.raises(ValueError, match=r"eps=1e-\d+ is 0 in float16.* larger eps, or keep"):
        make([half])
    optimizer = make([half], eps=1e-4)
    half.grad = np.zeros(2, "float16")
    optimizer.step()
    assert half.tolist() == [1, 1] or optimizer.param_groups[0]["weight_decay"]


def test_lbfgs_needs_a_closure_and_has_one_group() -> None:
    p, q = parameters([1.0], [1.0])
    with pytest.raises(TypeError, match="LBFGS needs a closure"):
        optim.LBFGS([p]).step()
    with pytest.raises(ValueError, match="LBFGS doesn't support per-parameter options"):
        optim.LBFGS([{"params": [p]}, {"params": [q]}])


@pytest.mark.parametrize("lr", ["1e-3", None])
def test_a_rate_is_a_number(lr: Any) -> None:
    with pytest.raises(TypeError, match="the learning rate must be a number, not"):
        optim.SGD(parameters([1.0]), lr=lr)


def test_an_optimiser_shows_its_options() -> None:
    a, b, c = parameters(1.0, 2.0, 3.0)
    optimizer = optim.Adagrad([{"params": [a, b]}, {"params": [c], "lr": 0.5}])
    options = "weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, maximize=False"
    assert repr(optimizer) == (
        f"Adagrad(parameters: 2, lr=0.01, lr_decay=0.0, {options}; "
        f"parameters: 1, lr=0.5, lr_decay=0.0, {options})"
    )


def test_an_optimiser_needs_parameters_each_once() -> None:
    (p,) = parameters([1.0])
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        optim.Adam([])
    for twice in ([p, p], [{"params": [p]}, {"params": [p]}]):
        with pytest.raises(ValueError, match="more than one parameter group, or twice"):
            optim.Adam(twice)


def test_only_leaves_are_optimised() -> None:
    p = nn.Parameter(np.ones(2))
    for wrong in ([p * 1], [1, 2], [ag.tensor([1.0])]):
        with pytest.raises(TypeError, match="can't optimize a non-leaf Tensor: parameter 0"):
            optim.Adam(wrong)
    with pytest.raises(ValueError, match="unknown option 'learning_rate'"):
        optim.Adam([{"params": [p], "learning_rate": 1.0}])
    assert optim.Adam(p).param_groups[0]["params"] == [p]
    for wrong in ([p], {"lr": 1.0}):
        with pytest.raises(TypeError, match=r'must be a dict with "params" in it, but got'):
            optim.Adam(p).add_param_group(wrong)


@pytest.mark.parametrize("zeros", [False, True])
def test_gradients_that_do_not_exist_are_not_made_by_zero_grad(zeros: bool) -> None:
    p, q = parameters([1.0, 2.0], [3.0])
    p.grad = np.array([4.0, 5.0])
    optimizer = optim.SGD([{"params": [p]}, {"params": q}])
    optimizer.zero_grad(set_to_none=not zeros)
    assert q.grad is None
    assert (p.grad.tolist() == [0, 0]) if zeros else (p.grad is None)
