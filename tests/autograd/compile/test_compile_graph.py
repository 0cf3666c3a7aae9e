"""The life of a compiled recurrence's graph: it may live beside others, be gone through twice and
differentiated again; it notices writes, hands out nothing that it still needs, and goes away.
"""

import gc
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from compiled import H, T, check, gradients_of, of_steps, outcome, problem, same, values, weighted
from helpers import at_once, on_device, on_host
from hypothesis import given
from hypothesis import strategies as st
from recurrences import KINDS, Case, assert_close, make_case, random_cases, run

import autograd as ag
from autograd.testing import check_gradients
from tinygrad_rnn import nn, optim


def step(W: Any, h: Any, x: Any) -> Any:
    h = ag.tanh(h @ W + x) * ag.sigmoid(x)
    return h, (h * x, h[:, 0])


tanh_step = of_steps(step)
everything = {"num_layers": 2, "bidirectional": True, "lengths": [4, 0, 2]}
some_kinds = pytest.mark.parametrize("kind", ["LSTM", "reset before", "layer norm"])


def of_layer(case: Case, compile: bool | None = None) -> Any:
    """Results of a layer, and what they are differentiated by."""
    case.layer.scan_options["compile"] = compile
    x, hx = ag.tree_map(lambda leaf: leaf.detach().requires_grad_(), (case.x, case.hx))
    return run(case._replace(x=x, hx=hx)), [x, *ag.flatten(hx), *case.layer.parameters()]


# --- several graphs -------------------------------------------------------------------------------


@some_kinds
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_graphs_of_one_layer_live_side_by_side(kind: str, order: tuple[int, ...]) -> None:
    """Of other lengths, too: the gradients of each are those that it has alone."""
    case, other = make_case(kind, **everything), make_case(kind, T=7, **everything, seed=1)
    cases = [case, case._replace(x=case.x[::-1]), case._replace(x=other.x, hx=other.hx)]
    expected = [gradients_of(*of_layer(one, compile=False)) for one in cases]
    alive = [of_layer(one) for one in cases]
    for i in order:
        same(gradients_of(*alive[i]), expected[i])


@given(st.permutations(range(3)))
def test_graphs_of_one_step_live_side_by_side(order: list[int]) -> None:
    W = values(H, H)
    problems = [problem(partial(step, W), W)._replace(xs=values(t, 3, H)) for t in (4, 6, 4)]
    expected = [gradients_of(one.scan(False), one.inputs) for one in problems]
    outs = [one.scan() for one in problems]
    for i in order:
        same(gradients_of(outs[i], problems[i].inputs), expected[i])


def test_one_runs_while_the_other_goes_back() -> None:
    """A hook on the gradient of one runs the same step, forward and backward."""

    def results(compile: bool | None) -> Any:
        one, found = tanh_step(), []
        inputs = [values(3, H, seed=1), values(T, 3, H, seed=1), *one.inputs[2:]]
        other = one._replace(carry=inputs[0], xs=inputs[1], inputs=inputs)

        def again(gradient: Any) -> Any:
            found.append(outcome(other, compile))
            return gradient

        out = one.scan(compile)
        out[1][0].register_hook(again)
        one.carry.register_hook(again)
        return out, gradients_of(out, one.inputs), found

    same(results(None), results(False))


def test_the_state_of_one_graph_starts_another() -> None:
    def results(compile: bool | None) -> Any:
        one, found, state = tanh_step(), [], values(3, H)
        inputs = [state, *one.inputs[1:]]
        for _ in range(3):
            state, ys = one._replace(carry=state).scan(compile)
            found += [state, ys]
        return found, gradients_of(found, inputs)

    same(results(None), results(False))


def test_threads_at_once() -> None:
    case = make_case("GRU", T=6, **everything | {"lengths": [6, 0, 3]})
    cases = [case._replace(x=case.x * factor) for factor in (1.0, -0.5, 0.3, 2.0)]
    expected = [gradients_of(*of_layer(one, compile=False)) for one in cases]
    found: list[Any] = [[] for _ in cases]
    case.layer.scan_options["compile"] = None

    def work(i: int) -> None:
        for _ in range(5):
            found[i].append(gradients_of(*of_layer(cases[i])))

    at_once([partial(work, i) for i in range(len(cases))])
    for ours, theirs in zip(found, expected, strict=True):
        same(ours, [theirs] * 5)


