"""Files as bytes, decompressed if they are gzip files, and folders of files.

All readers of this package get their bytes from `open_file`, so that whatever can be wrong with a
file is one `InputError`, and memory is bounded by what a file holds, not by what its header claims.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from ..errors import InputError

PathLike = str | os.PathLike[str]
T = TypeVar("T")

PIECE = 1 << 20
ALWAYS_ALLOWED, LARGEST_RATIO = 1 << 24, 100
"""A gzip file may expand to 16 MiB, or to 100 times its own size if that is more. Texts expand 3 to
20 times; 1,032 times, the limit of the format, is a decompression bomb."""

UNREADABLE = {
    b"\x1f\x8b\x08": "is compressed by gzip twice",
    b"BZh91AY&SY": "is compressed by bzip2",
    b"\xfd7zXZ\0": "is compressed by xz",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd",
    b"PK\3\4": "is a zip archive or a spreadsheet",
}
"""Formats that are taken for data by mistake, by their first bytes."""


class Source:
    """The content of an open file, decompressed if it is a gzip file."""

    def __init__(self, raw: io.BufferedReader, name: str) -> None:
        size = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        compressed = raw.peek(3).startswith(b"\x1f\x8b\x08")
        self._name = name
        self._file = gzip.GzipFile(fileobj=raw) if compressed else raw
        self._allowed = max(ALWAYS_ALLOWED, LARGEST_RATIO * size) if compressed else sys.maxsize
        head = self._file.peek(512)
        is_tar = head[257:262] == b"ustar" and b"\0" in head[:257]
        reasons = ["is a tar archive"] * is_tar
        reasons += [reason for begin, reason in UNREADABLE.items() if head.startswith(begin)]
        if reasons:
            raise InputError(f"{name}: {reasons[0]}; extract it first")

    def read(self, count: int = sys.maxsize) -> bytearray:
        """Return the next `count` bytes, or fewer at the end of the file."""
        content = bytearray()
        while piece := self._file.read(min(PIECE, count - len(content))):
            content += piece
            self._allowed -= len(piece)
            if self._allowed < 0:
                raise InputError(
                    f"{self._name}: expands to more than {ALWAYS_ALLOWED >> 20} MiB and more than "
                    f"{LARGEST_RATIO} times its size; decompress it with gunzip if it is genuine"
                )
        return content


@contextmanager
def open_file(path: PathLike, kind: str) -> Iterator[Source]:
    """Open a file, or standard input for the path `-`, for reading.

    Raises
    ------
    InputError
        If it cannot be opened or read, is a folder or a device, or is a damaged gzip file. The
        message says that `kind`, such as "a WAV file", is expected.
    """
    name = os.fspath(path)
    try:
        with _raw(name, kind) as raw:
            yield Source(raw, display_name(name))
    except (OSError, EOFError, zlib.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or f"damaged gzip data: {error}"
        other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
        if isinstance(error, FileNotFoundError) and os.path.exists(other):
            reason += f", but {other} exists"
        raise InputError(f"{display_name(name)}: {reason}; {kind} is expected") from error


def read_bytes(path: PathLike, kind: str) -> bytearray:
    """Return the content of a file, at least one byte. InputError as for `open_file`."""
    with open_file(path, kind) as source:
        content = source.read()
    if not content:
        raise InputError(f"{display_name(path)}: the file is empty; {kind} is expected")
    return content


def display_name(path: PathLike) -> str:
    """Return the name of a file as messages show it."""
    name = os.fspath(path)
    return "standard input" if name == "-" else name


def _raw(name: str, kind: str) -> io.BufferedReader:
    """Open a regular file; what pipes hold is read at once, so that the result has a size."""
    if not name:
        raise InputError(f"the name of {kind} is empty")
    if name == "-":
        if sys.stdin is None:
            raise InputError(f"standard input is closed; name {kind}")
        return _buffered(sys.stdin.buffer.read())
    if os.path.isdir(name):
        raise InputError(f"{name}: is a directory; {kind} is expected")
    try:
        raw = open(name, "rb", opener=_open_without_waiting)  # noqa: SIM115
    except ValueError as error:  # a NUL or a lone surrogate
        raise InputError(f"{name!r} is not the name of a file: {error}") from error
    mode = os.fstat(raw.fileno()).st_mode
    if stat.S_ISREG(mode):
        return raw
    with raw:
        if not stat.S_ISFIFO(mode):
            raise InputError(f"{name}: is a device; {kind} is expected")
        os.set_blocking(raw.fileno(), True)
        return _buffered(raw.read())


def _open_without_waiting(name: str, flags: int) -> int:
    """Open a file. A named pipe without a writer is empty; without the flag this would block."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _buffered(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(cast(Any, io.BytesIO(content)))


# --- folders --------------------------------------------------------------------------------------


