"""Programs with a symbolic batch size."""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from graphs import CPU, GraphBuilder
from loop_graphs import LINEAR, B, H, elman

import autograd as ag
from autograd.compile.generalize import BatchSize, batch_axis, for_batch, union
from autograd.compile.loop_program import LoopProgram
from autograd.compile.lowering import lower
from autograd.compile.schedule import build_schedule

pytestmark = pytest.mark.host


def program(pair: Any) -> LoopProgram:
    return lower(build_schedule(*pair))


def sizes(x: Any) -> set[Any]:
    """Return the symbolic sizes in a program."""
    if isinstance(x, BatchSize):
        return {x}
    if is_dataclass(x):
        return set().union(*[sizes(getattr(x, f.name)) for f in fields(x)])
    if isinstance(x, (tuple, list)):
        return set().union(*map(sizes, x))
    return sizes(list(x.values())) if isinstance(x, dict) else set()


def test_the_union_is_every_program() -> None:
    programs = {n: program(elman(GraphBuilder(), n)) for n in (2, 3, 50)}
    general = union(programs[2], 2, programs[3], 3)
    assert general is not None
    assert sizes(general) == {BatchSize(1)}
    assert batch_axis(general.carry, general.xs) == (False, 0, 0, 1)
    for n, expected in programs.items():
        found = for_batch(general, n, CPU)
        assert str(found) == str(expected)
        assert sizes(found) == set()
        assert [b.shape for b in found.buffers] == [b.shape for b in expected.buffers]
        assert found.forward.body[0].outputs[0].buffer in found.buffers
    assert batch_axis(programs[2].carry, programs[2].xs) is None


def with_constant(batch: int, make: Any) -> LoopProgram:
    b = GraphBuilder()
    h, x = b.value(batch, H), b.value(2 * batch, H)
    new = b.op(ag.add, h, b.constant(make(batch)))
    graph = b.forward([h], [new], [x], [], [b.op(ag.exp, x)])
    return program((graph, None))


def test_constants_of_one_value_have_any_size() -> None:
    general = union(
        *[y for n in (2, 3) for y in (with_constant(n, lambda n: np.full((n, H), 0.5)), n)]
    )
    assert general is not None
    assert sizes(general) >= {BatchSize(1), BatchSize(2)}
    for n in (2, 9):
        ((_, array),) = for_batch(general, n, CPU).constants
        np.testing.assert_array_equal(array, np.full((n, H), 0.5))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.arange(n * H, dtype=float).reshape(n, H),
        lambda n: np.full((n, H), 1.0 / n),
        lambda n: np.full((1, H), float(n)),
        lambda n: np.full((n, H), 0.5, np.float32 if n == 2 else np.float64),
    ],
)
def test_other_constants_prevent_a_union(make: Any) -> None:
    assert union(with_constant(2, make), 2, with_constant(3, make), 3) is None


def test_equal_constants_are_kept() -> None:
    array = np.linspace(0, 1, H)
    first, second = (with_constant(n, lambda n: array) for n in (2, 3))
    general = union(first, 2, second, 3)
    assert general is not None
    ((_, found),) = for_batch(general, 5, CPU).constants
    np.testing.assert_array_equal(found, array)


def test_different_structures_prevent_a_union() -> None:
    def step(batch: int, **changes: Any) -> LoopProgram:
        b = GraphBuilder()
        h, W = b.value(batch, H), b.value(H, H)
        a = b.op(LINEAR, h, W)
        new = b.op(
            changes.get("operation", ag.tanh), b.op(ag.multiply, a, changes.get("factor", 2.0))
        )
        return program((b.forward([h], [new], [], [W]), None))

    assert union(step(2), 2, step(3), 3) is not None
    assert union(step(2), 2, step(3, factor=3.0), 3) is None
    assert union(step(2), 2, step(3, operation=ag.sin), 3) is None
    assert union(step(2), 2, step(4), 3) is None
    assert union(step(4), 2, step(6), 3) is not None
    assert union(step(B, factor=-0.0), B, step(B + 1, factor=0.0), B + 1) is None
