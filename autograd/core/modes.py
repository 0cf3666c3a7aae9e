"""Execution modes that several layers of the engine read, per thread and async task."""

from __future__ import annotations

from typing import Any

from ..runtime.context import ContextVariable

eager_execution = ContextVariable("eager_execution", default=False)
"""True where every operation is recorded as it is called: scans are not compiled and graphs are not
freed for recomputation.
"""

operation_log: ContextVariable[Any] = ContextVariable("operation_log", default=None)
"""The log of the scan step that is being traced, or None. What the log cannot represent, such as an
in-place write or a draw of random numbers, calls its method `flag` with the reason.
"""
