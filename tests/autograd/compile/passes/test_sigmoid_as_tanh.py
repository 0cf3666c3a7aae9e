"""The rewrite of sigmoids as tanh of half their argument, where halving costs nothing at a step."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from compiled import B, H, Problem, T, check, values, weighted_problems

import autograd as ag
from tinygrad_rnn import nn

MERGE = import_module("autograd.compile.passes.merge_activations")
pytestmark = pytest.mark.host  # other devices compute sigmoids in kernels

Step = Callable[[Any, Any, Any], Any]
V = np.arange(1.0, H + 1)  # a loop-invariant vector of different entries


def linear(x: Any, W: Any) -> Any:
    return ag.linear(x, W)


def split_in_three(W: Any, h: Any, x: Any) -> Any:
    a, b, c = ag.split(
        linear(h, ag.concatenate([W, 2 * W, -W])) + ag.concatenate([x, x, x], -1), 3, -1
    )
    h = ag.sigmoid(a) * h + ag.tanh(b) * ag.sigmoid(c + V * h)
    return h, h


def split_in_two(W: Any, h: Any, x: Any) -> Any:
    # Factors for the rows of square weights that no other operation reads.
    a, b = ag.split(linear(h.detach(), x[:H] * V) + x, 2, -1)
    return both(ag.concatenate([ag.sigmoid(a), ag.tanh(b)], -1))


def both(result: Any) -> Any:
    return result, result


# The argument of the sigmoid is a sum of products with loop-invariant arrays.
REWRITTEN: dict[str, Step] = {
    "linear": lambda W, h, x: both(ag.sigmoid(linear(h, W) + x)),
    "a product from the right": lambda W, h, x: both(ag.sigmoid(x - h @ W)),
    "a vector times the carry": lambda W, h, x: both(ag.sigmoid(V * h + x)),
    "the carry times a vector": lambda W, h, x: both(ag.sigmoid(h * V + x)),
    "a number times the carry": lambda W, h, x: both(ag.sigmoid((h * V) * 3.0 + x)),
    "weights computed in the step": lambda W, h, x: both(ag.sigmoid(linear(h, W * V) + x)),
    "weights computed from the right": lambda W, h, x: both(ag.sigmoid(h @ (W * V) + x)),
    "a row of weights": lambda W, h, x: both(ag.sigmoid(linear(h, W) * W[0] + x)),
    "weights that differ from step to step": lambda W, h, x: both(
        ag.sigmoid(h @ ag.exp(x[:H] + W) + x)
    ),
    "a split sum": split_in_three,
    "a split sum with square weights": split_in_two,
}
# The argument has another reader, or is another expression.
UNCHANGED: dict[str, Step] = {
    "the carry itself": lambda W, h, x: both(ag.sigmoid(h) * x),
    "a sum that is an output": lambda W, h, x: (lambda s: (ag.sigmoid(s), s))(linear(h, W) + x),
    "a sum that is a carry": lambda W, h, x: (lambda s: (s * 0.5, ag.sigmoid(s)))(h @ W + x),
    "a sum that is the carry": lambda W, h, x: (lambda s: (s, ag.sigmoid(s)))(h @ W + x),
    "a sum that is read twice": lambda W, h, x: (lambda s: both(ag.sigmoid(s) * ag.tanh(s)))(
        linear(h, W) + x
    ),
    "a product that is read twice": lambda W, h, x: (lambda p: both(ag.sigmoid(p + x) + p))(
        linear(h, W)
    ),
    "a sum with itself": lambda W, h, x: (lambda p: both(ag.sigmoid(p + p)))(linear(h, W)),
    "a sum with a number": lambda W, h, x: both(ag.sigmoid(linear(h, W) + 1.0)),
    "a function of a product": lambda W, h, x: both(ag.sigmoid(ag.sin(linear(h, W)) + x)),
    "a product with weights of the carry": lambda W, h, x: both(
        ag.sigmoid(linear(x, W * h[0]) + x)
    ),
    "a product with weights of the carry that no other operation reads": lambda W, h, x: both(
        ag.sigmoid(linear(x.detach(), W * h[0]) + x)
    ),
    "the carry times itself": lambda W, h, x: both(ag.sigmoid(h * h + x)),
    "a product that is broadcast": lambda W, h, x: both(ag.sigmoid(linear(h, W[:1]) + x)),
}


def forward_body(problem: Problem) -> str:
    """Return the operations of the body of the forward pass of the interpreter."""
    step, carry, xs, _, options = problem
    text = str(ag.explain(step, carry, xs, executor="interpreter", **options))
    _, rest = text.split("forward, at every step")
    return rest.split("\n\n")[0]


def scaled_values(problem: Problem) -> list[str]:
    """Return the operations of the body that scale a value other than a result of tanh."""
    step, carry, xs, _, options = problem
    text = str(ag.explain(step, carry, xs, executor="interpreter", **options))
    operations = re.findall(r"^    (v\d[v\d, ]*) = (\w+)\(", text, re.MULTILINE)
    names = {out: name for outs, name in operations for out in outs.split(", ")}
    names |= dict.fromkeys(re.findall(r"^    (v\d+) \(.*\) ", text, re.MULTILINE), "argument")
    found = []
    for line in forward_body(problem).splitlines():
        if match := re.match(r"    v\d+ = multiply\((\S+), (\S+)\)$", line):
            x, factor = match.groups()
            is_constant = factor.startswith("v") and factor not in names
            if names.get(x) != "tanh" and (factor == "0.5" or is_constant):
                found.append(line)
    return found


@pytest.mark.parametrize("small", [0, MERGE.MAX_SIZE])
@pytest.mark.parametrize("name", [*REWRITTEN, *UNCHANGED])
def test_equals_eager_execution(name: str, small: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(MERGE, "MAX_SIZE", small)
    step = (REWRITTEN | UNCHANGED)[name]
    check(weighted_problems(step))
    check(weighted_problems(lambda W, h, x: step(W, h, ag.tanh(x) * x)))


@pytest.mark.parametrize("name", REWRITTEN)
def test_halving_without_cost_is_rewritten(name: str) -> None:
    problem = weighted_problems(REWRITTEN[name])()
    body = forward_body(problem)
    assert " tanh(" in body
    assert "sigmoid" not in body
    assert not scaled_values(problem)


@pytest.mark.parametrize("name", UNCHANGED)
def test_halving_with_cost_is_not_rewritten(name: str) -> None:
    problem = weighted_problems(UNCHANGED[name])()
    text = str(ag.explain(problem.step, problem.carry, problem.xs, executor="interpreter"))
    forward = "\n".join(part for part in text.split("\n\n") if part.startswith("forward, "))
    assert " sigmoid(" in forward
    assert forward.count(" tanh(") == (name == "a sum that is read twice")


CELLS = [
    nn.LSTMCell,
    nn.PeepholeLSTMCell,
    nn.CoupledLSTMCell,
    nn.LayerNormLSTMCell,
    nn.GRUCell,
    nn.MGUCell,
]


@pytest.mark.parametrize("Cell", CELLS)
def test_gates_of_cells(Cell: Any) -> None:
    cell = Cell(H, H)
    options = {"precompute": cell.precompute}
    xs = values(T, B, H).astype("float32")
    problem = Problem(cell.step, cell.initial_state(B), xs, [], options)
    assert "sigmoid" not in forward_body(problem)
    assert not scaled_values(problem)


def test_a_sum_of_many_terms() -> None:
    def step(W: Any, h: Any, x: Any) -> Any:
        for n in range(400):
            x = x + h * (V / (n + 1))
        return both(ag.sigmoid(x))

    check(weighted_problems(step))


def test_no_dimension() -> None:
    def make() -> Problem:
        w, h, xs = values(), values(), values(T)
        return Problem(lambda h, x: both(ag.sigmoid(w * h + x)), h, xs, [w, h, xs])

    check(make)
