"""Comparisons, logical and bitwise operations, and tests for special values.

Their results have no gradient. The rules of all other operations use them, so this is the lowest
module of operations.
"""

from __future__ import annotations

from .declaration import elementwise

__all__ = [
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "signbit",
]

isnan = elementwise("isnan", None, summary="True where the input is nan.")
isinf = elementwise("isinf", None, summary="True where the input is infinite.")
isfinite = elementwise(
    "isfinite", None, summary="True where the input is neither infinite nor nan."
)
isposinf = elementwise("isposinf", None, summary="True where the input is positive infinity.")
isneginf = elementwise("isneginf", None, summary="True where the input is negative infinity.")
signbit = elementwise("signbit", None, summary="True where the sign bit is set, also for -0.0.")

equal = elementwise("equal", None, None, summary="True where a == b.")
not_equal = elementwise("not_equal", None, None, summary="True where a != b.")
less = elementwise("less", None, None, summary="True where a < b.")
less_equal = elementwise("less_equal", None, None, summary="True where a <= b.")
greater = elementwise("greater", None, None, summary="True where a > b.")
greater_equal = elementwise("greater_equal", None, None, summary="True where a >= b.")

logical_not = elementwise("logical_not", None, summary="True where the input is zero or False.")
logical_and = elementwise("logical_and", None, None, summary="True where both inputs are nonzero.")
logical_or = elementwise("logical_or", None, None, summary="True where an input is nonzero.")
logical_xor = elementwise(
    "logical_xor", None, None, summary="True where exactly one input is nonzero."
)

invert = elementwise("invert", None, summary="Bitwise complement of integers; `not` of booleans.")
bitwise_and = elementwise("bitwise_and", None, None, summary="Bitwise AND of integers or booleans.")
bitwise_or = elementwise("bitwise_or", None, None, summary="Bitwise OR of integers or booleans.")
bitwise_xor = elementwise("bitwise_xor", None, None, summary="Bitwise XOR of integers or booleans.")
