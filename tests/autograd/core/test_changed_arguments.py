"""Arguments that the caller changes between the forward and the backward pass: gradients use their
values at the time of the call.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import leaf, on_device, on_host

import autograd as ag
from tinygrad_rnn import nn

Case = tuple[Callable[[Any, Any], Any], Callable[[], Any]]


@ag.primitive(x=lambda g, options: g * options["weights"][0][1])
def scale_by_option(xp: Any, x: Any, *, options: Any) -> Any:
    return x * options["weights"][0][1]


@ag.primitive(x=lambda g, weights: g * weights[0][1])
def scale_by_weight(xp: Any, x: Any, *, weights: Any) -> Any:
    return x * weights[0][1]


def array(*values: Any) -> Callable[[], Any]:
    return lambda: on_device(np.array(values))


def scan_with(step: Callable[[Any, Any], Any], **options: Any) -> Callable[[Any, Any], Any]:
    """Return a function of x and a: a scan of four steps that close over a."""
    return lambda x, a: ag.scan(lambda h, _: (step(h, a), None), x, None, length=4, **options)[0]


def scan_products(x: Any, xs: Any, **options: Any) -> Any:
    return ag.scan(lambda h, t: (h * t, None), x, xs, **options)[0]


def embed(x: Any, indices: Any) -> Any:
    layer = nn.Embedding(3, 2, padding_idx=1)
    layer.weight = x.reshape(3, 2)
    return layer(indices)


MASK = array(True, False, True, True, False, False)
NUMBERS = array(2.0, -1.0, 3.0, 1.0, 0.5, 4.0)
ROWS = array(*np.arange(1.0, 25.0).reshape(4, 6))
INDICES = array(1, 2, 2, 4)
CASES: dict[str, Case] = {
    "indices": (lambda x, i: x[i], INDICES),
    "a mask": (lambda x, i: x[i], MASK),
    "a list": (lambda x, i: x[i], lambda: [1, 2, 2]),
    "a tuple of indices": (lambda x, i: x.reshape(2, 3)[1, i], array(0, 2)),
    "a list in a tuple": (lambda x, i: x.reshape(2, 3)[:, i], lambda: [0, 2]),
    "a bound of a slice": (lambda x, i: x[:i], lambda: np.array(3)),
    "a Tensor as a bound": (lambda x, i: x[i:], lambda: ag.tensor(3)),
    "take": (lambda x, i: ag.take(x, i), INDICES),
    "take, a list": (lambda x, i: ag.take(x, i), lambda: [1, 2, 2]),
    "take_along_axis": (lambda x, i: ag.take_along_axis(x, i, 0), INDICES),
    "index_update": (lambda x, i: ag.index_update(x, i, 0.0), array(1, 2)),
    "an updated value": (lambda x, i: ag.index_update(x * 2, i, x[:2]), lambda: [4, 5]),
    "where": (lambda x, c: ag.where(c, x, 2 * x), MASK),
    "select": (lambda x, c: ag.select([c], [x], 0.0), MASK),
    "a factor": (lambda x, a: x * a, NUMBERS),
    "a factor on the left": (lambda x, a: ag.multiply(a, x), NUMBERS),
    "a divisor": (lambda x, a: x / a, NUMBERS),
    "an exponent": (lambda x, a: x**a, NUMBERS),
    "a matrix product": (lambda x, a: x @ a, NUMBERS),
    "einsum": (lambda x, a: ag.einsum("i,i->", x, a), NUMBERS),
    "shifts": (
        lambda x, s: ag.roll(x.reshape(2, 3), s, (0, 1)) * ag.arange(6.0).reshape(2, 3),
        lambda: [1, 2],
    ),
    "counts": (lambda x, n: ag.repeat(x, n), lambda: [1, 0, 2, 1, 3, 1]),
    "counts in an array": (lambda x, n: ag.repeat(x, n), array(1, 0, 2, 1, 3, 1)),
    "widths": (lambda x, n: ag.pad(x, n, "edge"), lambda: [1, 2]),
    "repetitions": (lambda x, n: ag.tile(x, n), lambda: [2, 2]),
    "a diagonal": (lambda x, k: ag.diagonal(x.reshape(2, 3), k), lambda: np.array(1)),
    "a triangle": (lambda x, k: ag.triu(x.reshape(2, 3), k), lambda: np.array(1)),
    "a turn": (lambda x, k: ag.rot90(x.reshape(2, 3), k)[0] ** 2, lambda: np.array(2)),
    "a window": (
        lambda x, n: ag.sliding_window_view(x.reshape(2, 3), n, (0, 1)) ** 2,
        lambda: [2, 2],
    ),
    "a static parameter": (lambda x, w: scale_by_weight(x, weights=(w,)), NUMBERS),
    "a static list": (lambda x, w: scale_by_weight(x, weights=[w]), lambda: [1.0, 3.0]),
    "a static dict": (lambda x, w: scale_by_option(x, options={"weights": [w]}), NUMBERS),
    "an argument of a checkpoint": (lambda x, i: ag.checkpoint(lambda x, i: x[i])(x, i), INDICES),
    "a nested argument of a checkpoint": (
        lambda x, i: ag.checkpoint(lambda x, i: x[i["indices"][0]])(x, i={"indices": [i]}),
        lambda: [1, 2],
    ),
    "inputs of a scan": (scan_products, ROWS),
    "inputs of an eager scan": (lambda x, xs: scan_products(x, xs, compile=False), ROWS),
    "inputs of a checkpointed scan": (lambda x, xs: scan_products(x, xs, checkpoint=1), ROWS),
    "a factor in a scan": (scan_with(lambda h, a: h * a), NUMBERS),
    "a factor in an eager scan": (scan_with(lambda h, a: h * a, compile=False), NUMBERS),
    "indices in a scan": (scan_with(lambda h, i: h[i] * 2), array(1, 2, 2, 0, 5, 4)),
    "a condition in a scan": (scan_with(lambda h, c: ag.where(c, h, 2 * h)), MASK),
    "an embedding": (lambda x, i: embed(x, i), array(0, 2, 2)),
}  # fmt: skip


def overwrite(value: Any) -> None:
    """Overwrite everything in a list, an array or a Tensor."""
    if isinstance(value, ag.Tensor):
        value[...] = 0
    elif isinstance(value, list):
        value[:] = [0] * len(value)
    else:
        value[...] = value * 0


def gradient(name: str, overwrite_argument: bool, create_graph: bool) -> Any:
    f, make_argument = CASES[name]
    x, argument = leaf(0.5, 1.5, 2.0, 2.5, 3.0, 4.0), make_argument()
    y = f(x, argument)
    if overwrite_argument:
        overwrite(argument)
    return on_host(ag.gradients(ag.sum(y), x, create_graph=create_graph)[0])


@pytest.mark.parametrize("create_graph", [False, True], ids=["first order", "recorded"])
@pytest.mark.parametrize("name", CASES)
def test_changed_arguments_do_not_change_the_gradient(name: str, create_graph: bool) -> None:
    expected = gradient(name, overwrite_argument=False, create_graph=create_graph)
    assert expected.any()
    actual = gradient(name, overwrite_argument=True, create_graph=create_graph)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.host
@pytest.mark.parametrize(
    "f",
    [
        lambda x, i: np.take(x, i),
        lambda x, i: np.where(i > 1, x[:4], 0),
        lambda x, i: np.take_along_axis(x, i, 0),
        lambda x, i: np.multiply(x[:4], i),
    ],
)
def test_changed_arguments_of_numpy_functions(f: Any) -> None:
    x, indices = leaf(0.5, 1.5, 2.0, 2.5, 3.0, 4.0), np.array([1, 2, 2, 4])
    (expected,) = ag.gradients(f(x, indices).sum(), x)
    y = f(x, indices)
    indices[...] = 0
    (actual,) = ag.gradients(y.sum(), x)
    assert actual.tolist() == expected.tolist()


def test_the_data_of_tensors_is_not_copied() -> None:
    """Tensors have version counters instead."""
    x, factor = leaf(1.0, 2.0), ag.tensor(on_device(np.array([3.0, 4.0])))
    y = x * factor
    assert y._node is not None
    assert y._node.residuals[0] is factor._data
    factor[...] = 0
    with pytest.raises(RuntimeError, match="written in place"):
        y.sum().backward()


@pytest.mark.parametrize(
    "f",
    [
        lambda x, i: ag.checkpoint(lambda x: x[i])(x),
        lambda x, i: ag.checkpoint(lambda x: x[:4] * i)(x),
        lambda x, i: ag.checkpoint(lambda x: ag.checkpoint(lambda x: x[i])(x * x))(x),
        lambda x, i: ag.checkpoint(lambda x: x[on_host(i).tolist()])(x),
        lambda x, i: ag.checkpoint(lambda x: x[:4] * (i * 2))(x),
        lambda x, i: scan_with(lambda h, i: h * i, checkpoint=2, compile=False)(x[:4], i),
        lambda x, i: scan_with(lambda h, i: h * (i * 2), checkpoint=1, compile=False)(x[:4], i),
    ],
)
def test_arrays_that_a_checkpointed_function_closes_over_must_not_change(f: Any) -> None:
    x, indices = leaf(0.5, 1.5, 2.0, 2.5, 3.0, 4.0), INDICES()
    f(x, indices).sum().backward()
    y = f(x, indices)
    indices[...] = 0
    with pytest.raises(RuntimeError, match="arrays or lists with other values"):
        y.sum().backward()


@pytest.mark.parametrize(
    "f",
    [
        lambda x, i, **options: scan_with(lambda h, i: h * i, checkpoint=2, **options)(x[:4], i),
        lambda x, i, **options: ag.scan(
            lambda h, _: (h * i, h * h), x[:4], None, length=6, checkpoint=2, **options
        )[1][1],
        lambda x, i, **options: ag.scan(
            lambda h, _: (ag.tanh(h * i), None),
            x[:4],
            None,
            length=2000,
            memory_budget=50_000,
            **options,
        )[0],
    ],
)
def test_arrays_that_a_compiled_segment_closes_over_may_change(f: Any) -> None:
    """The captures of a compiled scan are copied."""
    gradients = []
    for change, options in ((True, {}), (False, {"compile": False})):
        x, indices = leaf(0.5, 1.5, 2.0, 2.5, 3.0, 4.0), INDICES()
        f(x, indices, **options).sum().backward()
        y = f(x, indices, **options)
        if change:
            indices[...] = 0
        y.sum().backward()
        gradients.append(on_host(x.grad))
    np.testing.assert_allclose(*gradients, rtol=1e-12)
