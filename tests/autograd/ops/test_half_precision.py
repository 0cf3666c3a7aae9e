"""Half precision: reductions accumulate in single precision."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import on_host

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional

N = 70_000  # larger than the largest float16, 65,504


def halves(*values: float) -> ag.Tensor:
    return ag.tensor(np.array(values, np.float16), requires_grad=True)


def ones(*shape: int) -> Any:
    return ag.ones(shape, np.float16).requires_grad_()


REDUCTIONS: dict[str, tuple[Callable[[], Any], Any]] = {
    "sum over the first axis": (lambda: ag.sum(ones(5000, 3), 0), [5000] * 3),
    "cumsum": (lambda: ag.cumsum(ones(5000))[-1:], [5000]),
    "prod with a partial product out of range": (lambda: ag.prod(halves(300, 300, 1e-2)), 900),
    "cumprod": (lambda: ag.cumprod(halves(300, 300, 1e-2))[-1], 900),
    "mean": (lambda: ag.mean(ones(N)), 1),
    "var": (lambda: ag.var(halves(300, -300)), 9e4),
    "std of small numbers": (lambda: ag.std(halves(1e-4, -1e-4)), 1e-4),
    "std of large ones": (lambda: ag.std(halves(3000, -3000)), 3000),
    "norm": (lambda: ag.norm(halves(3000, 4000)), 5000),
    "logsumexp": (lambda: ag.logsumexp(ag.zeros(N, np.float16)), np.log(N)),
    "softmax": (lambda: ag.softmax(ones(N)).astype(np.float64).sum(), 1),
    "log_softmax": (lambda: ag.log_softmax(ones(N))[:1], [-np.log(N)]),
    "einsum": (lambda: ag.einsum("ij->j", ones(5000, 3)), [5000] * 3),
    "trace": (lambda: ag.trace(ones(3000, 3000)), 3000),
    "cross_entropy": (
        lambda: functional.cross_entropy(
            ag.zeros((N, 2), np.float16), np.where(np.arange(N), -100, 1)
        ),
        np.log(2),
    ),
    "layer_norm": (
        lambda: functional.layer_norm(halves(2e-3, -2e-3), 2, eps=0) * 1,
        [1, -1],
    ),
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_accumulate_in_single_precision(name: str) -> None:
    reduction, expected = REDUCTIONS[name]
    result = reduction()
    expected = np.where(np.abs(expected) > 65504, np.inf, expected)
    np.testing.assert_allclose(result.numpy().astype(float), expected, rtol=2e-3)


GRADIENTS: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    # name: f, x, each element of the gradient
    "max with many ties": (ag.max, lambda: ones(N), 1 / N),
    "min with many ties": (lambda x: ag.min(x, 0), lambda: ones(N, 1), 1 / N),
    "broadcasting": (lambda x: x + ag.zeros((5000, 3), np.float16), lambda: ones(3), 5000),
    "repeated indices": (lambda x: x[np.zeros(5000, int)], lambda: ones(1), 5000),
    "take of repeated rows": (
        lambda x: ag.take(x, np.zeros((50, 100), int), 0),
        lambda: ones(1, 1),
        5000,
    ),
    "an index in two axes": (
        lambda x: x[np.zeros(5000, int), np.zeros(5000, int)],
        lambda: ones(1, 1),
        5000,
    ),
    "many reads": (
        lambda x: ag.stack([x[0:1] for _ in range(3000)]) * 1,
        lambda: ones(1),
        3000,
    ),
    "the ends of linspace": (lambda x: ag.linspace(x[0], x[1], 5000), lambda: ones(2), 2500),
    "many uses": (lambda x: ag.stack([x for _ in range(3000)]) * 1, lambda: ones(1), 3000),
    "a matrix for a batch": (
        lambda x: ag.matmul(ag.ones((5000, 1, 1), np.float16), x),
        lambda: ones(1, 1),
        5000,
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_accumulate_in_single_precision(name: str, create_graph: bool) -> None:
    f, make, expected = GRADIENTS[name]
    x = make()
    gradient = ag.gradients(f(x).sum(), x, create_graph=create_graph)[0]
    assert gradient is not None
    assert gradient.dtype == np.float16
    rtol = 2e-3 if expected > 1 else 5e-2  # a subnormal number
    np.testing.assert_allclose(gradient.numpy().astype(float), expected, rtol)


@pytest.mark.parametrize("compile", [False, True])
def test_a_scan_accumulates_gradients_in_single_precision(compile: bool) -> None:
    bias = ag.zeros(1, np.float16).requires_grad_()
    xs = ag.zeros((5000, 1), np.float16)
    _, ys = ag.scan(lambda c, x: (c, x + bias), ag.zeros(1, np.float16), xs, compile=compile)
    ys.sum().backward()
    assert on_host(bias.grad).tolist() == [5000]
    assert bias.grad is not None
    assert bias.grad.dtype == np.float16


def test_an_embedding_accumulates_gradients_in_single_precision() -> None:
    table = nn.Embedding(2, 1, dtype=np.float16)
    table(np.zeros((50, 100), int)).sum().backward()
    assert on_host(table.weight.grad).tolist() == [[5000], [0]]


@pytest.mark.host
@pytest.mark.parametrize(
    "f", [ag.erf, ag.gelu, ag.silu, ag.sigmoid, ag.softplus, ag.relu, ag.elu, ag.leaky_relu]
)
def test_functions_of_python_numbers_compute_in_double_precision(f: Any) -> None:
    for number in (1.0, 0.1):
        y = f(number)
        assert y.dtype == np.tanh(number).dtype
        np.testing.assert_allclose(y, f(ag.tensor(np.array([number])))[0].item(), rtol=1e-15)
