"""The fake CuPy raises an error wherever CuPy does, and has no function that CuPy lacks."""

import operator
from collections.abc import Callable
from typing import Any

import fake_cupy
import numpy as np
import pytest
from fake_cupy import xp

import autograd as ag

pytestmark = pytest.mark.host  # independent of --device

NUMPY = np.arange(6.0).reshape(2, 3)
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "matmul", "iadd", "eq")},
    **{name: getattr(xp, name) for name in ("add", "multiply", "maximum", "matmul")},
    "where": lambda a, b: xp.where(a > 0, a, b),
    "concatenate": lambda a, b: xp.concatenate([a, b]),
}


@pytest.fixture
def array() -> fake_cupy.Array:
    result: fake_cupy.Array = fake_cupy.StrictBackend(0).asarray(NUMPY)
    return result


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "asarray": np.asarray,
    "a ufunc": np.tanh,
    "a function": np.sum,
    "a list of arrays": lambda a: np.stack([a, a]),
    "assignment": lambda a: operator.setitem(np.zeros((2, 3)), ..., a),
    "NumPy's operator": lambda a: NUMPY + a,
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_implicit_conversion_to_numpy_raises(convert: Any, array: fake_cupy.Array) -> None:
    with pytest.raises(TypeError):
        convert(array)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_operations_with_numpy_arrays_raise(operation: Any, array: fake_cupy.Array) -> None:
    with pytest.raises(TypeError, match=r"Unsupported type .*numpy\.ndarray"):
        operation(array, NUMPY)


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.int32(2)])
def test_numbers_are_allowed_as_either_operand(number: Any, array: fake_cupy.Array) -> None:
    for result in (array * number, number * array, xp.multiply(array, number)):
        assert isinstance(result, fake_cupy.Array)
        assert result.tolist() == (NUMPY * 2).tolist()


def test_a_tensor_is_allowed_as_left_operand_only(array: fake_cupy.Array) -> None:
    t = ag.Tensor(array)
    assert (t * array).tolist() == (NUMPY * NUMPY).tolist()
    with pytest.raises(TypeError, match=r"Unsupported type .*Tensor"):
        array * t


RESULTS: dict[str, Callable[[Any], Any]] = {
    "sum": xp.sum,
    "argmax": xp.argmax,
    "the method": lambda a: a.sum(),
    "an element": lambda a: a[0, 1],
    "an operator": lambda a: a[0, 1] + 1,
    "a comparison": lambda a: a[0, 1] == 1,
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_results_without_axes_are_arrays(result: Any, array: fake_cupy.Array) -> None:
    assert isinstance(result(array), fake_cupy.Array)
    assert result(array).shape == ()


VIEWS: dict[str, Callable[[Any], Any]] = {
    "a row": lambda a: a[1],
    "an element": lambda a: a[1, 2],
    "a view of a view": lambda a: a.T[1:][:, 0],
    "reshape": lambda a: xp.reshape(a, 6),
    "broadcast_to": lambda a: xp.broadcast_to(a, (4, 2, 3)),
    "split": lambda a: xp.split(a, 2)[1],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_the_base_of_a_view_owns_its_memory(view: Any, array: fake_cupy.Array) -> None:
    assert view(array).base is array
    assert (view(array) + 0).base is None


def test_functions_that_are_not_listed_are_missing() -> None:
    assert not hasattr(xp, "linalg")
    assert not hasattr(fake_cupy.Array, "__array_interface__")


def test_cupy_has_all_listed_functions() -> None:
    cupy = pytest.importorskip("cupy")
    names = [
        *(
            *fake_cupy.ELEMENTWISE,
            *fake_cupy.FUNCTIONS,
            *fake_cupy.ARRAY_RESULTS,
            *fake_cupy.CREATION,
        ),
        "finfo",
    ]
    assert [name for name in names if not hasattr(cupy, name)] == []
    assert hasattr(cupy.lib.stride_tricks, "sliding_window_view")
    methods = [name for name in vars(fake_cupy.Array) if name not in IMPLIED]
    assert [name for name in methods if not hasattr(cupy.ndarray, name)] == []


IMPLIED = {"_host", "__weakref__", "__module__", "__slots__", "__init__", "__doc__"}
