"""The graphs of compiled scans: several at the same time, writes in place, memory."""

import gc
import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest
from compiled import (
    H,
    T,
    check,
    gradients_of,
    outcome,
    problem,
    same,
    values,
    weighted,
    weighted_problems,
)
from helpers import on_device, on_host
from hypothesis import given
from hypothesis import strategies as st
from recurrences import Case, make_case, run

import autograd as ag
from tinygrad_rnn import nn, optim


def step(W: Any, h: Any, x: Any) -> Any:
    h = ag.tanh(h @ W + x) * ag.sigmoid(x)
    return h, (h * x, h[:, 0])


tanh_step = weighted_problems(step)


everything = {"num_layers": 2, "bidirectional": True, "lengths": [4, 0, 2]}


some_kinds = pytest.mark.parametrize("kind", ["LSTM", "reset before", "layer norm"])


def run_layer(case: Case, compile: bool | None = None) -> Any:
    """Return the results of a layer, and the tensors with respect to which it is differentiated."""
    case.layer.scan_options["compile"] = compile
    x, hx = ag.tree_map(lambda leaf: leaf.detach().requires_grad_(), (case.x, case.hx))
    return run(case._replace(x=x, hx=hx)), [x, *ag.flatten(hx), *case.layer.parameters()]


@some_kinds
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_several_graphs_of_one_layer(kind: str, order: tuple[int, ...]) -> None:
    """Also of other lengths: the gradients of each graph do not depend on the others."""
    case, other = make_case(kind, **everything), make_case(kind, T=7, **everything, seed=1)
    cases = [case, case._replace(x=case.x[::-1]), case._replace(x=other.x, hx=other.hx)]
    expected = [gradients_of(*run_layer(case, compile=False)) for case in cases]
    results = [run_layer(case) for case in cases]
    for i in order:
        same(gradients_of(*results[i]), expected[i])


@given(st.permutations(range(3)))
def test_several_graphs_of_one_step(order: list[int]) -> None:
    W = values(H, H)
    problems = [problem(partial(step, W), W)._replace(xs=values(t, 3, H)) for t in (4, 6, 4)]
    expected = [gradients_of(instance.scan(False), instance.inputs) for instance in problems]
    outs = [instance.scan() for instance in problems]
    for i in order:
        same(gradients_of(outs[i], problems[i].inputs), expected[i])


def test_a_scan_inside_a_backward_pass() -> None:
    """A hook on a gradient runs the same step, forward and backward."""

    def results(compile: bool | None) -> Any:
        instance, found = tanh_step(), []
        inputs = [values(3, H, seed=1), values(T, 3, H, seed=1), *instance.inputs[2:]]
        other = instance._replace(carry=inputs[0], xs=inputs[1], inputs=inputs)

        def run_other(gradient: Any) -> Any:
            found.append(outcome(other, compile))
            return gradient

        out = instance.scan(compile)
        out[1][0].register_hook(run_other)
        instance.carry.register_hook(run_other)
        return out, gradients_of(out, instance.inputs), found

    same(results(None), results(False))


def test_a_scan_that_continues_another_scan() -> None:
    def results(compile: bool | None) -> Any:
        instance, found, state = tanh_step(), [], values(3, H)
        inputs = [state, *instance.inputs[1:]]
        for _ in range(3):
            state, ys = instance._replace(carry=state).scan(compile)
            found += [state, ys]
        return found, gradients_of(found, inputs)

    same(results(None), results(False))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("compile", [None, False])
def test_an_optimizer_step_between_forward_and_backward_pass_raises(
    compile: bool | None, order: int
) -> None:
    layer = nn.LSTM(2, 3, compile=compile)
    y, _ = layer(np.ones((4, 2, 2), np.float32))
    if order == 2:
        (gradient,) = ag.gradients(y.sum(), [layer.weight_hh_l0], create_graph=True)
        y = gradient
    layer.weight_hh_l0.grad = ag.ones_like(layer.weight_hh_l0)
    optim.SGD([layer.weight_hh_l0], lr=0.1).step()
    with pytest.raises(RuntimeError, match="written in place after it was recorded"):
        y.sum().backward()
    layer(np.ones((4, 2, 2), np.float32))[0].sum().backward()


@pytest.mark.parametrize("compile", [None, False])
def test_a_write_into_the_inputs_raises(compile: bool | None) -> None:
    instance = weighted_problems(lambda W, h, x: (ag.tanh(h @ W) * x, None))()
    xs = instance.xs * 1
    carry, _ = instance._replace(xs=xs).scan(compile)
    with ag.no_grad():
        xs *= 2
    with pytest.raises(RuntimeError, match="written in place after it was recorded"):
        carry.sum().backward()


