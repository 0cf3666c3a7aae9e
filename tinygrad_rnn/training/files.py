"""Atomic file writing, folder locks and JSON files.

A new version of a file is written to a partial file in the same folder, flushed to the disk and
renamed. After a crash, a full disk or `kill -9` the old version is therefore unchanged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from autograd.runtime.context import Undo

from ..errors import InputError, parse_json

_PARTIAL_SUFFIX = ".partial"


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically: if this raises OSError, the old file is unchanged."""
    publish(prepare(path, content), path)


def prepare(path: Path, content: bytes) -> Path:
    """Write a partial file in the folder of `path`, flushed to the disk, and return its path."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL_SUFFIX}")
    with _write_errors(path, partial):
        partial.unlink(missing_ok=True)  # a symbolic link would be followed
        _write(partial, "xb", content)
    return partial


def publish(partial: Path, path: Path) -> None:
    """Rename the partial file that `prepare` wrote to `path`."""
    with _write_errors(path, partial):
        os.replace(partial, path)
        _sync_folder(path.parent)


def append(path: Path, content: bytes) -> None:
    """Append to a file and flush it to the disk. A failure may leave a part of `content`."""
    with _write_errors(path):
        _write(path, "ab", content)


def _write(path: Path, mode: str, content: bytes) -> None:
    with open(path, mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _write_errors(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Delete `partial` after an error, and name `path` in an OSError."""
    try:
        yield
    except BaseException as error:
        if partial:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Flush a rename to the disk. Windows cannot open folders."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def partial_files(folder: Path) -> list[Path]:
    """Return the partial files in a folder, complete or not, that were not renamed."""
    return list(folder.glob(f".*.[0-9]*{_PARTIAL_SUFFIX}"))


def remove_partial_files(folder: Path) -> None:
    """Delete the partial files of processes that were killed."""
    for path in partial_files(folder):
        path.unlink(missing_ok=True)


def lock_folder(folder: Path) -> AbstractContextManager[None]:
    """Return a context manager that holds the training lock of a folder.

    Entering deletes the partial files of processes that were killed. On Windows, which has no
    `fcntl`, nothing is locked.

    Raises
    ------
    InputError
        On entering, if another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return nullcontext()
    handles: list[int] = []

    def lock() -> None:
        handles.append(os.open(folder, os.O_RDONLY))
        try:
            fcntl.flock(handles[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder} is locked: another process is training there; wait until it ends or "
                "choose another folder"
            ) from None
        remove_partial_files(folder)

    def unlock() -> None:
        while handles:
            os.close(handles.pop())

    return Undo(lock, unlock)


def as_json(value: Any) -> bytes:
    """Return indented JSON. Lone surrogates, which some text encodings produce, are preserved."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


@contextmanager
def malformed_content_errors(source: str | Path) -> Iterator[None]:
    """Turn errors that malformed file contents cause into InputErrors that name the file."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{source} does not match: {str(error)[:500]}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise InputError(f"{source} is damaged: {repr(error)[:500]}") from error


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; raise InputError if it is unreadable or not JSON."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return parse_json(content, path)
