"""Plans carried out: the arrays that their loops write into, and the node that stands for them.

A workspace is a set of such arrays for a number of steps. It belongs to a node as long as that
lives, and goes back to its plan then. What a caller can see is never part of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from .. import backend
from ..core.graph import Node, recording
from ..core.mutation import overwritten_error
from ..core.primitive import select_output
from ..core.pytree import flatten, unflatten
from ..core.tensor import Tensor
from ..recompute import Recompute, replayable
from ..runtime.context import run_locked
from .gates import in_few_calls
from .kernels import by_parts, fused
from .loops import Loop
from .plan import Plan, is_view
from .program import Symbol
from .trace import Step

CHUNK = 1 << 20
"""Bytes of the arrays of a chunk of steps, approximately."""

LAUNCHED = 32
"""So many times as much where operations are kernels: a launch costs more than a cache saves."""

BLOCK = 1 << 25
"""Maximum number of bytes that wait for a product over many steps."""


IDLE = 1 << 28
"""Maximum number of bytes of unused workspaces in the pool."""


@dataclass
class ScanCall:
    """One call of `scan`, or of one segment: `steps` steps of `step`, in reverse or not.

    The history of the carry ends before each of the steps `detach_points`. `functions` are those
    that `step` calls. `run_eagerly` executes the call step by step, which is required if there is
    a `disabled_reason` not to compile it.
    """

    step: Callable[..., Any]
    functions: tuple[Any, ...]
    carry: Any
    xs: Any
    steps: int
    reverse: bool
    detach_points: tuple[int, ...]
    run_eagerly: Callable[[], Any]
    disabled_reason: str


class Compiled:
    """A plan with its code, possibly for another backend than the backend of the arrays. `codes`
    are the code objects of the steps that the plan is known to fit.
    """

    def __init__(self, step: Step, home: backend.Backend | None = None) -> None:
        self.reach = step.reach()
        home = self.backend = home or step.program.backend
        self.plan = plan = Plan(step, by_parts if home.supports_kernels else in_few_calls)
        for name, half in (("forward", plan.forward), ("backward", plan.back)):
            if home.supports_kernels and half is not None:
                fused(half, name)
        self.constants = [s for s, _ in step.program.constants]
        self.baked = [array for _, array in step.program.constants[step.inputs :]]
        self.carry, self.new, self.ys = step.carry, step.new, step.ys
        made_inside = {s for op in plan.forward.loop for s in op.outs if not is_view(op)}
        stacks: dict[Symbol, tuple[Symbol, int]] = {}
        for symbol, new in zip(self.carry, self.new, strict=True):
            stacks[symbol] = (symbol, 0)
            if new in made_inside and new not in stacks:
                stacks[new] = (symbol, 1)
        for s in plan.kept:
            stacks.setdefault(s, (s, 0))
        self.stacks = stacks
        forward_constants = self.constants[: step.inputs]
        self.forward = Loop(
            "forward", plan.forward, home, step.xs, forward_constants, stacks, list(step.ys), [],
            rolling=plan.back is None,
        )  # fmt: skip
        self.d_ys = [g for g in step.d_outs[len(self.carry) :] if g is not None]
        self.backward = None
        if plan.back is not None:
            self.backward = Loop(
                "backward", plan.back, home, [*step.xs, *self.d_ys], self.constants, stacks,
                list(step.d_xs), list(step.d_parents), reverse=True,
            )  # fmt: skip
        self.step = step.forget()
        self.codes: dict[Any, None] = {}
        self.stacked = list(dict.fromkeys(s for s, _ in stacks.values()))

    def workspace(self, steps: int, cuts: tuple[int, ...]) -> Workspace:
        """Return an unused workspace."""
        for one in list(Workspace.idle):
            if one.compiled is self and (one.steps, one.cuts) == (steps, cuts):
                try:
                    Workspace.idle.remove(one)
                except ValueError:  # another thread has it now
                    continue
                return one
        return Workspace(self, steps, cuts)

    def rows(self, steps: int) -> int:
        """Return the number of steps of a chunk."""

        room = CHUNK * (LAUNCHED if self.backend.supports_kernels else 1)

        def fitting(loop: Loop) -> int:
            each: int = sum(s.nbytes for s in {**self.stacks, **loop.chunk.of})
            return max(room // max(each, 1), 4)

        loops = [loop for loop in (self.forward, self.backward) if loop is not None]
        return min(steps, *map(fitting, loops))

    def live(self, recorded: set[int], steps: int, cuts: tuple[int, ...]) -> list[bool]:
        """Return which leaves of the last carry and the ys require gradients, given the leaves of
        the first carry that do.
        """
        n = len(self.carry)
        others = {k for sources in self.reach for k in sources if k >= n}

        def handed_on(live: set[int], steps: int) -> list[set[int]]:
            """Leaves that have one before each step, and after the last; other sources do."""
            found = [live | others]
            while len(found) <= steps:
                live = {*others, *[j for j in range(n) if self.reach[j] & found[-1]]}
                if live in found:  # from there on it goes round
                    start = found.index(live)
                    return [*found, found[start + (steps - start) % (len(found) - start)]]
                found.append(live)
            return found

        *before, last = handed_on(recorded, cuts[0] if cuts else steps)
        if cuts:
            last = handed_on(set(), steps - cuts[-1])[-1]
        stacked = recording.get()  # if not, the ys have no history, whatever the step records
        return [j in last for j in range(n)] + [
            stacked and any(reach & live for live in before) for reach in self.reach[n:]
        ]

    def sources(self, outs: Iterable[int], steps: int, cuts: tuple[int, ...]) -> set[int]:
        """Return the sources (see `Step.reach`) on which some results of the scan depend."""
        n, used, cut = len(self.carry), set[int](), set(cuts)
        carried = {i for i in outs if i < n}
        of_ys = set[int]().union(*[self.reach[i] for i in outs if i >= n])
        for t in reversed(range(steps)):
            found = of_ys.union(*[self.reach[j] for j in carried])
            used |= {k for k in found if k >= n}
            earlier = set() if t in cut else {k for k in found if k < n}
            if earlier == carried and not cut:
                break
            carried = earlier
        return used | carried

    def run(
        self,
        carry: list[Any],
        xs: list[Any],
        constants: list[Any],
        steps: int,
        cuts: tuple[int, ...],
    ) -> tuple[list[Any], list[Any], Workspace]:
        """The last carry, the ys, and the workspace, of arrays in the order of execution."""
        workspace = self.workspace(steps, cuts)
        xp = self.backend.xp
        for symbol, start in zip(self.carry, carry, strict=True):
            workspace.stacks[symbol][0] = start
        ys = [xp.empty((steps, *s.shape), s.dtype) for s in self.ys]
        fixed, chunks = workspace.forward
        self.forward.run(xs, constants, ys, fixed, chunks, ())
        last = [workspace.last(symbol).copy() for symbol in self.carry]
        return last, ys, workspace

    def back(
        self, workspace: Workspace, xs: Any, constants: Any, d_outs: list[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the gradients of the first carry, of xs and of parents (None: no gradient), given
        the gradients of the results.
        """
        assert self.backward is not None
        xp, step, steps, n = self.backend.xp, self.step, workspace.steps, len(self.carry)
        for g, d in zip(step.d_outs[:n], d_outs, strict=False):
            if g is not None:
                workspace.d_carry[g][...] = 0 if d is None else d
        d_ys = [
            xp.zeros((steps, *g.shape), g.dtype) if d is None else d
            for g, d in zip(step.d_outs[n:], d_outs[n:], strict=True)
            if g is not None
        ]
        d_xs = [None if s is None else xp.empty((steps, *s.shape), s.dtype) for s in step.d_xs]
        fixed, chunks = workspace.backward
        totals = self.backward.run(
            [*xs, *d_ys], [*constants, *self.baked], d_xs, fixed, chunks, workspace.cuts
        )
        first = {g: workspace.d_carry[g].copy() for g, _ in self.backward.half.carried}
        carried = [None if g is None else first[g] for g in step.d_outs[: len(self.carry)]]
        return carried, d_xs, totals


