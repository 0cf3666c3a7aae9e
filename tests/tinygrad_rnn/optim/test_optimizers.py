"""Optimizers: PyTorch's trajectories, states saved and restored, errors."""

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


def take_steps(optimizer: optim.Optimizer, seed: int, steps: int = 1) -> list[list[Any]]:
    """Step along random gradients and return the parameters."""
    rng = np.random.default_rng(seed)
    all_parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(steps):
        for p in all_parameters:
            p.grad = rng.normal(size=p.shape)
        optimizer.step(lambda: 0.0)
    return [p.tolist() for p in all_parameters]


def assert_follows(record: records.Record) -> None:
    config, recorded = record
    params = [nn.Parameter(recorded[f"start/{i}"]) for i in range(2)]
    tensors = {name: ag.tensor(array) for name, array in recorded.items()}
    steps = 0
    for _ in optimizers.follow(optim, params, tensors, config):
        for i, p in enumerate(params):
            expected = recorded[f"trajectory/{i}"][steps]
            records.assert_equal(p.numpy(), expected, f"parameter {i} after step {steps}")
        steps += 1
    assert steps == optimizers.STEPS


@pytest.mark.parametrize("name", [name for name in RECORDS if "search" not in name])
def test_optimizers_follow_the_recorded_trajectories_of_pytorch(name: str) -> None:
    assert_follows(RECORDS[name])


@given(st.integers(0, 2**32 - 1))
def test_optimizers_follow_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    assert_follows(optimizers.record(seed))


def assert_searches(record: records.Record) -> None:
    config, recorded = record
    p = nn.Parameter(recorded["start"])
    assert optimizers.search(optim, p, ag.cos, recorded, config) == recorded["calls"]
    records.assert_equal(p.numpy(), recorded["end"])


@pytest.mark.parametrize("name", [name for name in RECORDS if "search" in name])
def test_line_searches_follow_the_recorded_searches_of_pytorch(name: str) -> None:
    assert_searches(RECORDS[name])


@given(st.integers(0, 2**32 - 1))
def test_line_searches_follow_pytorch(seed: int) -> None:
    pytest.importorskip("torch")
    record = optimizers.search_record(seed)
    # In longer searches the points are so close that rounding decides.
    assume(record[1]["calls"] <= 8)
    assert_searches(record)


@given(arrays(shapes(), avoid=[0]), st.floats(1e-4, 1))
def test_the_first_step_of_adam_is_lr_times_the_sign(g: np.ndarray, lr: float) -> None:
    """The bias-corrected m is g and v is g^2: the step is lr g / (|g| + eps)."""
    (p,) = parameters(np.zeros(g.shape))
    p.grad = g
    optim.Adam([p], lr=lr).step()
    np.testing.assert_allclose(p.numpy(), -lr * np.sign(g), rtol=1e-6)