def test_backward_in_another_thread() -> None:
    one = tanh_step()
    expected = gradients_of(one.scan(False), one.inputs)
    out, found = one.scan(), []
    thread = threading.Thread(target=lambda: found.append(gradients_of(out, one.inputs)))
    thread.start()
    thread.join()
    same(found, [expected])


# --- backward -------------------------------------------------------------------------------------


@some_kinds
def test_backward_twice_gives_the_same(kind: str) -> None:
    (y, state), inputs = of_layer(make_case(kind, **everything))
    total = weighted([y, *ag.flatten(state)])
    first, second = (ag.gradients(total, inputs, retain_graph=keep) for keep in (True, False))
    for one, other in zip(first, second, strict=True):
        assert (one.numpy() == other.numpy()).all()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        total.backward()


def test_backward_adds_up_in_grad() -> None:
    def results(compile: bool | None) -> Any:
        one = tanh_step()
        for _ in range(2):
            weighted(ag.flatten(one.scan(compile))).backward()
        return [t.grad for t in one.inputs]

    same(results(None), results(False))


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_derivatives(kind: str) -> None:
    """create_graph, then backward through the gradients, twice."""
    ours, theirs = (
        gradients_of(*of_layer(make_case(kind, T=2, B=2, lengths=[2, 1]), compile), 3)
        for compile in (None, False)
    )
    same(ours, theirs)


@given(random_cases(most=2, kinds=["GRU", "LSTM", "Jordan"]))
def test_finite_differences_in_both_modes(case: Case) -> None:
    """By input and states; forward mode goes through a compiled recurrence too."""

    def f(x: Any, *leaves: Any) -> Any:
        left = iter(leaves)
        return run(case._replace(x=x, hx=ag.tree_map(lambda _: next(left), case.hx)))

    check_gradients(f, case.x, *ag.flatten(case.hx), order=2)


def test_finite_differences_by_a_weight() -> None:
    carry, xs = values(3, H).detach(), values(4, 3, H).detach()
    for options in ({}, {"reverse": True, "lengths": [4, 0, 2]}, {"checkpoint": 2}):
        check_gradients(
            lambda W, x, o=options: ag.scan(partial(step, W), carry, x, **o), values(H, H), xs
        )


