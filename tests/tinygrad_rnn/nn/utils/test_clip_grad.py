"""Gradient clipping by norm and by value."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing.strategies import arrays, shapes
from tinygrad_rnn import nn


def with_gradients(*gradients: Any) -> list[nn.Parameter]:
    """Return parameters with the given gradients, which may be None."""
    parameters = []
    for gradient in gradients:
        parameter = nn.Parameter(np.zeros(np.shape(gradient)))
        parameter.grad = None if gradient is None else np.asarray(gradient, float)
        parameters.append(parameter)
    return parameters


@given(
    st.lists(arrays(shapes()), max_size=4),
    st.floats(0.01, 10),
    st.sampled_from([1, 2, 2.5, math.inf]),
)
def test_gradients_are_scaled_to_the_maximum_norm(
    gradients: list[np.ndarray], max_norm: float, norm_type: float
) -> None:
    parameters = with_gradients(*gradients, None)
    everything = np.concatenate([np.zeros(1), *(gradient.ravel() for gradient in gradients)])
    norm = np.linalg.norm(everything, norm_type)
    clipped = nn.utils.clip_grad_norm_(iter(parameters), max_norm, norm_type)
    assert clipped == pytest.approx(norm, rel=1e-12)
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


def test_a_single_parameter_can_be_clipped() -> None:
    (parameter,) = with_gradients([3.0, 4.0])
    assert nn.utils.clip_grad_norm_(parameter, 1.0) == 5
    assert parameter.grad is not None
    np.testing.assert_allclose(parameter.grad.numpy(), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_non_finite_norm_makes_all_gradients_nan(value: float) -> None:
    parameters = with_gradients([value, 1.0], [2.0])
    assert not math.isfinite(nn.utils.clip_grad_norm_(parameters, 1.0))
    for parameter in parameters:
        assert parameter.grad is not None
        assert np.isnan(parameter.grad.numpy()).all()


@pytest.mark.parametrize("norm_type", [2, math.inf])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_error_if_nonfinite(norm_type: float, value: float) -> None:
    parameters = with_gradients([2.0], [1.0, value])
    with pytest.raises(RuntimeError, match=f"norm of order {norm_type} .* is non-finite"):
        nn.utils.clip_grad_norm_(parameters, 1.0, norm_type, error_if_nonfinite=True)
    assert parameters[0].grad is not None
    assert parameters[0].grad.tolist() == [2]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("norm_type", [1, 2, 3, math.inf, 0.5])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        *(("float16", size) for size in (6e4, 1e-7)),
        *(("float32", size) for size in (3e38, 1e30, 1e-21, 1e-25, 1e-44)),
        *(("float64", size) for size in (1e200, 1e305, 1e-200, 1e-310)),
    ],
)
def test_the_norm_of_finite_gradients_neither_overflows_nor_underflows(
    dtype: str, size: float, norm_type: float
) -> None:
    gradients = [np.full((5, 4), size, dtype), np.array([-size, 0], dtype), np.array(0, dtype)]
    parameters = [nn.Parameter(np.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = ag.tensor(gradient)
    unit = float(gradients[0][0, 0])
    norm = unit * 21 ** (1 / norm_type)
    for max_norm in (math.inf, unit / 8):
        clipped = nn.utils.clip_grad_norm_(parameters, max_norm, norm_type, True)
        assert clipped == pytest.approx(norm, rel=1e-6, abs=0)
        factor = min(1, max_norm / unit / (norm / unit + 1e-6 / unit))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert parameter.grad is not None
            assert parameter.grad.dtype == dtype
            expected = (gradient.astype(float) / unit * factor * unit).astype(dtype)
            spacing = np.finfo(dtype).smallest_subnormal
            np.testing.assert_allclose(
                parameter.grad.numpy(), expected, 4 * np.finfo(dtype).eps, spacing
            )


def test_finite_gradients_with_an_overflowing_norm_are_scaled() -> None:
    parameters = with_gradients(np.full(100, 1.7e308), -1.7e308)
    assert nn.utils.clip_grad_norm_(parameters, 1.0) == math.inf
    for parameter, sign in zip(parameters, (1, -1), strict=True):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), sign / math.sqrt(101))


def test_gradients_of_different_precisions() -> None:
    """A number of one precision may underflow or overflow in another."""
    parameters = [nn.Parameter(np.zeros(2, dtype)) for dtype in ("float16", "float32", "float64")]
    for sizes in ([0, 0, 1e-50], [6e4, 3e38, 1e300], [1e-7, 1e-40, 0]):
        for parameter, size in zip(parameters, sizes, strict=True):
            parameter.grad = np.full(2, size, parameter.dtype)
        values = [float(p.grad.numpy()[0]) for p in parameters if p.grad is not None]
        expected = math.hypot(*values) * math.sqrt(2)
        assert nn.utils.clip_grad_norm_(parameters, math.inf) == pytest.approx(expected, 1e-12, 0)


def test_the_norm_in_half_precision_does_not_overflow() -> None:
    parameter = nn.Parameter(np.zeros(2, "float16"))
    parameter.grad = np.array([3000, 4000], "float16")
    assert nn.utils.clip_grad_norm_(parameter, 5.0) == 5000
    assert parameter.grad is not None
    assert parameter.grad.dtype == np.float16
    np.testing.assert_allclose(parameter.grad.numpy(), [3, 4], rtol=1e-3)


@given(arrays(shapes()), st.floats(0, 2))
def test_clip_grad_value(gradient: np.ndarray, limit: float) -> None:
    parameter, without_gradient = with_gradients(gradient, None)
    nn.utils.clip_grad_value_(iter([parameter, without_gradient]), limit)
    assert parameter.grad is not None
    np.testing.assert_array_equal(parameter.grad.numpy(), np.clip(gradient, -limit, limit))
    assert without_gradient.grad is None


def test_invalid_clip_value_and_norm_type_raise() -> None:
    for limit in (-1.0, math.nan):
        with pytest.raises(ValueError, match=f"clip_value must be non-negative, got {limit}"):
            nn.utils.clip_grad_value_([], limit)
        with pytest.raises(ValueError, match=f"norm_type must be positive, got {limit}"):
            nn.utils.clip_grad_norm_([], 1.0, limit)


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_the_maximum_norm_must_be_positive(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be positive, got"):
        nn.utils.clip_grad_norm_([], max_norm)


@pytest.mark.parametrize("norm_type", [1, 2, math.inf])
def test_gradients_at_the_limit_are_scaled_as_in_pytorch(norm_type: float) -> None:
    """The factor max_norm / (norm + 1e-6) is below 1 for norm == max_norm."""
    for norm, max_norm in ((5.0, 5.0), (5.0, 5.0 + 5e-7), (5.0, 5.0 + 2e-6)):
        (parameter,) = with_gradients([-norm, 0.0])
        assert nn.utils.clip_grad_norm_(parameter, max_norm, norm_type) == norm
        assert parameter.grad is not None
        expected = -norm * min(1.0, max_norm / (norm + 1e-6))
        assert parameter.grad.numpy()[0] == pytest.approx(expected, rel=1e-12, abs=0)
