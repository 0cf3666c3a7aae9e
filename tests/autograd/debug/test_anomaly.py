"""`detect_anomaly` names the operation and the line that create the first nan or infinity."""

import linecache
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import in_thread, leaf

import autograd as ag
from autograd.core.graph import Node, monitors
from autograd.core.primitive import Kernels

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def lines_of(error: BaseException) -> list[str]:
    """Return the source lines that a message names."""
    places = re.findall(r"at (/\S+):(\d+), in ", str(error))
    return [linecache.getline(path, int(number)).strip() for path, number in places]


def anomaly_error(f: Callable[[], Any]) -> FloatingPointError:
    with pytest.raises(FloatingPointError) as caught_error, ag.detect_anomaly():
        f()
    return caught_error.value


def test_an_error_names_the_forward_line() -> None:
    def f() -> Any:
        x = leaf(1, -1)
        y = ag.exp(x)
        z = ag.log(x)  # here
        return (y + z).sum()

    error = anomaly_error(f)
    assert str(error).startswith("log created a nan in a result of shape (2,)")
    assert lines_of(error)[0].endswith("# here")
    assert f.__name__ in str(error)


def test_an_infinity_is_distinguished_from_a_nan() -> None:
    assert "divide created an infinity" in str(anomaly_error(lambda: 1 / leaf(0, 1)))
    assert "subtract created a nan" in str(anomaly_error(lambda: leaf(np.inf) - np.inf))


def test_an_error_of_a_rule_names_the_forward_line() -> None:
    def f() -> None:
        x = leaf(0, 4)
        y = ag.sqrt(x)  # here
        (y * 2).sum().backward()

    error = anomaly_error(f)
    assert "VJP rule of sqrt created an infinity" in str(error)
    assert "shape (2,)" in str(error)
    assert lines_of(error)[0].endswith("# here")


@pytest.mark.parametrize(
    "differentiate",
    [
        lambda f, x: ag.grad(f)(x),
        lambda f, x: ag.vjp(f, x)[1](1.0),
        lambda f, x: ag.hvp(f, (x,), (x,)),
        lambda f, x: ag.grad(ag.checkpoint(f))(x),
    ],
)
def test_in_transforms(differentiate: Any) -> None:
    error = anomaly_error(lambda: differentiate(lambda x: ag.sum(ag.sqrt(x)), np.array([0.0, 1.0])))
    assert "VJP rule of sqrt" in str(error)
    assert any("sqrt(x)" in line for line in lines_of(error))


def test_operations_of_several_arguments_and_results() -> None:
    def f() -> None:
        first_half, _ = ag.split(leaf(0, 1, 2, 3), 2)
        ag.concatenate([ag.sqrt(first_half), first_half]).sum().backward()

    assert "VJP rule of sqrt" in str(anomaly_error(f))


def test_in_a_scan() -> None:
    def step(h: Any, x: Any) -> Any:
        h = ag.log(h * x)  # here
        return h, h

    error = anomaly_error(lambda: ag.scan(step, leaf(1.0), leaf(2.0, -2.0)))
    assert "log created a nan" in str(error)
    assert lines_of(error)[0].endswith("# here")


def test_finite_results_do_not_change() -> None:
    def derivative(x: Any) -> Any:
        y = ag.tanh(ag.stack(ag.unstack(x)) @ x)
        return ag.gradients(y, x, create_graph=True)[0]

    with ag.detect_anomaly():
        actual = derivative(leaf(1, 2))
    np.testing.assert_array_equal(actual.numpy(), derivative(leaf(1, 2)).numpy())


def test_infinities_in_the_input_are_not_reported() -> None:
    with ag.detect_anomaly():
        mask = ag.tensor([0.0, -np.inf])
        assert ag.softmax(ag.where([True, False], leaf(1, 1), 0.0)).sum().item() == pytest.approx(1)
        assert mask[1].item() == -np.inf


@pytest.mark.parametrize("operation", [ag.multiply, ag.divide, ag.logaddexp])
def test_a_write_into_data_that_a_gradient_needs_raises(operation: Any) -> None:
    with ag.detect_anomaly():
        x, factor = leaf(1, 2), ag.ones(2)
        y = operation(x, factor)  # here
        y.sum().backward(retain_graph=True)
        factor.data[...] = 0
        with pytest.raises(
            RuntimeError, match=r"\(2,\) that its gradient needs was overwritten"
        ) as anomaly_error:
            y.sum().backward()
    assert lines_of(anomaly_error.value)[0].endswith("# here")


