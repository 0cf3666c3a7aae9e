"""Comparisons, logical and bitwise operations, and tests for special values: without gradients."""

from __future__ import annotations

from ..core.primitive import elementwise

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

isnan = elementwise("isnan", None)
isinf = elementwise("isinf", None)
isfinite = elementwise("isfinite", None)
isposinf = elementwise("isposinf", None)
isneginf = elementwise("isneginf", None)
signbit = elementwise("signbit", None)
logical_not = elementwise("logical_not", None)
invert = elementwise("invert", None)
equal = elementwise("equal", None, None)
not_equal = elementwise("not_equal", None, None)
less = elementwise("less", None, None)
less_equal = elementwise("less_equal", None, None)
greater = elementwise("greater", None, None)
greater_equal = elementwise("greater_equal", None, None)
logical_and = elementwise("logical_and", None, None)
logical_or = elementwise("logical_or", None, None)
logical_xor = elementwise("logical_xor", None, None)
bitwise_and = elementwise("bitwise_and", None, None)
bitwise_or = elementwise("bitwise_or", None, None)
bitwise_xor = elementwise("bitwise_xor", None, None)
