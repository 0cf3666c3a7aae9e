"""Compiled scans notice changes of configuration, weights and captured variables between calls."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, gradients_of, outcome, problem, same, values
from helpers import on_device

import autograd as ag
from tinygrad_rnn import nn, optim


class Flexible(nn.Cell):
    """A cell whose operations depend on its attributes."""

    rate, phi, more = 0.5, staticmethod(ag.tanh), ()

    def step(self, state: Any, x: Any) -> Any:
        h = self.rate * state + self.phi(x + self.recurrent(state))
        for factor in self.more:
            h = h * factor
        return h, h * self.options["scale"] + self.offset

    def more_parameters(self, bias: bool) -> None:
        self.options = {"scale": 0.3}
        self.offset = on_device(np.ones(self.hidden_size))


def set_weight(layer: Any) -> None:
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0.detach() * 0.5)


def run_optimizer(layer: Any) -> None:
    for parameter in layer.parameters():
        parameter.grad = ag.ones_like(parameter)
    optim.SGD(layer.parameters(), lr=0.1).step()


def write(layer: Any) -> None:
    layer.cells[0].offset[0] = 7.0


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a number": lambda layer: setattr(layer.cells[0], "rate", 0.25),
    "a number of the class": lambda layer: setattr(type(layer.cells[0]), "rate", 0.75),
    "a function": lambda layer: setattr(layer.cells[0], "phi", ag.sin),
    "a list": lambda layer: setattr(layer.cells[0], "more", [0.5, 0.7]),
    "an entry of a dict": lambda layer: layer.cells[0].options.update(scale=-1),
    "an array": lambda layer: setattr(layer.cells[0], "offset", on_device(np.zeros(2))),
    "an array, written into": write,
    "the step": lambda layer: setattr(layer.cells[0], "step", lambda s, x: (s * x, s)),
    "the mask": lambda layer: setattr(layer.cells[0], "recurrent_mask", ag.tensor([0.0, 2.0])),
    "a weight": set_weight,
    "all weights, in place": run_optimizer,
    "all weights, loaded": lambda layer: layer.load_state_dict(
        {name: value * 0.3 for name, value in layer.state_dict().items()}
    ),
    "a frozen weight": lambda layer: layer.weight_hh_l0.requires_grad_(False),
    "all weights frozen": lambda layer: (
        layer.requires_grad_(False)
        if hasattr(layer, "requires_grad_")
        else [p.requires_grad_(False) for p in layer.parameters()]
    ),
    "the options": lambda layer: layer.scan_options.update(detach_every=2),
    "zoneout": lambda layer: setattr(layer, "zoneout", (0.4,)),
    "training": lambda layer: layer.eval(),
    "dtype": lambda layer: layer.to("float32"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_of_a_layer_between_calls(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def results(compile: bool | None) -> Any:
        monkeypatch.setattr(Flexible, "rate", 0.5)
        layer = nn.Recurrent(Flexible(3, H, dtype="float64"), compile=compile)
        with ag.no_grad():
            for i, parameter in enumerate(layer.parameters()):
                parameter += values(*parameter.shape, seed=i) - parameter
        found = []
        for n in range(2):
            ag.manual_seed(0)
            x = values(T, B, 3, seed=n).astype(layer.weight_hh_l0.dtype).detach()
            out = layer(x.requires_grad_())
            found.append((out, gradients_of(out, [x, *layer.parameters()])))
            if not n:
                change(layer)
        return found

    same(results(None), results(False), 1e-5 if change is CHANGES["dtype"] else 1e-11)


def test_another_nonlinearity_and_other_sizes() -> None:
    def results(compile: bool | None) -> Any:
        cell = nn.RNNCell(2, 2, dtype="float64")
        ag.tree_map(lambda p: nn.init.constant_(p, 0.3), list(cell.parameters()))
        layer, found = nn.Recurrent(cell, compile=compile), []
        for shape in ((4, 3, 2), (4, 1, 2), (7, 3, 2), (4, 3, 2), (5, 2)):
            for phi in ("tanh", "relu", "sigmoid"):
                cell.nonlinearity = phi
                x = values(*shape)
                out = layer(x)
                found.append((out, gradients_of(out, [x, *layer.parameters()])))
        return found

    same(results(None), results(False))


def test_changes_of_captured_variables_and_modes() -> None:
    def results(compile: bool | None) -> Any:
        W, factor, constant = values(H, H), 1.0, ag.tensor(np.ones(H))
        instance = problem(lambda h, x: (ag.tanh(factor * h @ W + x * constant), h), W)
        found = [outcome(instance, compile)]
        factor = 0.5
        found.append(outcome(instance, compile))
        constant = ag.tensor(np.array([2.0, -1.0]))
        found.append(outcome(instance, compile))
        constant += 1
        with ag.no_grad():
            found.append(instance.scan(compile))
        W.requires_grad = False
        found.append(outcome(instance._replace(inputs=instance.inputs[:2]), compile))
        W = W.T
        return [*found, outcome(instance._replace(inputs=instance.inputs[:2]), compile)]

    same(results(None), results(False))
