"""Compiled scans of steps with views: transposes, slices, broadcasts, reshapes around products."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from compiled import gradients_of, same, values

import autograd as ag

N = 3  # every axis of an array (N, N), so that every view fits every consumer
T = 3

View = Callable[[Any], Any]


VIEWS: dict[str, View] = {
    "as it is": lambda a: a,
    "transpose": lambda a: a.T,
    "reverse": lambda a: a[::-1],
    "reverse the last axis": lambda a: a[:, ::-1],
    "every second row": lambda a: ag.concatenate([a, a])[::2],
    "inner columns": lambda a: ag.concatenate([a, a, a], axis=1)[:, N : 2 * N],
    "last part of a split": lambda a: ag.split(ag.concatenate([a, 2 * a], axis=1), 2, axis=1)[1],
    "a row, broadcast": lambda a: ag.broadcast_to(a[1], (N, N)),
    "a column, broadcast": lambda a: ag.broadcast_to(a[:, 1:2], (N, N)),
    "reshape": lambda a: a.reshape(N * N).reshape(N, N),
    "reshape of a transpose": lambda a: a.T.reshape(N * N)[::-1].reshape(N, N),
    "three axes": lambda a: a.reshape(1, N, N).swapaxes(0, 2)[:, :, 0],
    "swap with a new axis": lambda a: a[:, None].swapaxes(0, 1)[0],
}
CONSUMERS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "linear": lambda a, b, W: ag.linear(a, W),
    "linear of three axes": lambda a, b, W: ag.linear(ag.stack([a, b]), W).sum(0),
    "linear of a view of three axes": lambda a, b, W: ag.linear(a.reshape(1, N, N), W)[0],
    "matmul": lambda a, b, W: a @ W,
    "matmul from the left": lambda a, b, W: W @ a,
    "product of two": lambda a, b, W: a @ b,
    "pointwise": lambda a, b, W: a * b + W,
    "sum": lambda a, b, W: a.sum(0) + W * b.mean(1, keepdims=True),
    "concatenation": lambda a, b, W: ag.concatenate([a, b], axis=1) @ ag.concatenate([W, W]),
    "softmax": lambda a, b, W: ag.softmax(a @ W, axis=0),
    "einsum": lambda a, b, W: ag.einsum("ij,jk->ki", a, W),
}
PLACES: dict[str, Callable[[View, Any, Any, Any, Any], Any]] = {
    # Functions of a view, a consumer, W, h and x. The first ones run for all steps at once.
    "of x": lambda v, f, W, h, x: (0.5 * h + x, f(v(ag.tanh(x)), v(x), W)),
    "of x, without an operation": lambda v, f, W, h, x: (0.5 * h + x, f(v(x), v(x), W)),
    "of the new carry, in y": lambda v, f, W, h, x: (n := ag.tanh(h + x), f(v(n), v(h), W)),
    "in the carry": lambda v, f, W, h, x: (ag.tanh(f(v(h), v(x), W)), h),
    "of a weight": lambda v, f, W, h, x: (ag.tanh(f(h, v(W), v(W)) + x), v(W)),
    "of the result": lambda v, f, W, h, x: (ag.tanh(v(f(h, x, W))), v(f(x, x, W))),
}


def check(view: View, consumer: Any, place: Any) -> None:
    """Compare twice, with other values: nothing of the first call may be left in the second."""
    for seed in (0, 1):
        W, h, xs = (values(*shape, seed=seed) for shape in ((N, N), (N, N), (T, N, N)))

        def step(h: Any, x: Any, W: Any = W) -> Any:
            return place(view, consumer, W, h, x)

        found = []
        for compile in (None, False):
            out = ag.scan(step, h, xs, compile=compile)
            found.append((out, gradients_of(out, [W, h, xs])))
        same(*found)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views(view: View, place: Any, request: pytest.FixtureRequest) -> None:
    """In front of a product of rows, and of some other consumers; of all if `--thorough`."""
    names, some = list(CONSUMERS), random.Random(request.node.name)
    thorough = request.config.getoption("--thorough")
    for name in names if thorough else ["linear", *some.sample(names[1:], 3)]:
        check(view, CONSUMERS[name], place)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_views_of_views(place: Any) -> None:
    triples = list(itertools.product(VIEWS.values(), VIEWS.values(), CONSUMERS.values()))
    for first, second, consumer in random.Random(0).sample(triples, 30):
        check(lambda a, first=first, second=second: second(first(a)), consumer, place)
