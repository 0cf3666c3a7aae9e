"""Optimizer states of PyTorch, of other optimizers, and malformed states; options of other numeric
types."""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import parameters

import autograd as ag
from tinygrad_rnn import nn, optim
from tinygrad_rnn.training import load_tree, save_tree

MAKERS: dict[str, Any] = {
    "SGD": lambda params: optim.SGD(params, momentum=0.9),
    "RMSprop": lambda params: optim.RMSprop(params, momentum=0.9, centered=True),
    "Adagrad": lambda params: optim.Adagrad(params, lr_decay=0.1),
    "Adam": optim.Adam,
    "AdamW": lambda params: optim.AdamW(params, amsgrad=True),
    "LBFGS": lambda params: optim.LBFGS(params, max_iter=3, history_size=2),
}


def after_steps(optimizer: Any, steps: int = 2, seed: int = 0) -> Any:
    """Return the optimizer after some steps along random gradients."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = rng.normal(size=p.shape).astype(p.dtype)
        optimizer.step(lambda: 0.0)
    return optimizer


def parameter_values(optimizer: Any) -> list[Any]:
    return [p.tolist() for group in optimizer.param_groups for p in group["params"]]


def in_pytorch_format(saved: Any) -> Any:
    """Return a state with float32 step counters of shape () and without the optimizer's name."""
    states = {
        number: {k: np.array(v, np.float32) if k == "step" else v for k, v in state.items()}
        for number, state in saved["state"].items()
    }
    return {"state": states, "param_groups": saved["param_groups"]}


# --- states of PyTorch ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adagrad"])
def test_a_step_counter_of_pytorch_becomes_an_integer(name: str, shape: Any) -> None:
    """The arrays of a parameter of shape () have the shape of the counter."""

    def start() -> list[Any]:
        return [nn.Parameter(np.full(shape, 2, "float32"))]

    original = after_steps(MAKERS[name](start()), 3)
    restored = MAKERS[name]([nn.Parameter(original.param_groups[0]["params"][0].numpy())])
    restored.load_state_dict(in_pytorch_format(original.state_dict()))
    (state,) = restored.state.values()
    assert state["step"] == 3
    assert type(state["step"]) is int
    expected = parameter_values(after_steps(original, 3, 1))
    assert parameter_values(after_steps(restored, 3, 1)) == expected


@pytest.mark.parametrize("name", [*MAKERS][:-1])
@pytest.mark.parametrize("double", [False, True])
def test_states_that_pytorch_saves_are_continued(name: str, double: bool) -> None:
    torch = pytest.importorskip("torch")
    dtype = "float64" if double else "float32"
    starts = [np.array(1.5, dtype), np.array([1, -2], dtype), np.ones((2, 3), dtype)]
    options = {
        k: v
        for k, v in MAKERS[name]([nn.Parameter(starts[1])]).defaults.items()
        if k not in ("lr", "maximize")
    }
    torch_params = [torch.nn.Parameter(torch.tensor(start)) for start in starts]
    optimizer = getattr(torch.optim, name)(torch_params, lr=0.01, **options)
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=s.shape).astype(dtype) for s in starts] for _ in range(6)]

    def move(params: Any, optimizer: Any, gradients: Any, make: Any) -> None:
        for step in gradients:
            for p, g in zip(params, step, strict=True):
                p.grad = make(g)
            optimizer.step()

    move(torch_params, optimizer, gradients[:3], torch.tensor)
    params = [nn.Parameter(p.detach().numpy().copy()) for p in torch_params]
    loaded = MAKERS[name](params)
    saved = optimizer.state_dict()
    saved["state"] = {
        number: {k: v if v is None else v.numpy().copy() for k, v in state.items()}
        for number, state in saved["state"].items()
    }
    loaded.load_state_dict(saved)
    move(torch_params, optimizer, gradients[3:], torch.tensor)
    move(params, loaded, gradients[3:], ag.tensor)
    for p, q in zip(params, torch_params, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12 if double else 3e-7)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("shapes", [[()], [(1,)], [(2, 2), (), (3,)]])
def test_states_that_pytorchs_lbfgs_saves_are_continued(
    shapes: Any, steps: int, search: Any
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    torch_params = [torch.nn.Parameter(torch.tensor(rng.normal(size=s))) for s in shapes]
    optimizer = torch.optim.LBFGS(torch_params, 0.3, 3, history_size=2, line_search_fn=search)

    def move(params: Any, optimizer: Any, steps: int) -> None:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = sum(((p - i) ** 2 + 0.1 * p**4).sum() for i, p in enumerate(params, 1))
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(closure)

    move(torch_params, optimizer, steps)
    saved = torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda t: t.numpy().copy(), optimizer.state_dict()
    )
    params = [nn.Parameter(p.detach().numpy().copy()) for p in torch_params]
    loaded = optim.LBFGS(params)
    loaded.load_state_dict(saved)
    move(torch_params, optimizer, 2)
    move(params, loaded, 2)
    for p, q in zip(params, torch_params, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-9)


