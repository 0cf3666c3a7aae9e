"""Recurrent cells: equations, parameters, finite differences, ragged batches."""

from typing import Any
from unittest import mock

import numpy as np
import pytest
from helpers import with_rule
from hypothesis import assume, example, given
from hypothesis import strategies as st
from recurrences import (
    KINDS,
    SMOOTH,
    Case,
    assert_close,
    expected,
    make_case,
    parameter_slots,
    random_cases,
    run,
    sum_of_squares,
)

import autograd as ag
from autograd.compile import cache
from autograd.ops import matmul
from autograd.testing import check_gradients
from tinygrad_rnn import nn
from tinygrad_rnn.nn.recurrent import lstm_cells

all_kinds = pytest.mark.parametrize("kind", KINDS)


# The equations


@given(random_cases())
@example(make_case(T=1, B=1, I=1, H=1))
@example(make_case(lengths=[0, 0, 0], bidirectional=True))
def test_outputs_and_states_follow_the_equations(case: Case) -> None:
    check_equations(case)


@all_kinds
@pytest.mark.parametrize("bias", [True, False])
def test_every_cell_follows_its_equations(kind: str, bias: bool) -> None:
    check_equations(make_case(kind, bias=bias, num_layers=2, bidirectional=True, lengths=[4, 0, 2]))


def check_equations(case: Case) -> None:
    y, state = run(case)
    outputs, states = expected(case)
    assert_close(y, outputs)
    for actual, reference in zip(ag.flatten(state), states, strict=True):
        assert_close(actual, reference)


@all_kinds
@pytest.mark.parametrize("batched", [True, False])
def test_a_cell_is_one_step_of_the_layer(kind: str, batched: bool) -> None:
    layer, x, hx = make_case(kind, T=1)[1:4]
    cell, first = layer.cells[0], ag.tree_map(lambda leaf: leaf[0], hx)
    if not batched:
        x, hx, first = (
            x[:, 0],
            *(ag.tree_map(lambda leaf: leaf[..., 0, :], tree) for tree in (hx, first)),
        )
    for layer_state, state in ((None, None), (hx, first)):
        last = ag.tree_map(lambda leaf: leaf[0], layer(x, layer_state)[1])
        ag.tree_map(assert_close, cell(x[0], state), last)


# Parameters and construction


SHAPES: dict[str, dict[str, tuple[int, ...]]] = {  # for input_size=2, hidden_size=4
    "tanh": {"weight_ih": (4, 2), "weight_hh": (4, 4), "bias_ih": (4,), "bias_hh": (4,)},
    "LSTM": {"weight_ih": (16, 2), "weight_hh": (16, 4), "bias_ih": (16,), "bias_hh": (16,)},
    "GRU": {"weight_ih": (12, 2), "weight_hh": (12, 4), "bias_ih": (12,), "bias_hh": (12,)},
    "MGU": {"weight_ih": (8, 2), "weight_hh": (8, 4), "bias_ih": (8,), "bias_hh": (8,)},
    "minGRU": {"weight_ih": (8, 2), "bias_ih": (8,)},
}
SHAPES |= {"sigmoid": SHAPES["tanh"], "relu": SHAPES["tanh"], "IRNN": SHAPES["tanh"]}
SHAPES |= {"reset before": SHAPES["GRU"], "coupled": SHAPES["GRU"]}
SHAPES |= {
    "Jordan": SHAPES["tanh"] | {"weight_hh": (4, 3), "weight_ho": (3, 4), "bias_ho": (3,)},
    "projected": SHAPES["LSTM"] | {"weight_hh": (16, 1), "weight_hr": (1, 4)},
    "peephole": SHAPES["LSTM"] | {"weight_ch": (12,)},
    "layer norm": SHAPES["LSTM"]
    | {"gain_ih": (16,), "gain_hh": (16,), "gain_ch": (4,), "bias_ch": (4,)},
}


@all_kinds
@pytest.mark.parametrize("bias", [True, False])
def test_parameters(kind: str, bias: bool) -> None:
    """Check shapes, and initial values from U(-1/sqrt(H), 1/sqrt(H))."""
    make, _, options = KINDS[kind]
    shapes = {n: s for n, s in SHAPES[kind].items() if bias or not n.startswith("bias")}
    assert {n: p.shape for n, p in make(2, 4, bias=bias, **options).named_parameters()} == shapes
    for name, parameter in make(50, 64, bias=bias, **options).named_parameters():
        value = parameter.numpy()
        if name.startswith("gain"):
            assert (value == 1).all()
        elif name == "bias_ch":
            assert not value.any()
        elif kind != "IRNN":
            assert -1 / 8 <= value.min() < value.max() <= 1 / 8
            assert value.size < 100 or value.std() == pytest.approx(1 / 8 / np.sqrt(3), rel=0.2)


def test_irnn_is_initialized_as_an_accumulator() -> None:
    cell = nn.IRNNCell(100, 8, dtype="float64")
    state = cell.state_dict()
    assert (state["weight_hh"] == np.eye(8)).all()
    assert not state["bias_ih"].any()
    assert not state["bias_hh"].any()
    assert state["weight_ih"].std() == pytest.approx(0.001, rel=0.1)
    positive = ag.tensor(np.full((1, 8), 0.5))
    assert_close(cell(ag.zeros((1, 100), dtype="float64"), positive), positive)


