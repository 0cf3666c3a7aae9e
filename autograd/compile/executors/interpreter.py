"""The interpreter: runs a loop program as calls of array functions.

Every instruction becomes one or a few calls of functions that write into given arrays. The calls of
the body are bound to the arrays of a workspace once, and then run as

    for function, arguments in calls:
        function(*arguments)

Calls outside the body that refer to arguments or results of the scan are completed per call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

from ... import backend
from ..buffers import Buffer
from ..loop_program import Loop, Operand, View
from .calls import STEPS, Call, calls_of
from .workspace import Workspace

MAX_BOUND_STEPS = 4096
"""Maximum number of steps whose calls a workspace stores. In longer scans the body accesses windows
of its buffers that contain one chunk, so the calls of one chunk serve all of them.
"""

MAX_BOUND_CHUNKS = 256
"""Maximum number of chunks whose prologue and epilogue a workspace stores."""

MAX_COPIED_BYTES = 4096
"""Maximum size at one step of an input that is copied once per chunk for the body. The calls of the
body are bound to larger inputs in place: this takes less time than to copy them.
"""


class External(NamedTuple):
    """An argument of a call that refers to an argument or a result of the scan.

    `view` computes the operand from the array and its number of steps.
    """

    position: int
    buffer: Buffer
    varies: bool
    view: Callable[[Any, int], Any] | None


class BoundCall(NamedTuple):
    """A call with its arrays, except for the `external` ones, which every run of the loop binds."""

    function: Any
    arguments: list[Any]
    external: list[External]


class BoundBody(NamedTuple):
    """The calls of all steps of a chunk, one after the other.

    `incomplete` has those calls of a step that refer to inputs in place: their position, function,
    and columns of arguments at each step, where operands are not bound.
    """

    calls: list[Any]
    incomplete: list[tuple[int, Any, list[Any]]]


class LoopCalls:
    """The calls of a loop, with operands instead of arrays: shared by all workspaces."""

    def __init__(self, loop: Loop, array_backend: backend.Backend) -> None:
        self.loop, self.backend = loop, array_backend

        def calls(instructions: Iterable[Any]) -> list[Call]:
            return [call for one in instructions for call in calls_of(one, array_backend)]

        self.hoisted, self.prologue, self.body = map(
            calls, (loop.hoisted, loop.prologue, loop.body)
        )
        self.epilogue = calls((*loop.epilogue, *loop.advance))
        self.block, self.detach = calls(loop.block), calls(loop.detach)
        operands = [x for _, arguments in self.body for x in arguments if isinstance(x, Operand)]
        buffers = dict.fromkeys(x.buffer for x in operands)
        self.positioned = [b for b in buffers if b.kind in ("history", "block")]
        """The buffers of which the body accesses another part in another chunk."""
        written = {x.buffer for one in loop.body for x in one.outputs}
        self.written = [b for b in self.positioned if b in written]
        self.inputs = dict.fromkeys(x.buffer for x in operands if x.is_external)
        """The inputs that the body reads."""


class BoundLoop:
    """The calls of a loop, bound to the arrays of a workspace."""

    def __init__(self, calls: LoopCalls, workspace: Workspace) -> None:
        self.calls, self.layout = calls, workspace.layout
        self.copies = {
            buffer: calls.backend.xp.empty((self.layout.chunk, *buffer.shape), buffer.dtype)
            for buffer in calls.inputs
            if buffer.nbytes <= MAX_COPIED_BYTES
        }
        self.arrays = workspace.arrays
        self.windows: dict[Buffer, Any] = {}
        if self.layout.capacity > MAX_BOUND_STEPS:
            self.windows = {b: self._new_window(b) for b in calls.positioned}
        self._body_arrays = {**workspace.arrays, **self.copies, **self.windows}
        self._bodies: dict[int, BoundBody] = {}
        self._chunks: dict[int, tuple[int, list[BoundCall], list[BoundCall]]] = {}
        self._blocks: dict[int, tuple[int, list[BoundCall]]] = {}
        self._hoisted = self._bind(calls.hoisted, 0, 0)
        self._detach = [(f, tuple(arguments)) for f, arguments, _ in self._bind(calls.detach, 0, 0)]

    def run(self, external: dict[Any, Any], steps: int, detach_points: Sequence[int] = ()) -> None:
        """Run the loop for a number of steps.

        Parameters
        ----------
        external : dict of Buffer to array
            The arguments and results of the scan.
        steps : int
        detach_points : sequence of int
            Steps before which the history of the carry ends (backward pass).
        """
        chunk, backward = self.layout.chunk, self.calls.loop.backward
        _run(self._hoisted, external, 0, steps)
        starts = range(0, steps, chunk)
        for start in reversed(starts) if backward else starts:
            stop = min(start + chunk, steps)
            before, after = self._chunk(start, stop)
            _run(before, external, start, stop)
            if self.calls.body or detach_points:
                self._run_body(external, start, stop, detach_points)
            _run(after, external, start, stop)
            if self.calls.block and start % self.layout.block == 0:
                stop = min(start + self.layout.block, steps)
                _run(self._block(start, stop), external, start, stop)

    def _run_body(
        self, external: dict[Any, Any], start: int, stop: int, detach_points: Sequence[int]
    ) -> None:
        parts = [(b, self._chunk_of(b, start, stop)) for b in self.windows]
        for buffer, part in parts:
            self.windows[buffer][: len(part)] = part
        calls = self._body_calls(external, start, stop)
        if detach_points:
            self._run_with_detach(calls, start, stop, detach_points)
        else:
            for function, arguments in calls:
                function(*arguments)
        for buffer, part in parts:
            if buffer in self.calls.written:
                part[...] = self.windows[buffer][: len(part)]

    def _run_with_detach(
        self, calls: list[Any], start: int, stop: int, detach_points: Sequence[int]
    ) -> None:
        """Run the calls of a chunk backward; set the gradient of a detached carry to 0."""
        count = len(self.calls.body)
        for t in range(stop - 1, start - 1, -1):
            first = (stop - 1 - t) * count
            for function, arguments in calls[first : first + count]:
                function(*arguments)
            for function, arguments in self._detach if t in detach_points else ():
                function(*arguments)

    def _body_calls(self, external: dict[Any, Any], start: int, stop: int) -> list[Any]:
        """Return the calls of the body for a chunk, with the inputs of the scan."""
        body, count, steps = self._body(start), len(self.calls.body), stop - start
        for buffer, copy in self.copies.items():
            copy[:steps] = external[buffer][start:stop]
        calls = body.calls
        part = slice(0, steps)  # of the steps of a chunk, in the order of execution
        if steps < self.layout.chunk:
            if self.calls.loop.backward:
                part = slice(self.layout.chunk - steps, self.layout.chunk)
            calls = calls[part.start * count : part.stop * count]
        elif body.incomplete:
            calls = calls.copy()
        for i, function, columns in body.incomplete:
            bound = [
                self._input_steps(x, external[x.buffer][start:stop])
                if isinstance(x, Operand)
                else x[part]
                for x in columns
            ]
            calls[i::count] = zip(repeat(function), zip(*bound, strict=True), strict=False)
        return calls

    # --- binding ----------------------------------------------------------------------------------

    def _body(self, start: int) -> BoundBody:
        """Return the calls of all steps of a chunk."""
        key = 0 if self.windows or not self.calls.positioned else start
        found = self._bodies.get(key)
        if found is None:
            known: dict[Any, list[Any]] = {}
            calls, incomplete = [], []
            for i, (function, arguments) in enumerate(self.calls.body):
                columns = [self._column(x, key, known) for x in arguments]
                is_complete = not any(isinstance(x, Operand) for x in columns)
                steps = zip(*columns, strict=True) if is_complete else repeat(None)
                calls.append(zip(repeat(function, self.layout.chunk), steps, strict=False))
                if not is_complete:
                    incomplete.append((i, function, columns))
            found = BoundBody(list(chain.from_iterable(zip(*calls, strict=True))), incomplete)
            self._bodies[key] = found
        return found

    def _column(self, argument: Any, start: int, known: dict[Any, list[Any]]) -> Any:
        """Return an argument at each step of a chunk; the operand of an input in place."""
        chunk = self.layout.chunk
        if not isinstance(argument, Operand):
            return [argument] * chunk
        if argument.buffer not in self._body_arrays:
            return argument
        key = argument.buffer, argument.offset, repr(argument.views)
        if key not in known:
            array, xp = self._body_arrays[argument.buffer], self.calls.backend.xp
            if argument.buffer.kind in ("temporary", "hoisted", "constant"):
                known[key] = [apply_views(xp, array, argument.views, None)] * chunk
            else:
                first = self._position(argument, start)
                array = array[first : first + chunk]
                array = apply_views(xp, array, argument.views, chunk, per_step=True)
                known[key] = self._in_order(array, chunk)
        return known[key]

    def _input_steps(self, operand: Operand, array: Any) -> list[Any]:
        """Return an input at each step of a chunk."""
        xp, steps = self.calls.backend.xp, len(array)
        array = apply_views(xp, array, operand.views, steps, per_step=True)
        return self._in_order(array, steps)

    def _in_order(self, array: Any, steps: int) -> list[Any]:
        """Return the arrays of single steps, in the order of execution."""
        array = array[::-1] if self.calls.loop.backward else array
        return list(array) if array.ndim > 1 else [array[i, ...] for i in range(steps)]

    def _position(self, operand: Operand, start: int) -> int:
        """Return the position of the first step of a chunk in a buffer."""
        kind = operand.buffer.kind
        first = start if kind == "history" else start % self.layout.block if kind == "block" else 0
        return first + operand.offset

    def _new_window(self, buffer: Buffer) -> Any:
        shape = (self.layout.chunk + buffer.extra_steps, *buffer.shape)
        return self.calls.backend.xp.empty(shape, buffer.dtype)

    def _chunk_of(self, buffer: Buffer, start: int, stop: int) -> Any:
        """Return the part of a buffer that a window contains."""
        first = start if buffer.kind == "history" else start % self.layout.block
        return self.arrays[buffer][first : first + stop - start + buffer.extra_steps]

    def _chunk(self, start: int, stop: int) -> tuple[list[BoundCall], list[BoundCall]]:
        """Return the calls before and after the body of a chunk."""
        bound = self._chunks.get(start)
        if bound is None or bound[0] != stop:
            if len(self._chunks) >= MAX_BOUND_CHUNKS:
                self._chunks = {}
            before, after = (
                self._bind(calls, start, stop)
                for calls in (self.calls.prologue, self.calls.epilogue)
            )
            self._chunks[start] = bound = stop, before, after
        return bound[1:]

    def _block(self, start: int, stop: int) -> list[BoundCall]:
        """Return the calls for the steps of a block."""
        found = self._blocks.get(start)
        if found is None or found[0] != stop:
            if len(self._blocks) >= MAX_BOUND_CHUNKS:
                self._blocks = {}
            found = self._blocks[start] = stop, self._bind(self.calls.block, start, stop)
        return found[1]

    def _bind(self, calls: Sequence[Call], start: int, stop: int) -> list[BoundCall]:
        """Bind calls to arrays of many steps, except for arguments and results of the scan."""
        bound = []
        for function, arguments in calls:
            bound_arguments = list(arguments)
            external: list[External] = []
            for i, x in enumerate(arguments):
                if x is STEPS:
                    bound_arguments[i] = stop - start
                elif isinstance(x, Operand) and x.is_external:
                    external.append(_external(i, x, self.calls.backend.xp))
                elif isinstance(x, Operand):
                    bound_arguments[i] = self._array(x, start, stop)
            bound.append(BoundCall(function, bound_arguments, external))
        return bound

    def _array(self, operand: Operand, start: int, stop: int) -> Any:
        array, span, steps = self.arrays[operand.buffer], operand.span, stop - start
        if span in ("whole", "step"):  # of detach: a temporary
            return apply_views(self.calls.backend.xp, array, operand.views, None)
        if span in ("first", "last"):
            return array[0 if span == "first" else steps, ...]
        first = self._position(operand, start)
        array = array[first : first + steps]
        return apply_views(self.calls.backend.xp, array, operand.views, steps)


def _run(calls: list[BoundCall], external: dict[Any, Any], start: int, stop: int) -> None:
    """Run calls with the arguments and results of the scan."""
    for function, arguments, places in calls:
        if places:
            arguments = arguments.copy()
            for i, buffer, varies, view in places:
                array = external[buffer]
                if varies:
                    array = array[start:stop]
                arguments[i] = array if view is None else view(array, stop - start)
        function(*arguments)


def _external(position: int, operand: Operand, xp: Any) -> External:
    varies, views = operand.span != "whole", operand.views
    return External(position, operand.buffer, varies, _view_function(xp, views, varies))


def _view_function(
    xp: Any, views: tuple[View, ...], varies: bool
) -> Callable[[Any, int], Any] | None:
    """Return a function that computes views of an array and its number of steps."""
    if not views:
        return None
    (first, *others), argument = views, views[0].argument
    if not others and first.kind == "rows":
        return lambda array, steps: array.reshape(-1, argument)
    if not others and first.kind == "transpose" and not varies:
        return lambda array, steps: array.transpose(argument)
    return lambda array, steps: apply_views(xp, array, views, steps if varies else None)


def apply_views(
    xp: Any, array: Any, views: Sequence[View], steps: int | None, per_step: bool = False
) -> Any:
    """Return a view of an array: of one step, or of a number of steps along its first axis.

    With `per_step`, the view "rows" leaves the first axis as it is.
    """
    time: tuple[Any, ...] = () if steps is None else (slice(None),)
    for view in views:
        argument = view.argument
        if view.kind == "index":
            array = array[(*time, *argument, ...)]
        elif view.kind == "transpose":
            axes = argument if steps is None else (0, *[axis + 1 for axis in argument])
            array = array.transpose(axes)
        elif view.kind == "reshape":
            array = array.reshape(argument if steps is None else (steps, *argument))
        elif view.kind == "broadcast":
            array = xp.broadcast_to(array, argument if steps is None else (steps, *argument))
        elif view.kind == "rows":
            array = array.reshape((steps, -1, argument) if per_step else (-1, argument))
        else:
            array = array.view(argument)
    return array
