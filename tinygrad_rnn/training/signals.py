"""Deferred handling of Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from autograd.runtime.context import Undo


class SignalRecorder:
    """Records the first Ctrl-C or SIGTERM in `signal` instead of raising it.

    Recording takes place inside `with recorder.recording():`. A second signal of either kind has
    its usual effect at once. Only the main thread receives signals.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
            self._previous = {n: h for n, h in handlers.items() if h is not signal.SIG_IGN}

    def recording(self) -> Undo[None]:
        """Return a context manager that installs the signal handlers and restores the old ones."""
        return Undo(self._install, self._restore)

    def _install(self) -> None:
        for number in self._previous:
            signal.signal(number, self._record)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()
