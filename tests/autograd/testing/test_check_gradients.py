"""The comparison of gradients with finite differences, and the hypothesis strategies."""

from typing import Any

import numpy as np
import pytest
from helpers import on_device
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.testing import check_gradients
from autograd.testing.strategies import arrays, broadcastable_shapes, indices, layouts, shapes


def wrong_at(*position: int) -> Any:
    """Return a * b * b with a gradient by b that is wrong by 1% in one entry."""

    def wrong_gradient(g: Any, a: Any, b: Any) -> Any:
        factor = np.ones(b.shape)
        factor[position] = 1.01
        return g * 2 * a * b * on_device(factor)

    return ag.primitive(a=lambda g, b: g * b * b, b=wrong_gradient)(lambda xp, a, b: a * b * b)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize(("shape", "position"), [((2, 3), (1, 2)), ((20, 30), (7, 11)), ((), ())])
def test_the_message_names_entry_values_and_order(mode: str, shape: Any, position: Any) -> None:
    x = np.full(shape, 2.0)
    with pytest.raises(AssertionError) as caught:
        check_gradients(wrong_at(*position), np.ones(shape), x, modes=(mode,))
    message = str(caught.value)
    assert message.startswith(f"{mode} mode, order 1: ")
    assert (f"by entry {position} of argument 1" if shape else "by argument 1") in message
    assert "where" in message
    if x.size <= 32:
        assert "is 4.04 by the rules, but 4 by central differences: off by 0.04" in message


def test_the_message_names_the_second_order() -> None:
    @ag.primitive(x=lambda g, x: g * 3 * x * (x.detach() if isinstance(x, ag.Tensor) else x))
    def cube(xp: Any, x: Any) -> Any:
        return x * x * x

    check_gradients(cube, np.array([1.0, 2.0]), order=1)
    with pytest.raises(AssertionError, match=r"order 2: .* entry \(1,\) of gradient 0"):
        check_gradients(cube, np.array([0.0, 2.0]))


def test_the_message_suggests_a_kink() -> None:
    with pytest.raises(AssertionError, match=r"is there a kink within 0\.001"):
        check_gradients(ag.relu, np.array([0.0007]))


@pytest.mark.parametrize("size", [3, 500])
def test_gradients_that_are_not_finite_fail(size: int) -> None:
    spike = np.where(np.arange(size) == 1, np.nan, 1)
    nan = ag.primitive(x=lambda g, x: g * on_device(spike))
    with pytest.raises(AssertionError, match=r"entry \(1,\) of argument 0 is nan"):
        check_gradients(nan(lambda xp, x: x + 0), np.ones(size))


@given(x=arrays(shapes()))
def test_results_may_be_views_of_the_argument(x: np.ndarray) -> None:
    check_gradients(lambda x: (x, x.T, x.ravel(), x * 1), x)


def test_results_may_be_nested_constant_or_integers() -> None:
    check_gradients(
        lambda x: {"a": (x * x, [ag.ones((), float)]), "b": (x > 0, ag.argmax(x), None)}, np.ones(2)
    )


def test_third_order() -> None:
    check_gradients(lambda x, y: ag.tanh(x * y), 0.4, 1.2, order=3)


ERRORS = {
    "argument 1 must be float64, .* got float32": lambda: check_gradients(
        ag.add, 1.0, np.ones(2, np.float32)
    ),
    "argument 0 must be float64, .* got int64": lambda: check_gradients(ag.tanh, 3),
    "must return Tensors, got ndarray": lambda: check_gradients(lambda x: x.numpy(), 1.0),
    "must compute in float64, got a float32 result": lambda: check_gradients(
        lambda x: x.astype("float32"), 1.0
    ),
    "must be 'reverse' or 'forward', got 'sideways'": lambda: check_gradients(
        ag.tanh, 1.0, modes=("reverse", "sideways")
    ),
    "nothing to check": lambda: check_gradients(ag.tanh),
    "of at least 1": lambda: check_gradients(ag.tanh, 1.0, order=0),
}


@pytest.mark.parametrize("message", ERRORS)
def test_invalid_arguments_raise(message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        ERRORS[message]()


# --- strategies -----------------------------------------------------------------------------------


@given(data=st.data(), shape=shapes())
def test_arrays_stay_in_their_range_and_away_from_kinks(data: Any, shape: Any) -> None:
    x = data.draw(arrays(shape, -1, 3, avoid=(0, 0.02, 3)))
    assert x.shape == shape
    assert x.dtype == np.float64
    assert ((x >= -1) & (x <= 3)).all()
    for kink in (0, 0.02, 3):
        assert (np.abs(x - kink) > 0.0499).all()


@given(arrays(shapes(min_side=1), distinct=True))
def test_distinct_numbers_keep_their_distance(x: np.ndarray) -> None:
    assert (np.diff(np.sort(x, axis=None)) > 4 / (2.01 * x.size)).all()


@given(st.data())
def test_avoiding_the_whole_interval_raises(data: Any) -> None:
    with pytest.raises(ValueError, match=r"must leave numbers between 0 and 0\.05 "):
        data.draw(arrays((2,), 0, 0.05, avoid=(0,)))


@given(data=st.data(), x=arrays(shapes()))
def test_layouts_and_indices_are_valid(data: Any, x: np.ndarray) -> None:
    np.testing.assert_array_equal(data.draw(layouts())(x), x)
    x[data.draw(indices(x.shape))]


@given(broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast(drawn_shapes: Any) -> None:
    np.broadcast_shapes(*drawn_shapes)


STRIDED = arrays((3, 2)).filter(lambda x: not x.flags.contiguous)


@pytest.mark.host  # a device may use another layout
@given(x=STRIDED)
def test_the_function_receives_the_layout(x: np.ndarray) -> None:
    seen = []

    def f(t: ag.Tensor) -> ag.Tensor:
        seen.append(t.data.strides)
        return t * t

    check_gradients(f, x, order=1)
    assert seen[0] == x.strides
