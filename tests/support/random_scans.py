"""Random scans as programs: the text of a module, with all features of `scan` and its steps.

`random_scan` writes the program, and `Program.load` executes its text for given sizes and numbers.
Every program can be run as it stands. `compare_scans` compares its compiled with its eager
execution.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from random_cells import ALONG_AXIS, POINTWISE, Bound, arity

ROWS = 5
"""The number of rows of a table that integers look up."""

HEADER = """\
import numpy as np

import autograd as ag
from tinygrad_rnn.nn.functional import dropout

T, B, H = {T}, {B}, {H}
rng = np.random.default_rng({seed})


def values(*shape, zeros=0.0, scale=1.0):
    array = rng.uniform(-scale, scale, shape) * (rng.random(shape) >= zeros)
    return ag.tensor(array, requires_grad=True)


def integers(*shape):
    return ag.tensor(rng.integers(0, {ROWS}, shape))


def booleans(*shape, probability=0.5):
    return ag.tensor(rng.random(shape) < probability)
"""

SINGULAR: dict[str, Bound] = {
    "ag.sqrt(ag.where({0} > 0, {0}, 0.0))": lambda a: 1 + a,
    "ag.sqrt(ag.relu({}))": lambda a: 1 + a,
    "ag.sqrt(ag.maximum({}, 0.0))": lambda a: 1 + a,
    "ag.sqrt(ag.clip({}, 0.0, 0.7))": lambda a: 1,
    "ag.sqrt(ag.abs({}))": lambda a: 1 + a,
    "ag.where({0} > 0, ag.sqrt(ag.abs({0})), {1})": lambda a, b: 1 + a + b,
    "ag.where({0} != 0, {1} / ag.where({0} != 0, 3 + {0}, 0.0), {0})": lambda a, b: a + b,
    "ag.where({0} > 0.1, ag.log(ag.where({0} > 0.1, {0}, 1.0)), {1})": lambda a, b: 2.4 + a + b,
    "ag.norm({}, axis=-1, keepdims=True) * {}": lambda a, b: 2 * a * b,
    "{} * ag.std({}, axis=-1, keepdims=True)": lambda a, b: a * b,
    "ag.hypot({}, {})": lambda a, b: a + b,
    "{} * ag.sign({})": lambda a, b: a,
    "{} * ag.sqrt(ag.abs(ag.floor({})))": lambda a, b: a * (1 + b),
    "{} + ag.trunc(2 * {})": lambda a, b: a + 2 * b,
    "ag.relu({}) * ag.sqrt(ag.abs({} // 0.4))": lambda a, b: a * (2 + 2 * b),
    "ag.cumprod({}, axis=-1)": lambda a: 1 + a**4,
}
"""Functions that are singular at 0, behind and in front of selections."""

INFINITE = [
    "ag.sqrt({}.detach() * 0 + {} * 0)",
    "1 / ({} * 0)",
    "ag.log({} * {})",
    "ag.log(0 * {})",
]
"""Functions whose derivatives, or values, are infinite at 0, for outputs that are not used."""

ARRAYS: dict[str, Bound] = {
    "{}[..., ::-1]": lambda a: a,
    "ag.concatenate([{0}[..., :1], {1}[..., 1:]], axis=-1)": lambda a, b: max(a, b),
    "ag.index_update({}, (..., 0), 0.3)": lambda a: max(a, 0.3),
    "ag.index_update({0}, (..., -1), {1}[..., 0])": lambda a, b: max(a, b),
    "ag.take({}, index, axis=-1)": lambda a: a,
    "{}[..., index]": lambda a: a,
    "ag.take_along_axis({}, ag.argsort({}, axis=-1), axis=-1)": lambda a, b: a,
    "ag.sort({}, axis=-1)": lambda a: a,
    "ag.roll({}, 1, axis=-1)": lambda a: a,
    "ag.cumsum({}, axis=-1)": lambda a: 4 * a,
    "ag.stack([{}, {}]).mean(0)": lambda a, b: max(a, b),
    "ag.reshape({0}, (-1, *{0}.shape))[0]": lambda a: a,
    "{}.swapaxes(0, -1).swapaxes(-1, 0)": lambda a: a,
    "ag.einsum('...i,...i->...i', {}, {})": lambda a, b: a * b,
    "ag.where(booleans_of_h, {}, {})": lambda a, b: max(a, b),
    "{} * numbers_of_h": lambda a: a,
    "ag.tanh({} * f0) * f1": lambda a: 1,
    "({} * f0 + f1)": lambda a: a + 1,
    "{} * ag.one_hot(ag.argmax({}, axis=-1), H)": lambda a, b: a,
    "ag.max_with_indices({}, axis=-1, keepdims=True)[0] * {}": lambda a, b: a * b,
}

INNER: dict[str, str] = {
    "a nested scan": (
        "ag.scan(lambda c, r: (ag.tanh(c * {u} + r), c * r), {0}, ag.stack([{1}, {0}]))[0]"
    ),
    "ys of a nested scan": (
        "ag.scan(lambda c, r: (ag.tanh(c + r * {u}), c - r), {0}, "
        "ag.stack([{0}, {1}, {1}]), reverse=True)[1].mean(0)"
    ),
    "a nested scan with a captured value": (
        "ag.scan(lambda c, r: (0.5 * c + ag.sin(r * {1}), None), {0}, ag.stack([{0}, {1}]))[0]"
    ),
    "a nested scan without inputs": (
        "ag.scan(lambda c, r: (ag.tanh(c + {1}), None), {0}, None, length=3)[0]"
    ),
    "a checkpointed nested scan": (
        "ag.scan(lambda c, r: (ag.tanh(c + r), c), {0}, ag.stack([{1}, {0}, {1}]), checkpoint=2)[0]"
    ),
    "an inner gradient": "({0} - 0.3 * ag.grad(lambda k: ag.sum(ag.tanh(k * {u}) ** 2))({1}))",
    "a checkpoint": "ag.checkpoint(lambda a, b: ag.tanh(a * {u} + b))({0}, {1})",
    "an inner no_grad": "{0} * ag.no_grad()(lambda: ag.sigmoid({1} * {u}))()",
}


@dataclass
class Program:
    """The text of a scan, with the sizes and numbers to run it with.

    Attributes
    ----------
    text : str
        A module without its header. It defines ``run(scan=ag.scan, **options)``.
    inputs : list of str
        The names of the tensors to differentiate by.
    features : set of str
        What the program contains, for statistics.
    sizes : list of tuple of int
        Some sizes (T, B) to run it with.
    ragged : bool
        True if it has lengths.
    used : int or None
        The position in y of the output that is differentiated; None for all of y.
    """

    seed: int
    H: int
    text: str = ""
    inputs: list[str] = field(default_factory=list)
    features: set[str] = field(default_factory=set)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    ragged: bool = False
    used: int | None = None

    def source(self, T: int, B: int) -> str:
        header = HEADER.format(T=T, B=B, H=self.H, seed=self.seed, ROWS=ROWS)
        return f"{header}\n{self.text}"

    def load(self, T: int, B: int, variant: int = 0) -> dict[str, Any]:
        """Return the namespace of the program; a `variant` has other captured floats."""
        names: dict[str, Any] = {}
        exec(compile(self.source(T, B), f"<program {self.seed}>", "exec"), names)
        if variant:
            names["f0"], names["f1"] = names["f0"] / (1 + variant), -0.3 * variant
        return names

    def __str__(self) -> str:
        return self.source(*self.sizes[0])


class _ProgramBuilder:
    """Builds a program: `values` are the names in scope, each with a bound of its size."""

    def __init__(self, rng: random.Random, number: int) -> None:
        self.rng = rng
        self.program = Program(number, rng.randint(1, 4))
        self.features = self.program.features
        self.batched = rng.random() > 0.12
        self.state = "B, H" if self.batched else "H"
        self.definitions: list[str] = []
        self.lines: list[str] = []
        self.values: dict[str, float] = {}
        self.zeros = rng.choice([0.0, 0.0, 0.3, 1.0])
        self.written = 0

    def chance(self, probability: float, feature: str = "") -> bool:
        happens = self.rng.random() < probability
        if happens and feature:
            self.features.add(feature)
        return happens

    def define(self, name: str, code: str, differentiated: bool = True) -> str:
        self.definitions.append(f"{name} = {code}")
        if differentiated:
            self.program.inputs.append(name)
        return name

    def weight(self, letter: str, *shape: str) -> str:
        scale = ", scale=1 / H" if letter == "W" else ""
        name = f"{letter}{len(self.definitions)}"
        self.define(name, f"values({', '.join(shape)}{scale})")
        return self.rng.choice(["{}"] * 4 + ["(0.5 * {})", "ag.tanh({})"]).format(name)

    def line(self, code: str, bound: float) -> str:
        if bound > 2.5:
            code, bound = f"ag.tanh({code})", 1
        name = f"v{self.written}"
        self.written += 1
        self.lines.append(f"{name} = {code}")
        self.values[name] = bound
        return name

    def pick(self) -> str:
        names = list(self.values)
        return names[-1 - min(self.rng.randrange(len(names)), self.rng.randrange(len(names)))]

    def apply(self, table: dict[str, Bound]) -> None:
        form = self.rng.choice(list(table))
        names = [self.pick() for _ in range(arity(form))]
        self.line(form.format(*names), table[form](*(self.values[n] for n in names)))

    # --- the parts of a step ----------------------------------------------------------------------

    def write_carry(self) -> None:
        """Choose the leaves of the carry, and bind them to names."""
        rng, state = self.rng, self.state
        self.leaves = {"h": f"values({state}, zeros={self.zeros})"}
        if self.chance(0.4):
            self.leaves["c"] = f"values({state})"
        if self.chance(0.12, "integer carry"):
            self.leaves["n"] = "integers(B)" if self.batched else "integers()"
        if self.chance(0.12, "boolean carry"):
            self.leaves["done"] = "booleans(B, probability=0.2)" if self.batched else "booleans()"
        if self.chance(0.06, "constant carry"):
            self.leaves["k"] = f"ag.tensor(np.full(({state},), 0.3))"
        if self.chance(0.04, "NumPy carry"):
            self.leaves["a"] = f"np.full(({state},), 0.4)"
        for name, code in self.leaves.items():
            floating = code.startswith("values")
            self.define(f"carry_{name}", code, floating)
        single = len(self.leaves) == 1 and rng.random() < 0.7
        self.nesting = "single" if single else rng.choice(["dict", "tuple", "nested"])
        self.lines.append(f"{self.nest(list(self.leaves), pattern=True)} = carry")
        if self.nesting == "dict":
            self.lines[-1] = "; ".join(f"{n} = carry['{n}']" for n in self.leaves)
        for name in self.leaves:
            if name in ("h", "c", "k", "a"):
                self.values[name] = 1

    def nest(self, codes: list[str], pattern: bool = False) -> str:
        """Return the code of the carry with these leaves."""
        if self.nesting == "single":
            return codes[0]
        if self.nesting == "dict":
            return "{" + ", ".join(map("'{}': {}".format, self.leaves, codes)) + "}"
        if self.nesting == "tuple" or len(codes) == 1:
            return "(" + ", ".join(codes) + ",)"
        return f"[({codes[0]},), {', '.join(codes[1:])}]"

    def write_xs(self) -> None:
        rng, batch = self.rng, "B, " if self.batched else ""
        zeros = f", zeros={self.zeros}" if self.zeros else ""
        kind = rng.choice(["direct", "direct", "product", "precompute", "dict", "index", "none"])
        self.xs, self.precompute = "xs0", ""
        self.features.add(f"xs: {kind}")
        if kind == "direct":
            self.define("xs0", f"values(T, {self.state}{zeros})")
            self.line("x", 1)
        elif kind in ("product", "precompute"):
            self.define("xs0", f"values(T, {batch}3)")
            W = self.weight("W", "H", "3")
            if kind == "precompute":
                self.precompute = f"precompute=lambda xs: ag.linear(xs, {W}), "
            self.line("x" if kind == "precompute" else f"ag.linear(x, {W})", 1)
        elif kind == "dict":
            self.define("xs0", f"values(T, {self.state}{zeros})")
            self.define("xs1", f"booleans(T, {self.state})", False)
            self.xs = "{'z': xs1, 'x': [xs0]}"
            self.line("x['x'][0]", 1)
            self.features.add("zoneout")
            self.line(f"ag.where(x['z'], {self.pick()}, h)", 1)
        elif kind == "index":
            self.define("xs0", f"integers(T, {batch})", False)
            self.line(f"{self.weight('u', str(ROWS), 'H')}[x]", 1)
        else:
            self.xs = "None"

    def write_body(self) -> None:
        rng = self.rng
        tables = [POINTWISE] * 5 + [ALONG_AXIS, ARRAYS, ARRAYS]
        work: list[Callable[[], Any]] = [self.product] * rng.randint(1, 2)
        work += [lambda: self.apply(rng.choice(tables)) for _ in range(rng.randint(1, 8))]
        if self.chance(0.35, "singular function"):
            work += [lambda: self.apply(SINGULAR)] * rng.randint(1, 2)
        if self.chance(0.15):
            work.append(self.inner)
        if self.chance(0.1, "recurrent dropout"):
            self.define("mask", f"booleans({self.state}, probability=0.7)", False)
            work.append(lambda: self.line(f"{(v := self.pick())} * mask / 0.7", self.values[v] * 2))
        if self.chance(0.06, "dropout in the step"):
            work.append(
                lambda: self.line(f"dropout({(v := self.pick())}, 0.3)", self.values[v] * 2)
            )
        if self.chance(0.03, "value read on the host"):
            work.append(lambda: self.line(f"{(v := self.pick())} * float(h.sum() > 0.1)", 1))
        if "n" in self.leaves:
            table = self.weight("u", str(ROWS), "H")
            work.append(lambda: self.line(f"{table}[n % {ROWS}]", 1))
            column = "[..., None]" if self.batched else ""
            work.append(lambda: self.line(f"{(v := self.pick())} / (1.0 + n{column})", 1))
        if "done" in self.leaves:
            column = "[..., None]" if self.batched else ""
            work.append(
                lambda: self.line(f"ag.where(done{column}, {(v := self.pick())}, {self.pick()})", 2)
            )
        rng.shuffle(work)
        for part in work:
            part()

    def product(self) -> None:
        a, b, kind = self.pick(), self.pick(), self.rng.randrange(5)
        size = self.values[a]
        if kind == 0:
            self.line(f"ag.linear({a}, {self.weight('W', 'H', 'H')})", size)
        elif kind == 1:
            self.line(f"{a} @ {self.weight('W', 'H', 'H')}", size)
        elif kind == 2:
            W = self.weight("W", "H", "2 * H")
            both = max(size, self.values[b])
            self.line(f"ag.linear(ag.concatenate([{a}, {b}], axis=-1), {W})", both)
        elif kind == 3:
            self.line(f"({a} * {self.weight('u', 'H')} + {self.weight('s')})", size + 1)
        else:
            parts, W = f"p{self.written}", self.weight("W", "3 * H", "H")
            self.lines.append(f"{parts} = ag.split(ag.linear({a}, {W}), 3, axis=-1)")
            for i in range(3):
                self.line(self.rng.choice(["{}[{}]", "ag.sigmoid({}[{}])"]).format(parts, i), size)

    def inner(self) -> None:
        name = self.rng.choice(list(INNER))
        self.features.add(name)
        code = INNER[name]
        u = self.weight("u", "H") if "{u}" in code else ""
        self.line(code.format(self.pick(), self.pick(), u=u), 2)

    def write_result(self) -> None:
        column = "[..., 0]" if self.batched else "[0]"
        codes = []
        for name in self.leaves:
            if name == "n":
                codes.append(self.rng.choice(["n + 1", f"n + ag.argmax({self.pick()}, axis=-1)"]))
            elif name == "done":
                codes.append(f"done | ({self.pick()}{column} > 0.8)")
            elif name == "k":
                codes.append("k")
            else:
                value = self.pick()
                value = value if self.values[value] <= 1 else f"ag.tanh({value})"
                codes.append(
                    f"(0.5 * {name} + 0.4 * {value})" if self.chance(0.5) else f"0.6 * {value}"
                )
        y = self.rng.choice(["None", "{}", "{}", "({}, {})", "{{'a': {}, 'b': [{}, None]}}"])
        y = y.format(*[self.pick() for _ in range(arity(y))])
        if self.chance(0.08, "boolean or integer outputs"):
            y = f"({y}, {self.pick()} > 0.2, ag.argmax({self.pick()}, axis=-1))"
        if self.chance(0.2, "unused infinite outputs"):
            form = self.rng.choice(INFINITE)
            y = f"({y}, {form.format(*[self.pick() for _ in range(arity(form))])})"
            self.program.used = 0
        self.lines.append(f"return {self.nest(codes)}, {y}")

    def write_options(self) -> str:
        rng, options = self.rng, []
        if self.xs == "None":
            options.append("length=T")
        if self.chance(0.3, "reverse"):
            options.append("reverse=True")
        if self.batched and self.chance(0.3, "lengths"):
            self.define("lengths", "rng.integers(0, T + 1, B)", False)
            options.append("lengths=lengths")
            self.program.ragged = True
        if self.chance(0.2, "detach_every"):
            options.append(f"detach_every={rng.randint(1, 4)}")
        if self.chance(0.2, "checkpoint"):
            options.append(f"checkpoint={rng.choice(['2', '3', '4', repr('sqrt')])}")
        return ", ".join([*options, "**options"])

    def build(self) -> Program:
        rng, program = self.rng, self.program
        self.define("f0, f1", f"{rng.uniform(0.2, 0.9):.3f}, {rng.uniform(-0.8, 0.8):.3f}", False)
        self.define("index", "np.arange(H)[::-1].copy()", False)
        self.define("booleans_of_h", "booleans(H)", False)
        self.define("numbers_of_h", "np.linspace(0.5, 1, H)", False)
        self.write_carry()
        self.write_xs()
        self.write_body()
        self.write_result()
        options = self.write_options()
        carry = self.nest([f"carry_{name}" for name in self.leaves])
        program.text = "\n".join(
            [
                *self.definitions,
                "\n\ndef step(carry, x):",
                *[f"    {line}" for line in self.lines],
                "\n\ndef run(scan=ag.scan, **options):",
                f"    carry = {carry}",
                f"    return scan(step, carry, {self.xs}, {self.precompute}{options})",
                "",
            ]
        )
        T = rng.choice([0, 1, 2, 2, 3, 3, 4, 5, 6, 7, rng.randint(8, 16), rng.randint(17, 39)])
        B = rng.choice([0, 1, 2, 2, 3]) if self.batched else 1
        program.sizes = [(T, B)]
        if self.batched and self.chance(0.4, "several batch sizes"):
            program.sizes += [(T, rng.randint(0, 3)) for _ in range(2)]
        if self.chance(0.3, "several lengths"):
            program.sizes += [(rng.randint(0, 12), B) for _ in range(2)]
        for feature, holds in (
            ("T = 0", 0 in [t for t, _ in program.sizes]),
            ("T = 1", 1 in [t for t, _ in program.sizes]),
            ("T > 16", T > 16),
            ("B = 0", 0 in [b for _, b in program.sizes]),
            ("no batch", not self.batched),
            ("captured floats", "f0" in "".join(self.lines)),
            ("zeros in the inputs", self.zeros > 0),
        ):
            if holds:
                self.features.add(feature)
        return program


def random_scan(seed: int) -> Program:
    """Return a program whose states and derivatives over time stay of the order of 1."""
    return _ProgramBuilder(random.Random(seed), seed).build()
