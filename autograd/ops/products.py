"""Sums of products: einsum, and what is written with it."""

from __future__ import annotations

import string
from typing import Any

from .._primitive import primitive
from .creation import zeros_beside
from .indexing import getitem
from .movement import diagonal
from .reduction import sum
from .shape import axes_of, broadcast_to, concatenate, expand_dims, moveaxis, ravel, reshape

__all__ = [
    "convolve",
    "cross",
    "dot",
    "einsum",
    "inner",
    "kron",
    "outer",
    "tensordot",
    "vdot",
]


def _einsum_back(g: Any, operands: Any, operands_shape: Any, inputs: Any, output: str) -> list[Any]:
    """The gradient of each operand: contract `g` with the others, for the labels that they have;
    along a label that only this operand has, its gradient is constant.
    """
    found = []
    for i, labels in enumerate(inputs):
        others = inputs[:i] + inputs[i + 1 :]
        shared = "".join(c for c in labels if c in output or any(c in other for other in others))
        part = _einsum(
            g,
            *operands[:i],
            *operands[i + 1 :],
            inputs=(output, *others),
            output=shared,
        )
        shape = operands_shape[i]
        kept = tuple(n if c in shared else 1 for c, n in zip(labels, shape, strict=True))
        found.append(broadcast_to(reshape(part, kept), shape))
    return found


@primitive(_einsum_back)
def _einsum(xp: Any, *operands: Any, inputs: tuple[str, ...], output: str) -> Any:
    dtype = xp.result_type(*operands)
    if dtype == "float16":
        operands = tuple([x.astype("float32") for x in operands])
    y = xp.einsum(f"{','.join(inputs)}->{output}", *operands, optimize=True)
    return y.astype(dtype) if dtype == "float16" else y


def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein's sums, as NumPy writes them: `einsum("ij,jk->ik", a, b)`; ellipsis and repeated
    labels included.
    """
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ValueError(
            f"einsum: {subscripts!r} speaks of {len(inputs)} operands, {len(operands)} are given"
        )
    spare = [c for c in string.ascii_letters if c not in subscripts]
    most = max(x.ndim - len(s.replace("...", "")) for s, x in zip(inputs, operands, strict=True))
    dots = "".join(spare[:most])
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        output = ("..." if "..." in left else "") + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1)
        )
    expanded, parts = [], []
    for labels, x in zip(inputs, operands, strict=True):
        count = x.ndim - len(labels.replace("...", ""))
        labels = labels.replace("...", dots[len(dots) - count :] if count else "")
        if len(labels) != x.ndim:
            raise ValueError(f"einsum: {subscripts!r} does not fit an operand of shape {x.shape}")
        one, labels = _without_repeats(x, labels)
        expanded.append(labels)
        parts.append(one)
    output = output.replace("...", dots)
    parts, expanded = _without_ones(parts, expanded, output)
    return _einsum(*parts, inputs=tuple(expanded), output=output)


def _without_repeats(x: Any, labels: str) -> tuple[Any, str]:
    """Repeated labels replaced by the diagonal that they mean."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            x = diagonal(x, 0, i, j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + c
    return x, labels


