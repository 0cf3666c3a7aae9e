"""Error handling: the engine raises an error rather than compute a wrong result."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import leaf, on_device

import autograd as ag
from tinygrad_rnn import optim
from tinygrad_rnn.nn import Parameter, init

# --- writes between forward and backward ----------------------------------------------------------


def step(p: Any) -> None:
    optimizer = optim.Adam([p])
    p.grad = ag.ones_like(p.detach())
    optimizer.step()


def assign(p: Any) -> None:
    p[0] = 5.0


def write_view(p: Any) -> None:
    view = p.detach()[1:]
    view *= 3


WRITES: dict[str, Callable[[Any], Any]] = {
    "+=": lambda p: p.__iadd__(1),
    "-=": lambda p: p.__isub__(1),
    "*=": lambda p: p.__imul__(2),
    "/=": lambda p: p.__itruediv__(2),
    "assignment": assign,
    "through a view": write_view,
    "an optimizer step": step,
    "an initializer": init.uniform_,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_between_forward_and_backward_raises(write: Any) -> None:
    p: Any = Parameter(np.ones(3))
    y = (p * p).sum()
    with ag.no_grad():
        write(p)
    with pytest.raises(RuntimeError, match=r"multiply: .*\(3,\).* written in place"):
        y.backward()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_before_forward_or_after_backward_is_allowed(write: Any) -> None:
    p: Any = Parameter(np.ones(3))
    for _ in range(2):
        with ag.no_grad():
            write(p)
        p.grad = None
        (p * p).sum().backward()
        np.testing.assert_array_equal(p.grad.numpy(), 2 * p.numpy())


def test_a_write_into_an_array_that_is_not_a_residual_is_allowed() -> None:
    p: Any = Parameter(np.ones(3))
    y = (p + p).sum()
    with ag.no_grad():
        p += 1
    y.backward()
    assert p.grad.tolist() == [2.0, 2.0, 2.0]


def test_a_write_into_a_result_raises() -> None:
    y = ag.exp(leaf(1.0))
    z = y * 1
    with ag.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match=r"exp: .* written in place"):
        z.backward()


# --- writes that would lose a gradient ------------------------------------------------------------


def test_a_recorded_tensor_cannot_be_assigned_into() -> None:
    for x in (leaf(1.0, 2.0), leaf(1.0, 2.0) * 2):
        with pytest.raises(TypeError, match=r"`x = ag\.index_update\(x, index, value\)`"):
            x[0] = 5.0


def test_a_recorded_value_cannot_be_assigned() -> None:
    target = ag.zeros(2)
    with pytest.raises(TypeError, match=r"ag\.index_update"):
        target[0:1] = leaf(1.0) * 2


def test_a_leaf_cannot_be_written_in_place_while_recording() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match=r"under no_grad\(\) only"):
        x += 1


def test_in_place_operators_on_recorded_results_create_tensors() -> None:
    x = leaf(1.0)
    y: Any = x * 2
    first = y
    y += x
    assert first.tolist() == [2.0]
    y.backward()
    assert x.grad.tolist() == [3.0]


def test_in_place_operators_do_not_round() -> None:
    n = ag.tensor([1, 2])
    with pytest.raises(TypeError, match="float"):
        n += 0.5


# --- backward -------------------------------------------------------------------------------------


def test_backward_of_several_elements_needs_a_gradient() -> None:
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(RuntimeError, match=r"one element, got shape \(2,\): pass gradient="):
        y.backward()
    with pytest.raises(
        ValueError, match=r"gradient must have the shape of the tensor, \(2,\), got \(3,\)"
    ):
        y.backward(np.ones(3))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_any_shape_of_one_element_is_a_scalar(shape: tuple[int, ...]) -> None:
    x: Any = ag.ones(shape, requires_grad=True)
    (x * 3).backward()
    assert x.grad.shape == shape
    assert x.grad.item() == 3


def test_backward_with_nothing_that_requires_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        (ag.tensor(1.0) * 2).backward()


def test_gradients_with_respect_to_a_tensor_that_does_not_require_one() -> None:
    with pytest.raises(RuntimeError, match="input 1 does not require a gradient"):
        ag.gradients(leaf(1.0), [leaf(1.0), ag.tensor(1.0)])


def test_gradients_needs_a_weight_for_each_output() -> None:
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(ValueError, match="each of 2 outputs, got 1"):
        ag.gradients([y, y], [y], [np.ones(2)])


def test_hooks_need_a_tensor_that_requires_a_gradient() -> None:
    with pytest.raises(RuntimeError, match=r"register_hook: .* does not require a gradient"):
        ag.tensor(1.0).register_hook(print)
    with pytest.raises(RuntimeError, match=r"retain_grad: .* does not require a gradient"):
        ag.tensor(1.0).retain_grad()


def test_recorded_results_cannot_be_copied() -> None:
    with pytest.raises(TypeError, match=r"detach\(\) it first"):
        copy.deepcopy(leaf(1.0) * 2)


# --- declaration of operations --------------------------------------------------------------------


def test_rules_must_belong_to_array_arguments() -> None:
    for declare in (
        ag.primitive(z=lambda g: g),
        ag.primitive(axis=lambda g: g),
        ag.primitive(lambda g: g, x=lambda g: g),
    ):
        with pytest.raises(TypeError, match=r"f: rules must be named after array arguments \(x\)"):

            @declare
            def f(xp: Any, x: Any, *, axis: int) -> Any:
                return x


def test_a_parameter_must_not_be_called_y() -> None:
    with pytest.raises(TypeError, match="f: in rules y is the result"):

        @ag.primitive(x=lambda g, y: g * y)
        def f(xp: Any, x: Any, y: Any) -> Any:
            return x * y


# --- dtypes and shapes ----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [3, True, np.arange(3), [1, 2]])
def test_integers_and_booleans_have_no_gradient(data: Any) -> None:
    with pytest.raises(TypeError, match="only floating tensors have gradients"):
        ag.tensor(data, requires_grad=True)


def test_the_data_of_a_leaf_must_be_floating() -> None:
    x = leaf(1.0)
    with pytest.raises(TypeError, match="int64"):
        x.data = np.array([1])


@pytest.mark.parametrize("data", [1j, np.ones(2, complex), "text", [None], [[1], [1, 2]]])
def test_only_real_numbers_make_tensors(data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        ag.tensor(data)


@pytest.mark.host
@pytest.mark.parametrize(
    "make",
    [
        lambda t: ag.full(2, "a"),
        lambda t: ag.full(2, 1j),
        lambda t: ag.zeros(2, dtype=complex),
        lambda t: ag.arange(3, dtype="c8"),
        lambda t: ag.eye(2, dtype=object),
        lambda t: ag.one_hot([0], 2, dtype=complex),
        lambda t: ag.zeros_like(t, dtype=complex),
        lambda t: ag.ones_like(t, dtype="U1"),
        lambda t: np.zeros_like(t, dtype=complex),
        lambda t: np.full_like(t, "a", dtype=object),
    ],
)
def test_creation_functions_make_tensors_of_real_numbers_only(make: Any) -> None:
    with pytest.raises(TypeError, match="real numbers"):
        make(ag.tensor([1.0, 2.0]))


@pytest.mark.parametrize("join", ["concatenate", "stack", "vstack", "hstack", "column_stack"])
@pytest.mark.parametrize("arrays", [3.0, None, np.float32])
def test_functions_that_join_arrays_need_a_sequence(join: str, arrays: Any) -> None:
    with pytest.raises(TypeError, match=f"^{join} needs a sequence of arrays"):
        getattr(ag, join)(arrays)


def test_grad_must_have_the_shape_and_dtype_of_its_tensor() -> None:
    x = leaf(1.0, 2.0)
    for invalid_gradient in (np.ones(3), np.ones(2, np.float32)):
        with pytest.raises(ValueError, match=r"\(2,\) float64, got"):
            x.grad = invalid_gradient


FAILURES: dict[str, Callable[[], Any]] = {
    r"add\(\(2,\) float64, \(3,\) float64\)": lambda: leaf(1, 2) + leaf(1, 2, 3),
    r"matmul\(\(2, 3\) float32, \(2, 3\) float32\)": lambda: ag.ones((2, 3)) @ ag.ones((2, 3)),
    r"reshape\(\(6,\) float32\)": lambda: ag.ones(6).reshape(4),
    r"concatenate\(\(2,\) float32, \(2, 1\) float32\)": lambda: ag.concatenate(
        [ag.ones(2), ag.ones((2, 1))]
    ),
    r"stack\(\(2,\) float32, \(3,\) float32\)": lambda: ag.stack([ag.ones(2), ag.ones(3)]),
    r"getitem\(\(2,\) float32\)": lambda: ag.ones(2)[5],
    r"max\(\(0,\) float32\)": lambda: ag.ones(0).max(),
    r"invert\(\(2,\) float32\)": lambda: ~ag.ones(2),
    r"where\(.*\): .*positional arguments": lambda: ag.where(*[ag.ones(2)] * 4),
    r"squeeze: axis must have length 1, got axis 0 of shape \(2,\)": lambda: ag.ones(2).squeeze(0),
    r"split: axis 0 of shape \(5,\)": lambda: ag.split(ag.ones(5), 2),
    r"axis 2 is out of range": lambda: ag.ones((2, 2)).sum(2),
    r"axis 1 is out of range": lambda: ag.unstack(ag.ones(2), 1),
    r"axis 3 is out of range": lambda: ag.take_along_axis(ag.ones(2), np.array([0]), 3),
    r"repeated axis": lambda: ag.expand_dims(ag.ones(2), (0, 0)),
}


@pytest.mark.parametrize("message", FAILURES)
def test_errors_name_the_operation_and_the_shapes(message: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        FAILURES[message]()


class CodedError(ValueError):
    """An exception whose constructor has two parameters."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code


