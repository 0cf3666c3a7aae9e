"""Step graphs with each special form of operands and instructions, for tests of the compiler.

The backward graphs are not derivatives: any operations on gradients test the execution.
"""

import random
from typing import Any

import numpy as np
from graphs import Build, GraphBuilder

import autograd as ag
from autograd.compile.ir import BackwardGraph, StepGraph, Value
from autograd.ops import extremes, indexing, joining, matmul, reduction, shape

LINEAR, MATMUL, SUM = matmul._linear, matmul._matmul, reduction._sum
SPLIT, CONCATENATE, STACK = joining._split, joining._concatenate, joining._stack
RESHAPE, TRANSPOSE, REVERSED = shape._reshape, shape._transpose, shape.reversed_axes
BROADCAST, GETITEM = shape._broadcast_to, indexing._getitem
TAKE, SCATTER = indexing._take, indexing._scatter

Graphs = tuple[StepGraph, BackwardGraph]
B, I, H = 3, 2, 4


def elman(b: GraphBuilder, batch: int = B) -> Graphs:
    """tanh(W x + U h), with the gradients of an Elman network."""
    h, x = b.value(batch, H), b.value(batch, I)
    W, U = b.value(H, I), b.value(H, H)
    new = b.op(ag.tanh, b.op(ag.add, b.op(LINEAR, x, W), b.op(LINEAR, h, U)))
    graph = b.forward([h], [new], [x], [W, U], [new])
    g, d_y = b.value(batch, H), b.value(batch, H)
    derivative = b.op(ag.subtract, 1, b.op(ag.multiply, new, new))
    d = b.op(ag.multiply, b.op(ag.add, g, d_y), derivative)
    d_W, d_U = (b.op(MATMUL, b.op(REVERSED, d), value) for value in (x, h))
    d_x, d_h = b.op(MATMUL, d, W), b.op(MATMUL, d, U)
    return graph, b.backward([g], [d_h], [d_y], [d_x], [d_W, d_U])


def gates(b: GraphBuilder) -> Graphs:
    """A split of one product; gradients that are computed in their place in a concatenation."""
    h, c, x = b.value(B, H), b.value(B, H), b.value(B, 3 * H)
    U = b.value(3 * H, H)
    i, f, o = b.op(SPLIT, b.op(ag.add, x, b.op(LINEAR, h, U)), indices=(H, 2 * H), axis=1)
    new_c = b.op(ag.add, b.op(ag.multiply, b.op(ag.sigmoid, f), c), b.op(ag.tanh, i))
    new_h = b.op(ag.multiply, b.op(ag.sigmoid, o), new_c)
    graph = b.forward([h, c], [new_h, new_c], [x], [U], [new_h])
    g_h, g_c, d_y = (b.value(B, H) for _ in range(3))
    d_o = b.op(ag.multiply, b.op(ag.add, g_h, d_y), new_c)
    d_c = b.op(ag.multiply, g_c, d_o)
    parts = [b.op(ag.multiply, d_c, i), b.op(ag.multiply, d_c, d_o), d_o]
    whole = b.op(CONCATENATE, *parts, axis=1)
    d_U = b.op(MATMUL, b.op(TRANSPOSE, whole, axes=(1, 0)), h)
    d_h = b.op(MATMUL, whole, U)
    return graph, b.backward([g_h, g_c], [d_h, d_c], [d_y], [whole], [d_U])


def swapped_carry(b: GraphBuilder) -> Graphs:
    """Two carries that change places, also their gradients; one is also an output."""
    h, c, x = b.value(B, H), b.value(B, H), b.value(B, H)
    new = b.op(ag.multiply, h, x)
    graph = b.forward([h, c], [c, new], [x], [], [h])
    g_h, g_c, d_y = (b.value(B, H) for _ in range(3))
    return graph, b.backward([g_h, g_c], [g_c, g_h], [d_y], [b.op(ag.multiply, g_c, d_y)])


def constant_carry(b: GraphBuilder) -> Graphs:
    """A new carry that does not vary, another that is an input, and a gradient that is zero."""
    h, c, x, w = b.value(B, H), b.value(B, H), b.value(B, H), b.value(B, H)
    y = b.op(ag.add, h, c)
    graph = b.forward([h, c], [b.op(ag.exp, w), x], [x], [w], [y])
    g_h, g_c, d_y = (b.value(B, H) for _ in range(3))
    d = b.op(ag.add, d_y, g_c)
    return graph, b.backward([g_h, g_c], [d, None], [d_y], [d], [b.op(ag.multiply, w, w)])


def no_axes(b: GraphBuilder) -> Graphs:
    """Arrays without axes, and numbers as arguments."""
    h, x, w = b.value(), b.value(), b.value()
    new = b.op(ag.tanh, b.op(ag.add, b.op(ag.multiply, h, w), b.op(ag.multiply, x, 0.5)))
    graph = b.forward([h], [new], [x], [w], [b.op(ag.subtract, 1, new)])
    g, d_y = b.value(), b.value()
    d = b.op(ag.multiply, b.op(ag.add, g, d_y), new)
    return graph, b.backward([g], [d], [d_y], [b.op(ag.negative, d)], [b.op(ag.multiply, d, h)])


