"""Operations along an axis of length 0: the results of NumPy and PyTorch, or a clear error."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn.nn import functional

INF, NAN = np.inf, np.nan
EMPTY = [((3, 0), 1), ((0, 3), 0), ((2, 0, 3), 1), ((0, 0), -1)]

VALUES: dict[str, tuple[Callable[..., Any], float]] = {
    "sum": (ag.sum, 0),
    "prod": (ag.prod, 1),
    "norm": (ag.norm, 0),
    "logsumexp": (ag.logsumexp, -INF),
    "mean": (ag.mean, NAN),
    "median": (ag.median, NAN),
    "var": (ag.var, NAN),
    "std": (ag.std, NAN),
    "all": (ag.all, True),
    "any": (ag.any, False),
}


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize(("shape", "axis"), EMPTY)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_reductions_of_an_empty_axis(
    name: str, shape: Any, axis: int, keepdims: bool, dtype: Any
) -> None:
    f, expected = VALUES[name]
    t = ag.zeros(shape, dtype).requires_grad_()
    y = f(t, axis, keepdims=keepdims)
    assert y.shape == np.sum(np.zeros(shape), axis, keepdims=keepdims).shape
    np.testing.assert_array_equal(y.numpy(), np.full(y.shape, expected))
    if y.requires_grad:
        y.sum().backward()
        assert t.grad is not None
        assert (t.grad.shape, t.grad.dtype) == (shape, dtype)


@pytest.mark.parametrize("f", [ag.softmax, ag.log_softmax, ag.cumsum, ag.cumprod, ag.sort])
@pytest.mark.parametrize(("shape", "axis"), [*EMPTY, ((3, 0), 0), ((0, 3), 1)])
def test_operations_along_an_empty_axis_return_no_elements(f: Any, shape: Any, axis: int) -> None:
    t = ag.zeros(shape, requires_grad=True)
    y = f(t, axis=axis)
    assert y.shape == shape
    y.sum().backward()
    assert t.grad is not None
    assert t.grad.shape == shape


@pytest.mark.parametrize("f", [ag.max, ag.min, ag.argmax, ag.argmin])
@pytest.mark.parametrize(("shape", "axis"), EMPTY)
def test_extremes_of_an_empty_axis_are_errors(f: Any, shape: Any, axis: int) -> None:
    with pytest.raises(ValueError, match=rf"{f.__name__}\(\({shape[0]}, .*(zero-size|empty)"):
        f(ag.zeros(shape), axis)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("ddof", [1, 2, 3])
def test_a_variance_of_too_few_elements_is_nan(ddof: int) -> None:
    variance = ag.var(ag.tensor([[1.0], [2.0]]), 1, ddof=ddof)
    assert np.isnan(variance.numpy()).all()


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    "loss",
    [
        lambda x, **options: functional.cross_entropy(x, np.zeros(0, int), **options),
        lambda x, **options: functional.nll_loss(x, np.zeros(0, int), **options),
        lambda x, **options: functional.mse_loss(x, x.detach(), **options),
        lambda x, **options: functional.huber_loss(x, x.detach(), **options),
    ],
)
def test_losses_of_no_examples(loss: Any) -> None:
    x = ag.zeros((0, 3), requires_grad=True)
    assert np.isnan(loss(x).item())
    total = loss(x, reduction="sum")
    assert total.item() == 0
    total.backward()
    assert x.grad is not None
    assert x.grad.shape == (0, 3)