def list_files(folder: PathLike, *suffixes: str, at_least: int = 1) -> list[Path]:
    """Return the files in a folder and its subfolders whose names end in one of the suffixes.

    Case does not matter, and `.gz` may follow. The files are sorted. Hidden files and folders,
    whose names begin with a dot, are left out, and links to folders are not followed. InputError
    for fewer than `at_least` files.
    """
    path, endings = Path(folder), " or ".join(suffixes)
    if not os.path.isdir(path):
        found = "is a file" if os.path.exists(path) else "there is no such folder"
        raise InputError(f"{path}: {found}; a folder of {endings} files is expected")
    files = sorted(_walk(path, tuple(suffixes)))
    if not files:
        raise InputError(f"{path}: holds no file whose name ends in {endings}")
    if len(files) < at_least:
        raise InputError(f"{path}: holds {len(files)} {endings}; at least {at_least} are needed")
    return files


def list_labeled_files(
    folder: PathLike, *suffixes: str, at_least: int = 2
) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Return the files in a folder that holds one folder per class.

    Parameters
    ----------
    folder
        The folder. The files of a class are found by `list_files`.
    *suffixes
        Endings of the files' names.
    at_least
        Files that each class must have, for example 2 if a part is held out.

    Returns
    -------
    files, labels, classes
        All files, the number of each file's class, and the names of the classes, sorted.

    Raises
    ------
    InputError
        For fewer than two classes, or a class with fewer than `at_least` files.
    """
    path = Path(folder)
    if not os.path.isdir(path):
        raise InputError(f"{path}: a folder is expected, with one folder per class in it")
    classes = sorted(Path(entry.path) for entry in visible_entries(path) if os.path.isdir(entry))
    if len(classes) < 2:
        found = f"only {classes[0].name}" if classes else "none"
        raise InputError(
            f"{path}: one folder per class is expected in it, at least two; there is {found}"
        )
    files: list[Path] = []
    labels: list[int] = []
    for number, own in enumerate(classes):
        found_here = list_files(own, *suffixes)
        if len(found_here) < at_least:
            raise InputError(
                f"{own}: has {len(found_here)} of the at least {at_least} examples that are needed "
                "of each class, since some are held out"
            )
        files += found_here
        labels += [number] * len(found_here)
    return files, labels, tuple(p.name for p in classes)


def read_folder(
    folder: PathLike, read: Callable[[Path], T], *suffixes: str, at_least: int = 1
) -> list[T]:
    """Return the content of each file that `list_files` finds, as `read` returns it.

    Files that `read` refuses with InputError are skipped, and a warning lists them. If they are
    more than 10%, or leave fewer than `at_least` files, that is an InputError.
    """
    files = list_files(folder, *suffixes, at_least=at_least)
    return _read_all(folder, files, [0] * len(files), read, at_least)[0]


def read_labeled_folder(
    folder: PathLike, read: Callable[[Path], T], *suffixes: str, at_least: int = 2
) -> tuple[list[T], list[int], tuple[str, ...]]:
    """Return the content of each file that `list_labeled_files` finds, as `read` returns it; the
    number of each one's class; and the classes. Unreadable files are skipped as by
    `read_folder`, unless they leave fewer than `at_least` files of a class.
    """
    files, labels, classes = list_labeled_files(folder, *suffixes, at_least=at_least)
    return *_read_all(folder, files, labels, read, at_least), classes


def _read_all(
    folder: PathLike,
    files: Sequence[Path],
    labels: Sequence[int],
    read: Callable[[Path], T],
    at_least: int,
) -> tuple[list[T], list[int]]:
    contents: list[T] = []
    kept: list[int] = []
    skipped: list[str] = []
    for file, label in zip(files, labels, strict=True):
        try:
            contents.append(read(file))
            kept.append(label)
        except InputError as error:
            skipped.append(str(error))
    left = Counter(kept)
    if len(skipped) > len(files) / 10 or min(left[label] for label in labels) < at_least:
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise InputError(
            f"{os.fspath(folder)}: {len(skipped)} of {len(files)} files cannot be read; at most "
            f"10% may be skipped, and {at_least} must be left of each class: "
            f"{'; '.join(skipped[:3])}{more}"
        )
    if skipped:
        listed = "\n  ".join(skipped)
        warnings.warn(
            f"skipped {len(skipped)} of {len(files)} files that cannot be read:\n  {listed}",
            stacklevel=3,
        )
    return contents, kept


def visible_entries(folder: PathLike) -> list[os.DirEntry[str]]:
    """Return what a folder holds, but for hidden entries. InputError if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{os.fspath(folder)}: {error.strerror or error}") from error


def _walk(folder: PathLike, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below a folder whose names end in a suffix. Broken links are among them, so
    that readers report them."""
    pending = [os.fspath(folder)]
    while pending:
        for entry in visible_entries(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif entry.name.lower().removesuffix(".gz").endswith(suffixes):
                yield Path(entry.path)
