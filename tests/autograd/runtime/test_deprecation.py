"""Old names keep working and warn."""

import importlib
import math

import pytest

import autograd as ag
from autograd.runtime.deprecation import (
    RenamedAttribute,
    moved_names,
    renamed_class_attributes,
    renamed_parameters,
)

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


def test_a_renamed_class_attribute_is_read_and_overridden_under_its_old_name() -> None:
    class Point:
        scale = 1
        unit = RenamedAttribute("scale")
        __init_subclass__ = renamed_class_attributes(unit="scale")

    with pytest.warns(DeprecationWarning, match="Point.unit is deprecated; use scale"):
        assert (Point.unit, Point().unit) == (1, 1)
    with pytest.warns(DeprecationWarning, match="Large.unit is deprecated; use scale") as caught:

        class Large(Point):
            unit = 7

    assert caught[0].filename == __file__
    assert (Large.scale, Large().scale, Point.scale) == (7, 7, 1)


def test_pickles_find_the_old_module_of_tensors() -> None:
    old = importlib.import_module("autograd._tensor")
    with pytest.warns(DeprecationWarning, match=r"_tensor.Tensor is deprecated"):
        assert old.Tensor is ag.Tensor
    with pytest.warns(DeprecationWarning, match="_leaf is deprecated"):
        leaf = old._leaf(ag.Tensor, ag.tensor([1.0]).numpy(), True)
    assert leaf.requires_grad
    assert leaf.tolist() == [1.0]
