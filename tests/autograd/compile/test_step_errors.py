"""Errors in the step of a compiled scan equal the errors of eager execution."""

from collections.abc import Callable
from typing import Any

import pytest
from compiled import (
    H,
    Problem,
    check,
    outcome,
    problem,
    result_or_error,
    values,
)

import autograd as ag

Step = Callable[[Any, Any], Any]


def failing_call(n: int, fails: Callable[[Any, Any], Any]) -> Callable[[Any], Step]:
    """Return a function that makes a step whose n-th call fails."""

    def make(W: Any) -> Step:
        calls: list[int] = []

        def step(h: Any, x: Any) -> Any:
            calls.append(n)
            return fails(h, x) if len(calls) == n else (ag.tanh(h @ W + x), h)

        return step

    return make


def raise_error(h: Any, x: Any) -> Any:
    raise KeyError("custom")


FAILURES: dict[str, Callable[[Any, Any], Any]] = {
    "custom": raise_error,
    "shapes": lambda h, x: (h @ ag.ones((3, 3), dtype=float), h),
    "shapes that do not broadcast": lambda h, x: (h + ag.ones(5), h),
    "an index": lambda h, x: (h[:, 7], h),
    "a name": lambda h, x: undefined,  # type: ignore[name-defined]  # noqa: F821
    "an attribute": lambda h, x: (h.nonsense, h),
    "a single result": lambda h, x: h,
    "None": lambda h, x: None,
    "another nesting of the carry": lambda h, x: ((h, h), h),
    "another nesting of y": lambda h, x: (h, (h, h)),
    "another shape of y": lambda h, x: (h, h[0]),
    "an argument": lambda h, x: (ag.softmax(h, axis=5), h),
    "assignment": lambda h, x: h.__setitem__(0, 1.0),
}


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("fails", FAILURES.values(), ids=FAILURES)
def test_errors_equal_the_errors_of_eager_execution(fails: Any, n: int) -> None:
    def make() -> Problem:
        W = values(H, H)
        return problem(failing_call(n, fails)(W), W)

    check(make, run=result_or_error(outcome))
