"""Containers: Sequential, ModuleList and ModuleDict."""

import pytest

import autograd as ag
from tinygrad_rnn import nn


def test_sequential_calls_modules_in_order() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    x = ag.tensor([[1.0, -1.0]])
    assert net(x).tolist() == net[2](ag.tanh(net[0](x))).tolist()
    assert [*net.state_dict()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(net[:2]) == [net[0], net[1]]
    assert isinstance(net[:2], nn.Sequential)
    assert nn.Sequential()(x) is x


def test_sequential_accepts_a_mapping() -> None:
    net = nn.Sequential({"first": nn.Linear(1, 1, bias=False), "then": nn.ReLU()})
    assert [*net.state_dict()] == ["first.weight"]
    assert net(ag.tensor([0.0])).tolist() == [0]
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        nn.Sequential({"forward": nn.ReLU()})


def test_module_dict_behaves_like_a_dict() -> None:
    modules = {"a": nn.Linear(1, 1), "b": nn.ReLU()}
    net = nn.ModuleDict(modules)
    assert list(net) == net.keys() == ["a", "b"]
    assert net.values() == list(modules.values())
    assert net.items() == list(modules.items())
    assert net["a"] is modules["a"]
    assert "a" in net
    assert "c" not in net
    assert "training" not in net
    net["a"] = nn.Linear(2, 1)
    assert net.state_dict()["a.weight"].shape == (1, 2)
    del net["a"]
    assert net.pop("b") is modules["b"]
    assert len(net) == 0
    with pytest.raises(KeyError, match="c"):
        net["c"]
    with pytest.raises(KeyError, match="attribute 'keys' already exists"):
        net["keys"] = nn.ReLU()
    net.update(modules)
    assert repr(net) == "ModuleDict(\n  (a): Linear(1, 1)\n  (b): ReLU()\n)"


def test_containers_reject_other_types() -> None:
    for make in (
        lambda: nn.Sequential(nn.ReLU(), ag.tanh),
        lambda: nn.Sequential({"1": ag.tanh}),
        lambda: nn.ModuleList([nn.ReLU(), ag.tanh]),
        lambda: nn.ModuleDict({"1": ag.tanh}),
    ):
        with pytest.raises(TypeError, match="'1' must be a Module, got function"):
            make()


def test_module_list_behaves_like_a_list() -> None:
    modules = [nn.Linear(1, 1), nn.Dropout(0.5)]
    module_list = nn.ModuleList(modules)
    assert list(module_list) == modules
    assert len(module_list) == 2
    assert module_list[-1] is modules[1]
    assert module_list.append(nn.Linear(2, 2)) is module_list
    assert [name for name, _ in module_list.named_children()] == ["0", "1", "2"]
    assert list(module_list[1:].extend(modules)) == [modules[1], module_list[2], *modules]
