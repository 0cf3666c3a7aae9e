"""Scan: the loop over time of every recurrent layer.

    carry, ys = scan(step, carry, xs)         with         step(carry, x) -> (carry, y)

Eager execution calls `step` once per time step and records the graph, so that backpropagation
through time is the ordinary backward pass over it. Where `compile` can trace the step, a compiled
loop computes the same results. `ragged` masks the steps beyond the length of a sequence, and
`checkpointed_scan` executes a scan in segments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import compile as compile_
from .. import random
from ..core.graph import no_grad
from ..core.mutation import next_version
from ..core.pytree import flatten, same_structure, structure, tree_map, unflatten
from ..core.tensor import Tensor
from ..ops.arguments import as_integer
from ..ops.creation import zeros
from ..ops.joining import stack, unstack
from .checkpointed_scan import CheckpointedScan, join_outputs
from .ragged import LengthMask, masked_step, prepare_carry, prepare_inputs

Step = Callable[[Any, Any], tuple[Any, Any]]


def scan(
    step: Step,
    carry: Any,
    xs: Any,
    *,
    length: int | None = None,
    lengths: Any = None,
    reverse: bool = False,
    precompute: Callable[[Any], Any] | None = None,
    checkpoint: int | str | None = None,
    memory_budget: int | None = None,
    detach_every: int | None = None,
    compile: bool | None = None,
) -> tuple[Any, Any]:
    """Run a step function over the first axis of `xs` and stack its outputs.

    Parameters
    ----------
    step : callable
        ``step(carry, x) -> (new_carry, y)``. It must keep the nesting, and should keep the shapes
        and dtypes, of the carry.
    carry : nested arrays or Tensors
        The initial carry. With `lengths`, the first axis of each leaf is the batch axis. Arrays
        and floats become Tensors.
    xs : nested arrays or Tensors, each of shape (T, ...), or None
        The inputs. The first axis is time; with `lengths`, the second one, if there is one, is the
        batch axis. If None, `step` is called with ``x=None``.
    length : int, optional
        The number of steps T. Required if `xs` is None.
    lengths : array_like of int, shape (B,), optional
        The length of each sequence of a ragged batch, in any order, from 0 to T. After its last
        step the carry of a sequence no longer changes, and its ys are 0. The first axis of each
        leaf of the output of `step` must be the batch axis.
    reverse : bool, default False
        Run from the last step to the first one; each sequence of a ragged batch starts at its own
        end. The ys stay in the order of `xs`.
    precompute : callable, optional
        ``precompute(xs)`` computes the part of the step that does not depend on the carry, for many
        steps at once. `step` then receives slices of its result. It may also be called on the slice
        of one step, so it must process each step independently.
    checkpoint : int or "sqrt", optional
        Gradient checkpointing: store only the carry after every `checkpoint` steps in the forward
        pass, and recompute all segments but the last one in the backward pass. "sqrt" uses the
        square root of the number of steps [2]_.
    memory_budget : int, optional
        Store as much as fits into this number of bytes, besides `xs` and the ys, and recompute as
        few steps as possible [3]_.
    detach_every : int, optional
        Detach the carry after every `detach_every` steps (truncated backpropagation through time).
    compile : bool, optional
        False selects eager execution. By default, steps are compiled where that is possible.

    Returns
    -------
    carry : nested Tensors
        The carry after the last step, with the nesting of the initial carry.
    ys : nested Tensors, each of shape (T, ...)
        The stacked outputs, with the nesting of `y`. For T = 0, `step` is called once, on zeros and
        without recording, to find their nesting, shapes and dtypes; the carry is unchanged.

    Raises
    ------
    ValueError
        If `xs` and `length` disagree on the number of steps, `lengths` does not match the batch, a
        step changes the nesting of its carry or output, `memory_budget` is too small for a single
        step, or an option is out of range.
    TypeError
        If `step` does not return a pair.

    Notes
    -----
    Gradients are computed by backpropagation through time [1]_. Results and gradients do not
    depend on `checkpoint`, `memory_budget` and `compile`, except for rounding.

    With `checkpoint` or `memory_budget`, `step` must be a pure function that uses the same Tensors
    at every step. If an array that it closes over changes before the backward pass, the backward
    pass raises RuntimeError.

    A compiled step must be a pure function of its arguments and of the arrays and numbers that it
    reads: its Python code runs for the first one or two steps of a call only. A step that cannot be
    compiled is executed eagerly, with a warning that says why. Execution is eager without a warning
    if `compile` is False, under `detect_anomaly`, for a single step, for empty arrays, inside the
    step of another scan, and if the environment variable AUTOGRAD_COMPILE is 0. Without any step,
    `step` is called once on zeros to find the form of the ys. `explain` shows how a step is
    executed.

    References
    ----------
    .. [1] P. J. Werbos, "Backpropagation through time: what it does and how to do it", Proceedings
       of the IEEE 78(10), 1990.
    .. [2] T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174, 2016.
    .. [3] A. Gruslys et al., "Memory-efficient backpropagation through time", NeurIPS 2016.

    Examples
    --------
    >>> import autograd as ag
    >>> total, ys = ag.scan(lambda c, x: (c + x, c * x), ag.tensor(0.0), ag.arange(4.0))
    >>> total
    tensor(6.)
    >>> ys
    tensor([0., 0., 2., 9.])
    """
    loop = _Loop(step, carry, xs, length, lengths, reverse, precompute, detach_every, compile)
    if checkpoint is None and memory_budget is None:
        return loop.run(0, loop.steps, loop.carry, loop.xs)
    checkpointed = CheckpointedScan(loop.run, loop.steps, reverse, lambda: bool(loop.plans))
    return checkpointed.execute(loop.carry, loop.xs, checkpoint, memory_budget)


def explain(
    step: Step,
    carry: Any,
    xs: Any,
    *,
    executor: str | None = None,
    device: str | None = None,
    **options: Any,
) -> compile_.Explanation:
    """Show how `scan` would execute a step function. The first steps are executed.

    Parameters
    ----------
    step, carry, xs
        The arguments of `scan`.
    executor : {"interpreter", "cuda"}, optional
        Explain the execution by this executor, whose device need not be available. The default is
        the executor for the device of the arrays.
    device : {"cpu", "cuda"}, optional
        Alias: "cpu" is the executor "interpreter".
    **options
        The keyword arguments of `scan`.

    Returns
    -------
    Explanation
        `compiled` is True or False, and `why` is the reason for eager execution ("" if compiled).
        As text it lists the operations before the loop, of each step, and after the loop, forward
        and backward; the values that the forward pass saves for the backward pass; and the loop
        program of the executor. `kernels` has the source of the CUDA kernels.

    Raises
    ------
    ValueError
        If `executor` or `device` is unknown, and as in `scan`.

    Examples
    --------
    >>> import autograd as ag
    >>> ag.explain(lambda c, x: (ag.tanh(c + x), c), ag.tensor(0.0), ag.arange(4.0)).compiled
    True
    """
    options = {k: v for k, v in options.items() if k not in ("checkpoint", "memory_budget")}
    loop = _Loop(step, carry, xs, **options)
    return compile_.explain(loop.call(0, loop.steps, loop.carry, loop.xs), executor, device)


@dataclass
class _Loop:
    """The loop of one `scan`. Steps are numbered in the order of execution."""

    step: Step
    carry: Any
    xs: Any
    length: int | None = None
    lengths: Any = None
    reverse: bool = False
    precompute: Callable[[Any], Any] | None = None
    detach_every: int | None = None
    compile: bool | None = None

    def __post_init__(self) -> None:
        if self.detach_every is not None:
            steps = as_integer(self.detach_every)
            if steps is None or steps < 1:
                raise ValueError(
                    f"scan: detach_every must be a positive integer, got {self.detach_every!r}"
                )
            self.detach_every = steps
        self.xs, self.steps = prepare_inputs(self.xs, self.length)
        self.carry = prepare_carry(self.carry, self.xs)
        self.length_mask = None
        if self.lengths is not None:
            self.length_mask = LengthMask(self.lengths, self.steps, self.carry, self.xs)
        self.disabled_reason = compile_.disabled_reason(self.compile)
        self.plans: dict[Any, Any] = {}  # of segments
        self.version = next_version()

    def run(self, start: int, stop: int, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Execute steps `start` to `stop`, with the xs of these steps only."""
        if start == stop:
            return self.run_no_step(carry, xs)
        return compile_.run_compiled(self.call(start, stop, carry, xs))

    def call(self, start: int, stop: int, carry: Any, xs: Any) -> compile_.ScanCall:
        """Return steps `start` to `stop` in the form that `compile` executes."""
        rows = slice(self.steps - stop, self.steps - start) if self.reverse else slice(start, stop)
        interval = self.detach_every or max(stop, 1)
        detach_points = tuple([n - start for n in range(0, stop, interval) if n > start])
        return compile_.ScanCall(
            functions=(self.step, self.precompute),
            make_step=lambda step, precompute: partial(self.run_step, step, precompute),
            carry=tree_map(_detach, carry) if self._detaches_before(start) else carry,
            xs=(xs, self.length_mask and self.length_mask.rows(rows)),
            steps=stop - start,
            reverse=self.reverse,
            detach_points=detach_points,
            run_eagerly=partial(self.run_eagerly, start, stop, carry, xs),
            disabled_reason=self.disabled_reason,
            plans=self.plans if stop - start < self.steps else None,
            version=self.version,
        )

    def _detaches_before(self, n: int) -> bool:
        return self.detach_every is not None and n > 0 and n % self.detach_every == 0

    def run_step(self, step: Step, precompute: Any, carry: Any, x_and_mask: Any) -> tuple[Any, Any]:
        """Execute one step. The mask (B,) marks the running sequences; None if all are running."""
        x, mask = x_and_mask
        if precompute is not None and x is not None:
            x = precompute(x)
        pair = step(carry, x)
        if self.length_mask is None:
            return pair
        new_carry, y = _check_step(pair, carry, [])
        self.length_mask.check_outputs(y)
        return pair if mask is None else masked_step(mask, carry, new_carry, y)

    def run_eagerly(
        self, start: int, stop: int, carry: Any, xs: Any, results: list[Any]
    ) -> tuple[Any, Any]:
        """Execute steps `start` to `stop` one after another.

        `results` has what `run_step` returned for the first of them, which are not executed again.
        """
        first = start + len(results)
        if results:
            rest = slice(0, stop - first) if self.reverse else slice(first - start, None)
            xs = tree_map(lambda x: x[rest], xs)
        if self.precompute is not None and xs is not None and first < stop:
            xs = self.precompute(xs)
        columns = [unstack(leaf) for leaf in flatten(xs)]
        ys: list[Any] = []
        for n in range(start, stop):
            if self._detaches_before(n):
                carry = tree_map(_detach, carry)
            if n < first:
                carry, y = _check_step(results[n - start], carry, ys)
                ys.append(y)
                continue
            i = stop - 1 - n if self.reverse else n - first
            pair = self.step(carry, unflatten(xs, [column[i] for column in columns]))
            new_carry, y = _check_step(pair, carry, ys)
            if self.length_mask is not None:
                self.length_mask.check_outputs(y)
            t = self.steps - 1 - n if self.reverse else n
            if self.length_mask is not None and not self.length_mask.is_full[t]:
                new_carry, y = masked_step(self.length_mask.array[t], carry, new_carry, y)
            carry = new_carry
            ys.append(y)
        return carry, join_outputs(stack, ys, self.reverse)

    def run_no_step(self, carry: Any, xs: Any) -> tuple[Any, Any]:
        """Return the carry and empty ys in the form of the output of one step on zeros."""
        # Zeros may be singular points, and a scan of no steps draws no random numbers.
        with no_grad(), random.replay(random.get_state()), np.errstate(all="ignore"):
            xs = tree_map(lambda leaf: zeros((1, *leaf.shape[1:]), leaf.dtype, leaf.device), xs)
            if self.precompute is not None and xs is not None:
                xs = self.precompute(xs)
            x = tree_map(lambda leaf: leaf[0], xs)
            _, y = _check_step(self.step(carry, x), carry, [])
            if self.length_mask is not None:
                self.length_mask.check_outputs(y)
            return carry, tree_map(lambda leaf: stack([leaf])[:0], y)


def _check_step(pair: Any, carry: Any, ys: list[Any]) -> tuple[Any, Any]:
    """Return the carry and output of a step; raise an error if their nesting has changed."""
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise TypeError(f"scan: step must return a pair (carry, y), got {structure(pair)}")
    new_carry, y = pair
    for name, new, old in (("carry", new_carry, carry), ("y", y, ys[-1] if ys else y)):
        if not same_structure(new, old):
            raise ValueError(
                f"scan: step must keep the nesting of its {name}, "
                f"got {structure(new)} after {structure(old)}"
            )
    return new_carry, y


def _detach(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf
