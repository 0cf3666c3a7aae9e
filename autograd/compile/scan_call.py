"""A call of `scan` in the form in which it is compiled or executed eagerly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..core.pytree import tree_map
from ..core.tensor import Tensor


@dataclass
class ScanCall:
    """Consecutive steps of a scan.

    Attributes
    ----------
    functions : tuple
        The functions of the user: the step, and `precompute` or None.
    make_step : callable
        ``make_step(step, precompute)`` returns the function ``(carry, x) -> (new_carry, y)`` that
        is executed at every step.
    carry, xs : nested Tensors
        The initial carry and the inputs, in the order of the input.
    steps : int
        The number of steps.
    reverse : bool
        True if the last input belongs to the first step.
    detach_points : tuple of int
        Steps before which the history of the carry ends.
    run_eagerly : callable
        ``run_eagerly(results)`` executes the steps one after another, except the first ones, of
        which `results` has the pairs that the step returned.
    disabled_reason : str
        Why the call must be executed eagerly; "" if it may be compiled.
    first_output : nested Tensors
        The output of a step before these steps, which is not part of the call.
    """

    functions: tuple[Any, Any]
    make_step: Callable[[Any, Any], Callable[..., Any]]
    carry: Any
    xs: Any
    steps: int
    reverse: bool
    detach_points: tuple[int, ...]
    run_eagerly: Callable[[list[Any]], Any]
    disabled_reason: str
    first_output: Any = None

    def position(self, step: int) -> int:
        """Return the position in `xs` of the input of a step."""
        return self.steps - 1 - step if self.reverse else step

    def after_first_step(self, carry: Any, y: Any) -> ScanCall:
        """Return the call of all steps but the first, which has returned `carry` and `y`."""
        rest = slice(0, -1) if self.reverse else slice(1, None)
        points = tuple([n - 1 for n in self.detach_points if n > 1])
        if 1 in self.detach_points:
            carry = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, carry)
        xs = tree_map(lambda x: x[rest], self.xs)
        return replace(
            self,
            carry=carry,
            xs=xs,
            steps=self.steps - 1,
            detach_points=points,
            first_output=y,
        )
