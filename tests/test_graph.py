"""The recorded graph: what accumulates, how long it lives, what it refuses."""

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd import _graph
from autograd.testing import check_gradients
from tinygrad_rnn import optim
from tinygrad_rnn.nn import Parameter


def leaf(*values: float) -> ag.Tensor:
    return ag.tensor(np.array(values, float), requires_grad=True)


def values(tensor: ag.Tensor | None) -> list[float]:
    assert tensor is not None
    result: list[float] = tensor.tolist()
    return result


# --- accumulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uses", [1, 2, 3, 8, 300])
def test_one_tensor_used_many_times(uses: int) -> None:
    x = leaf(1.0, -2.0)
    ag.stack([x * x for _ in range(uses)]).sum().backward()
    assert values(x.grad) == [2.0 * uses, -4.0 * uses]


@given(st.lists(st.sampled_from(["add", "multiply", "subtract", "maximum"]), max_size=12))
def test_any_chain_of_reuses(names: list[str]) -> None:
    def f(x: ag.Tensor) -> ag.Tensor:
        y = x
        for name in names:
            y = ag.tanh(getattr(ag, name)(y, x * 0.7))
        return y + x

    check_gradients(f, np.array([0.3, -0.8]))


def test_a_node_is_visited_once_not_once_per_path() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(40):
        y = y + y
    y.backward()
    assert values(x.grad) == [2.0**40]


def test_backward_adds_to_what_is_there() -> None:
    x = leaf(3.0)
    (x * x).backward()
    held = x.grad
    (x * x).backward()
    assert values(x.grad) == [12.0]
    assert values(held) == [6.0]


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
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_gradients_share_no_memory(gradients: Any, shape: tuple[int, ...]) -> None:
    a, b = ag.ones(shape, requires_grad=True), ag.ones(shape, requires_grad=True)
    whole = ag.ones(shape)
    seen: list[ag.Tensor] = []
    b.register_hook(seen.append)
    first, second = gradients((a + b * whole).sum(), [a, b])
    first.data[...] = 7
    second.data[...] = 8
    assert (first.numpy() == 7).all()
    assert (seen[0].numpy() == 1).all()
    assert (whole.numpy() == 1).all()


def test_a_given_gradient_is_not_handed_on() -> None:
    x, given = leaf(1.0, 2.0), np.ones(2)
    x.backward(given)
    assert x.grad is not None
    x.grad.data[...] = 5
    assert given.tolist() == [1.0, 1.0]


def test_what_a_hook_returns_is_not_handed_on() -> None:
    x, replacement = leaf(1.0, 2.0), ag.tensor(np.ones(2))
    x.register_hook(lambda gradient: replacement)
    (x * x).sum().backward()
    assert x.grad is not None
    x.grad.data[...] = 5
    assert values(replacement) == [1.0, 1.0]


def test_transforms_return_arrays_that_can_be_written() -> None:
    slope = ag.grad(lambda x: x.sum())(np.zeros((2, 3)))
    slope *= 2
    assert (slope == 2).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_indices_of_any_integer_type(dtype: Any) -> None:
    x = ag.zeros((300, 2), requires_grad=True)
    x[np.array([100, 7, 100], dtype)].sum().backward()
    counts = np.zeros((300, 2))
    counts[[100, 7]] = [[2], [1]]
    np.testing.assert_array_equal(x.grad.numpy(), counts)


@given(data=st.data())
def test_results_that_nobody_uses(data: st.DataObject) -> None:
    use = data.draw(st.sets(st.integers(0, 3), min_size=1))
    split = data.draw(st.sampled_from([ag.unstack, lambda x: ag.split(x, (1, 1, 3))]))
    check_gradients(lambda x: [split(x * x)[i] for i in use], np.arange(1.0, 9).reshape(4, 2))


