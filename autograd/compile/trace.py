"""One step of a recurrence as a program: which primitives it applies to what, forward and backward.

The step is called once, on `Symbol`s: arrays of which only shape and dtype are known. The engine
hands every operation on them to `Symbol.apply`, which writes it down. The operations leave their
nodes in the recorded graph as ever; running the engine's own gradient rules on these nodes, with
symbols for gradients, writes down the backward step.

Where a primitive works element by element, its gradient is g times a factor that does not depend on
g: what its rule makes of 1. Factors are kept apart from gradients as long as that goes, since all
of them can be computed before the way back in time begins.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import _graph, backend, random
from .._checkpoint import reached
from .._graph import OUTPUT, Node
from .._primitive import Primitive
from .._tensor import Tensor
from .._tree import flatten, same_nesting, structure, unflatten
from .._writes import clock
from ..ops import METHODS
from ..ops.elementwise import _astype, _clip, _round, add, multiply, where
from ..transforms import is_recorded

POINTWISE = {operation.primitive for operation in (_astype, _clip, _round, where)}
NUMBERS = (bool, int, float)


def pointwise(primitive: Primitive) -> bool:
    """Whether a primitive works element by element, broadcasting its arguments."""
    return primitive.pointwise or primitive in POINTWISE


class Untraceable(Exception):
    """Why a step cannot be written down; `expected` if that is nobody's wish."""

    def __init__(self, why: str, expected: bool = False) -> None:
        super().__init__(why)
        self.expected = expected


class Symbol:
    """An array in a program: of known shape and dtype; the result of `op`, or an input (None).

    `number` is its place among the values of the program. `full` is a number if that is what it
    holds everywhere.
    """

    __slots__ = ("dtype", "full", "number", "op", "program", "shape")
    __array_ufunc__ = None  # so that array + symbol is left to the symbol
    home: Any

    def __init__(self, program: Program, shape: tuple[int, ...], dtype: Any, op: Op | None) -> None:
        self.program, self.shape, self.dtype, self.op = program, shape, dtype, op
        self.full: Any = None
        self.number = len(program.values)
        program.values.append(self)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    device = property(lambda self: self.home.device)

    def __len__(self) -> int:
        return self.shape[0]

    def copy(self) -> Symbol:
        return self

    def __repr__(self) -> str:
        return f"v{self.number}"

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise Untraceable("it reads a value on the host that differs from step to step")

    __bool__ = __float__ = __int__ = __index__ = item = tolist = __array__

    @staticmethod
    def apply(primitive: Primitive, *arrays: Any, **static: Any) -> Any:
        """An operation on symbols, written down."""
        program: Program = next(
            value.program for value in flatten((arrays, static)) if isinstance(value, Symbol)
        )
        return program.record(primitive, arrays, static)


def _while_open(operation: Any, otherwise: Any) -> Any:
    """A comparison of arrays while a program is being written; of names when it is done."""
    return lambda a, b: operation(a, b) if a.program.open else otherwise(a, b)


for _name, _method in METHODS.items():
    setattr(Symbol, _name, _method)
for _name in ("__eq__", "__ne__"):
    setattr(Symbol, _name, _while_open(METHODS[_name], getattr(object, _name)))
Symbol.__hash__ = object.__hash__  # type: ignore[method-assign]


