"""Steps that assign to outer objects, or that differ from call to call, run eagerly."""

import contextvars
import itertools
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from compiled import B, H, T, gradients_of, same, values
from effects import plain, run
from helpers import on_device

import autograd as ag

pytestmark = pytest.mark.filterwarnings("ignore:scan runs", "ignore::RuntimeWarning")

# --- assignments that the bytecode shows ----------------------------------------------------------

NUMBER = 0
TABLE = {"n": 0}


class Holder:
    number = 0


def stores_a_global() -> tuple[Any, Any]:
    global NUMBER
    NUMBER = 0

    def step(W: Any, h: Any, x: Any) -> Any:
        global NUMBER
        NUMBER += 1
        return plain(W, h, x)

    return step, lambda: NUMBER


def stores_a_nonlocal() -> tuple[Any, Any]:
    number = 0

    def step(W: Any, h: Any, x: Any) -> Any:
        nonlocal number
        number += 1
        return plain(W, h, x)

    return step, lambda: number


def stores_an_attribute() -> tuple[Any, Any]:
    box = SimpleNamespace(n=0)

    def step(W: Any, h: Any, x: Any) -> Any:
        box.n += 1
        return plain(W, h, x)

    return step, lambda: box.n


def stores_an_attribute_of_a_class() -> tuple[Any, Any]:
    Holder.number = 0

    def step(W: Any, h: Any, x: Any) -> Any:
        Holder.number += 1
        return plain(W, h, x)

    return step, lambda: Holder.number


def stores_an_attribute_of_a_module() -> tuple[Any, Any]:
    module: Any = sys.modules[__name__]
    module.EXTRA = 0

    def step(W: Any, h: Any, x: Any) -> Any:
        module.EXTRA += 1
        return plain(W, h, x)

    return step, lambda: module.EXTRA


def stores_an_item_of_a_counter() -> tuple[Any, Any]:
    counter: Counter[str] = Counter()

    def step(W: Any, h: Any, x: Any) -> Any:
        counter["n"] += 1
        return plain(W, h, x)

    return step, lambda: counter["n"]


def stores_an_item_of_a_global() -> tuple[Any, Any]:
    TABLE["n"] = 0

    def step(W: Any, h: Any, x: Any) -> Any:
        TABLE["n"] += 1
        return plain(W, h, x)

    return step, lambda: TABLE["n"]


def stores_an_item_of_a_bytearray() -> tuple[Any, Any]:
    data = bytearray(1)

    def step(W: Any, h: Any, x: Any) -> Any:
        data[0] += 1
        return plain(W, h, x)

    return step, lambda: data[0]


def stores_an_item_of_an_array() -> tuple[Any, Any]:
    numbers = np.zeros(2, int)

    def step(W: Any, h: Any, x: Any) -> Any:
        numbers[1] += 1
        return plain(W, h, x)

    return step, lambda: numbers[1]


def stores_an_attribute_of_an_argument() -> tuple[Any, Any]:
    def step(W: Any, h: Any, x: Any, box: Any = SimpleNamespace(n=0)) -> Any:  # noqa: B008
        box.n += 1
        return plain(W, h, x)

    return step, lambda: step.__defaults__[0].n


def stores_an_attribute_of_its_object() -> tuple[Any, Any]:
    class Step:
        n = 0

        def __call__(self, W: Any, h: Any, x: Any) -> Any:
            self.n += 1
            return plain(W, h, x)

    step = Step()
    return step, lambda: step.n


def stores_in_a_function_that_it_calls() -> tuple[Any, Any]:
    box = SimpleNamespace(n=0)

    def count() -> None:
        box.n += 1

    def step(W: Any, h: Any, x: Any) -> Any:
        count()
        return plain(W, h, x)

    return step, lambda: box.n


def stores_in_a_method_that_it_calls() -> tuple[Any, Any]:
    class Meter:
        n = 0

        def count(self) -> None:
            self.n += 1

    meter = Meter()

    def step(W: Any, h: Any, x: Any) -> Any:
        meter.count()
        return plain(W, h, x)

    return step, lambda: meter.n


