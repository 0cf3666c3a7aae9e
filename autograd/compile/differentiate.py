"""The backward pass of a step: `StepGraph` to `BackwardGraph` by the engine's own VJP rules.

The rules run on traced arrays, with the arrays of the traced step as values and ones as gradients;
the log of their operations is the backward graph. Rules branch on shapes and dtypes, never on
values.

Where a primitive works element by element, its gradient is g times a factor that does not depend on
g: the result of its rule for g = 1. Factors are kept apart from gradients as long as possible,
since all of them can be computed before the backward loop. A rule that selects has no such factor:
elements that are not selected are 0 even for an infinite g.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core import graph
from ..core.install import operations
from ..core.primitive import Primitive
from ..core.pytree import tree_map
from ..ops.elementwise import add, multiply, zero_gradient
from ..ops.selection import SELECTIONS
from .ir import BackwardGraph, Op, StepGraph, Value, is_pointwise
from .keys import Reference, static_defaults
from .traced_array import TracedArray
from .tracing import Entry, OperationLog

Term = tuple[TracedArray, Any]
"""A gradient and the factor that it must be multiplied by, or None."""


class Place(NamedTuple):
    """The shape and dtype of a gradient: a node without a graph, for the VJP rules."""

    shape: Any
    dtype: Any
    primitive: Any = None


def differentiate(
    step: StepGraph,
    examples: Mapping[Value, Any],
    has_gradient: tuple[bool, ...],
    receives_gradient: tuple[bool, ...],
) -> BackwardGraph:
    """Return the backward pass of a step.

    Parameters
    ----------
    step : StepGraph
        The step.
    examples : dict of Value to array
        An array for each value, of its shape and dtype.
    has_gradient : tuple of bool
        For each leaf of the new carry and of y, True if gradients flow into it.
    receives_gradient : tuple of bool
        For each leaf of the carry and of x, and for each capture, True if it has a gradient.

    Raises
    ------
    TypeError, ValueError
        If a VJP rule returns a gradient of a wrong shape or type.
    """
    with np.errstate(all="ignore"):
        return _Differentiation(step, examples).run(has_gradient, receives_gradient)


class _FoldingLog(OperationLog):
    """A log that computes at once with arrays that hold one number everywhere.

    Factors begin with g = 1, which most rules multiply by something.
    """

    def __init__(self, array_backend: Any) -> None:
        super().__init__(array_backend)
        self.numbers: dict[int, Any] = {}  # what such an array holds, by the number of its value

    def reject(self, reason: str) -> None:
        """Raise TypeError: a rule must not depend on values."""
        raise TypeError(f"a VJP rule cannot be compiled: {reason}")

    def full(self, array: Any, number: Any) -> TracedArray:
        """Return an array that holds a number everywhere."""
        traced = self._add(array, None)
        self.numbers[traced.number] = number
        return traced

    def as_constant(self, x: Any) -> Any:
        """Return a value to compute with: a captured array in place of a folded one."""
        if not isinstance(x, TracedArray) or x.number not in self.numbers:
            return x
        array = self.arrays[x.number]
        return self.value(self.number_of(array))

    def record(self, primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Any:
        if not any(isinstance(x, TracedArray) and x.number in self.numbers for x in arrays):
            return super().record(primitive, arrays, static)
        if not is_pointwise(primitive):
            return super().record(primitive, [self.as_constant(x) for x in arrays], static)
        return self._folded(primitive, arrays, static)

    def _folded(self, primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Any:
        small = [self._as_scalar(x) for x in arrays]
        real = [self.arrays[x.number] if isinstance(x, TracedArray) else x for x in arrays]
        y = primitive.kernels[self.backend.array_type](*real, **static)
        if not any(isinstance(x, TracedArray) for x in small):
            number = primitive.kernels[np.ndarray](*small, **static)
            return self.full(self.backend.asarray(y), number.item())
        if primitive is multiply.primitive:
            for one, other in (arrays, reversed(arrays)):
                is_one = isinstance(one, TracedArray) and self.numbers.get(one.number) == 1
                if is_one and (other.shape, other.dtype) == (y.shape, y.dtype):
                    return other
        real = [self.arrays[x.number] if isinstance(x, TracedArray) else x for x in small]
        real = [self.backend.asarray(x) if isinstance(x, np.ndarray) else x for x in real]
        reduced = primitive.kernels[self.backend.array_type](*real, **static)
        if (reduced.shape, reduced.dtype) != (y.shape, y.dtype):
            small = [self.as_constant(x) for x in arrays]
        small = [self._as_capture(x) if isinstance(x, np.ndarray) else x for x in small]
        return super().record(primitive, small, static)

    def _as_scalar(self, x: Any) -> Any:
        """Return the number of a folded array as an array without axes; other values unchanged."""
        if isinstance(x, TracedArray) and x.number in self.numbers:
            return np.array(self.numbers[x.number], x.dtype)
        return x

    def _as_capture(self, scalar: Any) -> TracedArray:
        number = self.number_of(scalar[()])  # found again by its value
        return self.value(number)


class _Differentiation:
    """One reverse traversal of a `StepGraph`."""

    def __init__(self, step: StepGraph, examples: Mapping[Value, Any]) -> None:
        self.step = step
        self.log = _FoldingLog(step.backend)
        self.traced: dict[Value, TracedArray] = {}
        self.values: list[Value] = []  # by their number in the log
        inputs = [*step.carry, *step.xs, *step.captures, *[v for v, _ in step.constants]]
        for value in inputs:
            self._adopt(value, examples)
        for op in step.ops:
            self._adopt_op(op, examples)
        self.pending: dict[Value, Any] = {}  # a list of terms for each value

    def _adopt(self, value: Value, examples: Mapping[Value, Any]) -> None:
        """Add a value of the step to the log."""
        self.traced[value] = self.log._add(examples[value], None)
        self.values.append(value)

    def _adopt_op(self, op: Op, examples: Mapping[Value, Any]) -> None:
        """Add an operation of the step to the log, so that rules that repeat it find its result."""
        for out in op.outs:
            self._adopt(out, examples)
        args = tuple(map(self._reference, op.args))
        static = tree_map(self._reference, dict(op.static))
        first = self.traced[op.outs[0]].number
        self.log.adopt(Entry(op.primitive, args, static, first, len(op.outs), op.returns_tuple))

    def _reference(self, x: Any) -> Any:
        return Reference(self.traced[x].number) if isinstance(x, Value) else x

    def run(self, has_gradient: tuple[bool, ...], receives: tuple[bool, ...]) -> BackwardGraph:
        step = self.step
        carries = len(step.carry)
        d_results: list[Value | None] = []
        for i, (value, flows) in enumerate(
            zip([*step.new_carry, *step.ys], has_gradient, strict=True)
        ):
            # A leaf of the carry returns a gradient even if only its initial value has a history.
            is_carry = i < carries and receives[i]
            d_results.append(self._add_gradient(value, flows) if flows or is_carry else None)
        for op in reversed(step.ops):
            terms = [self.pending.pop(out, None) for out in op.outs]
            if any(terms) and any(op.differentiated):
                for arg, term in self._vjp(op, terms):
                    gradient, factor = term  # rules may return new arrays, such as zeros
                    term = self._as_traced(gradient), factor
                    self.pending.setdefault(arg, []).append(term)
        inputs = [*step.carry, *step.xs, *step.captures]
        found = [
            self._total(self.pending.get(value)) if receive else None
            for value, receive in zip(inputs, receives, strict=True)
        ]
        return self._graph(d_results, [self.log.as_constant(g) for g in found])

    def _add_gradient(self, result: Value, flows: bool) -> Value:
        ones = self.step.backend.xp.ones(result.shape, result.dtype)
        value = Value(len(self.values), result.shape, result.dtype)
        self._adopt(value, {value: ones})
        if flows:
            self.pending.setdefault(result, []).append((self.traced[value], None))
        return value

    def _graph(self, d_results: list[Value | None], found: list[Any]) -> BackwardGraph:
        log, step = self.log, self.step
        values = dict(enumerate(self.values))

        def value_of(number: int) -> Value:
            if number not in values:
                array = log.arrays[number]
                values[number] = Value(number, array.shape, array.dtype)
            return values[number]

        def argument(x: Any) -> Any:
            return value_of(x) if type(x) is Reference else x

        ops = [
            Op(
                entry.primitive,
                tuple(map(argument, entry.args)),
                tree_map(argument, entry.static),
                tuple([value_of(entry.first + i) for i in range(entry.outputs)]),
                entry.returns_tuple,
            )
            for entry in log.entries
        ]
        constants = [(value_of(number), log.arrays[number]) for number in log.captures]
        results = [None if g is None else value_of(g.number) for g in found]
        n, m = len(step.carry), len(step.carry) + len(step.xs)
        return BackwardGraph(
            ops=tuple(ops),
            constants=tuple(constants),
            d_new_carry=tuple(d_results[:n]),
            d_ys=tuple(d_results[n:]),
            d_carry=tuple(results[:n]),
            d_xs=tuple(results[n:m]),
            d_captures=tuple(results[m:]),
        )

    # --- gradients of one operation ---------------------------------------------------------------

    def _vjp(self, op: Op, terms: list[Any]) -> Iterable[tuple[Value, Term]]:
        """Yield the gradients of the arguments of an operation."""
        arrays = tuple([self.traced[x] if isinstance(x, Value) else x for x in op.args])
        outs = tuple([self.traced[out] for out in op.outs])
        parents = tuple(
            [
                Place(x.shape, x.dtype) if flows else None
                for x, flows in zip(op.args, op.differentiated, strict=True)
            ]
        )
        static = {**static_defaults(op.primitive), **tree_map(self._array, dict(op.static))}
        y = outs if op.returns_tuple else outs[0]
        residuals = op.primitive.save_residuals(arrays, y, static, parents)
        node = Place(outs[0].shape, outs[0].dtype, op.primitive)
        if op.returns_tuple:
            shapes, dtypes = [o.shape for o in outs], [o.dtype for o in outs]
            node = Place(tuple(shapes), tuple(dtypes), op.primitive)
            g: Any = tuple([self.log.as_constant(self._total(slot)) for slot in terms])
        else:
            factors = self._factors(node, residuals, parents)
            if factors is not None:
                yield from self._scaled(op, node, parents, terms[0], factors)
                return
            g = self.log.as_constant(self._total(terms[0]))
        found = graph.apply_vjp(op.primitive, g, residuals, parents)  # type: ignore[arg-type]
        found = [self._as_traced(x) for x in found]
        for arg, parent, gradient in zip(op.args, parents, found, strict=True):
            if parent is not None:
                place: Any = parent
                gradient = graph.conform_gradient(gradient, place, node, g, parents, found)
                if gradient is not None:
                    yield arg, (gradient, None)

    def _array(self, x: Any) -> Any:
        return self.traced[x] if isinstance(x, Value) else x

    def _as_traced(self, x: Any) -> Any:
        """Return the array that a rule returned as a value of the log."""
        if not hasattr(x, "dtype") or isinstance(x, TracedArray):
            return x
        number = self.log.number_of(x)
        return self.log.value(number)

    def _scaled(
        self, op: Op, node: Place, parents: Any, terms: list[Term], factors: list[Any]
    ) -> Iterable[tuple[Value, Term]]:
        """Yield the gradients of an elementwise operation, each as a gradient and its factor."""
        base, factor = self._joined(terms)
        for arg, parent, own in zip(op.args, parents, factors, strict=True):
            if parent is None or own is None:
                continue
            has_same_type = (own.shape, own.dtype) == (node.shape, node.dtype)
            if factor is not None:
                own = multiply(own, factor)
            if has_same_type and (parent.shape, parent.dtype) == (node.shape, node.dtype):
                yield arg, (base, own)
            else:
                g = operations.unbroadcast(_times(base, own), parent.shape, parent.dtype)
                yield arg, (g, None)

    def _factors(self, node: Place, residuals: Any, parents: Any) -> list[Any] | None:
        """Return the factors by which the rules of an elementwise operation multiply a gradient.

        The result is None if the operation is not elementwise, or if a rule selects.
        """
        primitive = node.primitive
        if not is_pointwise(primitive) or zero_gradient in primitive.rules.values():
            return None
        one = self.log.full(self.step.backend.xp.ones(node.shape, node.dtype), 1.0)
        factors = [self._as_traced(factor) for factor in primitive.vjp(one, residuals, parents)]
        for factor in factors:
            producer = self.log.entry_of(factor)
            if producer is not None and producer.primitive in SELECTIONS:
                return None
        return factors

    # --- sums of terms ----------------------------------------------------------------------------

    def _joined(self, terms: list[Term]) -> Term:
        """Return terms as one gradient with its factor: equal gradients share a sum of factors."""
        factors: dict[int, Any] = {}
        bases: dict[int, TracedArray] = {}
        for base, factor in terms:
            if factor is None:
                ones = self.step.backend.xp.ones(base.shape, base.dtype)
                factor = self.log.full(ones, 1.0)
            known = factors.get(base.number)
            factors[base.number] = factor if known is None else add(known, factor)
            bases[base.number] = base
        if len(factors) == 1:
            ((number, factor),) = factors.items()
            return bases[number], factor
        products = [_times(bases[number], factor) for number, factor in factors.items()]
        return functools.reduce(add, products), None

    def _total(self, terms: list[Term] | None) -> Any:
        return None if terms is None else _times(*self._joined(terms))


def _times(gradient: Any, factor: Any) -> Any:
    return gradient if factor is None else multiply(gradient, factor)