def test_adam_finds_the_minimum_of_a_quadratic() -> None:
    (p,) = parameters([3.0, -2.0])
    optimizer = optim.Adam([p], lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        ((p - ag.tensor([1.0, 2.0])) ** 2 * ag.tensor([1.0, 10.0])).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(p.numpy(), [1, 2], atol=1e-3)


def test_parameters_without_gradient_are_not_updated() -> None:
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


def test_backward_through_weights_that_a_step_has_changed_raises() -> None:
    p, q = parameters([1.0], [2.0])
    loss = (p * q).sum()
    take_steps(optim.Adam([p]), seed=0)
    with pytest.raises(RuntimeError, match=r"multiply: .* written in place"):
        loss.backward()


# --- saving and restoring -------------------------------------------------------------------------


def two_groups() -> optim.Adam:
    p, q = parameters([[1.0, 2.0]], 3.0)
    return optim.Adam([{"params": [p]}, {"params": [q], "lr": 0.1, "weight_decay": 0.2}], lr=0.01)


@given(st.integers(0, 10), st.integers(0, 2**32 - 1))
def test_a_restored_optimizer_continues_bit_identically(steps: int, seed: int) -> None:
    first, second = two_groups(), two_groups()
    schedules = [ExponentialLR(optimizer, 0.9) for optimizer in (first, second)]
    values = take_steps(first, seed, steps)
    schedules[0].step()
    for p, value in zip(second.state_dict()["param_groups"], values, strict=True):
        second.param_groups[p["params"][0]]["params"][0].data = np.array(value)
    second.load_state_dict(first.state_dict())
    schedules[1].load_state_dict(schedules[0].state_dict())
    for schedule in schedules:
        schedule.step()
    assert schedules[1].get_last_lr() == schedules[0].get_last_lr()
    assert take_steps(second, seed + 1, 5) == take_steps(first, seed + 1, 5)


@pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL)
@given(st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_every_state_is_restored_bit_identically(make: Any, steps: int, seed: int) -> None:
    """JSON changes tuples to lists, and parameter indices to strings."""
    first = make(parameters([[1.0, 2.0]], 3.0))
    second = make(parameters(*take_steps(first, seed, steps)))
    saved = first.state_dict()
    saved["state"] = {str(number): state for number, state in saved["state"].items()}
    second.load_state_dict(saved)
    assert take_steps(second, seed + 1, 5) == take_steps(first, seed + 1, 5)


def test_a_saved_state_is_a_copy() -> None:
    optimizer, other = two_groups(), two_groups()
    take_steps(optimizer, 0)
    saved = optimizer.state_dict()
    snapshot = json.dumps(saved, default=np.ndarray.tolist)
    other.load_state_dict(saved)
    take_steps(optimizer, 1)
    take_steps(other, 1)
    assert json.dumps(saved, default=np.ndarray.tolist) == snapshot


def change_group_size(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["params"] = [0, 1]


def drop_group(saved: dict[str, Any]) -> None:
    del saved["param_groups"][1]


def change_shape(saved: dict[str, Any]) -> None:
    saved["param_groups"][0]["lr"] = 7.0
    saved["state"][0]["exp_avg"] = np.zeros((2, 1))


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (change_group_size, r"groups of sizes \[2, 1\]"),
        (drop_group, r"groups of sizes \[1\]"),
        (change_shape, r"shape \(2, 1\), expected \(1, 2\)"),
    ],
)
def test_a_state_of_other_parameters_raises_and_changes_nothing(corrupt: Any, message: str) -> None:
    optimizer = two_groups()
    take_steps(optimizer, 0)
    saved = optimizer.state_dict()
    corrupt(saved)
    snapshot = json.dumps(optimizer.state_dict(), default=np.ndarray.tolist)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert json.dumps(optimizer.state_dict(), default=np.ndarray.tolist) == snapshot


# --- particular optimizers ------------------------------------------------------------------------


def test_a_state_of_pytorch_is_continued() -> None:
    (p,), (q,) = parameters([1.0, 2.0]), parameters([1.0, 2.0])
    optimizer = optim.Adam([p], lr=0.125)
    take_steps(optimizer, 0, steps=3)
    q.data[...] = p.data
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = np.array(3, np.float32)
    saved["param_groups"][0] |= {"foreach": None, "capturable": False, "fused": None}
    restored = optim.Adam([q])
    restored.load_state_dict(saved)
    assert take_steps(restored, 1, steps=2) == take_steps(optimizer, 1, steps=2)
    assert restored.param_groups[0].keys() == optimizer.param_groups[0].keys()