class _Modules:
    """An array module, for rules that ask it for arrays like a symbol."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def zeros_like(self, like: Any, dtype: Any = None) -> Any:
        return self._xp.zeros(like.shape, dtype or like.dtype)

    def ones_like(self, like: Any, dtype: Any = None) -> Any:
        return self._xp.ones(like.shape, dtype or like.dtype)


class _Home:
    """The backend of symbols: that of the arrays they stand for."""

    def __init__(self, real: backend.Backend) -> None:
        self.real, self.xp = real, _Modules(real.xp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def asarray(self, data: Any, dtype: Any = None) -> Any:
        if not isinstance(data, Symbol):
            return self.real.asarray(data, dtype)
        return data if dtype is None else data.astype(np.dtype(dtype))

    def to_host(self, array: Any) -> Any:
        return array.__array__() if isinstance(array, Symbol) else self.real.to_host(array)


@functools.cache
def _symbols(home: backend.Backend) -> type[Symbol]:
    return type("Symbol", (Symbol,), {"__slots__": (), "home": _Home(home)})


class Op:
    """One application of a primitive in a program: to symbols and numbers, `static` parameters as
    they are, but for arrays among them, which are symbols too.
    """

    __slots__ = ("args", "outs", "primitive", "static")

    def __init__(self, primitive: Any, args: tuple[Any, ...], static: dict[str, Any]) -> None:
        self.primitive, self.args, self.static = primitive, args, static
        self.outs: tuple[Symbol, ...] = ()

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols that it reads."""
        return [a for a in flatten((self.args, self.static)) if isinstance(a, Symbol)]

    def __repr__(self) -> str:
        static = "".join(f", {name}={value}" for name, value in self.static.items())
        outs = ", ".join(map(repr, self.outs))
        return f"{outs} = {self.primitive.name}({', '.join(map(repr, self.args))}{static})"


class Program:
    """Operations in their order, each written down once however often it is asked for.

    `constants` are the arrays it uses that are the same at every step, as symbols with the arrays;
    `key` says all that decides which program it is.
    """

    def __init__(self, home: backend.Backend) -> None:
        self.home, self.symbol = home, _symbols(home)
        self.open = True
        self.values: list[Symbol] = []
        self.ops: list[Op] = []
        self.constants: list[tuple[Symbol, Any]] = []
        self.key: list[Any] = []
        self._found: dict[Any, Any] = {}
        self._of_array: dict[int, Symbol] = {}

    def input(self, shape: tuple[int, ...], dtype: Any) -> Symbol:
        self.key.append((shape, dtype))
        return self.symbol(self, shape, dtype, None)

    def full(self, number: float, shape: tuple[int, ...], dtype: Any) -> Symbol:
        made = self.symbol(self, shape, dtype, None)
        made.full = number
        return made

    def value(self, x: Any) -> Any:
        """An argument as a symbol; numbers stay numbers."""
        if isinstance(x, Symbol):
            if x.program is not self:
                raise Untraceable("it uses a value of another recurrence's step")
            return x
        if type(x) in NUMBERS:
            return x
        x = self.home.asarray(x) if isinstance(x, np.generic) else x
        if id(x) not in self._of_array:
            if not isinstance(x, self.home.array_type):
                raise Untraceable(f"it computes with {type(x).__name__}")
            made = self.input(x.shape, x.dtype)
            self._of_array[id(x)] = made
            self.constants.append((made, x))
        return self._of_array[id(x)]

    def record(self, primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Any:
        args = tuple([self.value(x) for x in arrays])
        static = {name: self._static(value) for name, value in static.items()}
        names = tuple([x.number if isinstance(x, Symbol) else (type(x), x) for x in args])
        key = (primitive, names, _frozen(static) if static else ())
        if key in self._found:
            return self._found[key]
        specs = [(x.shape, x.dtype) if isinstance(x, Symbol) else x for x in args]
        several, made = self._inferred(primitive, specs, static, key[2])
        if not several and any(isinstance(x, Symbol) and x.full is not None for x in args):
            folded = self._folded(primitive, args, static, *made[0])
            if isinstance(folded, Symbol):
                return folded
            args = folded
        op = Op(primitive, args, static)
        op.outs = tuple([self.symbol(self, shape, dtype, op) for shape, dtype in made])
        self.ops.append(op)
        self.key.append(key)
        self._found[key] = op.outs if several else op.outs[0]
        return self._found[key]

    def _static(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._static, value))
        is_array = hasattr(value, "dtype") and getattr(value, "ndim", 0) > 0
        return self.value(value) if is_array else value

    def _inferred(self, primitive: Primitive, specs: Any, static: Any, frozen: Any) -> Any:
        """Shapes and dtypes of the results, found by computing on zeros; whether there are several."""
        key = self.home, primitive, tuple([(type(s), s) for s in specs]), frozen
        if any(isinstance(value, Symbol) for value in flatten(static)):
            key = None
        if key is None or key not in _shapes:
            zeros = [self.home.xp.zeros(*s) if isinstance(s, tuple) else s for s in specs]
            arrays = {id(s): a for s, a in self.constants}
            real = {name: self._dummy(value, arrays) for name, value in static.items()}
            with np.errstate(all="ignore"):
                y = primitive.kernels[self.home.array_type](*zeros, **real)
            several = type(y) in (tuple, list)
            found = several, [(r.shape, r.dtype) for r in (y if several else (y,))]
            if key is None:
                return found
            _shapes[key] = found
        return _shapes[key]

    def _dummy(self, value: Any, arrays: dict[int, Any]) -> Any:
        if isinstance(value, tuple):
            return tuple([self._dummy(v, arrays) for v in value])
        if not isinstance(value, Symbol):
            return value
        if id(value) in arrays:
            return arrays[id(value)]
        if value.dtype.kind == "b":
            raise Untraceable("it picks elements by a mask that differs from step to step")
        if self.home.wraps:
            raise Untraceable("indices that differ from step to step are checked on the host")
        return self.home.xp.zeros(value.shape, value.dtype)

    def _folded(self, primitive: Primitive, args: Any, static: Any, shape: Any, dtype: Any) -> Any:
        """The result, or other arguments, where some hold one number everywhere."""
        symbols = [x for x in args if isinstance(x, Symbol)]
        if not pointwise(primitive):
            return tuple([self._filled(x) for x in args])
        small = [
            np.array(x.full, x.dtype) if isinstance(x, Symbol) and x.full is not None else x
            for x in args
        ]
        if all(x.full is not None for x in symbols):
            with np.errstate(all="ignore"):
                number = primitive.kernels[np.ndarray](*small, **static)
            return self.full(number.item(), shape, dtype)
        if primitive is multiply.primitive:
            for one, other in (args, args[::-1]):
                if isinstance(one, Symbol) and one.full == 1:
                    if isinstance(other, Symbol) and (other.shape, other.dtype) == (shape, dtype):
                        return other
        specs = [
            (x.shape, x.dtype) if isinstance(x, (Symbol, np.ndarray)) else x for x in small
        ]
        if self._inferred(primitive, specs, static, _frozen(static)) != (False, [(shape, dtype)]):
            return tuple([self._filled(x) for x in args])
        return tuple(
            [self.value(self.home.asarray(x)) if isinstance(x, np.ndarray) else x for x in small]
        )

    def _filled(self, x: Any) -> Any:
        if not isinstance(x, Symbol) or x.full is None:
            return x
        return self.value(self.home.xp.full(x.shape, x.full, x.dtype))

    def real(self, x: Any) -> Any:
        """A symbol that a program can compute with: numbers that fill a shape as an array."""
        return self._filled(x)


