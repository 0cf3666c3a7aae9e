"""Images and labels in IDX files, the form in which MNIST is handed on (LeCun, Cortes & Burges)."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..files import PathLike, display_name, open_file, visible_entries
from ..text import Ids

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_AXES = 32
"""More than that not every version of NumPy's arrays has."""


def read_idx(path: PathLike) -> npt.NDArray[Any]:
    """Return the array of an IDX file, which may be compressed by gzip.

    Two bytes 0, one for the type, one for the number of axes; then their lengths, 32 bits each, and
    the numbers, all with the highest byte first. The header is checked before the numbers are read.
    InputError says which byte is wrong.
    """
    name = display_name(path)
    with open_file(path, "an IDX file") as source:
        head = source.read(4)
        if not head:
            raise InputError(f"{name}: the file is empty; an IDX file is expected")
        if head[:2] != b"\0\0" or len(head) < 4 or head[2] not in DTYPES:
            raise InputError(
                f"{name}: no IDX file: it begins with {head.hex(' ')}, but should with 00 00, a "
                f"type ({', '.join(f'{code:02x}' for code in DTYPES)}) and the number of axes"
            )
        kind, axes = np.dtype(DTYPES[head[2]]), head[3]
        if axes > MAX_AXES:
            raise InputError(f"{name}: {axes} axes; an array has {MAX_AXES} at most")
        sizes = source.read(4 * axes)
        begin = 4 + 4 * axes
        if 4 + len(sizes) < begin:
            raise InputError(
                f"{name}: ends after {4 + len(sizes)} bytes, within its header of {begin}"
            )
        shape = np.frombuffer(sizes, ">u4").tolist()
        wanted = prod(shape) * kind.itemsize
        content = source.read(wanted + 1)
    if len(content) != wanted:
        found = f"{'at least ' * (len(content) > wanted)}{begin + len(content)} bytes"
        raise InputError(
            f"{name}: {found}, but its header announces {' x '.join(map(str, shape))} numbers of "
            f"{kind.itemsize} bytes, which makes {begin + wanted}"
        )
    try:
        array = np.frombuffer(content, kind).reshape(shape)
    except ValueError as error:  # a length of 0 beside others whose product is too large
        raise InputError(f"{name}: {' x '.join(map(str, shape))} numbers: {error}") from error
    return array.astype(kind.newbyteorder("="))


def read_images(path: PathLike) -> npt.NDArray[np.float32]:
    """The images (n, height, width) of an IDX file of bytes, from 0 (paper) to 1 (ink)."""
    images = read_idx(path)
    if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
        raise InputError(
            f"{display_name(path)}: holds {images.dtype} of shape {images.shape}; images are bytes "
            "of three axes, none of them 0: number, height and width"
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
    """Return the file of a folder that has this name, with an ending or without."""
    path = Path(folder)
    if not os.path.isdir(path):
        raise InputError(f"{path}: a folder is expected, with the files of MNIST in it")
    found = sorted(
        e.path for e in visible_entries(path) if e.name.startswith(name) and os.path.isfile(e)
    )
    if not found:
        kind = "idx3" if name.endswith("images") else "idx1"
        raise InputError(
            f"{path}: there is no {name}-{kind}-ubyte in it, nor {name}-{kind}-ubyte.gz"
        )
    return Path(found[0])


def random_shift(
    rng: np.random.Generator, images: npt.NDArray[np.float32], most: int = 1
) -> npt.NDArray[np.float32]:
    """Images (n, height, width), each moved at random by 0 to `most` pixels up or down, and left or
    right; what comes in from beyond the edge is 0."""
    padded = np.pad(images, ((0, 0), (most, most), (most, most)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:], (1, 2))
    places = rng.integers(2 * most + 1, size=(len(images), 2))
    return windows[np.arange(len(images)), *places.T]  # type: ignore[no-any-return]
