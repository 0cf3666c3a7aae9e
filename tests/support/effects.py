"""Side effects of the step of a scan: objects that its calls change, and scans of such steps."""

import contextvars
import copy
import functools
import io
import itertools
import types
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from compiled import B, H, T, gradients_of, values

import autograd as ag

Effect = tuple[Callable[[], Any], Callable[[], Any]]
"""A function that a step calls, and a function that returns the state that the calls leave."""

EFFECTS: dict[str, Callable[[], Effect]] = {}
"""Each makes a new object. The state is equal to `STATES[name](n)` after n calls."""

STATES: dict[str, Callable[[int], Any]] = {}


def effect(state: Callable[[int], Any]) -> Callable[[Callable[[], Effect]], Callable[[], Effect]]:
    def register(make: Callable[[], Effect]) -> Callable[[], Effect]:
        name = make.__name__.replace("_", " ")
        EFFECTS[name], STATES[name] = make, state
        return make

    return register


@effect(lambda n: [1.5] * n)
def append_to_a_list() -> Effect:
    items: list[float] = []
    return lambda: items.append(1.5), lambda: list(items)


@effect(lambda n: list(range(n)))
def append_the_length_of_a_list() -> Effect:
    items: list[int] = []
    return lambda: items.append(len(items)), lambda: list(items)


@effect(lambda n: [0] * (3 - n) if n < 3 else [])
def pop_from_a_list() -> Effect:
    items = [0] * 3
    return lambda: items and items.pop(), lambda: list(items)


@effect(lambda n: [("b", n)] if n else [])
def update_a_counter() -> Effect:
    counter: Counter[str] = Counter()
    return lambda: counter.update("b"), lambda: list(counter.items())


@effect(lambda n: {i: i for i in range(n)})
def set_default_of_a_dict() -> Effect:
    items: dict[int, int] = {}
    return lambda: items.setdefault(len(items), len(items)), lambda: dict(items)


@effect(lambda n: {"n": n} if n else {})
def update_a_dict() -> Effect:
    items: dict[str, int] = {}
    return lambda: items.update(n=items.get("n", 0) + 1), lambda: dict(items)


@effect(lambda n: [("a", [1] * n)] if n else [])
def append_in_a_default_dict() -> Effect:
    items: Any = defaultdict(list)
    return lambda: items["a"].append(1), lambda: list(items.items())


@effect(lambda n: ["b", "a"] if n % 2 else ["a", "b"])
def move_in_an_ordered_dict() -> Effect:
    items = OrderedDict(a=1, b=2)
    return lambda: items.move_to_end(next(iter(items))), lambda: list(items)


@effect(lambda n: deque([0] * n, maxlen=4))
def append_to_a_deque() -> Effect:
    items: deque[int] = deque(maxlen=4)
    return lambda: items.append(0), lambda: copy.copy(items)


@effect(lambda n: set(range(n)))
def add_to_a_set() -> Effect:
    items: set[int] = set()
    return lambda: items.add(len(items)), lambda: set(items)


@effect(lambda n: b"a" * n)
def append_to_a_bytearray() -> Effect:
    data = bytearray()
    return lambda: data.append(97), lambda: bytes(data)


@effect(lambda n: [0.5] * n)
def append_to_an_array() -> Effect:
    data = array("d")
    return lambda: data.append(0.5), data.tolist


@effect(lambda n: n)
def set_a_context_variable() -> Effect:
    variable = contextvars.ContextVar("variable", default=0)
    return lambda: variable.set(variable.get() + 1), variable.get


@effect(lambda n: n)
def count_with_itertools() -> Effect:
    counter = itertools.count()
    return lambda: next(counter), lambda: next(counter)


@effect(lambda n: n)
def take_from_an_iterator() -> Effect:
    iterator = iter(range(1000))
    return lambda: next(iterator), lambda: next(iterator)


@effect(lambda n: 2 * n)
def take_from_a_generator() -> Effect:
    generator = (2 * i for i in range(1000))
    return lambda: next(generator), lambda: next(generator)


@effect(lambda n: n)
def send_to_a_generator() -> Effect:
    def total() -> Iterator[int]:
        n = 0
        while True:
            n += yield n  # type: ignore[misc]

    generator: Any = total()
    next(generator)
    return lambda: generator.send(1), lambda: generator.send(0)


@effect(lambda n: n)
def set_an_attribute_by_a_function() -> Effect:
    box = SimpleNamespace(n=0)
    return lambda: setattr(box, "n", box.n + 1), lambda: box.n


@effect(lambda n: n)
def set_an_attribute_of_a_class() -> Effect:
    kind: Any = type("Kind", (), {"n": 0})
    return lambda: setattr(kind, "n", kind.n + 1), lambda: kind.n


@effect(lambda n: n)
def set_an_attribute_of_a_module() -> Effect:
    module: Any = types.ModuleType("module")
    module.n = 0
    return lambda: vars(module).update(n=module.n + 1), lambda: module.n


@effect(lambda n: "ab" * n)
def write_to_a_file() -> Effect:
    file = io.StringIO()
    return lambda: file.write("ab"), file.getvalue


@effect(lambda n: [n, n, 0])
def add_to_an_array_of_numpy() -> Effect:
    numbers = np.zeros(3, int)
    return lambda: np.add(numbers[:2], 1, out=numbers[:2]), numbers.tolist


@effect(lambda n: n)
def call_a_bound_method() -> Effect:
    class Meter:
        def __init__(self) -> None:
            self.items: list[int] = []

        def add(self) -> None:
            self.items.append(1)

    meter = Meter()
    return meter.add, lambda: len(meter.items)


@effect(lambda n: min(n, 1))
def call_a_cached_function() -> Effect:
    cached = functools.lru_cache(lambda: 1)
    return cached, lambda: cached.cache_info().misses


def calls(name: str, state: Any) -> int:
    """Return the number of calls that leave this state; fail if no number does."""
    for n in (*range(4 * T), *range(4 * T, -1, -1)):
        if STATES[name](n) == state:
            return n
    raise AssertionError(f"{name}: no number of calls leaves {state!r}")


# --- scans ----------------------------------------------------------------------------------------


def run(step: Any, compile: bool | None = None, inputs: Any = None, **options: Any) -> Any:
    """Return the results of a scan of `step(W, h, x)`, and their gradients."""
    W, h, xs = inputs or (values(H, H), values(B, H), values(T, B, H))
    out = ag.scan(lambda h, x: step(W, h, x), h, xs, compile=compile, **options)
    return out, gradients_of(out, [W, h, xs])


def plain(W: Any, h: Any, x: Any) -> Any:
    h = ag.tanh(h @ W + x)
    return h, h * x
