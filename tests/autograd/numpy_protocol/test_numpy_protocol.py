"""NumPy's functions on Tensors give the results and gradients of the engine's operations."""

from typing import Any

import numpy as np
import pytest
from helpers import on_device
from hypothesis import given
from hypothesis import strategies as st
from operations import DIFFERENTIABLE, NOT_DIFFERENTIABLE, Operation

import autograd as ag
from autograd.testing.strategies import arrays, shapes

OPERATIONS = DIFFERENTIABLE | NOT_DIFFERENTIABLE
WITHOUT_NUMPY_REFERENCE = {"astype", "erf", "gelu", "index_update"}

ones = ag.ones((2, 3))


def results_and_gradients(f: Any, args: tuple[np.ndarray, ...], static: Any) -> list[np.ndarray]:
    """Return the results of f on Tensors, and the gradients of the sum of their squares."""
    tensors = [ag.tensor(a, requires_grad=a.dtype.kind == "f") for a in args]
    results = ag.flatten(f(*tensors, **static))
    assert all(isinstance(r, ag.Tensor) for r in results)
    losses = [(r * r).sum() for r in results if r.requires_grad]
    inputs = [t for t in tensors if t.requires_grad]
    gradients = ag.gradients(losses, inputs, allow_unused=True) if losses else ()
    return [t.numpy() for t in (*results, *gradients) if t is not None]


@pytest.mark.filterwarnings("ignore:invalid value")  # the reference of the norm, for empty arrays
@pytest.mark.parametrize("name", sorted({*OPERATIONS} - WITHOUT_NUMPY_REFERENCE))
@given(data=st.data())
def test_numpys_functions_agree_with_the_operations(name: str, data: st.DataObject) -> None:
    operation: Operation = OPERATIONS[name]
    args, static = data.draw(operation.cases)
    static = {k: on_device(v) if isinstance(v, np.ndarray) else v for k, v in static.items()}
    by_numpy = results_and_gradients(operation.reference, args, static)
    by_engine = results_and_gradients(operation.call, args, static)
    for actual, expected in zip(by_numpy, by_engine, strict=True):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "f",
    [
        lambda t: np.sum(t, axis=0, keepdims=True),
        lambda t: np.sum(t, axis=0, dtype=None, out=None),
        lambda t: np.std(t, 0, None, None, 1),
        lambda t: np.median(t, 1, None, False, True),
        lambda t: np.sort(t, kind="stable"),
        lambda t: np.einsum("ij,kj->ik", t, t, optimize=True),
        lambda t: np.tile(A=t, reps=2),
        lambda t: np.split(t, indices_or_sections=3, axis=1)[2],
        lambda t: np.pad(t, 1, constant_values=3),
        lambda t: np.clip(t, 0, 1),
        lambda t: np.reshape(t, -1),
        lambda t: np.nan_to_num(t, copy=True, nan=1.0),
        lambda t: np.gradient(t, 0.5, axis=0),
        lambda t: np.where(t > 0, t, 0),
        lambda t: np.take(t, [[0, -1]]),
        lambda t: np.linalg.norm(t),
        lambda t: np.linalg.norm(t, 2, 0),
        lambda t: np.linalg.norm(t, axis=1, keepdims=True),
        lambda t: np.linalg.matmul(t, np.linalg.outer(t[0], t[1])),
        lambda t: np.linalg.tensordot(t, np.linalg.cross(t, t + 1), axes=2),
        lambda t: np.amax(t, 0) - np.amin(t, 0),
    ],
)
def test_numpys_calling_conventions(f: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3))
    actual = f(ag.tensor(x, requires_grad=True))
    assert actual.requires_grad
    np.testing.assert_allclose(actual.numpy(), f(x), rtol=1e-12)


# --- functions without a derivative -------------------------------------------------------------

ARRAY_FUNCTIONS: dict[str, Any] = {
    "all": lambda x: np.all(x > 0, axis=0),
    "allclose": lambda x: np.allclose(x, x),
    "any": lambda x: np.any(x > 0),
    "argwhere": lambda x: np.argwhere(x > 0),
    "array_equal": lambda x: np.array_equal(x, x),
    "array_repr": np.array_repr,
    "array_str": np.array_str,
    "can_cast": lambda x: np.can_cast(np.float32, "f8") and x.ndim,
    "count_nonzero": lambda x: np.count_nonzero(x, axis=1),
    "full_like": lambda x: np.full_like(x, 2.0),
    "isclose": lambda x: np.isclose(x, x + 1e-12),
    "iscomplexobj": np.iscomplexobj,
    "isrealobj": np.isrealobj,
    "ndim": np.ndim,
    "nonzero": np.nonzero,
    "ones_like": lambda x: np.ones_like(x, dtype=None),
    "result_type": lambda x: np.result_type(x, np.float32),
    "searchsorted": lambda x: np.searchsorted(np.sort(x, None), x),
    "shape": np.shape,
    "size": lambda x: np.size(x, 1),
    "zeros_like": np.zeros_like,
}


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
@given(x=arrays(shapes(2, 2)))
def test_functions_without_a_derivative_compute_on_arrays(name: str, x: np.ndarray) -> None:
    """Compare values; scalars of NumPy may be arrays on a device, as in CuPy."""
    results = ag.flatten(ARRAY_FUNCTIONS[name](ag.tensor(x, requires_grad=True)))
    for actual, expected in zip(results, ag.flatten(ARRAY_FUNCTIONS[name](x)), strict=True):
        if isinstance(actual, ag.Tensor):
            assert not actual.requires_grad
            assert actual.dtype == np.asarray(expected).dtype
            np.testing.assert_array_equal(actual.numpy(), expected)
        else:
            assert not isinstance(expected, np.ndarray)
            assert actual == expected


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda t: np.nanmean(t), ["np.nanmean ", "np.mean"]),
        (lambda t: np.average(t), ["np.average ", "np.mean"]),
        (lambda t: np.linalg.inv(t), ["np.linalg.inv ", "t.numpy()"]),
        (lambda t: np.fft.fft(t), ["np.fft.fft "]),
        (lambda t: np.float_power(t, 2), ["np.float_power ", "np.power"]),
        (lambda t: np.add.reduce(t), ["np.add.reduce ", "np.sum"]),
        (lambda t: np.multiply.outer(t, t), ["np.multiply.outer ", "np.multiply"]),
        (lambda t: np.copyto(np.zeros((2, 3)), t), ["np.copyto "]),
        (lambda t: np.sum(t, 0, None, np.ones(3)), ["np.sum ", "out="]),
        (lambda t: np.concatenate([t, t], dtype=np.float32), ["np.concatenate", "dtype"]),
        (lambda t: np.add(t, 1, out=np.zeros((2, 3))), ["np.add ", "out="]),
        (lambda t: np.linalg.norm(t, 1), ["np.linalg.norm", "ord=1"]),
        (lambda t: np.linalg.norm(t, 2), ["np.linalg.norm", "ord=2"]),  # the spectral norm
    ],
)
def test_the_error_names_the_function_and_an_alternative(f: Any, words: list[str]) -> None:
    with pytest.raises(TypeError) as caught:
        f(ones)
    assert all(word in str(caught.value) for word in words), caught.value
