"""Models and nested containers of arrays as safetensors files with checksums.

Every safetensors file (https://github.com/huggingface/safetensors) has a checksum in its metadata,
which is checked when the file is read. Files without a checksum, from other programs or earlier
versions, are accepted. Loading executes no code: JSON holds the structure, safetensors the arrays.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as shorten
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from autograd import Tensor

from ..errors import MAX_DEPTH, InputError, parse_json
from ..nn import Module
from .files import write_file

Arrays = dict[str, np.ndarray]

_ARRAY_KEY, _CHECKSUM_KEY = "\0array", "checksum"


def save(path: str | Path, module: Module) -> None:
    """Save the parameters and buffers of a module to a safetensors file.

    The file is written atomically. PyTorch reads it as well:
    `module.load_state_dict(safetensors.torch.load_file(path))`.

    Parameters
    ----------
    path : str or Path
        File to write. An existing file is replaced.
    module : nn.Module
        Module whose `state_dict` is saved.

    Raises
    ------
    ValueError
        If safetensors does not support the dtype of an array.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Load the file into a module.
    save_tree : Save nested dicts and lists of arrays.
    """
    _save_arrays(path, module.state_dict())


def load(path: str | Path, module: Module) -> None:
    """Load the parameters and buffers of a module from a safetensors file.

    The file may come from `save`, or from PyTorch's `safetensors.torch.save_file` of a `state_dict`
    with the same names. Loading executes no code. After an error the module is unchanged.

    Parameters
    ----------
    path : str or Path
        File to read.
    module : nn.Module
        Module that receives the arrays.

    Raises
    ------
    InputError
        If the file is missing or damaged, or its names and shapes differ from the module's.
    """
    path = Path(path)
    load_arrays(module, read_arrays(path)[0], path)


def load_arrays(module: Module, arrays: Arrays, source: str | Path) -> None:
    """Load arrays into a module; raise InputError, naming the file `source`, on a mismatch."""
    try:
        module.load_state_dict(arrays)
    except ValueError as error:
        raise InputError(f"{source} belongs to another model: {error}") from error


def _save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], **metadata: str) -> None:
    """Write a safetensors file with a checksum atomically."""
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in ordered.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise ValueError(f"{name}: safetensors does not support the dtype {array.dtype}")
    metadata[_CHECKSUM_KEY] = _checksum(ordered, metadata)
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
        checksum = metadata.pop(_CHECKSUM_KEY, None)
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
            f"{path}: {name} has the dtype {kind}, which NumPy does not support; convert it before "
            "saving (in PyTorch: model.float())"
        ) from error
    return array


def save_tree(path: str | Path, tree: Any) -> None:
    """Save nested dicts, lists and tuples, such as the `state_dict` of an optimizer, to a file.

    The safetensors file is written atomically. It holds the arrays under the path of their keys
    (`optimizer.state.0.exp_avg`), and everything else as JSON in its metadata.

    Parameters
    ----------
    path : str or Path
        File to write. An existing file is replaced.
    tree : dict, list or tuple
        Nested containers of arrays, Tensors, NumPy scalars and JSON values.

    Raises
    ------
    ValueError
        If the tree could not be restored: it nests more than 99 levels, two keys of a dict are the
        same string (`1` and `"1"`), or safetensors does not support the dtype of an array.
    OSError
        If the file cannot be written.
    """
    arrays: Arrays = {}
    structure = json.dumps(_without_arrays(tree, (), arrays))
    _save_arrays(path, arrays, structure=structure)


def load_tree(path: str | Path) -> Any:
    """Load nested containers that `save_tree` saved. Loading executes no code.

    Parameters
    ----------
    path : str or Path
        File to read.

    Returns
    -------
    dict or list
        The tree with NumPy arrays and Python numbers. Tuples become lists, and the keys of dicts
        become strings.

    Raises
    ------
    InputError
        If the file is missing or damaged, or was not written by `save_tree`.
    """
    arrays, metadata = read_arrays(Path(path))
    if "structure" not in metadata:
        raise InputError(f"{path} was not written by save_tree: its metadata has no structure")
    return _with_arrays(parse_json(metadata["structure"], path), arrays, path)


def _without_arrays(tree: Any, path: tuple[str, ...], arrays: Arrays) -> Any:
    """Return the tree with references in place of arrays, which are added to `arrays`."""
    if len(path) >= MAX_DEPTH:
        raise ValueError(f"the tree must not nest more than {MAX_DEPTH - 1} levels")
    tree = tree.numpy() if isinstance(tree, Tensor) else tree
    if isinstance(tree, np.generic):
        return tree.item()
    if isinstance(tree, np.ndarray):
        name = ".".join(path)
        while name in arrays or name == "__metadata__":  # a key may contain a dot
            name += "'"
        arrays[name] = tree
        return {_ARRAY_KEY: name}
    if isinstance(tree, dict):
        keys = {str(key): key for key in tree}
        if len(keys) < len(tree) or _ARRAY_KEY in keys:
            raise ValueError(
                "the keys of a dict are saved as strings, which must differ from each other and "
                f"from {_ARRAY_KEY!r}; got the keys {shorten(list(tree))}"
            )
        return {
            name: _without_arrays(tree[key], (*path, name), arrays) for name, key in keys.items()
        }
    if isinstance(tree, (list, tuple)):
        return [
            _without_arrays(value, (*path, str(index)), arrays) for index, value in enumerate(tree)
        ]
    return tree


def _with_arrays(tree: Any, arrays: Arrays, source: str | Path) -> Any:
    """Return the tree with the arrays in place of references."""
    if isinstance(tree, dict):
        if _ARRAY_KEY in tree:
            name = tree[_ARRAY_KEY]
            if not (isinstance(name, str) and name in arrays):
                raise InputError(f"{source} is damaged: it has no array {str(name)[:80]!r}")
            return arrays[name]
        return {key: _with_arrays(value, arrays, source) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value, arrays, source) for value in tree]
    return tree
