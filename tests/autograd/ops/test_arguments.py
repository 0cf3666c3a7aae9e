"""Arguments in all forms that NumPy accepts: lists, numbers, NumPy integers, and wrong shapes."""

from typing import Any

import numpy as np
import pytest
from helpers import on_host

import autograd as ag
from autograd.testing import check_gradients

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
V = np.array([1.0, 2.0, 4.0])


def tensor(value: Any) -> Any:
    return ag.tensor(value, requires_grad=True)


def check_equal(actual: Any, expected: Any) -> None:
    """Check that values, dtypes and shapes are equal, also of several arrays in a tuple or list."""
    if isinstance(expected, (tuple, list)):
        assert len(actual) == len(expected)
        for pair in zip(actual, expected, strict=True):
            check_equal(*pair)
        return
    assert actual.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(on_host(actual), expected, rtol=1e-12, strict=True)


# --- pad ------------------------------------------------------------------------------------------

PADDED: dict[str, tuple[Any, dict[str, Any]]] = {
    "inf": (1, {"constant_values": np.inf}),
    "nan": ((0, 2), {"constant_values": np.nan}),
    "one per side": ([1, 2], {"constant_values": (1.0, -np.inf)}),
    "one per axis and side": (((1, 0), (2, 1)), {"constant_values": ((1, 2), (np.nan, 4))}),
    "one per axis, of an array": (1, {"constant_values": np.array([[1.0], [2.0]])}),
    "NumPy's integer": (np.int64(1), {"mode": "constant", "constant_values": np.float32(2)}),
    "reflect_type": (1, {"mode": "reflect", "reflect_type": "even"}),
}


@pytest.mark.parametrize("kind", PADDED)
def test_pad_fills_with_any_constants(kind: str) -> None:
    width, options = PADDED[kind]
    check_equal(ag.pad(tensor(X), width, **options), np.pad(X, width, **options))
    x = tensor(X)
    ag.pad(x, width, **options)[1:-1].sum().backward()
    check_gradients(lambda t: ag.where(ag.isfinite(y := ag.pad(t, width, **options)), y, 0) ** 2, X)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: ag.pad(t, 1, mode="edge", constant_values=1),
        lambda t: ag.pad(t, 1, mode="linear_ramp", end_values=1),
        lambda t: ag.pad(t, 1, "mean", stat_length=1),
        lambda t: ag.pad(t, 1, "reflect", reflect_type="odd"),
        lambda t: ag.pad(t, 1, constant_values=tensor(1.0)),
    ],
)
def test_unsupported_arguments_of_pad_raise(call: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="pad: "):
        call(tensor(X))


# --- incompatible shapes --------------------------------------------------------------------------

INCOMPATIBLE: dict[str, Any] = {
    "dot": lambda t: ag.dot(t, ag.tensor([1.0])),
    "dot of matrices": lambda t: ag.dot(ag.ones((2, 3)), ag.ones((1, 2))),
    "t.dot": lambda t: t.dot(ag.tensor([1.0])),
    "inner": lambda t: ag.inner(ag.tensor([1.0]), t),
    "vdot": lambda t: ag.vdot(t, ag.tensor([[1.0]])),
    "tensordot": lambda t: ag.tensordot(t, ag.tensor([1.0]), 1),
    "tensordot of two axes": lambda t: ag.tensordot(ag.ones((2, 3)), ag.ones((2, 1)), 2),
    "a label twice": lambda t: ag.einsum("ii->i", ag.ones((2, 3))),
    "a label twice, once of length 1": lambda t: ag.einsum("ii", ag.ones((1, 3))),
    "extra dimensions": lambda t: ag.einsum("i...->i", ag.ones((2, 3))),
    "only extra dimensions": lambda t: ag.einsum("...->", ag.ones((2, 3))),
    "a label in the result only": lambda t: ag.einsum("i->j", t),
    "a label twice in the result": lambda t: ag.einsum("ij->ii", ag.ones((2, 2))),
    "vsplit of a vector": lambda t: ag.vsplit(t, 1),
    "indices with fewer axes": lambda t: ag.take_along_axis(ag.ones((2, 3)), ag.tensor([0]), 1),
    "a mask with more axes": lambda t: ag.sum(t, where=ag.ones((2, 3)) > 0),
    "cross of vectors of four": lambda t: ag.cross(ag.ones(4), ag.ones(4)),
    "linalg.outer": lambda t: np.linalg.outer(ag.ones((2, 3)), t),
    "linalg.cross": lambda t: np.linalg.cross(ag.ones(2), ag.ones(2)),
}


