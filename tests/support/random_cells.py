"""Random cells as the text of a `step`: a failing test shows a program that can be run."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from compiled import Problem

import autograd as ag

Bound = Callable[..., float]  # the bound of the result, given the bounds of the arguments

POINTWISE: dict[str, Bound] = {
    "ag.tanh({})": lambda a: 1,
    "ag.sigmoid({})": lambda a: 1,
    "ag.sin({})": lambda a: 1,
    "ag.cos(2 * {})": lambda a: 1,
    "ag.arctan({})": lambda a: 1.6,
    "ag.erf({})": lambda a: 1,
    "ag.exp(-{0} * {0})": lambda a: 1,
    "ag.exp(0.5 * {})": lambda a: 2.72 ** (a / 2),
    "ag.log1p({0} ** 2)": lambda a: a,
    "ag.sqrt(1 + ag.square({}))": lambda a: 1 + a,
    "ag.softplus({})": lambda a: 1 + a,
    "ag.silu({})": lambda a: a,
    "ag.gelu({})": lambda a: a,
    "ag.elu({} - 0.21)": lambda a: a + 0.3,
    "ag.relu({} - 0.13)": lambda a: a + 0.2,
    "ag.leaky_relu(0.11 + {})": lambda a: a + 0.2,
    "ag.abs({} + 0.17)": lambda a: a + 0.2,
    "ag.clip({}, -0.71, 0.83)": lambda a: 0.9,
    "(1 - {})": lambda a: 1 + a,
    "(-{} / 1.7)": lambda a: a,
    "{}.detach()": lambda a: a,
    "{0} * {0}.detach()": lambda a: a * a,
    "({} + {})": lambda a, b: a + b,
    "({} - {})": lambda a, b: a + b,
    "{} * {}": lambda a, b: a * b,
    "{} / (1.3 + {} ** 2)": lambda a, b: a,
    "{0} / ag.sqrt(0.9 + {0} * {1} * {0} * {1})": lambda a, b: a,
    "ag.maximum({}, 0.9 * {} + 0.07)": lambda a, b: max(a, b) + 0.1,
    "ag.minimum(0.8 * {} - 0.05, {})": lambda a, b: max(a, b) + 0.1,
    "ag.where({0} > 0.7 * {1} + 0.03, {0}, {1})": lambda a, b: max(a, b),
    "ag.where({0} < 0.19, 0.4, {1})": lambda a, b: max(1, b),
    "ag.where(({0} > -0.37) & ({1} < 0.41), {1}, {0})": lambda a, b: max(a, b),
    "ag.hypot({} + 2.5, {})": lambda a, b: a + b + 2.5,
    "(1 - ag.sigmoid({0})) * {1} + ag.sigmoid({0}) * {2}": lambda a, b, c: max(b, c),
}
ALONG_AXIS: dict[str, Bound] = {
    "({0} - ag.mean({0}, axis=-1, keepdims=True))": lambda a: 2 * a,
    "({0} - {0}.mean(-1, keepdims=True)) / ag.sqrt(ag.var({0}, axis=-1, keepdims=True) + 0.6)": (
        lambda a: 2 * a
    ),
    "ag.softmax({}, axis=-1)": lambda a: 1,
    "{0} * ag.sum({1} * {2}, axis=-1, keepdims=True)": lambda a, b, c: 4 * a * b * c,
    "({0} + ag.max({1}, axis=-1, keepdims=True))": lambda a, b: a + b,
    "({0} - 0.3 * ag.logsumexp({0}, axis=-1, keepdims=True))": lambda a: 2 * a + 1,
    "ag.concatenate([{0}[..., 1:], {0}[..., :1]], axis=-1)": lambda a: a,
}


def arity(form: str) -> int:
    return 1 + max([form.count("{}") - 1, *(int(d) for d in "012" if f"{{{d}}}" in form)])


@dataclass
class RandomCell:
    """The text of a cell, and the shapes of its arrays.

    Its values, gradients and derivatives over time are of the order of 1.
    """

    lines: list[str] = field(default_factory=list)
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)
    carry: Any = None
    xs: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def source(self) -> str:
        return "\n    ".join(["def step(carry, x):", *self.lines])

    def __repr__(self) -> str:
        about = "weights", "carry", "xs", "options", "seed"
        return "\n".join([self.source, *(f"# {name} = {getattr(self, name)}" for name in about)])

    def make(self, dtype: str = "float64") -> Problem:
        """Return equal numbers at every call; integers for a shape that begins with "index"."""
        rng = np.random.default_rng(self.seed)

        def values(shape: Any, scale: float = 1.0) -> Any:
            if shape[:1] == ("index",):
                return ag.tensor(rng.integers(0, ROWS, shape[1:]))
            array = rng.uniform(-scale, scale, shape).astype(dtype)
            return ag.tensor(array, requires_grad=True)

        names = {n: values(s, 1 / (s[-1] if n[0] == "W" else 1)) for n, s in self.weights.items()}
        carry, xs = (self._filled(shapes, values) for shapes in (self.carry, self.xs))
        names |= {"ag": ag}
        exec(self.source, names)
        weights = [names[name] for name in self.weights]
        floats = [leaf for leaf in ag.flatten((carry, xs)) if leaf.dtype.kind == "f"]
        options = dict(self.options)
        if "precompute" in options:
            options["precompute"] = eval(options["precompute"], names)
        return Problem(names["step"], carry, xs, [*weights, *floats], options)

    def _filled(self, shapes: Any, values: Callable[..., Any]) -> Any:
        if isinstance(shapes, dict):
            return {key: self._filled(shape, values) for key, shape in shapes.items()}
        return None if shapes is None else values(shapes)


ROWS = 5  # of the table that integer inputs look up


class _CellGenerator:
    """Generates a cell: `values` are the names in scope, each with a bound of its size."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.cell = rng, RandomCell(seed=rng.randrange(2**32))
        self.T, self.H, self.I = rng.randint(2, 6), rng.randint(1, 4), rng.randint(1, 3)
        self.batch = () if rng.random() < 0.15 else (rng.randint(1, 3),)
        self.values: dict[str, float] = {}

    def weight(self, letter: str, *shape: int) -> str:
        """Return the code of an existing or a new weight of this shape."""
        weights = self.cell.weights
        fitting = [n for n, s in weights.items() if s == shape and n[0] == letter]
        if fitting and self.rng.random() < 0.4:
            return self.rng.choice(fitting)
        name = f"{letter}{len(weights)}"
        weights[name] = shape
        forms = ["{}"] * 5 + ["(0.5 * {})", "ag.tanh({})"]
        return self.rng.choice(forms).format(name)

    def line(self, code: str, bound: float) -> None:
        if bound > 2.5:
            code, bound = f"ag.tanh({code})", 1
        name = f"v{len(self.cell.lines)}"
        self.cell.lines.append(f"{name} = {code}")
        self.values[name] = bound

    def pick(self) -> str:
        """Return a part of the carry, or a value; later values are more likely."""
        names = list(self.values)
        if self.rng.random() < 0.2:
            return self.rng.choice(names[: self.parts])
        return names[-1 - min(self.rng.randrange(len(names)), self.rng.randrange(len(names)))]

    def apply(self, table: dict[str, Bound]) -> None:
        form = self.rng.choice(list(table))
        names = [self.pick() for _ in range(arity(form))]
        self.line(form.format(*names), table[form](*(self.values[n] for n in names)))

    def product(self) -> None:
        a, b, H = self.rng.choice([self.pick(), "v0"]), self.pick(), self.H
        size = self.values[a]
        kind = self.rng.randrange(5)
        if kind == 0:
            self.line(f"ag.linear({a}, {self.weight('W', H, H)})", size)
        elif kind == 1:
            self.line(f"{a} @ {self.weight('W', H, H)}", size)
        elif kind == 2:
            W, u = self.weight("W", H, H), self.weight("u", H)
            self.line(f"(ag.linear({a}, {W}) + {u})", size + 1)
        elif kind == 3:
            W = self.weight("W", H, 2 * H)
            both = max(size, self.values[b])
            self.line(f"ag.linear(ag.concatenate([{a}, {b}], axis=-1), {W})", both)
        else:
            parts = f"p{len(self.cell.lines)}"
            W, n = self.weight("W", 3 * H, H), len(self.cell.lines)
            self.cell.lines.append(f"{parts} = ag.split(ag.linear({a}, {W}), 3, axis=-1)")
            for i in range(3):
                self.line(f"{parts}[{i}]" if n % 2 else f"ag.sigmoid({parts}[{i}])", size)

    def vector(self) -> None:
        a, kind = self.pick(), self.rng.randrange(3)
        if kind == 0:
            self.line(f"{a} * {self.weight('u', self.H)}", self.values[a])
        elif kind == 1:
            self.line(f"({a} + {self.weight('u', self.H)})", self.values[a] + 1)
        else:
            self.line(f"{a} * {self.weight('s')}", self.values[a])

    # The parts of a step: arguments, operations, results and options.

    def add_arguments(self) -> None:
        """Add the parts of the carry, and x: unchanged, through a product, or as indices."""
        cell, state = self.cell, (*self.batch, self.H)
        many = self.rng.random() < 0.5
        cell.carry = {"h": state} if many or self.rng.random() < 0.3 else state
        if many:
            cell.carry["c"] = state
            if self.rng.random() < 0.3:
                cell.carry["unchanged"] = state
        codes = [f"carry[{n!r}]" for n in cell.carry] if isinstance(cell.carry, dict) else ["carry"]
        self.parts = len(codes)
        for code in codes:
            self.line(code, 1)
        kind = self.rng.choice(["direct", "product", "precompute", "both", "index", "none"])
        direct, wide = (self.T, *self.batch, self.H), (self.T, *self.batch, self.I)
        if kind == "direct":
            cell.xs = direct
            self.line("x", 1)
        elif kind == "product":
            cell.xs = wide
            self.line(f"ag.linear(x, {self.weight('W', self.H, self.I)})", 1)
        elif kind == "precompute":
            cell.xs = wide
            W = self.weight("W", self.H, self.I)
            cell.options["precompute"] = f"lambda xs: ag.linear(xs, {W})"
            self.line("x", 1)
        elif kind == "both":
            cell.xs = {"direct": direct, "wide": wide}
            self.line("x['direct']", 1)
            self.line(f"ag.linear(x['wide'], {self.weight('W', self.H, self.I)})", 1)
        elif kind == "index":
            cell.xs = ("index", self.T, *self.batch)
            self.line(f"{self.weight('u', ROWS, self.H)}[x]", 1)
        else:
            cell.options["length"] = self.T

    def add_operations(self) -> None:
        products = self.rng.randint(1, 3)
        tables = [POINTWISE] * 4 + [ALONG_AXIS]
        work = [self.product] * products + [self.vector] * self.rng.randint(0, 2)
        work += [
            lambda: self.apply(self.rng.choice(tables)) for _ in range(self.rng.randint(2, 10))
        ]
        self.rng.shuffle(work)
        for part in work:
            part()

    def add_results(self) -> None:
        cell = self.cell

        def new(old: str) -> str:
            value = self.pick()
            value = value if self.values[value] <= 1 else f"ag.tanh({value})"
            return self.rng.choice([f"0.6 * {value}", f"(0.5 * {old} + 0.4 * {value})"])

        def y() -> str:
            if self.rng.random() < 0.3:
                return f"ag.linear({self.pick()}, {self.weight('W', 2, self.H)})"
            return self.pick()

        if isinstance(cell.carry, dict):
            parts = dict(zip(cell.carry, self.values, strict=False))
            entries = {n: v if n == "unchanged" else new(v) for n, v in parts.items()}
            carry = "{" + ", ".join(f"{n!r}: {code}" for n, code in entries.items()) + "}"
        else:
            cell.lines.append(f"h = {new('carry')}")
            carry = "h"
            self.values[carry] = 1
        form = self.rng.choice(["None", "{}", "{}", "({}, {})", "{{'a': {}, 'b': [{}, None]}}"])
        cell.lines.append(f"return {carry}, {form.format(*(y() for _ in range(arity(form))))}")

    def choose_options(self) -> None:
        """Choose the options of the scan."""
        rng, options = self.rng, self.cell.options
        options["reverse"] = rng.random() < 0.3
        if self.batch and rng.random() < 0.3:
            options["lengths"] = [rng.randint(0, self.T) for _ in range(self.batch[0])]
        if rng.random() < 0.2:
            options["detach_every"] = rng.randint(1, 4)
        if rng.random() < 0.2:
            options["checkpoint"] = rng.randint(2, 4)


def random_cell(rng: random.Random) -> RandomCell:
    """Return a cell whose states are bounded, with its weights and options."""
    generator = _CellGenerator(rng)
    generator.add_arguments()
    generator.add_operations()
    generator.add_results()
    generator.choose_options()
    return generator.cell