@all_kinds
def test_like_creates_a_cell_with_the_same_arguments(kind: str) -> None:
    make, _, options = KINDS[kind]
    cell = make(2, 4, bias=False, dtype="float64", **options)
    other = cell.like(5)
    assert type(other) is type(cell)
    assert other.input_size == 5
    assert repr(other) == repr(cell).replace("(2, ", "(5, ")
    assert all(p.dtype == "float64" for p in other.parameters())
    for name, shape in {n: p.shape for n, p in cell.named_parameters()}.items():
        new_shape = dict(other.named_parameters())[name].shape
        assert new_shape == ((shape[0], 5) if name == "weight_ih" else shape)


def test_repr_shows_arguments_that_are_not_defaults() -> None:
    assert repr(nn.LSTMCell(2, 3)) == "LSTMCell(2, 3)"
    assert repr(nn.GRUCell(2, 3, reset_after=False)) == "GRUCell(2, 3, reset_after=False)"
    assert repr(nn.RNNCell(2, 3, False, "relu")) == "RNNCell(2, 3, bias=False, nonlinearity='relu')"


@all_kinds
def test_an_empty_batch_and_a_single_unit(kind: str) -> None:
    """B=0; T=1, B=1, I=1, H=1 (2 units with projection)."""
    case = make_case(kind, B=0, num_layers=2, bidirectional=True, lengths=[])
    y, state = run(case)
    assert y.shape == (4, 0, case.layer.output_size)
    gradients = ag.gradients(sum_of_squares(y, state), list(case.layer.parameters()))
    assert not any(gradient.numpy().any() for gradient in gradients)
    check_equations(make_case(kind, T=1, B=1, I=1, H=1, bidirectional=True))


def test_the_state_may_be_a_list() -> None:
    lstm, cell = nn.LSTM(2, 3), nn.LSTMCell(2, 3)
    h, c = ag.full((1, 1, 3), 0.5), ag.ones((1, 1, 3))
    for call, x, pair in (
        (lstm, ag.ones((4, 1, 2)), (h, c)),
        (lstm, ag.ones((4, 2)), (h[0], c[0])),
        (cell, ag.ones((1, 2)), (h[0], c[0])),
        (cell, ag.ones(2), (h[0, 0], c[0, 0])),
    ):
        leaves = zip(ag.flatten(call(x, [*pair])), ag.flatten(call(x, pair)), strict=True)
        assert all(actual.tolist() == expected.tolist() for actual, expected in leaves)


def test_like_uses_the_current_dtype() -> None:
    for cell in (nn.LSTMCell(2, 3).to("float64"), nn.LSTMCell(2, 3, dtype="float64")):
        new_cell = cell.like(5)
        assert {p.dtype for p in new_cell.parameters()} == {np.dtype("float64")}
        assert new_cell.weight_ih.shape == (12, 5)
        assert new_cell.initial_state(1)[0].dtype == "float64"


# Finite differences


def check_layer(case: Case, training: bool = False) -> None:
    """Check first and second derivatives with respect to input, states and weights to 1e-6.

    Random masks are the same at every call.
    """
    states, weights = ag.flatten(case.hx), list(case.layer.parameters())
    slots = parameter_slots(case.layer)
    case.layer.train(training)

    def f(x: Any, *others: Any) -> Any:
        ag.manual_seed(0)
        leaves = iter(others[: len(states)])
        hx = ag.tree_map(lambda _: next(leaves), case.hx)
        for (module, name), weight in zip(slots, others[len(states) :], strict=True):
            setattr(module, name, weight)
        return run(case._replace(x=x, hx=hx))

    check_gradients(f, case.x, *states, *weights, order=2, rtol=1e-6, atol=1e-6)


@given(random_cases(most=2, kinds=SMOOTH))
def test_gradients_equal_finite_differences(case: Case) -> None:
    check_layer(case)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_gradients_of_normalization_equal_finite_differences(seed: int, bias: bool) -> None:
    """The inputs of the normalization are not nearly constant."""
    case, deviations = make_case("layer norm", T=1, B=1, H=3, bias=bias, seed=seed), []

    def spy(a: Any, *rest: Any) -> Any:
        deviations.append(a.numpy().std(-1).min())
        return layer_norm(a, *rest)

    layer_norm = lstm_cells.layer_norm
    with mock.patch.object(lstm_cells, "layer_norm", spy):
        run(case)
    assume(len(deviations) == 3 and min(deviations) > 0.2)
    check_layer(case)


@all_kinds
def test_gradients_of_every_cell_equal_finite_differences(kind: str) -> None:
    check_layer(make_case(kind, T=3, B=2, H=3, lengths=[2, 3], seed=1))


