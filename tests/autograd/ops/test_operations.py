"""Every public operation: values equal NumPy's, and derivatives equal finite differences."""

import operator
from typing import Any

import numpy as np
import pytest
from cases import binary, unary
from hypothesis import given
from hypothesis import strategies as st
from operations import (
    DIFFERENTIABLE,
    NOT_DIFFERENTIABLE,
    check_derivatives,
    check_dtypes,
    check_forward,
    check_integers,
)

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays, shapes

pytestmark = pytest.mark.filterwarnings("error")

DTYPES = st.sampled_from([np.float16, np.float32, np.float64])
FLOATS = st.sampled_from([0.5, 2, True, -1.5])

CREATED: dict[str, tuple[ag.Tensor, np.ndarray]] = {
    "arange": (ag.arange(1, 8, 2), np.arange(1, 8, 2)),
    "eye": (ag.eye(2, 3), np.eye(2, 3, dtype=np.float32)),
    "full": (ag.full((2, 0), 3), np.full((2, 0), 3)),
    "linspace": (ag.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype=np.float32)),
    "one_hot": (ag.one_hot(ag.tensor([[2], [0]]), 3), np.eye(3, dtype=np.float32)[[[2], [0]]]),
    "ones": (ag.ones((2, 3)), np.ones((2, 3), np.float32)),
    "tensor": (ag.tensor([1.5, 2]), np.array([1.5, 2], np.float32)),
    "zeros": (ag.zeros(4), np.zeros(4, np.float32)),
}


def test_every_operation_is_in_a_table() -> None:
    public = {name: getattr(ag, name) for name in ag.__all__}
    operations = {
        name
        for name, public_value in public.items()
        if hasattr(public_value, "primitive")
        or str(getattr(public_value, "__module__", "")).startswith("autograd.ops.")
    }
    assert "add" in operations
    assert "sum" in operations
    others = {"from_dlpack", "primitive"}
    assert operations <= {*DIFFERENTIABLE, *NOT_DIFFERENTIABLE, *CREATED, *others}


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, *NOT_DIFFERENTIABLE])
@given(data=st.data())
def test_values_equal_numpys(name: str, data: st.DataObject) -> None:
    operation = (DIFFERENTIABLE | NOT_DIFFERENTIABLE)[name]
    check_forward(operation, data.draw(operation.cases))


@pytest.mark.parametrize("name", CREATED)
def test_created_values_equal_numpys(name: str) -> None:
    tensor, expected = CREATED[name]
    assert tensor.dtype == expected.dtype
    np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_derivatives_equal_finite_differences(name: str, data: st.DataObject) -> None:
    check_derivatives(DIFFERENTIABLE[name], data.draw(DIFFERENTIABLE[name].cases))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_gradients_have_the_dtype_of_their_tensor(name: str, data: st.DataObject) -> None:
    args, static = data.draw(DIFFERENTIABLE[name].cases)
    dtypes = [data.draw(DTYPES) for _ in args]
    with np.errstate(over="ignore"):  # half precision ends at 65504
        check_dtypes(DIFFERENTIABLE[name], (args, static), dtypes)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_integers_give_numpys_values(name: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.int64, np.int32, np.uint8]))
    case = data.draw(DIFFERENTIABLE[name].cases)
    with np.errstate(all="ignore"):  # many functions have a pole or a kink at an integer
        check_integers(DIFFERENTIABLE[name], case, dtype)


def test_squares_of_narrow_integers_do_not_overflow() -> None:
    assert ag.norm(ag.tensor(np.array([200, 0], np.uint8))).item() == 200


@pytest.mark.parametrize("name", NOT_DIFFERENTIABLE)
@given(data=st.data())
def test_results_of_other_operations_do_not_require_a_gradient(
    name: str, data: st.DataObject
) -> None:
    args, static = data.draw(NOT_DIFFERENTIABLE[name].cases)
    inputs = [ag.tensor(a, requires_grad=a.dtype.kind == "f") for a in args]
    assert not NOT_DIFFERENTIABLE[name].call(*inputs, **static).requires_grad


# --- Python numbers -------------------------------------------------------------------------------

BINARY = ["add", "divide", "maximum", "minimum", "multiply", "power", "subtract"]


@pytest.mark.parametrize("name", BINARY)
@given(x=arrays(shapes(), 0.3, 1.9, avoid=(0.5,)), dtype=DTYPES, number=FLOATS)
def test_python_numbers_take_the_tensors_dtype(name: str, x: Any, dtype: Any, number: Any) -> None:
    f = getattr(ag, name)
    t = ag.tensor(x, requires_grad=True, dtype=dtype)
    for result in (f(t, number), f(abs(number), t)):
        assert result.dtype == dtype
        gradient: Any = ag.gradients(result.sum(), t)[0]
        assert gradient.dtype == dtype


