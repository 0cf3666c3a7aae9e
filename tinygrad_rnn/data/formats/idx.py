"""Images and labels in IDX files, the format of MNIST (LeCun, Cortes & Burges)."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autograd.runtime.deprecation import renamed_parameters

from ...errors import InputError
from ..files import PathLike, display_name, open_file, visible_entries
from ..vocabulary import Ids

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_AXES = 32
"""The limit of NumPy 1."""


def read_idx(path: PathLike) -> npt.NDArray[Any]:
    """Read the array of an IDX file.

    Parameters
    ----------
    path : path
        The file, which may be compressed by gzip.

    Returns
    -------
    ndarray
        The array, in native byte order.

    Raises
    ------
    InputError
        If the file is not valid IDX.

    Notes
    -----
    The format consists of two zero bytes, a byte for the dtype, a byte for the number of axes, the
    length of each axis in 32 bits, and the numbers, all big-endian. The header is checked before
    the numbers are read.
    """
    name = display_name(path)
    with open_file(path, "an IDX file") as source:
        head = source.read(4)
        if not head:
            raise InputError(f"{name}: the file is empty; expected an IDX file")
        if head[:2] != b"\0\0" or len(head) < 4 or head[2] not in DTYPES:
            raise InputError(
                f"{name}: is not an IDX file: expected 00 00, a type "
                f"({', '.join(f'{code:02x}' for code in DTYPES)}) and the number of axes, got "
                f"{head.hex(' ')}"
            )
        dtype, axes = np.dtype(DTYPES[head[2]]), head[3]
        if axes > MAX_AXES:
            raise InputError(f"{name}: expected at most {MAX_AXES} axes, got {axes} axes")
        sizes = source.read(4 * axes)
        header_size = 4 + 4 * axes
        if 4 + len(sizes) < header_size:
            raise InputError(
                f"{name}: ends after {4 + len(sizes)} bytes, within its header of {header_size}"
            )
        shape = np.frombuffer(sizes, ">u4").tolist()
        data_size = prod(shape) * dtype.itemsize
        content = source.read(data_size + 1)
    if len(content) != data_size:
        actual_size = f"{'at least ' * (len(content) > data_size)}{header_size + len(content)}"
        raise InputError(
            f"{name}: expected {header_size + data_size} bytes for {' x '.join(map(str, shape))} "
            f"numbers of {dtype.itemsize} bytes, found {actual_size}"
        )
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # one length is 0 and the product of the others is too large
        raise InputError(f"{name}: {' x '.join(map(str, shape))} numbers: {error}") from error
    return array.astype(dtype.newbyteorder("="))


def read_images(path: PathLike) -> npt.NDArray[np.float32]:
    """Read the images of an IDX file of bytes.

    Parameters
    ----------
    path : path
        The file, which may be compressed by gzip.

    Returns
    -------
    ndarray of float32, shape (n, height, width)
        The images, from 0 (background) to 1 (ink).

    Raises
    ------
    InputError
        If the file does not contain images.
    """
    images = read_idx(path)
    if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
        raise InputError(
            f"{display_name(path)}: expected images, bytes of three axes (number, height, width) "
            f"without empty axes, got {images.dtype} of shape {images.shape}"
        )
    ink: npt.NDArray[np.float32] = np.divide(images, 255, dtype=np.float32)
    return ink


def read_mnist(folder: PathLike, part: str = "train") -> tuple[npt.NDArray[np.float32], Ids]:
    """Read the images and labels of MNIST from a folder.

    Parameters
    ----------
    folder : path
        The folder with the files train-images-idx3-ubyte and train-labels-idx1-ubyte, or with the
        suffix .gz.
    part : {"train", "t10k"}, default "train"
        The training or the test data.

    Returns
    -------
    images : ndarray of float32, shape (n, height, width)
        The images, from 0 (background) to 1 (ink).
    labels : ndarray of int64, shape (n,)
        The labels.

    Raises
    ------
    InputError
        If a file is missing or invalid, or if the numbers of images and labels differ.
    """
    images_path, labels_path = _find(folder, f"{part}-images"), _find(folder, f"{part}-labels")
    images, labels = read_images(images_path), read_idx(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"{labels_path}: expected labels, integers of one axis, got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    if len(images) != len(labels):
        raise InputError(
            f"expected one label per image, but {images_path} has {len(images)} images and "
            f"{labels_path} has {len(labels)} labels"
        )
    return images, labels.astype(np.int64)


def _find(folder: PathLike, name: str) -> Path:
    """Return the first file of a folder whose name begins with `name`."""
    path = Path(folder)
    if not os.path.isdir(path):
        raise InputError(f"{path}: expected a folder with the files of MNIST")
    matches = sorted(
        e.path for e in visible_entries(path) if e.name.startswith(name) and os.path.isfile(e)
    )
    if not matches:
        kind = "idx3" if name.endswith("images") else "idx1"
        raise InputError(f"{path}: expected {name}-{kind}-ubyte or {name}-{kind}-ubyte.gz in it")
    return Path(matches[0])


@renamed_parameters(most="max_shift")
def random_shift(
    rng: np.random.Generator, images: npt.NDArray[np.float32], max_shift: int = 1
) -> npt.NDArray[np.float32]:
    """Shift each image by a random number of pixels, for data augmentation.

    Parameters
    ----------
    rng : numpy.random.Generator
        The random number generator.
    images : ndarray of float32, shape (n, height, width)
        The images.
    max_shift : int, default 1
        Maximum shift up, down, left and right, in pixels.

    Returns
    -------
    ndarray of float32, shape (n, height, width)
        The shifted images; pixels from beyond the edge are 0.
    """
    padded = np.pad(images, ((0, 0), (max_shift, max_shift), (max_shift, max_shift)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:], (1, 2))
    offsets = rng.integers(2 * max_shift + 1, size=(len(images), 2))
    return windows[np.arange(len(images)), *offsets.T]  # type: ignore[no-any-return]