def deletes_an_item() -> tuple[Any, Any]:
    items = dict.fromkeys(range(100))

    def step(W: Any, h: Any, x: Any) -> Any:
        del items[len(items) - 1]
        return plain(W, h, x)

    return step, lambda: 100 - len(items)


STORES = [
    stores_a_global,
    stores_a_nonlocal,
    stores_an_attribute,
    stores_an_attribute_of_a_class,
    stores_an_attribute_of_a_module,
    stores_an_item_of_a_counter,
    stores_an_item_of_a_global,
    stores_an_item_of_a_bytearray,
    stores_an_item_of_an_array,
    stores_an_attribute_of_an_argument,
    stores_an_attribute_of_its_object,
    stores_in_a_function_that_it_calls,
    stores_in_a_method_that_it_calls,
    deletes_an_item,
]
DIRECT = [make for make in STORES if "that_it_calls" not in make.__name__]


@pytest.mark.parametrize("make", STORES)
def test_a_step_that_assigns_to_outer_objects_runs_eagerly(make: Any) -> None:
    step, state = make()
    same(run(step), run(plain, False))
    assert state() == T
    same(run(step, reverse=True), run(plain, False, reverse=True))
    assert state() == 2 * T


def test_a_step_that_assigns_to_an_outer_object_warns() -> None:
    """Once per step, with the place of the caller."""
    number = 0

    def direct(h: Any, x: Any) -> Any:
        nonlocal number
        number += 1
        return ag.tanh(h * x), h

    h, xs = values(B, H), values(T, B, H)
    with pytest.warns(UserWarning, match="scan runs .*direct eagerly") as caught:
        ag.scan(direct, h, xs)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ag.scan(direct, h, xs)
    assert number == 2 * T


def test_assignments_to_local_objects_compile() -> None:
    """Also to items and attributes of objects that the step creates."""

    def step(h: Any, x: Any) -> Any:
        items, box, table = [h, x], SimpleNamespace(n=1), {}
        items[0] = ag.tanh(items[0])
        box.n += 1
        table["y"] = items[0] * box.n
        table["z"], (first, second) = x, (h, x)
        return items[0] + first * second, table

    h, xs = values(B, H), values(T, B, H)
    for compile in (None, False):
        assert ag.explain(step, h, xs, compile=compile).compiled == (compile is None)
    same(ag.scan(step, h, xs), ag.scan(step, h, xs, compile=False))


# --- steps that differ ----------------------------------------------------------------------------