TRANSFORMS: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {
    "grad": lambda f, W: ag.grad(f)(W),
    "grad of grad": lambda f, W: ag.grad(lambda W: ag.grad(f)(W)[0, 0])(W),
    "vjp": lambda f, W: ag.vjp(f, W)[1](ag.tensor(np.array(2.0))),
    "jvp": lambda f, W: ag.jvp(f, (W,), (W * 2,)),
    "jvp of grad": lambda f, W: ag.jvp(ag.grad(f), (W,), (W * 2,)),
    "grad of jvp": lambda f, W: ag.grad(lambda W: ag.jvp(f, (W,), (W * 2,))[1])(W),
    "hvp": lambda f, W: ag.hvp(f, (W,), (W * 2,)),
    "hessian": lambda f, W: ag.hessian(f)(W),
    "jacobian": lambda f, W: ag.jacobian(lambda W: ag.stack([f(W), f(W * 2)]))(W),
    "checkpoint": lambda f, W: ag.grad(ag.checkpoint(f))(W),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms(transform: Any) -> None:
    carry, xs = values(3, H), values(4, 3, H)

    def results(compile: bool | None) -> Any:
        def f(W: Any) -> Any:
            return weighted(ag.flatten(ag.scan(partial(step, W), carry, xs, compile=compile)))

        return transform(f, values(H, H).detach())

    same(results(None), results(False))


PARTS: dict[str, Callable[[Any], Any]] = {
    "only the carry": lambda out: out[0],
    "only the ys": lambda out: out[1],
    "only some ys": lambda out: out[1][1],
    "one step of the ys": lambda out: out[1][0][2],
    "two sums": lambda out: (out[0].sum(), out[1][0].sum()),
    "the carry, twice": lambda out: (out[0], out[0] * 2, out[1][0]),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_outputs_that_are_not_used(part: Any, order: int) -> None:
    ours, theirs = (
        gradients_of(part(one.scan(c)), one.inputs, order)
        for c, one in ((None, tanh_step()), (False, tanh_step()))
    )
    same(ours, theirs)


def test_gradients_at_the_results_and_hooks_on_them() -> None:
    def results(compile: bool | None) -> Any:
        one, seen = tanh_step(), []
        carry, ys = one.scan(compile)
        carry.retain_grad()
        ys[0].register_hook(lambda g: seen.append(g) or g * 2)
        one.inputs[1].register_hook(lambda g: g * 3)
        slopes = gradients_of([carry, ys, carry * ys[0].sum()], one.inputs)
        return slopes, seen, carry.grad

    same(results(None), results(False))


def test_without_recording_there_is_no_graph() -> None:
    one = tanh_step()
    expected = one.scan(False)
    with ag.no_grad():
        out = one.scan()
    assert not any(leaf.requires_grad for leaf in ag.flatten(out))
    for ours, theirs in zip(ag.flatten(out), ag.flatten(expected), strict=True):
        assert_close(ours, theirs, 1e-11)
    for tensor in one.inputs:
        tensor.requires_grad = False
    assert not any(leaf.requires_grad for leaf in ag.flatten(one.scan()))
    with pytest.raises(RuntimeError):
        one.scan()[0].sum().backward()


# --- writes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("compile", [None, False])
def test_an_optimiser_between_forward_and_backward_is_noticed(
    compile: bool | None, order: int
) -> None:
    layer = nn.LSTM(2, 3, compile=compile)
    y, _ = layer(np.ones((4, 2, 2), np.float32))
    if order == 2:
        (slope,) = ag.gradients(y.sum(), [layer.weight_hh_l0], create_graph=True)
        y = slope
    layer.weight_hh_l0.grad = ag.ones_like(layer.weight_hh_l0)
    optim.SGD([layer.weight_hh_l0], lr=0.1).step()
    with pytest.raises(RuntimeError, match="written in place after it was recorded"):
        y.sum().backward()
    layer(np.ones((4, 2, 2), np.float32))[0].sum().backward()


@pytest.mark.parametrize("compile", [None, False])
def test_a_write_into_the_inputs_is_noticed(compile: bool | None) -> None:
    one = of_steps(lambda W, h, x: (ag.tanh(h @ W) * x, None))()
    xs = one.xs * 1
    carry, _ = one._replace(xs=xs).scan(compile)
    with ag.no_grad():
        xs *= 2
    with pytest.raises(RuntimeError, match="written in place after it was recorded"):
        carry.sum().backward()


def arrays_of(tree: Any) -> list[Any]:
    return [leaf.data for leaf in ag.flatten(tree)]


@some_kinds
def test_later_runs_change_nothing_that_was_handed_out(kind: str) -> None:
    case = make_case(kind, **everything)
    held: list[Any] = []
    for n in range(4):
        out, inputs = of_layer(case._replace(x=case.x * (1.0 - 0.5 * n)))
        slopes = ag.gradients(weighted(ag.flatten(out)), inputs)
        held += [(array, on_host(array).copy()) for array in arrays_of((out, slopes))]
        for array, before in held:
            np.testing.assert_array_equal(on_host(array), before)


@pytest.mark.parametrize("which", ["carry", "ys", "other ys", "all"])
def test_writing_into_results_never_makes_gradients_wrong(which: str) -> None:
    """By whatever way: they are as if nothing was written, or an error."""
    one = of_steps(lambda W, h, x: (k := ag.tanh(h @ W + x), (k, ag.sigmoid(k) * x)))()
    expected = gradients_of(one.scan(False), one.inputs)
    out = one.scan()
    seeds = weighted(ag.flatten(out))
    chosen = {"carry": out[0], "ys": out[1][0], "other ys": out[1][1], "all": out}[which]
    for array in arrays_of(chosen):
        array[...] = 7.0
    try:
        slopes = list(ag.gradients(seeds, one.inputs))
    except RuntimeError:
        return
    same(slopes, expected)


def test_results_and_gradients_share_no_memory() -> None:
    one = tanh_step()
    out = one.scan()
    slopes = ag.gradients(weighted(ag.flatten(out)), one.inputs)
    arrays = [*arrays_of(out), *arrays_of(slopes), *arrays_of(one.inputs)]
    before = [on_host(array).copy() for array in arrays]
    for i, array in enumerate(arrays):
        array[...] = 100.0 + i  # a gradient may be clipped in place
    for i, (array, old) in enumerate(zip(arrays, before, strict=True)):
        np.testing.assert_array_equal(on_host(array), np.full_like(old, 100.0 + i))


def test_an_output_that_is_the_input_may_be_written_into() -> None:
    """A carry that is passed through unchanged is a copy."""

    def results(compile: bool | None) -> Any:
        one = of_steps(lambda W, h, x: ((h[0], ag.tanh(h[1] @ W + h[0] * x)), h[0]))()
        constant = values(3, H, seed=2).detach()
        one = one._replace(carry=(constant, one.carry))
        out = one.scan(compile)
        return out, gradients_of(out, one.inputs), constant

    same(results(None), results(False))


# --- memory ---------------------------------------------------------------------------------------


def training_step(layer: Any, steps: int) -> None:
    y, (h, c) = layer(ag.full((steps, 4, 8), 0.1))
    (y.sum() + h.sum() + c.sum()).backward()
    for parameter in layer.parameters():
        parameter.grad = None


@pytest.mark.host
def test_memory_does_not_grow_with_the_runs() -> None:
    """200 runs of any length, the longest first."""
    layer, sizes = nn.LSTM(8, 16), []
    lengths = np.random.default_rng(0).integers(1, 30, 220)
    tracemalloc.start()
    try:
        for part in ([30, *lengths[:20]], lengths[20:]):
            for steps in part:
                training_step(layer, int(steps))
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] < sizes[0] + 50_000


@pytest.mark.host
def test_a_graph_goes_away_with_its_results() -> None:
    """At once, without the garbage collector, whether or not backward went through it."""
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
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert min(sizes) > 50 * 8 * 256 * 4  # at least the outputs
    assert left < 3_000_000  # one graph takes more than that


def test_other_sizes_of_one_problem() -> None:
    """Time steps, batch, units, none of which may be remembered from the run before."""

    def results(compile: bool | None) -> Any:
        found = []
        for steps, batch, units in [
            (6, 3, 2),
            (1, 3, 2),
            (6, 1, 2),
            (6, 0, 2),
            (2, 3, 4),
            (6, 3, 2),
        ]:
            W, carry = values(units, units), values(batch, units)
            xs = values(steps, batch, units)
            one = problem(lambda h, x, W=W: step(W, h, x))
            one = one._replace(carry=carry, xs=xs, inputs=[W, carry, xs])
            found.append(outcome(one, compile))
        return found

    same(results(None), results(False))


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": [6, 0, 1]}], ids=str)
def test_a_state_without_a_batch_and_inputs_of_all_kinds(options: dict[str, Any]) -> None:
    """Arrays, Tensors."""
    for kind in (on_device, ag.tensor):
        xs = kind(on_host(values(T, 3, H)))

        def make(xs: Any = xs) -> Any:
            one = tanh_step()
            return one._replace(xs=xs, inputs=[one.carry, one.inputs[2]], options=options)

        def without_batch(make: Any = make) -> Any:
            one, carry = make(), values(H)
            return one._replace(carry=carry, inputs=[carry, one.inputs[-1]], options={})

        check(make)
        check(without_batch)
