"""Safetensors files: checksums, and one-line InputErrors for damaged files."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from safetensors.numpy import save as serialize

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.training import load, load_tree, save, save_tree, serialization
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
    """Return the contents of a file as text, for comparison."""
    arrays, metadata = read_arrays(path)
    tree = load_tree(path) if "structure" in metadata else None
    return {k: (v.dtype.str, v.shape, v.tobytes()) for k, v in arrays.items()}, repr(tree)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0x04])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_changed_byte_is_an_input_error_or_has_no_effect(
    tmp_path: Path, write: Any, flip: int
) -> None:
    """A changed blank between two parts of the header has no effect."""
    path = tmp_path / "file.safetensors"
    write(path)
    content, expected = path.read_bytes(), read(path)
    size = struct.unpack("<Q", content[:8])[0]
    harmless, messages = 0, []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        try:
            actual = read(path)
        except InputError as error:
            messages.append(str(error))
            continue
        assert actual == expected, place
        assert place < 8 + size, "a changed byte of data was not noticed"
        harmless += 1
    assert harmless <= len('"checksum"') + 8
    assert all("file.safetensors" in message and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("dtype", "size"), [("BF16", 8), ("F8_E4M3", 4), ("F8_E5M2", 4), ("F8_E8M0", 4), ("F4", 2)]
)
def test_an_unsupported_dtype_is_an_input_error(tmp_path: Path, dtype: str, size: int) -> None:
    header = json.dumps({"w": {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}})
    content = struct.pack("<Q", len(header)) + header.encode() + bytes(size)
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(InputError, match=f"w has the dtype {dtype}, which NumPy does not support"):
        read_arrays(tmp_path / "model")


@pytest.mark.parametrize("cut", [1, 4, 9, 20, 200])
def test_a_truncated_or_extended_file_is_an_input_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "file.safetensors"
    save_tree(path, TREE)
    content = path.read_bytes()
    for changed in (content[:-cut], content[cut:], content + bytes(cut)):
        path.write_bytes(changed)
        with pytest.raises(InputError, match="is damaged or not a safetensors file"):
            load_tree(path)


@pytest.mark.parametrize("value", [0, 255, 128])
def test_a_damaged_file_leaves_the_module_unchanged(tmp_path: Path, value: int) -> None:
    path = tmp_path / "model.safetensors"
    save(path, nn.Linear(2, 2))
    content = bytearray(path.read_bytes())
    content[-3] = value if content[-3] != value else 1
    path.write_bytes(content)
    module = nn.Linear(2, 2)
    weights = module.state_dict()
    with pytest.raises(InputError, match=r"model\.safetensors is damaged: .* checksum"):
        load(path, module)
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "int64", "bool"])
def test_files_without_a_checksum_are_accepted(tmp_path: Path, dtype: str) -> None:
    """Other programs and earlier versions write no checksum."""
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
    ("structure", "message"),
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
def test_an_unexpected_structure_is_read_or_an_input_error(
    tmp_path: Path, structure: str | None, message: str
) -> None:
    path = tmp_path / "tree.safetensors"
    metadata = {"other": "x"} if structure is None else {"structure": structure}
    path.write_bytes(serialize({"x": np.ones(2)}, metadata))
    with pytest.raises(InputError, match=message) as caught:
        load_tree(path)
    assert "tree.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [1, 50, 98])
def test_deep_trees_that_can_be_saved_can_be_loaded(tmp_path: Path, depth: int) -> None:
    tree: Any = np.arange(3)
    for _ in range(depth):
        tree = [tree]
    save_tree(tmp_path / "deep", tree)
    actual = load_tree(tmp_path / "deep")
    for _ in range(depth):
        (actual,) = actual
    assert actual.tolist() == [0, 1, 2]


@pytest.mark.parametrize("depth", [100, 200, 900])
def test_a_tree_too_deep_to_load_is_not_saved(tmp_path: Path, depth: int) -> None:
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
def test_numpy_scalars_are_saved_as_numbers(tmp_path: Path, value: Any, expected: Any) -> None:
    save_tree(tmp_path / "tree", {"x": [value], "t": ag.tensor([1.0, 2.0])})
    actual = load_tree(tmp_path / "tree")
    assert actual["x"] == [expected]
    assert type(actual["x"][0]) is type(expected)
    assert actual["t"].tolist() == [1, 2]


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
def test_arrays_whose_keys_join_to_the_same_name_are_distinct(tmp_path: Path, tree: Any) -> None:
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
def test_dicts_with_ambiguous_keys_are_not_saved(tmp_path: Path, tree: Any) -> None:
    with pytest.raises(ValueError, match="keys of a dict are saved as strings, which must differ"):
        save_tree(tmp_path / "tree", tree)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("dtype", ["complex64", "O", "S3", "longdouble", "M8[D]", "i4,f4"])
def test_an_array_of_an_unsupported_dtype_is_named(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match=r"x\.0: safetensors does not support the dtype"):
        save_tree(tmp_path / "tree", {"x": [np.zeros(2, dtype)]})
    assert not (tmp_path / "tree").exists()


values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text()
    | arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=0, min_side=0, max_side=3),
    )
)
trees = st.recursive(
    values,
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab."), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trees")


@given(tree=trees)
def test_a_loaded_tree_equals_the_saved_tree(folder: Path, tree: Any) -> None:
    save_tree(folder / "tree", tree)
    assert_same_tree(load_tree(folder / "tree"), tree)


def assert_same_tree(actual: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        assert actual.tobytes() == expected.tobytes()
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for items in zip(actual, expected, strict=True):
            assert_same_tree(*items)
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_same_tree(actual[key], expected[key])
    else:
        assert actual == expected
        assert type(actual) is type(expected)


def test_arrays_that_are_not_contiguous_are_saved(folder: Path) -> None:
    array = np.arange(12.0).reshape(3, 4).T[::-1]
    save_tree(folder / "strided", [array])
    np.testing.assert_array_equal(load_tree(folder / "strided")[0], array)


def test_save_and_load_a_module(tmp_path: Path) -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save(tmp_path / "linear", one)
    load(tmp_path / "linear", other)
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
    with pytest.raises(InputError, match="belongs to another model"):
        load(tmp_path / "linear", nn.Linear(3, 4))


def test_files_are_exchanged_with_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    reference = torch.nn.LSTM(3, 4, 2, bidirectional=True)
    layer = nn.LSTM(3, 4, 2, bidirectional=True)
    safetensors.save_file(reference.state_dict(), tmp_path / "torch")
    load(tmp_path / "torch", layer)
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    expected = reference(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(layer(x)[0].numpy(), expected, rtol=0, atol=1e-6)
    save(tmp_path / "saved", layer)
    reference.load_state_dict(safetensors.load_file(tmp_path / "saved"))


def test_bfloat16_is_an_error_that_names_the_array(tmp_path: Path) -> None:
    """PyTorch saves models in bfloat16, which NumPy does not support."""
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}})
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(12)
    (tmp_path / "half").write_bytes(content)
    with pytest.raises(InputError, match=r"half: weight has the dtype BF16, .*model.float\(\)"):
        load(tmp_path / "half", nn.Linear(3, 2, bias=False))


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x80\x04K\x01.", bytes(99)])
def test_files_of_other_formats_are_an_input_error(tmp_path: Path, content: bytes) -> None:
    """One of them is a pickle, which is not executed."""
    (tmp_path / "file").write_bytes(content)
    module = nn.Linear(1, 1)
    weights = module.state_dict()
    with pytest.raises(InputError, match="is damaged or not a safetensors file"):
        load(tmp_path / "file", module)
    with pytest.raises(InputError, match="none is missing"):
        load(tmp_path / "none", module)
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])


def test_a_permission_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of safetensors does not contain the name."""

    def raise_permission_error(*arguments: Any, **settings: Any) -> None:
        raise PermissionError("Permission denied (os error 13)")

    path = tmp_path / "model.safetensors"
    path.touch()
    monkeypatch.setattr(serialization, "safe_open", raise_permission_error)
    with pytest.raises(InputError, match=r"model\.safetensors: Permission denied"):
        read_arrays(path)
