"""Custom cells: options, buffers, modules in cells, deprecated names."""

from typing import Any

import numpy as np
import pytest
from recurrences import sum_of_squares

import autograd as ag
from tinygrad_rnn import nn


class LeakyCell(nn.Cell):
    """h' = (1 - a) h + a tanh(W x + U h), with modules instead of weight_ih and weight_hh."""

    def __init__(self, input_size: int, units: int, rate: float = 0.5) -> None:
        self.input_size, self.output_size, self.rate = input_size, units, rate
        self.read, self.recur = nn.Linear(input_size, units), nn.Linear(units, units, bias=False)

    def initial_state(self, batch: int) -> Any:
        return {"h": ag.zeros((batch, self.output_size))}

    def precompute(self, xs: Any) -> Any:
        return self.read(xs)

    def step(self, state: Any, x: Any) -> Any:
        h, a = state["h"], self.rate
        h = (1 - a) * h + a * ag.tanh(x + self.recur(self.apply_recurrent_dropout(h)))
        return {"h": h}, h


def test_a_custom_cell_supports_all_options() -> None:
    layer = nn.Recurrent(
        LeakyCell(3, 2, rate=0.25),
        num_layers=2,
        bidirectional=True,
        dropout=0.5,
        recurrent_dropout=0.5,
        zoneout=0.1,
        learn_initial_state=True,
    )
    x = ag.tensor(np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32))
    y, state = layer(x, lengths=[2, 4])
    assert y.shape == (4, 2, 4)
    assert state["h"].shape == (4, 2, 2)
    assert [name for name, _ in layer.named_parameters()][:4] == [
        "read.weight_l0",
        "read.bias_l0",
        "recur.weight_l0",
        "read.weight_l0_reverse",
    ]
    assert layer.cells[3].rate == 0.25
    assert layer.cells[3].read.weight.shape == (2, 4)
    sum_of_squares(y).backward()
    assert all(p.grad is not None for p in layer.parameters())
    layer.eval()
    assert not any(module.training for module in layer.modules())
    assert isinstance(layer.cells[0].read, nn.Linear)
    copy = nn.Recurrent(LeakyCell(3, 2), num_layers=2, bidirectional=True, learn_initial_state=True)
    copy.load_state_dict(layer.state_dict())
    assert repr(nn.Recurrent(LeakyCell(3, 2), 2, zoneout=0.1, detach_every=5)).endswith(
        "), num_layers=2, zoneout=(0.1,), detach_every=5)"
    )


class ScaledLeakyCell(LeakyCell):
    """Cell with a persistent and a non-persistent buffer."""

    def __init__(self, input_size: int, units: int) -> None:
        super().__init__(input_size, units)
        self.register_buffer("scale", ag.full(units, 2.0))
        self.register_buffer("temporary", ag.ones(1), persistent=False)

    def precompute(self, xs: Any) -> Any:
        return self.scale * super().precompute(xs)


def test_buffers_of_cells_are_buffers_of_the_layer() -> None:
    layer = nn.Recurrent(ScaledLeakyCell(3, 2), num_layers=2)
    names = ["scale_l0", "temporary_l0", "scale_l1", "temporary_l1"]
    assert [name for name, _ in layer.named_buffers()] == names
    assert [name for name in layer.state_dict() if name in names] == ["scale_l0", "scale_l1"]
    assert "0.scale_l0" in dict(nn.Sequential(layer).named_buffers())
    layer.to("float64")
    assert layer.cells[1].scale.dtype == layer.temporary_l1.dtype == np.float64
    layer.scale_l1 = ag.zeros(2, dtype="float64")
    assert not layer.cells[1].scale.numpy().any()
    state = layer.state_dict() | {"scale_l0": np.full(2, 5.0)}
    copy = nn.Recurrent(ScaledLeakyCell(3, 2), num_layers=2)
    copy.load_state_dict(state)
    assert copy.cells[0].scale.tolist() == [5, 5]
    assert copy.scale_l1.tolist() == [0, 0]


def test_apply_and_modules_visit_modules_in_cells() -> None:
    layer = nn.Sequential(nn.Recurrent(LeakyCell(3, 2), num_layers=2))

    def fill_weight(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 7)

    layer.apply(fill_weight)
    weights = {n: v for n, v in layer.state_dict().items() if "weight" in n}
    assert len(weights) == 4
    assert all((value == 7).all() for value in weights.values())
    visited: list[nn.Module] = []
    nn.LSTM(2, 3, bidirectional=True).apply(visited.append)
    types = [nn.LSTMCell, nn.LSTMCell, nn.ModuleList, nn.LSTM]
    assert [type(module) for module in visited] == types
    assert "cells.1" in dict(nn.LSTM(2, 3, bidirectional=True).named_modules())


class NoInputSize(LeakyCell):
    def __init__(self) -> None:
        super().__init__(3, 2)


def test_further_cells_require_an_input_size() -> None:
    with pytest.raises(TypeError, match="no argument input_size"):
        nn.Recurrent(NoInputSize(), 2)


def test_old_names_of_methods_warn() -> None:
    cell, h = nn.RNNCell(2, 3), ag.ones((1, 3))
    with pytest.warns(DeprecationWarning, match="Cell.seen is deprecated; use apply_recurrent"):
        assert cell.seen(h) is h
    with pytest.warns(DeprecationWarning, match="Cell.biased is deprecated; use add_bias"):
        assert (cell.biased(h).numpy() == cell.add_bias(h).numpy()).all()
