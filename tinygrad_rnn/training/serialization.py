"""Files that are whole or not there: atomic writing, and arrays on disk as safetensors.

Every safetensors file has a checksum in its metadata, which is checked when the file is read. Files
without one, from other programs or earlier versions, are read too.

A new version is written beside the old one, forced to the disk and then renamed over it, so that
whatever happens in between (a crash, a full disk, kill -9) the old version stays as it was. Nothing
that is read here executes code: JSON for structure, safetensors for arrays
(https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from reprlib import repr as shorten
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from autograd import Tensor
from autograd.runtime.context import Undo

from ..errors import MAX_DEPTH, InputError, parse_json
from ..nn import Module

Arrays = dict[str, np.ndarray]

_MARK, _PARTIAL, _CHECKSUM = "\0array", ".partial", "checksum"


def write_file(path: Path, content: bytes) -> None:
    """Replace `path` by a file with this content, or leave it as it is and raise OSError."""
    publish(prepare(path, content), path)


def prepare(path: Path, content: bytes) -> Path:
    """The first half of `write_file`: a file beside `path` that is whole and on the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    with _writing(path, partial):
        partial.unlink(missing_ok=True)  # a symbolic link would be followed
        _write(partial, "xb", content)
    return partial


def publish(partial: Path, path: Path) -> None:
    """The second half of `write_file`: what `prepare` wrote becomes `path`."""
    with _writing(path, partial):
        os.replace(partial, path)
        _sync_folder(path.parent)


def append(path: Path, content: bytes) -> None:
    """Add to a file's end and force it to the disk. (A failure may leave a part of `content`.)"""
    with _writing(path):
        _write(path, "ab", content)


