"""One's own files: what they hold, byte by byte, and folders whose names are classes."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError

PathLike = str | os.PathLike[str]


def read_bytes(path: PathLike, kind: str) -> bytes:
    """What a file holds, at least one byte; `kind` says in the InputError what it should be."""
    name = os.fspath(path)
    if os.path.isdir(name):
        raise InputError(f"{name}: is a folder; {kind} is expected")
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}; {kind} is expected") from error
    if not content:
        raise InputError(f"{name}: the file is empty; {kind} is expected")
    return content


def files_in(folder: PathLike, *suffixes: str, at_least: int = 1) -> list[Path]:
    """The files in a folder whose names end so, in whichever case, sorted. Hidden ones, whose names
    begin with a dot, are left out. InputError for fewer than `at_least`.
    """
    path, endings = Path(folder), " or ".join(suffixes)
    if not path.is_dir():
        found = "is a file" if path.exists() else "there is no such folder"
        raise InputError(f"{path}: {found}; a folder of {endings} files is expected")
    files = [p for p in _visible(path) if p.is_file() and p.suffix.lower() in suffixes]
    if not files:
        raise InputError(f"{path}: holds no file whose name ends in {endings}")
    if len(files) < at_least:
        raise InputError(f"{path}: holds {len(files)} {endings}; at least {at_least} are needed")
    return files


def labelled_files(
    folder: PathLike, *suffixes: str, at_least: int = 2
) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Files in one folder per class: all files, the number of each one's class, and the classes,
    sorted, which are the folders' names. InputError for fewer than two classes, and for classes of
    fewer than `at_least` files, of which a part is to be held out.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{path}: a folder is expected, with one folder per class in it")
    classes = [p for p in _visible(path) if p.is_dir()]
    if len(classes) < 2:
        found = f"only {classes[0].name}" if classes else "none"
        raise InputError(
            f"{path}: one folder per class is expected in it, at least two; there is {found}"
        )
    files: list[Path] = []
    labels: list[int] = []
    for number, own in enumerate(classes):
        found_here = files_in(own, *suffixes)
        if len(found_here) < at_least:
            raise InputError(
                f"{own}: has {len(found_here)} of the at least {at_least} examples that are needed "
                "of each class, since some are held out"
            )
        files += found_here
        labels += [number] * len(found_here)
    return files, labels, tuple(p.name for p in classes)


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
