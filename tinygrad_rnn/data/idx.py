"""Images and labels in IDX files, the form in which MNIST is handed on (LeCun, Cortes & Burges)."""

from __future__ import annotations

import gzip
import os
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .files import PathLike, read_bytes
from .text import Ids

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 32
"""More than that not every version of NumPy's arrays has."""


def read_idx(path: PathLike) -> npt.NDArray[Any]:
    """The array of an IDX file, as it is or compressed by gzip.

    Two bytes 0, one for the type, one for the number of axes; then their lengths, 32 bits each, and
    the numbers, all with the highest byte first. InputError says which byte is wrong.
    """
    name, content = os.fspath(path), read_bytes(path, "an IDX file")
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name}: damaged by gzip's own account: {error}") from error
    if content[:2] != b"\0\0" or len(content) < 4 or content[2] not in TYPES:
        raise InputError(
            f"{name}: no IDX file: it begins with {content[:4].hex(' ')}, but should with 00 00, a "
            f"type ({', '.join(f'{code:02x}' for code in TYPES)}) and the number of axes"
        )
    begin = 4 + 4 * content[3]
    if len(content) < begin:
        raise InputError(f"{name}: ends after {len(content)} bytes, within its header of {begin}")
    if content[3] > MOST_AXES:
        raise InputError(f"{name}: {content[3]} axes; an array has {MOST_AXES} at most")
    shape = np.frombuffer(content[4:begin], ">u4").tolist()
    kind = np.dtype(TYPES[content[2]])
    wanted = begin + prod(shape) * kind.itemsize
    if len(content) != wanted:
        raise InputError(
            f"{name}: {len(content)} bytes, but its header announces {' x '.join(map(str, shape))} "
            f"numbers of {kind.itemsize} bytes, which makes {wanted}"
        )
    return np.frombuffer(content, kind, offset=begin).reshape(shape).astype(kind.newbyteorder("="))


def read_images(path: PathLike) -> npt.NDArray[np.float32]:
    """The images (n, height, width) of an IDX file of bytes, from 0 (paper) to 1 (ink)."""
    images = read_idx(path)
    if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
        raise InputError(
            f"{os.fspath(path)}: holds {images.dtype} of shape {images.shape}; images are bytes of "
            "three axes, none of them 0: number, height and width"
        )
    ink: npt.NDArray[np.float32] = np.divide(images, 255, dtype=np.float32)
    return ink


def read_mnist(folder: PathLike, part: str = "train") -> tuple[npt.NDArray[np.float32], Ids]:
    """Images (n, height, width), as of `read_images`, and labels (n,) from the two files of a part
    ("train" or "t10k") in a folder: train-images-idx3-ubyte and train-labels-idx1-ubyte, or with
    .gz after it.
    """
    images_path, labels_path = _find(folder, f"{part}-images"), _find(folder, f"{part}-labels")
    images, labels = read_images(images_path), read_idx(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"{labels_path}: holds {labels.dtype} of shape {labels.shape}; labels are whole "
            "numbers of one axis"
        )
    if len(images) != len(labels):
        raise InputError(
            f"{images_path} has {len(images)} images and {labels_path} {len(labels)} labels: they "
            "must be as many"
        )
    return images, labels.astype(np.int64)


def _find(folder: PathLike, name: str) -> Path:
    """The file of a folder that has this name, with an ending or without."""
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{path}: a folder is expected, with the files of MNIST in it")
    found = sorted(p for p in path.iterdir() if p.name.startswith(name) and p.is_file())
    if not found:
        kind = "idx3" if name.endswith("images") else "idx1"
        raise InputError(
            f"{path}: there is no {name}-{kind}-ubyte in it, nor {name}-{kind}-ubyte.gz"
        )
    return found[0]


def shifted(
    rng: np.random.Generator, images: npt.NDArray[np.float32], most: int = 1
) -> npt.NDArray[np.float32]:
    """Images (n, height, width), each moved at random by 0 to `most` pixels up or down, and left or
    right; what comes in from beyond the edge is 0."""
    padded = np.pad(images, ((0, 0), (most, most), (most, most)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:], (1, 2))
    places = rng.integers(2 * most + 1, size=(len(images), 2))
    return windows[np.arange(len(images)), *places.T]  # type: ignore[no-any-return]
