"""`detect_anomaly`: finds the line that made the first nan or infinity, forward or backward, and
writes into raw arrays that a graph still needs.

While it is on, Tensors are made by a constructor that looks at them, so it costs nothing while off.
"""

from __future__ import annotations

import copy
import sys
import threading
from contextvars import ContextVar, Token
from pathlib import Path
from typing import Any

from . import backend
from ._graph import OUTPUT, Node
from ._tensor import Tensor
from ._tree import flatten

_ENGINE = str(Path(__file__).parent)
_on: ContextVar[bool] = ContextVar("detect_anomaly", default=False)
_lock = threading.Lock()
_users = 0
_plain_init = Tensor.__init__


class detect_anomaly:
    """`with detect_anomaly():` a nan or infinity that an operation makes, or that its gradient
    has, raises FloatingPointError naming the operation and the line of user code that recorded it.
    So does, with RuntimeError, an array that its gradient needs and that was written meanwhile, by
    whatever way.

    Per thread and per async task. Everything is slower meanwhile, and takes twice the memory.
    """

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        global _users
        self._tokens.append(_on.set(True))
        with _lock:
            _users += 1
            Tensor.__init__ = _watched_init  # type: ignore[method-assign]

    def __exit__(self, *exception: Any) -> None:
        global _users
        _on.reset(self._tokens.pop())
        with _lock:
            _users -= 1
            if not _users:
                Tensor.__init__ = _plain_init  # type: ignore[method-assign]


def _watched_init(self: Tensor, data: Any, node: Node | None = None) -> None:
    _plain_init(self, data, node)
    if not _on.get() or node is None or node.primitive is None:
        return
    recorded = node.parents[0] if node.primitive is OUTPUT else node
    assert recorded is not None
    line = _user_line()
    if (what := _anomaly(data)) is not None:
        raise FloatingPointError(
            f"{recorded.primitive.name} made {what} in a result of shape {data.shape}, at {line}"
        )
    recorded.primitive = _watched(recorded.primitive, recorded.saved, line)


def _watched(primitive: Any, saved: Any, line: str) -> Any:
    """A copy of a primitive whose gradient rules look at what they are given and return."""
    copies = [(x, x.copy()) for x in flatten(saved) if getattr(x, "dtype", None) is not None]

    def pull(g: Any, saved: Any, parents: Any) -> Any:
        for array, before in copies:
            if not bool(((array == before) | (before != before)).all()):
                raise RuntimeError(
                    f"{primitive.name}: an array {before.shape} that its gradient needs was "
                    f"written after the operation was recorded at {line}"
                )
        try:
            made = primitive.pull(g, saved, parents)
        except FloatingPointError as error:  # one of its operations is watched too
            raise FloatingPointError(
                f"in the gradient rule of {primitive.name}, recorded at {line}: {error}"
            ) from error
        for one in made:
            if (what := _anomaly(one._data if isinstance(one, Tensor) else one)) is not None:
                raise FloatingPointError(
                    f"the gradient rule of {primitive.name} made {what} for an argument of "
                    f"shape {one.shape}; the operation was recorded at {line}"
                )
        return made

    watched = copy.copy(primitive)
    watched.pull = pull
    return watched


def _anomaly(array: Any) -> str | None:
    """What is wrong with some element, if anything."""
    if getattr(array, "dtype", None) is None or array.dtype.kind != "f":
        return None
    xp = backend.of(array).xp
    if bool(xp.isfinite(array).all()):
        return None
    return "a nan" if bool(xp.isnan(array).any()) else "an infinity"


def _user_line() -> str:
    """The innermost line outside the engine."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_ENGINE):
        frame = frame.f_back
    if frame is None:
        return "an unknown line"
    return f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"
