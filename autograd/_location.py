"""The user's line: the innermost frame outside of the library."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

_ENGINE = Path(__file__).parent
_LIBRARY = tuple(f"{_ENGINE.with_name(name)}/" for name in (_ENGINE.name, "tinygrad_rnn"))


def user_frame() -> FrameType | None:
    """The innermost frame whose code is not in the library."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARY):
        frame = frame.f_back
    return frame


def user_line() -> str:
    """The user's line, for messages."""
    frame = user_frame()
    if frame is None:
        return "an unknown line"
    return f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"
