"""Plans carried out: the arrays that their loops write into, and the node that stands for them.

A workspace is a set of such arrays for a number of steps. It belongs to a node as long as that
lives, and goes back to its plan then. What a caller can see is never part of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._checkpoint import Again
from .._graph import Node
from .._primitive import result
from .._tensor import Tensor
from .._tree import flatten, unflatten
from .loops import Loop
from .plan import Plan, is_view
from .program import Symbol
from .trace import Step

CHUNK = 1 << 20
"""About so many bytes of arrays belong to the steps of a chunk."""

BLOCK = 1 << 25
"""At most so many bytes are put by until a product over many steps is made of them."""


class Compiled:
    """A plan with its code."""

    def __init__(self, step: Step) -> None:
        self.plan = plan = Plan(step)
        home = self.home = step.program.home
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
        self.pool: list[Workspace] = []

    def workspace(self, steps: int, cuts: tuple[int, ...]) -> Workspace:
        for i, one in enumerate(self.pool):
            if (one.steps, one.cuts) == (steps, cuts):
                try:
                    found = self.pool.pop(i)
                except IndexError:
                    break
                if (found.steps, found.cuts) == (steps, cuts):
                    return found
                break
        return Workspace(self, steps, cuts)

    def take_back(self, workspace: Workspace) -> None:
        self.pool.append(workspace)
        del self.pool[:-2]

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
        xp = self.home.xp
        for symbol, start in zip(self.carry, carry, strict=True):
            workspace.stacks[symbol][0] = start
        ys = [xp.empty((steps, *s.shape), s.dtype) for s in self.ys]
        fixed, chunks = workspace.forward
        self.forward.run(xs, constants, ys, fixed, chunks, ())
        last = [workspace.last(symbol).copy() for symbol in self.carry]
        return last, ys, workspace

    def back(
        self, workspace: Workspace, xs: Any, constants: Any, d_carry: list[Any], d_ys: list[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """The gradients of the first carry, of xs and of parents, None where there are none."""
        assert self.backward is not None
        xp, step = self.home.xp, self.step
        for (g, _), array in zip(self.backward.half.carried, d_carry, strict=True):
            workspace.d_carry[g][...] = array
        steps = workspace.steps
        d_xs = [None if s is None else xp.empty((steps, *s.shape), s.dtype) for s in step.d_xs]
        fixed, chunks = workspace.backward
        totals = self.backward.run(
            [*xs, *d_ys], [*constants, *self.baked], d_xs, fixed, chunks, workspace.cuts
        )
        first = {g: workspace.d_carry[g].copy() for g, _ in self.backward.half.carried}
        carried = [None if g is None else first[g] for g in step.d_outs[: len(self.carry)]]
        return carried, d_xs, totals


class Workspace:
    """The arrays of a compiled recurrence of so many steps, and the views of them that its loops go
    through.
    """

    def __init__(self, compiled: Compiled, steps: int, cuts: tuple[int, ...]) -> None:
        self.steps, self.cuts = steps, cuts
        xp = compiled.home.xp
        both = [compiled.forward] + ([compiled.backward] if compiled.backward else [])
        self.rows = min(self._rows(compiled, loop) for loop in both)
        rolling = compiled.forward.rolling
        self.stacks = {}
        for s, ahead in compiled.stacks.values():
            if s not in self.stacks:
                length = (self.rows if rolling else steps) + (s in compiled.carry)
                self.stacks[s] = xp.empty((length, *s.shape), s.dtype)
        self._carry = set(compiled.carry)
        self._last = self.rows if rolling else steps
        self.forward = self._views(compiled.forward, xp)
        if compiled.backward is not None:
            self.backward = self._views(compiled.backward, xp)
            self.d_carry = {g: self._scratch[n] for g, n in compiled.backward.scratch.of.items()}

    def _rows(self, compiled: Compiled, loop: Loop) -> int:
        """How many steps go into a chunk."""
        each = {s: s.nbytes for s in compiled.stacks} | {s: s.nbytes for s in loop.chunk.of}
        rows = max(CHUNK // max(sum(each.values()), 1), 4)
        return min(rows, self.steps)

    def _blocks(self, loop: Loop) -> int:
        """How many steps go into a block: whole chunks, as many as BLOCK has room for."""
        each = sum(s.nbytes for s in loop.block.of)
        chunks = min(BLOCK // max(each * self.rows, 1), -(-self.steps // self.rows))
        return max(chunks, 1) * self.rows

    def last(self, symbol: Symbol) -> Any:
        """The carry behind the last step."""
        rolled = self._last < self.steps
        return self.stacks[symbol][(self.steps - 1) % self.rows + 1 if rolled else self.steps]

    def _views(self, loop: Loop, xp: Any) -> tuple[list[Any], list[Any]]:
        """What the code of a loop calls `fixed` and `chunks`."""
        self._scratch = [xp.empty(shape, dtype) for shape, dtype in loop.scratch.arrays]
        blocks = self._blocks(loop)
        of_block = [xp.empty((blocks, *shape), dtype) for shape, dtype in loop.block.arrays]
        of_chunk = [xp.empty((self.rows, *shape), dtype) for shape, dtype in loop.chunk.arrays]
        half = loop.half
        views = [op for op in (*half.before, *half.loop, *half.after) if is_view(op)]
        fixed = {s: self._scratch[n] for s, n in loop.scratch.of.items()}
        self._look(loop, fixed, views, None)
        ends = []
        if loop.rolling:
            for symbol, _ in half.carried:
                ends += [self.stacks[symbol][0], self.stacks[symbol][self.rows]]
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
    """A workspace in use; it goes back when nobody needs it any more."""

    def __init__(self, compiled: Compiled, workspace: Workspace) -> None:
        self.compiled, self.workspace = compiled, workspace

    def __del__(self) -> None:
        self.compiled.take_back(self.workspace)


def execute(
    compiled: Compiled,
    step: Step,
    carry: Any,
    xs: Any,
    steps: int,
    reverse: bool,
    cuts: tuple[int, ...],
    again: Callable[[], Any],
) -> tuple[Any, Any]:
    """A recurrence by its plan, on one node if it is to be recorded; `step` is its own trace."""
    order = slice(None, None, -1 if reverse else None)
    first, inputs = flatten(carry), flatten(xs)
    constants = [array for _, array in step.program.constants]
    arrays = [x._data[order] for x in inputs]
    last, ys, workspace = compiled.run(
        [leaf._data for leaf in first], arrays, constants, steps, cuts
    )
    outs = [Tensor(array) for array in (*last, *[y[order] for y in ys])]
    lease = Lease(compiled, workspace)
    sources = [leaf._node for leaf in (*first, *inputs)] + step.parents + step.behind
    if compiled.backward is not None and any(sources):
        gives = [g is not None for g in compiled.step.d_outs]
        places = [i for i, given in enumerate(gives) if given]
        parents = [node for node in sources if node is not None]

        def back(g: Any, saved: Any) -> Any:
            if isinstance(g[0], Tensor):
                again = saved[0]
                found = dict(zip(again.parents, again.gradients(g), strict=True))
                return [found.pop(node, None) for node in parents]
            _, lease, constants, arrays, _ = saved
            given = dict(zip(places, g, strict=True))
            n = len(first)
            d_carry = [given[i] for i in range(n) if i in given]
            d_ys = [given[i][order] for i in range(n, len(gives)) if i in given]
            d_first, d_xs, d_parents = compiled.back(
                lease.workspace, arrays, constants, d_carry, d_ys
            )
            d_xs = [None if d is None else d[order] for d in d_xs]
            found = [*d_first, *d_xs, *d_parents, *[None for _ in step.behind]]
            return [d for d, node in zip(found, sources, strict=True) if node is not None]

        shapes = tuple([outs[i].shape for i in places])
        dtypes = tuple([outs[i].dtype for i in places])
        whole = Again(again, places, {node for node in parents if node not in step.made})
        saved = (whole, lease, constants, arrays, tuple(workspace.stacks.values()))
        node = Node(ScanBlock(back), tuple(parents), saved, shapes, dtypes)
        for n, i in enumerate(places):
            outs[i] = result(outs[i]._data, node, n)
    nested_carry, nested_y = step.nested
    n = len(first)
    return unflatten(nested_carry, outs[:n]), unflatten(nested_y, outs[n:])


class ScanBlock:
    """What the node of a compiled scan has for a primitive."""

    name = "scan"
    needs: tuple[str, ...] = ()  # nothing that has a name for readers of the graph

    def __init__(self, back: Callable[..., Any]) -> None:
        self.back = back

    def pull(self, g: Any, saved: Any, parents: tuple[Node | None, ...]) -> Any:
        return self.back(g, saved)

    def rewrapped(self, node: Node) -> Any:
        return node.saved
