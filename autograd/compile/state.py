"""What tracing a step must leave as it was."""

from __future__ import annotations

import functools
import types
from typing import Any

from .. import random
from .._tensor import Tensor
from .program import NUMBERS


class Untouched:
    """The Python state that a function can reach (its closure, the object it is a method of, what
    these hold), so that it can be compared afterwards, and put back.
    """

    def __init__(self, function: Any) -> None:
        self._stream = random.get_state()
        self._saved: list[tuple[Any, Any]] = []
        seen: set[int] = set()
        stack = [function]
        while stack:
            x = stack.pop()
            if isinstance(x, (Tensor, type, types.ModuleType, str, *NUMBERS)) or x is None:
                continue
            if id(x) in seen:
                continue
            seen.add(id(x))
            if isinstance(x, types.CellType):
                held = _contents(x)
            elif isinstance(x, dict):
                held = dict(x)
                stack += x.values()
            elif isinstance(x, (list, set)):
                held = list(x)
                stack += held
            elif isinstance(x, tuple):
                stack += x
                continue
            elif isinstance(x, types.MethodType):
                stack += [x.__self__, x.__func__]
                continue
            elif isinstance(x, types.FunctionType):
                stack += [*(x.__closure__ or ()), *(x.__defaults__ or ())]
                continue
            elif isinstance(x, functools.partial):
                stack += [x.func, x.args, x.keywords]
                continue
            else:
                stack += _closures(type(x))
                if hasattr(x, "__dict__"):
                    stack.append(vars(x))
                continue
            self._saved.append((x, held))
            if isinstance(x, types.CellType):
                stack.append(held)

    def put_back(self) -> bool:
        """Whether all is as it was; what is not is put back."""
        same = random.get_state() == self._stream
        if not same:
            random.set_state(self._stream)
        for x, held in self._saved:
            if isinstance(x, types.CellType):
                if _contents(x) is not held:
                    x.cell_contents, same = held, False
            elif isinstance(x, dict):
                if len(x) != len(held) or any(x.get(k, x) is not v for k, v in held.items()):
                    x.clear()
                    x.update(held)
                    same = False
            elif len(x) != len(held) or any(a is not b for a, b in zip(x, held, strict=True)):
                x.clear()
                x.extend(held) if isinstance(x, list) else x.update(held)
                same = False
        return same


@functools.cache
def _closures(kind: type) -> list[Any]:
    """What the methods of a class close over."""
    methods = [m for base in kind.__mro__ for m in vars(base).values()]
    return [cell for m in methods for cell in getattr(m, "__closure__", None) or ()]


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
