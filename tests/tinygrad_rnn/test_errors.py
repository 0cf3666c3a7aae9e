"""Checks of untrusted input, which every loader shares."""

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
def test_json_of_moderate_depth_is_read(content: str | bytes) -> None:
    assert parse_json(content, "a.json") == json.loads(content)


@pytest.mark.parametrize(
    ("content", "says"),
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
def test_json_that_is_malformed_or_too_deep_is_an_input_error(
    content: str | bytes, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        assert parse_json(content, "a.json") == json.loads(content)


@pytest.mark.parametrize("name", ["a.png", "reads ü.html", ".hidden", "a..b", "-x"])
def test_a_plain_file_name_is_allowed(name: str) -> None:
    assert check_file_name(name, "results.json") == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "/etc/passwd", "../a", "a\\b", "C:a", "a\0b", "a\nb", "\ud800"),
        *(None, 3, ["a"], {}),
    ],
)
def test_a_name_that_could_leave_its_folder_is_an_input_error(name: object) -> None:
    with pytest.raises(InputError, match=r"results\.json: .* is not a plain file name"):
        check_file_name(name, "results.json")
