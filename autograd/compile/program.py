"""Operations written down instead of done: programs, and the symbols that stand for arrays in them.

The engine hands every operation on a `Symbol` to `Symbol.apply`, which writes it down.
"""

from __future__ import annotations

import functools
import math
import types
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .. import backend
from ..backend.tracer import TracerArray
from ..core.primitive import Primitive, TracingError
from ..core.pytree import flatten
from ..ops.creation import _astype, astype
from ..ops.elementwise import _round, multiply
from ..ops.selection import _clip, where
from ..ops.tensor_methods import ArrayMethods

POINTWISE = {operation.primitive for operation in (_astype, _clip, _round, where)}
NUMBERS = (bool, int, float)


def pointwise(primitive: Primitive) -> bool:
    """True if a primitive is elementwise and broadcasts its arguments."""
    return primitive.pointwise or primitive in POINTWISE


class Untraceable(TracingError):
    """The reason why a step cannot be traced; `expected` if no warning is necessary."""

    def __init__(self, why: str, expected: bool = False) -> None:
        super().__init__(why)
        self.expected = expected


def _while_open(operation: Any, otherwise: Any) -> Any:
    """Compare arrays while a program is traced, and identities after that."""
    return lambda a, b: operation(a, b) if a.program.open else otherwise(a, b)


