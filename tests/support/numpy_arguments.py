"""Random arguments for each function of the NumPy protocol.

`REQUIRED` lists the functions that need more than one array. All other arguments come from
`OPTIONS`, by the names in NumPy's signatures, so every argument of every function is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, isfunction, signature
from typing import Any

import numpy as np
from differential import PROTOCOL

Strategy = Callable[["Draw"], Any]

# The first array is never complex, because Tensors are real.
DTYPES = ["f8", "f8", "f8", "f8", "f4", "f4", "f2", "i8", "i8", "i4", "i1", "u1", "u8", "?", "c16"]


@dataclass
class Draw:
    """A source of random arguments for one call; `first` is the first array drawn.

    If `smooth`, arrays are float64 in general position: no ties and no round values.
    """

    rng: np.random.Generator
    smooth: bool = False
    first: np.ndarray = None  # type: ignore[assignment]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, *choices: Any) -> Any:
        """Draw one of the choices; call it if it is a strategy."""
        choice = choices[self.rng.integers(len(choices))]
        return choice(self) if isfunction(choice) else choice

    def number(self, low: int, high: int) -> int:
        """Draw an integer; both bounds belong to the range."""
        return int(self.rng.integers(low, high + 1))

    def shape(self, min_dims: int = 0, max_dims: int = 3) -> tuple[int, ...]:
        sides = [1, 2, 3, 4] if self.smooth else [0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4]
        return tuple(self.pick(*sides) for _ in range(self.number(min_dims, max_dims)))

    def values(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        """Draw an array of this shape."""
        if self.smooth and dtype is None:
            low, high = self.pick((0.1, 0.9), (-2, 2), (1.1, 3))
            array = self.rng.uniform(low, high, shape)
        else:
            dtype = np.dtype(dtype or self.pick(*DTYPES[: -1 if self.first is None else None]))
            array = self.rng.integers(0 if dtype.kind == "u" else -3, 4, shape)
            array = array.astype(dtype) if dtype.kind in "biu" else array * self.pick(1, 0.37)
            if dtype.kind == "f" and self.chance(0.15):
                special = self.rng.choice([np.nan, np.inf, -np.inf, -0.0], shape)
                array = np.where(self.rng.random(shape) < 0.3, special, array)
        array = np.asarray(array, dtype)
        self.first = array if self.first is None else self.first
        return array


# --- arrays ---------------------------------------------------------------------------------------


def shaped(min_dims: int = 0, max_dims: int = 3) -> Strategy:
    """Arrays with a number of axes in a range; sometimes with other numbers."""
    return lambda d: (
        d.values(d.shape()) if d.chance(0.05) else d.values(d.shape(min_dims, max_dims))
    )


def array(d: Draw) -> Any:
    return d.values(d.shape())


def array_like(d: Draw) -> Any:
    """An array, a list or a number."""
    return listed(d, array(d), 0.1)


def listed(d: Draw, array: np.ndarray, probability: float) -> Any:
    """Return an array, or with a probability a list of its elements.

    The engine gives lists the dtype of other arguments, so the first array must have a dtype that
    the list does not change in NumPy.
    """
    if array is d.first or d.smooth or not d.chance(probability):
        return array
    dtype = np.asarray(array.tolist()).dtype
    return array.tolist() if np.result_type(d.first.dtype, dtype) == d.first.dtype else array


def partner(d: Draw) -> Any:
    """An array that broadcasts with the first one (mostly), a list or a number."""
    shape = d.first.shape[d.number(0, d.first.ndim) if d.chance(0.3) else 0 :]
    shape = tuple(1 if d.chance(0.2) else n for n in shape)
    return listed(d, d.values(d.shape() if d.chance(0.05) else shape), 0.15)


def alike(d: Draw) -> Any:
    """An array of the first one's shape (mostly)."""
    return d.values(d.shape() if d.chance(0.05) else d.first.shape)


def integers(d: Draw) -> Any:
    return d.values(d.shape(), d.pick("i8", "i4", "u1", "?"))


def mask(d: Draw) -> Any:
    return d.values(d.pick(d.first.shape, d.first.shape[-1:], ()), "?")


