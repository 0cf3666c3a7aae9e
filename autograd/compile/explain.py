"""A plan as text: what is done when, what is kept, and the code that does it."""

from __future__ import annotations

from collections.abc import Iterable

from .executor import Compiled
from .kernels import Kernel
from .plan import Half
from .program import Op, Symbol

SECTIONS = {
    "once": "once, since it is the same at every step",
    "before": "before the loop, for all steps of a chunk at once",
    "loop": "at every step",
    "after": "after the loop, for all steps of a chunk at once",
}


class Explanation:
    """The execution of a recurrence: `compiled` or not, and `why` not; the `kernels` that it calls
    on a GPU. `print` shows the whole plan.
    """

    def __init__(self, plan: Compiled | None, steps: int, why: str = "") -> None:
        self.compiled, self.why = plan is not None, why
        loops = [] if plan is None else [plan.forward, plan.backward]
        self.kernels = [kernel for loop in loops if loop for kernel in _kernels(loop.half)]
        self._text = f"recorded step by step: {why}" if plan is None else _text(plan, steps)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        reason = "" if self.compiled else f", why={self.why!r}"
        lines = len(self._text.splitlines())
        return f"Explanation(compiled={self.compiled}{reason}; print() shows {lines} lines)"


def _text(plan: Compiled, steps: int) -> str:
    parts = [_head(plan, steps), *_half("forward", plan.plan.forward)]
    if plan.plan.back is not None:
        parts += [*_half("backward", plan.plan.back), _kept(plan)]
    for loop in (plan.forward, plan.backward):
        if loop is not None:
            parts += [loop.source, *map(str, _kernels(loop.half))]
    return "\n\n".join(parts)


def _head(plan: Compiled, steps: int) -> str:
    rows = plan.rows(steps)
    ways = "forward and backward" if plan.backward else "forward only, since nothing is recorded"
    return "\n".join(
        [
            f"compiled, {ways}; {steps} steps in chunks of {rows}",
            *_named("carry", plan.carry),
            *_named("x", plan.step.xs),
            *_named("from outside", plan.constants[: plan.step.inputs]),
            *_named("carry of the next step", plan.new),
            *_named("y", plan.ys),
        ]
    )


def _half(name: str, half: Half) -> Iterable[str]:
    for section, when in SECTIONS.items():
        ops: list[Op] = getattr(half, section)
        if ops:
            yield "\n".join([f"{name}, {when}", *[line for op in ops for line in _lines(op)]])


def _lines(op: Op) -> list[str]:
    """An operation, and below a kernel the operations that it does."""
    inner = op.primitive.ops if isinstance(op.primitive, Kernel) else []
    return [f"    {op}", *[f"        {one}" for one in inner]]


def _kernels(half: Half) -> list[Kernel]:
    called = [op.primitive for op in (*half.before, *half.loop, *half.after)]
    return [primitive for primitive in called if isinstance(primitive, Kernel)]


def _kept(plan: Compiled) -> str:
    """Describe the residuals of the forward pass."""
    kept = [*plan.carry, *plan.plan.kept]
    size = sum(symbol.nbytes for symbol in plan.stacked)
    return "\n".join([f"residuals: {size} bytes per step", *_named("", kept)])


def _named(what: str, symbols: Iterable[Symbol]) -> list[str]:
    return [f"    {s} {s.shape} {s.dtype}  {what}".rstrip() for s in symbols]