def views(b: GraphBuilder) -> Graphs:
    """Views of all kinds: of the carry, of inputs and of captures, in the body and at once."""
    h, x, w = b.value(B, 4), b.value(2, 2, B), b.value(1, 4)
    moved = b.op(TRANSPOSE, b.op(RESHAPE, x, shape=(4, B)), axes=(1, 0))
    column = b.op(GETITEM, h, index=(..., slice(None, None, -1), None))
    a = b.op(SUM, b.op(ag.multiply, column, 2.0), axes=(-1,), keepdims=False)
    wide = b.op(BROADCAST, b.op(GETITEM, w, index=0), shape=(B, 4))
    first = b.op(BROADCAST, b.op(GETITEM, h, index=(slice(0, 1),)), shape=(B, 4))
    new = b.op(ag.tanh, b.op(ag.add, b.op(ag.add, a, first), b.op(ag.multiply, wide, moved)))
    rows = b.op(RESHAPE, b.op(REVERSED, new), shape=(2, 2 * B))
    graph = b.forward([h], [new], [x], [w], [rows, moved])
    g, d_rows, d_moved = b.value(B, 4), b.value(2, 2 * B), b.value(B, 4)
    d = b.op(ag.add, b.op(ag.multiply, g, b.op(ag.multiply, first, wide)), d_moved)
    back = b.op(RESHAPE, b.op(REVERSED, d), shape=(2, 2, B))
    total = b.op(SUM, b.op(RESHAPE, d_rows, shape=(B, 4)), axes=(0,), keepdims=True)
    return graph, b.backward([g], [d], [d_rows, d_moved], [back], [total])


def alignment(b: GraphBuilder) -> Graphs:
    """Arguments of fewer dimensions than others, at once; concatenations with captures."""
    h, x, v, w = b.value(B, H), b.value(B, H), b.value(H), b.value(B, 1)
    scaled = b.op(ag.multiply, b.op(ag.add, v, x), w)
    joined = b.op(CONCATENATE, scaled, w, axis=-1)
    stacked = b.op(STACK, scaled, b.op(BROADCAST, w, shape=(B, H)), axis=1)
    new = b.op(ag.multiply, h, scaled)
    graph = b.forward([h], [new], [x, v], [w], [joined, stacked])
    g, d_y, d_z = b.value(B, H), b.value(B, H + 1), b.value(B, 2, H)
    d = b.op(ag.multiply, g, scaled)
    d_v = b.op(SUM, d, axes=(0,), keepdims=False)
    d_w = b.op(SUM, d_y, axes=(1,), keepdims=True)
    return graph, b.backward(
        [g], [d], [d_y, d_z], [b.op(SUM, d_z, axes=(1,), keepdims=False), d_v], [d_w]
    )


def products(b: GraphBuilder) -> Graphs:
    """Products of batches of matrices, and of matrices that vary."""
    h, x, W = b.value(2, B, H), b.value(H, H), b.value(H, H)
    new = b.op(ag.tanh, b.op(MATMUL, b.op(LINEAR, h, W), x))
    y = b.op(MATMUL, b.op(MATMUL, new, W), b.op(TRANSPOSE, W, axes=(1, 0)))
    graph = b.forward([h], [new], [x], [W], [y])
    g, d_y = b.value(2, B, H), b.value(2, B, H)
    d = b.op(MATMUL, b.op(ag.add, g, d_y), b.op(REVERSED, W))
    flat = b.op(RESHAPE, d, shape=(2 * B, H))
    d_W = b.op(MATMUL, b.op(REVERSED, flat), b.op(RESHAPE, h, shape=(2 * B, H)))
    return graph, b.backward([g], [d], [d_y], [b.op(MATMUL, x, W)], [d_W])


def tables(b: GraphBuilder) -> Graphs:
    """Rows of a table by index, and the scatter-add of their gradients."""
    h, n, table = b.value(B, H), b.value(B, dtype="int64"), b.value(2, H)
    row = b.op(TAKE, table, indices=n, axis=0)
    new = b.op(ag.multiply, b.op(ag.add, h, row), 0.5)
    graph = b.forward([h], [new], [n], [table], [b.op(GETITEM, new, index=(n,))])
    g, d_y = b.value(B, H), b.value(B, H)
    d = b.op(ag.add, g, d_y)
    d_table = b.op(SCATTER, d, index=n, shape=(2, H))
    return graph, b.backward([g], [b.op(ag.negative, d)], [d_y], [None], [d_table])


def extrema(b: GraphBuilder) -> Graphs:
    """Functions without `out`, and those for which CuPy takes it as a keyword."""
    h, x = b.value(B, H), b.value(B, H)
    top = b.op(ag.maximum, b.op(ag.relu, h), b.op(ag.minimum, x, 0.5))
    new = b.op(ag.where, b.op(ag.greater, top, 0.1), top, x)
    most = b.op(extremes._max, new, axes=(1,), keepdims=True)
    graph = b.forward([h], [b.op(ag.subtract, new, most)], [x], [], [most])
    g, d_y = b.value(B, H), b.value(B, 1)
    d = b.op(ag.multiply, g, d_y)
    return graph, b.backward([g], [d], [d_y], [b.op(ag.maximum, d, g)])


