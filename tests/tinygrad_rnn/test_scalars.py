"""Conversion and validation of scalar options."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import autograd as ag
from tinygrad_rnn.scalars import (
    check_count,
    check_non_negative,
    check_probability,
    to_python,
    warn_changed_options,
)

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.array(3), 3),
        (ag.tensor(2.5), 2.5),
        (Fraction(1, 4), 0.25),
        ((np.int64(1), [np.bool_(True)]), (1, [True])),
        (np.arange(2), [0, 1]),
        ("text", "text"),
        (None, None),
    ],
)
def test_options_become_python_numbers(value: Any, expected: Any) -> None:
    converted = to_python(value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (lambda v: check_count("n", v), 0, "n must be a positive integer, got 0"),
        (lambda v: check_count("n", v, 0), -1, "n must be a non-negative integer, got -1"),
        (lambda v: check_count("n", v, 2), 1, "n must be an integer of at least 2, got 1"),
        (lambda v: check_count("n", v), 1.5, "n must be a positive integer, got 1.5"),
        (lambda v: check_non_negative("x", v), -1, "x must be a finite number >= 0, got -1"),
        (lambda v: check_non_negative("x", v), math.inf, "x must be a finite number >= 0, got inf"),
        (lambda v: check_probability("p", v), 1.5, "p probability has to be between 0 and 1"),
        (lambda v: check_probability("p", v), "1", "p probability has to be between 0 and 1"),
    ],
)
def test_invalid_options_raise(check: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(value)


def test_changed_options_warn() -> None:
    with pytest.warns(UserWarning, match=r"saved with lr=0.1, but now has lr=0.2, .* pass lr=0.1"):
        warn_changed_options("the schedule", {"lr": 0.1}, {"lr": 0.2})
