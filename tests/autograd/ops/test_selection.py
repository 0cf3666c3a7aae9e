"""Elements that are not selected have the gradient 0, even if the incoming gradient is infinite."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import on_host

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional

INF, NAN = np.inf, np.nan
Function = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield


CASES: dict[str, tuple[Function, list[float], list[float], list[float]]] = {
    # name: f, x, the gradient of f(x), the gradient of x
    "relu": (ag.relu, [-1, 0, 2], [INF, -INF, 3], [0, 0, 3]),
    "leaky_relu": (ag.leaky_relu, [2, 3], [INF, 1], [INF, 1]),
    "leaky_relu with negative_slope 0": (
        lambda x: ag.leaky_relu(x, 0.0),
        [-1, 0, 2],
        [INF, INF, 3],
        [0, 0, 3],
    ),
    "elu with alpha 0": (lambda x: ag.elu(x, alpha=0), [-1, 0, 2], [INF, INF, 3], [0, 0, 3]),
    "linspace, the first": (lambda x: ag.linspace(0.0, x[0], 3), [2], [INF, 4, 1], [3]),
    "linspace, the last": (lambda x: ag.linspace(x[0], 0.0, 3), [2], [1, 4, INF], [3]),
    "linspace of one": (lambda x: ag.linspace(0.0, x[0], 1), [2], [INF], [0]),
    "elu": (ag.elu, [-1000, 3], [1, INF], [0, INF]),
    "clip": (lambda x: ag.clip(x, 0, 1), [-1, 0.5, 2], [INF, 3, -INF], [0, 3, 0]),
    "clip from below": (lambda x: ag.clip(x, a_min=0), [-1, 2], [INF, INF], [0, INF]),
    "clip from above": (lambda x: ag.clip(x, a_max=0), [-1, 2], [INF, INF], [INF, 0]),
    "maximum": (lambda x: ag.maximum(x, 0.0), [-1, 0, 2], [INF, 3, INF], [0, 1.5, INF]),
    "maximum, second argument": (
        lambda x: ag.maximum(0.0, x),
        [-1, 0, 2],
        [INF, 3, 3],
        [0, 1.5, 3],
    ),
    "minimum": (lambda x: ag.minimum(x, 0.0), [-1, 0, 2], [3, INF, INF], [3, INF, 0]),
    "fmax": (lambda x: ag.fmax(x, [0, 0, 1]), [-1, 2, NAN], [INF, 3, INF], [0, 3, 0]),
    "fmin": (lambda x: ag.fmin(x, [0, 0, NAN]), [1, -2, 5], [INF, 3, INF], [0, 3, INF]),
    "max": (lambda x: ag.max(x, 0, keepdims=True), [1, 3, 2], [INF], [0, INF, 0]),
    "min, with ties": (lambda x: ag.min(x, 0, keepdims=True), [1, 3, 1], [INF], [INF, 0, INF]),
    "absolute": (ag.abs, [-1, 0, 2], [3, INF, INF], [-3, 0, INF]),
    "fabs": (ag.fabs, [-1, 0, 2], [3, INF, INF], [-3, 0, INF]),
    "copysign": (lambda x: ag.copysign(x, -1.0), [0, 2], [INF, 3], [0, -3]),
    "where": (lambda x: ag.where(x > 0, x, -2 * x), [-1, 1], [INF, INF], [-INF, INF]),
    "nan_to_num": (ag.nan_to_num, [NAN, INF, 1], [INF, INF, 3], [0, 0, 3]),
    "hypot": (lambda x: ag.hypot(x, 0.0), [0, 2], [INF, 3], [0, 3]),
    "arctan2": (lambda x: ag.arctan2(x, 0.0), [0, 2], [INF, 3], [0, 0]),
    "logaddexp": (lambda x: ag.logaddexp(x, 0.0), [-INF, 0], [INF, 4], [0, 2]),
    "logaddexp2": (lambda x: ag.logaddexp2(0.0, x), [-INF, 0], [INF, 4], [0, 2]),
    "power 0": (lambda x: x**0, [0, 2], [INF, INF], [0, 0]),
    "powers 0": (lambda x: x ** ag.tensor([0.0, 0.0, 1.0]), [0, 2, 3], [INF, INF, 4], [0, 0, 4]),
    "power of 0": (lambda x: 0.0**x, [1, 2], [INF, INF], [0, 0]),
    "powers of 0": (lambda x: ag.tensor([0.0, 1.0]) ** x, [2, 2], [INF, 3], [0, 0]),
    "remainder": (lambda x: ag.remainder(1.0, x), [2, 0.75], [INF, 3], [0, -3]),
    "fmod": (lambda x: ag.fmod(1.0, x), [2, 0.75], [INF, 3], [0, -3]),
    "norm": (lambda x: ag.norm(x, 0, keepdims=True), [0, 0], [INF], [0, 0]),
    "std": (lambda x: ag.std(x, 0, keepdims=True), [1, 1], [INF], [0, 0]),
    "logsumexp": (lambda x: ag.logsumexp(x, 0, keepdims=True), [-INF, -INF], [INF], [0, 0]),
    "floor": (ag.floor, [1.5, 2.5], [INF, INF], [0, 0]),
    "sort": (lambda x: ag.sort(x)[1:], [3, 1, 2], [INF, 5], [5, 0, INF]),
    "median": (lambda x: ag.median(x, 0, keepdims=True), [3, 1, 2], [INF], [0, 0, INF]),
    "index": (lambda x: x[[0, 0]], [3, 1], [INF, 5], [INF, 0]),
    "index_update": (lambda x: ag.index_update(x, 0, 5.0), [3, 1], [INF, 5], [0, 5]),
    "tril": (lambda x: ag.tril(x.reshape(1, 2)), [3, 1], [1, INF], [1, 0]),
    "huber_loss": (
        lambda x: functional.huber_loss(x, ag.zeros_like(x), "none"),
        [-INF, 0.5],
        [1, 1],
        [-1, 0.5],
    ),
}


def case(name: str) -> tuple[Function, Any, Any, list[float]]:
    f, x, g, expected = CASES[name]
    t = ag.tensor(np.array(x, float), requires_grad=True)
    return f, t, ag.tensor(np.array(g, float)), expected


def weighted_gradient(f: Function, t: Any, g: Any, create_graph: bool = False) -> Any:
    y = f(t)
    return ag.gradients(y, t, g.reshape(y.shape), create_graph=create_graph)[0]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_selection_rules_select_instead_of_multiplying(name: str, create_graph: bool) -> None:
    f, t, g, expected = case(name)
    gradient = weighted_gradient(f, t, g, create_graph)
    np.testing.assert_array_equal(gradient.numpy(), expected)


@pytest.mark.parametrize(
    "name",
    ["relu", "clip", "maximum", "minimum", "fmax", "fmin", "max", "absolute", "fabs", "copysign"],
)
def test_second_derivatives_select(name: str) -> None:
    f, t, _, expected = case(name)
    not_selected = np.array(expected) == 0
    first = ag.gradients((f(t) * f(t)).sum(), t, create_graph=True)[0]
    with np.errstate(invalid="ignore"):
        second = ag.gradients(first, t, ag.tensor(np.where(not_selected, INF, 1.0)))[0]
    np.testing.assert_array_equal(on_host(second)[not_selected], 0)


FORWARD = {
    "relu": (ag.relu, [-1, 2], [INF, 3], [0, 3]),
    "clip": (lambda x: ag.clip(x, 0, 1), [-1, 0.5], [INF, 3], [0, 3]),
    "absolute": (ag.abs, [0, -2], [INF, 3], [0, -3]),
    "maximum": (lambda x: ag.maximum(x, 0.0), [-1, 0], [INF, 3], [0, 1.5]),
    "max": (lambda x: ag.max(x, 0), [1, 3], [INF, 3], 3),
    "power 0": (lambda x: x**0, [0, 2], [INF, INF], [0, 0]),
    "hypot": (lambda x: ag.hypot(x, 0.0), [0, 2], [INF, 3], [0, 3]),
    "floor": (ag.floor, [0.5, 2], [INF, INF], [0, 0]),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_mode_selects_like_reverse_mode(name: str) -> None:
    f, x, tangent, expected = FORWARD[name]
    primal, tangent = (ag.tensor(np.array(value, float)) for value in (x, tangent))
    np.testing.assert_array_equal(ag.jvp(f, (primal,), (tangent,))[1].numpy(), expected)


BEFORE_SQUARE_ROOT: dict[str, tuple[Function, list[float], list[float]]] = {
    "relu": (ag.relu, [-1, 4], [0, 0.25]),
    "clip": (lambda x: ag.clip(x, 0, 9), [-1, 4], [0, 0.25]),
    "maximum": (lambda x: ag.maximum(x, 0), [-1, 4], [0, 0.25]),
    "minimum": (lambda x: -ag.minimum(-x, 0), [-1, 4], [0, 0.25]),
    "absolute": (ag.abs, [0, -4], [0, -0.25]),
    "where": (lambda x: ag.where(x > 0, x, 0), [-1, 4], [0, 0.25]),
    "floor": (ag.floor, [0.5, 4], [0, 0]),
    "two in a row": (lambda x: ag.relu(2 * ag.relu(x)), [-1, 2], [0, 0.5]),
    "of one value": (lambda x: ag.relu(x) + ag.relu(x - 1), [-1, 2.5], [0, 0.5]),
}


@pytest.mark.parametrize("name", BEFORE_SQUARE_ROOT)
@pytest.mark.parametrize("compile", [False, True])
def test_selections_in_a_scan_before_a_square_root(name: str, compile: bool) -> None:
    f, x, expected = BEFORE_SQUARE_ROOT[name]
    xs = ag.tensor(np.array([x, x, x], float), requires_grad=True)

    def step(total: Any, x: Any) -> tuple[Any, Any]:
        return total + ag.sqrt(f(x)), f(x)

    with np.errstate(divide="ignore"):
        total, _ = ag.scan(step, ag.zeros(2, np.float64), xs, compile=compile)
        total.sum().backward()
    assert xs.grad is not None
    np.testing.assert_array_equal(xs.grad.numpy(), [expected] * 3)


# --- in layers and losses -------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_dropout_drops_infinities(p: float) -> None:
    ag.manual_seed(0)
    x = ag.tensor(np.full(100, INF), requires_grad=True)
    y: Any = functional.dropout(x, p)
    assert set(y.tolist()) == {0, INF} - ({INF} if p == 1 else set())
    gradient = ag.gradients(y, x, ag.tensor(np.full(100, INF)))[0]
    np.testing.assert_array_equal(on_host(gradient), on_host(y))


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize(
    ("options", "first", "last"),
    [({"zoneout": 1.0}, 1e308, 1e308), ({"recurrent_dropout": 1.0}, INF, 3)],
)
def test_masks_of_recurrent_layers_select(
    options: dict[str, Any], first: float, last: float, compile: bool
) -> None:
    cell = nn.RNNCell(1, 2, nonlinearity="relu", dtype=np.float64)
    for p in cell.parameters():
        nn.init.ones_(p)
    layer = nn.Recurrent(cell, compile=compile, **options)
    xs, h = ag.ones((3, 1, 1), np.float64), ag.full((1, 1, 2), first, np.float64)
    with np.errstate(over="ignore"):  # the new state overflows; zoneout discards it
        ys, _ = layer(xs, h)
    assert ys[2].tolist() == [[last, last]]


@pytest.mark.filterwarnings("ignore:scan records")
def test_variational_dropout_selects() -> None:
    layer = nn.RNN(1, 2, num_layers=2, nonlinearity="relu", dropout=1.0, variational=True)
    for p in layer.parameters():
        nn.init.ones_(p)
    with np.errstate(invalid="ignore"):
        ys, _ = layer(ag.tensor([[[INF]], [[1.0]]]))
    assert ys[0].tolist() == [[2, 2]]


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolve_does_not_multiply_padding(mode: Any) -> None:
    a, v = np.array([1.0, 2.0, 3.0, 4.0]), np.array([INF, 1.0, 2.0])
    y = ag.convolve(ag.tensor(a), ag.tensor(v), mode)
    np.testing.assert_array_equal(y.numpy(), np.convolve(a, v, mode))


def test_the_gradient_of_convolve_ignores_padding() -> None:
    v = ag.tensor([1.0, 1.0, 1.0], requires_grad=True)
    y = ag.convolve(ag.tensor([1.0, 2.0, 3.0, 4.0]), v)
    gradient = ag.gradients(y, v, ag.tensor([INF, 0.0, 0.0, 0.0, 0.0, 0.0]))[0]
    assert on_host(gradient).tolist() == [INF, 0, 0]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float16, np.float64])
def test_convolve_keeps_the_dtype(dtype: Any) -> None:
    a, v = np.array([1, 0, 200, 3]).astype(dtype), np.array([1, 1, 2]).astype(dtype)
    y = ag.convolve(ag.tensor(a), ag.tensor(v)).numpy()
    np.testing.assert_array_equal(y, np.convolve(a, v))
    assert y.dtype == dtype
