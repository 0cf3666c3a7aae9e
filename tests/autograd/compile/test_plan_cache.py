"""The plans of compiled scans do not depend on batch sizes, lengths and numbers."""

import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import H, same, values

import autograd as ag
from tinygrad_rnn import nn


def plan_count() -> int:
    from autograd.compile import cache

    return int(cache.plan_count())


def elman(W: Any, scale: Any = 1.0) -> Callable[[Any, Any], Any]:
    def step(h: Any, x: Any) -> Any:
        h = ag.tanh(h @ W * scale + x)
        return h, scale * h * x

    return step


def user_step(W: Any, batch: int, steps: int, compile: bool | None = None) -> Any:
    h, xs = values(batch, H), values(steps, batch, H)
    last, ys = ag.scan(elman(W), h, xs, compile=compile)
    return last, ys, *ag.gradients(last.sum() + (ys * ys).sum(), [W, h, xs])


def flattening_step(W: Any, batch: int, steps: int, compile: bool | None = None) -> Any:
    """The batch size is part of the arguments of operations."""
    h, xs = values(batch, H), values(steps, batch, H)

    def step(h: Any, x: Any) -> Any:
        z = ag.concatenate([h, x]).reshape(2 * batch, H) @ W
        h = ag.tanh(z[:batch] + z.reshape(2, batch, H)[1] + ag.zeros((batch, 1), float))
        return h, h.reshape(-1) + ag.broadcast_to(W[0, 0], (batch * H,))

    last, ys = ag.scan(step, h, xs, compile=compile)
    return last, ys, *ag.gradients(last.sum() + (ys * ys).sum(), [W, h, xs])


def mean_over_the_batch(W: Any, batch: int, steps: int, compile: bool | None = None) -> Any:
    """A number depends on the batch size."""
    h, xs = values(batch, H), values(steps, batch, H)
    last, ys = ag.scan(
        lambda h, x: (ag.tanh(h @ W + x - h.mean(0)), h.sum() / batch), h, xs, compile=compile
    )
    return last, ys, *ag.gradients(last.sum() + (ys * ys).sum(), [W, h, xs])


def layer_of(kind: type[nn.Recurrent], compile: bool | None) -> nn.Recurrent:
    ag.manual_seed(0)
    return kind(H, 3, compile=compile).to("float64")  # type: ignore[call-arg]


def lstm(W: Any, batch: int, steps: int, compile: bool | None = None) -> Any:
    layer, x = layer_of(nn.LSTM, compile), values(steps, batch, H)  # type: ignore[arg-type]
    y, (h, c) = layer(x)
    total = y.sum() + (h * c).sum()
    return y, h, c, *ag.gradients(total, [x, *layer.parameters()])


def ragged_gru(W: Any, batch: int, steps: int, compile: bool | None = None) -> Any:
    layer, x = layer_of(nn.GRU, compile), values(steps, batch, H)  # type: ignore[arg-type]
    lengths = np.random.default_rng(batch).integers(1, steps + 1, batch)
    y, h = layer(x, lengths=lengths)
    return y, h, *ag.gradients(y.sum() + (h * h).sum(), [x, *layer.parameters()])


RUNS = [user_step, flattening_step, mean_over_the_batch, lstm, ragged_gru]
SHARING = [run for run in RUNS if run is not mean_over_the_batch]


@pytest.mark.parametrize("run", RUNS)
def test_results_at_many_sizes(run: Any) -> None:
    """In any order: 0 and 1 are sizes like others."""
    W, rng = values(H, H), random.Random(0)
    sizes = [(2, 3), (3, 3), (1, 3), (7, 3), (0, 3), (4, 2), (5, 1), (2, 9), (1, 2), (3, 4)]
    for batch, steps in [*sizes, *rng.sample(sizes, len(sizes))]:
        if not batch and run is mean_over_the_batch:
            continue
        same(run(W, batch, steps), run(W, batch, steps, False), ragged=run is ragged_gru)


@pytest.mark.host
@pytest.mark.parametrize("run", SHARING)
@pytest.mark.parametrize("count", [40, pytest.param(600, marks=pytest.mark.thorough)])
def test_batch_sizes_share_a_plan(run: Any, count: int) -> None:
    W = values(H, H)
    run(W, 2, 3)
    run(W, 3, 3)
    before = plan_count()
    for batch in range(4, 4 + count):
        run(W, batch, 3)
    assert plan_count() == before
    same(run(W, 5, 3), run(W, 5, 3, False), ragged=run is ragged_gru)