_shapes: dict[Any, tuple[bool, list[Any]]] = {}


def _frozen(value: Any) -> Any:
    """A static parameter as a part of a key."""
    if isinstance(value, Symbol):
        return ("symbol", value.number)
    if isinstance(value, dict):
        return tuple([(name, _frozen(v)) for name, v in value.items()])
    if isinstance(value, (tuple, list)):
        return (type(value), *map(_frozen, value))
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return (value.__code__, _frozen(cells), _frozen(value.__defaults__))
    if type(value).__hash__ in (None, object.__hash__) and not isinstance(value, type):
        raise Untraceable(f"a {type(value).__name__}, a parameter, cannot be compared by value")
    return (type(value), value)


# --- one step -------------------------------------------------------------------------------------


class Step:
    """A step, written down: its program, with the symbols of what goes in and comes out.

    `parents` are the nodes outside it that gradients go to; some of them may be `made` by the step
    from what is the same every time, and `behind` them are those from before. `back` says, after `differentiate`,
    what comes out of the backward step.
    """

    program: Program
    carry: list[Symbol]
    xs: list[Symbol]
    new: list[Symbol]
    ys: list[Symbol]
    nested: tuple[Any, Any]  # the nestings of carry and y
    parents: list[Node]

    def __init__(self, step: Callable[..., Any], carry: Any, xs: Any) -> None:
        start = clock()
        leaves = flatten(carry)
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            raise Untraceable("its carry is not made of tensors")
        arrays = [leaf._data for leaf in (*leaves, *flatten(xs))]
        if any(isinstance(array, Symbol) for array in arrays):
            raise Untraceable("it runs within another recurrence's step", expected=True)
        if not arrays:
            raise Untraceable("it has neither carry nor input")
        self.program = Program(backend.of(arrays[0]))
        on = _graph.recording.get()

        def stand_in(shape: Any, dtype: Any, wanted: bool) -> Tensor:
            node = Node(None, (), None, shape, dtype) if wanted and dtype.kind == "f" else None
            self.program.key.append(node is not None)
            return Tensor(self.program.input(shape, dtype), node)

        ins = [stand_in(leaf.shape, leaf.dtype, on) for leaf in leaves]
        slices = [
            stand_in(leaf.shape[1:], leaf.dtype, on and is_recorded(leaf)) for leaf in flatten(xs)
        ]
        self.carry, self.xs = [t._data for t in ins], [t._data for t in slices]
        self._stand_ins = [t._node for t in (*ins, *slices)]
        pair = step(unflatten(carry, ins), unflatten(xs, slices))
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise Untraceable(f"it returns {structure(pair)}")
        if not same_nesting(pair[0], carry):
            raise Untraceable("its carry changes its nesting")
        outs = flatten(pair)
        if not all(isinstance(leaf, Tensor) for leaf in outs):
            raise Untraceable("it returns something that is not a tensor")
        symbols = [self.program.value(leaf._data) for leaf in outs]
        self.new, self.ys = symbols[: len(ins)], symbols[len(ins) :]
        self.nested = carry, pair[1]
        for now, before in zip(self.new, self.carry, strict=True):
            if (now.shape, now.dtype) != (before.shape, before.dtype):
                raise Untraceable(
                    f"its carry turns from {before.shape} {before.dtype} to {now.shape} {now.dtype}"
                )
        self._walk([(leaf._node, symbol) for leaf, symbol in zip(outs, symbols, strict=True)])
        made = [node for node in self.parents if node.number > start]
        self.made, self.behind = set(made), list(reached(start, made)[1])
        self._out_nodes = [leaf._node for leaf in outs]
        self.key = (tuple(self.program.key), tuple(s.number for s in symbols), str(self._edges))
        self.signature = (self.program.home, structure(pair[1]), *self.key)

    def _walk(self, outs: Iterable[tuple[Node | None, Symbol]]) -> None:
        """Find the nodes of the step, beside the operations that left them, and `parents`."""
        self.nodes: dict[Node, Symbol] = {}
        self.parents = []
        self._edges: list[Any] = []
        stand_ins = {node: n for n, node in enumerate(self._stand_ins) if node is not None}
        known: dict[Node, int] = dict(stand_ins)
        stack = [pair for pair in outs]
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
            if node.watch is not None:
                raise Untraceable("an inner tensor has a hook, or keeps its gradient")
            self.nodes[node] = symbol
            whole = node
            if node.primitive is OUTPUT:
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
        for symbol, node in zip(outs, self._out_nodes, strict=True):
            g = None if node is None else program.input(symbol.shape, symbol.dtype)
            self.d_outs.append(g)
            if node is not None:
                pending.setdefault(node, []).append((g, None))
        for node in sorted(self.nodes, key=lambda node: -node.number):
            terms = pending.pop(node, None)
            if terms is None:
                continue
            if node.primitive is OUTPUT:
                slots = pending.setdefault(node.parents[0], [[] for _ in node.parents[0].shape])  # type: ignore
                slots[node.saved] = terms
                continue
            for parent, term in self._pulled(node, terms):
                pending.setdefault(parent, []).append(term)
        wanted: list[Any] = [*self._stand_ins, *self.parents]
        found = [self._total(pending.get(node)) if node is not None else None for node in wanted]
        found = [None if g is None else program.real(g) for g in found]
        n, m = len(self.carry), len(self._stand_ins)
        self.d_carry, self.d_xs, self.d_parents = found[:n], found[n:m], found[m:]
        program.open = False

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
        saved = self._saved(node.saved)
        if isinstance(node.shape[0] if node.shape else None, tuple) or isinstance(node.dtype, tuple):
            zeros = program.home.xp.zeros
            g: Any = tuple(
                program.value(zeros(shape, dtype)) if not slot else program.real(self._total(slot))
                for slot, shape, dtype in zip(terms, node.shape, node.dtype, strict=True)
            )
        elif pointwise(primitive):
            base, factor = self._joined(terms)
            one = program.full(1.0, node.shape, node.dtype)
            slopes = primitive.pull(one, saved, node.parents)
            for parent, slope in zip(node.parents, slopes, strict=True):
                if parent is None or slope is None:
                    continue
                slope = program.value(slope)
                like = (slope.shape, slope.dtype) == (node.shape, node.dtype)
                if factor is not None:
                    slope = multiply(slope, factor)
                if like and (parent.shape, parent.dtype) == (node.shape, node.dtype):
                    yield parent, (base, slope)
                else:
                    g = _graph.fit(_times(base, slope), parent.shape, parent.dtype)
                    yield parent, (g, None)
            return
        else:
            g = program.real(self._total(terms))
        for parent, gradient in zip(
            node.parents, primitive.pull(g, saved, node.parents), strict=True
        ):
            if parent is not None and gradient is not None:
                gradient = program.value(gradient)
                yield parent, (_graph.fit(gradient, parent.shape, parent.dtype), None)

    def _saved(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._saved, value))
        return self.program.value(value) if hasattr(value, "dtype") and not isinstance(value, Symbol) else value

    def _joined(self, terms: Any) -> tuple[Any, Any]:
        """Terms as one gradient with its factor: those of one gradient share a sum of factors."""
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


