"""Modules: names, state, modes, hooks, copies and representation."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn import nn, optim


class Net(nn.Module):
    """Module with parameters at two levels and a shared parameter."""

    def __init__(self) -> None:
        self.last = nn.Linear(2, 3)
        self.scale = nn.Parameter(np.ones(2, "float32"))
        self.layers = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Dropout(0.5)])
        self.tied = nn.Linear(2, 3)
        self.tied.weight = self.last.weight


def state_of(net: nn.Module) -> dict[str, list[Any]]:
    return {name: array.tolist() for name, array in net.state_dict().items()}


def test_a_parameter_can_be_frozen() -> None:
    net = nn.Linear(2, 1, bias=False)
    net.weight = nn.Parameter([[2.0, 3.0]], requires_grad=False)
    assert [*net.state_dict()] == ["weight"]
    for module in (net, copy.deepcopy(net)):
        assert not any(p.requires_grad for p in module.parameters())
        assert not module(ag.ones(2)).requires_grad


def test_named_parameters_are_in_order_of_assignment_without_duplicates() -> None:
    net = Net()
    names = ["scale", "last.weight", "last.bias", "layers.0.weight", "tied.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert len(list(net.parameters())) == len(names)
    assert all(isinstance(parameter, nn.Parameter) for parameter in net.parameters())
    assert set(net.state_dict()) == {*names, "tied.weight"}


def test_named_modules_have_paths() -> None:
    net = Net()
    names = ["", "last", "layers", "layers.0", "layers.1", "tied"]
    assert [name for name, _ in net.named_modules()] == names
    assert [name for name, _ in net.named_children()] == ["last", "layers", "tied"]
    assert next(net.modules()) is net
    assert list(net.children()) == [net.last, net.layers, net.tied]


def test_a_shared_module_appears_once_but_has_all_names_in_the_state() -> None:
    shared = nn.Linear(1, 1, bias=False)
    net = nn.Sequential(shared, nn.Sequential(shared))
    assert [name for name, _ in net.named_modules()] == ["", "0", "1"]
    assert set(net.state_dict()) == {"0.weight", "1.0.weight"}


def test_load_state_dict_restores_all_parameters_in_place() -> None:
    net, other = Net(), Net()
    assert state_of(other) != state_of(net)
    parameters = list(other.parameters())
    other.load_state_dict(net.state_dict())
    assert state_of(other) == state_of(net)
    assert all(a is b for a, b in zip(other.parameters(), parameters, strict=True))
    assert other.tied.weight is other.last.weight


def test_state_dict_returns_copies() -> None:
    net = Net()
    state, snapshot = net.state_dict(), state_of(net)
    net.load_state_dict(state)
    for array in state.values():
        array += 1
    assert state_of(net) == snapshot


def test_load_state_dict_converts_the_dtype() -> None:
    net = nn.Linear(2, 1)
    net.load_state_dict({"weight": np.array([[1, 2]]), "bias": np.array([0.5])})
    assert net.weight.dtype == net.bias.dtype == np.float32
    assert net(ag.tensor([10.0, 1.0])).tolist() == [12.5]


def test_load_state_dict_lists_all_differences_and_changes_nothing() -> None:
    net = Net()
    state, snapshot = net.state_dict(), state_of(net)
    del state["scale"], state["tied.bias"]
    state |= {"last.weight": np.zeros((2, 3)), "more": np.zeros(1)}
    state["last.bias"] += 1
    with pytest.raises(ValueError, match="cannot load this state into Net: ") as error:
        net.load_state_dict(state)
    for part in (
        "missing: scale",
        "missing: tied.bias",
        "unexpected: more",
        "last.weight: expected shape (3, 2), got (2, 3)",
    ):
        assert part in str(error.value)
    assert state_of(net) == snapshot
    words = {name: array for name, array in state.items() if name in snapshot} | {
        "scale": snapshot["scale"],
        "tied.bias": ["a", "b", "c"],
        "last.weight": snapshot["last.weight"],
    }
    with pytest.raises(ValueError, match="could not convert string to float"):
        net.load_state_dict(words)
    assert state_of(net) == snapshot


@pytest.mark.parametrize("options", [{}, {"checkpoint": 1}])
def test_loading_between_forward_and_backward_raises(options: Any) -> None:
    layer = nn.GRU(2, 3, **options)
    outputs, _ = layer(ag.ones((4, 1, 2)))
    layer.load_state_dict(nn.GRU(2, 3).state_dict())
    with pytest.raises(RuntimeError, match="written in place after it was recorded"):
        outputs.sum().backward()


def test_load_state_dict_without_strict() -> None:
    net = Net()
    state = net.state_dict()
    del state["scale"]
    state |= {"more": np.zeros(1), "tied.bias": np.full(3, 7.0)}
    assert net.load_state_dict(state, strict=False) == (["scale"], ["more"])
    assert net.tied.bias is not None
    assert net.tied.bias.tolist() == [7, 7, 7]
    assert net.scale.tolist() == [1, 1]
    state["scale"] = np.ones(3)
    with pytest.raises(ValueError, match=r"scale: expected shape \(2,\), got \(3,\)"):
        net.load_state_dict(state, strict=False)
    assert not any(nn.Linear(1, 1).load_state_dict(nn.Linear(1, 1).state_dict()))


def test_load_state_dict_rejects_complex_numbers() -> None:
    with pytest.raises(ValueError, match="weight: complex numbers"):
        nn.Linear(1, 1, bias=False).load_state_dict({"weight": np.array([[1j]])})


def test_train_and_eval_reach_every_module() -> None:
    net = nn.ModuleList([Net(), nn.LSTM(2, 2)])
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train() is net
    assert all(module.training for module in net.modules())


def test_zero_grad_resets_all_gradients() -> None:
    net = Net()
    sum((p * p).sum() for p in net.parameters()).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.scale.grad = None
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    for zero_grad in (net.zero_grad, optimizer.zero_grad):
        sum((p * p).sum() for p in [net.last.weight, net.last.bias]).backward()
        zero_grad(set_to_none=False)
        assert net.scale.grad is None
        assert net.last.bias.grad.tolist() == [0, 0, 0]
        zero_grad()
        assert all(p.grad is None for p in net.parameters())


def test_apply_visits_children_before_parents() -> None:
    net, calls = Net(), []
    assert net.apply(calls.append) is net
    assert calls[:2] == list(net.children())[:1] + list(net.layers)[:1]
    assert len(calls) == len(list(net.modules()))
    for module in calls:
        assert all(calls.index(child) < calls.index(module) for _, child in module.named_children())


def test_to_changes_the_dtype_in_place() -> None:
    net = nn.LSTM(2, 3)
    parameters, snapshot = list(net.parameters()), state_of(net)
    assert net.to("float64") is net
    assert all(p.dtype == np.float64 and p.requires_grad for p in parameters)
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert state_of(net) == snapshot
    y, _ = net(ag.tensor(np.ones((4, 1, 2))))
    y.sum().backward()
    assert y.dtype == np.float64
    assert all(p.grad is not None and p.grad.dtype == np.float64 for p in parameters)


def counting_module() -> nn.Module:
    """Return a module with weights, a float buffer and an integer buffer."""
    net = nn.Sequential(nn.Linear(2, 3))
    net.counter = Counter()  # type: ignore[attr-defined]
    return net


def placements(net: nn.Module) -> dict[str, tuple[str, str]]:
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    return {name: (value.device, value.dtype.name) for name, value in tensors.items()}


@pytest.mark.parametrize(
    ("move", "dtype"),
    [
        (lambda net, _: net.double(), "float64"),
        (lambda net, _: net.half(), "float16"),
        (lambda net, _: net.double().float(), "float32"),
        (lambda net, _: net.to(dtype="float64"), "float64"),
        (lambda net, device: net.to(device, "float64"), "float64"),
        (lambda net, device: net.to(device=device), "float32"),
    ],
)
def test_conversion_methods(move: Any, dtype: str, device: str) -> None:
    net = counting_module()
    expected = {
        name: (device, now if now.startswith("int") else dtype)
        for name, (_, now) in placements(net).items()
    }
    assert move(net, device) is net
    assert placements(net) == expected
    assert {now for _, now in expected.values()} == {dtype, "int64"}


@pytest.mark.host
def test_to_accepts_a_device_and_a_dtype() -> None:
    for net in (
        counting_module().to("strict", "float64"),
        counting_module().to(device="strict", dtype="float64"),
    ):
        assert set(placements(net).values()) == {("strict:0", "float64"), ("strict:0", "int64")}
    with pytest.raises(TypeError, match="requires a device, a dtype, or both"):
        counting_module().to()
    frozen = counting_module().requires_grad_(False)
    with pytest.raises(TypeError, match="float16, float32 or float64, got int64"):
        frozen.to("int64")


def test_requires_grad_freezes_a_module() -> None:
    net = nn.Sequential(nn.GRU(2, 3, num_layers=2), nn.Linear(3, 1))
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    net[1].requires_grad_()
    assert [n for n, p in net.named_parameters() if p.requires_grad] == ["1.weight", "1.bias"]


def test_repr_shows_the_structure() -> None:
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


# Buffers


class Counter(nn.Module):
    """Module that counts its calls and tracks a running mean."""

    def __init__(self) -> None:
        self.register_buffer("calls", ag.tensor(0))
        self.register_buffer("mean", ag.zeros(2))
        self.register_buffer("scratch", ag.ones(1), persistent=False)
        self.register_buffer("later", None)

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        self.calls += 1
        self.mean = 0.5 * self.mean + 0.5 * x
        return x - self.mean


def test_buffers_are_saved_but_not_learned() -> None:
    net = nn.Sequential(Counter())
    names = ["0.calls", "0.mean", "0.scratch"]
    assert [name for name, _ in net.named_buffers()] == names
    assert [buffer.shape for buffer in net.buffers()] == [(), (2,), (1,)]
    assert not list(net.parameters())
    net(ag.tensor([2.0, 4.0]))
    assert state_of(net) == {"0.calls": 1, "0.mean": [1, 2]}
    other = nn.Sequential(Counter())
    other.load_state_dict(net.state_dict())
    assert state_of(other) == state_of(net)
    assert other[0].calls.dtype == np.int64
    with pytest.raises(ValueError, match=r"missing: 0\.mean"):
        other.load_state_dict({"0.calls": np.array(1)})


def test_a_buffer_can_be_assigned_later() -> None:
    net = Counter()
    net.later = ag.ones(3)
    assert state_of(net)["later"] == [1, 1, 1]
    net.later = [1, 2]
    with pytest.raises(TypeError, match=r"buffer 'later' must be a Tensor or None, got \[1, 2\]"):
        net.state_dict()


def test_to_moves_buffers_and_preserves_integers() -> None:
    net = Counter().to("float64")
    assert (net.mean.dtype, net.scratch.dtype, net.calls.dtype) == (float, float, np.int64)
    assert net.to(net.mean.device).mean.device == net.calls.device


@pytest.mark.parametrize("name", ["", "a.b"])
def test_invalid_names_raise(name: str) -> None:
    with pytest.raises(KeyError, match=r"can't be empty or contain '\.'"):
        nn.Module().register_buffer(name, ag.ones(1))
    with pytest.raises(KeyError, match=r"can't be empty or contain '\.'"):
        nn.ModuleDict({name: nn.Identity()})
    with pytest.raises(TypeError, match="the name must be a string, got 1"):
        nn.ModuleDict({1: nn.Identity()})  # type: ignore[dict-item]


def test_register_buffer_checks_type_and_name() -> None:
    net = Counter()
    with pytest.raises(TypeError, match="'list' object to buffer 'more'"):
        net.register_buffer("more", [1.0])  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="attribute 'training' already exists"):
        net.register_buffer("training", ag.ones(1))
    net.register_buffer("mean", ag.ones(1), persistent=False)
    assert set(net.state_dict()) == {"calls"}


# Hooks


def test_hooks_can_replace_arguments_and_output() -> None:
    net, calls = nn.Identity(), []
    net.register_forward_pre_hook(lambda module, args: calls.append((module, args)))
    change = net.register_forward_pre_hook(lambda module, args: args[0] + 1)
    net.register_forward_hook(lambda module, args, out: calls.append((module, args, out)))
    with net.register_forward_hook(lambda module, args, out: out * 10):
        assert net(1) == 20
    assert calls == [(net, (1,)), (net, (2,), 2)]
    assert net(1) == 2
    change.remove()
    change.remove()
    assert net(1) == 1
    pair = net.register_forward_pre_hook(lambda module, args: (*args, 5))
    with pytest.raises(TypeError):
        net(1)
    pair.remove()


def test_a_hook_can_remove_itself() -> None:
    net, calls = nn.Identity(), []

    def once(module: nn.Module, args: Any, output: Any) -> None:
        calls.append(output)
        handle.remove()

    handle = net.register_forward_hook(once)
    assert (net(1), net(2), calls) == (1, 2, [1])


def test_hooks_belong_to_one_module() -> None:
    first, second = nn.Identity(), nn.Identity()
    first.register_forward_hook(lambda module, args, out: out + 1)
    assert (first(1), second(1)) == (2, 1)


# Copies


def add_one(module: nn.Module, args: Any, output: ag.Tensor) -> ag.Tensor:
    return output + 1


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_independent(make_copy: Any) -> None:
    net = nn.Sequential(nn.Linear(2, 2), Counter(), nn.LSTM(2, 3), nn.CrossEntropyLoss([1.0, 2.0]))
    net.append(nn.Linear(2, 2))
    net[-1].weight = net[0].weight
    net[0].register_forward_hook(add_one)
    sum((p * p).sum() for p in net.parameters()).backward()
    snapshot, other = state_of(net), make_copy(net)
    assert state_of(other) == snapshot
    assert repr(other) == repr(net)
    assert other[-1].weight is other[0].weight
    assert not set(other.parameters()) & set(net.parameters())
    assert all(isinstance(p, nn.Parameter) and p.grad is None for p in other.parameters())
    x = ag.tensor([[1.0, 2.0]])
    assert other[0](x).tolist() == net[0](x).tolist()
    for p in other.parameters():
        nn.init.constant_(p, 7)
    other[1](ag.ones(2))
    assert state_of(net) == snapshot


def test_a_missing_forward_raises() -> None:
    with pytest.raises(NotImplementedError, match=r"Net does not define forward\(\)"):
        Net()(1)