def raise_memory_error(xp: Any, x: Any) -> Any:
    raise np._core._exceptions._ArrayMemoryError((2**60,), np.dtype(float))


def raise_coded_error(xp: Any, x: Any) -> Any:
    raise CodedError(7, "odd")


UNUSUAL_ERRORS: dict[str, tuple[type[Exception], Callable[[Any], Any], str]] = {
    "no loop of a ufunc": (TypeError, lambda t: t * np.array(["a", "b"]), "multiply"),
    "no loop of a comparison": (TypeError, lambda t: t < np.array(["a", "b"]), "less"),
    "no loop in np.dot": (TypeError, lambda t: np.dot(t, np.array(["a", "b"])), "np.dot"),
    "no loop in np.kron": (TypeError, lambda t: np.kron(t, np.array(["a"])), "np.kron"),
    "no loop in np.outer": (TypeError, lambda t: np.outer(np.array(["a"]), t), "np.outer"),
    "out of memory": (MemoryError, ag.primitive()(raise_memory_error), "raise_memory_error"),
    "another constructor": (CodedError, ag.primitive()(raise_coded_error), "raise_coded_error"),
    "a number too large": (OverflowError, lambda t: t.astype(np.uint8) + 300, "add"),
    "a string": (TypeError, lambda t: t + "a", "add"),
    "a complex number": (TypeError, lambda t: t * 1j, "multiply"),
    "None": (TypeError, lambda t: ag.stack([t, None]), "stack"),
    "objects": (TypeError, lambda t: t.astype(int) + np.array([1, 2], object), "add"),
}


