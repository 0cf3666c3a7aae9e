"""Matrix products: the number of products, their memory, and their gradients."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag


def _operands_with_one_right_matrix() -> list[Any]:
    rng = np.random.default_rng(0)
    shapes = [((5, 3, 4), (4, 2)), ((2, 3, 1, 4), (4, 2)), ((0, 3, 4), (4, 2)), ((5, 3, 4), (4,))]
    return [
        pytest.param(rng.standard_normal(x), rng.standard_normal(w), id=f"{x}-{w}")
        for x, w in shapes
    ]


@pytest.mark.host
@pytest.mark.parametrize(("x", "w"), _operands_with_one_right_matrix())
@pytest.mark.parametrize(
    "product",
    [
        ag.matmul,
        lambda x, w: ag.linear(x, w.T if w.ndim == 2 else ag.expand_dims(w, 0)),
        lambda x, w: ag.swapaxes(x, 0, 1) @ w,
    ],
    ids=["matmul", "linear", "transposed batch"],
)
def test_all_rows_are_multiplied_by_one_matrix_in_one_product(
    monkeypatch: pytest.MonkeyPatch, product: Callable[..., Any], x: Any, w: Any
) -> None:
    """`np.matmul`, which computes a product per batch entry, is not called in the forward pass, the
    backward pass, or the backward pass of the gradient.
    """
    expected = np.matmul(x, w)

    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"np.matmul of {[np.shape(a) for a in arguments]}")

    monkeypatch.setattr(np, "matmul", fail)
    x, w = ag.tensor(x, requires_grad=True), ag.tensor(w, requires_grad=True)
    y = product(x, w)
    gradients = ag.gradients((y * y).sum(), (x, w), create_graph=True)
    sum(g.sum() for g in gradients).backward()
    monkeypatch.undo()
    if y.shape == expected.shape:
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)
    ag.testing.check_gradients(product, x.detach(), w.detach())


@pytest.mark.host
@pytest.mark.parametrize("shape", [(5, 4, 3), (2, 5, 4, 1), (0, 4, 3)])
def test_the_gradient_of_a_shared_left_matrix_is_one_product(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    """The product itself sums over the batch axes."""
    rng = np.random.default_rng(0)
    w = ag.tensor(rng.standard_normal((2, 4)), requires_grad=True)
    x = rng.standard_normal(shape)
    y = w @ x
    monkeypatch.setattr(np, "matmul", None)
    (g,) = ag.gradients(y.sum(), w)
    assert g is not None
    np.testing.assert_allclose(
        g.numpy(), np.broadcast_to(np.moveaxis(x, -2, 0).reshape(4, -1).sum(1), (2, 4)), rtol=1e-12
    )


@pytest.mark.parametrize("shape", [(4,), (1, 2, 4), ()])
def test_weight_of_linear_must_be_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"linear.*weight must have shape \(O, I\)"):
        ag.linear(ag.ones((3, 4)), ag.ones(shape))


@pytest.mark.host
@pytest.mark.parametrize("shape", [(300, 40), (6, 50, 40), (40,)])
def test_the_bias_is_added_in_the_memory_of_the_product(shape: tuple[int, ...]) -> None:
    """The layer allocates its result only, and has the gradients of x W' + b."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s) for s in (shape, (500, 40), (500,)))
    expected = x @ w.T + b
    ag.testing.check_gradients(ag.linear, x[..., :3], w[:2, :3], b[:2])
    tensors = [ag.tensor(a, requires_grad=True) for a in (x, w, b)]
    tracemalloc.start()
    try:
        y = ag.linear(*tensors)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * expected.nbytes + 20_000
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "bias", [[1.0, 2.0], 3.0, np.ones((5, 2)), np.ones(2, np.float64)], ids=str
)
def test_a_bias_of_any_shape_and_dtype_is_added(bias: Any) -> None:
    x, w = ag.ones((5, 3)), ag.ones((2, 3), requires_grad=True)
    bias = bias if isinstance(bias, float) else ag.tensor(bias)
    actual, expected = ag.linear(x, w, bias), x @ w.T + bias
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(actual.numpy(), expected.numpy())


@pytest.mark.host
@pytest.mark.parametrize(
    "use",
    [
        lambda w: (ag.ones((2, 3, 50)) @ w).sum(),
        lambda w: ag.linear(ag.ones((2, 400)), w).sum(),
        lambda w: ag.take(w, [1, 1, 3], 0).sum(),
        lambda w: w[[1, 1, 3]].sum(),
        lambda w: w[2:4].sum(),
    ],
    ids=["matmul", "linear", "take", "integer index", "slice"],
)
def test_a_new_gradient_is_not_copied(use: Callable[[Any], Any]) -> None:
    w = ag.ones((50, 400), requires_grad=True)
    loss = use(w)
    tracemalloc.start()
    try:
        loss.backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert w.grad is not None
    assert peak < 1.5 * w.data.nbytes
    use(w).backward()  # adds to the first gradient
    assert w.grad.numpy().sum() == pytest.approx(2 * loss.item(), rel=1e-6)
