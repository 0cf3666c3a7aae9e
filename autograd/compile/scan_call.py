"""A call of `scan` in the form in which it is compiled or executed eagerly."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

from ..core.graph import recording
from ..core.pytree import flatten, structure, tree_map
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
    plans : dict or None
        For a segment of a checkpointed scan, the plans and captures of other segments by
        their form: the step is not traced again, nor called when a segment is recomputed.
    version : int
        The version at which the scan began. Captures with newer nodes belong to one segment.
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
    plans: dict[Hashable, Any] | None
    version: int
    first_output: Any = None

    def known_plan(self) -> Any:
        """Return the plan and captures that another segment of the scan has found, or None."""
        if self.plans is None or self.disabled_reason:
            return None
        known = self.plans.get(self._form())
        is_recorded = any(leaf._node is not None for leaf in flatten(self.carry))
        return known if known and (known[0].has_backward or not is_recorded) else None

    def share_plan(self, plan: Any, captures: Any) -> None:
        """Let other segments use a plan, unless it captures a tensor that a step has computed."""
        if self.plans is not None and captures.are_older_than(self.version):
            self.plans[self._form()] = plan, captures

    def _form(self) -> Hashable:
        """Return the form of the carry and of the inputs of a step."""
        carry, xs = flatten(self.carry), flatten(self.xs)
        return (
            recording.get(),
            structure(self.carry),
            structure(self.xs),
            *[(leaf.shape, leaf.dtype) for leaf in carry],
            *[(leaf.shape[1:], leaf.dtype, leaf._node is not None) for leaf in xs],
        )

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
