"""Step graphs written by hand, and a reference that evaluates them step by step."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd import backend
from autograd.compile.ir import BackwardGraph, Op, StepGraph, Value, evaluate, verify

CPU = backend.get("cpu")


class GraphBuilder:
    """Creates the values and operations of a step.

    Operations belong to the forward pass until `backward` is called.
    """

    def __init__(self) -> None:
        self.count = 0
        self.ops: list[Op] = []
        self.constants: list[tuple[Value, Any]] = []
        self.graph: StepGraph | None = None

    def value(self, *shape: int, dtype: str = "float64") -> Value:
        self.count += 1
        return Value(self.count - 1, shape, np.dtype(dtype))

    def constant(self, array: Any) -> Value:
        value = self.value(*array.shape, dtype=array.dtype.name)
        self.constants.append((value, array))
        return value

    def op(self, operation: Any, *args: Any, **static: Any) -> Any:
        """Append an operation, and return its result or a tuple of results."""
        primitive = operation.primitive

        def zeros(x: Any) -> Any:
            if isinstance(x, tuple):
                return tuple(map(zeros, x))
            return np.zeros(x.shape, x.dtype) if isinstance(x, Value) else x

        with np.errstate(all="ignore"):
            results = primitive.kernels[np.ndarray](
                *map(zeros, args), **{name: zeros(x) for name, x in static.items()}
            )
        is_tuple = isinstance(results, tuple)
        outs = tuple(
            [
                self.value(*np.shape(r), dtype=np.asarray(r).dtype.name)
                for r in (results if is_tuple else (results,))
            ]
        )
        self.ops.append(Op(primitive, args, static, outs, is_tuple))
        return outs if is_tuple else outs[0]

    def forward(
        self,
        carry: Sequence[Value],
        new_carry: Sequence[Value],
        xs: Sequence[Value] = (),
        captures: Sequence[Value] = (),
        ys: Sequence[Value] = (),
    ) -> StepGraph:
        """Return the graph of the operations so far; the backward pass has the later ones."""
        tuples = map(tuple, (carry, xs, captures, self.constants, new_carry, ys))
        self.graph = StepGraph(CPU, tuple(self.ops), *tuples)
        self.ops, self.constants = [], []
        verify(self.graph)
        return self.graph

    def backward(
        self,
        d_new_carry: Sequence[Value | None],
        d_carry: Sequence[Value | None],
        d_ys: Sequence[Value | None] = (),
        d_xs: Sequence[Value | None] = (),
        d_captures: Sequence[Value | None] = (),
    ) -> BackwardGraph:
        """Return the backward graph of the operations since `forward`."""
        assert self.graph is not None
        tuples = map(tuple, (self.constants, d_new_carry, d_ys, d_carry, d_xs, d_captures))
        graph = BackwardGraph(tuple(self.ops), *tuples)
        verify(self.graph, graph)
        return graph


class Reference:
    """Evaluates graphs step by step."""

    def __init__(self, graph: StepGraph, backward: BackwardGraph | None) -> None:
        self.graph, self.backward_graph = graph, backward
        self.steps: list[dict[Value, Any]] = []

    def forward(self, carry: Any, xs: Any, captures: Any, steps: int) -> tuple[Any, Any]:
        """Return the last carry and the ys."""
        graph, ys = self.graph, []
        self.steps = []
        for t in range(steps):
            arrays = dict(graph.constants)
            arrays.update(zip(graph.carry, carry, strict=True))
            arrays.update(zip(graph.xs, [x[t] for x in xs], strict=True))
            arrays.update(zip(graph.captures, captures, strict=True))
            evaluate(graph.ops, arrays, CPU)
            self.steps.append(arrays)
            carry = [arrays[v] for v in graph.new_carry]
            ys.append([arrays[v] for v in graph.ys])
        return carry, [np.stack(y) for y in zip(*ys, strict=True)]

    def backward(self, d_last: Any, d_ys: Any, detach_points: Any = ()) -> tuple[Any, Any, Any]:
        """Return the gradients of the first carry, the xs and the captures."""
        graph = self.backward_graph
        assert graph is not None
        gradients: list[Any] = list(d_last)
        d_xs: list[Any] = []
        totals: list[Any] = [0 for _ in graph.d_captures]
        for t, arrays in reversed(list(enumerate(self.steps))):
            arrays = {**arrays, **dict(graph.constants)}
            arrays.update(zip(graph.d_new_carry, gradients, strict=True))
            arrays.update(zip(graph.d_ys, [y[t] for y in d_ys], strict=True))
            evaluate(graph.ops, arrays, CPU)
            gradients = [
                np.zeros_like(g) if d is None or t in detach_points else arrays[d]
                for g, d in zip(gradients, graph.d_carry, strict=True)
            ]
            d_xs.append([None if d is None else arrays[d] for d in graph.d_xs])
            totals = [
                None if d is None else total + arrays[d]
                for d, total in zip(graph.d_captures, totals, strict=True)
            ]
        columns = [list(column)[::-1] for column in zip(*d_xs, strict=True)]
        return gradients, [None if x[0] is None else np.stack(x) for x in columns], totals


def random_arrays(values: Sequence[Value | None], *time: int, seed: int = 0) -> list[Any]:
    """Return random arrays of the shapes of values, with axes for the time; integers are 0 or 1."""
    rng = np.random.default_rng(seed)

    def array(value: Value) -> Any:
        shape = (*time, *value.shape)
        if value.dtype.kind == "f":
            return rng.uniform(-1, 1, shape).astype(value.dtype)
        return rng.integers(0, 2, shape).astype(value.dtype)

    return [None if v is None else array(v) for v in values]


Build = Callable[[GraphBuilder], tuple[StepGraph, BackwardGraph | None]]