def arrays(d: Draw) -> Any:
    """Several arrays of one shape (mostly), in a list or tuple, or as one array."""
    d.values(d.shape())
    several = [d.pick(alike, alike, alike, partner) for _ in range(d.number(1, 3))]
    return d.pick(tuple, list)([d.first, *several]) if d.chance(0.9) else d.first


def along_last_axis(d: Draw) -> Any:
    """An array whose last axis is as long as the first one's (mostly)."""
    return d.values((*d.shape(0, 2), *d.first.shape[-1:]) if d.chance(0.9) else d.shape())


def multiplicand(d: Draw) -> Any:
    """An array to multiply with the first one as a matrix (mostly)."""
    inner = d.first.shape[-1:]
    shape = d.pick(inner, (*inner, d.number(0, 3)), (*d.first.shape[:-2], *inner, 2))
    return d.values(shape if d.chance(0.9) else d.shape())


# --- other arguments ------------------------------------------------------------------------------


def just(*choices: Any) -> Strategy:
    return lambda d: d.pick(*choices)


def axis(d: Draw) -> Any:
    """An axis of the first array (mostly), of any type."""
    ndim = np.ndim(d.first)
    if ndim == 0 or d.chance(0.08):
        return d.pick(0, -1, 1, ndim, -ndim - 1, 1.0, "0")
    i = d.number(-ndim, ndim - 1)
    return d.pick(i, i, i, np.int64(i), np.array(i))


def axis_or_none(d: Draw) -> Any:
    return None if d.chance(0.2) else axis(d)


def axes(d: Draw) -> Any:
    """One axis, several as a tuple or list, or None."""
    some = d.rng.permutation(np.ndim(d.first))[: d.number(0, 3)].tolist()
    return d.pick(axis_or_none, axis, tuple(some), some, tuple(map(np.int64, some)), (0, 0))


def size(d: Draw) -> Any:
    """A small integer."""
    n = d.number(-2, 4)
    return d.pick(n, n, n, np.int64(n))


count = just(0, 1, 2, 3, 4, np.int64(2), size)  # not negative, mostly


real = just(0, 1, 2, -1.5, 0.25, 3.0, np.float32(0.5), np.nan, np.inf)


def sizes(d: Draw) -> Any:
    """A small integer, or one for each axis."""
    each = [d.number(0, 3) for _ in range(np.ndim(d.first))]
    return d.pick(count, tuple(each), each, np.array(each, int), (2,))


def new_shape(d: Draw) -> Any:
    """A shape for as many elements as the first array has (mostly)."""
    n = int(np.size(d.first))
    wrong = d.pick(n + 1, (-1, -1), (2, -1))
    return d.pick(n, -1, (n,), [1, n], (-1, 1), (n, 1, 1), np.int64(n), np.array([1, n]), wrong)


def larger_shape(d: Draw) -> Any:
    shape = np.shape(d.first)
    wide = tuple(3 if n == 1 else n for n in shape)
    return d.pick(shape, wide, (2, *wide), list(wide), d.shape(), 3)


def sections(d: Draw) -> Any:
    indices = sorted(d.number(-1, 4) for _ in range(d.number(0, 3)))
    some = (indices, tuple(indices), np.array(indices, int))
    return d.pick(1, 2, 3, 4, np.int64(2), *some, 0, 2.0)


def permutation(d: Draw) -> Any:
    order = d.rng.permutation(np.ndim(d.first)).tolist()
    return d.pick(
        None, order, tuple(order), [i - len(order) for i in order], np.array(order, int), (0, 0)
    )


def several_axes(d: Draw) -> Any:
    """One axis or two, as `moveaxis` takes them."""
    i, j = axis(d), axis(d)
    return d.pick(i, i, [i, j], (i, j), [i])


def pad_width(d: Draw) -> Any:
    ndim = np.ndim(d.first)
    each = [(d.number(0, 2), d.number(0, 2)) for _ in range(ndim)]
    return d.pick(
        1, (2,), (1, 2), each, tuple(each), np.array(each, int), ((1, 2),), [[1], [2]], -1, {-1: 1}
    )


def fill(d: Draw) -> Any:
    """Fill values of `pad`: one, one for each side, or one for each side of each axis."""
    each = [(d.number(0, 9), d.number(0, 9)) for _ in range(np.ndim(d.first))]
    return d.pick(real, 3, (1, 2), each, ((1, 2),), [5])


