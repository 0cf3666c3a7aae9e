"""Cells that declare themselves pure: layers find their plan without calling the step."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd.core.modes import eager_execution
from tinygrad_rnn import nn
from tinygrad_rnn.models import EncoderDecoder

T, B, I, H = 5, 3, 2, 4

CELLS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: nn.RNNCell(I, H),
    "RNN relu": lambda: nn.RNNCell(I, H, nonlinearity="relu", bias=False),
    "IRNN": lambda: nn.IRNNCell(I, H),
    "Jordan": lambda: nn.JordanRNNCell(I, H, 3),
    "GRU": lambda: nn.GRUCell(I, H),
    "GRU of Cho": lambda: nn.GRUCell(I, H, reset_after=False),
    "MGU": lambda: nn.MGUCell(I, H),
    "minGRU": lambda: nn.MinGRUCell(I, H),
    "LSTM": lambda: nn.LSTMCell(I, H),
    "LSTM projected": lambda: nn.LSTMCell(I, H, proj_size=2),
    "peephole": lambda: nn.PeepholeLSTMCell(I, H),
    "coupled": lambda: nn.CoupledLSTMCell(I, H),
    "layer norm": lambda: nn.LayerNormLSTMCell(I, H),
}
OPTIONS: list[dict[str, Any]] = [{}, {"zoneout": 0.3}, {"recurrent_dropout": 0.4}]


def step_calls(work: Callable[[], Any]) -> int:
    """Return how often `work()` calls a method `step` of a cell."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        is_step = event == "call" and frame.f_code.co_name == "step"
        count += is_step and isinstance(frame.f_locals.get("self"), nn.Cell)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def results(layer: Any, x: Any, **arguments: Any) -> list[Any]:
    """Return the outputs, the states and all gradients of a call."""
    ag.manual_seed(7)
    layer.zero_grad()
    x = ag.tensor(x, requires_grad=True, dtype=next(layer.parameters()).dtype)
    outputs, state = layer(x, **arguments)
    leaves = [outputs, *ag.flatten(state)]
    ag.sum(ag.stack([ag.sum(ag.sin(leaf)) for leaf in leaves])).backward()
    gradients = [p.grad.numpy().copy() for p in layer.parameters()]
    return [*[leaf.numpy() for leaf in leaves], x.grad.numpy(), *gradients]  # type: ignore[union-attr]