@pytest.mark.host
@pytest.mark.parametrize("run", SHARING)
@pytest.mark.parametrize("count", [30, pytest.param(300, marks=pytest.mark.thorough)])
def test_lengths_share_a_plan(run: Any, count: int) -> None:
    W = values(H, H)
    run(W, 3, 2)
    run(W, 3, 3)
    before = plan_count()
    for steps in range(4, 4 + count):
        run(W, 3, steps)
    assert plan_count() == before
    same(run(W, 3, 11), run(W, 3, 11, False), ragged=run is ragged_gru)


@pytest.mark.host
def test_captured_numbers_share_a_plan() -> None:
    """Also the derivatives depend on the number of the call."""
    W, h, xs = values(H, H), values(3, H), values(4, 3, H)

    def run(scale: Any, compile: bool | None = None) -> Any:
        out = ag.scan(elman(W, scale), h, xs, compile=compile)
        return out, ag.gradients(out[0].sum() + (out[1] ** 2).sum(), [W, h, xs])

    run(0.5)
    run(0.6)
    before = plan_count()
    for n in range(100):
        run(0.01 * n)
    assert plan_count() == before
    for scale in (0.0, 1.0, -0.7, 3, float("inf")):
        with np.errstate(all="ignore"):
            actual, expected = run(scale), run(scale, False)
        for one, other in zip(ag.flatten(actual), ag.flatten(expected), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-11, atol=1e-13)


def test_numbers_of_all_kinds_may_change() -> None:
    """Python's and NumPy's, integers that become floats, and numbers in every position."""
    W, h, xs = values(H, H), values(3, H), values(4, 3, H)
    numbers = {"a": 0.5, "b": 2, "c": 1.5, "d": -0.3}

    def step(h: Any, x: Any) -> Any:
        a, b, c, d = numbers.values()
        h = ag.tanh(a * (h @ W) + x / c - d) ** 2
        return h * b, ag.where(h > a, d, h) + ag.maximum(h, d) + ag.clip(x, d, c)

    def run(compile: bool | None = None) -> Any:
        out = ag.scan(step, h, xs, compile=compile)
        return out, ag.gradients(out[0].sum() + out[1].sum(), [W, h, xs])

    for name, value in [
        ("a", 0.25),
        ("a", 0.125),
        ("b", 3),
        ("b", -2),
        ("b", 0.5),
        ("c", 2.5),
        ("c", np.float64(1.25)),
        ("d", 0.1),
        ("d", 0),
        ("a", 1),
        ("a", True),
        ("c", np.float32(0.5)),
        ("b", 1),
    ]:
        numbers[name] = value
        same(run(), run(False))


@pytest.mark.host
def test_exponents_and_other_options_may_change() -> None:
    W, h, xs = values(H, H), values(3, H), values(4, 3, H)
    options: dict[str, Any] = {"power": 2, "axis": 0, "negative_slope": 0.1}

    def step(h: Any, x: Any) -> Any:
        h = ag.leaky_relu(h @ W + x, options["negative_slope"]) ** options["power"]
        return ag.tanh(h), ag.cumsum(h, axis=options["axis"])

    def run(compile: bool | None = None) -> Any:
        out = ag.scan(step, h, xs, compile=compile)
        return out, ag.gradients(out[0].sum() + out[1].sum(), [W, h, xs])

    for name, value in [
        ("power", 3),
        ("power", 2.0),
        ("axis", 1),
        ("negative_slope", 0.3),
        ("power", 1),
    ]:
        options[name] = value
        same(run(), run(False))


def resident_bytes() -> int:
    """Return the size of this process in memory; the tests are skipped without /proc."""
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("needs /proc")
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("VmRSS")]
    return 1024 * int(line.split()[1])


@pytest.mark.host
@pytest.mark.thorough
@pytest.mark.parametrize("run", SHARING)
def test_memory_does_not_grow(run: Any) -> None:
    """600 batch sizes and 300 lengths: not even by the plans and workspaces of ten of them."""
    W, rng = values(H, H), random.Random(0)
    sizes = [(batch, 5) for batch in range(1, 601)] + [(4, steps) for steps in range(1, 301)]
    rng.shuffle(sizes)
    for batch, steps in [(600, 5), (4, 300), *sizes[:100]]:
        run(W, batch, steps)
    gc.collect()
    before = resident_bytes()
    for batch, steps in sizes:
        run(W, batch, steps)
    gc.collect()
    assert resident_bytes() - before < 8_000_000
