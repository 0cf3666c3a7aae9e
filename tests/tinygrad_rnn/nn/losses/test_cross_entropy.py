"""Cross-entropy: extreme scores, ignored positions, memory, errors."""

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn.nn import functional as F

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_scores_have_finite_losses_and_gradients(dtype: str) -> None:
    x = ag.tensor([[1e30, 0.0], [0.0, 1e30], [-1e30, -1e30]], requires_grad=True, dtype=dtype)
    values = F.cross_entropy(x, np.array([0, 0, 0]), reduction="none")
    np.testing.assert_allclose(values.numpy(), np.array([0, 1e30, math.log(2)]), rtol=1e-6)
    values.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [-1, 1], [-0.5, 0.5]])
    assert values.dtype == x.grad.dtype == dtype


def test_the_mean_in_half_precision_does_not_overflow() -> None:
    x = ag.full((1000, 2), 100.0, dtype="float16")
    x[:, 0] = 0
    assert F.cross_entropy(x, np.zeros(1000, int)).item() == 100


def test_ignored_positions_never_produce_nan() -> None:
    x = ag.tensor([[-math.inf, 0.0], [0.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, np.array([-100, 1]), weight=[1.0, 2.0])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0], [0.5, -0.5]]


@pytest.mark.parametrize("target", [-1, 3])
def test_targets_must_be_class_indices(target: int) -> None:
    scores = ag.tensor(np.zeros((2, 3)))
    for targets in (np.array([0, target]), ag.tensor([0, target])):
        with pytest.raises(ValueError, match=rf"Target {target} is out of bounds: .* from 0 to 2"):
            F.cross_entropy(scores, targets)


x23 = np.zeros((2, 3))
x234 = np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    ("scores", "target", "options", "message"),
    [
        (
            x23,
            np.zeros(3, int),
            {},
            r"scores of shape \(2, 3\) require .* of shape \(2,\), .*got \(3,\)",
        ),
        (x23, np.zeros(2), {}, r"probabilities of shape .*, got \(2,\) float"),
        (x234, np.zeros((2, 3), int), {}, r"classes are on axis 1: reshape scores to \(-1, C\)"),
        (np.zeros(()), np.zeros((), int), {}, "must have an axis of classes"),
        (x23, np.zeros(2, int), {"reduction": "average"}, "average is not a valid value for redu"),
        (x23, np.zeros(2, int), {"weight": [1.0, 2.0]}, r"either for all 3 classes .* \(2,\)"),
        (x23, x23, {"weight": [1.0, 2.0]}, r"either for all 3 classes .* \(2,\)"),
        (x23, np.zeros(2, int), {"label_smoothing": 1.1}, "between 0.0 and 1.0. Got: 1.1"),
    ],
)
def test_cross_entropy_errors(
    scores: Any, target: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        F.cross_entropy(ag.tensor(scores), target, **options)


@pytest.mark.host
@pytest.mark.parametrize("shape", [(400, 2000), (50, 2000, 8), (20, 500, 20)])
def test_peak_memory_of_cross_entropy(shape: tuple[int, ...]) -> None:
    """The forward pass allocates the probabilities, and the backward pass the gradient."""
    scores = ag.zeros(shape, requires_grad=True)
    target = np.zeros((shape[0], *shape[2:]), np.int64)
    size = scores.data.nbytes
    tracemalloc.start()
    try:
        loss = F.cross_entropy(scores, target)
        forward = tracemalloc.get_traced_memory()[1]
        (g,) = ag.gradients(loss, scores)
        backward = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert g is not None
    copies = shape[1] != scores.size // shape[0]  # moving classes to the last axis copies
    assert forward < (copies + 1.5) * size
    assert backward < (copies + 2.5) * size


@pytest.mark.parametrize("offset", [0.0, 1e4, -3e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_is_accurate_for_scores_of_any_size(offset: float, dtype: str) -> None:
    scores = np.array([[0.5, -0.25, 2.0], [0.0, 8.0, -4.0]], dtype)
    x = ag.tensor(scores + offset, requires_grad=True)
    loss = F.cross_entropy(x, [2, 0], reduction="sum")
    loss.backward()
    wide = scores.astype("float64")
    p = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    exact = -np.log(p[[0, 1], [2, 0]]).sum()
    tolerance = 1e-6 if dtype == "float32" else 1e-11
    assert abs(loss.item() - exact) <= tolerance * exact
    p[[0, 1], [2, 0]] -= 1
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), p, atol=tolerance)


def test_scores_of_ignored_positions_have_no_influence() -> None:
    """Scores of ignored positions do not affect the loss or gradients, even if not finite."""
    for value in (np.nan, np.inf, -np.inf):
        x = ag.tensor([[1.0, 2.0], [value, value], [value, 1.0]], requires_grad=True)
        loss = F.cross_entropy(x, [1, -100, -100])
        loss.backward()
        assert x.grad is not None
        assert loss.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-6)
        assert np.isfinite(x.grad.numpy()).all()
        assert not x.grad.numpy()[1:].any()


@given(seeds, st.integers(1, 4), st.integers(1, 5))
def test_second_derivatives_of_cross_entropy(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, rows)
    check_gradients(lambda x: F.cross_entropy(x, target), rng.standard_normal((rows, classes)))
