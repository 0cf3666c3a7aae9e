"""Validation of untrusted input."""

import json

import pytest

from tinygrad_rnn.errors import InputError, check_file_name, parse_json

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    "content",
    [
        "[" * 50 + "]" * 50,
        b'{"a": [1, {"b": null}], "c": "\\ud800", "d": NaN}',
        '"text"',
        "[[], {}, [[1], [2, [3]]]]",
    ],
)
def test_json_of_moderate_depth(content: str | bytes) -> None:
    assert parse_json(content, "a.json") == json.loads(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 200 + "]" * 200, "nests more than 100 levels"),
        ('{"a":' * 900 + "1" + "}" * 900, "nests more than 100 levels"),
        ("[" * 100_000, "a.json is damaged"),
        ('[{"a":' * 100_000 + "1" + "}]" * 100_000, "nests more than 100 levels"),
        (b"\xff\xfe", "a.json is damaged"),
        ("", "a.json is damaged"),
        ("1" * 5000, "a.json is damaged"),
    ],
)
def test_malformed_or_deep_json_raises(content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        assert parse_json(content, "a.json") == json.loads(content)


@pytest.mark.parametrize("name", ["a.png", "reads ü.html", ".hidden", "a..b", "-x"])
def test_plain_file_names(name: str) -> None:
    assert check_file_name(name, "results.json") == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "/etc/passwd", "../a", "a\\b", "C:a", "a\0b", "a\nb", "\ud800"),
        *(None, 3, ["a"], {}),
    ],
)
def test_names_that_could_leave_the_folder_raise(name: object) -> None:
    with pytest.raises(InputError, match=r"results\.json: .* is not a plain file name"):
        check_file_name(name, "results.json")
