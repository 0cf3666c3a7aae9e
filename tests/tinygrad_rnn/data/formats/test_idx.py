"""IDX files, MNIST and random shifts."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import assert_damage_is_handled, assert_input_error, idx_bytes

from tinygrad_rnn import data
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # files are processed on the host


@pytest.mark.parametrize(
    ("code", "kind"),
    [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")],
)
def test_idx_of_all_types(tmp_path: Path, code: int, kind: str) -> None:
    array = np.arange(-12, 12).reshape(2, 3, 4).astype(kind)
    path = tmp_path / "a"
    for content in (idx_bytes(array, code), gzip.compress(idx_bytes(array, code))):
        path.write_bytes(content)
        read = data.read_idx(path)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(("place", "value"), [(10, 0xFF), (10, 0x07), (11, 0xFF), (-5, 0x55)])
def test_damaged_gzip_data_raise_an_input_error(tmp_path: Path, place: int, value: int) -> None:
    """Either zlib or gzip detects the damage."""
    path = tmp_path / "images.gz"
    content = bytearray(gzip.compress(idx_bytes(np.arange(200, dtype="u1").reshape(10, 20), 8)))
    content[place] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"images\.gz: damaged gzip data: ") as caught:
        data.read_idx(path)
    assert "\n" not in str(caught.value)


def mnist(folder: Path, images: Any, labels: Any) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images, 8)))
    (folder / "train-labels.idx1-ubyte").write_bytes(idx_bytes(labels, 8))


def test_mnist_of_digits(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    mnist(tmp_path, (digits.images * 15).astype(np.uint8), digits.target.astype(np.uint8))
    images, labels = data.read_mnist(tmp_path)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, digits.images * 15 / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, digits.target)
    with pytest.raises(InputError, match="expected t10k-images-idx3-ubyte or"):
        data.read_mnist(tmp_path, "t10k")


def test_damaged_idx(tmp_path: Path) -> None:
    images, labels = np.zeros((3, 2, 2), np.uint8), np.zeros(3, np.uint8)
    intact = idx_bytes(images, 8)
    path = tmp_path / "b"
    for damaged, parts in {
        b"\x89PNG\r\n": ["got 89 50 4e 47"],
        b"\0\0\7\1": ["got 00 00 07 01"],
        intact[:9]: ["ends after 9 bytes, within its header of 16"],
        intact[:-1]: ["expected 28 bytes for 3 x 2 x 2 numbers of 1 bytes, found 27"],
        intact + b"\0": ["found at least 29"],
        gzip.compress(intact)[:-9]: ["gzip"],
        b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\7": ["255 axes"],
        idx_bytes(labels, 8): [],
    }.items():
        path.write_bytes(damaged)
        assert_input_error(data.read_images, path, *parts)
    path.write_bytes(intact)
    assert_damage_is_handled(data.read_images, path, tmp_path)
    assert_input_error(data.read_mnist, path, "expected a folder")
    mnist(tmp_path, images, labels[:2])
    assert_input_error(data.read_mnist, tmp_path, "has 3 images", "has 2 labels")
    mnist(tmp_path, images, images)
    assert_input_error(data.read_mnist, tmp_path, "one axis")


@pytest.mark.parametrize("axes", [1, 31, 32, 33, 64, 255])
def test_an_idx_file_has_at_most_32_axes(tmp_path: Path, axes: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes([0, 0, 8, axes]) + (1).to_bytes(4, "big") * axes + b"\x07")
    if axes <= 32:
        assert data.read_idx(path).shape == (1,) * axes
    else:
        with pytest.raises(InputError, match=f"{axes} axes"):
            data.read_idx(path)


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 0, 2), (2, 2, 0)])
def test_images_without_pixels_raise(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a"
    path.write_bytes(idx_bytes(np.zeros(shape, "u1"), 8))
    with pytest.raises(InputError, match="without empty axes"):
        data.read_images(path)


@pytest.mark.parametrize("max_shift", [1, 2, 3])
def test_images_are_shifted_by_all_distances_up_to_the_maximum(max_shift: int) -> None:
    images = np.zeros((1000, 9, 9), np.float32)
    images[:, 4, 4] = 1
    shifted = data.random_shift(np.random.default_rng(0), images, max_shift)
    _, down, right = np.nonzero(shifted)
    distances = set(range(-max_shift, max_shift + 1))
    assert set((down - 4).tolist()) == set((right - 4).tolist()) == distances
    assert len({*zip(down.tolist(), right.tolist(), strict=True)}) == len(distances) ** 2