def test_lbfgs_reads_the_names_of_pytorch() -> None:
    """The steps are bit-identical to those from a state with this library's names."""
    names = {"steps": "old_stps", "changes": "old_dirs", "scale": "H_diag", "g": "prev_flat_grad"}
    original = after_steps(optim.LBFGS(parameters([1.0, 2.0]), max_iter=3), 3)
    saved = original.state_dict()
    del saved["optimizer"]
    saved["state"][0] = {names.get(k, k): v for k, v in saved["state"][0].items()}
    saved["state"][0] |= {"ro": [np.array(1.0)], "al": [None], "prev_loss": 0.5}
    restored = optim.LBFGS(parameters(*parameter_values(original)))
    restored.load_state_dict(saved)
    expected = parameter_values(after_steps(original, 2, 1))
    assert parameter_values(after_steps(restored, 2, 1)) == expected
    del saved["state"][0]["H_diag"]
    with pytest.raises(ValueError, match=r"malformed: KeyError\('H_diag'\)"):
        restored.load_state_dict(saved)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Adam", {"amsgrad": True}),
        ("AdamW", {"amsgrad": True}),
        ("RMSprop", {"momentum": 0.5}),
        ("RMSprop", {"centered": True, "momentum": 0.5}),
        ("SGD", {"momentum": 0.5}),
        ("SGD", {"momentum": 0.5, "nesterov": True}),
    ],
)
@pytest.mark.parametrize("restored", [False, True])
def test_an_option_that_needs_an_array_can_be_set_later(
    name: str, options: Any, restored: bool
) -> None:
    """The array then starts as before the first step."""
    optimizer = after_steps(getattr(optim, name)(parameters([1.0, 2.0], [3.0])))
    if restored:
        saved = optimizer.state_dict()
        optimizer = getattr(optim, name)(optimizer.param_groups[0]["params"])
        optimizer.load_state_dict(saved)
    optimizer.param_groups[0].update(options)
    after_steps(optimizer)
    assert np.isfinite(parameter_values(optimizer)[0]).all()
    (one, *_) = optimizer.state.values()
    assert {key for key, option in optimizer.state_arrays.items() if option in options} <= set(one)
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("precision", ["float16", "float64", "int64"])
def test_restored_arrays_have_the_dtype_of_their_parameter(precision: str) -> None:
    p = nn.Parameter(np.ones(3, "float32"))
    saved = after_steps(optim.Adam([p])).state_dict()
    saved["state"][0]["exp_avg_sq"] = np.ones(3, precision)
    optimizer = optim.Adam([p])
    optimizer.load_state_dict(saved)
    assert optimizer.state[p]["exp_avg_sq"].dtype == np.float32


