"""Comparison of compiled scans with eager execution."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from helpers import on_host
from recurrences import assert_close

import autograd as ag

TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
T, B, H = 6, 3, 2  # time steps, batch, size of the state


def values(*shape: int, seed: int = 0) -> Any:
    """Return a Tensor of numbers from [-1, 1) that requires gradients."""
    rng = np.random.default_rng([seed, *shape])
    return ag.tensor(rng.uniform(-1, 1, shape), requires_grad=True)


class Problem(NamedTuple):
    """A scan, and the tensors with respect to which its results are differentiated."""

    step: Callable[[Any, Any], tuple[Any, Any]]
    carry: Any
    xs: Any
    inputs: list[Any]
    options: dict[str, Any] = {}  # noqa: RUF012  # never written

    def scan(self, compile: bool | None = None) -> Any:
        step, carry, xs, _, options = self
        return ag.scan(step, carry, xs, compile=compile, **options)

    def explain(self) -> Any:
        step, carry, xs, _, options = self
        return ag.explain(step, carry, xs, **options)


def weighted(leaves: list[Any]) -> Any:
    """Return the sum of all entries that require gradients, each with a different weight."""
    rng = np.random.default_rng(0)
    total: Any = 0.0
    for leaf in leaves:
        weight = rng.uniform(-1, 1, leaf.shape)
        if leaf.requires_grad:
            total = total + (leaf * ag.tensor(weight.astype(leaf.dtype))).sum()
    return total


def gradients_of(out: Any, inputs: list[Any], order: int = 1) -> list[Any]:
    """Return the gradients with respect to all inputs; 0 where no result depends on an input.

    For a higher order, a weighted sum of the gradients is differentiated again.
    """
    gradients = ag.flatten(in_order(out))
    for n in range(order):
        leaves = [t for t in gradients if isinstance(t, ag.Tensor)]
        found = iter(
            ag.gradients(
                weighted(leaves),
                [t for t in inputs if t.requires_grad],
                create_graph=n < order - 1,
                allow_unused=True,
            )
            if any(leaf.requires_grad for leaf in leaves)
            else ()
        )
        given = [next(found, None) if t.requires_grad else None for t in inputs]
        gradients = [
            ag.zeros_like(t) if s is None else s for s, t in zip(given, inputs, strict=True)
        ]
    return gradients


def in_order(tree: Any) -> Any:
    """Return a tree whose dicts are sorted by their keys."""
    if isinstance(tree, dict):
        return {key: in_order(tree[key]) for key in sorted(tree)}
    return type(tree)(map(in_order, tree)) if isinstance(tree, (tuple, list)) else tree


def kind_of(leaf: Any) -> Any:
    return (leaf.shape, leaf.dtype) if isinstance(leaf, ag.Tensor) else type(leaf)


def same(actual: Any, expected: Any, tolerance: float = 1e-11, ragged: bool = False) -> None:
    """Assert that two trees have the same nesting, and leaves of the same kind and value.

    In a `ragged` batch, more of the actual leaves may require gradients: in eager execution, a step
    at which all sequences run does not use the previous carry.
    """
    actual, expected = in_order(actual), in_order(expected)
    assert ag.tree_map(kind_of, actual) == ag.tree_map(kind_of, expected)
    for a, b in zip(ag.flatten(actual), ag.flatten(expected), strict=True):
        if isinstance(b, ag.Tensor):
            assert a.requires_grad == b.requires_grad or (ragged and a.requires_grad)
    for a, b in zip(ag.flatten(actual), ag.flatten(expected), strict=True):
        if hasattr(b, "dtype"):
            assert_close(on_host(a), on_host(b), tolerance)
        else:
            assert a == b


def outcome(problem: Problem, compile: bool | None = None, order: int = 1) -> Any:
    """Return the results of a scan, and the gradients of its inputs."""
    out = problem.scan(compile)
    return out, gradients_of(out, problem.inputs, order)


def result_or_error(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that returns the type and message of an error instead of raising it."""

    def attempt(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            return type(error), str(error)

    return attempt


def check(
    make: Callable[[], Problem],
    tolerance: float = 1e-11,
    order: int = 1,
    calls: int = 1,
    run: Callable[..., Any] = outcome,
) -> None:
    """Check that compiled and eager execution have equal results and gradients at every call.

    `make` returns equal problems.
    """
    expected = run(make(), False, order)
    problem = make()
    for _ in range(calls):
        same(run(problem, None, order), expected, tolerance, "lengths" in problem.options)


def problem(step: Callable[[Any, Any], Any], *weights: Any, **options: Any) -> Problem:
    """Return a problem of a step(h, x) with a carry (B, H) and inputs (T, B, H)."""
    carry, xs = values(B, H), values(T, B, H)
    return Problem(step, carry, xs, [carry, xs, *weights], options)


def weighted_problems(
    step: Callable[[Any, Any, Any], Any], **options: Any
) -> Callable[[], Problem]:
    """Return a function that makes problems of a step(W, h, x) with a square weight W."""

    def make() -> Problem:
        W = values(H, H)
        return problem(lambda h, x: step(W, h, x), W, **options)

    return make


def check_eager(problem: Problem, reason: str) -> None:
    """Check that a scan is executed eagerly, for a reason that matches a regular expression."""
    plan = problem.explain()
    assert not plan.compiled
    assert re.search(reason, plan.why), plan.why
    assert plan.why in str(plan)