def positions(d: Draw) -> Any:
    """Indices into the first array, including negative and too large ones."""
    n = max(np.size(d.first) if d.chance(0.3) else min((*np.shape(d.first), 3)), 1)
    indices = d.rng.integers(-n, n + (1 if d.chance(0.1) else 0), d.shape(0, 2))
    return d.pick(indices, indices, indices.tolist(), indices.astype("i4"), indices.astype(float))


def positions_along(d: Draw) -> Any:
    """Indices for `take_along_axis`."""
    n = min((*np.shape(d.first), 3)) or 1
    return d.rng.integers(-n, n, np.shape(d.first) if d.chance(0.9) else d.shape())


kth = just(0, 1, -1, 2, np.int64(1), (0, 1), [1, 0], 5)


def numbers(d: Draw) -> Any:
    """One number of repetitions for all elements, or one for each position."""
    n = d.pick(np.size(d.first), *np.shape(d.first))
    return d.pick(count, d.rng.integers(0, 3, n), d.rng.integers(0, 3, n).tolist(), [2], -1)


def coordinates(d: Draw) -> Any:
    """The spacings of `gradient`: none, one, or one or a vector for each axis."""
    first = np.asarray(d.first)
    vectors = [np.cumsum(d.rng.uniform(0.5, 1.5, n)) for n in first.shape]
    steps = [d.pick(0.5, 2, np.float64(1.5), v, v.tolist()) for v in vectors]
    return d.pick([], [0.5], [2], steps, steps, steps[:1], [np.array(2.0)])


def subscripts(d: Draw) -> Any:
    """The arguments of `einsum`, with a string or with lists of indices."""
    cases = """ij,jk->ik ij,kj->ik i,i ii->i ij->ji ij,j i...->... ii ij,ij-> ...j,j i,j->ij ij->
        ij ijk,jil->kl i...->i ...,... ,ij i,->i ijj->i"""
    case = d.pick(*cases.split())
    lengths = {letter: d.pick(0, 1, 2, 3) for letter in "ijkl"}
    operands = []
    for term in case.split("->")[0].split(","):
        shape = [lengths[letter] for letter in term if letter in lengths]
        shape = [*([2] if "..." in term else []), *shape]
        shape = [d.pick(0, 1, 2, 3) if d.chance(0.03) else n for n in shape]
        operands.append(d.values(tuple(shape)))
    if d.chance(0.7) or "..." in case:
        return [case, *operands]
    inputs, arrow, output = case.partition("->")
    lists = [[ord(letter) - 97 for letter in term] for term in inputs.split(",")]
    end = [[ord(letter) - 97 for letter in output]] if arrow else []
    return [part for pair in zip(operands, lists, strict=True) for part in pair] + end


def conditions(d: Draw) -> Any:
    """The conditions and choices of `select`, of one shape (mostly)."""
    n = d.number(1, 3)
    choices = [array(d), *(partner(d) for _ in range(n - 1))]
    return [[mask(d) for _ in range(n if d.chance(0.95) else n + 1)], choices]


def alternatives(d: Draw) -> Any:
    """A condition and two arrays (mostly)."""
    x, y = array(d), partner(d)
    return [mask(d), x, y] if d.chance(0.9) else [x]


def vectors(d: Draw) -> Any:
    """Two arrays of vectors of 3 elements (mostly), along the last axis (mostly)."""
    shape = d.shape(0, 2)
    a, b = (d.values((*shape, d.pick(2, 3, 3, 3, 3, 3, 4))) for _ in "ab")
    return [a, b]


def bins(d: Draw) -> Any:
    return np.sort(d.rng.normal(size=d.number(0, 4)))


def pair(d: Draw) -> Any:
    """Two operands; sometimes the first array drawn is the second."""
    return [array(d), partner(d)][:: d.pick(1, 1, 1, -1)]


def limits(d: Draw) -> Any:
    """The bounds of `clip`; one may be None."""
    low, high = d.pick(-1, 0.5, partner), d.pick(1, 2.5, partner)
    return d.pick([low, high], [None, high], [low, None])


def args(*strategies: Strategy) -> Strategy:
    return lambda d: [strategy(d) for strategy in strategies]


def then(strategy: Strategy, several: Strategy) -> Strategy:
    return lambda d: [strategy(d), *several(d)]


# --- the tables -----------------------------------------------------------------------------------