class Symbol(TracerArray, ArrayMethods):
    """An array in a program: of known shape and dtype; the result of `op`, or an input (None).

    `number` is its place among the values of the program. `full` is a number if that is what it
    holds everywhere.
    """

    __slots__ = ("dtype", "full", "number", "op", "program", "shape")
    __array_ufunc__ = None  # so that array + symbol is left to the symbol
    __eq__ = _while_open(ArrayMethods.__eq__, object.__eq__)
    __ne__ = _while_open(ArrayMethods.__ne__, object.__ne__)
    __hash__ = object.__hash__

    def __init__(self, program: Program, shape: tuple[int, ...], dtype: Any, op: Op | None) -> None:
        self.program, self.shape, self.dtype, self.op = program, shape, dtype, op
        self.full: Any = None
        self.number = len(program.values)
        program.values.append(self)

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    device = property(lambda self: self.backend.device)

    def __len__(self) -> int:
        return self.shape[0]

    def copy(self) -> Symbol:
        return self

    def constant(self, array: Any) -> Any:
        """An array that a VJP rule needs, and that the caller may change until then."""
        self.program.mutable.add(id(array))
        return array

    def __repr__(self) -> str:
        return f"v{self.number}"

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise Untraceable("it reads a value on the host that differs from step to step")

    __bool__ = __float__ = __int__ = __index__ = item = tolist = __array__

    @staticmethod
    def apply(primitive: Primitive, *arrays: Any, **static: Any) -> Any:
        """An operation on symbols, written down."""
        for value in arrays if not static else flatten((arrays, static)):
            if isinstance(value, Symbol):
                return value.program.record(primitive, arrays, static)
        raise Untraceable(f"{primitive.name} is applied to no symbol")


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
    """The backend of tracers: the backend of the arrays that they represent."""

    def __init__(self, real: backend.Backend) -> None:
        self.real, self.xp = real, _Modules(real.xp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def asarray(self, data: Any, dtype: Any = None) -> Any:
        if not isinstance(data, Symbol):
            return self.real.asarray(data, dtype)
        return data if dtype is None else astype(data, np.dtype(dtype))

    def to_host(self, array: Any) -> Any:
        return array.__array__() if isinstance(array, Symbol) else self.real.to_host(array)


@functools.cache
def _symbols(home: backend.Backend) -> type[Symbol]:
    return type("Symbol", (Symbol,), {"__slots__": (), "backend": _Home(home)})


class Op:
    """One application of a primitive in a program: to symbols and numbers, `static` parameters as
    they are, but for arrays among them, which are symbols too. `several` says whether it returns a
    tuple of results, be it of one.
    """

    __slots__ = ("args", "outs", "primitive", "several", "static")

    def __init__(
        self, primitive: Any, args: tuple[Any, ...], static: dict[str, Any], several: bool = False
    ) -> None:
        self.primitive, self.args, self.static, self.several = primitive, args, static, several
        self.outs: tuple[Symbol, ...] = ()

    def giving(self, outs: tuple[Symbol, ...]) -> Op:
        """With these for its results, whatever made them so far."""
        self.outs = outs
        for s in outs:
            s.op = self
        return self

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
    `mutable` holds the identities of those that the caller may change before the backward pass.
    `key` says all that decides which program it is.
    """

    def __init__(self, home: backend.Backend) -> None:
        self.backend, self.symbol = home, _symbols(home)
        self.open = True
        self.values: list[Symbol] = []
        self.ops: list[Op] = []
        self.constants: list[tuple[Symbol, Any]] = []
        self.mutable: set[int] = set()
        self.key: list[Any] = []
        self._found: dict[Any, Any] = {}
        self._of_array: dict[Any, Symbol] = {}

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
        # Scalars of NumPy's by value: as arrays they are new ones whenever a rule asks for them.
        scalar = isinstance(x, np.generic)
        key = (x.dtype, x.tobytes()) if scalar else id(x)
        if key not in self._of_array:
            array: Any = self.backend.asarray(x) if scalar else x
            if not issubclass(type(array), self.backend.array_type):
                raise Untraceable(f"it computes with {type(x).__name__}")
            made = self.input(array.shape, array.dtype)
            self._of_array[key] = made
            self.constants.append((made, array))
        return self._of_array[key]

    def record(self, primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Any:
        args: list[Any] = []
        names: list[Any] = []
        specs: list[Any] = []
        full = False
        for x in arrays:
            x = self.value(x)
            if isinstance(x, Symbol):
                names.append(x.number)
                specs.append((x.shape, x.dtype))
                full = full or x.full is not None
            else:
                names.append((type(x), x or repr(x)))  # -0.0 is not 0.0
                specs.append(x)
            args.append(x)
        frozen: Any = ()
        if static:
            static = {name: self._static(value) for name, value in static.items()}
            frozen = _frozen(static)
        key = (primitive, tuple(names), frozen, *_behaviour(primitive))
        if key in self._found:
            return self._found[key]
        several, made = self._inferred(primitive, specs, static, frozen)
        if full and not several:
            folded = self._folded(primitive, args, static, *made[0])
            if isinstance(folded, Symbol):
                return folded
            args = folded
        op = Op(primitive, tuple(args), static, several)
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
        """Compute on zeros to find the number, shapes and dtypes of the results."""
        key: Any = self.backend, primitive, tuple([(type(s), s) for s in specs]), frozen
        if static and any(isinstance(value, Symbol) for value in flatten(static)):
            key = None
        if key is None or key not in _shapes:
            zeros = [self.backend.xp.zeros(*s) if isinstance(s, tuple) else s for s in specs]
            arrays = {id(s): a for s, a in self.constants}
            real = {name: self._dummy(value, arrays) for name, value in static.items()}
            with np.errstate(all="ignore"):
                y = primitive.kernels[self.backend.array_type](*zeros, **real)
            several = type(y) in (tuple, list)
            found = several, [(r.shape, r.dtype) for r in (y if several else (y,))]
            if key is None:
                return found
            if len(_shapes) > MOST_SHAPES:
                _shapes.clear()
            _shapes[key] = found
            return found
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
        if self.backend.wraps_indices:
            raise Untraceable("indices that differ from step to step are checked on the host")
        return self.backend.xp.zeros(value.shape, value.dtype)

    def _folded(self, primitive: Primitive, args: Any, static: Any, shape: Any, dtype: Any) -> Any:
        """The result, or other arguments, where some hold one number everywhere."""
        symbols = [x for x in args if isinstance(x, Symbol)]
        if not pointwise(primitive):
            return tuple([self.real(x) for x in args])
        small = [
            np.array(x.full, x.dtype) if isinstance(x, Symbol) and x.full is not None else x
            for x in args
        ]
        if all(x.full is not None for x in symbols):
            with np.errstate(all="ignore"):
                number = primitive.kernels[np.ndarray](*small, **static)
            return self.full(number.item(), shape, dtype)
        if primitive is multiply.primitive:
            for one, other in (args, reversed(args)):
                is_one = isinstance(one, Symbol) and one.full == 1
                as_made = isinstance(other, Symbol) and (other.shape, other.dtype) == (shape, dtype)
                if is_one and as_made:
                    return other
        specs = [(x.shape, x.dtype) if isinstance(x, (Symbol, np.ndarray)) else x for x in small]
        if self._inferred(primitive, specs, static, _frozen(static)) != (False, [(shape, dtype)]):
            return tuple([self.real(x) for x in args])
        return tuple(
            [self.value(self.backend.asarray(x)) if isinstance(x, np.ndarray) else x for x in small]
        )

    def real(self, x: Any) -> Any:
        """Return a value to compute with: an array for a number that fills a shape."""
        if not isinstance(x, Symbol) or x.full is None:
            return x
        return self.value(self.backend.xp.full(x.shape, x.full, x.dtype))


MOST_SHAPES = 10_000
_shapes: dict[Any, tuple[bool, list[Any]]] = {}


def _behaviour(primitive: Primitive) -> Any:
    """Return the state that the rules of a primitive depend on: none for the engine's rules."""
    if primitive not in _outside:
        functions = [*primitive.rules.values(), primitive.kernels.forward]
        functions = [f for f in functions if isinstance(f, types.FunctionType)]
        _outside[primitive] = [f for f in functions if not f.__module__.startswith(_ENGINE)]
    return map(_frozen, _outside[primitive])


_ENGINE = __name__.partition(".")[0] + "."
_outside: WeakKeyDictionary[Primitive, list[Any]] = WeakKeyDictionary()


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
        read = [value.__globals__.get(name) for name in value.__code__.co_names]
        return (
            value.__code__,
            _frozen(cells),
            _frozen(value.__defaults__),
            *[
                _frozen(x)
                for x in read
                if not isinstance(x, (type, types.ModuleType)) and not callable(x)
            ],
        )
    hashing: Any = type(value).__hash__
    by_identity = hashing is None or hashing is object.__hash__
    if by_identity and value not in (None, ...) and not isinstance(value, type):
        raise Untraceable(f"a {type(value).__name__}, a parameter, cannot be compared by value")
    return (type(value), value or repr(value))
