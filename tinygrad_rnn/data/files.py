"""Opening files, which may be compressed by gzip, and listing folders of files.

All readers of this package get their bytes from `open_file`. It reports every defect of a file as
an `InputError`, and limits memory by the size of a file, not by the sizes that its header states.
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

CHUNK_SIZE = 1 << 20
ALWAYS_ALLOWED, MAX_RATIO = 1 << 24, 100
"""A gzip file may expand to 16 MiB, or to 100 times its own size if that is more. Texts expand 3 to
20 times; the limit of the format, 1,032 times, indicates a decompression bomb."""

UNSUPPORTED = {
    b"\x1f\x8b\x08": "is compressed by gzip twice",
    b"BZh91AY&SY": "is compressed by bzip2",
    b"\xfd7zXZ\0": "is compressed by xz",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd",
    b"PK\3\4": "is a zip archive or a spreadsheet",
}
"""First bytes of formats that users often pass by mistake, and a description for the message."""


class ByteSource:
    """The content of an open file, decompressed if it is a gzip file."""

    def __init__(self, raw: io.BufferedReader, name: str) -> None:
        size = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        compressed = raw.peek(3).startswith(b"\x1f\x8b\x08")
        self._name = name
        self._file = gzip.GzipFile(fileobj=raw) if compressed else raw
        self._allowed = max(ALWAYS_ALLOWED, MAX_RATIO * size) if compressed else sys.maxsize
        head = self._file.peek(512)
        is_tar = head[257:262] == b"ustar" and b"\0" in head[:257]
        reasons = ["is a tar archive"] * is_tar
        reasons += [reason for prefix, reason in UNSUPPORTED.items() if head.startswith(prefix)]
        if reasons:
            raise InputError(f"{name}: {reasons[0]}; extract it first")

    def read(self, count: int = sys.maxsize) -> bytearray:
        """Return the next `count` bytes, or fewer at the end of the file."""
        content = bytearray()
        while chunk := self._file.read(min(CHUNK_SIZE, count - len(content))):
            content += chunk
            self._allowed -= len(chunk)
            if self._allowed < 0:
                raise InputError(
                    f"{self._name}: expands to more than {ALWAYS_ALLOWED >> 20} MiB and more than "
                    f"{MAX_RATIO} times its size; if it is genuine, decompress it with gunzip first"
                )
        return content


@contextmanager
def open_file(path: PathLike, kind: str) -> Iterator[ByteSource]:
    """Open a file, or standard input for the path `-`, for reading.

    Parameters
    ----------
    path
        The file.
    kind
        The expected kind of file for the error message, such as "a WAV file".

    Raises
    ------
    InputError
        If the file cannot be opened or read, is a folder or a device, or is a damaged gzip file.
    """
    name = os.fspath(path)
    try:
        with _open_raw(name, kind) as raw:
            yield ByteSource(raw, display_name(name))
    except (OSError, EOFError, zlib.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or f"damaged gzip data: {error}"
        variant = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
        if isinstance(error, FileNotFoundError) and os.path.exists(variant):
            reason += f", but {variant} exists"
        raise InputError(f"{display_name(name)}: {reason}; expected {kind}") from error


def read_bytes(path: PathLike, kind: str) -> bytearray:
    """Return the content of a file; raise InputError as `open_file` does, or if it is empty."""
    with open_file(path, kind) as source:
        content = source.read()
    if not content:
        raise InputError(f"{display_name(path)}: the file is empty; expected {kind}")
    return content


def display_name(path: PathLike) -> str:
    """Return the name of a file for messages."""
    name = os.fspath(path)
    return "standard input" if name == "-" else name


def _open_raw(name: str, kind: str) -> io.BufferedReader:
    """Open a regular file; read the content of a pipe at once, so that the result has a size."""
    if not name:
        raise InputError(f"expected the name of {kind}, got an empty name")
    if name == "-":
        if sys.stdin is None:
            raise InputError(f"standard input is closed; give the name of {kind}")
        return _buffered(sys.stdin.buffer.read())
    if os.path.isdir(name):
        raise InputError(f"{name}: is a directory; expected {kind}")
    try:
        raw = open(name, "rb", opener=_open_nonblocking)  # noqa: SIM115
    except ValueError as error:  # a NUL or a lone surrogate
        raise InputError(f"{name!r} is not the name of a file: {error}") from error
    mode = os.fstat(raw.fileno()).st_mode
    if stat.S_ISREG(mode):
        return raw
    with raw:
        if not stat.S_ISFIFO(mode):
            raise InputError(f"{name}: is a device; expected {kind}")
        os.set_blocking(raw.fileno(), True)
        return _buffered(raw.read())


def _open_nonblocking(name: str, flags: int) -> int:
    """Open a file without blocking; a named pipe that no process writes to is then empty."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _buffered(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(cast(Any, io.BytesIO(content)))


# --- folders --------------------------------------------------------------------------------------