def test_a_nan_among_residuals_is_not_reported_as_a_write() -> None:
    with ag.detect_anomaly():
        x = leaf(1, 2)
        (ag.where([True, False], x, 0) + 0 * ag.fmax(x, [np.nan, 1])).sum().backward()


def test_the_engine_is_unchanged_before_and_after() -> None:
    def hooks() -> tuple[Any, ...]:
        return ag.Tensor.__init__, Node.__init__, Kernels.__getitem__, [*monitors]

    initial_hooks = hooks()
    with pytest.raises(ZeroDivisionError), ag.detect_anomaly(), ag.detect_anomaly():
        1 / (hooks() == initial_hooks)
    assert hooks() == initial_hooks
    assert ag.log(leaf(-1.0)).requires_grad


def test_nested_contexts() -> None:
    with ag.detect_anomaly():
        with ag.detect_anomaly():
            pass
        with pytest.raises(FloatingPointError):
            ag.log(leaf(-1.0))


def test_one_object_can_be_used_again() -> None:
    context = ag.detect_anomaly()
    with context, context:
        pass
    assert ag.log(leaf(-1.0)).requires_grad
    with context, pytest.raises(FloatingPointError):
        ag.log(leaf(-1.0))


def test_other_threads_are_not_checked() -> None:
    with ag.detect_anomaly():
        in_thread(lambda: ag.log(leaf(-1.0)))


@pytest.mark.parametrize(
    "overflow",
    [
        lambda x: ag.exp(x * 1000),
        lambda x: x * 1e300 * 1e300,
        lambda x: (x * 1e308).sum(),
        lambda x: x @ (x * 1e308),
        lambda x: ag.log(x * 0),
        lambda x: ag.zeros_like(x).__itruediv__(0.0),
        lambda x: ag.no_grad()(ag.exp)(leaf(1e4)),
    ],
)
def test_overflows_of_tensors_that_do_not_require_grad_are_reported(overflow: Any) -> None:
    anomaly_error(lambda: overflow(leaf(1, 2, 3).detach()))


@pytest.mark.parametrize("value", [1e6, [1e6], np.float64(1e300), [1.0, -1e300], "tensor"])
def test_overflows_of_assigned_values_are_reported(value: Any) -> None:
    t = leaf(1, 2).detach().astype("float16")
    index = slice(None) if isinstance(value, list) and len(value) == 2 else slice(1)
    value = leaf(1e6).detach() if value == "tensor" else value
    assert "created an infinity" in str(anomaly_error(lambda: t.__setitem__(index, value)))
    with ag.detect_anomaly():
        t[0] = np.inf
        t[:] = [np.nan, 2]
        t.astype("int64")[0] = 3
    np.testing.assert_array_equal(t.numpy(), [np.nan, 2])


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    "masked",
    [
        lambda x, mask: ag.softmax(ag.where(mask, x, -np.inf)),
        lambda x, mask: ag.softmax(x + ag.tensor([0.0, -np.inf, 0.0])),
        lambda x, mask: ag.logsumexp(ag.where(mask, x, -np.inf)),
        lambda x, mask: ag.exp(ag.where(mask, x, -np.inf)),
        lambda x, mask: ag.where(mask, x, -np.inf).max(),
        lambda x, mask: ag.where(mask, ag.where(mask, x, np.nan), 0) * 1,
        lambda x, mask: ag.minimum(x, np.inf),
    ],
)
def test_infinities_that_inputs_explain_are_not_reported(masked: Any, recorded: bool) -> None:
    x = leaf(1, 2, 3) if recorded else leaf(1, 2, 3).detach()
    with ag.detect_anomaly():
        out = masked(x, ag.tensor([True, False, True])).sum()
        if recorded:
            out.backward()


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("log", lambda x: ag.exp(ag.log(x - 1) * 2) + 1),
        ("subtract", lambda x: ag.exp(x - x + (ag.full((3,), np.inf) - np.inf))),
        ("divide", lambda x: ag.tanh(1 / (x - 1)) * 2),
        ("exp", lambda x: ag.exp(ag.where([True, True, False], x * 1000, -np.inf)) * 0),
    ],
)
def test_only_the_operation_that_creates_the_first_anomaly_is_reported(name: str, f: Any) -> None:
    for x in (leaf(1, 2, 3), leaf(1, 2, 3).detach()):
        assert str(anomaly_error(lambda x=x: f(x))).startswith(f"{name} created")


def test_a_sum_of_gradients_that_overflows() -> None:
    def f() -> None:
        x = leaf(1e-10)
        (x * 1e308 + x * 1e308).backward()

    with pytest.raises(FloatingPointError, match="the sum of the gradients"), ag.detect_anomaly():
        f()