def test_integers_take_part_without_a_gradient() -> None:
    x, n = leaf(1.0, 2.0), ag.tensor([3, 4])
    (x * n + n).sum().backward()
    assert values(x.grad) == [3.0, 4.0]
    assert n.grad is None


def test_rounding_to_integers_ends_the_graph() -> None:
    x = leaf(1.5, 2.5)
    assert not x.astype(int).requires_grad


# --- life and death -------------------------------------------------------------------------------


def in_thread(work: Callable[[], None], stack: int = 0) -> None:
    """Run `work` in a thread with a stack of this size; its exception is raised here."""
    caught: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            caught.append(error)

    before = threading.stack_size(stack)
    thread = threading.Thread(target=guarded)
    thread.start()
    threading.stack_size(before)
    thread.join()
    if caught:
        raise caught[0]


@pytest.mark.parametrize("free", ["by backward", "by dropping"])
def test_a_million_operations_deep(free: str) -> None:
    def work() -> None:
        x = leaf(1.0)
        y = x
        for _ in range(1_000_000):
            y = -y
        if free == "by backward":
            y.backward()
            assert values(x.grad) == [1.0]
        del y

    in_thread(work, stack=256 * 1024)


@pytest.fixture
def no_gc() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def recorded() -> tuple[ag.Tensor, ag.Tensor, weakref.ref[Any]]:
    """A result, its leaf, and a reference to an array that only the graph keeps."""
    x = leaf(1.0, 2.0)
    inner = ag.exp(x)
    y = (inner * inner).sum()
    return y, x, weakref.ref(inner.data)


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("history", [False, True])
def test_a_dropped_graph_is_freed_at_once(history: bool) -> None:
    y, x, saved = recorded()
    slopes = ag.gradients(y, x, create_graph=True) if history else ()
    assert saved() is not None
    del y, slopes
    assert saved() is None


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("retain", [False, True])
def test_backward_frees_the_graph_unless_told(retain: bool) -> None:
    y, _, saved = recorded()
    y.backward(retain_graph=retain)
    assert (saved() is not None) == retain


@pytest.mark.usefixtures("no_gc")
def test_training_does_not_grow() -> None:
    weight = Parameter(np.ones((3, 3)))
    optimizer = optim.Adam([weight])

    def step() -> None:
        optimizer.zero_grad()
        (weight @ weight).sum().backward()
        optimizer.step()

    def size() -> tuple[int, int]:
        nodes = sum(isinstance(thing, _graph.Node) for thing in gc.get_objects())
        return nodes, len(_graph._writes)

    step()
    before = size()
    for _ in range(50):
        step()
    assert size() == before


def test_a_graph_serves_once() -> None:
    x = leaf(1.0)
    y = ag.exp(x)
    y.backward()
    with pytest.raises(RuntimeError, match=r"exp: .* freed .* retain_graph=True"):
        y.backward()


def test_a_retained_graph_serves_again() -> None:
    x = leaf(0.0)
    y = ag.exp(x)
    y.backward(retain_graph=True)
    y.backward()
    assert values(x.grad) == [2.0]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("kind", [leaf, Parameter])
def test_a_copy_of_a_leaf_is_a_leaf_of_its_own(kind: Any, duplicate: Any) -> None:
    x = kind(2.0)
    y = duplicate(x)
    assert type(y) is type(x)
    (x * y + y).backward()
    assert x.grad.item() == 2.0
    assert y.grad.item() == 3.0
    y.data[...] = 7
    assert x.item() == 2.0


# --- recording on and off -------------------------------------------------------------------------


def is_recording() -> bool:
    return (leaf(1.0) * 1).requires_grad


def test_no_grad_and_enable_grad_nest() -> None:
    with ag.no_grad():
        with ag.enable_grad():
            assert is_recording()
        assert not is_recording()
    assert is_recording()


def test_no_grad_decorates() -> None:
    assert not ag.no_grad()(is_recording)()
    assert is_recording()


