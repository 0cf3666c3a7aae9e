"""The user's line of code: the innermost frame outside the library.

NumPy attributes floating-point warnings to the line that calls it, which is in this package. A
callback (`numpy.errstate(call=...)`) would cost more than a small operation. So this module wraps
the function of `warnings` that shows a warning, which costs nothing as long as none is shown.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

_ENGINE = Path(__file__).parents[1]
_LIBRARY = tuple(f"{_ENGINE.with_name(name)}/" for name in (_ENGINE.name, "tinygrad_rnn"))


def user_frame() -> FrameType | None:
    """Return the innermost frame whose code is not in the library."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARY):
        frame = frame.f_back
    return frame


def user_line() -> str:
    """Return the user's file, line and function, for messages."""
    frame = user_frame()
    if frame is None:
        return "an unknown line"
    return f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_name}"


_show: Any = vars(warnings).get("_showwarnmsg")


def show_warnings_at_user_line() -> None:
    """Wrap the function that shows warnings, so that they name the user's line.

    This does nothing if `warnings` has no such function or another package has replaced it.
    """
    if _show is not None and vars(warnings).get("_showwarnmsg") is _show:
        vars(warnings)["_showwarnmsg"] = _show_at_user_line


def _show_at_user_line(message: Any) -> None:
    """Show a warning; issue a RuntimeWarning of a library line at the user's line instead."""
    frame, library_frame = user_frame(), sys._getframe(1)
    if (
        frame is None
        or not issubclass(message.category, RuntimeWarning)
        or not message.filename.startswith(_LIBRARY)
    ):
        _show(message)
        return
    # The next warning of this library line may belong to another user line.
    library_frame.f_globals.get("__warningregistry__", {}).clear()
    module = frame.f_globals.get("__name__", "__main__")
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        message.message,
        message.category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module,
        registry,
    )
