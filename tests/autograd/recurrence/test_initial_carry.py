"""An initial carry of arrays or floats is converted to Tensors and compiled."""

from typing import Any

import numpy as np
import pytest

import autograd as ag

pytestmark = pytest.mark.host  # NumPy arrays

B, N, T = 3, 2, 5
CARRIES: dict[str, Any] = {
    "float32": np.ones((B, N), np.float32),
    "float64": np.full((B, N), 0.1),
    "integer": np.ones((B, N), np.int64),
    "0-d": np.float64(0.1),
    "float": 0.1,
    "view": np.ones((N, B)).T,
}


def step(carry: Any, x: Any) -> Any:
    h, k = carry
    h = h * 0.5 + ag.mean(x)
    return (h, k), h


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"checkpoint": 2}], ids=str)
@pytest.mark.parametrize("kind", CARRIES)
@pytest.mark.filterwarnings("error")
def test_arrays_and_floats_are_compiled(kind: str, options: dict[str, Any]) -> None:
    second = CARRIES[kind]
    first = np.ones((B, N)) if kind == "integer" else second
    dtype = np.asarray(first).dtype
    xs = ag.tensor(np.linspace(0, 1, T * N).reshape(T, N), requires_grad=True, dtype=dtype)
    assert ag.explain(step, (first, second), xs).compiled
    results = []
    for compile in (None, False):
        (h, k), ys = ag.scan(step, (first, second), xs, compile=compile, **options)
        assert all(isinstance(leaf, ag.Tensor) for leaf in (h, k, ys))
        results.append([h, k, ys, *ag.gradients(ys.sum() + h.sum(), [xs])])
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-6)
        assert actual.dtype == expected.dtype


@pytest.mark.parametrize(
    ("carry", "xs", "dtype"),
    [
        (0.1, np.ones(T, np.float32), "float32"),
        (0.1, np.ones(T), "float64"),
        (0.1, np.ones(T, np.int64), "float32"),
        ((0.1, np.ones(2)), np.ones(T, np.float32), "float64"),
        (np.ones(2, np.float16), None, "float16"),
    ],
)
def test_dtypes(carry: Any, xs: Any, dtype: str) -> None:
    def step(c: Any, x: Any) -> Any:
        return c, None

    last, _ = ag.scan(step, carry, xs, length=T)
    first = ag.flatten(last)[0]
    assert first.dtype == dtype
    np.testing.assert_array_equal(first.numpy(), np.asarray(ag.flatten(carry)[0], dtype))


@pytest.mark.parametrize("options", [{}, {"compile": False}, {"checkpoint": 2}], ids=str)
def test_arrays_may_change_before_the_backward_pass(options: dict[str, Any]) -> None:
    def gradient(change: bool) -> Any:
        start, w = np.ones(N), ag.tensor(0.5, requires_grad=True)
        h, _ = ag.scan(lambda h, x: (h * w * x, None), start, np.ones((T, N)), **options)
        start[...] = 0 if change else 1
        return ag.gradients(h.sum(), [w])[0].item()

    assert gradient(change=True) == gradient(change=False) != 0


@pytest.mark.parametrize("steps", [0, 1, T])
def test_a_converted_carry_is_returned_as_tensors(steps: int) -> None:
    last, _ = ag.scan(lambda c, x: (c, None), {"a": np.ones(N), "b": [0.5]}, None, length=steps)
    assert last["a"].tolist() == [1, 1]
    assert last["b"][0].tolist() == 0.5


def test_integers_keep_the_promotion_of_python() -> None:
    """A Python integer does not widen float32."""
    total, _ = ag.scan(lambda c, x: (c + x, None), 0, ag.ones(T), compile=False)
    assert (total.item(), total.dtype) == (T, np.float32)