@pytest.mark.parametrize("context", [ag.no_grad, ag.enable_grad])
def test_an_exception_leaves_no_recording_state_behind(context: Any) -> None:
    def fail(x: Any = None) -> None:
        with context():
            raise ZeroDivisionError

    for run in (fail, context()(fail), lambda: ag.grad(fail)(1.0)):
        with pytest.raises(ZeroDivisionError):
            run()
        assert is_recording()
        assert isinstance(ag.grad(lambda x: x * x)(3.0), float)  # a Tensor if still nested


def test_threads_do_not_see_each_others_no_grad() -> None:
    seen = []
    with ag.no_grad():
        in_thread(lambda: seen.append(is_recording()))
    assert seen == [True]


def test_tasks_do_not_see_each_others_no_grad() -> None:
    async def silent(entered: asyncio.Event, leave: asyncio.Event) -> None:
        with ag.no_grad():
            entered.set()
            await leave.wait()

    async def both() -> bool:
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(silent(entered, leave))
        await entered.wait()
        seen = is_recording()
        leave.set()
        await task
        return seen

    assert asyncio.run(both())


def test_gradients_carry_history_only_if_asked() -> None:
    x = leaf(2.0)
    (x * x * x).backward()
    assert x.grad is not None
    assert not x.grad.requires_grad
    (slope,) = ag.gradients(x * x * x, x, create_graph=True)
    assert slope is not None
    (curvature,) = ag.gradients(slope, x)
    assert values(curvature) == [12.0]


def test_history_can_be_asked_for_under_no_grad() -> None:
    x = leaf(2.0)
    y = x * x * x
    with ag.no_grad():
        (slope,) = ag.gradients(y, x, create_graph=True)
    assert slope is not None
    assert slope.requires_grad


# --- intermediate results -------------------------------------------------------------------------


def test_an_intermediate_gradient_is_kept_only_if_asked() -> None:
    x = leaf(3.0)
    kept, dropped = x * 2, x * 5
    kept.retain_grad()
    (kept * dropped).backward()
    assert values(kept.grad) == [15.0]
    assert dropped.grad is None


def test_a_hook_sees_the_whole_gradient_once() -> None:
    x, seen = leaf(3.0), []
    y = x * 1
    y.register_hook(lambda gradient: seen.append(gradient.item()))
    (y * y + y).backward()
    assert seen == [7.0]


def test_what_a_hook_returns_replaces_the_gradient() -> None:
    x = leaf(3.0)
    y = x * 2
    y.register_hook(lambda gradient: gradient * 10)
    remove = y.register_hook(lambda gradient: gradient * 1000)
    remove()
    y.backward()
    assert values(x.grad) == [20.0]


# --- gradients() ----------------------------------------------------------------------------------


def test_gradients_writes_nothing_to_grad() -> None:
    x = leaf(3.0)
    assert values(ag.gradients(x * x, x)[0]) == [6.0]
    assert x.grad is None


def test_gradients_of_weighted_outputs_by_any_tensor() -> None:
    x = leaf(1.0, 2.0)
    middle = x * x
    found = ag.gradients([middle * 3, x], [middle, x], [np.array([1.0, 2]), np.array([10.0, 20])])
    assert [values(g) for g in found] == [[3.0, 6.0], [16.0, 44.0]]


def test_gradients_of_an_input_that_is_not_used() -> None:
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match=r"do not depend on input 1; allow_unused=True"):
        ag.gradients(x * x, [x, other], retain_graph=True)
    found = ag.gradients(x * x, [x, other], allow_unused=True)
    assert values(found[0]) == [2.0]
    assert found[1] is None


def test_gradients_visits_only_what_lies_between() -> None:
    x, other, seen = leaf(1.0), leaf(1.0), []
    aside = other * other
    aside.register_hook(lambda gradient: seen.append(gradient))
    ag.gradients(x * aside, x)
    assert not seen