# --- what a step must not do ----------------------------------------------------------------------


class Untouched:
    """The Python state that a function can reach (its closure, the object it is a method of, what
    these hold), so that it can be compared afterwards, and put back.
    """

    def __init__(self, function: Any) -> None:
        self._stream = random.get_state()
        self._saved: list[tuple[Any, Any]] = []
        seen: set[int] = set()
        stack = [function]
        while stack:
            x = stack.pop()
            if isinstance(x, (Tensor, type, types.ModuleType, str, *NUMBERS)) or x is None:
                continue
            if id(x) in seen:
                continue
            seen.add(id(x))
            if isinstance(x, types.CellType):
                held = _contents(x)
            elif isinstance(x, dict):
                held = dict(x)
                stack += x.values()
            elif isinstance(x, (list, set)):
                held = list(x)
                stack += held
            elif isinstance(x, tuple):
                stack += x
                continue
            elif isinstance(x, types.MethodType):
                stack += [x.__self__, x.__func__]
                continue
            elif isinstance(x, types.FunctionType):
                stack += [*(x.__closure__ or ()), *(x.__defaults__ or ())]
                continue
            elif isinstance(x, functools.partial):
                stack += [x.func, x.args, x.keywords]
                continue
            else:
                stack += _closures(type(x))
                if hasattr(x, "__dict__"):
                    stack.append(vars(x))
                continue
            self._saved.append((x, held))
            if isinstance(x, types.CellType):
                stack.append(held)

    def put_back(self) -> bool:
        """Whether all is as it was; what is not is put back."""
        same = random.get_state() == self._stream
        if not same:
            random.set_state(self._stream)
        for x, held in self._saved:
            if isinstance(x, types.CellType):
                if _contents(x) is not held:
                    x.cell_contents, same = held, False
            elif isinstance(x, dict):
                if len(x) != len(held) or any(x.get(k, x) is not v for k, v in held.items()):
                    x.clear()
                    x.update(held)
                    same = False
            elif len(x) != len(held) or any(a is not b for a, b in zip(x, held, strict=True)):
                x.clear()
                x.extend(held) if isinstance(x, list) else x.update(held)
                same = False
        return same


@functools.cache
def _closures(kind: type) -> list[Any]:
    """What the methods of a class close over."""
    methods = [m for base in kind.__mro__ for m in vars(base).values()]
    return [cell for m in methods for cell in getattr(m, "__closure__", None) or ()]


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