def test_a_state_of_another_kind_raises() -> None:
    optimizer = optim.Adam(parameters([1.0]))
    saved = optim.SGD(parameters([1.0])).state_dict()
    with pytest.raises(ValueError, match="the saved optimizer is SGD, but this one is Adam"):
        optimizer.load_state_dict(saved)
    del saved["optimizer"]  # as in files of earlier versions and of PyTorch
    with pytest.raises(ValueError, match="does not belong to Adam: it lacks the option 'amsgrad'"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_weight_decay_is_coupled_in_adam_and_decoupled_in_adamw() -> None:
    for make, expected in ((optim.Adam, 10 - 0.1), (optim.AdamW, 10 * (1 - 0.1 * 0.5))):
        (p,) = parameters([10.0])
        p.grad = np.zeros(1)
        make([p], lr=0.1, weight_decay=0.5).step()
        assert p.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("make", [optim.Adam, optim.AdamW])
def test_with_betas_of_0_adam_uses_only_the_current_gradient(make: Any) -> None:
    (p,) = parameters([0.0])
    optimizer = make([p], lr=1.0, betas=(0.0, 0.0), eps=1e-300, weight_decay=0.0)
    for g, expected in ((1e9, -1), (1e-9, -2)):
        p.grad = np.array([g])
        optimizer.step()
        assert p.item() == expected


@pytest.mark.parametrize("alpha", [0.5, 0.9, 0.95])
def test_a_variance_that_rounding_makes_negative_is_clipped_to_0(alpha: float) -> None:
    p = nn.Parameter(np.zeros(400, np.float32))
    optimizer = optim.RMSprop([p], alpha=alpha, centered=True)
    for _ in range(300):
        p.grad = np.linspace(0.1, 9, 400, dtype=np.float32)
        optimizer.step()
    assert np.isfinite(p.numpy()).all()


def test_dampening_applies_to_all_gradients_but_the_first() -> None:
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


def test_lbfgs_treats_a_missing_gradient_as_zero() -> None:
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


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (optim.Adam, {"lr": -1.0}, "Invalid learning rate: -1.0"),
        (optim.Adam, {"lr": math.nan}, "Invalid learning rate: nan"),
        (optim.Adam, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.Adam, {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        (optim.Adam, {"betas": (0.9,)}, r"betas must be two numbers, got \(0.9,\)"),
        (optim.Adam, {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
        (optim.Adam, {"weight_decay": -0.1}, "Invalid weight_decay value: -0.1"),
        (optim.SGD, {"momentum": -0.1}, "Invalid momentum value: -0.1"),
        (optim.SGD, {"nesterov": True}, "Nesterov momentum requires .* got momentum=0.0"),
        (optim.SGD, {"nesterov": True, "momentum": 1, "dampening": 1}, "Nesterov .* dampening=1"),
        (optim.RMSprop, {"alpha": -0.1}, "Invalid alpha value: -0.1"),
        (optim.Adagrad, {"lr_decay": -0.1}, "Invalid lr_decay value: -0.1"),
        (optim.LBFGS, {"history_size": 0}, "history_size must be at least 1"),
        (optim.LBFGS, {"line_search_fn": "wolfe"}, "only 'strong_wolfe' is .*, got 'wolfe'"),
    ],
)
def test_invalid_options_raise(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(parameters([1.0]), **options)
    if make is not optim.LBFGS:
        with pytest.raises(ValueError, match=message):
            make([{"params": parameters([1.0]), **options}])


@pytest.mark.parametrize("make", [optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
def test_an_eps_that_rounds_to_0_in_half_precision_raises(make: Any) -> None:
    half = nn.Parameter(np.ones(2, "float16"))
    with pytest.raises(ValueError, match=r"eps=1e-\d+ rounds to 0 in float16.* larger eps"):
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
def test_a_learning_rate_must_be_a_number(lr: Any) -> None:
    with pytest.raises(TypeError, match="the learning rate must be a number, got"):
        optim.SGD(parameters([1.0]), lr=lr)


def test_the_repr_of_an_optimizer_shows_its_options() -> None:
    a, b, c = parameters(1.0, 2.0, 3.0)
    optimizer = optim.Adagrad([{"params": [a, b]}, {"params": [c], "lr": 0.5}])
    options = "weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, maximize=False"
    assert repr(optimizer) == (
        f"Adagrad(parameters: 2, lr=0.01, lr_decay=0.0, {options}; "
        f"parameters: 1, lr=0.5, lr_decay=0.0, {options})"
    )


def test_empty_parameter_lists_and_duplicates_raise() -> None:
    (p,) = parameters([1.0])
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        optim.Adam([])
    for duplicates in ([p, p], [{"params": [p]}, {"params": [p]}]):
        with pytest.raises(ValueError, match="more than one parameter group, or twice"):
            optim.Adam(duplicates)


def test_only_leaves_that_require_grad_are_accepted() -> None:
    p = nn.Parameter(np.ones(2))
    for invalid in ([p * 1], [1, 2], [ag.tensor([1.0])]):
        with pytest.raises(TypeError, match="can't optimize a non-leaf Tensor: parameter 0"):
            optim.Adam(invalid)
    with pytest.raises(ValueError, match="unknown option 'learning_rate'"):
        optim.Adam([{"params": [p], "learning_rate": 1.0}])
    assert optim.Adam(p).param_groups[0]["params"] == [p]
    for invalid in ([p], {"lr": 1.0}):
        with pytest.raises(TypeError, match=r'must be a dict with a "params" entry, got'):
            optim.Adam(p).add_param_group(invalid)


@pytest.mark.parametrize("zeros", [False, True])
def test_zero_grad_does_not_create_gradients(zeros: bool) -> None:
    p, q = parameters([1.0, 2.0], [3.0])
    p.grad = np.array([4.0, 5.0])
    optimizer = optim.SGD([{"params": [p]}, {"params": q}])
    optimizer.zero_grad(set_to_none=not zeros)
    assert q.grad is None
    assert (p.grad.tolist() == [0, 0]) if zeros else (p.grad is None)
