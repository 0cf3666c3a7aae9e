"""Hook that reads the local variables of a cell's `step` when it returns.

The equations of a cell are assignments in its `step`, so the local variables have the names of the
literature: i, f, g, o, c, h. Custom cells therefore need no code for tracing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from autograd.runtime.context import Undo

from .. import nn

ReturnCallback = Callable[[str, dict[str, Any], Any], None]
"""Function of the path of a cell, its local variables and its return value."""


def capture_locals(on_return: ReturnCallback, paths: dict[int, str]) -> Undo[None]:
    """Return a context manager that calls `on_return` whenever the `step` of a cell returns.

    The variables exclude arguments that `step` did not assign. The context manager uses Python's
    profiling hook and restores the previous one afterwards.

    Parameters
    ----------
    on_return
        Callback.
    paths
        Paths of nested cells by identity. Other cells, such as a copy of the outer cell, have the
        path "".
    """
    call_arguments: list[dict[str, Any]] = []

    def hook(frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or code.co_name != "step" or not code.co_argcount:
            return
        variables = dict(frame.f_locals)
        cell = variables.get(code.co_varnames[0])
        if not isinstance(cell, nn.Cell):
            return
        if event == "call":
            call_arguments.append(variables)
            return
        if not call_arguments:
            return  # the call started before this block
        arguments = call_arguments.pop()
        assigned = {name: v for name, v in variables.items() if v is not arguments.get(name)}
        on_return(paths.get(id(cell), ""), assigned, result)

    previous: Any = sys.getprofile()
    # setprofile does not accept the hook of cProfile
    restore = previous.enable if hasattr(previous, "enable") else partial(sys.setprofile, previous)
    return Undo(partial(sys.setprofile, hook), restore)