def list_files(folder: PathLike, *suffixes: str, at_least: int = 1) -> list[Path]:
    """Return the files in a folder and its subfolders whose names end in one of the suffixes.

    The suffixes are compared without case, and may be followed by `.gz`. Hidden files and folders,
    whose names begin with a dot, are omitted. Links to folders are not followed.

    Parameters
    ----------
    folder : path
        The folder.
    *suffixes : str
        File name suffixes, such as ".wav".
    at_least : int, default 1
        Minimum number of files.

    Returns
    -------
    list of Path
        The files, sorted.

    Raises
    ------
    InputError
        If the folder does not exist or has fewer than `at_least` such files.
    """
    path, endings = Path(folder), " or ".join(suffixes)
    if not os.path.isdir(path):
        reason = "is a file" if os.path.exists(path) else "the folder does not exist"
        raise InputError(f"{path}: {reason}; expected a folder of {endings} files")
    files = sorted(_walk(path, tuple(suffixes)))
    if not files:
        raise InputError(f"{path}: contains no file whose name ends in {endings}")
    if len(files) < at_least:
        raise InputError(
            f"{path}: expected at least {at_least} {endings} files, found {len(files)}"
        )
    return files


def list_labeled_files(
    folder: PathLike, *suffixes: str, at_least: int = 2
) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Return the files in a folder with one subfolder per class, and their labels.

    Parameters
    ----------
    folder : path
        The folder. `list_files` finds the files of each class.
    *suffixes : str
        File name suffixes, such as ".wav".
    at_least : int, default 2
        Minimum number of files per class, for example 2 if some files are held out.

    Returns
    -------
    files : list of Path
        All files.
    labels : list of int
        The class index of each file.
    classes : tuple of str
        The names of the classes, sorted.

    Raises
    ------
    InputError
        If there are fewer than two classes, or if a class has fewer than `at_least` files.
    """
    path = Path(folder)
    if not os.path.isdir(path):
        raise InputError(f"{path}: expected a folder with one subfolder per class")
    classes = sorted(Path(entry.path) for entry in visible_entries(path) if os.path.isdir(entry))
    if len(classes) < 2:
        names = f"only {classes[0].name}" if classes else "none"
        raise InputError(f"{path}: expected at least two subfolders, one per class; found {names}")
    files: list[Path] = []
    labels: list[int] = []
    for label, class_folder in enumerate(classes):
        class_files = list_files(class_folder, *suffixes)
        if len(class_files) < at_least:
            raise InputError(
                f"{class_folder}: expected at least {at_least} examples per class, since some are "
                f"held out; found {len(class_files)}"
            )
        files += class_files
        labels += [label] * len(class_files)
    return files, labels, tuple(p.name for p in classes)


def read_folder(
    folder: PathLike, read: Callable[[Path], T], *suffixes: str, at_least: int = 1
) -> list[T]:
    """Read every file that `list_files` finds.

    Files for which `read` raises InputError are skipped, and a warning lists them.

    Parameters
    ----------
    folder : path
        The folder.
    read : callable
        Reads one file, such as `read_wav`.
    *suffixes : str
        File name suffixes, such as ".wav".
    at_least : int, default 1
        Minimum number of readable files.

    Returns
    -------
    list
        The results of `read`, in the order of the file names.

    Raises
    ------
    InputError
        If more than 10% of the files are unreadable, or fewer than `at_least` are readable.

    Examples
    --------
    >>> from tinygrad_rnn import data
    >>> pieces = data.read_folder("midis", data.read_midi, ".mid")  # doctest: +SKIP
    """
    files = list_files(folder, *suffixes, at_least=at_least)
    return _read_all(folder, files, [0] * len(files), read, at_least)[0]


def read_labeled_folder(
    folder: PathLike, read: Callable[[Path], T], *suffixes: str, at_least: int = 2
) -> tuple[list[T], list[int], tuple[str, ...]]:
    """Read every file in a folder with one subfolder per class.

    Unreadable files are skipped, as in `read_folder`.

    Parameters
    ----------
    folder : path
        The folder.
    read : callable
        Reads one file, such as `read_wav`.
    *suffixes : str
        File name suffixes, such as ".wav".
    at_least : int, default 2
        Minimum number of readable files per class.

    Returns
    -------
    contents : list
        The results of `read`.
    labels : list of int
        The class index of each result.
    classes : tuple of str
        The names of the classes, sorted.

    Raises
    ------
    InputError
        If more than 10% of the files are unreadable, or if a class has fewer than `at_least`
        readable files.
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
    readable_labels: list[int] = []
    errors: list[str] = []
    for file, label in zip(files, labels, strict=True):
        try:
            contents.append(read(file))
            readable_labels.append(label)
        except InputError as error:
            errors.append(str(error))
    counts = Counter(readable_labels)
    if len(errors) > len(files) / 10 or min(counts[label] for label in labels) < at_least:
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        raise InputError(
            f"{os.fspath(folder)}: {len(errors)} of {len(files)} files are unreadable; at most "
            f"10% are skipped, and at least {at_least} of each class must be readable: "
            f"{'; '.join(errors[:3])}{more}"
        )
    if errors:
        lines = "\n  ".join(errors)
        warnings.warn(
            f"skipped {len(errors)} of {len(files)} files that are unreadable:\n  {lines}",
            stacklevel=3,
        )
    return contents, readable_labels


def visible_entries(folder: PathLike) -> list[os.DirEntry[str]]:
    """Return the entries of a folder that are not hidden; raise InputError if it is unreadable."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{os.fspath(folder)}: {error.strerror or error}") from error


def _walk(folder: PathLike, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below a folder whose names end in a suffix.

    Broken links are included, so that the readers report them.
    """
    pending = [os.fspath(folder)]
    while pending:
        for entry in visible_entries(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif entry.name.lower().removesuffix(".gz").endswith(suffixes):
                yield Path(entry.path)
