"""One step of a recurrence as a program, forward and backward.

The step is called once, on symbols. The operations leave their nodes in the recorded graph as ever;
running the engine's own VJP rules on these nodes, with symbols for gradients, writes down the
backward step.

Where a primitive works element by element, its gradient is g times a factor that does not depend on
g: what its rule makes of 1. Factors are kept apart from gradients as long as that goes, since all
of them can be computed before the backward loop begins. A rule that selects has no such factor:
elements that are not selected are 0 even for an infinite g.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from .. import backend
from ..core import graph
from ..core.graph import GET_OUTPUT, Node, ancestors_since
from ..core.install import operations
from ..core.mutation import next_version
from ..core.pytree import flatten, same_structure, structure, tree_map, unflatten
from ..core.tensor import Tensor
from ..ops.elementwise import add, multiply, zero_gradient
from ..ops.selection import SELECTIONS
from ..transforms import is_recorded
from .program import Program, Symbol, Untraceable, pointwise


class Step:
    """A step, written down: its program, with the symbols of what goes in and comes out.

    `parents` are the nodes outside it that gradients go to; some of them may be `made` by the step
    from what is the same every time, and `behind` them are those from before.
    """

    program: Program
    carry: list[Symbol]
    xs: list[Symbol]
    new: list[Symbol]
    ys: list[Symbol]
    nested: tuple[Any, Any]  # the nestings of the new carry and of y
    order: list[int]  # the place in the new carry of each leaf of the carry
    parents: list[Node]

    def __init__(
        self, step: Callable[..., Any], carry: Any, xs: Any, first: Step | None = None
    ) -> None:
        """Trace `step`. After a `first` trace, the carry is the one that it returned, as
        at the second step: with the entries of dicts in the same order, for example.
        """
        start = next_version()
        leaves = flatten(carry)
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            raise Untraceable("its carry is not made of tensors")
        arrays = [leaf._data for leaf in (*leaves, *flatten(xs))]
        if any(isinstance(array, Symbol) for array in arrays):
            raise Untraceable("it runs within another recurrence's step", expected=True)
        if not arrays:
            raise Untraceable("it has neither carry nor input")
        self.program = Program(backend.of_array(arrays[0]))
        on = graph.recording.get()

        def stand_in(shape: Any, dtype: Any, wanted: bool) -> Tensor:
            node = Node(None, (), None, shape, dtype) if wanted and dtype.kind == "f" else None
            self.program.key.append(node is not None)
            return Tensor(self.program.input(shape, dtype), node)

        # The carry has its history even where nothing is recorded: the step may switch that on.
        ins = [stand_in(leaf.shape, leaf.dtype, True) for leaf in leaves]
        slices = [
            stand_in(leaf.shape[1:], leaf.dtype, on and is_recorded(leaf)) for leaf in flatten(xs)
        ]
        self.carry, self.xs = [t._data for t in ins], [t._data for t in slices]
        self._stand_ins = [t._node for t in (*ins, *slices)]
        given = unflatten(carry, ins) if first is None else first.handed_on(ins)
        pair = step(given, unflatten(xs, slices))
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise Untraceable(f"it returns {structure(pair)}")
        if not same_structure(pair[0], carry):
            raise Untraceable("its carry changes its nesting")
        places = unflatten(pair[0], range(len(ins)))
        self.order = flatten(tree_map(lambda _, place: place, carry, places))
        new = flatten(pair[0])
        outs = [new[place] for place in self.order] + flatten(pair[1])
        if not all(isinstance(leaf, Tensor) for leaf in outs):
            raise Untraceable("it returns something that is not a tensor")
        symbols = [self.program.value(leaf._data) for leaf in outs]
        self.new, self.ys = symbols[: len(ins)], symbols[len(ins) :]
        self.nested = pair
        for now, before in zip(self.new, self.carry, strict=True):
            if (now.shape, now.dtype) != (before.shape, before.dtype):
                raise Untraceable(
                    f"its carry turns from {before.shape} {before.dtype} to {now.shape} {now.dtype}"
                )
        self._walk([(leaf._node, symbol) for leaf, symbol in zip(outs, symbols, strict=True)])
        made = [node for node in self.parents if node.number > start]
        self.made, self.behind = set(made), list(ancestors_since(start, made)[1])
        self._out_nodes = [leaf._node for leaf in outs]
        self.key = (tuple(self.program.key), tuple(s.number for s in symbols), tuple(self._edges))
        self.signature = (self.program.backend, *map(structure, pair), *self.key)

    def handed_on(self, leaves: list[Any]) -> Any:
        """Leaves in the order of the carry, nested as the step nests them."""
        placed = sorted(zip(self.order, leaves, strict=True), key=lambda pair: pair[0])
        return unflatten(self.nested[0], [leaf for _, leaf in placed])

    def is_like(self, other: Step) -> bool:
        """True if another trace has the same operations and constants of the same values."""
        if self.signature != other.signature:
            return False
        pairs = zip(self.program.constants, other.program.constants, strict=True)
        return all(a is b or bool(((a == b) | (a != a)).all()) for (_, a), (_, b) in pairs)

    def reach(self) -> list[set[int]]:
        """Return the sources on which each result depends: positions among the leaves of the carry,
        the leaves of xs, and `parents`, in this order.
        """
        sources = [*self._stand_ins, *self.parents]
        found = {node: {n} for n, node in enumerate(sources) if node is not None}
        for node in sorted(self.nodes, key=lambda node: node.number):
            found[node] = set().union(*[found[p] for p in node.parents if p is not None])
        return [set() if node is None else found[node] for node in self._out_nodes]

    def _walk(self, outs: Iterable[tuple[Node | None, Symbol]]) -> None:
        """Find the nodes of the step, beside the operations that left them, and `parents`."""
        self.nodes: dict[Node, Symbol] = {}
        self.parents = []
        self._edges: list[Any] = []
        stand_ins = {node: n for n, node in enumerate(self._stand_ins) if node is not None}
        known: dict[Node, int] = dict(stand_ins)
        stack = list(outs)
        for node, symbol in stack:
            self._edges.append(None if node is None else symbol.number)
        while stack:
            node, symbol = stack.pop()
            if node is None or node in stand_ins or node in self.nodes:
                continue
            op = symbol.op
            if op is None:
                if node not in known:
                    known[node] = -1 - len(self.parents)
                    self.parents.append(node)
                self._edges.append((symbol.number, known[node]))
                continue
            if node.accumulator is not None:
                raise Untraceable("an inner tensor has a hook, or keeps its gradient")
            self.nodes[node] = symbol
            whole = node
            if node.primitive is GET_OUTPUT:
                whole = node.parents[0]  # type: ignore[assignment]
                self.nodes.setdefault(whole, symbol)
            if whole.primitive is not op.primitive or len(whole.parents) != len(op.args):
                raise Untraceable(f"{whole.primitive.name} stands for a whole computation")
            for parent, arg in zip(whole.parents, op.args, strict=True):
                if parent is not None:
                    stack.append((parent, arg))
            self._edges.append(
                (symbol.number, tuple([parent is not None for parent in whole.parents]))
            )

    def differentiate(self) -> None:
        """Write down the backward step: from symbols for the gradients of `new` and `ys` to those
        of carry, xs and parents.
        """
        program = self.program
        pending: dict[Node, list[Any]] = {}
        outs = [*self.new, *self.ys]
        self.forward_ops, self.inputs = len(program.ops), len(program.constants)
        self.d_outs: list[Symbol | None] = []
        # A carry hands a gradient back even where nothing but its first value has a history.
        carries = [*self._stand_ins[: len(self.carry)], *[None for _ in self.ys]]
        for symbol, node, carry in zip(outs, self._out_nodes, carries, strict=True):
            none = node is None and carry is None
            g = None if none else program.input(symbol.shape, symbol.dtype)
            self.d_outs.append(g)
            if node is not None:
                pending.setdefault(node, []).append((g, None))
        for node in sorted(self.nodes, key=lambda node: -node.number):
            terms = pending.pop(node, None)
            if terms is None:
                continue
            if node.primitive is GET_OUTPUT:
                slots = pending.setdefault(node.parents[0], [[] for _ in node.parents[0].shape])  # type: ignore
                slots[node.residuals] = terms
                continue
            try:
                for parent, term in self._pulled(node, terms):
                    pending.setdefault(parent, []).append(term)
            except (TypeError, ValueError) as error:  # only a backward pass should raise it
                raise Untraceable(str(error)) from error
        wanted: list[Any] = [*self._stand_ins, *self.parents]
        found = [self._total(pending.get(node)) if node is not None else None for node in wanted]
        found = [None if g is None else program.real(g) for g in found]
        n, m = len(self.carry), len(self._stand_ins)
        self.d_carry, self.d_xs, self.d_parents = found[:n], found[n:m], found[m:]
        program.open = False

    def drop(self) -> None:
        """Break the reference cycles of the traced operations."""
        program = self.program
        for op in program.ops:
            op.outs = ()
        for forgotten in (program.values, program.ops, program.constants):
            forgotten.clear()
        program._found, program._of_array = {}, {}

    def forget(self) -> Step:
        """Without the nodes and arrays that it was traced with: what a plan may hold on to."""
        self.nodes, self.parents, self._stand_ins, self._out_nodes = {}, [], [], []
        self.made, self.behind, self.nested = set(), [], (None, None)
        self.program.constants = self.program.constants[self.inputs :]
        self.program._of_array = {}
        return self

    def _pulled(self, node: Node, terms: Any) -> Iterable[tuple[Node, Any]]:
        """The gradients of a node's parents, as pairs of a gradient and its factor."""
        program, primitive = self.program, node.primitive
        saved = self._saved(node.residuals)
        if isinstance(node.dtype, tuple):
            g: Any = tuple([program.real(self._total(slot)) if slot else None for slot in terms])
        elif (slopes := self._factors(node, saved)) is not None:
            base, factor = self._joined(terms)
            for parent, slope in zip(node.parents, slopes, strict=True):
                if parent is None or slope is None:
                    continue
                like = (slope.shape, slope.dtype) == (node.shape, node.dtype)
                if factor is not None:
                    slope = multiply(slope, factor)
                if like and (parent.shape, parent.dtype) == (node.shape, node.dtype):
                    yield parent, (base, slope)
                else:
                    g = operations.unbroadcast(_times(base, slope), parent.shape, parent.dtype)
                    yield parent, (g, None)
            return
        else:
            g = program.real(self._total(terms))
        found = graph.apply_vjp(primitive, g, saved, node.parents)
        found = [program.value(x) if hasattr(x, "dtype") else x for x in found]
        for parent, gradient in zip(node.parents, found, strict=True):
            if parent is not None:
                gradient = graph.conform_gradient(gradient, parent, node, g, node.parents, found)
                if gradient is not None:
                    yield parent, (gradient, None)

    def _factors(self, node: Node, saved: Any) -> list[Any] | None:
        """Return the factors by which the rules of an elementwise operation multiply a gradient;
        None if it is not elementwise, or if a rule selects.
        """
        primitive = node.primitive
        if not pointwise(primitive) or zero_gradient in primitive.rules.values():
            return None
        one = self.program.full(1.0, node.shape, node.dtype)
        slopes = [
            None if slope is None else self.program.value(slope)
            for slope in primitive.vjp(one, saved, node.parents)
        ]
        makers = [getattr(slope, "op", None) for slope in slopes]
        return None if any(op and op.primitive in SELECTIONS for op in makers) else slopes

    def _saved(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._saved, value))
        return (
            self.program.value(value)
            if hasattr(value, "dtype") and not isinstance(value, Symbol)
            else value
        )

    def _joined(self, terms: Any) -> tuple[Any, Any]:
        """Return terms as one gradient with its factor: equal gradients share a sum of factors."""
        factors: dict[Symbol, Any] = {}
        for base, factor in terms:
            one = self.program.full(1.0, base.shape, base.dtype) if factor is None else factor
            factors[base] = add(factors[base], one) if base in factors else one
        if len(factors) == 1:
            ((base, factor),) = factors.items()
            return base, factor
        return functools.reduce(add, [_times(*term) for term in factors.items()]), None

    def _total(self, terms: Any) -> Any:
        return None if terms is None else _times(*self._joined(terms))


def _times(gradient: Any, factor: Any) -> Any:
    return gradient if factor is None else multiply(gradient, factor)