@pytest.mark.host
@pytest.mark.parametrize("kind", ["tanh", "Jordan", "projected", "reset before"])
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "dropout": 0.5},
        {"num_layers": 2, "dropout": 0.5, "variational": True},
        {"recurrent_dropout": 0.5},
        {"zoneout": 0.4},
        {"bidirectional": True, "learn_initial_state": True, "states": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_every_option_equal_finite_differences(
    kind: str, options: dict[str, Any], training: bool
) -> None:
    check_layer(make_case(kind, T=2, B=2, I=1, lengths=[2, 1], **options), training)


def constant(x: Any) -> Any:
    return x.detach() if isinstance(x, ag.Tensor) else x


BROKEN_RULES = {
    "tanh, sign": (ag.tanh, 0, lambda g, y: -g * (1 - y * y)),
    "tanh, missing square": (ag.tanh, 0, lambda g, y: g * (1 - y)),
    "tanh, first order only": (ag.tanh, 0, lambda g, y: g * (1 - constant(y) ** 2)),
    "sigmoid, factor": (ag.sigmoid, 0, lambda g, y: 2 * g * (y * (1 - y))),
    "multiply, missing factor": (ag.multiply, 0, lambda g, b: g),
    "linear, last row only": (
        matmul._linear,
        1,
        lambda g, x: g[-1, ..., None] * x[-1, ..., None, :],
    ),
}


@pytest.mark.host
@pytest.mark.parametrize("broken", BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_the_check_detects_a_broken_rule(
    broken: tuple[Any, int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    operation, argument, rule = broken
    check_layer(make_case(T=2, B=2))
    name = operation.primitive.arguments[argument]
    monkeypatch.setattr(operation.primitive, "vjp", with_rule(operation, name, rule))
    for plans in ("plans", "families", "pure_plans"):
        monkeypatch.setattr(cache, plans, cache.Cache())
    with pytest.raises(AssertionError, match=r"order [12]"):
        check_layer(make_case(T=2, B=2))


# Ragged batches


def results_and_gradients(case: Case) -> list[Any]:
    """Return outputs, last states and the gradients of their sum of squares."""
    x = case.x.detach().requires_grad_()
    y, state = run(case._replace(x=x))
    inputs = [x, *case.layer.parameters()]
    return [y, *ag.flatten(state), *ag.gradients(sum_of_squares(y, state), inputs)]


def padding(case: Case) -> np.ndarray:
    """Return a mask (T, B) of the padding."""
    return np.arange(len(case.x))[:, None] >= np.array(case.lengths)


@given(random_cases(ragged=True), st.sampled_from([1e300, np.inf, np.nan]))
def test_padding_does_not_affect_results_and_gradients(case: Case, junk: float) -> None:
    x = np.where(padding(case)[..., None], junk, case.x.numpy())
    actual = results_and_gradients(case._replace(x=ag.tensor(x)))
    for a, b in zip(actual, results_and_gradients(case), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@given(random_cases(ragged=True))
def test_output_and_gradient_of_padding_are_zero(case: Case) -> None:
    x = case.x.detach().requires_grad_()
    y, state = run(case._replace(x=x))
    (gradient,) = ag.gradients(sum_of_squares(y, state), [x])
    assert not y.numpy()[padding(case)].any()
    assert not gradient.numpy()[padding(case)].any()


@given(random_cases(ragged=True))
def test_last_states_follow_the_last_step_of_each_sequence(case: Case) -> None:
    y, state = run(case)
    h_n, D = ag.flatten(state)[0].numpy(), case.layer.directions
    R = h_n.shape[-1]
    for b, n in enumerate(case.lengths or []):
        if n:
            np.testing.assert_array_equal(h_n[-D, b], y.numpy()[n - 1, b, :R])
        if n and D == 2:
            np.testing.assert_array_equal(h_n[-1, b], y.numpy()[0, b, R:])


@given(random_cases(layers=1))
def test_the_backward_direction_equals_forward_on_the_reversed_sequence(case: Case) -> None:
    """Each sequence is reversed within its length."""
    layer, T, B = case.layer, len(case.x), case.x.shape[1]
    lengths = case.lengths or [T] * B
    step, reversed_step = np.arange(T)[:, None], np.array(lengths) - 1 - np.arange(T)[:, None]
    indices = np.where(step < lengths, reversed_step, step), np.arange(B)
    bidirectional = nn.Recurrent(layer.cells[0], bidirectional=True)
    bidirectional.load_state_dict(
        {f"{n}_l0{s}": v for s in ("", "_reverse") for n, v in layer.cells[0].state_dict().items()}
    )
    y, state = bidirectional(case.x, lengths=lengths)
    z, last = bidirectional(case.x[indices], lengths=lengths)
    R = layer.cells[0].output_size
    assert_close(y[..., R:], z[..., :R][indices])
    ag.tree_map(lambda a, b: assert_close(a[1], b[0]), state, last)


def test_types_of_lengths() -> None:
    case = make_case(lengths=[2, 0, 4])
    y, _ = run(case)
    for lengths in (np.array([2, 0, 4]), np.array([2, 0, 4], "int32"), ag.tensor([2, 0, 4])):
        actual, _ = run(case._replace(lengths=lengths))
        np.testing.assert_array_equal(actual.numpy(), y.numpy())
