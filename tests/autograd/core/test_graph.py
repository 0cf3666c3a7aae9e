"""The recorded graph: accumulation of gradients, lifetime, and memory."""

import copy
import gc
import itertools
import pickle
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import in_thread, leaf, on_device, on_host
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd import primitive
from autograd.core import graph, mutation
from autograd.debug import graph_growth
from autograd.testing import check_gradients
from tinygrad_rnn import optim
from tinygrad_rnn.nn import Parameter

# --- accumulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uses", [1, 2, 3, 8, 300])
def test_one_tensor_used_many_times(uses: int) -> None:
    x = leaf(1.0, -2.0)
    ag.stack([x * x for _ in range(uses)]).sum().backward()
    assert x.grad.tolist() == [2.0 * uses, -4.0 * uses]


@pytest.mark.host
@given(st.lists(st.sampled_from(["add", "multiply", "subtract", "logaddexp"]), max_size=12))
def test_chains_that_reuse_a_tensor(names: list[str]) -> None:
    def f(x: ag.Tensor) -> ag.Tensor:
        y = x
        for name in names:
            y = ag.tanh(getattr(ag, name)(y, x * 0.7))
        return y + x

    check_gradients(f, np.array([0.3, -0.8]))


def test_backward_accumulates_out_of_place() -> None:
    x = leaf(3.0)
    (x * x).backward()
    first_gradient = x.grad
    (x * x).backward()
    assert x.grad.tolist() == [12.0]
    assert first_gradient.tolist() == [6.0]


def by_backward(y: ag.Tensor, inputs: list[ag.Tensor], **options: Any) -> list[Any]:
    y.backward(**options)
    return [x.grad for x in inputs]


GRADIENTS: dict[str, Callable[[ag.Tensor, list[ag.Tensor]], Any]] = {
    "backward": by_backward,
    "backward with history": lambda y, xs: by_backward(y, xs, create_graph=True),
    "gradients": ag.gradients,
    "gradients with history": lambda y, xs: ag.gradients(y, xs, create_graph=True),
}


@pytest.mark.parametrize("gradients", GRADIENTS.values(), ids=GRADIENTS)
@pytest.mark.parametrize("wrapper", [lambda f: f, ag.checkpoint], ids=["plain", "checkpoint"])
def test_a_node_is_visited_once_not_once_per_path(gradients: Any, wrapper: Any) -> None:
    """The graph of 40 doublings has 2^40 paths."""

    def double_repeatedly(y: Any) -> Any:
        for _ in range(40):
            y = y + y
        return y

    x = leaf(1.0)
    (derivative,) = gradients(wrapper(double_repeatedly)(x), [x])
    assert derivative.tolist() == [2.0**40]


def test_forward_mode_visits_a_node_once_too() -> None:
    assert ag.jvp(lambda x: [x := x + x for _ in range(40)][-1], (1.0,), (1.0,))[1] == 2.0**40


@pytest.mark.parametrize("gradients", GRADIENTS.values(), ids=GRADIENTS)
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_gradients_share_no_memory(gradients: Any, shape: tuple[int, ...]) -> None:
    a, b = ag.ones(shape, requires_grad=True), ag.ones(shape, requires_grad=True)
    factor = ag.ones(shape)
    seen: list[ag.Tensor] = []
    b.register_hook(seen.append)
    first, second = gradients((a + b * factor).sum(), [a, b])
    first.data[...] = 7
    second.data[...] = 8
    assert (first.numpy() == 7).all()
    assert (seen[0].numpy() == 1).all()
    assert (factor.numpy() == 1).all()


def test_the_gradient_passed_to_backward_is_copied() -> None:
    x, seed = leaf(1.0, 2.0), np.ones(2)
    x.backward(seed)
    assert x.grad is not None
    x.grad.data[...] = 5
    assert seed.tolist() == [1.0, 1.0]


def test_the_result_of_a_hook_is_copied() -> None:
    x, replacement = leaf(1.0, 2.0), ag.tensor(np.ones(2))
    x.register_hook(lambda gradient: replacement)
    (x * x).sum().backward()
    assert x.grad is not None
    x.grad.data[...] = 5
    assert replacement.tolist() == [1.0, 1.0]