vector, matrix, some_axes = shaped(1, 1), shaped(2, 3), shaped(1)


def table(rows: dict[str, Strategy]) -> dict[str, Strategy]:
    """One entry for each of the names in the keys of the rows."""
    return {name: strategy for names, strategy in rows.items() for name in names.split()}


REQUIRED = table(
    {
        "allclose append array_equal array_equiv": args(array_like, partner),
        "isclose isin kron linspace": args(array_like, partner),
        "arange": args(just(3, 2.5), just(7, np.int64(9)), just(1, 2, 0.5)),
        "argpartition partition": args(some_axes, kth),
        "array_split dsplit hsplit split vsplit": args(some_axes, sections),
        "astype": args(array, just("f8", "f4", np.float16, "i8", bool, int)),
        "atleast_1d atleast_2d atleast_3d": just(args(array), args(array, array_like)),
        "bincount": args(lambda d: np.abs(d.values(d.shape(1, 1), "i8"))),
        "bitwise_and bitwise_or bitwise_xor": args(integers, partner),
        "broadcast_to": args(array_like, larger_shape),
        "can_cast": args(array, just("f4", np.int64, bool)),
        "clip": then(array_like, limits),
        "column_stack concatenate dstack hstack stack vstack": args(arrays),
        "common_type": args(array, alike),
        "convolve linalg.outer": args(vector, vector),
        "cross linalg.cross": vectors,
        "diag": args(shaped(1, 2)),
        "diagonal fliplr rot90 trace tril triu": args(matrix),
        "diff flipud unstack": args(some_axes),
        "digitize": args(array, bins),
        "dot matmul linalg.matmul": args(array_like, multiplicand),
        "einsum": subscripts,
        "empty ones zeros": args(larger_shape),
        "expand_dims": args(array_like, axes),
        "eye identity tri": args(count),
        "full": args(larger_shape, real),
        "full_like": args(array, real),
        "gradient": then(shaped(1, 2), coordinates),
        "inner": args(array_like, along_last_axis),
        "invert": args(integers),
        "lib.stride_tricks.sliding_window_view": args(some_axes, sizes),
        "linalg.tensordot tensordot": args(
            array, just(alike, multiplicand, lambda d: d.values(np.shape(d.first)[::-1]))
        ),
        "may_share_memory shares_memory": args(array, array),
        "moveaxis": args(array, several_axes, several_axes),
        "outer": args(array_like, array_like),
        "pad": args(array_like, pad_width),
        "repeat": args(array_like, numbers),
        "reshape": args(array_like, new_shape),
        "result_type": args(array, just("f4", np.int8, array)),
        "roll tile": args(array_like, sizes),
        "rollaxis": args(array, axis),
        "searchsorted": args(lambda d: np.sort(d.values(d.shape(1, 1), "f8")), array_like),
        "select": conditions,
        "swapaxes": args(array, axis, axis),
        "take": args(some_axes, positions),
        "take_along_axis": args(some_axes, positions_along),
        "vdot": args(array_like, alike),
        "where": alternatives,
    }
)

flag, text = just(False, True, np.True_, 0, 1), just("", "x")