def differing() -> dict[str, Callable[[], Callable[[], Any]]]:
    """Functions that make a factor, which differs from step to step."""

    def numbers() -> Any:
        counter = itertools.count(1)
        return lambda: 1 / next(counter)

    def counter_of_collections() -> Any:
        counter: Counter[str] = Counter()
        return lambda: counter.update("a") or 1 / counter["a"]

    def length_of_a_list() -> Any:
        items: list[int] = []
        return lambda: items.append(1) or 1 / len(items)

    def generator() -> Any:
        factors = (0.5**n for n in range(100))
        return lambda: next(factors)

    def context_variable() -> Any:
        variable = contextvars.ContextVar("factor", default=1.0)
        return lambda: variable.set(variable.get() * 0.9) and variable.get()

    def array_of_numpy() -> Any:
        counter = itertools.count(1)
        return lambda: on_device(np.full(H, 1 / next(counter)))

    def tensor() -> Any:
        counter = itertools.count(1)
        return lambda: ag.tensor(np.full(H, 1 / next(counter)))

    def outer_tensors() -> Any:
        factors = itertools.cycle([values(H, seed=n).detach() for n in range(3)])
        return lambda: next(factors)

    def generator_of_numpy() -> Any:
        rng = np.random.default_rng(0)
        return lambda: float(rng.random())

    def generator_of_python() -> Any:
        rng = random.Random(0)
        return lambda: rng.gauss()

    def operations() -> Any:
        functions = itertools.cycle([lambda t: t * 0.5, lambda t: -t])
        return lambda: next(functions)(ag.ones(H, dtype=float))

    return {
        "a counter": numbers,
        "a counter of collections": counter_of_collections,
        "the length of a list": length_of_a_list,
        "a generator": generator,
        "a context variable": context_variable,
        "an array of NumPy": array_of_numpy,
        "a tensor": tensor,
        "outer tensors in turn": outer_tensors,
        "a random generator of NumPy": generator_of_numpy,
        "a random generator of Python": generator_of_python,
        "operations in turn": operations,
        "random": lambda: random.random,
        "random.gauss": lambda: random.gauss,
        "numpy.random": lambda: lambda: float(np.random.random()),  # noqa: NPY002
    }


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": [T, 0, 3]}], ids=str)
@pytest.mark.parametrize("make", differing().values(), ids=differing())
def test_a_step_that_differs_at_its_second_call_runs_eagerly(
    make: Any, options: dict[str, Any]
) -> None:
    def results(compile: bool | None) -> Any:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        factor, count = make(), itertools.count()

        def step(W: Any, h: Any, x: Any) -> Any:
            next(count)
            return plain(W, h * factor(), x)

        found = [run(step, compile, **options) for _ in range(2)]
        return found, next(count), random.random(), np.random.random()  # noqa: NPY002

    actual, expected = results(None), results(False)
    assert actual[1:] == expected[1:]
    same(actual[0], expected[0])


def test_draws_that_a_step_does_not_use_happen_once_per_step() -> None:
    random.seed(1)
    numbers = [random.random() for _ in range(T + 1)]
    random.seed(1)
    run(lambda W, h, x: (random.random(), plain(W, h, x))[1])
    assert random.random() == numbers[T]


# --- tensors that a step stores -------------------------------------------------------------------


def uses_the_previous_state(W: Any, box: SimpleNamespace) -> Callable[[Any, Any], Any]:
    box.stored = None

    def step(h: Any, x: Any) -> Any:
        previous, box.stored = box.stored, ag.tanh(h @ W + x)
        return box.stored, box.stored if previous is None else box.stored * previous

    return step


def stores_its_inputs(W: Any, box: SimpleNamespace) -> Callable[[Any, Any], Any]:
    box.stored = {}

    def step(h: Any, x: Any) -> Any:
        box.stored[len(box.stored)] = x
        return ag.tanh(h @ W + x), box.stored[0]

    return step


def updates_a_running_mean(W: Any, box: SimpleNamespace) -> Callable[[Any, Any], Any]:
    box.stored = ag.zeros(H, dtype=float)

    def step(h: Any, x: Any) -> Any:
        with ag.no_grad():
            box.stored *= 0.9
            box.stored += 0.1 * h.detach().mean(0)
        return ag.tanh(h @ W + x - box.stored), h

    return step


@pytest.mark.parametrize("options", [{}, {"lengths": [6, 0, 3]}, {"reverse": True}], ids=str)
@pytest.mark.parametrize(
    "make", [uses_the_previous_state, stores_its_inputs, updates_a_running_mean]
)
def test_gradients_of_stored_tensors(make: Any, options: dict[str, Any]) -> None:
    """Two calls, between which the stored tensors lose their history."""

    def results(compile: bool | None) -> Any:
        W, h, xs, box = values(H, H), values(B, H), values(T, B, H), SimpleNamespace()
        step, found = make(W, box), []
        for _ in range(2):
            out = ag.scan(step, h, xs, compile=compile, **options)
            tensors = ag.flatten((out, box.stored))
            found.append((out, gradients_of(tensors, [W, h, xs])))
            box.stored = ag.tree_map(lambda t: t.detach() * 1, box.stored)
        return found

    same(results(None), results(False))
