"""Modules: names, states, modes, what they show of themselves."""

from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import nn


class Net(nn.Module):
    """Parameters at two levels, and one that appears twice."""

    def __init__(self) -> None:
        self.last = nn.Linear(2, 3)
        self.scale = nn.Parameter(np.ones(2, "float32"))
        self.layers = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Dropout(0.5)])
        self.tied = nn.Linear(2, 3)
        self.tied.weight = self.last.weight


def state_of(net: nn.Module) -> dict[str, list[Any]]:
    return {name: array.tolist() for name, array in net.state_dict().items()}


# Modules


def test_parameters_are_named_in_the_order_of_assignment_and_shared_ones_once() -> None:
    net = Net()
    names = ["scale", "last.weight", "last.bias", "layers.0.weight", "tied.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert len(list(net.parameters())) == len(names)
    assert all(isinstance(parameter, nn.Parameter) for parameter in net.parameters())
    assert set(net.state_dict()) == {*names, "tied.weight"}


def test_modules_are_named_by_their_paths() -> None:
    net = Net()
    names = ["", "last", "layers", "layers.0", "layers.1", "tied"]
    assert [name for name, _ in net.named_modules()] == names
    assert [name for name, _ in net.named_children()] == ["last", "layers", "tied"]
    assert next(net.modules()) is net


def test_a_state_makes_another_module_the_same() -> None:
    net, other = Net(), Net()
    assert state_of(other) != state_of(net)
    parameters = list(other.parameters())
    other.load_state_dict(net.state_dict())
    assert state_of(other) == state_of(net)
    assert all(a is b for a, b in zip(other.parameters(), parameters, strict=True))
    assert other.tied.weight is other.last.weight


def test_a_state_is_a_copy() -> None:
    net = Net()
    state, before = net.state_dict(), state_of(net)
    net.load_state_dict(state)
    for array in state.values():
        array += 1
    assert state_of(net) == before


def test_a_state_of_another_dtype_is_cast() -> None:
    net = nn.Linear(2, 1)
    net.load_state_dict({"weight": np.array([[1, 2]]), "bias": np.array([0.5])})
    assert net.weight.dtype == net.bias.dtype == np.float32
    assert net(ag.tensor([10.0, 1.0])).tolist() == [12.5]


def test_a_state_that_does_not_fit_is_described_in_full_and_changes_nothing() -> None:
    net = Net()
    state, before = net.state_dict(), state_of(net)
    del state["scale"], state["tied.bias"]
    state |= {"last.weight": np.zeros((2, 3)), "more": np.zeros(1)}
    state["last.bias"] += 1
    with pytest.raises(ValueError, match="do not fit Net: ") as error:
        net.load_state_dict(state)
    for part in (
        "missing: scale",
        "missing: tied.bias",
        "unexpected: more",
        "last.weight: expected shape (3, 2), got (2, 3)",
    ):
        assert part in str(error.value)
    assert state_of(net) == before


def test_train_and_eval_reach_every_module() -> None:
    net = nn.ModuleList([Net(), nn.LSTM(2, 2)])
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert all(module.training for module in net.modules())


def test_zero_grad_drops_all_gradients() -> None:
    net = Net()
    sum((p * p).sum() for p in net.parameters()).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_apply_reaches_every_module_children_first() -> None:
    net, seen = Net(), []
    assert net.apply(seen.append) is net
    assert len(seen) == len(list(net.modules()))
    for module in seen:
        assert all(seen.index(child) < seen.index(module) for _, child in module.named_children())


def test_a_module_moves_to_another_dtype_in_place() -> None:
    net = nn.LSTM(2, 3)
    parameters, before = list(net.parameters()), state_of(net)
    assert net.to("float64") is net
    assert all(p.dtype == np.float64 and p.requires_grad for p in parameters)
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert state_of(net) == before
    y, _ = net(ag.tensor(np.ones((4, 1, 2))))
    y.sum().backward()
    assert y.dtype == np.float64
    assert all(p.grad is not None and p.grad.dtype == np.float64 for p in parameters)


def test_a_module_shows_its_structure() -> None:
    net = Net()
    net.recurrent = nn.LSTM(2, 3, num_layers=2, bias=False, batch_first=True, dropout=0.1)
    net.embedding = nn.Embedding(5, 2)
    assert repr(net) == (
        "Net(\n"
        "  (last): Linear(2, 3)\n"
        "  (layers): ModuleList(\n"
        "    (0): Linear(2, 2, bias=False)\n"
        "    (1): Dropout(p=0.5)\n"
        "  )\n"
        "  (tied): Linear(2, 3)\n"
        "  (recurrent): LSTM(2, 3, bias=False, num_layers=2, batch_first=True, dropout=0.1)\n"
        "  (embedding): Embedding(5, 2)\n"
        ")"
    )


def test_a_list_of_modules_behaves_as_a_list() -> None:
    modules = [nn.Linear(1, 1), nn.Dropout(0.5)]
    found = nn.ModuleList(modules)
    assert list(found) == modules
    assert len(found) == 2
    assert found[-1] is modules[1]
    assert found.append(nn.Linear(2, 2)) is found
    assert [name for name, _ in found.named_children()] == ["0", "1", "2"]


def test_a_module_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"Net has no forward\(\)"):
        Net()(1)
