"""Products of matrices: how many products an operation computes, and their gradients."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag


def _one_matrix_on_the_right() -> list[Any]:
    rng = np.random.default_rng(0)
    shapes = [((5, 3, 4), (4, 2)), ((2, 3, 1, 4), (4, 2)), ((0, 3, 4), (4, 2)), ((5, 3, 4), (4,))]
    return [
        pytest.param(rng.standard_normal(x), rng.standard_normal(w), id=f"{x}-{w}")
        for x, w in shapes
    ]


@pytest.mark.host
@pytest.mark.parametrize(("x", "w"), _one_matrix_on_the_right())
@pytest.mark.parametrize(
    "product",
    [
        ag.matmul,
        lambda x, w: ag.linear(x, w.T if w.ndim == 2 else ag.expand_dims(w, 0)),
        lambda x, w: ag.swapaxes(x, 0, 1) @ w,
    ],
    ids=["matmul", "linear", "transposed batch"],
)
def test_all_rows_times_one_matrix_are_one_product(
    monkeypatch: pytest.MonkeyPatch, product: Callable[..., Any], x: Any, w: Any
) -> None:
    """`np.matmul`, which computes a product per batch entry, is not called: not in the forward
    pass, the backward pass, or the backward pass of the gradient.
    """
    expected = np.matmul(x, w)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"np.matmul of {[np.shape(a) for a in arguments]}")

    monkeypatch.setattr(np, "matmul", refuse)
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
    """The batch axes are summed in the product, and not after one product per batch entry."""
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
def test_linear_needs_a_weight_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"linear.*weight must have shape \(O, I\)"):
        ag.linear(ag.ones((3, 4)), ag.ones(shape))


@pytest.mark.host
@pytest.mark.parametrize("shape", [(300, 40), (6, 50, 40), (40,)])
def test_the_bias_is_added_in_the_memory_of_the_product(shape: tuple[int, ...]) -> None:
    """The layer needs the memory of its result only, and its gradients are those of x W' + b."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s) for s in (shape, (500, 40), (500,)))
    expected = x @ w.T + b
    check = ag.testing.check_gradients
    check(lambda x, w, b: ag.linear(x, w, b), x[..., :3], w[:2, :3], b[:2])
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
    y = ag.linear(x, w, ag.tensor(bias) if not isinstance(bias, float) else bias)
    plain = x @ w.T + (ag.tensor(bias) if not isinstance(bias, float) else bias)
    assert (y.shape, y.dtype) == (plain.shape, plain.dtype)
    np.testing.assert_array_equal(y.numpy(), plain.numpy())


@pytest.mark.host
@pytest.mark.parametrize("operator", ["__iadd__", "__isub__", "__imul__", "__itruediv__"])
def test_operators_in_place_need_no_memory(operator: str) -> None:
    a, b = np.random.default_rng(0).uniform(1, 2, (2, 20_000))
    t, other = ag.tensor(a), ag.tensor(b)
    expected = getattr(a.copy(), operator)(b)
    tracemalloc.start()
    try:
        assert getattr(t, operator)(other) is t
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000
    np.testing.assert_array_equal(t.numpy(), expected)


def test_operands_of_operators_in_place_may_overlap_or_be_lists() -> None:
    t = ag.arange(5.0)
    t += t[::-1]
    assert t.tolist() == [4, 4, 4, 4, 4]
    t[1:] *= t[:-1]
    assert t.tolist() == [4, 16, 16, 16, 16]
    t -= [1, 2, 3, 4, 5]
    assert t.tolist() == [3, 14, 13, 12, 11]
    whole = ag.arange(3)
    with pytest.raises(TypeError):
        whole += 0.5
    assert whole.tolist() == [0, 1, 2]


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
    again = use(w)
    again.backward()  # adds to the first gradient
    assert w.grad.numpy().sum() == pytest.approx(2 * loss.item(), rel=1e-6)