def _without_ones(parts: list[Any], inputs: list[str], output: str) -> tuple[list[Any], list[str]]:
    """Axes of length 1 that broadcast against longer ones of the same label are dropped."""
    longest: dict[str, int] = {}
    for x, labels in zip(parts, inputs, strict=True):
        for c, n in zip(labels, x.shape, strict=True):
            longest[c] = longest.get(c, 1) if n == 1 else n
    kept_parts, kept_inputs = [], []
    for x, labels in zip(parts, inputs, strict=True):
        drop = [a for a, c in enumerate(labels) if x.shape[a] == 1 and longest[c] != 1]
        shape = tuple(n for a, n in enumerate(x.shape) if a not in drop)
        kept_parts.append(reshape(x, shape) if drop else x)
        kept_inputs.append("".join(c for a, c in enumerate(labels) if a not in drop))
    return kept_parts, kept_inputs


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum of products over axes of both: the last of `a` with the first of `b` for an integer,
    or two lists of axes.
    """
    if isinstance(axes, int):
        axes = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    left, right = (
        axes_of(one if isinstance(one, int) else tuple(one), x.ndim)
        for one, x in zip(axes, (a, b), strict=True)
    )
    letters = iter(string.ascii_letters)
    of_a = [next(letters) for _ in range(a.ndim)]
    of_b = [next(letters) for _ in range(b.ndim)]
    for i, j in zip(left, right, strict=True):
        of_b[j] = of_a[i]
    free = [c for i, c in enumerate(of_a) if i not in left]
    free += [c for j, c in enumerate(of_b) if j not in right]
    return _einsum(a, b, inputs=("".join(of_a), "".join(of_b)), output="".join(free))


def dot(a: Any, b: Any) -> Any:
    """NumPy's dot: the product of numbers, of vectors, of matrices; the sum over the last axis of
    `a` and the last but one of `b` for more.
    """
    if not getattr(a, "ndim", 0) or not getattr(b, "ndim", 0):
        return a * b
    return tensordot(a, b, ([-1], [-2 if b.ndim > 1 else -1]))


def inner(a: Any, b: Any) -> Any:
    """The sum of products over the last axis of both."""
    if not getattr(a, "ndim", 0) or not getattr(b, "ndim", 0):
        return a * b
    return tensordot(a, b, ([-1], [-1]))


def vdot(a: Any, b: Any) -> Any:
    """The sum of products of all elements."""
    return sum(ravel(a) * ravel(b))


def outer(a: Any, b: Any) -> Any:
    """All products of an element of `a` and one of `b`: a matrix."""
    return expand_dims(ravel(a), 1) * expand_dims(ravel(b), 0)


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: `b`, scaled by every element of `a`, as blocks."""
    ndim = max(a.ndim, b.ndim)
    a = reshape(a, (1,) * (ndim - a.ndim) + a.shape)
    b = reshape(b, (1,) * (ndim - b.ndim) + b.shape)
    product = expand_dims(a, tuple(range(1, 2 * ndim, 2))) * expand_dims(
        b, tuple(range(0, 2 * ndim, 2))
    )
    return reshape(product, tuple(n * m for n, m in zip(a.shape, b.shape, strict=True)))


def cross(a: Any, b: Any, axis: int = -1) -> Any:
    """The cross product of vectors of length 3 that lie along `axis`."""
    a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"cross: vectors of length 3 are needed, got {a.shape[-1]}, {b.shape[-1]}")
    ahead, behind = (..., [1, 2, 0]), (..., [2, 0, 1])
    return moveaxis(a[ahead] * b[behind] - a[behind] * b[ahead], -1, axis)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The discrete convolution of two vectors, "full", "same" or "valid" as in NumPy.

    Row i of the outer product of `v` and `a`, shifted by i, is added up; nothing is multiplied by
    padding, since 0 times infinity is nan.
    """
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ValueError(f"convolve: two vectors are needed, got shapes {a.shape}, {v.shape}")
    if v.size > a.size:
        a, v = v, a
    N, n = a.size, v.size
    if mode not in ("full", "same", "valid"):
        raise ValueError(f'convolve: mode is "full", "same" or "valid", not {mode!r}')
    products = expand_dims(v, 1) * a
    rows = concatenate([products, zeros_beside(products, (n, n), products.dtype)], 1)
    shifted = reshape(getitem(ravel(rows), slice(n * (N + n - 1))), (n, N + n - 1))
    start, length = {
        "full": (0, N + n - 1),
        "same": ((n - 1) // 2, N),
        "valid": (n - 1, N - n + 1),
    }[mode]
    return getitem(sum(shifted, 0), slice(start, start + length))