# --- other and malformed states -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saved", "loading"),
    [
        ("AdamW", "Adam"),
        ("Adam", "AdamW"),
        ("SGD", "RMSprop"),
        ("Adagrad", "SGD"),
        ("LBFGS", "SGD"),
    ],
)
def test_the_error_for_a_state_of_another_optimizer_names_both(saved: str, loading: str) -> None:
    state = after_steps(MAKERS[saved](parameters([1.0, 2.0]))).state_dict()
    optimizer = MAKERS[loading](parameters([1.0, 2.0]))
    with pytest.raises(ValueError, match=f"optimizer is {saved}, but this one is {loading}$"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_state_of_pytorchs_adamw_is_not_read_as_adam(decoupled: bool) -> None:
    make, other = (optim.AdamW, optim.Adam) if decoupled else (optim.Adam, optim.AdamW)
    saved = in_pytorch_format(make(parameters([1.0])).state_dict())
    saved["param_groups"][0]["decoupled_weight_decay"] = decoupled
    make(parameters([1.0])).load_state_dict(saved)
    with pytest.raises(ValueError, match=f"is {make.__name__}, but this one is {other.__name__}"):
        other(parameters([1.0])).load_state_dict(saved)


def option(name: str, value: Any) -> Any:
    return lambda saved: saved["param_groups"][0].update({name: value})


def entry(name: str, value: Any) -> Any:
    return lambda saved: saved["state"][0].update({name: value})


CORRUPTIONS: dict[str, tuple[Any, str]] = {
    "lr -1": (option("lr", -1.0), "Invalid learning rate: -1.0"),
    "lr nan": (option("lr", math.nan), "Invalid learning rate: nan"),
    "lr inf": (option("lr", math.inf), "Invalid learning rate: inf"),
    "lr text": (option("lr", "0.1"), "learning rate must be a number"),
    "lr list": (option("lr", [0.1]), "learning rate must be a number"),
    "lr none": (option("lr", None), "learning rate must be a number"),
    "betas": (option("betas", [0.9, 1.5]), "Invalid beta parameter at index 1: 1.5"),
    "one beta": (option("betas", [0.9]), "betas must be two numbers"),
    "no betas": (option("betas", None), "malformed"),
    "betas text": (option("betas", "ab"), "malformed"),
    "eps": (option("eps", -1e-8), "Invalid epsilon value"),
    "weight_decay": (option("weight_decay", -0.5), "Invalid weight_decay value"),
    "flag": (option("amsgrad", "yes"), "amsgrad must be True or False"),
    "params": (option("params", None), "malformed"),
    "names": (option("params", ["a", "b"]), "invalid literal"),
    "twice": (option("params", [0, 0]), "parameter in common"),
    "no option": (lambda saved: saved["param_groups"][0].pop("eps"), "lacks the option 'eps'"),
    "no groups": (lambda saved: saved.pop("param_groups"), "malformed: KeyError"),
    "groups": (lambda saved: saved.update(param_groups=3), "malformed: TypeError"),
    "group": (lambda saved: saved.update(param_groups=["x"]), "malformed: TypeError"),
    "no state": (lambda saved: saved.pop("state"), "malformed: KeyError"),
    "state": (lambda saved: saved.update(state=[1]), "malformed: AttributeError"),
    "number": (lambda saved: saved["state"].update({7: saved["state"][0]}), "malformed: KeyError"),
    "word": (lambda saved: saved["state"].update(x=saved["state"][0]), "invalid literal"),
    "entries": (lambda saved: saved["state"].update({0: 5}), "malformed: AttributeError"),
    "no step": (lambda saved: saved["state"][0].pop("step"), "lacks 'step'"),
    "no array": (lambda saved: saved["state"][0].pop("exp_avg_sq"), "lacks 'exp_avg_sq'"),
    "null array": (entry("exp_avg", None), "lacks 'exp_avg'"),
    "step inf": (entry("step", math.inf), "step must be a non-negative integer, got inf"),
    "step nan": (entry("step", math.nan), "step must be a non-negative integer"),
    "step -1": (entry("step", -1), "step must be a non-negative integer"),
    "step half": (entry("step", np.float32(1.5)), "step must be a non-negative integer"),
    "step text": (entry("step", "3"), "step must be a non-negative integer"),
    "step array": (entry("step", np.ones(2)), "step must be a non-negative integer"),
    "shape": (entry("exp_avg", np.zeros(3)), r"'exp_avg' has shape \(3,\), expected \(2,\)"),
    "scalar": (entry("exp_avg", np.array(1.0)), r"'exp_avg' has shape \(\)"),
    "list": (entry("exp_avg", []), "'exp_avg' of a parameter is not an array"),
    "text array": (entry("exp_avg", np.array(["a", "b"])), "must hold numbers, got <U1"),
    "text": (entry("exp_avg", "abc"), "has shape|must hold"),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_malformed_state_raises_and_changes_nothing(corruption: str) -> None:
    corrupt, message = CORRUPTIONS[corruption]
    optimizer = after_steps(optim.Adam(parameters([1.0, 2.0], [3.0]), lr=0.25))
    saved = optimizer.state_dict()
    corrupt(saved)
    snapshot = json.dumps(optimizer.state_dict(), default=np.ndarray.tolist)
    with pytest.raises(ValueError, match=message) as caught:
        optimizer.load_state_dict(saved)
    assert "\n" not in str(caught.value)
    assert json.dumps(optimizer.state_dict(), default=np.ndarray.tolist) == snapshot


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("SGD", "momentum_buffer", np.zeros(3)),
        ("RMSprop", "grad_avg", None),
        ("RMSprop", "momentum_buffer", 5),
        ("Adagrad", "sum", None),
        ("Adagrad", "step", -math.inf),
        ("AdamW", "max_exp_avg_sq", None),
        ("LBFGS", "n_iter", math.inf),
        ("LBFGS", "func_evals", None),
        ("LBFGS", "steps", []),
        ("LBFGS", "changes", [1.0, 2.0]),
        ("LBFGS", "scale", math.nan),
        ("LBFGS", "t", None),
        ("LBFGS", "d", 1.0),
        ("LBFGS", "g", np.zeros(3)),
    ],
)
def test_every_optimizer_checks_its_state(name: str, key: str, value: Any) -> None:
    optimizer = after_steps(MAKERS[name](parameters([1.0, 2.0])), 3)
    saved = optimizer.state_dict()
    assert key in saved["state"][0]
    optimizer.load_state_dict(saved)
    saved["state"][0][key] = value
    with pytest.raises(ValueError, match=r"saved|must be"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("invalid", [None, [], 3, "text", {}, {"state": {}}])
def test_objects_that_are_not_states_raise(invalid: Any) -> None:
    with pytest.raises(ValueError, match="the saved state of Adam is malformed"):
        optim.Adam(parameters([1.0])).load_state_dict(invalid)


# --- options --------------------------------------------------------------------------------------


NUMBERS: dict[str, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "array": lambda x: np.array(x, "float32"),
    "Tensor": lambda x: ag.tensor(x, dtype="float32"),
    "Fraction": Fraction,
}


@pytest.mark.parametrize("kind", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("name", MAKERS)
def test_options_of_any_numeric_type_are_converted(tmp_path: Path, name: str, kind: Any) -> None:
    """The steps equal the steps with equal Python floats, and the state can be saved."""
    defaults = MAKERS[name](parameters([1.0])).defaults
    floats: dict[str, Any] = {
        name: value for name, value in defaults.items() if isinstance(value, float)
    } | {"lr": 0.125}
    options = {option: kind(value) for option, value in floats.items()}
    floats = {option: float(value) for option, value in options.items()}
    if "betas" in defaults:
        options["betas"] = tuple(map(kind, (0.75, 0.875)))
        floats["betas"] = (0.75, 0.875)
    starts = np.array([1.0, 2.0], "float32")
    make = getattr(optim, name)
    one, other = (make([nn.Parameter(starts)], **values) for values in (options, floats))
    assert one.param_groups[0] | {"params": 0} == other.param_groups[0] | {"params": 0}
    assert parameter_values(after_steps(one)) == parameter_values(after_steps(other))
    save_tree(tmp_path / "state", one.state_dict())
    third = make([nn.Parameter(starts)])
    third.load_state_dict(load_tree(tmp_path / "state"))
    assert third.param_groups[0] | {"params": 0} == other.param_groups[0] | {"params": 0}
    group = make([{"params": [nn.Parameter(starts)], "lr": kind(0.5)}]).param_groups[0]
    assert (group["lr"], type(group["lr"])) == (0.5, float)


@pytest.mark.parametrize("betas", [np.array([0.5, 0.75]), [np.float32(0.5), 0.75], ag.tensor])
def test_betas_can_be_an_array(betas: Any) -> None:
    betas = betas([0.5, 0.75]) if callable(betas) else betas
    assert optim.Adam(parameters([1.0]), betas=betas).param_groups[0]["betas"] == (0.5, 0.75)


@pytest.mark.parametrize("value", [np.bool_(True), np.array(True), 1])
def test_flags_and_counts_can_be_numpy_scalars(tmp_path: Path, value: Any) -> None:
    (p,) = parameters([1.0])
    for optimizer in (
        optim.SGD([p], momentum=0.5, nesterov=value),
        optim.RMSprop([p], centered=value),
        optim.AdamW([p], amsgrad=value, maximize=value),
        optim.LBFGS([p], max_iter=np.int64(3), history_size=np.array(2)),
    ):
        save_tree(tmp_path / "state", after_steps(optimizer).state_dict())
        optimizer.load_state_dict(load_tree(tmp_path / "state"))


@pytest.mark.parametrize("kind", NUMBERS.values(), ids=NUMBERS)
def test_a_learning_rate_that_is_set_directly_can_be_saved(tmp_path: Path, kind: Any) -> None:
    optimizer = after_steps(optim.Adam(parameters([1.0])))
    optimizer.param_groups[0]["lr"] = kind(0.25)
    save_tree(tmp_path / "state", optimizer.state_dict())
    assert load_tree(tmp_path / "state")["param_groups"][0]["lr"] == 0.25


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (optim.SGD, {"momentum": "0.9"}),
        (optim.SGD, {"momentum": math.inf}),
        (optim.Adam, {"lr": math.inf}),
        (optim.Adam, {"eps": None}),
        (optim.Adam, {"amsgrad": "no"}),
        (optim.LBFGS, {"max_iter": 2.5}),
    ],
)
def test_options_of_wrong_types_raise(make: Any, options: dict[str, Any]) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=next(iter(options)).replace("lr", "rate")[:3]
    ):
        make(parameters([1.0]), **options)


@pytest.mark.parametrize("name", ["Adam", "SGD", "Adagrad"])
def test_restoring_drops_states_that_are_not_saved(name: str) -> None:
    p, q = parameters([1.0], [2.0])
    optimizer = MAKERS[name]([p, q])
    saved = optimizer.state_dict()
    after_steps(optimizer)
    optimizer.load_state_dict(saved)
    assert optimizer.state == {}