def half_precision(b: GraphBuilder) -> Graphs:
    """Sums of float16, which are computed in float32."""
    h, x, w = (b.value(B, H, dtype="float16") for _ in range(3))
    total = b.op(SUM, b.op(ag.multiply, h, w), axes=(0,), keepdims=True)
    new = b.op(ag.tanh, b.op(ag.add, total, x))
    graph = b.forward([h], [new], [x], [w], [])
    g = b.value(B, H, dtype="float16")
    d = b.op(ag.multiply, g, w)
    return graph, b.backward([g], [d], [], [d], [b.op(ag.multiply, g, h)])


def constants(b: GraphBuilder) -> Graphs:
    """Arrays that the step and the VJP rules create."""
    h, x = b.value(B, H), b.value(B, H)
    matrix = b.constant(np.arange(H * H, dtype=float).reshape(H, H).T / 16)
    new = b.op(ag.tanh, b.op(ag.add, b.op(MATMUL, h, matrix), x))
    graph = b.forward([h], [new], [x], [], [])
    g = b.value(B, H)
    d = b.op(ag.multiply, g, b.constant(np.full((B, H), 0.5)))
    return graph, b.backward([g], [b.op(LINEAR, d, matrix)], [], [d])


GRAPHS: dict[str, Build] = {
    build.__name__: build
    for build in (
        *(elman, gates, swapped_carry, constant_carry, no_axes, views, alignment, products),
        *(tables, extrema, half_precision, constants),
    )
}


def graphs(name: str) -> Any:
    """Return the graphs of a name."""
    return GRAPHS[name](GraphBuilder())


# --- random graphs --------------------------------------------------------------------------------


class RandomGraph:
    """Random operations on values of shape (B, H), many of them elementwise."""

    def __init__(self, seed: int) -> None:
        self.rng, self.builder = random.Random(seed), GraphBuilder()

    def graphs(self) -> Graphs:
        b, rng = self.builder, self.rng
        self.matrices = [b.value(H, H)]
        carry, xs, captures = (
            [b.value(B, H) for _ in range(rng.randint(1, most))] for most in (3, 2, 1)
        )
        results = self._operations([*carry, *xs, *captures], rng.randint(2, 16))
        new_carry, ys = self._choose(results, len(carry)), self._choose(results, rng.randint(0, 2))
        graph = b.forward(carry, new_carry, xs, [*captures, *self.matrices], ys)
        gradients, d_ys = [b.value(B, H) for _ in carry], [b.value(B, H) for _ in ys]
        found = self._operations([*gradients, *d_ys, *self._choose(results, 3)], rng.randint(2, 12))
        found += gradients
        d_carry = [d if rng.random() < 0.9 else None for d in self._choose(found, len(carry))]
        d_captures: list[Any] = [d if rng.random() < 0.8 else None for d in self._choose(found, 1)]
        left, right = self._choose([*found, *results], 2)
        d_captures.append(b.op(MATMUL, b.op(REVERSED, left), right))
        d_captures = [*d_captures[:1] * len(captures), d_captures[-1]]
        return graph, b.backward(gradients, d_carry, d_ys, self._choose(found, len(xs)), d_captures)

    def _choose(self, values: list[Value], count: int) -> list[Value]:
        return [self.rng.choice(values) for _ in range(count)]

    def _operations(self, values: list[Value], count: int) -> list[Value]:
        """Append operations; return the values and the results of the operations."""
        values = values.copy()
        for _ in range(count):
            pair = values[-1:] + values[-1:] if self.rng.random() < 0.3 else values[-5:]
            values.append(self._operation(self._choose(pair, 2)))
        return values

    def _operation(self, pair: list[Value]) -> Value:
        b, rng, (x, y) = self.builder, self.rng, pair
        kind = rng.randrange(10)
        if kind < 4:
            operation = rng.choice([ag.add, ag.subtract, ag.multiply, ag.maximum])
            result = b.op(operation, x, y)
            return result if operation is ag.multiply else b.op(ag.multiply, result, 0.5)
        if kind < 6:
            return b.op(rng.choice([ag.tanh, ag.sigmoid, ag.negative]), x)
        if kind == 6:
            return b.op(ag.tanh, b.op(rng.choice([LINEAR, MATMUL]), x, *self.matrices))
        if kind == 7:
            first, second = b.op(SPLIT, x, indices=(rng.randint(1, H - 1),), axis=1)
            parts = [b.op(ag.tanh, second) if rng.random() < 0.5 else second, b.op(ag.sin, first)]
            return b.op(CONCATENATE, *parts, axis=1)
        if kind == 8:
            return b.op(GETITEM, x, index=(slice(None), slice(None, None, -1)))
        total = b.op(SUM, x, axes=(0,), keepdims=True)
        return b.op(ag.tanh, b.op(ag.add, total, y))


def random_graphs(seed: int) -> Graphs:
    """Return random graphs of a seed."""
    return RandomGraph(seed).graphs()