@pytest.mark.host
@pytest.mark.parametrize("kind", UNUSUAL_ERRORS)
def test_exceptions_keep_their_type_and_name_the_operation(kind: str) -> None:
    error_type, call, name = UNUSUAL_ERRORS[kind]
    with pytest.raises(error_type) as caught:
        call(ag.tensor([1.0, 2.0]))
    words = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert any(text.removeprefix("in ").startswith(name) for text in words)
    assert getattr(caught.value, "code", 7) == 7


@pytest.mark.parametrize("other", [None, "a", np.str_("a"), b"a", {}, object(), Ellipsis])
@pytest.mark.parametrize("t", [ag.tensor([1.0, 2.0]), ag.tensor(3), leaf(1.0)])
def test_equality_with_other_objects_is_a_bool(t: Any, other: Any) -> None:
    assert (t == other) is (other == t) is False
    assert (t != other) is (other != t) is True
    assert t in [other, t]
    assert other not in [t]


@pytest.mark.host
@pytest.mark.parametrize(
    "other", [["a", "b"], ("a",), [None], (1, "a"), [{}], np.array(["a", "b"])]
)
def test_equality_with_sequences_of_other_objects_is_false(other: Any) -> None:
    t = ag.tensor([1.0, 2.0])
    assert not np.any(t == other)
    assert np.all(t != other)
    if not isinstance(other, np.ndarray):
        assert t in [other, t]


