"""The layers without time, cross-entropy, initial values, clipping."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays, shapes
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional as F

# Linear, Embedding, Dropout


@given(shapes(max_dims=3), st.integers(0, 3), st.integers(1, 3), st.booleans(), st.data())
def test_linear_is_a_product_and_a_sum(
    leading: tuple[int, ...], I: int, O: int, bias: bool, data: st.DataObject
) -> None:
    layer = nn.Linear(I, O, bias=bias, dtype="float64")
    x = data.draw(arrays((*leading, I)))
    expected = x @ layer.weight.numpy().T + (layer.bias.numpy() if layer.bias is not None else 0)
    np.testing.assert_allclose(layer(ag.tensor(x)).numpy(), expected, rtol=1e-12, atol=1e-12)


@given(shapes(max_dims=2), st.integers(0, 2), st.data())
def test_linear_has_the_gradients_of_finite_differences(
    leading: tuple[int, ...], I: int, data: st.DataObject
) -> None:
    layer = nn.Linear(I, 2, dtype="float64")

    def f(x: Any, weight: Any, bias: Any) -> Any:
        layer.weight, layer.bias = weight, bias
        return layer(x)

    check_gradients(f, *(data.draw(arrays(shape)) for shape in ((*leading, I), (2, I), (2,))))


indices = st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), max_size=4)


@given(indices.map(lambda rows: np.array(rows).reshape(-1, 2)), st.sampled_from(["int32", "int64"]))
def test_embedding_takes_rows_and_repeated_ones_add_up(where: np.ndarray, dtype: str) -> None:
    layer = nn.Embedding(4, 3, dtype="float64")
    rows = layer.weight.numpy()
    y = layer(ag.tensor(where.astype(dtype)))
    np.testing.assert_array_equal(y.numpy(), rows[where.astype(int)])

    upstream = np.random.default_rng(0).normal(size=y.shape)
    y.backward(upstream)
    expected = np.zeros((4, 3))
    for place in np.ndindex(where.shape):
        expected[int(where[place])] += upstream[place]
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(indices.filter(len), arrays((4, 2)))
def test_embedding_has_the_gradients_of_finite_differences(
    where: list[list[int]], weight: np.ndarray
) -> None:
    layer = nn.Embedding(4, 2)

    def f(weight: Any) -> Any:
        layer.weight = weight
        return ag.tanh(layer(np.array(where)))

    check_gradients(f, weight)


@given(st.floats(0.05, 0.95))
def test_dropout_keeps_elements_at_random_and_scales_them(p: float) -> None:
    n = 10_000
    x = ag.tensor(np.full(n, 3.0), requires_grad=True)
    y = nn.Dropout(p)(x)
    kept = y.numpy() != 0
    np.testing.assert_allclose(y.numpy()[kept], 3 / (1 - p), rtol=1e-12)
    assert abs(kept.sum() - n * (1 - p)) < 6 * math.sqrt(n * p * (1 - p))
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), kept / (1 - p), rtol=1e-12)


def test_dropout_of_all_is_zero_and_of_none_is_nothing() -> None:
    x = ag.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = nn.Dropout(1.0)(x)
    assert y.tolist() == [0, 0, 0]
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]
    assert nn.Dropout(0.0)(x).tolist() == x.tolist()
    assert nn.Dropout(1.0).eval()(x).tolist() == x.tolist()


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_dropout_needs_a_probability(p: float) -> None:
    for call in (lambda: nn.Dropout(p), lambda: F.dropout(ag.tensor([1.0]), p)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()


# Initial values


def assert_moments(sample: np.ndarray, mean: float, variance: float, kurtosis: float) -> None:
    """Mean and variance within six standard errors of independent numbers of these moments."""
    n = sample.size
    assert abs(sample.mean() - mean) < 6 * math.sqrt(variance / n)
    assert abs(sample.var() - variance) < 6 * variance * math.sqrt((kurtosis - 1) / n)


@given(st.floats(-2, 2), st.floats(0.1, 3), st.sampled_from(["float32", "float64"]))
def test_uniform_numbers_fill_their_interval(low: float, width: float, dtype: str) -> None:
    target = ag.zeros((100, 100), dtype=dtype)
    assert nn.init.uniform_(target, low, low + width) is target
    values = target.numpy()
    assert values.dtype == dtype
    assert values.min() >= np.dtype(dtype).type(low)
    assert values.max() <= np.dtype(dtype).type(low + width)
    assert_moments(values.astype(float), low + width / 2, width**2 / 12, 9 / 5)


@given(st.floats(-2, 2), st.floats(0.1, 3))
def test_normal_numbers_have_their_moments(mean: float, std: float) -> None:
    target = ag.zeros((100, 100), dtype="float64")
    assert nn.init.normal_(target, mean, std) is target
    values = target.numpy()
    assert_moments(values, mean, std**2, 3)
    within = (abs(values - mean) < std).mean()
    assert abs(within - 0.6827) < 6 * math.sqrt(0.6827 * 0.3173 / values.size)


def test_constants_are_written_in_place() -> None:
    parameter = nn.Parameter(np.zeros((2, 3)))
    for fill, value in ((nn.init.ones_, 1), (nn.init.zeros_, 0)):
        assert fill(parameter) is parameter
        assert (parameter.numpy() == value).all()
    assert (nn.init.constant_(parameter, 7).numpy() == 7).all()


@pytest.mark.parametrize(
    ("layer", "bound"),
    [(lambda: nn.Linear(64, 100), 64), (lambda: nn.LSTM(10, 25, num_layers=2), 25)],
)
def test_weights_and_biases_start_between_minus_and_plus_one_over_the_root(
    layer: Any, bound: int
) -> None:
    for parameter in layer().parameters():
        assert abs(parameter.numpy()).max() <= 1 / math.sqrt(bound)
        assert_moments(parameter.numpy().astype(float), 0, 1 / bound / 3, 9 / 5)


def test_embeddings_start_standard_normal() -> None:
    assert_moments(nn.Embedding(100, 100).weight.numpy().astype(float), 0, 1, 3)


def test_the_seed_decides_all_initial_values() -> None:
    def weights(seed: int) -> list[Any]:
        ag.manual_seed(seed)
        return [parameter.tolist() for parameter in nn.LSTM(2, 3).parameters()]

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


# Clipping


def with_gradients(*gradients: Any) -> list[nn.Parameter]:
    """Parameters that have these gradients (None: none)."""
    found = []
    for gradient in gradients:
        parameter = nn.Parameter(np.zeros(np.shape(gradient)))
        parameter.grad = None if gradient is None else np.asarray(gradient, float)
        found.append(parameter)
    return found


@given(st.lists(arrays(shapes()), max_size=4), st.floats(0.01, 10))
def test_gradients_are_scaled_together_to_the_norm(
    gradients: list[np.ndarray], max_norm: float
) -> None:
    parameters = with_gradients(*gradients, None)
    norm = math.sqrt(sum((gradient**2).sum() for gradient in gradients))
    assert nn.utils.clip_grad_norm_(iter(parameters), max_norm) == pytest.approx(norm, rel=1e-12)
    factor = min(1, max_norm / (norm + 1e-6))
    for parameter, gradient in zip(parameters, gradients, strict=False):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), gradient * factor, rtol=1e-12)
    assert parameters[-1].grad is None


def test_gradients_that_share_an_array_are_scaled_once() -> None:
    a, b = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))
    upstream = np.array([3.0, 4.0])
    (a + b).backward(upstream)
    assert nn.utils.clip_grad_norm_([a, b], 1.0) == pytest.approx(math.sqrt(50))
    a.grad = b.grad
    assert nn.utils.clip_grad_norm_([a, b], 0.5) == pytest.approx(1)
    for parameter in (a, b):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), upstream / 5 / math.sqrt(8), rtol=1e-5)
    assert upstream.tolist() == [3, 4]


def test_one_parameter_can_be_clipped() -> None:
    (parameter,) = with_gradients([3.0, 4.0])
    assert nn.utils.clip_grad_norm_(parameter, 1.0) == 5
    assert parameter.grad is not None
    np.testing.assert_allclose(parameter.grad.numpy(), [0.6, 0.8], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("wrong", [math.inf, math.nan, 1e200])
def test_a_norm_that_is_not_finite_makes_all_gradients_nan(wrong: float) -> None:
    """1e200 is finite, but its square is not."""
    parameters = with_gradients([wrong, 1.0], [2.0])
    assert not math.isfinite(nn.utils.clip_grad_norm_(parameters, 1.0))
    for parameter in parameters:
        assert parameter.grad is not None
        assert np.isnan(parameter.grad.numpy()).all()


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_the_norm_to_clip_to_is_positive(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be positive, not"):
        nn.utils.clip_grad_norm_([], max_norm)


@pytest.mark.parametrize("index", [-1, 4])
def test_an_embedding_knows_its_rows_only(index: int) -> None:
    with pytest.raises(IndexError, match=f"index {index} is none of the 4 embeddings"):
        nn.Embedding(4, 2)(np.array([0, index]))