def test_transforms_return_arrays_that_can_be_written() -> None:
    derivative = ag.grad(lambda x: x.sum())(np.zeros((2, 3)))
    derivative *= 2
    assert (derivative == 2).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_indices_of_any_integer_type(dtype: Any) -> None:
    x: Any = ag.zeros((300, 2), requires_grad=True)
    x[np.array([100, 7, 100], dtype)].sum().backward()
    counts = np.zeros((300, 2))
    counts[[100, 7]] = [[2], [1]]
    np.testing.assert_array_equal(x.grad.numpy(), counts)


UNIQUE_INDICES: dict[str, Any] = {
    "an integer": 1,
    "a slice": slice(None, None, -2),
    "a newaxis": (None, 1),
    "an ellipsis": (..., 0),
    "a mask": np.array([True, False, True]),
}


@pytest.mark.parametrize("index", UNIQUE_INDICES)
def test_indices_that_cannot_repeat_need_no_scatter_add(
    index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scatter_add is slow."""
    monkeypatch.delattr(type(ag.backend.current()), "scatter_add")
    x: Any = ag.zeros((3, 2), requires_grad=True)
    x[UNIQUE_INDICES[index]].sum().backward()
    expected = np.zeros((3, 2))
    expected[UNIQUE_INDICES[index]] = 1
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@pytest.mark.host
@given(data=st.data())
def test_unused_results(data: st.DataObject) -> None:
    use = data.draw(st.sets(st.integers(0, 3), min_size=1))
    split = data.draw(st.sampled_from([ag.unstack, lambda x: ag.split(x, (1, 1, 3))]))
    check_gradients(lambda x: [split(x * x)[i] for i in use], np.arange(1.0, 9).reshape(4, 2))


def test_integer_operands_have_no_gradient() -> None:
    x, n = leaf(1.0, 2.0), ag.tensor([3, 4])
    (x * n + n).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert n.grad is None


def test_rounding_to_integers_ends_the_graph() -> None:
    x = leaf(1.5, 2.5)
    assert not x.astype(int).requires_grad


# --- lifetime -------------------------------------------------------------------------------------


SMALL_STACK = 256 * 1024  # bytes: about a thousand nested calls


@pytest.mark.host  # the graph does not depend on the device, and a million launches take long
@pytest.mark.parametrize(
    "free", ["by backward", pytest.param("by dropping", marks=pytest.mark.thorough)]
)
def test_a_million_operations_deep(free: str) -> None:
    def work() -> None:
        x = leaf(1.0)
        y = x
        for _ in range(1_000_000):
            y = -y
        if free == "by backward":
            y.backward()
            assert x.grad.tolist() == [1.0]
        del y

    in_thread(work, SMALL_STACK)


def two_results(y: Any) -> Any:
    first, second = ag.unstack(ag.stack([y, y]))
    return first - second * 2


DEEP_STEPS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    # name: a step with derivative -1, and a function that computes the gradient
    "with history": (ag.negative, lambda y, x: ag.gradients(y, x, create_graph=True)[0]),
    "between two tensors": (ag.negative, lambda y, x: ag.gradients(y, x)[0]),
    "several results": (two_results, lambda y, x: ag.gradients(y, x)[0]),
    "checkpoints": (ag.checkpoint(ag.negative), lambda y, x: ag.gradients(y, x)[0]),
}


@pytest.mark.host
@pytest.mark.parametrize("case", DEEP_STEPS)
def test_deep_graphs_of_other_nodes(case: str) -> None:
    step, gradient = DEEP_STEPS[case]

    def work() -> None:
        y = x = leaf(1.0)
        for _ in range(10_000):
            y = step(y)
        derivative = gradient(y, x)
        assert derivative.tolist() == [1.0]
        del y, derivative

    in_thread(work, SMALL_STACK)


@pytest.fixture
def no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def multiply_parts(inner: Any) -> Any:
    first, second = ag.unstack(inner)
    return first * second


def scan_products(inner: Any) -> Any:
    return ag.scan(lambda c, x: (c * x, c + x), ag.tensor(1.0, dtype=float), inner)


GRAPHS: dict[str, Callable[[Any], Any]] = {
    "an operation": lambda inner: (inner * inner).sum(),
    "several results": multiply_parts,
    "scan": lambda inner: scan_products(inner)[1].sum(),
    "ragged scan": lambda inner: ag.scan(
        lambda c, x: (c * x, c), ag.ones(1, float), inner.reshape(2, 1), lengths=[1]
    )[0].sum(),
    "a checkpoint around it": lambda inner: ag.checkpoint(lambda x: x * x)(inner).sum(),
    "vjp": lambda inner: ag.vjp(lambda x: x * x, inner)[1](ag.ones_like(inner.detach()))[0].sum(),
    "jvp": lambda inner: ag.jvp(lambda x: x * x, (inner,), (inner,))[1].sum(),
    "a gradient inside": lambda inner: ag.grad(lambda x: (x**3).sum())(inner).sum(),
}


def record_graph(graph: Callable[[Any], Any] = GRAPHS["an operation"]) -> tuple[Any, Any, Any]:
    """Return a result, its leaf, and a weak reference to an array that only the graph refers to."""
    x = leaf(1.0, 2.0)
    inner = ag.exp(x)
    return graph(inner), x, weakref.ref(inner.data)


@pytest.mark.host
@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_a_dropped_graph_is_freed_immediately(graph: Any, history: bool) -> None:
    y, x, array_reference = record_graph(graph)
    gradients = ag.gradients(y, x, create_graph=True) if history else ()
    assert array_reference() is not None
    del y, gradients
    assert array_reference() is None


@pytest.mark.host
@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_backward_frees_the_graph_unless_retained(graph: Any, retain: bool) -> None:
    y, _, array_reference = record_graph(graph)
    y.backward(retain_graph=retain)
    assert (array_reference() is not None) == retain


@pytest.mark.host
@pytest.mark.usefixtures("no_gc")
def test_ten_thousand_training_steps_do_not_grow() -> None:
    """The state is carried from step to step, detached."""
    weight = Parameter(np.full((2, 2), 0.5))
    optimizer = optim.Adam([weight])
    state = ag.ones(2, float)

    def steps(count: int) -> None:
        nonlocal state
        for _ in range(count):
            optimizer.zero_grad()
            state = ag.tanh(weight @ state.detach())
            (state * state).sum().backward()
            optimizer.step()

    def size() -> tuple[int, int]:
        nodes = sum(isinstance(x, graph.Node) for x in gc.get_objects())
        return nodes, len(mutation._writes)

    steps(5_000)  # fills the free lists of Python
    before, blocks = size(), sys.getallocatedblocks()
    steps(5_000)
    assert sys.getallocatedblocks() - blocks < 500  # one leaked object per step would be 5,000
    assert size() == before


CARRIED_VALUES: dict[str, tuple[Callable[..., Any], str]] = {
    "a state": (
        lambda total, state, loss: (total, state),
        r"shape \(2,\) created by tanh keeps them",
    ),
    "a running total": (
        lambda total, state, loss: (total + loss, state.detach()),
        r"shape \(\) created by add keeps them",
    ),
    "a list of losses": (
        lambda total, state, loss: ([*total, loss] if total else [loss], state.detach()),
        r"shape \(\) created by divide and [\d,]+ more like it keep them",
    ),
}


@pytest.fixture
def counting_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count nodes now, and again after a few thousand more operations."""
    monkeypatch.setattr(graph_growth, "MIN_NODES", 100)
    monkeypatch.setattr(graph_growth, "_last_count", (0, 0))
    next_version = itertools.count(1000).__next__
    monkeypatch.setattr(graph, "next_version", next_version)
    monkeypatch.setattr(mutation, "next_version", next_version)
    monkeypatch.setattr(mutation, "next_growth_check", 2000)


def train(carry: Callable[..., Any], steps: int = 2000) -> None:
    weight, state, total = Parameter(np.full((2, 2), 0.1)), ag.ones(2, float), ag.tensor(0.0)
    optimizer = optim.Adam([weight], lr=1e-5)
    for _ in range(steps):
        state = ag.tanh(weight @ state)
        loss = (state * state).mean()
        weight.grad = ag.ones_like(weight.detach())
        optimizer.step()
        total, state = carry(total, state, loss)


@pytest.mark.host
@pytest.mark.usefixtures("counting_from_now")
@pytest.mark.parametrize("carried", CARRIED_VALUES)
def test_a_graph_that_grows_from_step_to_step_warns(carried: str) -> None:
    carry, holder = CARRIED_VALUES[carried]
    with pytest.warns(RuntimeWarning, match=rf"grows from step to step: .*{holder}\. detach\(\)"):
        train(carry)


@pytest.mark.host
@pytest.mark.usefixtures("counting_from_now")
@pytest.mark.filterwarnings("error")
def test_a_graph_that_does_not_grow_does_not_warn() -> None:
    graphs = [ag.exp(leaf(1.0)) for _ in range(500)]
    train(lambda total, state, loss: (total + loss.item(), state.detach()))
    assert len(graphs) == 500


def test_a_state_that_was_not_detached_is_named() -> None:
    state, w = ag.ones(3, float), leaf(0.5)
    state = ag.tanh(state * w)
    state.sum().backward()
    loss = ag.exp(state * w).sum()
    with pytest.raises(RuntimeError, match=r"tanh: .* shape \(3,\), was freed .* detach\(\) it"):
        loss.backward()


def test_a_second_backward_raises() -> None:
    x = leaf(1.0)
    y = ag.exp(x)
    y.backward()
    with pytest.raises(RuntimeError, match=r"exp: .* freed .* retain_graph=True"):
        y.backward()


@pytest.mark.parametrize("several_results", [False, True])
@pytest.mark.parametrize("allow_unused", [False, True])
def test_a_freed_part_between_outputs_and_inputs_is_reported(
    several_results: bool, allow_unused: bool
) -> None:
    """The freed part may have led to the inputs, so they must not be reported as unused."""
    x = leaf(1, 2)
    h, *_ = ag.split(x * x, 2) if several_results else [x * x]
    (h * h).sum().backward()
    y = (h * 2).sum() + x.sum()
    with pytest.raises(RuntimeError, match="was freed by an earlier backward"):
        ag.gradients(y, x, allow_unused=allow_unused)


@pytest.mark.parametrize(("i", "j"), [(0, 1), (0, 0), (1, 1)])
def test_gradients_of_a_result_that_its_rule_uses_are_summed(i: int, j: int) -> None:
    """The recorded rule and the caller refer to the result by different nodes."""

    @primitive(x=lambda g, y: sum((k + 1) * g[k] * y[k] for k in (0, 1) if g[k] is not None))
    def exponentials(xp: Any, x: Any) -> Any:
        return xp.exp(x), xp.exp(2 * x)

    x = leaf(0.1, -0.2)
    results = exponentials(x)
    (derivative,) = ag.gradients(results[i].sum(), x, create_graph=True)  # n exp(n x)
    (derivative * results[j]).sum().backward()  # n exp((n + m) x)
    n, m = i + 1, j + 1
    np.testing.assert_allclose(
        on_host(x.grad), n * (n + m) * np.exp((n + m) * on_host(x.detach())), rtol=1e-6
    )


def test_a_retained_graph_can_be_used_again() -> None:
    x = leaf(0.0)
    y = ag.exp(x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [2.0]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("kind", [leaf, Parameter])
def test_a_copy_of_a_leaf_is_an_independent_leaf(kind: Any, duplicate: Any) -> None:
    x = kind(2.0)
    y = duplicate(x)
    assert type(y) is type(x)
    (x * y + y).backward()
    assert x.grad.item() == 2.0
    assert y.grad.item() == 3.0
    y.data[...] = 7
    assert x.item() == 2.0


class NamedTensor(ag.Tensor):
    """A Tensor with an additional attribute."""

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(data)
        self.name = name


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_keeps_the_attributes_of_a_subclass(duplicate: Any) -> None:
    x = duplicate(NamedTensor(on_device(np.ones(2)), "weight"))
    assert type(x) is NamedTensor
    assert x.name == "weight"


def test_an_array_that_a_custom_rule_returns_is_never_written() -> None:
    """Residuals and closed-over arrays are neither written nor shared with `.grad`."""
    constant = on_device(np.full(3, 5.0, np.float32))
    by_residual = ag.primitive(x=lambda g, c: c)(lambda xp, x, c: x * c)
    closed_over = ag.primitive(x=lambda g: constant)(lambda xp, x: x * constant)
    for operation in (lambda a: by_residual(a, constant), closed_over):
        a = ag.tensor([1.0, 1.0, 1.0], requires_grad=True)
        (operation(a) + a * 1.0 + operation(a)).sum().backward()
        assert a.grad is not None
        assert a.grad.tolist() == [11.0] * 3
        b = ag.tensor([1.0, 1.0, 1.0], requires_grad=True)
        operation(b).sum().backward()
        assert b.grad is not None
        b.grad.data[...] = 0
        assert constant.tolist() == [5.0] * 3