def test_equality_with_numbers_is_elementwise() -> None:
    t = ag.tensor([1.0, 2.0])
    for other in (1, True, 1.0, np.float64(1), [1, 3], (1, 3), on_device(np.array([1, 3]))):
        assert (t == other).tolist() == [True, False]
        assert (t != other).tolist() == [False, True]


# --- custom operations ----------------------------------------------------------------------------


def test_a_rule_must_not_ask_for_unknown_values() -> None:
    with pytest.raises(TypeError, match=r"operation: a rule asks for 'q'; there are .*x_shape"):

        @ag.primitive(x=lambda g, q: g)
        def operation(xp: Any, x: Any) -> Any:
            return x


@pytest.mark.parametrize(
    ("rule", "received"), [(lambda g: 2.0, "2.0"), (lambda g: ag.ones(7), r"\(7,\)")]
)
def test_a_rule_must_return_an_array_of_a_suitable_shape(rule: Any, received: str) -> None:
    operation = ag.primitive(x=rule)(double)
    with pytest.raises(ValueError, match=rf"rule of double returned .*{received} .*\(2,\)"):
        operation(leaf(1, 2)).sum().backward()


@pytest.mark.parametrize("sequence", [tuple, list])
def test_several_results_are_a_tuple_or_a_list(sequence: Any) -> None:
    operation = ag.primitive(x=lambda g: g[0] + 2 * g[1])(lambda xp, x: sequence([x * 1, x * 2]))
    x = leaf(1, 2)
    first, second = operation(x)
    (first + second).sum().backward()
    assert x.grad.tolist() == [3, 3]


def double(xp: Any, x: Any) -> Any:
    return 2 * x


def test_an_array_argument_must_not_have_a_default() -> None:
    with pytest.raises(TypeError, match="operation: n has a default"):

        @ag.primitive(x=lambda g: g)
        def operation(xp: Any, x: Any, n: int = 2) -> Any:
            return x


def test_complex_operands_raise() -> None:
    with pytest.raises(TypeError, match="complex"):
        ag.tensor([1.0, 2.0]) * np.array([1j, 2.0])


# --- indices out of range -------------------------------------------------------------------------

ROWS = ag.arange(6.0).reshape(2, 3)
OUT_OF_RANGE: dict[str, Callable[[Any], Any]] = {
    "an array": lambda i: ROWS[i([0, 2])],
    "a negative index": lambda i: ROWS[i([-3])],
    "after a slice": lambda i: ROWS[:, i([3])],
    "after an ellipsis": lambda i: ROWS[..., i([0, 3])],
    "two arrays": lambda i: ag.ones((2, 3, 4))[:, i([1]), i([4])],
    "after a new axis": lambda i: ROWS[None, i([2])],
    "take": lambda i: ag.take(ROWS, i([3]), 1),
    "take of the flat array": lambda i: ag.take(ROWS, i([6])),
    "take_along_axis": lambda i: ag.take_along_axis(ROWS, i([[2, 0, 0]]), 0),
    "index_update": lambda i: ag.index_update(ROWS, i([2]), 0.0),
    "one_hot": lambda i: ag.one_hot(i([0, 3]), 3),
}


@pytest.mark.parametrize("kind", [list, np.array, lambda i: on_device(np.array(i)), ag.tensor])
@pytest.mark.parametrize("read", OUT_OF_RANGE.values(), ids=OUT_OF_RANGE)
def test_an_index_out_of_range_is_an_error(read: Any, kind: Any) -> None:
    """CuPy itself would wrap such indices around."""
    with pytest.raises(IndexError):
        read(kind)


def test_one_hot_needs_classes_from_0() -> None:
    with pytest.raises(
        IndexError, match="between 0 and 2 for 3 classes, got indices between -1 and 0"
    ):
        ag.one_hot([-1, 0], 3)