@pytest.mark.parametrize("name", BINARY)
@given(x=arrays(shapes(), 0.3, 1.9, avoid=(0.5, 1.0)), number=FLOATS)
def test_python_numbers_as_either_operand(name: str, x: Any, number: Any) -> None:
    f = getattr(ag, name)
    check_gradients(lambda t: f(t, number), x)
    if number > 0 or name != "power":
        check_gradients(lambda t: f(number, t), x)


@given(x=arrays(shapes(), avoid=(-0.1, 0.1, 0.0)), exponent=st.integers(-2, 4))
def test_powers_of_negative_numbers(x: np.ndarray, exponent: int) -> None:
    check_gradients(lambda t: t**exponent, x)
    check_gradients(lambda t: t ** ag.tensor(exponent), x)


def test_python_floats_become_the_default_dtype() -> None:
    assert ag.tensor(0.5).dtype == ag.zeros(1).dtype == ag.tensor([[1.0]]).dtype == np.float32
    ag.set_default_dtype(np.float64)
    try:
        assert ag.tensor(0.5).dtype == ag.zeros(1).dtype == np.float64
        assert ag.tensor(np.float32(0.5)).dtype == np.float32
    finally:
        ag.set_default_dtype(np.float32)


# --- operators and methods ------------------------------------------------------------------------

OPERATORS = {
    operator.add: ag.add,
    operator.sub: ag.subtract,
    operator.mul: ag.multiply,
    operator.truediv: ag.divide,
    operator.floordiv: ag.floor_divide,
    operator.mod: ag.remainder,
    operator.pow: ag.power,
    operator.eq: ag.equal,
    operator.ne: ag.not_equal,
    operator.lt: ag.less,
    operator.le: ag.less_equal,
    operator.gt: ag.greater,
    operator.ge: ag.greater_equal,
}


def check_equal(result: ag.Tensor, expected: ag.Tensor) -> None:
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected.numpy())


@pytest.mark.parametrize("symbol", OPERATORS, ids=lambda symbol: symbol.__name__)
@given(case=binary(a=(0.3, 2), b=(0.3, 2)))
def test_operators(symbol: Any, case: Any) -> None:
    a, b = map(ag.Tensor, case[0])
    f = OPERATORS[symbol]
    check_equal(symbol(a, b), f(a, b))
    check_equal(symbol(a, 2.0), f(a, 2.0))
    check_equal(symbol(2.0, b), f(2.0, b))


@given(case=unary())
def test_unary_operators(case: Any) -> None:
    (x,) = map(ag.Tensor, case[0])
    check_equal(-x, ag.negative(x))
    check_equal(abs(x), ag.absolute(x))
    check_equal(+x, x)
    check_equal(~(x > 0), ag.logical_not(x > 0))
    check_equal((x > 0) & (x < 1), ag.logical_and(x > 0, x < 1))
    check_equal((x > 0) | (x < -1), ag.logical_or(x > 0, x < -1))
    check_equal((x > 0) ^ (x < 1), ag.logical_xor(x > 0, x < 1))


@pytest.mark.parametrize("symbol", [operator.and_, operator.or_, operator.xor])
def test_operators_on_integers(symbol: Any) -> None:
    a, b = ag.tensor([5, 6]), ag.tensor([3, 3])
    check_equal(symbol(a, b), ag.tensor([symbol(5, 3), symbol(6, 3)]))
    check_equal(symbol(a, 3), symbol(a, b))
    check_equal(symbol(3, a), symbol(b, a))


def test_activations_of_python_numbers() -> None:
    assert ag.sigmoid(0.0) == ag.silu(1.0) / ag.sigmoid(1.0) / 2 == 0.5


def test_format_applies_to_a_single_element() -> None:
    number = ag.tensor(2.0)
    assert f"{ag.tensor(1.5):.3f} {ag.tensor([[2]]):d} {number}" == f"1.500 2 {number!r}"
    with pytest.raises(ValueError, match="one element"):
        format(ag.ones(2), ".3f")


def test_the_operator_of_matrix_products() -> None:
    a, b = ag.tensor([[1.0, 2.0], [3.0, 4.0]]), ag.tensor([1.0, -1.0])
    check_equal(a @ b, ag.tensor([-1.0, -1.0]))
    check_equal(b @ a, ag.tensor([-2.0, -2.0]))
    check_equal(a.T @ a.mT, ag.tensor([[7.0, 15.0], [10.0, 22.0]]))


METHODS = [
    *(
        "all",
        "any",
        "argmax",
        "argmin",
        "argsort",
        "astype",
        "clip",
        "cumprod",
        "cumsum",
        "diagonal",
        "dot",
    ),
    *("max", "mean", "min", "prod", "ravel", "repeat", "reshape", "round", "squeeze", "std"),
    *("sum", "swapaxes", "trace", "transpose", "var"),
]


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
def test_methods(name: str, data: st.DataObject) -> None:
    args, static = data.draw((DIFFERENTIABLE | NOT_DIFFERENTIABLE)[name].cases)
    x, *others = [*map(ag.Tensor, args), *static.values()]
    check_equal(getattr(x, name)(*others), getattr(ag, name)(x, *others))