@pytest.mark.parametrize("kind", INCOMPATIBLE)
def test_incompatible_shapes_raise(kind: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        INCOMPATIBLE[kind](tensor(V))


# --- NumPy's signatures ---------------------------------------------------------------------------

CALLS: dict[str, Any] = {
    "coordinates": lambda t: np.gradient(t[0], [0.0, 1.0, 3.0]),
    "distances": lambda t: np.gradient(t, 0.5, 2.0),
    "distance and coordinates": lambda t: np.gradient(t, 0.5, [1.0, 2.0, 4.0]),
    "edge_order": lambda t: np.gradient(t, [1.0, 2.0, 4.0], axis=1, edge_order=2),
    "edge_order, even": lambda t: np.gradient(t, 2.0, axis=(1,), edge_order=2),
    "concatenate all": lambda t: np.concatenate([t, t[0]], axis=None),
    "append all": lambda t: np.append(t, [1.0, 2.0]),
    "sublists": lambda t: np.einsum(t, [0, 1], t, [2, 1], [2, 0]),
    "sublists, implicit": lambda t: np.einsum(t, [3, 1], t, [3, 0]),
    "sublists with ellipsis": lambda t: np.einsum(t, [..., 0], [0, ...]),
    "kron": lambda t: np.kron(t, 0.1),
    "tensordot": lambda t: np.tensordot(0.1, t, 0),
    "cross of 2": lambda t: np.cross(t[:, :2], t[::-1, 1:]),
    "cross of 2 and 3": lambda t: np.cross(t[:, :2], t),
    "cross of 3 and 2": lambda t: np.cross(t, t[:, :2]),
    "cross along axes": lambda t: np.cross(t, t.T, axisa=1, axisb=0, axisc=0),
    "moveaxis": lambda t: np.moveaxis(t[None], (0, 2), (1, 0)),
    "diff": lambda t: np.diff(t, 2, 1, prepend=0.5, append=t[:, :1]),
    "linspace": lambda t: np.linspace(t, 1.0, 3, axis=1),
    "linspace of whole numbers": lambda t: np.linspace(-t[0], 5, 4, dtype=int),
    "linspace of one and its step": lambda t: np.linspace(t, 1.0, 1, retstep=True)[0],
    "linspace and its step": lambda t: np.linspace(t[0], t[1], 4, endpoint=False, retstep=True),
    "sum": lambda t: np.sum(t, axis=0, initial=2.0, where=[True, False, True]),
    "prod": lambda t: np.prod(t, initial=2.0, where=[True, False, True]),
    "max": lambda t: np.max(t, 1, initial=1.75, where=t < 1),
    "min of an empty array": lambda t: np.min(t[:0], 0, initial=3.0),
    "mean": lambda t: np.mean(t, 1, where=[True, False, True], dtype=np.float64),
    "var": lambda t: np.var(t, 1, where=t > -0.9, mean=np.mean(t, 1, keepdims=True)),
    "more degrees than samples": lambda t: np.var(t, 0, ddof=3),
    "clip": lambda t: np.clip(t, [0.0, -2.0, 0.0], t[::-1]),
    "take": lambda t: np.take(t, [5, -7], axis=1, mode="wrap"),
    "take, clipped": lambda t: np.take(t, [5, -7], axis=1, mode="clip"),
    "argmax": lambda t: np.argmax(t, keepdims=True),
    "round": lambda t: np.round(t * 37, -1),
    "where": lambda t: np.where(t > 0),
    "angle": lambda t: np.angle(t, deg=True),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:.*2-dimensional vectors")
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.host
def test_arguments_have_numpys_meaning(kind: str) -> None:
    f = CALLS[kind]
    actual = f(tensor(X))
    check_equal(actual, f(X))
    if any(r.requires_grad and np.isfinite(r.numpy()).all() for r in ag.flatten(actual)):
        check_gradients(lambda t: ag.flatten(f(t)), X)


ERRORS: dict[str, tuple[type[Exception], Any]] = {
    "cumsum along two axes": (TypeError, lambda t: np.cumsum(t, (0, 1))),
    "sort along two axes": (TypeError, lambda t: np.sort(t, (0, 1))),
    "argsort along a tuple": (TypeError, lambda t: np.argsort(t, (0,))),
    "take along a tuple": (TypeError, lambda t: np.take(t, 0, (0,))),
    "negative n": (ValueError, lambda t: np.diff(t, n=-1)),
    "fractional n": (TypeError, lambda t: np.diff(t, n=1.5)),
    "axis out of range": (IndexError, lambda t: np.sum(t, axis=2)),
    "axis out of range of stack": (IndexError, lambda t: np.stack([t, t], 3)),
    "bool axis": (TypeError, lambda t: np.sum(t, axis=True)),
    "fractional axis": (TypeError, lambda t: np.squeeze(t[None], 0.0)),
    "no axis": (TypeError, lambda t: np.expand_dims(t, None)),
    "different numbers of axes": (ValueError, lambda t: np.moveaxis(t, (0, 1), 0)),
    "too many distances": (TypeError, lambda t: np.gradient(t, 1.0, 2.0, 3.0)),
    "too few coordinates": (ValueError, lambda t: np.gradient(t, [1.0, 2.0], axis=1)),
    "too large edge_order": (ValueError, lambda t: np.gradient(t, edge_order=3)),
    "where without initial": (ValueError, lambda t: np.max(t, where=t > 0)),
    "ddof and correction": (ValueError, lambda t: np.std(t, ddof=1, correction=1)),
    "indices of floats, none": (TypeError, lambda t: np.take(t, np.zeros(0))),
    "one choice": (ValueError, lambda t: np.where(t > 0, t)),
    "order of axes": (ValueError, lambda t: np.transpose(t, (0,))),
    "fro of vectors": (ValueError, lambda t: np.linalg.norm(t, "fro", 0)),
    "numbers in select": (TypeError, lambda t: np.select([t], [t])),
    "start out of range": (IndexError, lambda t: np.rollaxis(t, 0, 4)),
}


@pytest.mark.host
@pytest.mark.parametrize("kind", ERRORS)
def test_errors_have_numpys_types(kind: str) -> None:
    error, f = ERRORS[kind]
    for x in (X, tensor(X)):
        with pytest.raises(error):
            f(x)


UNSUPPORTED: dict[str, Any] = {
    "a list that NumPy converts to an array": lambda t: np.mean([t, t]),
    "a nested list": lambda t: np.std([[t[0]], [t[1]]], axis=0),
    "out": lambda t: np.sum(t, out=np.zeros(())),
    "dtype of concatenate": lambda t: np.concatenate([t, t], dtype=np.float32),
    "order": lambda t: np.reshape(t, (3, 2), "F"),
    "copy": lambda t: np.nan_to_num(t, copy=False),
    "dtype of a ufunc": lambda t: np.add(t, 1, dtype=np.float32),
    "where of a ufunc": lambda t: np.exp(t, where=[True, False, True]),
    "a dtype in place of keepdims": lambda t: t.sum(0, np.float64),
    "a dtype in place of keepdims of a median": lambda t: ag.median(t, 0, np.float64),
    "weights that require a gradient": lambda t: np.bincount([0, 1, 1], weights=t[0]),
    "a value that requires a gradient": lambda t: np.full_like(t, t[0, 0]),
    "a keyword of pad": lambda t: np.pad(t, 1, no_such=1),
}


@pytest.mark.host
@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported_arguments_raise(kind: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        UNSUPPORTED[kind](tensor(X))


@pytest.mark.parametrize("f", [np.atleast_1d, np.atleast_2d, np.atleast_3d])
@pytest.mark.host
def test_results_of_one_element_keep_their_shape_in_transforms(f: Any) -> None:
    shape = f(2.0).shape
    value, tangent = ag.jvp(f, 2.0, 1.0)
    out, pullback = ag.vjp(f, 2.0)
    assert value.shape == tangent.shape == out.shape == shape
    assert pullback(np.ones(shape)) == (1.0,)


@pytest.mark.host
def test_linspace_of_one_number_keeps_its_shape_in_transforms() -> None:
    value, tangent = ag.jvp(lambda t: ag.linspace(t, 1.0, 1), 2.0, 1.0)
    assert value.tolist() == [2.0]
    assert tangent.tolist() == [1.0]


# --- lists, numbers and integers ------------------------------------------------------------------

LISTS: dict[str, tuple[Any, Any]] = {
    "sum": (lambda t: ag.sum([1.0, 2.0]), lambda x: np.float32(3)),
    "mean": (lambda t: ag.mean([[1.0], [2.0]], axis=[0, 1]), lambda x: np.float32(1.5)),
    "vstack": (lambda t: ag.vstack([t, [1, 2, 3]]), lambda x: np.vstack([x, [1, 2, 3]])),
    "hstack": (lambda t: ag.hstack([t[0], 0.1]), lambda x: np.hstack([x[0], 0.1])),
    "matmul": (lambda t: t @ [0.1, 0.2, 0.3], lambda x: x @ [0.1, 0.2, 0.3]),
    "from the left": (lambda t: [0.1, 0.2] @ t, lambda x: [0.1, 0.2] @ x),
    "matmul, 2-d": (lambda t: t @ [[0.1], [0.2], [0.3]], lambda x: x @ [[0.1], [0.2], [0.3]]),
    "multiply": (lambda t: t * [0.1, 0.2, 0.3], lambda x: x * [0.1, 0.2, 0.3]),
    "a list of tensors": (lambda t: t[0] * [t[1], t[0]], lambda x: x[0] * [x[1], x[0]]),
    "dot": (lambda t: t.dot([0.1, 0.2, 0.3]), lambda x: x.dot([0.1, 0.2, 0.3])),
    "outer": (lambda t: ag.outer(0.1, t), lambda x: np.outer(0.1, x)),
    "where": (lambda t: ag.where(t > 0, [0.1, 0, 0], t), lambda x: np.where(x > 0, [0.1, 0, 0], x)),
    "mean of tensors": (lambda t: ag.mean([t[0], t[1]], 0), lambda x: x.mean(0)),
    "std of nested tensors": (
        lambda t: ag.std([[t[0]], [t[1]]], axis=[0, 1], ddof=1),
        lambda x: x.std(0, ddof=1),
    ),
    "take": (lambda t: ag.take([[1.0, 2.0]], 1, 1), lambda x: np.array([2], np.float32)),
    "index_update": (
        lambda t: ag.index_update([1.0, 2.0], 0, 5.0),
        lambda x: np.array([5, 2], np.float32),
    ),
    "convolve": (
        lambda t: ag.convolve(ag.tensor([1, 2]).astype("int32"), ag.tensor([3]).astype("uint8")),
        lambda x: np.array([3, 6], np.int32),
    ),
    "several axes": (lambda t: t.sum(axis=[0, 1]), lambda x: x.sum()),
    "flip": (lambda t: ag.flip(t, [0, 1]), lambda x: x[::-1, ::-1]),
    "squeeze": (lambda t: ag.squeeze(t[None, None], [0, 1]), lambda x: x),
    "roll": (lambda t: ag.roll(t, [1, 2], [0, 1]), lambda x: np.roll(x, (1, 2), (0, 1))),
    "NumPy's axis": (lambda t: t.cumsum(np.int64(1)), lambda x: x.cumsum(1)),
    "split": (lambda t: ag.split(t, np.int64(3), 1)[2], lambda x: x[:, 2:]),
    "array_split": (lambda t: ag.array_split(t, np.int32(2), 1)[0], lambda x: x[:, :2]),
    "tensordot": (lambda t: ag.tensordot(t, t, np.int64(2)), lambda x: (x * x).sum()),
    "top_k": (lambda t: ag.top_k(t, np.int64(1))[0], lambda x: x.max(1, keepdims=True)),
    "expand_dims": (lambda t: ag.expand_dims(t, np.int64(1)), lambda x: x[:, None]),
    "atleast": (lambda t: ag.atleast_1d(t[0], 0.1)[1], lambda x: np.array([0.1])),
    "gelu": (lambda t: ag.relu([-1.0, 2.0]) + ag.silu([0.0, 0.0]), lambda x: np.array([0, 2], "f")),
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_lists_numbers_and_numpy_integers_are_accepted(kind: str) -> None:
    f, reference = LISTS[kind]
    check_equal(f(tensor(X)), reference(X))
    if isinstance(result := f(tensor(X)), ag.Tensor) and result.requires_grad:
        check_gradients(f, X)


def test_python_floats_in_lists_take_the_dtype_of_the_other_operand() -> None:
    for dtype in ("float16", "float32", "float64"):
        t = ag.tensor(X).astype(dtype)
        assert (t * [0.1, 0.2, 0.3]).dtype == ag.kron(t, 0.1).dtype == t.dtype
    assert (ag.tensor([1, 2]) * [0.1, 0.2]).dtype == np.float64


@pytest.mark.parametrize("integer", [int, np.int64, np.uint8])
def test_counts_may_be_numpy_integers(integer: Any) -> None:
    def step(h: Any, x: Any) -> Any:
        h = ag.tanh(h + 1.0)
        return h, h

    _, ys = ag.scan(step, ag.ones(2), None, length=integer(3), checkpoint=integer(2))
    assert ys.shape == (3, 2)
    _, detached = ag.scan(step, ag.ones(2), None, length=integer(3), detach_every=integer(2))
    np.testing.assert_array_equal(on_host(detached), on_host(ys))
    product = lambda a, b: (a * b).sum()  # noqa: E731
    gradients = ag.grad(product, argnums=[integer(0), 1])(V, 2 * V)
    assert isinstance(gradients, tuple)
    np.testing.assert_array_equal(gradients[0], 2 * V)
    assert len(ag.jacobian(product, argnums=[0, integer(1)])(V, V)) == 2


# --- PyTorch's arguments --------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("correction", [0, 1, 0.5])
def test_correction_is_ddof(axis: Any, correction: float) -> None:
    t = tensor(X)
    check_equal(t.std(axis, correction=correction), X.std(axis, ddof=correction))
    check_equal(
        t.var(axis, keepdims=True, correction=correction),
        X.var(axis, ddof=correction, keepdims=True),
    )
    check_gradients(lambda t: t.var(axis, correction=correction), X)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_extremes_with_indices(axis: Any, keepdims: bool) -> None:
    t = tensor(X)
    values, indices = ag.max_with_indices(t, axis, keepdims)
    check_equal(values, X.max(axis, keepdims=keepdims))
    check_equal(indices, X.argmax(axis, keepdims=keepdims))
    check_equal(ag.min_with_indices(t, axis, keepdims)[1], X.argmin(axis, keepdims=keepdims))
    ties = tensor([1.0, 3.0, 3.0])
    ag.max_with_indices(ties)[0].backward()
    assert ties.grad.tolist() == [0, 1, 0]
    check_gradients(lambda t: ag.max_with_indices(t, axis, keepdims)[0], X)