def assert_close(actual: list[Any], expected: list[Any]) -> None:
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def inputs(seed: int, steps: int = T) -> Any:
    return np.random.default_rng(seed).standard_normal((steps, B, I)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (kind, options)
        for kind in CELLS
        for options in OPTIONS
        if kind != "minGRU" or "recurrent_dropout" not in options  # which it does not support
    ],
)
def test_later_calls_equal_eager_execution(kind: str, options: dict[str, Any]) -> None:
    layer = nn.Recurrent(CELLS[kind](), bidirectional=True, **options).to("float64")
    results(layer, inputs(0))
    for parameter in layer.parameters():
        parameter.data = parameter.data * 0.9
    actual = [results(layer, inputs(seed, steps)) for seed, steps in ((1, T), (2, 9))]
    layer.scan_options["compile"] = False
    assert_close(actual[0], results(layer, inputs(1)))
    assert_close(actual[1], results(layer, inputs(2, 9)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", [kind for kind in CELLS if kind != "minGRU"])
def test_later_calls_do_not_call_the_step(kind: str, options: dict[str, Any]) -> None:
    layer = nn.Recurrent(CELLS[kind](), bidirectional=True, **options)
    results(layer, inputs(0))
    for seed, steps in ((1, T), (2, 9)):
        assert step_calls(partial(results, layer, inputs(seed, steps))) == 0


@pytest.mark.parametrize("kind", CELLS)
def test_ragged_batches_and_checkpoints(kind: str) -> None:
    layer = nn.Recurrent(CELLS[kind](), checkpoint=2).to("float64")
    lengths = [5, 0, 3]
    results(layer, inputs(0), lengths=lengths)
    actual = results(layer, inputs(1), lengths=lengths)
    layer.scan_options.update(compile=False, checkpoint=None)
    assert_close(actual, results(layer, inputs(1), lengths=lengths))


class Leaky(nn.Cell):
    pure = True

    def __init__(self, input_size: int, hidden_size: int, rate: float = 0.5) -> None:
        super().__init__(input_size, hidden_size)
        self.rate = rate
        self.readout = nn.Linear(hidden_size, hidden_size)

    def step(self, state: Any, x: Any) -> Any:
        h = state + self.rate * (ag.tanh(x + self.recurrent(state)) - state)
        return h, self.readout(h)


class Undeclared(Leaky):
    pass


class Retracted(Leaky):
    pure = False


def calls_of(layer: Any) -> int:
    """Return how often the step is called once a layer has been called before."""
    layer(inputs(0))
    return step_calls(lambda: layer(inputs(1)))


def test_a_step_of_a_pure_cell_is_not_called_again() -> None:
    assert calls_of(nn.Recurrent(Leaky(I, H))) == 0


@pytest.mark.parametrize("kind", [Undeclared, Retracted])
def test_the_declaration_is_not_inherited(kind: Any) -> None:
    assert calls_of(nn.Recurrent(kind(I, H))) > 0


def with_method(cell: Any) -> None:
    step = cell.step
    cell.step = lambda state, x: step(state, x)


def with_hook(cell: Any) -> None:
    cell.readout.register_forward_hook(lambda *_: None)


def with_attribute(cell: Any) -> None:
    cell.history = [1, 2]


@pytest.mark.parametrize("change", [with_method, with_hook, with_attribute])
def test_changed_cells_are_called(change: Any) -> None:
    layer = nn.Recurrent(Leaky(I, H))
    assert calls_of(layer) == 0
    change(layer.cells[0])
    assert calls_of(layer) > 0


def test_a_hook_that_was_removed_does_not_matter() -> None:
    layer: Any = nn.Recurrent(Leaky(I, H))
    with layer.cells[0].readout.register_forward_hook(lambda *_: None):
        assert calls_of(layer) > 0
    assert calls_of(layer) == 0


def set_rate(layer: Any) -> None:
    layer.cells[0].rate = 0.25


def freeze(layer: Any) -> None:
    layer.cells[0].weight_hh.requires_grad_(False)


def tie(layer: Any) -> None:
    layer.cells[0].readout.weight = layer.cells[0].weight_hh


def untie(layer: Any) -> None:
    layer.cells[0].weight_hh = nn.Parameter(layer.cells[0].weight_hh.data * 0.5)


def drop_bias(layer: Any) -> None:
    layer.cells[0].bias_ih = None


def widen(layer: Any) -> None:
    layer.to("float64")


@pytest.mark.parametrize("change", [set_rate, freeze, tie, untie, drop_bias, widen])
def test_changes_of_options_and_tensors_take_effect(change: Any) -> None:
    def gradients(layer: Any, x: Any) -> list[Any]:
        layer.zero_grad()
        outputs, _ = layer(x)
        outputs.sum().backward()
        found = [None if p.grad is None else p.grad.numpy().copy() for p in layer.parameters()]
        return [outputs.numpy(), *found]

    layer = nn.Recurrent(Leaky(I, H))
    for seed in range(2):
        gradients(layer, inputs(seed))
    for undo in (change, lambda layer: None):
        undo(layer)
        x = inputs(3).astype(layer.cells[0].weight_hh.dtype)  # type: ignore[union-attr]
        layer.scan_options["compile"] = None
        actual = gradients(layer, x)
        layer.scan_options["compile"] = False
        for a, b in zip(actual, gradients(layer, x), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.LSTMCell, Leaky])
def test_parameters_may_be_computed_tensors(kind: Any) -> None:
    layer: Any = nn.Recurrent(kind(I, H))
    scale = ag.tensor(1.5, requires_grad=True)
    original = layer.cells[0].weight_hh.data.copy()
    gradients = []
    for seed, compile in ((0, None), (1, None), (1, False)):
        layer.scan_options["compile"] = compile
        vars(layer.cells[0])["weight_hh"] = scale * original
        outputs, _ = layer(inputs(seed))
        gradients.append(ag.gradients(outputs.sum(), [scale])[0].item())  # type: ignore[union-attr]
    assert gradients[1] == pytest.approx(gradients[2], rel=1e-5)
    assert gradients[0] != pytest.approx(gradients[1])


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_second_derivatives(kind: Any) -> None:
    layer = nn.Recurrent(kind(I, H))

    def second(seed: int) -> Any:
        x = ag.tensor(inputs(seed), requires_grad=True)
        outputs, _ = layer(x)
        (first,) = ag.gradients(ag.sin(outputs).sum(), [x], create_graph=True)
        return ag.gradients(ag.square(first).sum(), [*layer.parameters()])  # type: ignore[arg-type]

    second(0)
    actual = second(1)
    layer.scan_options["compile"] = False
    for a, b in zip(actual, second(1), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_recording_is_part_of_the_call(kind: Any) -> None:
    layer = nn.Recurrent(kind(I, H))
    for _ in range(2):
        assert layer(inputs(0))[0].requires_grad
        with ag.no_grad():
            assert not layer(inputs(0))[0].requires_grad


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_a_write_to_a_parameter_before_the_backward_pass_is_an_error(kind: Any) -> None:
    layer: Any = nn.Recurrent(kind(I, H))
    layer(inputs(0))
    outputs, _ = layer(inputs(1))
    with ag.no_grad():
        layer.cells[0].weight_hh += 1
    with pytest.raises(RuntimeError, match="was written in place"):
        outputs.sum().backward()


@pytest.mark.parametrize("options", [{}, {"nonlinearity": "relu"}])
def test_layers_of_equal_shapes_do_not_share_options(options: dict[str, Any]) -> None:
    first, second = nn.RNN(I, H), nn.RNN(I, H, nonlinearity="relu")
    x = inputs(0)
    first(x)
    second(x)
    layer = nn.RNN(I, H, **options)
    actual = results(layer, x)
    layer.scan_options["compile"] = False
    assert_close(actual, results(layer, x))


@pytest.mark.parametrize("attention", [None, nn.DotAttention, nn.AdditiveAttention])
@pytest.mark.parametrize("training", [True, False])
def test_steps_of_decoders_are_not_called_again(attention: Any, training: bool) -> None:
    model = EncoderDecoder(5, 6, nn.GRU(I, H), attention, 0.0 if training else 0.3)
    model.train(training)
    source, target = np.ones((T, B), int), np.ones((4, B), int)
    lengths = [5, 2, 4]
    model(source, lengths, target)
    for parameter in model.parameters():
        parameter.data = parameter.data * 0.9
    logits: list[Any] = []
    assert step_calls(lambda: logits.append(model(source + 1, lengths, target + 1))) == 0
    with eager_execution.block(True):
        expected = model(source + 1, lengths, target + 1)
    np.testing.assert_allclose(logits[0].numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("change", [with_method, with_hook])
def test_decoders_with_changed_cells_follow_the_change(change: Any) -> None:
    model: Any = EncoderDecoder(5, 6, nn.Recurrent(Leaky(I, H)))
    source, target = np.ones((T, B), int), np.ones((4, B), int)
    model(source, None, target)
    change(model.cells[0])
    assert step_calls(lambda: model(source, None, target)) > 0
