"""Files of training: checksums, and one line of `InputError` for everything that can be wrong."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as serialize

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.training import load, load_tree, save, save_tree
from tinygrad_rnn.training.serialization import read_arrays

pytestmark = pytest.mark.host

TREE = {"a": np.array([1.5, -2, 3], "float32"), "b": [np.array(7), {"c": "text", "d": 0.25}]}


def write_module(path: Path) -> None:
    module = nn.Linear(2, 3)
    for name, array in module.state_dict().items():
        getattr(module, name).data[...] = np.arange(array.size).reshape(array.shape)
    save(path, module)


def write_half_precision(path: Path) -> None:
    module = nn.Linear(3, 2)
    module.weight = nn.Parameter(np.ones((2, 3), "float16"))
    save(path, module)


WRITERS = {
    "tree": lambda path: save_tree(path, TREE),
    "module": write_module,
    "half precision": write_half_precision,
    "empty arrays": lambda path: save_tree(path, {"none": np.zeros((0, 3)), "one": True}),
}


def read(path: Path) -> Any:
    """Everything that a reader sees, as text."""
    arrays, metadata = read_arrays(path)
    tree = load_tree(path) if "structure" in metadata else None
    return {k: (v.dtype.str, v.shape, v.tobytes()) for k, v in arrays.items()}, repr(tree)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0x04])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_changed_byte_anywhere_is_an_input_error(tmp_path: Path, write: Any, flip: int) -> None:
    """Or makes no difference, as a blank between two parts of the header."""
    path = tmp_path / "file.safetensors"
    write(path)
    content, expected = path.read_bytes(), read(path)
    size = struct.unpack("<Q", content[:8])[0]
    harmless, messages = 0, []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        try:
            found = read(path)
        except InputError as error:
            messages.append(str(error))
            continue
        assert found == expected, place
        assert place < 8 + size, "a changed byte of data was not noticed"
        harmless += 1
    assert harmless <= len('"checksum"') + 8
    assert all("file.safetensors" in message and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("dtype", "size"), [("BF16", 8), ("F8_E4M3", 4), ("F8_E5M2", 4), ("F8_E8M0", 4), ("F4", 2)]
)
def test_a_dtype_that_numpy_does_not_have_is_an_input_error(
    tmp_path: Path, dtype: str, size: int
) -> None:
    header = json.dumps({"w": {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}})
    content = struct.pack("<Q", len(header)) + header.encode() + bytes(size)
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(InputError, match=f"w has the dtype {dtype}, which NumPy does not support"):
        read_arrays(tmp_path / "model")


@pytest.mark.parametrize("cut", [1, 4, 9, 20, 200])
def test_a_file_cut_short_or_too_long_is_an_input_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "file.safetensors"
    save_tree(path, TREE)
    content = path.read_bytes()
    for changed in (content[:-cut], content[cut:], content + bytes(cut)):
        path.write_bytes(changed)
        with pytest.raises(InputError, match="is damaged or not a safetensors file"):
            load_tree(path)


@pytest.mark.parametrize("value", [0, 255, 128])
def test_a_changed_byte_of_a_model_leaves_the_module_as_it_was(tmp_path: Path, value: int) -> None:
    path = tmp_path / "model.safetensors"
    save(path, nn.Linear(2, 2))
    content = bytearray(path.read_bytes())
    content[-3] = value if content[-3] != value else 1
    path.write_bytes(content)
    module = nn.Linear(2, 2)
    before = module.state_dict()
    with pytest.raises(InputError, match=r"model\.safetensors is damaged: .* checksum"):
        load(path, module)
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "int64", "bool"])
def test_files_without_a_checksum_are_read(tmp_path: Path, dtype: str) -> None:
    """As other programs and earlier versions write them."""
    array = np.array([1, 0, 1], dtype)
    structure = json.dumps({"x": {"\0array": "x"}, "n": 1})
    (tmp_path / "old").write_bytes(serialize({"x": array}, {"structure": structure}))
    (tmp_path / "foreign").write_bytes(serialize({"x": array}, {"format": "pt"}))
    assert load_tree(tmp_path / "old")["x"].tolist() == array.tolist()
    assert read_arrays(tmp_path / "foreign")[0]["x"].tolist() == array.tolist()
    save_tree(tmp_path / "new", {"x": array})
    assert load_tree(tmp_path / "new")["x"].tolist() == array.tolist()
    with safe_open(tmp_path / "new", "np") as file:
        assert set(file.metadata()) == {"structure", "checksum"}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("structure", "says"),
    [
        (None, "no structure"),
        ("{", "not JSON"),
        (nested(100_000), "nests more than"),
        (nested(101), "nests more than"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nests more than"),
        ('{"\\u0000array": ["x"]}', "no array"),
        ('{"\\u0000array": {"x": 1}}', "no array"),
        ('{"\\u0000array": 1}', "no array"),
        ('{"\\u0000array": null}', "no array"),
        ('{"\\u0000array": "another"}', "no array 'another'"),
        ("1" * 5000, "not JSON"),
    ],
)
def test_a_structure_of_any_form_is_read_or_an_input_error(
    tmp_path: Path, structure: str | None, says: str
) -> None:
    path = tmp_path / "tree.safetensors"
    metadata = {"other": "x"} if structure is None else {"structure": structure}
    path.write_bytes(serialize({"x": np.ones(2)}, metadata))
    with pytest.raises(InputError, match=says) as caught:
        load_tree(path)
    assert "tree.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [1, 50, 98])
def test_what_is_saved_can_be_read_however_deep(tmp_path: Path, depth: int) -> None:
    tree: Any = np.arange(3)
    for _ in range(depth):
        tree = [tree]
    save_tree(tmp_path / "deep", tree)
    found = load_tree(tmp_path / "deep")
    for _ in range(depth):
        (found,) = found
    assert found.tolist() == [0, 1, 2]


@pytest.mark.parametrize("depth", [100, 200, 900])
def test_a_tree_too_deep_to_be_read_is_not_saved(tmp_path: Path, depth: int) -> None:
    tree: Any = 1
    for _ in range(depth):
        tree = {"a": tree}
    with pytest.raises(ValueError, match="the tree must not nest more than"):
        save_tree(tmp_path / "deep", tree)
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.1), float(np.float32(0.1))),
        (np.int64(2**62), 2**62),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.float64(np.inf), np.inf),
    ],
)
def test_scalars_of_numpy_are_saved_as_numbers(tmp_path: Path, value: Any, expected: Any) -> None:
    save_tree(tmp_path / "tree", {"x": [value], "t": ag.tensor([1.0, 2.0])})
    found = load_tree(tmp_path / "tree")
    assert found["x"] == [expected]
    assert type(found["x"][0]) is type(expected)
    assert found["t"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"shape":[2,3]', b'"shape":[3,2]'),
        (b'"dtype":"F32"', b'"dtype":"I32"'),
        (b'"first"', b'"forst"'),
        (b'"checksum":"crc32:', b'"checksum":"sha25:'),
    ],
)
def test_the_checksum_covers_names_dtypes_and_shapes(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            self.first = nn.Parameter(np.ones((2, 3), "float32"))

    path = tmp_path / "model.safetensors"
    save(path, Named())
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InputError, match=r"model\.safetensors is damaged: .* checksum"):
        read_arrays(path)


@pytest.mark.parametrize(
    "tree",
    [
        {"a.b": np.array([1]), "a": {"b": np.array([2])}},
        {"a": [np.array([1])], "a.0": np.array([2]), "a.0'": np.array([3])},
        {"": {"": np.array([1])}, ".": np.array([2])},
        {"__metadata__": np.array([1]), "__metadata__'": np.array([2])},
    ],
)
def test_arrays_whose_keys_join_to_the_same_name_stay_apart(tmp_path: Path, tree: Any) -> None:
    save_tree(tmp_path / "tree", tree)
    assert repr(load_tree(tmp_path / "tree")) == repr(tree)


@pytest.mark.parametrize(
    "tree",
    [
        {1: 1, "1": 2},
        [{"a": {None: np.ones(1), "None": 2}}],
        {True: 0, "False": 1, "True": 2},
        {"\0array": 1},
        {"a": {"\0array": "a", "b": np.ones(1)}},
    ],
)
def test_keys_that_could_not_be_told_apart_are_not_saved(tmp_path: Path, tree: Any) -> None:
    with pytest.raises(ValueError, match="keys of a dict are saved as strings, which must differ"):
        save_tree(tmp_path / "tree", tree)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("dtype", ["complex64", "O", "S3", "longdouble", "M8[D]", "i4,f4"])
def test_arrays_that_safetensors_does_not_have_are_named(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match=r"x\.0: safetensors does not support the dtype"):
        save_tree(tmp_path / "tree", {"x": [np.zeros(2, dtype)]})
    assert not (tmp_path / "tree").exists()