def arrays_of(tree: Any) -> list[Any]:
    return [leaf.data for leaf in ag.flatten(tree)]


@some_kinds
def test_later_calls_do_not_change_returned_arrays(kind: str) -> None:
    case = make_case(kind, **everything)
    returned: list[Any] = []
    for n in range(4):
        out, inputs = run_layer(case._replace(x=case.x * (1.0 - 0.5 * n)))
        gradients = ag.gradients(weighted(ag.flatten(out)), inputs)
        returned += [(array, on_host(array).copy()) for array in arrays_of((out, gradients))]
        for array, before in returned:
            np.testing.assert_array_equal(on_host(array), before)


@pytest.mark.parametrize("which", ["carry", "ys", "other ys", "all"])
def test_writes_into_results_do_not_make_gradients_wrong(which: str) -> None:
    """The gradients are those without the write, or the backward pass raises an error."""
    instance = weighted_problems(
        lambda W, h, x: (k := ag.tanh(h @ W + x), (k, ag.sigmoid(k) * x))
    )()
    expected = gradients_of(instance.scan(False), instance.inputs)
    out = instance.scan()
    seeds = weighted(ag.flatten(out))
    chosen = {"carry": out[0], "ys": out[1][0], "other ys": out[1][1], "all": out}[which]
    for array in arrays_of(chosen):
        array[...] = 7.0
    try:
        gradients = list(ag.gradients(seeds, instance.inputs))
    except RuntimeError:
        return
    same(gradients, expected)


def test_results_and_gradients_share_no_memory() -> None:
    instance = tanh_step()
    out = instance.scan()
    gradients = ag.gradients(weighted(ag.flatten(out)), instance.inputs)
    arrays = [*arrays_of(out), *arrays_of(gradients), *arrays_of(instance.inputs)]
    before = [on_host(array).copy() for array in arrays]
    for i, array in enumerate(arrays):
        array[...] = 100.0 + i  # a gradient may be clipped in place
    for i, (array, old) in enumerate(zip(arrays, before, strict=True)):
        np.testing.assert_array_equal(on_host(array), np.full_like(old, 100.0 + i))


def test_a_carry_that_is_passed_through_unchanged() -> None:
    def results(compile: bool | None) -> Any:
        instance = weighted_problems(lambda W, h, x: ((h[0], ag.tanh(h[1] @ W + h[0] * x)), h[0]))()
        constant = values(3, H, seed=2).detach()
        instance = instance._replace(carry=(constant, instance.carry))
        out = instance.scan(compile)
        return out, gradients_of(out, instance.inputs), constant

    same(results(None), results(False))


def train_step(layer: Any, steps: int) -> None:
    y, (h, c) = layer(ag.full((steps, 4, 8), 0.1))
    (y.sum() + h.sum() + c.sum()).backward()
    for parameter in layer.parameters():
        parameter.grad = None


@pytest.mark.host
def test_memory_does_not_grow_with_the_runs() -> None:
    """200 runs of random lengths, the longest first."""
    layer, sizes = nn.LSTM(8, 16), []
    lengths = np.random.default_rng(0).integers(1, 30, 220)
    tracemalloc.start()
    try:
        for part in ([30, *lengths[:20]], lengths[20:]):
            for steps in part:
                train_step(layer, int(steps))
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] < sizes[0] + 50_000


@pytest.mark.host
def test_a_graph_is_freed_with_its_results() -> None:
    """Without the garbage collector."""
    layer = nn.GRU(4, 256)
    x = np.ones((50, 8, 4), np.float32)
    layer(x)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(4):
            out = layer(x)
            before = tracemalloc.get_traced_memory()[0]
            del out
            sizes.append(before - tracemalloc.get_traced_memory()[0])
        remaining = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert min(sizes) > 50 * 8 * 256 * 4  # at least the outputs
    assert remaining < 3_000_000  # one graph takes more than that


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": [6, 0, 1]}], ids=str)
def test_a_state_without_a_batch_and_inputs_of_all_kinds(options: dict[str, Any]) -> None:
    """The inputs are arrays or Tensors."""
    for kind in (on_device, ag.tensor):
        xs = kind(on_host(values(T, 3, H)))

        def make(xs: Any = xs) -> Any:
            instance = tanh_step()
            return instance._replace(
                xs=xs, inputs=[instance.carry, instance.inputs[2]], options=options
            )

        def without_batch(make: Any = make) -> Any:
            instance, carry = make(), values(H)
            return instance._replace(carry=carry, inputs=[carry, instance.inputs[-1]], options={})

        check(make)
        check(without_batch)
