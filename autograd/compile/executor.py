"""Plans carried out: the arrays that their loops write into, and the node that stands for them.

A workspace is a set of such arrays for a number of steps. It belongs to a node as long as that
lives, and goes back to its plan then. What a caller can see is never part of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .. import backend
from ..core.graph import Node, recording
from ..core.mutation import overwritten_error
from ..core.primitive import select_output
from ..core.pytree import flatten, unflatten
from ..core.tensor import Tensor
from ..recompute import Recompute, replayable
from ._adapter import graphs_of
from .executors.executable import compile_graph
from .executors.workspace import WorkspaceHandle
from .trace import Step


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
    """A compiled step. `codes` are the code objects of the steps that it is known to fit."""

    def __init__(self, step: Step, executor: str | None = None) -> None:
        self.reach = step.reach()
        self.executable = compile_graph(*graphs_of(step), executor)
        self.carry = step.carry
        self.absent = [None for _ in step.parents]  # captures that nothing reads
        self.step = step.forget()
        self.codes: dict[Any, None] = {}

    @property
    def backward(self) -> Any:
        return self.executable.program.backward

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

    def back(
        self, handle: WorkspaceHandle, xs: Any, constants: Any, d_outs: list[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the gradients of the first carry, of xs and of parents."""
        n = len(self.carry)
        d_carry, d_xs, totals = self.executable.backward(
            handle, xs, [*constants, *self.absent], d_outs[:n], d_outs[n:]
        )
        return d_carry, d_xs, totals[len(constants) :]


def execute(compiled: Compiled, step: Step, it: ScanCall) -> tuple[Any, Any]:
    """Execute a recurrence by its plan, as one node if it is recorded; `step` is its trace."""
    order = slice(None, None, -1 if it.reverse else None)
    first, inputs = flatten(it.carry), flatten(it.xs)
    mutable = step.program.mutable
    constants = [x.copy() if id(x) in mutable else x for _, x in step.program.constants]
    pairs = zip([x for _, x in step.program.constants], constants, strict=True)
    changeable = [(x, copy) for x, copy in pairs if x is not copy]
    arrays = [x._data[order] for x in inputs]
    last, ys, lease = compiled.executable.forward(
        [leaf._data for leaf in first],
        arrays,
        [*constants, *compiled.absent],
        it.steps,
        it.detach_points,
    )
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
            d_first, d_xs, d_parents = compiled.back(lease, arrays, constants, d_outs)
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
        saved = (whole, lease, constants, arrays, tuple(lease.workspace.histories))
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
