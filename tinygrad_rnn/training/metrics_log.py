"""Records of updates and evaluations, in memory or in a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, parse_json
from .files import append, write_file


class MetricsLog:
    """Records of a training run.

    Parameters
    ----------
    path
        The file, such as `metrics.jsonl`, or None to keep the records in memory.
    count
        Number of records in the file that belong to the last checkpoint. Later lines are deleted.
    fields
        Names of numbers that every record has.
    """

    def __init__(self, path: Path | None, count: int, fields: Sequence[str]) -> None:
        self.path, self.count, self.fields = path, count, fields
        self._pending: list[dict[str, Any]] = []
        if path is not None:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            write_file(path, b"".join(lines[:count]))

    def add(self, record: dict[str, Any]) -> None:
        self._pending.append(record)

    def flush(self) -> None:
        """Write the pending records to the file, if the log has a file."""
        if self.path is not None:
            append(self.path, "".join(json.dumps(r) + "\n" for r in self._pending).encode())
            self.count += len(self._pending)
            self._pending.clear()

    def read(self) -> list[dict[str, Any]]:
        """Return all records."""
        saved = [] if self.path is None else read_metrics(self.path, self.count, self.fields)
        return saved + self._pending


def read_metrics(path: Path, count: int, fields: Sequence[str]) -> list[dict[str, Any]]:
    """Return the first `count` records of a file.

    Raises
    ------
    InputError
        If a line is missing or is not a record with these fields. The message names the line.
    """
    lines = path.read_bytes().splitlines()[:count] if path.exists() else []
    if len(lines) < count:
        raise InputError(
            f"{path} is damaged: the checkpoint expects {count} lines, but the file has "
            f"{len(lines)}"
        )
    return [
        _parse_record(line, fields, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
    ]


def _parse_record(line: bytes, fields: Sequence[str], source: str) -> dict[str, Any]:
    record = parse_json(line, source)
    if (
        not isinstance(record, dict)
        or record.get("event") not in ("update", "evaluation")
        or not all(isinstance(record.get(name), (int, float)) for name in fields)
    ):
        raise InputError(f"{source} is damaged: expected the record of an update or evaluation")
    return record