OPTIONS = table(
    {
        "M": just(None, 2),
        "N minlength correction": count,
        "initial max min nan neginf posinf": real,
        "append prepend": partner,
        "axes": permutation,
        "axis": axes,
        "array_split.axis axis1 axis2 axisa axisb axisc start": axis,
        "casting": just("same_kind", "unsafe", "no"),
        "constant_values end_values": fill,
        "convolve.mode": just("full", "same", "valid", "other"),
        "copy stable": just(None, True, False),
        "ddof": just(0, 1, 1.5, np.int64(1), 10),
        "decimals": lambda d: d.number(-2, 1 if d.smooth else 4),  # differences need wide steps
        "k n offset": size,
        "default": just(0, 1.5, np.nan, partner),
        "deg endpoint equal_nan assume_unique invert keepdims overwrite_input": flag,
        "right retstep subok writeable": flag,
        "device": just(None, "cpu"),
        "dtype": just(None, "f4", np.float64, "f2", "i8", int, bool, "c16"),
        "std.dtype var.dtype": just(None, np.float64, "i8", "c16"),
        "edge_order": just(1, 2, 3),
        "floatmode": just("fixed", "unique"),
        "isin.kind": just(None, "sort", "table"),
        "kind": just(None, "quicksort", "stable", "heapsort"),
        "like": array,
        "max_line_width precision": just(None, 4),
        "max_work": just(None, 0),
        "mean": lambda d: np.mean(d.first, keepdims=True),
        "mode": just("raise", "wrap", "clip", "other"),
        "num": just(1, 2, 5, np.int64(4), 0, -1),
        "optimize": just(False, True, "greedy", "optimal"),
        "ord": just(None, "fro", 1, 2, np.inf, "nuc", 0),
        "order": just("C", "F", "A", "K"),
        # NumPy crashes at np.cumsum(np.array(1.0), 0, out=np.array(0.0)).
        "out": lambda d: d.pick(None, np.zeros(np.shape(d.first))) if np.ndim(d.first) else None,
        "pad.mode": just("constant", "edge", "reflect", "symmetric", "wrap", "mean", "linear_ramp"),
        "prefix separator suffix": text,
        "reflect_type": just("even", "odd"),
        "rot90.axes": just((0, 1), (1, 0), [0, 1], (-1, 0), (0, 0)),
        "rtol atol": just(1e-8, 0.1),
        "shape": larger_shape,
        "side": just("left", "right"),
        "sign": just("-", "+"),
        "stat_length": just(None, 1),
        "suppress_small": just(None, True),
        "tensordot.axes linalg.tensordot.axes": just(
            *(0, 1, 2, 3, np.int64(1), (0, 0), (1, 0), [0, 0]),
            *(([0], [0]), ((-1,), (0,)), [[1, 0], [0, 1]]),
        ),
        "tol": just(100, 1),
        "where": mask,
        "weights": lambda d: d.values(np.shape(d.first), "f8"),
        # always NumPy's default
        "argpartition.order argsort.order partition.order sort.order sorter": just(None),
        "edgeitems formatter legacy threshold": just(None),
    }
)
FURTHER = {"pad": ("constant_values", "end_values", "reflect_type", "stat_length")}  # **kwargs
UFUNC = {"out", "where", "casting", "order", "dtype", "subok"}
NO_DISPATCH = {"from_dlpack"}  # NumPy does not dispatch on its argument


def call(name: str, d: Draw) -> tuple[list[Any], dict[str, Any]]:
    """Draw the arguments of one call, by position and by name."""
    by_position, by_name = required(name, d), {}
    rare = 0.03 if isinstance(PROTOCOL[name], np.ufunc) else 0.25
    for option in options(name, len(by_position)):
        if option == "like" or d.chance(rare):  # `like` makes creation functions dispatch
            by_name[option] = strategy(name, option)(d)
    _pass_in_other_ways(PROTOCOL[name], by_position, by_name, d)
    return by_position, by_name


def required(name: str, d: Draw) -> list[Any]:
    """Draw the required arguments of a call."""
    binary = isinstance(PROTOCOL[name], np.ufunc) and PROTOCOL[name].nin == 2
    arguments: list[Any] = REQUIRED.get(name, pair if binary else args(array))(d)
    return arguments


def options(name: str, required_count: int) -> list[str]:
    """The names of the arguments of a function that follow the required ones."""
    if isinstance(PROTOCOL[name], np.ufunc):
        return sorted(UFUNC)
    parameters = list(signature(PROTOCOL[name]).parameters.values())
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    names = [p.name for i, p in enumerate(parameters) if p.kind in kinds and i >= required_count]
    return [*names, *FURTHER.get(name, ())]


def strategy(name: str, option: str) -> Strategy:
    return OPTIONS.get(f"{name}.{option}") or OPTIONS[option]


def _pass_in_other_ways(
    function: Any, by_position: list[Any], by_name: dict[str, Any], d: Draw
) -> None:
    """Pass some optional arguments by position, or some required ones by name."""
    if isinstance(function, np.ufunc):
        return
    parameters = list(signature(function).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return
    for parameter in parameters[len(by_position) :]:
        if parameter.kind is parameter.KEYWORD_ONLY or parameter.name not in by_name:
            break
        by_position.append(by_name.pop(parameter.name))
        if d.chance(0.5):
            return
    while by_position and d.chance(0.1):
        parameter = parameters[len(by_position) - 1]
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            break
        by_name[parameter.name] = by_position.pop()