def _write(path: Path, mode: str, content: bytes) -> None:
    with open(path, mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _writing(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Errors inside say that `path` could not be written, and leave nothing of `partial`."""
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
    """Make a rename survive a power cut (on Windows a folder cannot be opened)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def partial_files(folder: Path) -> list[Path]:
    """What `prepare` wrote, or was writing, and nobody has published."""
    return list(folder.glob(f".*.[0-9]*{_PARTIAL}"))


def remove_partial_files(folder: Path) -> None:
    """Delete what writers that were killed left behind."""
    for leftover in partial_files(folder):
        leftover.unlink(missing_ok=True)


def lock_folder(folder: Path) -> AbstractContextManager[None]:
    """Return a context manager in which no other process can train in the folder, where the system
    has such locks. It deletes the partial files of processes that were killed there.
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
            raise InputError(f"another process is training {folder} right now") from None
        remove_partial_files(folder)

    def unlock() -> None:
        while handles:
            os.close(handles.pop())

    return Undo(lock, unlock)


def as_json(value: Any) -> bytes:
    """Indented JSON with one line end; lone surrogates, which some encodings let in, survive."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


@contextmanager
def reading(source: str | Path) -> Iterator[None]:
    """Turn every error that malformed contents of a file cause into an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{source} does not fit: {str(error)[:500]}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise InputError(f"{source} is damaged: {repr(error)[:500]}") from error


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; InputError if it cannot be read or is not valid."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return parse_json(content, path)


def save(path: str | Path, module: Module) -> None:
    """Write a module's parameters and buffers to a safetensors file, which is whole or not there.
    PyTorch reads it too: `load_state_dict(safetensors.torch.load_file(path))`.
    """
    _save_arrays(path, module.state_dict())


def load(path: str | Path, module: Module) -> None:
    """Read into `module` what `save` wrote, or PyTorch's `safetensors.torch.save_file` of a
    `state_dict` with the same names. No code in it is executed. InputError if the file is missing
    or damaged, or does not fit; the module is as it was then.
    """
    path = Path(path)
    load_arrays(module, read_arrays(path)[0], path)


def load_arrays(module: Module, arrays: Arrays, source: str | Path) -> None:
    """Load arrays that were read from the file `source`; InputError if they do not fit."""
    try:
        module.load_state_dict(arrays)
    except ValueError as error:
        raise InputError(f"{source} belongs to another model: {error}") from error


def _save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], **metadata: str) -> None:
    """Write a safetensors file with a checksum; it is whole or not there."""
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in ordered.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise ValueError(f"{name}: safetensors cannot hold an array of dtype {array.dtype}")
    metadata[_CHECKSUM] = _checksum(ordered, metadata)
    write_file(Path(path), serialize(ordered, metadata))


def _checksum(arrays: Arrays, metadata: Mapping[str, str]) -> str:
    """Return the CRC-32 of metadata and arrays, with their names, dtypes and shapes."""
    crc = zlib.crc32(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(json.dumps([name, array.dtype.name, array.shape]).encode(), crc)
        little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
        crc = zlib.crc32(little_endian.reshape(-1).view(np.uint8).data, crc)
    return f"crc32:{crc:08x}"


def read_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays and the metadata of a safetensors file.

    Raises
    ------
    InputError
        If the file is missing, is not a safetensors file, or does not match its checksum.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: _tensor(path, file, name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        checksum = metadata.pop(_CHECKSUM, None)
        if checksum is not None and checksum != _checksum(arrays, metadata):
            raise InputError(
                f"{path} is damaged: its contents do not match its checksum; restore it from a "
                "copy, or train again"
            )
        return arrays, metadata
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or not a safetensors file: {error}") from error
    except OSError as error:  # safe_open's does not name the file
        raise InputError(f"{path}: {error.strerror or error}") from error


def _tensor(path: Path, file: Any, name: str) -> np.ndarray:
    try:
        array: np.ndarray = file.get_tensor(name)
    except (AttributeError, TypeError) as error:
        kind = file.get_slice(name).get_dtype()
        raise InputError(
            f"{path}: {name} holds {kind} numbers, which NumPy does not have; save it in another "
            "precision (in PyTorch: model.float())"
        ) from error
    return array


def save_tree(path: str | Path, tree: Any) -> None:
    """Write nested dicts, lists and tuples of arrays, Tensors and JSON values, such as an
    optimizer's `state_dict`, as one safetensors file, which is whole or not there.

    The arrays are the file's tensors, named by their place ("optimizer.state.0.exp_avg"). The rest,
    with NumPy scalars as Python numbers, is in its metadata. ValueError for a tree that could not
    be read again: of more than `MAX_DEPTH` levels, with two keys in a dict that are the same
    string, such as 1 and "1", or with an array whose dtype safetensors does not have.
    """
    arrays: Arrays = {}
    structure = json.dumps(_without_arrays(tree, (), arrays))
    _save_arrays(path, arrays, structure=structure)


def load_tree(path: str | Path) -> Any:
    """Return what `save_tree` wrote. Tuples come back as lists, the keys of dicts as strings. No
    code in it is executed. InputError if the file is missing, damaged or of another kind.
    """
    arrays, metadata = read_arrays(Path(path))
    if "structure" not in metadata:
        raise InputError(f"{path} is not a checkpoint of this program: it has no structure")
    return _with_arrays(parse_json(metadata["structure"], path), arrays, path)


def _without_arrays(tree: Any, place: tuple[str, ...], arrays: Arrays) -> Any:
    if len(place) >= MAX_DEPTH:
        raise ValueError(f"the tree nests more than {MAX_DEPTH - 1} levels")
    tree = tree.numpy() if isinstance(tree, Tensor) else tree
    if isinstance(tree, np.generic):
        return tree.item()
    if isinstance(tree, np.ndarray):
        name = ".".join(place)
        while name in arrays or name == "__metadata__":  # keys may hold dots themselves
            name += "'"
        arrays[name] = tree
        return {_MARK: name}
    if isinstance(tree, dict):
        keys = {str(key): key for key in tree}
        if len(keys) < len(tree) or _MARK in keys:
            raise ValueError(
                "the keys of a dict are saved as strings, which must differ from each other and "
                f"from {_MARK!r}; got the keys {shorten(list(tree))}"
            )
        return {
            name: _without_arrays(tree[key], (*place, name), arrays) for name, key in keys.items()
        }
    if isinstance(tree, (list, tuple)):
        return [
            _without_arrays(value, (*place, str(index)), arrays) for index, value in enumerate(tree)
        ]
    return tree


def _with_arrays(tree: Any, arrays: Arrays, source: str | Path) -> Any:
    if isinstance(tree, dict):
        if _MARK in tree:
            name = tree[_MARK]
            if not (isinstance(name, str) and name in arrays):
                raise InputError(f"{source} is damaged: it has no array {str(name)[:80]!r}")
            return arrays[name]
        return {key: _with_arrays(value, arrays, source) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value, arrays, source) for value in tree]
    return tree