class Workspace:
    """The arrays of a compiled recurrence of `steps` steps, and the views of them that its loops
    use.
    """

    idle: ClassVar[list[Workspace]] = []
    """The unused workspaces, the newest last."""

    def __init__(self, compiled: Compiled, steps: int, cuts: tuple[int, ...]) -> None:
        self.compiled, self.steps, self.cuts = compiled, steps, cuts
        self.nbytes, self.lock = 0, threading.Lock()
        self.rows = compiled.rows(steps)
        rolling = compiled.forward.rolling
        self.stacks: dict[Symbol, Any] = {}
        for s in compiled.stacked:
            length = (self.rows if rolling else steps) + (s in compiled.carry)
            self.stacks[s] = self._empty((length, *s.shape), s.dtype)
        self._last = self.rows if rolling else steps
        self.forward = self._views(compiled.forward)
        if compiled.backward is not None:
            self.backward = self._views(compiled.backward)
            self.d_carry = {g: self._scratch[n] for g, n in compiled.backward.scratch.of.items()}

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        made = self.compiled.backend.xp.empty(shape, dtype)
        self.nbytes += made.nbytes
        return made

    def give_back(self) -> None:
        """Return the workspace to the pool, which holds the newest number of steps of each plan,
        and at most IDLE bytes of all plans.
        """
        room = IDLE
        for one in [self, *list(Workspace.idle)[::-1]]:
            room -= one.nbytes
            other_size = (one.steps, one.cuts) != (self.steps, self.cuts)
            useless = one.compiled is self.compiled and other_size
            if one is self and room >= 0:
                Workspace.idle.append(self)
            elif useless or room < 0:
                with suppress(ValueError):  # another thread was faster
                    Workspace.idle.remove(one)

    def _blocks(self, loop: Loop) -> int:
        """Return the number of steps of a block: whole chunks, up to BLOCK bytes."""
        each: int = sum(s.nbytes for s in loop.block.of)
        chunks = min(BLOCK // max(each * self.rows, 1), -(-self.steps // self.rows))
        return max(chunks, 1) * self.rows

    def last(self, symbol: Symbol) -> Any:
        """The carry behind the last step."""
        rolled = self._last < self.steps
        i = (self.steps - 1) % self.rows + 1 if rolled else self.steps
        return self.stacks[symbol][i, ...]  # an array, even of no dimension

    def _views(self, loop: Loop) -> tuple[list[Any], list[Any]]:
        """Return the `fixed` and `chunks` of a loop's code."""
        self._scratch = [self._empty(shape, dtype) for shape, dtype in loop.scratch.arrays]
        blocks = self._blocks(loop)
        of_block = [self._empty((blocks, *shape), dtype) for shape, dtype in loop.block.arrays]
        of_chunk = [self._empty((self.rows, *shape), dtype) for shape, dtype in loop.chunk.arrays]
        half = loop.half
        views = [op for op in (*half.before, *half.loop, *half.after) if is_view(op)]
        fixed = {s: self._scratch[n] for s, n in loop.scratch.of.items()}
        self._look(loop, fixed, views, None)
        ends = []
        if loop.rolling:
            for symbol, _ in half.carried:
                ends += [self.stacks[symbol][0, ...], self.stacks[symbol][self.rows, ...]]
        chunks = []
        cuts = self.cuts if loop.reverse else ()
        bounds = sorted({*range(0, self.steps, self.rows), *cuts})
        whole = {}
        for first in range(0, self.steps, blocks):
            n = min(blocks, self.steps - first)
            arrays = {s: of_block[i][:n] for s, i in loop.block.of.items()}
            for s, (stack, ahead) in loop.stacks.items() if loop.blocks else ():
                arrays[s] = self.stacks[stack][first + ahead : first + ahead + n]
            self._look(loop, arrays, views, n)
            whole[first] = (first, first + n, [arrays[s] for s in loop.blocks])
        for lo, hi in zip(bounds, [*bounds[1:], self.steps], strict=True):
            at, n = (0 if loop.rolling else lo), hi - lo
            arrays = {s: of_chunk[i][:n] for s, i in loop.chunk.of.items()}
            for s, i in loop.block.of.items():
                arrays[s] = of_block[i][lo % blocks : lo % blocks + n]
            for s, (stack, ahead) in loop.stacks.items():
                arrays[s] = self.stacks[stack][at + ahead : at + ahead + n]
            self._look(loop, arrays, views, n)
            lists = [_steps(arrays[s], loop.reverse) for s in loop.lists]
            for j in loop.next:
                stack = self.stacks[half.carried[j][0]]
                lists.append(_steps(stack[at + 1 : at + 1 + n], False))
            lists += [_steps(arrays[s], loop.reverse) for s in loop.noted]
            chunks.append((lo, hi, [arrays[s] for s in loop.arrays], lists, whole.get(lo)))
        return [fixed[s] for s in loop.fixed] + ends, chunks[::-1] if loop.reverse else chunks

    def _look(self, loop: Loop, arrays: dict[Symbol, Any], views: Any, n: int | None) -> None:
        """Add the views of arrays, and the parts of concatenations, to them."""
        over_time = n is not None
        for s, (whole, axis, start, end) in loop.parts.items():
            if whole in arrays:
                before = (slice(None),) * (axis + over_time)
                arrays[s] = arrays[whole][(*before, slice(start, end))]
        for op in views:
            if op.args[0] in arrays and op.outs[0] not in arrays:
                made = loop.names.look(op, arrays[op.args[0]], n)
                arrays.update(zip(op.outs, made, strict=True))


def _steps(array: Any, reverse: bool) -> list[Any]:
    """An array over time as a list of what can be written into, step by step."""
    array = array[::-1] if reverse else array
    return list(array) if array.ndim > 1 else [array[i, ...] for i in range(len(array))]


class Lease:
    """A handle of a workspace in use, which releases it when no reference to the handle is left."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def __del__(self) -> None:
        self.workspace.give_back()


def execute(compiled: Compiled, step: Step, it: ScanCall) -> tuple[Any, Any]:
    """Execute a recurrence by its plan, as one node if it is recorded; `step` is its trace."""
    order = slice(None, None, -1 if it.reverse else None)
    first, inputs = flatten(it.carry), flatten(it.xs)
    mutable = step.program.mutable
    constants = [x.copy() if id(x) in mutable else x for _, x in step.program.constants]
    pairs = zip([x for _, x in step.program.constants], constants, strict=True)
    changeable = [(x, copy) for x, copy in pairs if x is not copy]
    arrays = [x._data[order] for x in inputs]
    last, ys, workspace = compiled.run(
        [leaf._data for leaf in first], arrays, constants, it.steps, it.detach_points
    )
    lease = Lease(workspace)
    outs = [Tensor(array) for array in (*last, *[y[order] for y in ys])]
    recorded = {j for j, leaf in enumerate(first) if leaf._node is not None}
    live = compiled.live(recorded, it.steps, it.detach_points)
    n, behind = len(first), [None for _ in step.behind]
    if compiled.backward is not None and any(live):
        sources = [leaf._node for leaf in (*first, *inputs)] + step.parents + step.behind
        parents = [node for node in sources if node is not None]
        places = [i for i, lives in enumerate(live) if lives]

        def back(g: Any, saved: Any) -> Any:
            whole, lease, constants, arrays, _ = saved

            def by_recording() -> list[Any]:
                for array, copy in changeable:
                    if not bool(((array == copy) | (copy != copy)).all()):
                        raise overwritten_error("scan", array.shape)
                by_node = dict(zip(whole.parents, whole.gradients(g), strict=True))
                return [by_node.pop(node, None) for node in parents]

            if any(isinstance(one, Tensor) for one in g):
                return by_recording()
            given = {i: one for i, one in zip(places, g, strict=True) if one is not None}
            d_outs = [given.get(i) for i in range(n)]
            d_outs += [given[i][order] if i in given else None for i in range(n, len(live))]
            vjp = partial(compiled.back, lease.workspace, arrays, constants, d_outs)
            # Another thread may be differentiating the same graph.
            d_first, d_xs, d_parents = run_locked(lease.workspace.lock, vjp)
            d_xs = [None if d is None else d[order] for d in d_xs]
            found = [*d_first, *d_xs, *d_parents]
            used = compiled.sources(given, it.steps, it.detach_points)
            found = [d if k in used else None for k, d in enumerate(found)] + behind
            found = [d for d, node in zip(found, sources, strict=True) if node is not None]
            # The loop reads zeros for results without a gradient. 0 times infinity is nan: record.
            if len(given) < len(places) and not all(map(_is_finite, found)):
                return by_recording()
            return found

        shapes = tuple([outs[i].shape for i in places])
        dtypes = tuple([outs[i].dtype for i in places])
        again = replayable(it.run_eagerly)
        recorded_places = [step.order[i] if i < n else i for i in places]
        uses = {node for node in parents if node not in step.made}
        whole = Recompute(again, recorded_places, uses)
        saved = (whole, lease, constants, arrays, tuple(workspace.stacks.values()))
        node = Node(ScanBlock(back), tuple(parents), saved, shapes, dtypes)
        for k, i in enumerate(places):
            outs[i] = select_output(outs[i]._data, node, k)
    return step.handed_on(outs[:n]), unflatten(step.nested[1], outs[n:])


def _is_finite(array: Any) -> bool:
    """True for None and for an array whose sum is finite."""
    return array is None or bool(backend.of_array(array).xp.isfinite(array.sum()))


class ScanBlock:
    """The primitive of the node of a compiled scan."""

    name = "scan"
    fresh_gradients = False
    residual_names: tuple[str, ...] = ()  # nothing that has a name for readers of the graph

    def __init__(self, back: Callable[..., Any]) -> None:
        self.back = back

    def vjp(self, g: Any, saved: Any, parents: tuple[Node | None, ...]) -> Any:
        return self.back(g, saved)

    def residuals_as_tensors(self, node: Node) -> Any:
        return node.residuals
