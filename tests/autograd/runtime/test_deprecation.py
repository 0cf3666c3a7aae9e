"""Old names keep working and warn."""

import math

import pytest

from autograd.runtime.deprecation import RenamedAttribute, moved_names, renamed_parameters

pytestmark = pytest.mark.host


def test_a_moved_name_warns_and_returns_the_object() -> None:
    resolve = moved_names("package", {"root": "math.sqrt"})
    with pytest.warns(DeprecationWarning, match="package.root is deprecated; use math.sqrt"):
        assert resolve("root") is math.sqrt
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'other'"):
        resolve("other")


def test_a_renamed_parameter_warns_and_is_passed_on() -> None:
    @renamed_parameters(of="value")
    def double(value: float) -> float:
        return 2 * value

    with pytest.warns(DeprecationWarning, match=r"double\(of=...\) is deprecated; use value="):
        assert double(of=3) == 6  # type: ignore[call-arg]
    assert double(value=3) == 6


def test_a_renamed_attribute_warns_and_returns_the_value() -> None:
    class Point:
        place = 3
        at = RenamedAttribute("place")

    with pytest.warns(DeprecationWarning, match=r"Point.at is deprecated; use place"):
        assert Point().at == 3
